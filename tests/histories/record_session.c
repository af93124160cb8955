#include "jitter.h"
#include "record.h"

enum { PUSHERS_MAX = 3, PUSHES_MAX = 8, RECEIVERS_MAX = 3, THREADS_MAX = PUSHERS_MAX + RECEIVERS_MAX };

/* One end or the other. */
struct end {
    int number;
    uint64_t random;

    push_session *s; /* pushes */
    int pushes;
    struct made_call made[PUSHES_MAX];
    size_t len;
    atomic_int *pushing; /* the last one to push deletes the session, so that pulls end */

    push_client *c; /* pulls */
    int got[MESSAGES_MAX];
    size_t got_len;
};

static void push(struct end *e, int message)
{
    static const int timeouts[] = {-1, -1, 0, 1};
    struct made_call call = {.kind = KIND_PUSH, .thread = e->number, .message = message, .first = true};
    push_report report = {0};
    call.timeout_ms = timeouts[random_next(&e->random) % COUNT(timeouts)];
    push_msg *msg = push_msg_new(&message, sizeof(message));
    EXPECT(msg != NULL);
    jitter();
    call.began = now_ns();
    if (call.timeout_ms < 0 && random_next(&e->random) % 2 == 0)
        call.result = push_session_push(e->s, &message, sizeof(message));
    else
        call.result = push_session_send(e->s, msg, PUSH_ID_NONE, call.timeout_ms, &report);
    call.returned = now_ns();
    call.dropped = (int)report.dropped;
    call.disconnected = (int)report.disconnected;
    e->made[e->len++] = call;
    push_msg_unref(msg);
}

static void push_all(struct end *e)
{
    for (int i = 0; i < e->pushes; i++)
        push(e, e->number * PUSHES_MAX + i + 1);
    if (atomic_fetch_sub(e->pushing, 1) == 1)
        push_session_delete(push_session_id(e->s));
}

static void pull_all(struct end *e)
{
    push_msg *msgs[4];
    int n;
    while ((n = push_client_pull_many(e->c, msgs, 1 + random_next(&e->random) % COUNT(msgs), NULL, -1)) > 0) {
        for (int i = 0; i < n; i++) {
            memcpy(&e->got[e->got_len++], push_msg_data(msgs[i]), sizeof(int));
            push_msg_unref(msgs[i]);
        }
        jitter();
    }
    EXPECT(n == -EPIPE);
}

static void work(void *arg)
{
    struct end *e = arg;
    jitter_seed(e->random | 1);
    if (e->s)
        push_all(e);
    else
        pull_all(e);
    jitter_seed(0);
}

void record_session(struct history *h, uint64_t seed)
{
    uint64_t random = seed + 1;
    struct end ends[THREADS_MAX];
    size_t pushers = 2 + random_next(&random) % (PUSHERS_MAX - 1);
    size_t receivers = 2 + random_next(&random) % (RECEIVERS_MAX - 1);
    atomic_int pushing = (int)pushers;
    push_overflow policy = (push_overflow)(random_next(&random) % 3);
    memset(h, 0, sizeof(*h));
    memset(ends, 0, sizeof(ends));
    h->of_session = true;
    h->policy = policy;
    h->clients = receivers;
    push_session *s = push_session_new(push_id_str("history"), PUSH_ID_NONE, 0);
    for (size_t i = 0; i < pushers + receivers; i++) {
        ends[i].number = (int)i;
        ends[i].random = (uint64_t)random_next(&random) << 32 | random_next(&random);
        if (i < pushers) {
            ends[i].s = s;
            ends[i].pushes = 5 + (int)(random_next(&random) % (PUSHES_MAX - 4));
            ends[i].pushing = &pushing;
        } else {
            push_client_options o = {.max_buffer = random_next(&random) % 4, .overflow = policy};
            if (o.max_buffer == 0)
                o.overflow = PUSH_BLOCK;
            ends[i].c = push_client_new(s, push_id_int(i), &o);
            EXPECT(ends[i].c != NULL);
        }
    }
    crew_run(pushers + receivers, work, ends, sizeof(ends[0]));
    for (size_t i = 0; i < pushers; i++) {
        for (size_t j = 0; j < ends[i].len; j++)
            history_add(h, &ends[i].made[j]);
    }
    for (size_t i = 0; i < receivers; i++) {
        const struct end *e = &ends[pushers + i];
        memcpy(h->got[i], e->got, sizeof(e->got));
        h->got_len[i] = e->got_len;
        push_client_unref(e->c);
    }
    push_session_unref(s);
}
