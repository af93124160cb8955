/* Full and empty mailboxes: overflow policies, gaps, limits by bytes, rendezvous, batches, put-back. */
#include "helpers.h"

static push_client *with_options(push_session *s, const char *id, push_client_options options)
{
    push_client *c = push_client_new(s, push_id_str(id), &options);
    assert_non_null(c);
    return c;
}

/* Sends so many payload bytes, without waiting. */
static int send_bytes(push_client *c, size_t size, push_report *report)
{
    static const char bytes[1000];
    push_msg *msg = push_msg_new(bytes, size);
    assert_non_null(msg);
    int rc = push_client_send(c, msg, 0, report);
    push_msg_unref(msg);
    return rc;
}

static push_msg *pull_one(push_client *c, int lost)
{
    push_msg *msg = NULL;
    assert_int_equal(push_client_pull(c, &msg, 0), lost);
    return msg;
}

static size_t pull_size(push_client *c, int lost)
{
    push_msg *msg = pull_one(c, lost);
    size_t size = push_msg_size(msg);
    push_msg_unref(msg);
    return size;
}

/* A text of one digit. */
#define DIGIT(n) ((char[2]){(char)('0' + (n)), '\0'})

/* ---- Policies and gaps ------------------------------------------------------------------------------------ */

static void capacity_is_exact_for_every_policy(void **state)
{
    (void)state;
    push_session *s = session("s");
    for (size_t capacity = 1; capacity <= 20; capacity++) {
        push_client *newest = client_with(s, "newest", capacity, PUSH_DROP_NEWEST);
        push_client *oldest = client_with(s, "oldest", capacity, PUSH_DROP_OLDEST);
        push_client *closing = client_with(s, "closing", capacity, PUSH_DISCONNECT);
        push_report report;
        for (size_t i = 0; i < capacity; i++) {
            assert_int_equal(send_all_text(s, "x", &report), 3);
            assert_report(report, 3, 0, 0, 0);
        }
        assert_int_equal(send_all_text(s, "y", &report), 1);
        assert_report(report, 1, 2, 1, 0);
        assert_int_equal(stats_of(newest).queued, capacity);
        assert_int_equal(stats_of(oldest).queued, capacity);
        assert_int_equal(stats_of(closing).queued, capacity);
        assert_int_equal(stats_of(oldest).high_water, capacity);
        push_client *all[] = {newest, oldest, closing};
        for (size_t i = 0; i < COUNT(all); i++) {
            push_client_delete(all[i]);
            push_client_unref(all[i]);
        }
    }
    push_session_unref(s);
}

static void drop_newest(void **state)
{
    (void)state;
    push_session *s = session("s");
    push_client *c = client_with(s, "c", 2, PUSH_DROP_NEWEST);
    push_report report;
    assert_put(c, "1");
    assert_put(c, "2");
    for (int i = 0; i < 3; i++) {
        assert_int_equal(send_text(c, "lost", &report), 0);
        assert_report(report, 0, 1, 0, 0);
    }
    push_client_stats stats = stats_of(c);
    assert_int_equal(stats.pushed, 2);
    assert_int_equal(stats.dropped, 3);
    assert_int_equal(stats.queued, 2);
    assert_next(c, 0, "1");
    assert_put(c, "6");
    assert_int_equal(send_text(c, "7", NULL), 0);
    assert_next(c, 0, "2");
    /* The gap of three is before 6, and told once; that of one is not yet before anything. */
    assert_next(c, 3, "6");
    assert_empty(c);
    assert_put(c, "8");
    assert_put(c, "9");
    assert_next(c, 1, "8");
    assert_next(c, 0, "9");
    stats = stats_of(c);
    assert_int_equal(stats.pushed, 5);
    assert_int_equal(stats.pulled, 5);
    assert_int_equal(stats.dropped, 4);
    push_client_unref(c);
    push_session_unref(s);
}

static void drop_oldest(void **state)
{
    (void)state;
    push_session *s = session("s");
    push_client *c = client_with(s, "c", 3, PUSH_DROP_OLDEST);
    push_report report;
    for (int i = 1; i <= 5; i++) {
        assert_int_equal(send_text(c, DIGIT(i), &report), 1);
        assert_report(report, 1, i <= 3 ? 0 : 1, 0, 0);
    }
    push_client_stats stats = stats_of(c);
    assert_int_equal(stats.pushed, 5);
    assert_int_equal(stats.dropped, 2);
    assert_int_equal(stats.queued, 3);
    assert_int_equal(stats.high_water, 3);
    assert_next(c, 2, "3");
    assert_next(c, 0, "4");
    assert_put(c, "6");
    assert_put(c, "7");
    assert_int_equal(send_text(c, "8", NULL), 1);
    assert_next(c, 1, "6");
    assert_int_equal(send_text(c, "9", NULL), 1);
    assert_int_equal(send_text(c, "a", NULL), 1);
    assert_int_equal(send_text(c, "b", NULL), 1);
    assert_next(c, 2, "9");
    assert_next(c, 0, "a");
    assert_next(c, 0, "b");
    assert_empty(c);
    stats = stats_of(c);
    assert_int_equal(stats.pushed, 11);
    assert_int_equal(stats.dropped, 5);
    assert_int_equal(stats.pulled, 6);
    push_client_unref(c);
    push_session_unref(s);
}

static void drops_never_wait(void **state)
{
    (void)state;
    push_session *s = session("s");
    push_client *oldest = client_with(s, "oldest", 1, PUSH_DROP_OLDEST);
    push_client *newest = client_with(s, "newest", 1, PUSH_DROP_NEWEST);
    for (int i = 0; i < 9; i++)
        assert_int_equal(push_session_push(s, DIGIT(i), 1), i == 0 ? 2 : 1);
    assert_next(oldest, 8, "8");
    assert_next(newest, 0, "0");
    assert_int_equal(push_session_push(s, "x", 1), 2);
    assert_next(oldest, 0, "x");
    assert_next(newest, 8, "x");
    push_client_unref(oldest);
    push_client_unref(newest);
    push_session_unref(s);
}

/* Gaps of both dropping policies survive a close: what is drained tells of them. */
static void gaps_are_told_while_draining(void **state)
{
    (void)state;
    push_session *s = session("s");
    push_client *oldest = client_with(s, "oldest", 2, PUSH_DROP_OLDEST);
    push_client *newest = client_with(s, "newest", 2, PUSH_DROP_NEWEST);
    for (int i = 0; i < 5; i++)
        send_all_text(s, DIGIT(i), NULL);
    assert_next(newest, 0, "0");
    assert_int_equal(send_all_text(s, "x", NULL), 2);
    assert_true(push_session_delete(PUSH_ID("s")));
    assert_next(oldest, 4, "4");
    assert_next(oldest, 0, "x");
    assert_drained(oldest);
    assert_next(newest, 0, "1");
    assert_next(newest, 3, "x");
    assert_drained(newest);
    push_client_unref(oldest);
    push_client_unref(newest);
    push_session_unref(s);
}

/* Each gap at its own place, however many there are in the mailbox at once. */
static void many_gaps_in_one_mailbox(void **state)
{
    (void)state;
    enum { N = 64 };
    push_session *s = session("s");
    push_client *c = client_with(s, "c", N, PUSH_DROP_NEWEST);
    for (int i = 0; i < N; i++)
        assert_put(c, "fill");
    int lost[N];
    uint64_t seed = 3;
    for (int i = 0; i < N; i++) {
        lost[i] = (int)(random_next(&seed) % 4);
        for (int k = 0; k < lost[i]; k++)
            assert_int_equal(send_text(c, "lost", NULL), 0);
        assert_next(c, 0, "fill");
        assert_put(c, "after a gap");
    }
    for (int i = 0; i < N; i++)
        assert_next(c, lost[i], "after a gap");
    assert_empty(c);
    push_client_unref(c);
    push_session_unref(s);
}

static void disconnect(void **state)
{
    (void)state;
    push_session *s = session("s");
    push_client *c = client_with(s, "c", 2, PUSH_DISCONNECT);
    push_report report;
    assert_put(c, "1");
    assert_put(c, "2");
    assert_int_equal(push_session_len(s), 1);
    assert_int_equal(send_text(c, "3", &report), 0);
    assert_report(report, 0, 0, 1, 0);
    assert_int_equal(push_session_len(s), 0);
    assert_null_errno(push_client_find(s, PUSH_ID("c")), ENOENT);
    assert_true(stats_of(c).closed);
    memset(&report, 0xa5, sizeof(report));
    assert_int_equal(send_text(c, "4", &report), -EPIPE);
    assert_report(report, 0, 0, 0, 0);
    assert_int_equal(send_all_text(s, "5", &report), 0);
    assert_report(report, 0, 0, 0, 0);
    assert_false(push_client_delete(c));
    assert_next(c, 0, "1");
    assert_next(c, 0, "2");
    assert_drained(c);

    /* By a push to the session. The id can be used anew. */
    push_client *next = client_with(s, "c", 1, PUSH_DISCONNECT);
    assert_int_equal(send_all_text(s, "1", &report), 1);
    assert_int_equal(push_session_push(s, "2", 1), 0);
    assert_next(next, 0, "1");
    assert_drained(next);
    push_client_unref(next);
    push_client_unref(c);
    push_session_unref(s);
}

/* ---- max_bytes ------------------------------------------------------------------------------------------- */

static void full_by_bytes(void **state)
{
    (void)state;
    push_session *s = session("s");
    push_client *c = with_options(s, "c", (push_client_options){.max_buffer = 100, .max_bytes = 10});
    push_report report;
    assert_int_equal(send_bytes(c, 4, NULL), 1);
    assert_int_equal(send_bytes(c, 7, &report), 0);
    assert_report(report, 0, 0, 0, 1);
    assert_int_equal(send_bytes(c, 6, NULL), 1); /* exactly the limit */
    assert_int_equal(stats_of(c).queued_bytes, 10);
    assert_int_equal(send_bytes(c, 1, NULL), 0);
    assert_int_equal(send_bytes(c, 0, NULL), 1); /* an empty message does not go over */
    assert_int_equal(stats_of(c).queued, 3);
    assert_int_equal(pull_size(c, 0), 4);
    assert_int_equal(stats_of(c).queued_bytes, 6);
    assert_int_equal(send_bytes(c, 5, NULL), 0);
    assert_int_equal(send_bytes(c, 4, NULL), 1);
    assert_int_equal(pull_size(c, 0), 6);
    assert_int_equal(pull_size(c, 0), 0);
    assert_int_equal(pull_size(c, 0), 4);
    assert_int_equal(stats_of(c).queued_bytes, 0);

    /* An empty mailbox takes any one message. */
    assert_int_equal(send_bytes(c, 1000, NULL), 1);
    assert_int_equal(send_bytes(c, 1, NULL), 0);
    assert_int_equal(pull_size(c, 0), 1000);
    assert_empty(c);
    push_client_unref(c);

    /* Full by either limit. */
    c = with_options(s, "d", (push_client_options){.max_buffer = 2, .max_bytes = 1000});
    assert_int_equal(send_bytes(c, 1, NULL), 1);
    assert_int_equal(send_bytes(c, 1, NULL), 1);
    assert_int_equal(send_bytes(c, 0, NULL), 0);
    push_client_unref(c);
    push_session_unref(s);
}

static void no_sum_of_bytes_wraps_round(void **state)
{
    (void)state;
    static char byte;
    push_session *s = session("s");
    push_client *c = with_options(s, "c", (push_client_options){.max_buffer = 9, .max_bytes = SIZE_MAX});
    push_msg *huge = push_msg_wrap(&byte, SIZE_MAX - 5, NULL, NULL);
    assert_non_null(huge);
    assert_int_equal(push_client_send(c, huge, 0, NULL), 1);
    assert_int_equal(send_bytes(c, 5, NULL), 1);
    assert_int_equal(send_bytes(c, 1, NULL), 0);
    assert_int_equal(push_client_send(c, huge, 0, NULL), 0);
    assert_true(stats_of(c).queued_bytes == SIZE_MAX);
    push_client_unref(c);

    c = with_options(s, "d", (push_client_options){.max_buffer = 9, .max_bytes = 10, .overflow = PUSH_DROP_OLDEST});
    assert_int_equal(send_bytes(c, 3, NULL), 1);
    assert_int_equal(push_client_send(c, huge, 0, NULL), 1);
    assert_int_equal(send_bytes(c, 1, NULL), 1);
    assert_int_equal(pull_size(c, 2), 1);
    assert_empty(c);
    push_msg_unref(huge);
    push_client_unref(c);
    push_session_unref(s);
}

static void drop_oldest_evicts_as_many_as_needed(void **state)
{
    (void)state;
    push_session *s = session("s");
    push_client *c =
        with_options(s, "c", (push_client_options){.max_buffer = 5, .max_bytes = 10, .overflow = PUSH_DROP_OLDEST});
    push_report report;
    assert_int_equal(send_bytes(c, 2, NULL), 1);
    assert_int_equal(send_bytes(c, 3, NULL), 1);
    assert_int_equal(send_bytes(c, 4, NULL), 1);
    assert_int_equal(send_bytes(c, 6, &report), 1);
    assert_report(report, 1, 1, 0, 0); /* one client */
    push_client_stats stats = stats_of(c);
    assert_int_equal(stats.dropped, 2); /* two messages */
    assert_int_equal(stats.queued, 2);
    assert_int_equal(stats.queued_bytes, 10);
    assert_int_equal(stats.pushed, 4);
    assert_int_equal(pull_size(c, 2), 4);
    assert_int_equal(pull_size(c, 0), 6);

    /* One that is larger than the limit has the mailbox for itself. */
    for (int i = 0; i < 5; i++)
        assert_int_equal(send_bytes(c, 1, NULL), 1);
    assert_int_equal(send_all_text(s, "longer than ten bytes", &report), 1);
    assert_report(report, 1, 1, 0, 0);
    assert_int_equal(stats_of(c).queued, 1);
    assert_int_equal(stats_of(c).dropped, 7);
    assert_int_equal(send_bytes(c, 1, NULL), 1);
    assert_int_equal(pull_size(c, 6), 1);
    /* By count. */
    for (int i = 0; i < 7; i++)
        assert_int_equal(send_bytes(c, 0, NULL), 1);
    assert_int_equal(pull_size(c, 2), 0);
    stats = stats_of(c);
    assert_int_equal(stats.pushed, stats.queued + stats.pulled + stats.dropped);
    push_client_unref(c);
    push_session_unref(s);
}

static void drop_newest_and_disconnect_by_bytes(void **state)
{
    (void)state;
    push_session *s = session("s");
    push_client *newest = with_options(
        s, "newest", (push_client_options){.max_buffer = 9, .max_bytes = 10, .overflow = PUSH_DROP_NEWEST});
    push_client *closing = with_options(
        s, "closing", (push_client_options){.max_buffer = 9, .max_bytes = 10, .overflow = PUSH_DISCONNECT});
    push_report report;
    assert_int_equal(send_all_text(s, "12345678", NULL), 2);
    assert_int_equal(send_all_text(s, "123", &report), 0);
    assert_report(report, 0, 1, 1, 0);
    assert_int_equal(send_all_text(s, "12", &report), 1);
    assert_report(report, 1, 0, 0, 0);
    assert_next(newest, 0, "12345678");
    assert_next(newest, 1, "12");
    assert_next(closing, 0, "12345678");
    assert_drained(closing);
    push_client_unref(newest);
    push_client_unref(closing);
    push_session_unref(s);
}

static void nobody_overtakes_a_waiting_push(void **state)
{
    (void)state;
    push_session *s = session("s");
    push_client *c = with_options(s, "c", (push_client_options){.max_buffer = 9, .max_bytes = 10});
    push_report report;
    assert_put(c, "12345678");
    struct call *large = begin_send(c, "large", -1);
    assert_asleep(large);
    /* There is room for this one, but it stands behind. */
    assert_int_equal(send_text(c, "s", &report), 0);
    assert_report(report, 0, 0, 0, 1);
    assert_int_equal(send_all_text(s, "s", &report), 0);
    assert_report(report, 0, 0, 0, 1);
    assert_int_equal(send_text(c, "", &report), 0);
    struct call *small = begin_send_all(s, "s", PUSH_ID_NONE, -1);
    assert_asleep(small);
    assert_next(c, 0, "12345678");
    assert_int_equal(finish(large).rc, 1);
    assert_int_equal(finish(small).rc, 1);
    assert_next(c, 0, "large");
    assert_next(c, 0, "s");
    assert_empty(c);
    push_client_unref(c);
    push_session_unref(s);
}

static void those_behind_a_push_that_gives_up_move_up(void **state)
{
    (void)state;
    push_session *s = session("s");
    push_client *c = with_options(s, "c", (push_client_options){.max_buffer = 9, .max_bytes = 10});
    assert_put(c, "12345678");
    /* No pull comes: it is the deadline of the first that lets the next two in, and not the last. */
    struct call *large = begin_send(c, "large", 1000);
    assert_asleep(large);
    struct call *small = begin_send(c, "s", -1);
    assert_asleep(small);
    struct call *other = begin_push(s, "t");
    assert_asleep(other);
    struct call *last = begin_push(s, "u");
    struct result r = finish(large);
    assert_int_equal(r.rc, 0);
    assert_report(r.report, 0, 0, 0, 1);
    assert_int_equal(finish(small).rc, 1);
    assert_int_equal(finish(other).rc, 1);
    assert_asleep(last);
    assert_next(c, 0, "12345678");
    assert_int_equal(finish(last).rc, 1);
    assert_next(c, 0, "s");
    assert_next(c, 0, "t");
    assert_next(c, 0, "u");
    assert_empty(c);
    push_client_unref(c);
    push_session_unref(s);
}

/* One pull can make room for several waiting pushes. */
static void one_large_message_makes_room_for_many(void **state)
{
    (void)state;
    push_session *s = session("s");
    push_client *c = with_options(s, "c", (push_client_options){.max_buffer = 9, .max_bytes = 10});
    assert_put(c, "1234567890");
    struct call *pushes[4];
    for (int i = 0; i < 4; i++) {
        pushes[i] = begin_push(s, DIGIT(i));
        assert_asleep(pushes[i]);
    }
    assert_next(c, 0, "1234567890");
    for (int i = 0; i < 4; i++)
        assert_int_equal(finish(pushes[i]).rc, 1);
    for (int i = 0; i < 4; i++)
        assert_next(c, 0, DIGIT(i));
    push_client_unref(c);
    push_session_unref(s);
}

/* ---- Rendezvous ------------------------------------------------------------------------------------------ */

static void a_rendezvous_needs_both(void **state)
{
    (void)state;
    push_session *s = session("s");
    push_client *c = client(s, "c", 0);
    push_report report;
    assert_int_equal(stats_of(c).max_buffer, 0);
    assert_int_equal(send_text(c, "nobody pulls", &report), 0);
    assert_report(report, 0, 0, 0, 1);
    assert_empty(c);

    /* The pull waits first. */
    struct call *pull = begin_pull(c, -1);
    assert_asleep(pull);
    assert_int_equal(send_text(c, "one", &report), 1);
    assert_report(report, 1, 0, 0, 0);
    struct result r = finish(pull);
    assert_int_equal(r.rc, 0);
    assert_text(r.msg, "one");
    assert_int_equal(send_text(c, "nobody pulls", NULL), 0);
    assert_empty(c);

    /* The push waits first: it counts as a message for a pull that does not wait. */
    struct call *push = begin_push(s, "two");
    assert_asleep(push);
    assert_int_equal(stats_of(c).queued, 0);
    assert_int_equal(send_text(c, "behind it", NULL), 0);
    assert_next(c, 0, "two");
    assert_int_equal(finish(push).rc, 1);
    assert_empty(c);
    push_client_stats stats = stats_of(c);
    assert_int_equal(stats.pushed, 2);
    assert_int_equal(stats.pulled, 2);
    assert_int_equal(stats.queued, 0);
    assert_int_equal(stats.dropped, 0);
    push_client_unref(c);
    push_session_unref(s);
}

/* One pull that waits takes one message: a second push finds nobody. */
static void one_waiting_pull_serves_one_push(void **state)
{
    (void)state;
    push_session *s = session("s");
    push_client *c = client(s, "c", 0);
    for (int i = 0; i < SCALED(300); i++) {
        struct call *pull = begin_pull(c, -1);
        int rc;
        AWAIT((rc = send_text(c, "one", NULL)) != 0);
        assert_int_equal(rc, 1);
        assert_int_equal(send_text(c, "two", NULL), 0);
        assert_text(finish(pull).msg, "one");
    }
    push_client_unref(c);
    push_session_unref(s);
}

static void a_rendezvous_that_nobody_comes_to(void **state)
{
    (void)state;
    push_session *s = session("s");
    push_client *c = client(s, "c", 0);
    struct result r = finish(begin_send(c, "late", 50));
    assert_int_equal(r.rc, 0);
    assert_report(r.report, 0, 0, 0, 1);
    assert_true(r.ns >= 50 * MILLISECOND);
    assert_empty(c); /* it is not left behind */
    r = finish(begin_pull(c, 50));
    assert_int_equal(r.rc, -ETIMEDOUT);
    assert_int_equal(send_text(c, "late", NULL), 0); /* nor is the pull */

    struct call *push = begin_send(c, "x", -1);
    assert_asleep(push);
    assert_true(push_client_delete(c));
    assert_int_equal(finish(push).rc, -EPIPE);
    assert_drained(c);
    push_client_unref(c);
    push_session_unref(s);
}

static void pushes_to_a_rendezvous_queue_in_order(void **state)
{
    (void)state;
    push_session *s = session("s");
    push_client *c = client(s, "c", 0);
    struct call *pushes[5];
    for (int i = 0; i < 5; i++) {
        pushes[i] = i % 2 ? begin_push(s, DIGIT(i)) : begin_send(c, DIGIT(i), -1);
        assert_asleep(pushes[i]);
    }
    assert_next(c, 0, "0");
    assert_next(c, 0, "1");
    push_msg *msgs[9];
    size_t lost = 99;
    assert_int_equal(push_client_pull_many(c, msgs, 9, &lost, 0), 3);
    assert_int_equal(lost, 0);
    for (int i = 0; i < 3; i++)
        assert_text(msgs[i], DIGIT(i + 2));
    for (int i = 0; i < 5; i++)
        assert_int_equal(finish(pushes[i]).rc, 1);
    assert_empty(c);
    push_client_unref(c);
    push_session_unref(s);
}

static void a_push_to_several_rendezvous(void **state)
{
    (void)state;
    push_session *s = session("s");
    push_client *a = client(s, "a", 0);
    push_client *b = client(s, "b", 0);
    push_client *buffered = client(s, "buffered", 1);
    struct call *push = begin_push(s, "x");
    assert_asleep(push);
    assert_next(buffered, 0, "x");
    assert_next(a, 0, "x");
    assert_empty(a);
    assert_asleep(push);
    assert_next(b, 0, "x");
    assert_int_equal(finish(push).rc, 3);
    push_client_unref(a);
    push_client_unref(b);
    push_client_unref(buffered);
    push_session_unref(s);
}

/* ---- pull_many ------------------------------------------------------------------------------------------- */

static void pull_many_takes_what_is_there(void **state)
{
    (void)state;
    push_session *s = session("s");
    push_client *c = client(s, "c", 5);
    push_msg *msgs[8];
    size_t lost = 99;
    for (int i = 0; i < 5; i++)
        assert_put(c, DIGIT(i));
    assert_int_equal(push_client_pull_many(c, msgs, 3, &lost, -1), 3);
    assert_int_equal(lost, 0);
    for (int i = 0; i < 3; i++)
        assert_text(msgs[i], DIGIT(i));
    assert_int_equal(push_client_pull_many(c, msgs, 8, NULL, -1), 2);
    assert_text(msgs[0], "3");
    assert_text(msgs[1], "4");
    assert_int_equal(push_client_pull_many(c, msgs, 8, &lost, 0), -EAGAIN);
    int64_t began = now_ns();
    assert_int_equal(push_client_pull_many(c, msgs, 8, &lost, 20), -ETIMEDOUT);
    assert_true(now_ns() - began >= 20 * MILLISECOND);
    assert_int_equal(stats_of(c).pulled, 5);

    struct call *pull = begin_pull_many(c, -1);
    assert_asleep(pull);
    assert_put(c, "late");
    struct result r = finish(pull);
    assert_int_equal(r.rc, 1); /* it does not wait for more than the first */
    assert_int_equal(r.lost, 0);
    assert_text(r.many[0], "late");

    /* A push that waits gets its place; whether its message is in this batch is not said. */
    for (int i = 0; i < 5; i++)
        assert_put(c, DIGIT(i));
    struct call *push = begin_push(s, "5");
    assert_asleep(push);
    int n = push_client_pull_many(c, msgs, 8, NULL, 0);
    assert_in_range(n, 5, 6);
    for (int i = 0; i < n; i++)
        assert_text(msgs[i], DIGIT(i));
    assert_int_equal(finish(push).rc, 1);
    if (n == 5)
        assert_next(c, 0, "5");

    assert_put(c, "last");
    assert_true(push_client_delete(c));
    assert_int_equal(push_client_pull_many(c, msgs, 8, NULL, -1), 1);
    assert_text(msgs[0], "last");
    assert_drained(c);
    push_client_unref(c);
    push_session_unref(s);
}

static void a_batch_ends_before_the_next_gap(void **state)
{
    (void)state;
    push_session *s = session("s");
    push_client *c = client_with(s, "c", 3, PUSH_DROP_NEWEST);
    push_msg *msgs[8];
    size_t lost = 99;
    /* 1 2 3 (4 5 lost) - pull 1, put 6, (7 lost) - pull 2, put 8 */
    for (int i = 1; i <= 5; i++)
        send_text(c, DIGIT(i), NULL);
    assert_next(c, 0, "1");
    assert_put(c, "6");
    assert_int_equal(send_text(c, "7", NULL), 0);
    assert_next(c, 0, "2");
    assert_put(c, "8");
    assert_int_equal(push_client_pull_many(c, msgs, 8, &lost, 0), 1);
    assert_int_equal(lost, 0);
    assert_text(msgs[0], "3");
    assert_put(c, "9");
    assert_int_equal(push_client_pull_many(c, msgs, 8, &lost, 0), 1);
    assert_int_equal(lost, 2);
    assert_text(msgs[0], "6");
    assert_int_equal(push_client_pull_many(c, msgs, 8, &lost, 0), 2);
    assert_int_equal(lost, 1);
    assert_text(msgs[0], "8");
    assert_text(msgs[1], "9");
    push_client_unref(c);

    c = client_with(s, "d", 3, PUSH_DROP_OLDEST);
    for (int i = 0; i < 8; i++)
        assert_int_equal(send_text(c, DIGIT(i), NULL), 1);
    assert_int_equal(push_client_pull_many(c, msgs, 8, &lost, 0), 3);
    assert_int_equal(lost, 5);
    for (int i = 0; i < 3; i++)
        assert_text(msgs[i], DIGIT(i + 5));
    /* Told once, also where nobody listened. */
    for (int i = 0; i < 4; i++)
        assert_int_equal(send_text(c, "x", NULL), 1);
    assert_int_equal(push_client_pull_many(c, msgs, 1, NULL, 0), 1);
    assert_text(msgs[0], "x");
    assert_int_equal(push_client_pull_many(c, msgs, 8, &lost, 0), 2);
    assert_int_equal(lost, 0);
    assert_text(msgs[0], "x");
    assert_text(msgs[1], "x");
    push_client_unref(c);
    push_session_unref(s);
}

/* ---- Put back -------------------------------------------------------------------------------------------- */

static void a_put_back_message_is_the_next(void **state)
{
    (void)state;
    push_session *s = session("s");
    push_client *c = client(s, "c", 3);
    assert_put(c, "1");
    assert_put(c, "2");
    assert_put(c, "3");
    push_msg *one = pull_one(c, 0);
    push_msg *two = pull_one(c, 0);
    assert_int_equal(stats_of(c).pulled, 2);
    assert_int_equal(push_client_unpull(c, two), 0);
    assert_int_equal(push_client_unpull(c, one), 0);
    push_client_stats stats = stats_of(c);
    assert_int_equal(stats.pulled, 0);
    assert_int_equal(stats.pushed, 3);
    assert_int_equal(stats.queued, 3);
    assert_int_equal(stats.queued_bytes, 3);
    assert_next(c, 0, "1");
    assert_next(c, 0, "2");
    assert_next(c, 0, "3");
    assert_empty(c);

    /* By whoever pulls: by id, several, a waiting one. */
    assert_put(c, "4");
    push_msg *msg = pull_one(c, 0);
    assert_int_equal(push_client_unpull(c, msg), 0);
    assert_int_equal(push_session_pull(s, PUSH_ID("c"), &msg, 0), 0);
    assert_true(msg_is(msg, "4"));
    struct call *pull = begin_pull(c, -1);
    assert_asleep(pull);
    assert_int_equal(push_client_unpull(c, msg), 0);
    struct result r = finish(pull);
    assert_int_equal(r.rc, 0);
    assert_true(msg_is(r.msg, "4"));
    assert_int_equal(push_client_unpull(c, r.msg), 0);
    push_msg *many[4];
    assert_int_equal(push_client_pull_many(c, many, 4, NULL, 0), 1);
    assert_text(many[0], "4");
    push_client_unref(c);
    push_session_unref(s);
}

static void a_put_back_message_fits_into_a_full_mailbox(void **state)
{
    (void)state;
    for (size_t capacity = 1; capacity <= 5; capacity++) {
        push_session *s = session("s");
        push_client *c = client(s, "c", capacity);
        push_msg *pulled[5];
        for (size_t i = 0; i < capacity; i++) {
            assert_put(c, "first");
            pulled[i] = pull_one(c, 0);
        }
        for (size_t i = 0; i < capacity; i++)
            assert_put(c, "second");
        for (size_t i = capacity; i > 0; i--)
            assert_int_equal(push_client_unpull(c, pulled[i - 1]), 0);
        assert_int_equal(stats_of(c).queued, 2 * capacity);
        /* A push has room only when it is below the limit again. */
        for (size_t i = 0; i <= capacity; i++) {
            assert_int_equal(send_text(c, "third", NULL), 0);
            assert_next(c, 0, i < capacity ? "first" : "second");
        }
        assert_put(c, "third");
        assert_int_equal(stats_of(c).queued, capacity);
        for (size_t i = 1; i < capacity; i++)
            assert_next(c, 0, "second");
        assert_next(c, 0, "third");
        assert_empty(c);
        push_client_unref(c);
        assert_true(push_session_delete(PUSH_ID("s")));
        push_session_unref(s);
    }
}

/* Far more than the mailbox ever held. */
static void many_are_put_back(void **state)
{
    (void)state;
    enum { N = 500 };
    push_session *s = session("s");
    push_client *c = client(s, "c", 2);
    push_msg *pulled[N];
    char text[16];
    for (int i = 0; i < N; i++) {
        snprintf(text, sizeof(text), "%d", i);
        assert_put(c, text);
        pulled[i] = pull_one(c, 0);
    }
    for (int i = N; i > 0; i--)
        assert_int_equal(push_client_unpull(c, pulled[i - 1]), 0);
    assert_int_equal(stats_of(c).queued, N);
    assert_int_equal(stats_of(c).pulled, 0);
    for (int i = 0; i < N; i++) {
        snprintf(text, sizeof(text), "%d", i);
        assert_next(c, 0, text);
    }
    assert_empty(c);
    push_client_unref(c);
    push_session_unref(s);
}

static void a_put_back_message_keeps_a_waiting_push_waiting(void **state)
{
    (void)state;
    push_session *s = session("s");
    push_client *c = client(s, "c", 1);
    assert_put(c, "1");
    push_msg *one = pull_one(c, 0);
    assert_put(c, "2");
    struct call *push = begin_push(s, "3");
    assert_asleep(push);
    assert_int_equal(push_client_unpull(c, one), 0);
    assert_next(c, 0, "1");
    assert_asleep(push); /* still as full as it was */
    assert_next(c, 0, "2");
    assert_int_equal(finish(push).rc, 1);
    assert_next(c, 0, "3");
    push_client_unref(c);
    assert_true(push_session_delete_client(s, PUSH_ID("c")));

    /* By bytes. */
    push_client *bytes = with_options(s, "bytes", (push_client_options){.max_buffer = 9, .max_bytes = 4});
    assert_put(bytes, "1234");
    one = pull_one(bytes, 0);
    assert_put(bytes, "5678");
    assert_int_equal(push_client_unpull(bytes, one), 0);
    assert_int_equal(stats_of(bytes).queued_bytes, 8);
    assert_next(bytes, 0, "1234");
    assert_int_equal(send_text(bytes, "9", NULL), 0);
    assert_next(bytes, 0, "5678");
    assert_put(bytes, "9");
    push_client_unref(bytes);
    push_session_unref(s);
}

static void only_what_was_pulled_can_be_put_back(void **state)
{
    (void)state;
    push_session *s = session("s");
    push_client *c = client(s, "c", 3);
    struct tracked t;
    push_msg *msg = tracked_msg(&t);
    assert_int_equal(push_client_unpull(c, msg), -EINVAL); /* nothing was pulled */
    assert_int_equal(push_client_send(c, msg, 0, NULL), 1);
    assert_int_equal(push_client_unpull(c, msg), -EINVAL);
    push_msg *got = pull_one(c, 0);
    assert_int_equal(push_client_unpull(c, got), 0);
    assert_int_equal(push_client_unpull(c, msg), -EINVAL); /* it is back already */
    assert_int_equal(stats_of(c).queued, 1);
    /* The reference was consumed by the success alone. */
    assert_int_equal(t.freed, 0);
    push_msg_unref(msg);
    assert_int_equal(t.freed, 0);
    got = pull_one(c, 0);
    push_msg_unref(got);
    assert_int_equal(t.freed, 1);
    assert_empty(c);
    push_client_unref(c);
    push_session_unref(s);
}

static void put_back_into_a_deleted_client(void **state)
{
    (void)state;
    push_session *s = session("s");
    push_client *c = client(s, "c", 2);
    assert_put(c, "1");
    assert_put(c, "2");
    push_msg *one = pull_one(c, 0);
    push_msg *two = pull_one(c, 0);
    assert_true(push_session_delete(PUSH_ID("s")));
    assert_drained(c);
    assert_int_equal(push_client_unpull(c, two), 0);
    assert_int_equal(push_client_unpull(c, one), 0);
    assert_next(c, 0, "1");
    assert_next(c, 0, "2");
    assert_drained(c);
    push_client_unref(c);
    push_session_unref(s);

    /* And freed with it, where nobody drains it. */
    s = session("s");
    c = client(s, "c", 2);
    struct tracked t;
    push_msg *msg = tracked_msg(&t);
    assert_int_equal(push_client_send(c, msg, 0, NULL), 1);
    push_msg_unref(msg);
    msg = pull_one(c, 0);
    assert_true(push_client_delete(c));
    assert_int_equal(push_client_unpull(c, msg), 0);
    assert_int_equal(t.freed, 0);
    push_client_unref(c);
    assert_int_equal(t.freed, 1);
    push_session_unref(s);
}

static void put_back_into_a_rendezvous(void **state)
{
    (void)state;
    push_session *s = session("s");
    push_client *c = client(s, "c", 0);
    struct call *push = begin_push(s, "1");
    assert_asleep(push);
    push_msg *one = pull_one(c, 0);
    assert_int_equal(finish(push).rc, 1);
    push = begin_push(s, "2");
    assert_asleep(push);
    assert_int_equal(push_client_unpull(c, one), 0);
    assert_int_equal(stats_of(c).queued, 1);
    assert_asleep(push);
    assert_next(c, 0, "1");
    assert_next(c, 0, "2");
    assert_int_equal(finish(push).rc, 1);
    assert_empty(c);
    push_client_unref(c);
    push_session_unref(s);
}

static void gaps_around_a_put_back_message(void **state)
{
    (void)state;
    push_session *s = session("s");
    push_client *c = client_with(s, "c", 2, PUSH_DROP_NEWEST);
    assert_put(c, "1");
    assert_put(c, "2");
    assert_int_equal(send_text(c, "lost", NULL), 0);
    push_msg *one = pull_one(c, 0);
    assert_put(c, "4");
    assert_int_equal(push_client_unpull(c, one), 0);
    assert_next(c, 0, "1");
    assert_next(c, 0, "2");
    push_msg *four = pull_one(c, 1);
    assert_int_equal(push_client_unpull(c, four), 0);
    assert_next(c, 0, "4"); /* that gap was told already */
    push_client_unref(c);

    /* A gap at the front stays behind the message that was put back before it. */
    c = client_with(s, "d", 1, PUSH_DROP_OLDEST);
    assert_put(c, "1");
    one = pull_one(c, 0);
    assert_put(c, "2");
    assert_int_equal(send_text(c, "3", NULL), 1);
    assert_int_equal(push_client_unpull(c, one), 0);
    assert_next(c, 0, "1");
    assert_next(c, 1, "3");
    assert_empty(c);

    /* A batch ends before it all the same. */
    assert_put(c, "1");
    one = pull_one(c, 0);
    assert_put(c, "2");
    assert_int_equal(send_text(c, "3", NULL), 1);
    assert_int_equal(push_client_unpull(c, one), 0);
    push_msg *msgs[4];
    size_t lost = 99;
    assert_int_equal(push_client_pull_many(c, msgs, 4, &lost, 0), 1);
    assert_int_equal(lost, 0);
    assert_text(msgs[0], "1");
    assert_int_equal(push_client_pull_many(c, msgs, 4, &lost, 0), 1);
    assert_int_equal(lost, 1);
    assert_text(msgs[0], "3");
    push_client_unref(c);
    push_session_unref(s);
}

/* Evicted out of the middle of what was put back: the gap is before the next of those, and ends a batch. */
static void a_gap_between_put_back_messages(void **state)
{
    (void)state;
    push_session *s = session("s");
    push_client *c = client_with(s, "c", 3, PUSH_DROP_OLDEST);
    push_msg *pulled[3];
    for (int i = 0; i < 3; i++) {
        assert_put(c, DIGIT(i));
        pulled[i] = pull_one(c, 0);
    }
    assert_put(c, "3");
    assert_int_equal(push_client_unpull(c, pulled[2]), 0);
    assert_int_equal(push_client_unpull(c, pulled[1]), 0);
    assert_int_equal(send_text(c, "4", NULL), 1); /* evicts 1 */
    assert_int_equal(push_client_unpull(c, pulled[0]), 0);
    push_msg *msgs[8];
    size_t lost = 99;
    assert_int_equal(push_client_pull_many(c, msgs, 8, &lost, 0), 1);
    assert_int_equal(lost, 0);
    assert_text(msgs[0], "0");
    assert_int_equal(push_client_pull_many(c, msgs, 8, &lost, 0), 3);
    assert_int_equal(lost, 1);
    for (int i = 0; i < 3; i++)
        assert_text(msgs[i], DIGIT(i + 2));
    assert_empty(c);
    push_client_stats stats = stats_of(c);
    assert_int_equal(stats.pushed, stats.pulled + stats.dropped);
    assert_int_equal(stats.queued_bytes, 0);
    push_client_unref(c);
    push_session_unref(s);
}

/* Whatever policy: a push never leaves more than max_buffer behind, and the sums are right. */
static void a_push_after_a_put_back(void **state)
{
    (void)state;
    push_session *s = session("s");
    push_client *oldest = client_with(s, "oldest", 2, PUSH_DROP_OLDEST);
    push_client *newest = client_with(s, "newest", 2, PUSH_DROP_NEWEST);
    push_client *closing = client_with(s, "closing", 2, PUSH_DISCONNECT);
    push_client *all[] = {oldest, newest, closing};
    for (size_t i = 0; i < COUNT(all); i++) {
        assert_put(all[i], "1");
        push_msg *one = pull_one(all[i], 0);
        assert_put(all[i], "2");
        assert_put(all[i], "3");
        assert_int_equal(push_client_unpull(all[i], one), 0);
        assert_int_equal(stats_of(all[i]).queued, 3);
    }
    push_report report;
    assert_int_equal(send_all_text(s, "4", &report), 1);
    assert_report(report, 1, 2, 1, 0);
    push_client_stats stats = stats_of(oldest);
    assert_int_equal(stats.queued, 2);
    assert_int_equal(stats.dropped, 2);
    assert_int_equal(stats.pushed, stats.queued + stats.pulled + stats.dropped);
    assert_next(oldest, 2, "3");
    assert_next(oldest, 0, "4");
    assert_next(newest, 0, "1");
    assert_next(newest, 0, "2");
    assert_next(newest, 0, "3");
    assert_put(newest, "5");
    assert_next(newest, 1, "5");
    assert_next(closing, 0, "1");
    assert_next(closing, 0, "2");
    assert_next(closing, 0, "3");
    assert_drained(closing);
    for (size_t i = 0; i < COUNT(all); i++)
        push_client_unref(all[i]);
    push_session_unref(s);
}

/* What was put back takes room that the pushes to the session before had found. */
static void a_push_to_all_after_a_put_back(void **state)
{
    (void)state;
    push_session *s = session("s");
    push_client *c = client(s, "c", 2);
    assert_int_equal(send_all_text(s, "1", NULL), 1);
    assert_int_equal(send_all_text(s, "2", NULL), 1);
    push_msg *one = pull_one(c, 0);
    push_msg *two = pull_one(c, 0);
    assert_int_equal(send_all_text(s, "3", NULL), 1);
    assert_int_equal(push_client_unpull(c, two), 0);
    assert_int_equal(push_client_unpull(c, one), 0);
    struct call *push = begin_send_all(s, "4", PUSH_ID_NONE, -1);
    assert_asleep(push);
    assert_next(c, 0, "1");
    assert_next(c, 0, "2");
    assert_int_equal(finish(push).rc, 1);
    assert_next(c, 0, "3");
    assert_next(c, 0, "4");
    push_client_unref(c);
    push_session_unref(s);
}

/* Room elsewhere does not make a push forget that it may have to wait here, wherever in the session this is. */
static void a_rendezvous_among_many(void **state)
{
    (void)state;
    enum { PLAIN = 15, ROUNDS = 8 };
    for (uint64_t round = 0; round < ROUNDS; round++) {
        push_session *s = push_session_new(PUSH_ID(round), PUSH_ID_NONE, 0);
        for (uint64_t i = 0; i < PLAIN; i++)
            push_client_unref(push_client_new(s, PUSH_ID(i), NULL));
        push_client *c = client(s, "c", 0);
        assert_int_equal(send_all_text(s, "first", NULL), PLAIN);
        struct call *push = begin_send_all(s, "second", PUSH_ID_NONE, -1);
        assert_asleep(push);
        assert_next(c, 0, "second");
        assert_int_equal(finish(push).rc, PLAIN + 1);
        push_client_unref(c);
        push_session_delete(PUSH_ID(round));
        push_session_unref(s);
    }
}

static const struct CMUnitTest tests[] = {
    TEST(capacity_is_exact_for_every_policy),
    TEST(drop_newest),
    TEST(drop_oldest),
    TEST(drops_never_wait),
    TEST(gaps_are_told_while_draining),
    TEST(many_gaps_in_one_mailbox),
    TEST(disconnect),
    TEST(full_by_bytes),
    TEST(no_sum_of_bytes_wraps_round),
    TEST(drop_oldest_evicts_as_many_as_needed),
    TEST(drop_newest_and_disconnect_by_bytes),
    TEST(nobody_overtakes_a_waiting_push),
    TEST(those_behind_a_push_that_gives_up_move_up),
    TEST(one_large_message_makes_room_for_many),
    TEST(a_rendezvous_needs_both),
    TEST(one_waiting_pull_serves_one_push),
    TEST(a_rendezvous_that_nobody_comes_to),
    TEST(pushes_to_a_rendezvous_queue_in_order),
    TEST(a_push_to_several_rendezvous),
    TEST(pull_many_takes_what_is_there),
    TEST(a_batch_ends_before_the_next_gap),
    TEST(a_put_back_message_is_the_next),
    TEST(a_put_back_message_fits_into_a_full_mailbox),
    TEST(many_are_put_back),
    TEST(a_put_back_message_keeps_a_waiting_push_waiting),
    TEST(only_what_was_pulled_can_be_put_back),
    TEST(put_back_into_a_deleted_client),
    TEST(put_back_into_a_rendezvous),
    TEST(gaps_around_a_put_back_message),
    TEST(a_gap_between_put_back_messages),
    TEST(a_push_after_a_put_back),
    TEST(a_push_to_all_after_a_put_back),
    TEST(a_rendezvous_among_many),
};
TEST_MAIN(tests)
