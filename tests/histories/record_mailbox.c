#include "jitter.h"
#include "record.h"

enum { THREADS_MAX = 4, THREAD_CALLS_MAX = 8, BATCH_MAX = 3 };

struct worker {
    int number;
    uint64_t random;
    push_client *c;
    int calls;
    bool ends; /* deletes in the end, so that the others may wait for ever */
    bool for_ever;
    int next_message;
    push_msg *held; /* pulled last, and not put back */
    int held_message;

    struct made_call made[THREAD_CALLS_MAX * BATCH_MAX + 1];
    size_t len;
};

static size_t below(struct worker *w, size_t n)
{
    return random_next(&w->random) % n;
}

static int message_of(const push_msg *msg)
{
    int message;
    memcpy(&message, push_msg_data(msg), sizeof(message));
    return message;
}

static void begin(struct worker *w, struct made_call *call, enum kind kind, int timeout_ms)
{
    *call = (struct made_call){.kind = kind, .thread = w->number, .timeout_ms = timeout_ms, .first = true};
    jitter();
    call->began = now_ns();
}

static void returned(struct worker *w, struct made_call *call, int result)
{
    call->returned = now_ns();
    call->result = result;
    w->made[w->len++] = *call;
}

static int pick_timeout(struct worker *w)
{
    switch (below(w, 4)) {
    case 0:
        return 1;
    case 1:
        return w->for_ever ? -1 : 1;
    default:
        return 0;
    }
}

static void push(struct worker *w)
{
    struct made_call call;
    push_report report;
    int message = w->next_message++;
    push_msg *msg = push_msg_new(&message, sizeof(message));
    EXPECT(msg != NULL);
    begin(w, &call, KIND_PUSH, pick_timeout(w));
    call.message = message;
    int rc = push_client_send(w->c, msg, call.timeout_ms, &report);
    call.dropped = (int)report.dropped;
    call.disconnected = (int)report.disconnected;
    returned(w, &call, rc);
    push_msg_unref(msg);
}

static void hold(struct worker *w, push_msg *msg)
{
    push_msg_unref(w->held);
    w->held = msg;
    w->held_message = message_of(msg);
}

static void pull(struct worker *w)
{
    struct made_call call;
    push_msg *msg;
    begin(w, &call, KIND_PULL, pick_timeout(w));
    int rc = push_client_pull(w->c, &msg, call.timeout_ms);
    if (rc >= 0) {
        call.message = message_of(msg);
        hold(w, msg);
    }
    returned(w, &call, rc);
}

static void pull_many(struct worker *w)
{
    struct made_call call;
    push_msg *msgs[BATCH_MAX];
    size_t lost;
    begin(w, &call, KIND_PULL, pick_timeout(w));
    int rc = push_client_pull_many(w->c, msgs, BATCH_MAX, &lost, call.timeout_ms);
    if (rc < 0) {
        returned(w, &call, rc);
        return;
    }
    call.returned = now_ns();
    for (int i = 0; i < rc; i++) {
        call.message = message_of(msgs[i]);
        call.result = i == 0 ? (int)lost : 0;
        call.first = i == 0;
        w->made[w->len++] = call;
        hold(w, msgs[i]);
    }
}

static void unpull(struct worker *w)
{
    struct made_call call;
    if (!w->held)
        return;
    begin(w, &call, KIND_UNPULL, 0);
    call.message = w->held_message;
    int rc = push_client_unpull(w->c, w->held);
    returned(w, &call, rc);
    if (rc == 0)
        w->held = NULL;
}

static void delete (struct worker *w)
{
    struct made_call call;
    begin(w, &call, KIND_DELETE, 0);
    returned(w, &call, push_client_delete(w->c));
}

static void work(void *arg)
{
    struct worker *w = arg;
    jitter_seed(w->random | 1);
    for (int i = 0; i < w->calls; i++) {
        size_t choice = below(w, 32);
        if (choice < 14)
            push(w);
        else if (choice < 24)
            pull(w);
        else if (choice < 27)
            pull_many(w);
        else if (choice < 31)
            unpull(w);
        else if (below(w, 4) == 0)
            delete (w);
    }
    if (w->ends)
        delete (w);
    push_msg_unref(w->held);
    jitter_seed(0);
}

static void drain(struct worker *w)
{
    do
        pull(w);
    while (w->len < COUNT(w->made) && w->made[w->len - 1].result >= 0);
    push_msg_unref(w->held);
}

static void collect(struct history *h, const struct worker *w)
{
    for (size_t i = 0; i < w->len; i++)
        history_add(h, &w->made[i]);
}

static void run_workers(struct history *h, push_client *c, uint64_t *random)
{
    struct worker workers[THREADS_MAX];
    size_t n = 3 + random_next(random) % (THREADS_MAX - 2);
    bool ends = random_next(random) % 3 == 0;
    memset(workers, 0, sizeof(workers));
    for (size_t i = 0; i < n; i++) {
        workers[i].number = (int)i;
        workers[i].random = (uint64_t)random_next(random) << 32 | random_next(random);
        workers[i].c = c;
        workers[i].calls = 5 + (int)(random_next(random) % (THREAD_CALLS_MAX - 4));
        workers[i].ends = ends && i == 0;
        workers[i].for_ever = ends && i > 0;
        workers[i].next_message = (int)i * THREAD_CALLS_MAX + 1;
    }
    crew_run(n, work, workers, sizeof(workers[0]));
    for (size_t i = 0; i < n; i++)
        collect(h, &workers[i]);
}

void record_mailbox(struct history *h, uint64_t seed)
{
    uint64_t random = seed + 1;
    size_t capacity = random_next(&random) % 4;
    push_overflow policy = (push_overflow)(random_next(&random) % 4);
    if (capacity == 0 || random_next(&random) % 2 == 0)
        policy = PUSH_BLOCK;
    memset(h, 0, sizeof(*h));
    h->capacity = capacity;
    h->policy = policy;
    push_session *s = push_session_new(push_id_str("history"), PUSH_ID_NONE, 0);
    push_client *c =
        push_client_new(s, push_id_str("c"), &(push_client_options){.max_buffer = capacity, .overflow = policy});
    EXPECT(c != NULL);
    run_workers(h, c, &random);
    /* Long enough for every push there can be. */
    struct worker last = {.number = THREADS_MAX, .c = c, .random = 1};
    drain(&last);
    collect(h, &last);
    push_client_unref(c);
    push_session_unref(s);
    push_session_delete(push_id_str("history"));
}
