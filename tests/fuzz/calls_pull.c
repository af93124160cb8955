/* Pulls, in their three forms, and what is done with what they gave. */
#include "waiting.h"

enum { BATCH_MAX = 8 };

enum form { PULL, PULL_BY_ID, PULL_MANY };

static void hold(int message, push_msg *msg)
{
    REQUIRE(message_is(message, msg));
    REQUIRE(w.held_len < HELD);
    w.held[w.held_len++] = (struct held){message, msg};
}

static void forget(size_t i)
{
    w.held[i] = w.held[--w.held_len];
}

/* Returns the number of messages, for each form. */
static int pull(enum form form, struct world_client *c, push_msg **msgs, size_t max, size_t *lost, int timeout_ms)
{
    if (form == PULL_MANY)
        return push_client_pull_many(c->real, msgs, max, lost, timeout_ms);
    int rc = form == PULL ? push_client_pull(c->real, msgs, timeout_ms)
                          : push_session_pull(c->session->real, id_of(c->id), msgs, timeout_ms);
    REQUIRE((rc >= 0) == (msgs[0] != NULL));
    *lost = rc > 0 ? (size_t)rc : 0;
    return rc < 0 ? rc : 1;
}

static void trace_pull(enum form form, int handle, size_t max, int timeout_ms)
{
    if (form == PULL)
        trace_call(waiting_depth(), "push_client_pull(c%d, &msg, %d)", handle, timeout_ms);
    else if (form == PULL_BY_ID)
        trace_call(waiting_depth(), "push_session_pull(push_client_session(c%d), %s, &msg, %d)", handle,
                   id_name(client_in(handle)->id), timeout_ms);
    else
        trace_call(waiting_depth(), "push_client_pull_many(c%d, msgs, %z, &lost, %d)", handle, max, timeout_ms);
}

/* A pull has waited, and returned. At a rendezvous it may have been handed its message; alone, it must have been,
 * where there was one. Returns 1 and its number, or 0. */
static size_t end_wait(struct world_client *c, const push_msg *msg, int *message)
{
    size_t n = 0;
    for (size_t i = 0; n == 0 && i < c->mailbox.handed_len; i++) {
        *message = c->mailbox.handed[i];
        if (message_is(*message, msg) && model_receive(&c->mailbox, *message))
            n = 1;
    }
    c->pulls--;
    c->mailbox.waiting_pulls--;
    REQUIRE(c->mailbox.handed_len <= c->mailbox.waiting_pulls);
    return n;
}

/* The rest of a pull that was handed its message, or all of it. */
static int pull_in_model(struct world_client *c, int *messages, size_t max, size_t handed, size_t *lost)
{
    size_t none;
    if (handed == 0)
        return model_pull(&c->mailbox, messages, max, lost);
    *lost = 0;
    int more = max > 1 ? model_pull(&c->mailbox, messages + 1, max - 1, &none) : 0;
    return more > 0 ? more + 1 : 1;
}

static void call_pull_somehow(void)
{
    int handle = pick_client();
    enum form form = (enum form)input_below(3);
    size_t max = form == PULL_MANY ? 1 + input_below(BATCH_MAX) : 1;
    int timeout_ms = pick_timeout();
    struct world_client *c = client_in(handle);
    if (!c || w.held_len >= HELD_ENOUGH)
        return;
    trace_pull(form, handle, max, timeout_ms);
    int depth = waiting_depth();
    push_msg *msgs[BATCH_MAX] = {NULL};
    int messages[BATCH_MAX];
    size_t lost = 99;
    size_t expected_lost;
    if (form == PULL_BY_ID) {
        c = c->session->members[c->id];
        if (!c) {
            REQUIRE(push_session_pull(client_in(handle)->session->real, id_of(client_in(handle)->id), msgs,
                                      timeout_ms) == -ENOENT);
            REQUIRE(!msgs[0]);
            return;
        }
    }
    bool waits = timeout_ms != 0 && !c->mailbox.closed && !model_has_message(&c->mailbox);
    struct waiting waiting = {.pull = c};
    w.client_handles[handle].pins++;
    client_hold(c);
    if (waits) {
        c->pulls++;
        c->mailbox.waiting_pulls++;
        waiting_begin(&waiting, timeout_ms);
    }
    int rc = pull(form, c, msgs, max, &lost, timeout_ms);
    size_t handed = 0;
    if (waits) {
        waiting_end(&waiting);
        handed = end_wait(c, msgs[0], messages);
    }
    trace_result(depth, rc);
    int expected = pull_in_model(c, messages, max, handed, &expected_lost);
    if (expected == -EAGAIN) {
        REQUIRE(timeout_ms >= 0);
        if (timeout_ms > 0)
            expected = -ETIMEDOUT;
        client_found_empty(c);
    }
    REQUIRE(rc == expected);
    if (rc > 0 || form == PULL_MANY)
        REQUIRE(lost == expected_lost);
    for (int i = 0; i < rc; i++)
        hold(messages[i], msgs[i]);
    w.client_handles[handle].pins--;
    client_let_go(c);
}

static void call_let_go(void)
{
    if (w.held_len == 0)
        return;
    size_t i = input_below(w.held_len);
    trace_call(waiting_depth(), "push_msg_unref(m%d)", w.held[i].message);
    push_msg_unref(w.held[i].msg);
    w.messages[w.held[i].message].refs--;
    forget(i);
}

static void call_ref_and_unref(void)
{
    if (w.held_len == 0)
        return;
    const struct held *held = &w.held[input_below(w.held_len)];
    trace_call(waiting_depth(), "push_msg_unref(push_msg_ref(m%d))", held->message);
    REQUIRE(push_msg_ref(held->msg) == held->msg);
    push_msg_unref(held->msg);
    REQUIRE(message_is(held->message, held->msg));
}

/* The same huge message twice in a mailbox is more bytes than can be counted. */
static bool can_be_counted(const struct model *m, size_t size)
{
    return size <= SIZE_LARGEST || model_stats(m).queued_bytes <= ALL_OTHERS;
}

/* Mostly the last one, and anywhere: the library cannot know where a message comes from. */
static void call_unpull(void)
{
    int handle = pick_client();
    struct world_client *c = client_in(handle);
    if (!c || w.held_len == 0 || c->mailbox.len >= MODEL_QUEUE - BATCH_MAX)
        return;
    size_t i = input_below(2) ? w.held_len - 1 : input_below(w.held_len);
    if (!can_be_counted(&c->mailbox, message_size(w.held[i].message)))
        return;
    trace_call(waiting_depth(), "push_client_unpull(c%d, m%d)", handle, w.held[i].message);
    int rc = push_client_unpull(c->real, w.held[i].msg);
    trace_result(waiting_depth(), rc);
    int expected = model_unpull(&c->mailbox, w.held[i].message);
    REQUIRE(rc == expected);
    if (rc == 0) {
        forget(i);
        if (model_has_message(&c->mailbox))
            client_arrived(c);
    }
}

void call_pull(void)
{
    static void (*const calls[])(void) = {call_pull_somehow, call_pull_somehow, call_pull_somehow, call_let_go,
                                          call_unpull,       call_pull_somehow, call_ref_and_unref};
    calls[input_below(COUNT(calls))]();
}
