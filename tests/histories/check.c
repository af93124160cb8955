#include "check.h"

#include "../mailbox_model.h"

/* ---- Linearizability ---- */

struct made {
    uint64_t bits[CALLS_MAX / 64];
};

static bool is_made(const struct made *made, size_t call)
{
    return made->bits[call / 64] >> call % 64 & 1;
}

static void make(struct made *made, size_t call)
{
    made->bits[call / 64] |= UINT64_C(1) << call % 64;
}

/* What of a model the calls to come depend on. Compared as bytes. */
struct state {
    struct made made;
    uint64_t pulled;
    uint16_t queue[MODEL_QUEUE];
    uint16_t gaps[MODEL_QUEUE];
    uint16_t pending_gap;
    uint16_t closed;
    uint32_t len;
    uint32_t must_take; /* the message that the next call takes; 0: there is none such */
};

/* States that were looked at: open addressing, with links to none. */
struct seen {
    struct state *states;
    bool *used;
    size_t cap, len;
};

struct search {
    const struct history *h;
    struct model_message messages[MESSAGES_MAX];
    struct seen seen;
    size_t order[CALLS_MAX], deepest[CALLS_MAX];
    size_t depth, deepest_len;
};

static uint64_t hash_of(const struct state *state)
{
    const unsigned char *bytes = (const unsigned char *)state;
    uint64_t hash = UINT64_C(14695981039346656037); /* FNV-1a */
    for (size_t i = 0; i < sizeof(*state); i++)
        hash = (hash ^ bytes[i]) * UINT64_C(1099511628211);
    return hash;
}

static void *allocate(size_t n, size_t size)
{
    void *p = calloc(n, size);
    if (!p) {
        fprintf(stderr, "history_check: out of memory\n");
        exit(2);
    }
    return p;
}

static size_t find_slot(const struct seen *seen, const struct state *state)
{
    size_t at = (size_t)hash_of(state) & (seen->cap - 1);
    while (seen->used[at] && memcmp(&seen->states[at], state, sizeof(*state)) != 0)
        at = (at + 1) & (seen->cap - 1);
    return at;
}

static void grow(struct seen *seen)
{
    struct seen old = *seen;
    seen->cap = old.cap > 0 ? old.cap * 2 : 256;
    seen->states = allocate(seen->cap, sizeof(*seen->states));
    seen->used = allocate(seen->cap, sizeof(*seen->used));
    for (size_t i = 0; i < old.cap; i++) {
        if (old.used[i]) {
            size_t at = find_slot(seen, &old.states[i]);
            seen->states[at] = old.states[i];
            seen->used[at] = true;
        }
    }
    free(old.states);
    free(old.used);
}

/* False: it was there already. */
static bool add_state(struct seen *seen, const struct state *state)
{
    if (seen->len * 2 >= seen->cap)
        grow(seen);
    size_t at = find_slot(seen, state);
    if (seen->used[at])
        return false;
    seen->states[at] = *state;
    seen->used[at] = true;
    seen->len++;
    return true;
}

static void state_of(struct state *state, const struct made *made, const struct model *m, int must_take)
{
    memset(state, 0, sizeof(*state));
    state->made = *made;
    state->pulled = m->pulled;
    state->pending_gap = (uint16_t)m->pending_gap;
    state->closed = m->closed;
    state->must_take = (uint32_t)must_take;
    state->len = (uint32_t)m->len;
    for (size_t i = 0; i < m->len; i++) {
        state->queue[i] = (uint16_t)m->queue[i].message;
        state->gaps[i] = (uint16_t)m->queue[i].gap;
    }
}

/* No call that is not made yet had returned when this one began. */
static bool may_be_next(const struct history *h, const struct made *made, size_t call, int64_t first_return)
{
    if (is_made(made, call) || h->calls[call].began > first_return)
        return false;
    return h->calls[call].first || is_made(made, call - 1);
}

static int64_t first_return(const struct history *h, const struct made *made)
{
    int64_t first = INT64_MAX;
    for (size_t i = 0; i < h->len; i++) {
        if (!is_made(made, i) && h->calls[i].returned < first)
            first = h->calls[i].returned;
    }
    return first;
}

static bool delivered_at_rendezvous(const struct history *h, const struct made_call *call)
{
    return h->capacity == 0 && call->kind == KIND_PUSH && call->result == 1;
}

static bool push_fits(struct model *m, const struct made_call *call)
{
    push_report report = {0};
    int rc = model_send(m, call->message, &report);
    return rc == call->result && (int)report.dropped == call->dropped &&
           (int)report.disconnected == call->disconnected;
}

static bool pull_gets(const struct made_call *call, int message, size_t lost)
{
    return call->result >= 0 && message == call->message && (size_t)call->result == lost &&
           (call->first || lost == 0);
}

static bool pull_fits(struct model *m, const struct made_call *call)
{
    int message = 0;
    size_t lost;
    int rc = model_pull(m, &message, 1, &lost);
    if (rc == 1)
        return pull_gets(call, message, lost);
    return rc == (call->result == -ETIMEDOUT ? -EAGAIN : call->result);
}

/* Makes the call in the model. False: it cannot have said what it said. */
static bool fits(struct model *m, const struct made_call *call)
{
    bool open = !m->closed;
    switch (call->kind) {
    case KIND_PUSH:
        return push_fits(m, call);
    case KIND_PULL:
        return pull_fits(m, call);
    case KIND_UNPULL:
        return model_unpull(m, call->message) == call->result;
    case KIND_DELETE:
        model_close(m);
        return call->result == open;
    }
    return false;
}

static bool search(struct search *s, const struct made *made, const struct model *m, const struct made_call *met);

/* At a rendezvous, the two meet: one waits for the other. What follows the first message of a batch comes from
 * pushes that wait. */
static bool can_meet(const struct made_call *push, const struct made_call *pull)
{
    return pull->kind == KIND_PULL && pull->message == push->message && pull->began <= push->returned &&
           (push->timeout_ms != 0 || (pull->first && pull->timeout_ms != 0));
}

/* A push that delivers at a rendezvous takes effect together with the pull that takes its message from it, the next
 * call. What was put back comes before it. */
static bool meets(struct model *m, const struct made_call *push, const struct made_call *pull)
{
    if (m->closed || m->len > 0 || !can_meet(push, pull) || !pull_gets(pull, push->message, 0))
        return false;
    m->pushed++;
    m->pulled++;
    return true;
}

/* Makes the call, and searches on from there. */
static bool try_next(struct search *s, const struct made *made, const struct model *m, size_t i,
                     const struct made_call *met)
{
    const struct made_call *call = &s->h->calls[i];
    struct model next = *m;
    struct made next_made = *made;
    make(&next_made, i);
    bool to_be_met = delivered_at_rendezvous(s->h, call);
    if (met ? !meets(&next, met, call) : !to_be_met && !fits(&next, call))
        return false;
    s->order[s->depth++] = i;
    if (search(s, &next_made, &next, to_be_met ? call : NULL))
        return true;
    s->depth--;
    return false;
}

/* met: the push at a rendezvous whose message the next call takes, or NULL. */
static bool search(struct search *s, const struct made *made, const struct model *m, const struct made_call *met)
{
    struct state state;
    if (s->depth > s->deepest_len) {
        memcpy(s->deepest, s->order, s->depth * sizeof(s->order[0]));
        s->deepest_len = s->depth;
    }
    if (s->depth == s->h->len)
        return true;
    state_of(&state, made, m, met ? met->message : 0);
    if (!add_state(&s->seen, &state))
        return false;
    int64_t until = first_return(s->h, made);
    for (size_t i = 0; i < s->h->len; i++) {
        if (may_be_next(s->h, made, i, until) && try_next(s, made, m, i, met))
            return true;
    }
    return false;
}

static void explain(const struct search *s, FILE *f)
{
    struct made made = {{0}};
    fprintf(f, "not linearizable. The longest order that fits:\n");
    for (size_t i = 0; i < s->deepest_len; i++) {
        make(&made, s->deepest[i]);
        history_print_call(&s->h->calls[s->deepest[i]], f);
    }
    fprintf(f, "None of these can be next:\n");
    int64_t until = first_return(s->h, &made);
    for (size_t i = 0; i < s->h->len; i++) {
        if (may_be_next(s->h, &made, i, until))
            history_print_call(&s->h->calls[i], f);
    }
}

static bool check_mailbox(const struct history *h, FILE *f)
{
    struct search *s = allocate(1, sizeof(*s));
    push_client_options options = {.max_buffer = h->capacity, .overflow = h->policy};
    struct model m;
    struct made made = {{0}};
    s->h = h;
    model_init(&m, s->messages, &options);
    bool good = search(s, &made, &m, NULL);
    if (!good)
        explain(s, f);
    free(s->seen.states);
    free(s->seen.used);
    free(s);
    return good;
}

/* ---- One order ---- */

/* The place of the message in what the client got, from 1; 0: it did not. */
static size_t place_of(const struct history *h, size_t client, int message)
{
    for (size_t i = 0; i < h->got_len[client]; i++) {
        if (h->got[client][i] == message)
            return i + 1;
    }
    return 0;
}

static bool check_deliveries(const struct history *h, FILE *f)
{
    size_t pulled = 0;
    size_t delivered = 0;
    for (size_t client = 0; client < h->clients; client++) {
        pulled += h->got_len[client];
        for (size_t i = 0; i < h->got_len[client]; i++) {
            if (place_of(h, client, h->got[client][i]) != i + 1) {
                fprintf(f, "client %zu got message %d twice\n", client, h->got[client][i]);
                return false;
            }
        }
    }
    for (size_t i = 0; i < h->len; i++) {
        int with = 0;
        for (size_t client = 0; client < h->clients; client++)
            with += place_of(h, client, h->calls[i].message) > 0;
        int said = h->calls[i].result > 0 ? h->calls[i].result : 0;
        delivered += (size_t)with;
        /* What DROP_OLDEST evicted later is counted as dropped by another push. */
        if (with > said || (h->policy != PUSH_DROP_OLDEST && with != said)) {
            fprintf(f, "message %d: its push delivered it to %d clients, %d got it\n", h->calls[i].message, said,
                    with);
            return false;
        }
    }
    if (pulled != delivered)
        fprintf(f, "clients got %zu messages, of which %zu were pushed\n", pulled, delivered);
    return pulled == delivered;
}

static bool check_pair(const struct history *h, const struct made_call *a, const struct made_call *b, FILE *f)
{
    int first = a->returned < b->began ? 1 : b->returned < a->began ? -1 : 0;
    size_t witness = CLIENTS_MAX;
    for (size_t client = 0; client < h->clients; client++) {
        size_t at_a = place_of(h, client, a->message);
        size_t at_b = place_of(h, client, b->message);
        if (at_a == 0 || at_b == 0)
            continue;
        int here = at_a < at_b ? 1 : -1;
        if (first != 0 && here != first) {
            if (witness < CLIENTS_MAX)
                fprintf(f, "clients %zu and %zu got messages %d and %d in different orders\n", witness, client,
                        a->message, b->message);
            else
                fprintf(f, "client %zu: messages %d and %d do not come in the order of their pushes\n", client,
                        a->message, b->message);
            return false;
        }
        first = here;
        witness = client;
    }
    return true;
}

static bool check_session(const struct history *h, FILE *f)
{
    if (!check_deliveries(h, f))
        return false;
    for (size_t i = 0; i < h->len; i++) {
        for (size_t j = 0; j < i; j++) {
            if (!check_pair(h, &h->calls[j], &h->calls[i], f))
                return false;
        }
    }
    return true;
}

/* ---- Time ---- */

/* A wait that gave up, without a reason but its deadline. */
static bool gave_up(const struct history *h, const struct made_call *call)
{
    if (call->kind == KIND_PULL)
        return call->result == -ETIMEDOUT;
    return call->kind == KIND_PUSH && !h->of_session && h->policy == PUSH_BLOCK && call->result == 0;
}

static bool check_times(const struct history *h, FILE *f)
{
    for (size_t i = 0; i < h->len; i++) {
        const struct made_call *call = &h->calls[i];
        if (!gave_up(h, call))
            continue;
        if (call->timeout_ms >= 0 && call->returned - call->began >= call->timeout_ms * MILLISECOND)
            continue;
        fprintf(f, "a wait ended before its time:\n");
        history_print_call(call, f);
        return false;
    }
    return true;
}

bool history_check(const struct history *h, FILE *f)
{
    return check_times(h, f) && (h->of_session ? check_session(h, f) : check_mailbox(h, f));
}
