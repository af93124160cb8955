/*
 * What always holds, with real threads: exactly once, one order, nobody held up, every wait ends, exact bounds,
 * nothing leaks (that is checked after each test).
 */
#include "helpers.h"

#include <limits.h>
#include <poll.h>
#include <sched.h>

/* ---- Stamped messages ------------------------------------------------------------------------------------- */

#define MAX_PUSHERS 8

/* Who pushed it, as his how-manieth, and bytes that show when it was torn. */
struct stamp {
    uint32_t pusher;
    uint32_t sequence;
    uint32_t pattern[14];
};

static struct stamp make_stamp(uint32_t pusher, uint32_t sequence)
{
    struct stamp stamp = {.pusher = pusher, .sequence = sequence};
    for (uint32_t i = 0; i < COUNT(stamp.pattern); i++)
        stamp.pattern[i] = (pusher * 2654435761U) ^ (sequence * 40503U) ^ i;
    return stamp;
}

/* The stamp in a message, which may be longer or shorter than a stamp: its head counts. */
static struct stamp read_stamp(const push_msg *msg)
{
    struct stamp stamp = {0};
    size_t size = push_msg_size(msg);
    EXPECT(size >= 8);
    memcpy(&stamp, push_msg_data(msg), size < sizeof(stamp) ? size : sizeof(stamp));
    struct stamp expected = make_stamp(stamp.pusher, stamp.sequence);
    EXPECT(memcmp(&stamp, &expected, size < sizeof(stamp) ? size : sizeof(stamp)) == 0);
    EXPECT(stamp.pusher < MAX_PUSHERS);
    return stamp;
}

/* ---- Exactly once ----------------------------------------------------------------------------------------- */

/* How often each message was pulled from one client. */
struct tally {
    push_client *c;
    uint32_t pushers;
    uint32_t each;
    _Atomic uint8_t *counts; /* [pusher * each + sequence] */
    _Atomic uint64_t lost;
};

static void tally_init(struct tally *t, push_client *c, uint32_t pushers, uint32_t each)
{
    *t = (struct tally){.c = c, .pushers = pushers, .each = each};
    t->counts = calloc((size_t)pushers * each, 1);
    assert_non_null(t->counts);
}

static void tally_add(struct tally *t, push_msg *msg)
{
    struct stamp stamp = read_stamp(msg);
    if (EXPECT(stamp.pusher < t->pushers && stamp.sequence < t->each))
        EXPECT(atomic_fetch_add(&t->counts[stamp.pusher * t->each + stamp.sequence], 1) == 0);
    push_msg_unref(msg);
}

static uint64_t tally_total(struct tally *t)
{
    uint64_t n = 0;
    for (size_t i = 0; i < (size_t)t->pushers * t->each; i++)
        n += t->counts[i];
    return n;
}

static void tally_free(struct tally *t)
{
    free((void *)t->counts);
}

/* Pulls in every way there is until the client is closed and drained. */
static void pull_until_closed(void *arg)
{
    struct tally *t = arg;
    for (unsigned i = 0;; i++) {
        push_msg *msgs[5];
        size_t lost = 0;
        int rc;
        if (i % 3 == 0) {
            rc = push_client_pull_many(t->c, msgs, 1 + i % 5, &lost, -1);
        } else {
            rc = push_client_pull(t->c, msgs, i % 3 == 1 ? -1 : 1);
            if (rc >= 0) {
                lost = (size_t)rc;
                rc = 1;
            }
        }
        if (rc == -ETIMEDOUT)
            continue;
        if (rc < 0) {
            EXPECT(rc == -EPIPE);
            return;
        }
        atomic_fetch_add(&t->lost, lost);
        for (int k = 0; k < rc; k++) {
            /* Now and then one is put back, for whoever comes. */
            if (k == rc - 1 && i % 7 == 0 && lost == 0) {
                EXPECT(push_client_unpull(t->c, msgs[k]) == 0);
                continue;
            }
            tally_add(t, msgs[k]);
        }
    }
}

struct pusher {
    push_session *s;
    push_client *c; /* or to this one client */
    uint32_t me;
    uint32_t each;
    int expected; /* what each push returns; -1: add it up */
    int timeout_ms;
    uint64_t delivered;
};

static void push_stamps(void *arg)
{
    struct pusher *p = arg;
    for (uint32_t i = 0; i < p->each; i++) {
        struct stamp stamp = make_stamp(p->me, i);
        int rc;
        if (p->c || p->timeout_ms >= 0) {
            push_msg *msg = push_msg_new(&stamp, sizeof(stamp));
            push_report report;
            if (p->c)
                rc = push_client_send(p->c, msg, p->timeout_ms, &report);
            else
                rc = push_session_send(p->s, msg, PUSH_ID_NONE, p->timeout_ms, &report);
            EXPECT(rc >= 0 && report.delivered == (size_t)rc);
            push_msg_unref(msg);
        } else {
            rc = push_session_push(p->s, &stamp, sizeof(stamp));
        }
        if (p->expected >= 0)
            EXPECT(rc == p->expected);
        if (EXPECT(rc >= 0))
            p->delivered += (uint64_t)rc;
    }
}

/* Some pushers, some clients, some pullers a client, and every message on every client once. */
static void run_exactly_once(size_t capacity, size_t max_bytes, uint32_t pushers, size_t clients, size_t pullers,
                             uint32_t each)
{
    push_session *s = session("s");
    struct tally tallies[4];
    struct crew *crews[4];
    struct pusher plan[MAX_PUSHERS];
    char name[8];
    assert_true(clients <= COUNT(tallies) && pushers <= COUNT(plan));
    for (size_t i = 0; i < clients; i++) {
        push_client_options options = {.max_buffer = capacity, .max_bytes = max_bytes};
        snprintf(name, sizeof(name), "c%d", (int)i);
        push_client *c = push_client_new(s, push_id_str(name), &options);
        assert_non_null(c);
        tally_init(&tallies[i], c, pushers, each);
        crews[i] = crew_start(pullers, pull_until_closed, &tallies[i], 0);
    }
    for (uint32_t i = 0; i < pushers; i++) {
        plan[i] = (struct pusher){
            .s = s, .me = i, .each = each, .expected = (int)clients, .timeout_ms = i % 2 ? -1 : 60000};
    }
    crew_run(pushers, push_stamps, plan, sizeof(plan[0]));
    /* All were delivered: what is still queued is drained through the handles. */
    assert_true(push_session_delete(PUSH_ID("s")));
    for (size_t i = 0; i < clients; i++) {
        crew_join(crews[i]);
        assert_expectations();
        assert_int_equal(tally_total(&tallies[i]), (uint64_t)pushers * each);
        push_client_stats stats = stats_of(tallies[i].c);
        assert_int_equal(stats.pushed, (uint64_t)pushers * each);
        assert_int_equal(stats.pulled, stats.pushed);
        assert_int_equal(stats.queued, 0);
        assert_int_equal(stats.queued_bytes, 0);
        assert_int_equal(stats.dropped, 0);
        assert_drained(tallies[i].c);
        push_client_unref(tallies[i].c);
        tally_free(&tallies[i]);
    }
    push_session_unref(s);
}

static void exactly_once(void **state)
{
    (void)state;
    size_t capacities[] = {0, 1, 2, 3, 7, 8, 128};
    for (size_t i = 0; i < COUNT(capacities); i++) {
        run_exactly_once(capacities[i], 0, 1, 1, 1, SCALED(10000));
        run_exactly_once(capacities[i], 0, 3, 2, 2, SCALED(3000));
        run_exactly_once(capacities[i], 0, 2, 4, 1, SCALED(3000));
        run_exactly_once(capacities[i], 0, 1, 1, 4, SCALED(3000));
    }
    run_exactly_once(100, 3 * sizeof(struct stamp), 3, 2, 2, SCALED(3000));
    run_exactly_once(100, 1, 2, 2, 2, SCALED(3000));
}

/* The same by the client's own send, beside pushes to the session. */
static void exactly_once_with_both_sorts_of_push(void **state)
{
    (void)state;
    const uint32_t each = SCALED(10000);
    size_t capacities[] = {0, 1, 5, 64};
    for (size_t k = 0; k < COUNT(capacities); k++) {
        push_session *s = session("s");
        push_client *c = client(s, "c", capacities[k]);
        struct tally tally;
        tally_init(&tally, c, 4, each);
        struct crew *pullers = crew_start(2, pull_until_closed, &tally, 0);
        struct pusher plan[4];
        for (uint32_t i = 0; i < 4; i++) {
            plan[i] = (struct pusher){
                .s = s, .c = i % 2 ? c : NULL, .me = i, .each = each, .expected = 1, .timeout_ms = -1};
        }
        crew_run(4, push_stamps, plan, sizeof(plan[0]));
        assert_true(push_client_delete(c));
        crew_join(pullers);
        assert_expectations();
        assert_int_equal(tally_total(&tally), 4 * (uint64_t)each);
        tally_free(&tally);
        push_client_unref(c);
        push_session_unref(s);
    }
}

/* Timeouts that run out in the middle: what a push counted was pulled, and nothing else. */
static void a_push_that_gave_up_did_not_deliver(void **state)
{
    (void)state;
    const uint32_t each = SCALED(3000);
    size_t capacities[] = {0, 1, 4};
    for (size_t k = 0; k < COUNT(capacities); k++) {
        push_session *s = session("s");
        push_client *c = client(s, "c", capacities[k]);
        struct tally tally;
        tally_init(&tally, c, 4, each);
        struct crew *pullers = crew_start(2, pull_until_closed, &tally, 0);
        struct pusher plan[4];
        for (uint32_t i = 0; i < 4; i++) {
            plan[i] = (struct pusher){.s = s,
                                      .c = i == 3 ? c : NULL,
                                      .me = i,
                                      .each = i == 1 ? each / 10 : each,
                                      .expected = -1,
                                      .timeout_ms = i == 1 ? 1 : 0};
        }
        crew_run(4, push_stamps, plan, sizeof(plan[0]));
        assert_true(push_client_delete(c));
        crew_join(pullers);
        assert_expectations();
        uint64_t delivered = 0;
        for (size_t i = 0; i < 4; i++)
            delivered += plan[i].delivered;
        assert_int_equal(tally_total(&tally), delivered);
        assert_int_equal(stats_of(c).pushed, delivered);
        tally_free(&tally);
        push_client_unref(c);
        push_session_unref(s);
    }
}

/* Dropping policies: every message was pulled or counted as dropped, and the gaps add up to the drops. */
static void drops_are_counted(void **state)
{
    (void)state;
    const uint32_t each = SCALED(30000);
    for (int policy = PUSH_DROP_NEWEST; policy <= PUSH_DROP_OLDEST; policy++) {
        push_session *s = session("s");
        push_client *c = client_with(s, "c", 4, (push_overflow)policy);
        struct tally tally;
        tally_init(&tally, c, 3, each);
        struct crew *pullers = crew_start(2, pull_until_closed, &tally, 0);
        struct pusher plan[3];
        for (uint32_t i = 0; i < 3; i++)
            plan[i] = (struct pusher){.s = s, .me = i, .each = each, .expected = -1, .timeout_ms = -1};
        crew_run(3, push_stamps, plan, sizeof(plan[0]));
        uint64_t delivered = plan[0].delivered + plan[1].delivered + plan[2].delivered;
        assert_true(push_client_delete(c));
        crew_join(pullers);
        assert_expectations();
        push_client_stats stats = stats_of(c);
        assert_int_equal(stats.pushed, delivered);
        assert_int_equal(stats.queued, 0);
        if (policy == PUSH_DROP_OLDEST) {
            assert_int_equal(delivered, 3 * (uint64_t)each);
            assert_int_equal(tally_total(&tally) + stats.dropped, delivered);
            assert_int_equal(tally.lost, stats.dropped);
        } else {
            assert_int_equal(tally_total(&tally), delivered);
            assert_int_equal(delivered + stats.dropped, 3 * (uint64_t)each);
            assert_true(tally.lost <= stats.dropped); /* the last gap may have nothing behind it */
        }
        assert_int_equal(stats.pushed, stats.pulled + (policy == PUSH_DROP_OLDEST ? stats.dropped : 0));
        assert_true(stats.high_water <= 4 + 2); /* each of two pullers may have put one back */
        tally_free(&tally);
        push_client_unref(c);
        push_session_unref(s);
    }
}

/* Take-over in mid-stream: the pullers change over to the new handle, and nothing is lost on the way. */
struct reader {
    push_session *s;
    struct tally *tally;
    _Atomic(push_client *) *current;
};

static void pull_and_change_over(void *arg)
{
    struct reader *r = arg;
    push_client *mine = push_client_find(r->s, PUSH_ID("c"));
    for (;;) {
        push_msg *msg;
        int rc = push_client_pull(mine, &msg, -1);
        if (rc >= 0) {
            tally_add(r->tally, msg);
            continue;
        }
        EXPECT(rc == -EPIPE);
        push_client *next = push_client_find(r->s, PUSH_ID("c"));
        push_client_unref(mine);
        if (!next)
            return;
        mine = next;
    }
}

static void take_over_again_and_again(void *arg)
{
    atomic_bool *stop = arg;
    push_client_options options = {.max_buffer = 1, .duplicate = PUSH_TAKEOVER};
    while (!atomic_load(stop)) {
        push_client *c = push_client_open(PUSH_ID("s"), PUSH_ID("c"), &options);
        EXPECT(c != NULL);
        push_client_unref(c);
        sched_yield();
    }
}

static void takeover_in_mid_stream(void **state)
{
    (void)state;
    const uint32_t each = SCALED(10000);
    size_t capacities[] = {0, 1, 16};
    for (size_t k = 0; k < COUNT(capacities); k++) {
        push_session *s = session("s");
        push_client_unref(client(s, "c", capacities[k]));
        struct tally tally;
        tally_init(&tally, NULL, 2, each);
        struct reader reader = {.s = s, .tally = &tally};
        atomic_bool stop = false;
        struct crew *readers = crew_start(2, pull_and_change_over, &reader, 0);
        struct crew *takers = crew_start(1, take_over_again_and_again, &stop, 0);
        struct pusher plan[2];
        for (uint32_t i = 0; i < 2; i++)
            plan[i] = (struct pusher){.s = s, .me = i, .each = each, .expected = 1, .timeout_ms = i ? -1 : 60000};
        crew_run(2, push_stamps, plan, sizeof(plan[0]));
        atomic_store(&stop, true);
        crew_join(takers);
        push_client *c = push_client_find(s, PUSH_ID("c"));
        AWAIT(stats_of(c).queued == 0);
        assert_true(push_client_delete(c));
        crew_join(readers);
        assert_expectations();
        push_client_stats stats = stats_of(c);
        assert_int_equal(stats.pushed, 2 * (uint64_t)each); /* through all of its lives */
        assert_int_equal(stats.pulled, 2 * (uint64_t)each);
        assert_int_equal(tally_total(&tally), 2 * (uint64_t)each);
        tally_free(&tally);
        push_client_unref(c);
        push_session_unref(s);
    }
}

/* References are balanced whatever happens: each block is freed once, by whoever came last. */
static atomic_int alive;

static void count_death(void *data, void *arg)
{
    (void)arg;
    free(data);
    atomic_fetch_sub(&alive, 1);
}

static push_msg *counted_msg(void)
{
    void *data = malloc(8);
    atomic_fetch_add(&alive, 1);
    push_msg *msg = push_msg_wrap(data, 8, count_death, NULL);
    EXPECT(msg != NULL);
    return msg;
}

static atomic_bool storm_over;

static void storm(void *arg)
{
    uint64_t seed = *(uint64_t *)arg;
    push_id ids[] = {PUSH_ID(0), PUSH_ID(1), PUSH_ID(2)};
    size_t capacities[] = {0, 1, 2, 100};
    for (int i = 0; i < SCALED(20000); i++) {
        push_id session_id = ids[random_next(&seed) % 2];
        push_id id = ids[random_next(&seed) % 3];
        push_client_options options = {.max_buffer = capacities[random_next(&seed) % 4],
                                       .max_bytes = random_next(&seed) % 4 ? 0 : 20,
                                       .overflow = (push_overflow)(random_next(&seed) % 4),
                                       .duplicate = (push_duplicate)(random_next(&seed) % 4)};
        if (options.max_buffer == 0)
            options.overflow = PUSH_BLOCK;
        push_client *c = push_client_open(session_id, id, &options);
        if (!c) {
            EXPECT(errno == EEXIST);
            continue;
        }
        push_session *s = push_session_ref(push_client_session(c));
        push_msg *msg = counted_msg();
        push_msg *got = NULL;
        int rc;
        switch (random_next(&seed) % 12) {
        case 0:
        case 1:
            rc = push_session_send(s, msg, random_next(&seed) % 2 ? PUSH_ID_NONE : id,
                                   (int)(random_next(&seed) % 2), NULL);
            EXPECT(rc >= 0 || rc == -EPIPE);
            break;
        case 2:
            rc = push_client_send(c, msg, (int)(random_next(&seed) % 2), NULL);
            EXPECT(rc == 0 || rc == 1 || rc == -EPIPE);
            break;
        case 3:
        case 4:
            rc = push_client_pull(c, &got, (int)(random_next(&seed) % 2));
            EXPECT(rc >= 0 || rc == -EPIPE || rc == -EAGAIN || rc == -ETIMEDOUT);
            break;
        case 5:
            rc = push_session_pull(s, id, &got, (int)(random_next(&seed) % 2));
            EXPECT(rc >= 0 || rc == -EPIPE || rc == -EAGAIN || rc == -ETIMEDOUT || rc == -ENOENT);
            if (got && push_client_unpull(c, got) == 0)
                got = NULL;
            break;
        case 6:
            push_client_delete(c);
            break;
        case 7:
            push_session_delete(session_id);
            break;
        case 8:
            push_session_delete_client(s, id);
            break;
        case 9:
            rc = push_client_fd(c);
            EXPECT(rc >= 0);
            break;
        case 10: {
            push_poller *p = push_poller_new();
            push_event event;
            rc = push_poller_add(p, c, NULL);
            EXPECT(rc == 0 || rc == -EBUSY);
            push_poller_wait(p, &event, 1, 0);
            push_poller_free(p);
            break;
        }
        default:
            push_session_unref(push_session_new(session_id, id, 3));
            push_ids_free(push_session_clients(s, NULL));
            break;
        }
        push_msg_unref(got);
        push_msg_unref(msg);
        push_client_unref(c);
        push_session_unref(s);
    }
}

static void pull_for_ever(void *arg)
{
    uint64_t seed = *(uint64_t *)arg;
    while (!atomic_load(&storm_over)) {
        push_client *c =
            push_client_open(push_id_int(random_next(&seed) % 2), push_id_int(random_next(&seed) % 3), NULL);
        if (!c)
            continue;
        /* No deadline: it is for the others to end this. */
        push_msg *msg;
        while (push_client_pull(c, &msg, -1) >= 0)
            push_msg_unref(msg);
        push_client_unref(c);
    }
}

static void push_for_ever(void *arg)
{
    uint64_t seed = *(uint64_t *)arg;
    while (!atomic_load(&storm_over)) {
        push_session *s = push_session_new(push_id_int(random_next(&seed) % 2), PUSH_ID_NONE, 0);
        push_msg *msg = counted_msg();
        while (push_session_send(s, msg, PUSH_ID_NONE, -1, NULL) >= 0 && !atomic_load(&storm_over))
            sched_yield();
        push_msg_unref(msg);
        push_session_unref(s);
    }
}

static void a_storm_of_everything(void **state)
{
    (void)state;
    uint64_t seeds[] = {1, 2, 3, 4, 5, 6};
    int threads = count_threads();
    atomic_store(&storm_over, false);
    struct crew *pullers = crew_start(2, pull_for_ever, &seeds[3], sizeof(seeds[0]));
    struct crew *pushers = crew_start(1, push_for_ever, &seeds[5], sizeof(seeds[0]));
    crew_run(3, storm, seeds, sizeof(seeds[0]));
    atomic_store(&storm_over, true);
    /* Every wait ends by this. Who has only just created anew is found the next time round. */
    int64_t end = now_ns() + PATIENCE;
    do {
        push_shutdown();
        pause_briefly();
    } while (count_threads() > threads && now_ns() < end);
    crew_join(pullers);
    crew_join(pushers);
    push_shutdown();
    assert_int_equal(atomic_load(&alive), 0);
}

/* ---- Order ------------------------------------------------------------------------------------------------ */

/* What one client saw, in its order. */
struct log {
    push_client *c;
    struct stamp_key {
        uint32_t pusher;
        uint32_t sequence;
    } * seen;
    size_t len;
    size_t size;
    int how;
};

static void log_add(struct log *log, push_msg *msg)
{
    struct stamp stamp = read_stamp(msg);
    if (EXPECT(log->len < log->size))
        log->seen[log->len++] = (struct stamp_key){stamp.pusher, stamp.sequence};
    push_msg_unref(msg);
}

/* One reader a client, each of its own sort. */
static void log_until_closed(void *arg)
{
    struct log *log = arg;
    push_poller *p = log->how == 2 ? push_poller_new() : NULL;
    if (p)
        EXPECT(push_poller_add(p, log->c, NULL) == 0);
    for (;;) {
        push_msg *msgs[4];
        int n;
        if (p) {
            push_event event;
            EXPECT(push_poller_wait(p, &event, 1, -1) == 1);
        }
        if (log->how == 1) {
            n = push_client_pull_many(log->c, msgs, COUNT(msgs), NULL, -1);
        } else {
            n = push_client_pull(log->c, msgs, p ? 0 : -1);
            n = n >= 0 ? 1 : n;
        }
        if (n == -EAGAIN)
            continue;
        if (n < 0) {
            EXPECT(n == -EPIPE);
            break;
        }
        for (int i = 0; i < n; i++)
            log_add(log, msgs[i]);
        if (log->how == 3) /* slow, so that its mailbox is full most of the time */
            sched_yield();
    }
    push_poller_free(p);
}

/* Each pusher's messages in his order; and what both saw, in the same order. */
static void compare_logs(const struct log *a, const struct log *b, uint32_t pushers, uint32_t each)
{
    size_t *place = malloc((size_t)pushers * each * sizeof(*place));
    assert_non_null(place);
    for (size_t i = 0; i < (size_t)pushers * each; i++)
        place[i] = SIZE_MAX;
    int64_t last[MAX_PUSHERS];
    for (size_t i = 0; i < MAX_PUSHERS; i++)
        last[i] = -1;
    for (size_t i = 0; i < a->len; i++) {
        struct stamp_key key = a->seen[i];
        assert_true((int64_t)key.sequence > last[key.pusher]);
        last[key.pusher] = key.sequence;
        place[key.pusher * each + key.sequence] = i;
    }
    size_t at = 0;
    bool any = false;
    for (size_t i = 0; i < b->len; i++) {
        size_t there = place[b->seen[i].pusher * each + b->seen[i].sequence];
        if (there == SIZE_MAX)
            continue;
        assert_true(!any || there > at);
        at = there;
        any = true;
    }
    free(place);
}

static void run_order(const push_client_options *options, size_t clients, uint32_t pushers, uint32_t each,
                      const int *timeouts, bool all_arrive)
{
    push_session *s = session("s");
    struct log logs[8];
    struct pusher plan[MAX_PUSHERS];
    assert_true(clients <= COUNT(logs) && pushers <= COUNT(plan));
    for (size_t i = 0; i < clients; i++) {
        push_client *c = push_client_new(s, push_id_int(i), &options[i]);
        assert_non_null(c);
        logs[i] = (struct log){.c = c, .size = (size_t)pushers * each, .how = (int)(i % 4)};
        logs[i].seen = malloc(logs[i].size * sizeof(logs[i].seen[0]));
        assert_non_null(logs[i].seen);
    }
    struct crew *readers = crew_start(clients, log_until_closed, logs, sizeof(logs[0]));
    for (uint32_t i = 0; i < pushers; i++)
        plan[i] = (struct pusher){.s = s, .me = i, .each = each, .expected = -1, .timeout_ms = timeouts[i]};
    crew_run(pushers, push_stamps, plan, sizeof(plan[0]));
    assert_true(push_session_delete(PUSH_ID("s")));
    crew_join(readers);
    assert_expectations();
    for (size_t i = 0; i < clients; i++) {
        if (all_arrive)
            assert_int_equal(logs[i].len, (size_t)pushers * each);
        for (size_t k = 0; k < clients; k++)
            compare_logs(&logs[i], &logs[k], pushers, each);
    }
    for (size_t i = 0; i < clients; i++) {
        push_client_unref(logs[i].c);
        free(logs[i].seen);
    }
    push_session_unref(s);
}

static void all_clients_see_one_order(void **state)
{
    (void)state;
    static const int for_ever[] = {-1, -1, 60000, -1};
    /* Small mailboxes: nearly every push waits, on one client or another. */
    push_client_options blocking[] = {{.max_buffer = 1}, {.max_buffer = 2}, {.max_buffer = 3}, {.max_buffer = 1}};
    run_order(blocking, 4, 4, SCALED(5000), for_ever, true);
    push_client_options rendezvous[] = {{.max_buffer = 0}, {.max_buffer = 1}, {.max_buffer = 0}, {.max_buffer = 9}};
    run_order(rendezvous, 4, 3, SCALED(3000), for_ever, true);
    push_client_options bytes[] = {{.max_buffer = 9, .max_bytes = 64},
                                   {.max_buffer = 2},
                                   {.max_buffer = 64, .max_bytes = 200},
                                   {.max_buffer = 9, .max_bytes = 1}};
    run_order(bytes, 4, 4, SCALED(3000), for_ever, true);
    push_client_options large[] = {{.max_buffer = 1000}, {.max_buffer = SIZE_MAX}, {.max_buffer = 5}};
    run_order(large, 3, 4, SCALED(20000), for_ever, true);
}

static void what_both_get_is_in_one_order(void **state)
{
    (void)state;
    static const int mixed[] = {-1, 0, 1, 0};
    push_client_options policies[] = {{.max_buffer = 2},
                                      {.max_buffer = 3, .overflow = PUSH_DROP_OLDEST},
                                      {.max_buffer = 3, .overflow = PUSH_DROP_NEWEST},
                                      {.max_buffer = 1},
                                      {.max_buffer = 0},
                                      {.max_buffer = 50, .max_bytes = 300, .overflow = PUSH_DROP_OLDEST}};
    run_order(policies, 6, 4, SCALED(3000), mixed, false);
    push_client_options blocking[] = {{.max_buffer = 1}, {.max_buffer = 4}, {.max_buffer = 2}};
    run_order(blocking, 3, 4, SCALED(3000), mixed, false);
}

/* A deadline and a pull at the same moment: the push that gives up leaves no disorder. */
static void blocked_pushes_keep_the_order_step_by_step(void **state)
{
    (void)state;
    push_session *s = session("s");
    push_client *a = client(s, "a", 1);
    push_client *b = client(s, "b", 1);
    push_client *room = client(s, "room", 100);
    assert_int_equal(push_session_push(s, "0", 1), 3);
    struct call *pushes[4];
    for (int i = 0; i < 4; i++) {
        char text[2] = {(char)('1' + i)};
        pushes[i] = begin_push(s, text);
        assert_asleep(pushes[i]);
    }
    /* Each full one at its own pace. */
    for (int i = 0; i <= 4; i++)
        assert_next(room, 0, ((char[2]){(char)('0' + i)}));
    for (int i = 0; i <= 2; i++)
        assert_next(b, 0, ((char[2]){(char)('0' + i)}));
    for (int i = 0; i <= 4; i++)
        assert_next(a, 0, ((char[2]){(char)('0' + i)}));
    for (int i = 3; i <= 4; i++)
        assert_next(b, 0, ((char[2]){(char)('0' + i)}));
    for (int i = 0; i < 4; i++)
        assert_int_equal(finish(pushes[i]).rc, 3);
    push_client_unref(a);
    push_client_unref(b);
    push_client_unref(room);
    push_session_unref(s);
}

/* ---- Nobody is held up by another ------------------------------------------------------------------------- */

static void a_full_client_delays_nobody(void **state)
{
    (void)state;
    push_session *s = session("s");
    push_client *full = client(s, "full", 1);
    push_client *none = client(s, "none", 0);
    push_client *free1 = client(s, "free", 100);
    push_client *waiting = client(s, "waiting", 100);
    assert_put(full, "fill");
    struct call *pull = begin_pull(waiting, -1);
    assert_asleep(pull);
    struct call *pushes[5];
    for (int i = 0; i < 5; i++) {
        char text[2] = {(char)('0' + i)};
        pushes[i] = i % 2 ? begin_push(s, text) : begin_send_all(s, text, PUSH_ID_NONE, -1);
        /* While it sleeps for the full ones, the others have it. */
        assert_asleep(pushes[i]);
        assert_int_equal(stats_of(free1).queued, 1);
        assert_next(free1, 0, text);
        if (i == 0) {
            assert_text(finish(pull).msg, text);
        } else {
            assert_next(waiting, 0, text);
        }
    }

    /* And no call needs a lock that a waiting push holds. */
    push_report report;
    assert_put(free1, "direct");
    assert_int_equal(send_all_text(s, "more", &report), 2);
    assert_report(report, 2, 0, 0, 2);
    assert_int_equal(push_session_len(s), 4);
    push_ids_free(push_session_clients(s, NULL));
    push_ids_free(push_sessions(NULL));
    assert_true(push_session_exists(PUSH_ID("s")));
    assert_false(push_session_delete_if_empty(PUSH_ID("s")));
    push_session_unref(push_session_new(PUSH_ID("s"), PUSH_ID("fresh"), 5));
    push_session_unref(push_session_find(PUSH_ID("s")));
    assert_true(push_session_delete_client(s, PUSH_ID("fresh")));
    push_client_unref(push_client_find(s, PUSH_ID("full")));
    assert_int_equal(stats_of(full).queued, 1);
    assert_true(readable(push_client_fd(full)));
    assert_true(readable(push_client_fd(none)));
    push_poller *p = push_poller_new();
    push_event event;
    assert_int_equal(push_poller_add(p, full, NULL), 0);
    assert_int_equal(push_poller_wait(p, &event, 1, 0), 1);
    assert_int_equal(push_poller_pause(p, full), 0);
    assert_int_equal(push_poller_wait(p, &event, 1, 0), -EAGAIN);
    assert_int_equal(push_poller_remove(p, full), 0);
    push_poller_free(p);
    push_client_options options = {.max_buffer = 1, .duplicate = PUSH_REPLACE};
    push_client *replaced = push_client_new(s, PUSH_ID("free"), &options);
    assert_non_null(replaced);
    push_client_unref(replaced);
    for (int i = 0; i < 5; i++)
        assert_asleep(pushes[i]);

    assert_true(push_client_delete(none));
    for (int i = 0; i < 5; i++)
        assert_asleep(pushes[i]);
    assert_next(full, 0, "fill");
    for (int i = 0; i < 5; i++)
        assert_next(full, 0, ((char[2]){(char)('0' + i)}));
    for (int i = 0; i < 5; i++)
        assert_int_equal(finish(pushes[i]).rc, 3);
    push_client *all[] = {full, none, free1, waiting};
    for (size_t i = 0; i < COUNT(all); i++)
        push_client_unref(all[i]);
    push_session_unref(s);
}

/* Other sessions have nothing to do with it, while hundreds wait. */
static void many_waiting_pushes_hold_up_nobody(void **state)
{
    (void)state;
    enum { WAITING = 50 };
    push_session *s = session("s");
    push_client *full = client(s, "full", 1);
    assert_put(full, "fill");
    struct call *pushes[WAITING];
    for (int i = 0; i < WAITING; i++)
        pushes[i] = begin_push(s, "x");
    for (int i = 0; i < WAITING; i++)
        assert_asleep(pushes[i]);
    for (int i = 0; i < 1000; i++) {
        push_client *c = push_client_open(PUSH_ID(i), PUSH_ID("c"), NULL);
        assert_int_equal(push_session_push(push_client_session(c), "x", 1), 1);
        assert_next(c, 0, "x");
        assert_true(push_client_delete(c));
        push_client_unref(c);
    }
    assert_next(full, 0, "fill");
    for (int i = 0; i < WAITING; i++)
        assert_next(full, 0, "x");
    assert_empty(full);
    for (int i = 0; i < WAITING; i++)
        assert_int_equal(finish(pushes[i]).rc, 1);
    push_client_unref(full);
    push_session_unref(s);
}

/* ---- Every wait ends -------------------------------------------------------------------------------------- */

/* Crowds in every kind of wait, and each way to end it all. */
static void delete_wakes_everybody(void **state)
{
    (void)state;
    enum { CROWD = 8 };
    for (int how = 0; how < 6; how++) {
        push_session *s = session("s");
        push_client *empty = client(s, "empty", 1);
        push_client *full = client(s, "full", 1);
        push_client *none = client(s, "none", 0);
        push_poller *p = push_poller_new();
        push_client *watched = client(s, "watched", 1);
        assert_int_equal(push_poller_add(p, watched, NULL), 0);
        assert_put(full, "fill");
        struct call *pulls[CROWD];
        struct call *pushes[CROWD];
        struct call *waits[2];
        for (int i = 0; i < CROWD; i++) {
            int timeout = i % 2 ? -1 : 3600000;
            pulls[i] = i % 4 == 0   ? begin_pull(empty, timeout)
                       : i % 4 == 1 ? begin_pull_by_id(s, PUSH_ID("empty"), timeout)
                       : i % 4 == 2 ? begin_pull_many(empty, timeout)
                                    : begin_pull(watched, timeout);
            pushes[i] = begin_send(i % 2 ? full : none, "x", timeout);
        }
        for (int i = 0; i < 2; i++)
            waits[i] = begin_wait(p, i ? -1 : 3600000);
        for (int i = 0; i < CROWD; i++) {
            assert_asleep(pulls[i]);
            assert_asleep(pushes[i]);
        }
        for (int i = 0; i < 2; i++)
            assert_asleep(waits[i]);
        push_client *clients[] = {empty, full, none, watched};
        const char *names[] = {"empty", "full", "none", "watched"};
        if (how == 0)
            assert_true(push_session_delete(PUSH_ID("s")));
        if (how == 1)
            push_shutdown();
        for (size_t i = 0; i < COUNT(clients) && how >= 2; i++) {
            push_client_options options = {.max_buffer = 1, .duplicate = PUSH_REPLACE};
            if (how == 2)
                assert_true(push_client_delete(clients[i]));
            if (how == 3)
                assert_true(push_session_delete_client(s, push_id_str(names[i])));
            if (how == 4)
                push_client_unref(push_client_new(s, push_id_str(names[i]), &options));
            if (how == 5) {
                options.duplicate = PUSH_TAKEOVER;
                push_client *next = push_client_new(s, push_id_str(names[i]), &options);
                /* The pushes came over: they end with the new one. */
                assert_true(push_client_delete(next));
                push_client_unref(next);
            }
        }
        for (int i = 0; i < CROWD; i++) {
            assert_int_equal(finish(pulls[i]).rc, -EPIPE);
            assert_int_equal(finish(pushes[i]).rc, -EPIPE);
        }
        /* One arrival wakes one wait at least. */
        assert_eventually(call_done(waits[0]) || call_done(waits[1]));
        push_poller_wake(p);
        int told = 0;
        for (int i = 0; i < 2; i++) {
            struct result r = finish(waits[i]);
            assert_true(r.rc == 0 || r.rc == 1);
            if (r.rc == 1)
                assert_ptr_equal(r.events[0].client, watched);
            told += r.rc;
        }
        assert_true(told >= 1);
        push_poller_free(p);
        for (size_t i = 0; i < COUNT(clients); i++)
            push_client_unref(clients[i]);
        push_session_delete(PUSH_ID("s"));
        push_session_unref(s);
    }
}

/* A delete at any moment of a push or pull that is about to sleep. */
struct racer {
    push_session *s;
    push_client *c;
    int kind;
    uint64_t delivered;
    uint64_t pulled;
};

static void race(void *arg)
{
    struct racer *r = arg;
    push_msg *msg;
    push_msg *mine;
    push_event event;
    push_client_stats stats;
    switch (r->kind) {
    case 0:
        while (push_client_pull(r->c, &msg, -1) >= 0) {
            r->pulled++;
            push_msg_unref(msg);
        }
        break;
    case 1:
        mine = push_msg_new("x", 1);
        while (push_client_send(r->c, mine, -1, NULL) == 1)
            r->delivered++;
        push_msg_unref(mine);
        break;
    case 2:
        for (int rc; (rc = push_session_push(r->s, "x", 1)) > 0;)
            r->delivered += (uint64_t)rc;
        break;
    default: {
        push_poller *p = push_poller_new();
        EXPECT(push_poller_add(p, r->c, NULL) == 0);
        do {
            EXPECT(push_poller_wait(p, &event, 1, -1) == 1);
            while (push_client_pull(r->c, &msg, 0) >= 0) {
                r->pulled++;
                push_msg_unref(msg);
            }
            EXPECT(push_client_stat(r->c, &stats) == 0);
        } while (!stats.closed);
        push_poller_free(p);
        break;
    }
    }
}

static void deletes_race_with_waits(void **state)
{
    (void)state;
    static const int kinds[][4] = {{0, 1, 1, 2}, {0, 0, 1, 2}, {3, 1, 2, 0}, {1, 1, 2, 2}, {0, 0, 0, 3}};
    uint64_t seed = 1;
    for (int round = 0; round < SCALED(3000); round++) {
        push_session *s = session("s");
        push_client *c = client(s, "c", (size_t)round % 4);
        struct racer racers[4];
        for (size_t i = 0; i < COUNT(racers); i++)
            racers[i] = (struct racer){.s = s, .c = c, .kind = kinds[(size_t)round % COUNT(kinds)][i]};
        struct crew *crew = crew_start(COUNT(racers), race, racers, sizeof(racers[0]));
        for (uint32_t i = random_next(&seed) % 200; i > 0; i--)
            sched_yield();
        if (round % 3 == 0)
            assert_true(push_session_delete(PUSH_ID("s")));
        else
            assert_true(push_client_delete(c));
        /* Not one delivery after the delete has returned. */
        uint64_t pushed = stats_of(c).pushed;
        crew_join(crew);
        assert_expectations();
        push_client_stats stats = stats_of(c);
        assert_int_equal(stats.pushed, pushed);
        uint64_t delivered = 0;
        uint64_t pulled = 0;
        for (size_t i = 0; i < COUNT(racers); i++) {
            delivered += racers[i].delivered;
            pulled += racers[i].pulled;
        }
        assert_int_equal(delivered, stats.pushed);
        assert_int_equal(pulled, stats.pulled);
        assert_int_equal(stats.pushed, stats.pulled + stats.queued);
        push_client_unref(c);
        push_session_delete(PUSH_ID("s"));
        push_session_unref(s);
    }
}

/* Two threads that hand a message to and fro: one lost wake-up, and it stops. */
struct rally {
    push_client *mine;
    push_client *other;
    int pulls;
    int sends;
};

static void play(void *arg)
{
    struct rally *r = arg;
    for (int i = 0; i < r->pulls; i++) {
        push_msg *msg;
        if (!EXPECT(push_client_pull(r->mine, &msg, i % 2 ? -1 : 60000) == 0))
            return;
        if (i < r->sends)
            EXPECT(push_client_send(r->other, msg, -1, NULL) == 1);
        push_msg_unref(msg);
    }
}

static void no_wake_up_is_lost(void **state)
{
    (void)state;
    size_t capacities[] = {0, 1, 2};
    const int rounds = SCALED(50000);
    for (size_t k = 0; k < COUNT(capacities); k++) {
        push_session *s = session("s");
        push_client *a = client(s, "a", capacities[k]);
        push_client *b = client(s, "b", capacities[k]);
        struct rally rally[] = {{a, b, rounds, rounds}, {b, a, rounds, rounds - 1}};
        struct crew *crew = crew_start(2, play, rally, sizeof(rally[0]));
        push_msg *msg = text_msg("ball");
        assert_int_equal(push_client_send(a, msg, -1, NULL), 1);
        push_msg_unref(msg);
        crew_join(crew);
        assert_expectations();
        assert_empty(a);
        assert_empty(b);
        push_client_unref(a);
        push_client_unref(b);
        assert_true(push_session_delete(PUSH_ID("s")));
        push_session_unref(s);
    }
}

/* Deadlines among messages: every wait ends, and says the truth. */
struct impatient {
    push_client *c;
    uint64_t seed;
    int rounds;
    bool pulls;
    uint64_t done;
};

static void try_with_deadlines(void *arg)
{
    struct impatient *m = arg;
    push_msg *mine = push_msg_new("x", 1);
    for (int i = 0; i < m->rounds; i++) {
        int timeout = (int)(random_next(&m->seed) % 3);
        if (m->pulls) {
            push_msg *msg;
            int rc = push_client_pull(m->c, &msg, timeout);
            EXPECT(rc == 0 || rc == (timeout ? -ETIMEDOUT : -EAGAIN));
            EXPECT((rc == 0) == (msg != NULL));
            m->done += rc == 0;
            push_msg_unref(msg);
        } else {
            push_report report;
            int rc = push_client_send(m->c, mine, timeout, &report);
            EXPECT(rc == 0 || rc == 1);
            EXPECT(report.delivered == (size_t)rc && report.timed_out == (size_t)!rc);
            m->done += rc == 1;
        }
    }
    push_msg_unref(mine);
}

static void deadlines_among_messages(void **state)
{
    (void)state;
    for (size_t capacity = 0; capacity < 3; capacity++) {
        push_session *s = session("s");
        push_client *c = client(s, "c", capacity);
        struct impatient crew[5];
        for (size_t i = 0; i < COUNT(crew); i++)
            crew[i] = (struct impatient){.c = c, .seed = i, .rounds = SCALED(1000), .pulls = i % 2};
        crew_run(COUNT(crew), try_with_deadlines, crew, sizeof(crew[0]));
        assert_expectations();
        uint64_t in = crew[0].done + crew[2].done + crew[4].done;
        uint64_t out = crew[1].done + crew[3].done;
        push_client_stats stats = stats_of(c);
        assert_int_equal(stats.pushed, in);
        assert_int_equal(stats.pulled, out);
        assert_int_equal(stats.queued, in - out);
        assert_true(stats.queued <= capacity);
        assert_true(stats.high_water <= capacity);
        push_client_unref(c);
        assert_true(push_session_delete(PUSH_ID("s")));
        push_session_unref(s);
    }
}

/* ---- Exact bounds ----------------------------------------------------------------------------------------- */

struct filler {
    push_session *s;
    push_client *c;
    int taken;
};

static void fill(void *arg)
{
    struct filler *f = arg;
    push_msg *msg = push_msg_new("x", 1);
    for (int misses = 0; misses < 20;) {
        int rc = f->c ? push_client_send(f->c, msg, 0, NULL) : push_session_send(f->s, msg, PUSH_ID_NONE, 0, NULL);
        EXPECT(rc == 0 || rc == 1);
        f->taken += rc;
        misses += rc == 0;
    }
    push_msg_unref(msg);
}

static void several_pushers_fill_to_the_brim(void **state)
{
    (void)state;
    for (int round = 0; round < SCALED(20) + 1; round++) {
        for (size_t capacity = 0; capacity <= 20; capacity++) {
            push_session *s = session("s");
            push_client *c = client(s, "c", capacity);
            struct filler fillers[4];
            for (size_t i = 0; i < COUNT(fillers); i++)
                fillers[i] = (struct filler){.s = s, .c = i % 2 ? c : NULL};
            crew_run(COUNT(fillers), fill, fillers, sizeof(fillers[0]));
            int taken = 0;
            for (size_t i = 0; i < COUNT(fillers); i++)
                taken += fillers[i].taken;
            assert_int_equal(taken, capacity);
            push_client_stats stats = stats_of(c);
            assert_int_equal(stats.queued, capacity);
            assert_int_equal(stats.high_water, capacity);
            for (size_t i = 0; i < capacity; i++)
                assert_next(c, 0, "x");
            assert_empty(c);
            push_client_unref(c);
            assert_true(push_session_delete(PUSH_ID("s")));
            push_session_unref(s);
        }
    }
}

/* Looked at from outside while pushers and pullers are at work. */
static void never_more_than_the_bound(void **state)
{
    (void)state;
    for (size_t capacity = 0; capacity <= 3; capacity++) {
        push_session *s = session("s");
        push_client *blocking = client(s, "blocking", capacity);
        push_client *oldest = client_with(s, "oldest", capacity + 1, PUSH_DROP_OLDEST);
        struct racer racers[] = {{.s = s, .c = blocking, .kind = 0},
                                 {.s = s, .c = oldest, .kind = 0},
                                 {.s = s, .c = blocking, .kind = 2},
                                 {.s = s, .c = blocking, .kind = 1}};
        struct crew *crew = crew_start(COUNT(racers), race, racers, sizeof(racers[0]));
        for (int i = 0; i < SCALED(5000); i++) {
            push_client_stats stats = stats_of(blocking);
            assert_true(stats.queued <= capacity);
            assert_true(stats.high_water <= capacity);
            assert_int_equal(stats.pushed, stats.pulled + stats.queued);
            stats = stats_of(oldest);
            assert_true(stats.queued <= capacity + 1);
            assert_true(stats.high_water <= capacity + 1);
            assert_int_equal(stats.pushed, stats.pulled + stats.queued + stats.dropped);
        }
        assert_true(push_session_delete(PUSH_ID("s")));
        crew_join(crew);
        push_client_unref(blocking);
        push_client_unref(oldest);
        push_session_unref(s);
    }
}

/* A rendezvous: when the push has returned, the pull has the message. */
static atomic_int taken_by_pull;

static void take_one_at_a_time(void *arg)
{
    push_client *c = arg;
    push_msg *msg;
    while (push_client_pull(c, &msg, -1) >= 0) {
        atomic_fetch_add(&taken_by_pull, 1);
        push_msg_unref(msg);
    }
}

static void a_rendezvous_is_one(void **state)
{
    (void)state;
    push_session *s = session("s");
    push_client *c = client(s, "c", 0);
    atomic_store(&taken_by_pull, 0);
    struct crew *crew = crew_start(1, take_one_at_a_time, c, 0);
    for (int i = 1; i <= SCALED(20000); i++) {
        assert_int_equal(push_session_push(s, "x", 1), 1);
        /* The one puller has this one, so it is done with all before. */
        assert_true(atomic_load(&taken_by_pull) >= i - 1);
        assert_int_equal(stats_of(c).queued, 0);
    }
    assert_true(push_client_delete(c));
    crew_join(crew);
    assert_int_equal(taken_by_pull, SCALED(20000));
    assert_int_equal(stats_of(c).high_water, 0);
    push_client_unref(c);
    push_session_unref(s);
}

/* ---- Descriptors ------------------------------------------------------------------------------------------ */

/* Several threads sleep in poll(2) and pull without waiting: a descriptor that lies lets them sleep for ever. */
struct watcher {
    push_client *c;
    int fd;
    struct tally *tally;
    uint64_t seed;
};

static void poll_and_pull(void *arg)
{
    struct watcher *me = arg;
    for (;;) {
        struct pollfd p = {.fd = me->fd, .events = POLLIN};
        int ready = poll(&p, 1, (int)(PATIENCE / MILLISECOND));
        if (!EXPECT(ready == 1))
            return;
        /* One, several, all; some looks in vain; some put back. */
        for (uint32_t n = random_next(&me->seed) % 4 + 1; n > 0; n--) {
            push_msg *msg;
            int rc = push_client_pull(me->c, &msg, 0);
            if (rc == -EPIPE)
                return;
            if (rc < 0) {
                EXPECT(rc == -EAGAIN);
                break;
            }
            if (random_next(&me->seed) % 16 == 0)
                EXPECT(push_client_unpull(me->c, msg) == 0);
            else
                tally_add(me->tally, msg);
        }
    }
}

static void the_descriptor_tells_the_truth_to_several_pullers(void **state)
{
    (void)state;
    const uint32_t each = SCALED(10000);
    size_t capacities[] = {0, 1, 3, 100};
    for (size_t k = 0; k < COUNT(capacities); k++) {
        push_session *s = session("s");
        push_client *c = client(s, "c", capacities[k]);
        struct tally tally;
        tally_init(&tally, c, 3, each);
        struct watcher watchers[3];
        for (size_t i = 0; i < COUNT(watchers); i++)
            watchers[i] = (struct watcher){.c = c, .fd = push_client_fd(c), .tally = &tally, .seed = i};
        struct crew *crew = crew_start(COUNT(watchers), poll_and_pull, watchers, sizeof(watchers[0]));
        struct pusher plan[3];
        for (uint32_t i = 0; i < 3; i++) {
            plan[i] = (struct pusher){
                .s = s, .c = i == 2 ? c : NULL, .me = i, .each = each, .expected = 1, .timeout_ms = -1};
        }
        crew_run(3, push_stamps, plan, sizeof(plan[0]));
        assert_eventually(stats_of(c).queued == 0);
        assert_true(push_client_delete(c));
        crew_join(crew);
        assert_expectations();
        assert_int_equal(tally_total(&tally), 3 * (uint64_t)each);
        tally_free(&tally);
        push_client_unref(c);
        push_session_unref(s);
    }
}

/* Whenever all stand still: messages there, and it is readable; none found, and it is not. */
struct step {
    push_session *s;
    push_client *c;
    uint64_t seed;
    bool pulls;
};

static void take_a_step(void *arg)
{
    struct step *step = arg;
    push_msg *mine = push_msg_new("x", 1);
    for (uint32_t n = random_next(&step->seed) % 4; n > 0; n--) {
        if (step->pulls) {
            push_msg *msg;
            if (push_client_pull(step->c, &msg, random_next(&step->seed) % 4 == 0 ? 1 : 0) >= 0)
                push_msg_unref(msg);
        } else {
            push_session_send(step->s, mine, PUSH_ID_NONE, 0, NULL);
        }
    }
    push_msg_unref(mine);
}

static void the_descriptor_is_true_whenever_all_stand_still(void **state)
{
    (void)state;
    push_session *s = session("s");
    for (int policy = PUSH_BLOCK; policy <= PUSH_DROP_OLDEST; policy++) {
        push_client *c = client_with(s, "c", 3, (push_overflow)policy);
        push_poller *p = push_poller_new();
        assert_int_equal(push_poller_add(p, c, NULL), 0);
        int fd = push_client_fd(c);
        int poller_fd = push_poller_fd(p);
        struct step steps[4];
        for (size_t i = 0; i < COUNT(steps); i++)
            steps[i] = (struct step){.s = s, .c = c, .seed = i + 10, .pulls = i % 2};
        for (int round = 0; round < SCALED(1000); round++) {
            crew_run(COUNT(steps), take_a_step, steps, sizeof(steps[0]));
            push_event event;
            push_msg *msg;
            if (stats_of(c).queued > 0) {
                assert_true(readable(fd));
                assert_true(readable(poller_fd));
                assert_int_equal(push_poller_wait(p, &event, 1, 0), 1);
            } else if (push_client_pull(c, &msg, 0) == -EAGAIN) {
                assert_false(readable(fd));
                assert_int_equal(push_poller_wait(p, &event, 1, 0), -EAGAIN);
                assert_false(readable(poller_fd));
            }
        }
        push_poller_free(p);
        assert_true(push_client_delete(c));
        push_client_unref(c);
    }
    push_session_unref(s);
}

/* ---- Pollers ---------------------------------------------------------------------------------------------- */

/* Clients with one poller; consumers pause them, resume them, and take everything all the same. */
struct consumer {
    push_poller *p;
    atomic_uint *left;
    uint64_t seed;
};

static void consume_with_pauses(void *arg)
{
    struct consumer *me = arg;
    while (atomic_load(me->left) > 0) {
        push_event events[3];
        int n = push_poller_wait(me->p, events, 3, -1);
        if (!EXPECT(n >= 0) || n == 0)
            return;
        for (int i = 0; i < n; i++) {
            push_client *c = events[i].client;
            bool pauses = random_next(&me->seed) % 4 == 0;
            if (pauses)
                EXPECT(push_poller_pause(me->p, c) == 0);
            for (uint32_t k = random_next(&me->seed) % 4; k > 0; k--) {
                push_msg *msg;
                if (push_client_pull(c, &msg, 0) < 0)
                    break;
                push_msg_unref(msg);
                if (atomic_fetch_sub(me->left, 1) == 1) {
                    push_poller_wake(me->p);
                    push_poller_wake(me->p);
                }
            }
            if (pauses)
                EXPECT(push_poller_resume(me->p, c) == 0);
        }
    }
}

static void pollers_lose_nobody(void **state)
{
    (void)state;
    enum { CLIENTS = 6 };
    const uint32_t each = SCALED(10000);
    push_session *s = session("s");
    push_poller *p = push_poller_new();
    for (int i = 0; i < CLIENTS; i++) {
        push_client_options options = {.max_buffer = (size_t)i};
        push_client *c = push_client_new(s, PUSH_ID(i), &options);
        assert_int_equal(push_poller_add(p, c, NULL), 0);
        push_client_unref(c);
    }
    atomic_uint left = CLIENTS * 2 * each;
    struct consumer consumers[] = {{p, &left, 1}, {p, &left, 2}};
    struct crew *crew = crew_start(COUNT(consumers), consume_with_pauses, consumers, sizeof(consumers[0]));
    struct pusher plan[2];
    for (uint32_t i = 0; i < 2; i++)
        plan[i] = (struct pusher){.s = s, .me = i, .each = each, .expected = CLIENTS, .timeout_ms = -1};
    crew_run(2, push_stamps, plan, sizeof(plan[0]));
    crew_join(crew);
    assert_expectations();
    assert_int_equal(left, 0);
    push_poller_free(p);
    push_session_unref(s);
}

/* A descriptor of a poller in poll(2), by several threads. */
struct poller_watcher {
    push_poller *p;
    atomic_uint *left;
};

static void poll_the_poller(void *arg)
{
    struct poller_watcher *me = arg;
    struct pollfd fd = {.fd = push_poller_fd(me->p), .events = POLLIN};
    while (atomic_load(me->left) > 0) {
        if (!EXPECT(poll(&fd, 1, (int)(PATIENCE / MILLISECOND)) == 1))
            return;
        push_event event;
        int n = push_poller_wait(me->p, &event, 1, 0);
        if (n == 0)
            return;
        if (n == -EAGAIN)
            continue;
        push_msg *msg;
        if (push_client_pull(event.client, &msg, 0) < 0)
            continue;
        push_msg_unref(msg);
        if (atomic_fetch_sub(me->left, 1) == 1) {
            for (int i = 0; i < 3; i++)
                push_poller_wake(me->p);
        }
    }
}

static void the_pollers_descriptor_tells_the_truth(void **state)
{
    (void)state;
    enum { CLIENTS = 4 };
    const uint32_t each = SCALED(10000);
    push_session *s = session("s");
    push_poller *p = push_poller_new();
    for (int i = 0; i < CLIENTS; i++) {
        push_client_options options = {.max_buffer = (size_t)i};
        push_client *c = push_client_new(s, PUSH_ID(i), &options);
        assert_int_equal(push_poller_add(p, c, NULL), 0);
        push_client_unref(c);
    }
    atomic_uint left = CLIENTS * each;
    struct poller_watcher watcher = {p, &left};
    struct crew *crew = crew_start(3, poll_the_poller, &watcher, 0);
    struct pusher plan = {.s = s, .me = 0, .each = each, .expected = CLIENTS, .timeout_ms = -1};
    crew_run(1, push_stamps, &plan, sizeof(plan));
    crew_join(crew);
    assert_expectations();
    assert_int_equal(left, 0);
    push_poller_free(p);
    push_session_unref(s);
}

/* ---- Joining and leaving during pushes -------------------------------------------------------------------- */

static atomic_bool stop_joining;

static void join_and_leave(void *arg)
{
    push_session *s = arg;
    for (size_t i = 0; !atomic_load(&stop_joining); i++) {
        push_client_options options = {.max_buffer = 1 + i % 3, .overflow = (push_overflow)(1 + i % 3)};
        push_client *c = push_client_new(s, push_id_int(100 + i % 5), &options);
        if (!EXPECT(c != NULL))
            return;
        push_msg *msg;
        for (int k = 0; k < 3; k++) {
            if (push_client_pull(c, &msg, 0) >= 0)
                push_msg_unref(msg);
        }
        push_client_delete(c);
        push_client_unref(c);
    }
}

/* Who stays gets everything, whoever comes and goes. */
static void those_who_stay_get_everything(void **state)
{
    (void)state;
    const uint32_t each = SCALED(10000);
    push_session *s = session("s");
    push_client *c = client(s, "stays", 4);
    struct tally tally;
    tally_init(&tally, c, 2, each);
    atomic_store(&stop_joining, false);
    struct crew *pullers = crew_start(1, pull_until_closed, &tally, 0);
    struct crew *joiners = crew_start(2, join_and_leave, s, 0);
    struct pusher plan[2];
    for (uint32_t i = 0; i < 2; i++)
        plan[i] = (struct pusher){.s = s, .me = i, .each = each, .expected = -1, .timeout_ms = -1};
    crew_run(2, push_stamps, plan, sizeof(plan[0]));
    atomic_store(&stop_joining, true);
    crew_join(joiners);
    assert_true(push_client_delete(c));
    crew_join(pullers);
    assert_expectations();
    assert_int_equal(tally_total(&tally), 2 * (uint64_t)each);
    assert_int_equal(push_session_len(s), 0);
    tally_free(&tally);
    push_client_unref(c);
    push_session_unref(s);
}

static const struct CMUnitTest tests[] = {
    TEST(exactly_once),
    TEST(exactly_once_with_both_sorts_of_push),
    TEST(a_push_that_gave_up_did_not_deliver),
    TEST(drops_are_counted),
    TEST(takeover_in_mid_stream),
    TEST(a_storm_of_everything),
    TEST(all_clients_see_one_order),
    TEST(what_both_get_is_in_one_order),
    TEST(blocked_pushes_keep_the_order_step_by_step),
    TEST(a_full_client_delays_nobody),
    TEST(many_waiting_pushes_hold_up_nobody),
    TEST(delete_wakes_everybody),
    TEST(deletes_race_with_waits),
    TEST(no_wake_up_is_lost),
    TEST(deadlines_among_messages),
    TEST(several_pushers_fill_to_the_brim),
    TEST(never_more_than_the_bound),
    TEST(a_rendezvous_is_one),
    TEST(the_descriptor_tells_the_truth_to_several_pullers),
    TEST(the_descriptor_is_true_whenever_all_stand_still),
    TEST(pollers_lose_nobody),
    TEST(the_pollers_descriptor_tells_the_truth),
    TEST(those_who_stay_get_everything),
};
TEST_MAIN(tests)
