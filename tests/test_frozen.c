/*
 * Threads that are woken, and do not run on yet: what happens between the two. Each waiting thread is held in a
 * signal handler while others act, so that the narrow moment is as wide as the test needs it.
 */
#include "helpers.h"

static push_client *duplicate(push_session *s, const char *id, push_duplicate how)
{
    push_client_options options = {.max_buffer = 1, .duplicate = how};
    push_client *c = push_client_new(s, push_id_str(id), &options);
    assert_non_null(c);
    return c;
}

/* ---- Pulls ------------------------------------------------------------------------------------------------ */

static void the_message_waits_for_a_woken_pull(void **state)
{
    (void)state;
    push_session *s = session("s");
    for (size_t capacity = 0; capacity <= 2; capacity++) {
        push_client *c = client(s, "c", capacity);
        struct call *pull = begin_pull(c, -1);
        assert_asleep(pull);
        freeze(pull);
        assert_int_equal(send_text(c, "1", NULL), 1);
        /* No room for a second one, where there is none beside the pull. */
        assert_int_equal(send_text(c, "2", NULL), capacity == 2);
        thaw_all();
        struct result r = finish(pull);
        assert_int_equal(r.rc, 0);
        assert_text(r.msg, "1");
        if (capacity == 2)
            assert_next(c, 0, "2");
        assert_empty(c);
        assert_true(push_client_delete(c));
        push_client_unref(c);
    }
    push_session_unref(s);
}

/* A pull that waits at a rendezvous is good for one message: it takes no second one on its way out. */
static void a_rendezvous_ends_with_one_message(void **state)
{
    (void)state;
    push_session *s = session("s");
    push_client *c = client(s, "c", 0);
    struct call *pull = begin_pull(c, -1);
    assert_asleep(pull);
    freeze(pull);
    assert_int_equal(send_text(c, "1", NULL), 1);
    struct call *second = begin_push(s, "2");
    struct call *third = begin_send(c, "3", -1);
    assert_asleep(second);
    assert_asleep(third);
    thaw_all();
    assert_text(finish(pull).msg, "1");
    /* Nobody pulls: a push that completed now would have put its message into a mailbox for none. */
    assert_asleep(second);
    assert_asleep(third);
    assert_int_equal(stats_of(c).queued, 0);
    assert_int_equal(stats_of(c).pushed, 1);
    push_msg *msg;
    assert_int_equal(push_client_pull(c, &msg, 0), 0);
    push_msg_unref(msg);
    assert_int_equal(push_client_pull(c, &msg, 0), 0);
    push_msg_unref(msg);
    assert_int_equal(finish(second).rc, 1);
    assert_int_equal(finish(third).rc, 1);
    assert_empty(c);
    assert_int_equal(stats_of(c).high_water, 0);
    push_client_unref(c);
    push_session_unref(s);
}

static void as_many_messages_as_pulls_at_a_rendezvous(void **state)
{
    (void)state;
    push_session *s = session("s");
    push_client *c = client(s, "c", 0);
    struct call *pulls[3];
    for (int i = 0; i < 3; i++) {
        pulls[i] = begin_pull(c, -1);
        assert_asleep(pulls[i]);
        freeze(pulls[i]);
    }
    for (int i = 0; i < 3; i++)
        assert_int_equal(send_text(c, "x", NULL), 1);
    assert_int_equal(send_text(c, "y", NULL), 0);
    assert_int_equal(stats_of(c).queued, 0);
    thaw_all();
    for (int i = 0; i < 3; i++)
        assert_text(finish(pulls[i]).msg, "x");
    assert_int_equal(send_text(c, "y", NULL), 0);
    assert_empty(c);
    push_client_unref(c);
    push_session_unref(s);
}

/* The deadline passes after the message was there, and before the pull runs: it is a message, not a timeout. */
static void a_message_in_time_is_no_timeout(void **state)
{
    (void)state;
    push_session *s = session("s");
    for (size_t capacity = 0; capacity <= 1; capacity++) {
        push_client *c = client(s, "c", capacity);
        struct call *pull = begin_pull(c, 500);
        int64_t late = now_ns() + 600 * MILLISECOND;
        assert_asleep(pull);
        if (now_ns() > late - 400 * MILLISECOND) {
            /* On a busy machine it took so long that the pull may be about to end, with a lock held. */
            finish(pull);
            capacity--;
            assert_true(push_client_delete(c));
            push_client_unref(c);
            continue;
        }
        freeze(pull);
        assert_int_equal(send_text(c, "1", NULL), 1);
        AWAIT(now_ns() > late);
        thaw_all();
        struct result r = finish(pull);
        assert_int_equal(r.rc, 0);
        assert_text(r.msg, "1");
        assert_empty(c);
        assert_true(push_client_delete(c));
        push_client_unref(c);
    }
    push_session_unref(s);
}

/* One message, two woken: the other goes back to sleep, and is woken by the next. */
static void a_message_that_another_took(void **state)
{
    (void)state;
    push_session *s = session("s");
    for (size_t capacity = 0; capacity <= 1; capacity++) {
        push_client *c = client(s, "c", capacity);
        struct call *pull = begin_pull(c, -1);
        assert_asleep(pull);
        freeze(pull);
        assert_int_equal(send_text(c, "1", NULL), 1);
        push_msg *msg = NULL;
        int rc = push_client_pull(c, &msg, 0);
        thaw_all();
        if (capacity > 0) {
            assert_int_equal(rc, 0);
            assert_text(msg, "1");
            assert_asleep(pull);
            assert_int_equal(send_text(c, "2", NULL), 1);
            assert_text(finish(pull).msg, "2");
        } else {
            assert_int_equal(rc, -EAGAIN); /* it is for who waited */
            assert_text(finish(pull).msg, "1");
        }
        assert_empty(c);
        assert_true(push_client_delete(c));
        push_client_unref(c);
    }
    push_session_unref(s);
}

/* Two sleep, two messages come, the first of them does not run: the second is not held up by it. */
static void each_message_wakes_a_pull_of_its_own(void **state)
{
    (void)state;
    push_session *s = session("s");
    push_client *c = client(s, "c", 5);
    struct call *pulls[2] = {begin_pull(c, -1), NULL};
    assert_asleep(pulls[0]);
    pulls[1] = begin_pull(c, -1);
    assert_asleep(pulls[1]);
    freeze(pulls[0]);
    assert_int_equal(send_text(c, "1", NULL), 1);
    assert_int_equal(send_text(c, "2", NULL), 1);
    struct result r = finish(pulls[1]);
    assert_int_equal(r.rc, 0);
    push_msg_unref(r.msg);
    thaw_all();
    r = finish(pulls[0]);
    assert_int_equal(r.rc, 0);
    push_msg_unref(r.msg);
    assert_empty(c);
    push_client_unref(c);
    push_session_unref(s);
}

/* A pull that waited takes one of several: the descriptor and the poller go on to tell of the others. */
static void others_came_before_the_pull_runs(void **state)
{
    (void)state;
    push_session *s = session("s");
    for (size_t capacity = 0; capacity <= 3; capacity += 3) {
        push_client *c = client(s, "c", capacity);
        push_poller *p = push_poller_new();
        push_event event;
        assert_int_equal(push_poller_add(p, c, NULL), 0);
        int fd = push_client_fd(c);
        int poller_fd = push_poller_fd(p);
        struct call *pull = begin_pull(c, -1);
        assert_asleep(pull);
        freeze(pull);
        struct call *pushes[3];
        for (int i = 0; i < 3; i++) {
            pushes[i] = begin_send(c, (char[2]){(char)('0' + i)}, -1);
            if (capacity == 0 && i > 0)
                assert_asleep(pushes[i]);
            else
                assert_eventually(call_done(pushes[i]));
        }
        thaw_all();
        assert_text(finish(pull).msg, "0");
        for (int i = 1; i < 3; i++) {
            assert_true(readable(fd));
            assert_true(readable(poller_fd));
            assert_int_equal(push_poller_wait(p, &event, 1, 0), 1);
            assert_next(c, 0, ((char[2]){(char)('0' + i)}));
        }
        for (int i = 0; i < 3; i++)
            assert_int_equal(finish(pushes[i]).rc, 1);
        assert_empty(c);
        assert_false(readable(fd));
        assert_int_equal(push_poller_wait(p, &event, 1, 0), -EAGAIN);
        assert_false(readable(poller_fd));
        push_poller_free(p);
        assert_true(push_client_delete(c));
        push_client_unref(c);
    }
    push_session_unref(s);
}

/* The message came before the delete: it is drained, by whoever comes. */
static void deleted_before_the_pull_runs(void **state)
{
    (void)state;
    push_session *s = session("s");
    for (size_t capacity = 0; capacity <= 1; capacity++) {
        for (int how = 0; how < 4; how++) {
            push_client *c = client(s, "c", capacity);
            struct call *pull = begin_pull(c, -1);
            assert_asleep(pull);
            freeze(pull);
            assert_int_equal(send_text(c, "1", NULL), 1);
            push_client *newer = NULL;
            if (how == 0)
                assert_true(push_client_delete(c));
            if (how == 1)
                assert_true(push_session_delete(PUSH_ID("s")));
            if (how >= 2)
                newer = duplicate(s, "c", how == 2 ? PUSH_REPLACE : PUSH_TAKEOVER);
            thaw_all();
            struct result r = finish(pull);
            if (how == 3) {
                /* "Every older handle is closed and empty at once": the message went over. */
                assert_int_equal(r.rc, -EPIPE);
                assert_null(r.msg);
                assert_next(newer, 0, "1");
                assert_empty(newer);
                assert_int_equal(stats_of(newer).pushed, 1);
                assert_int_equal(stats_of(newer).pulled, 1);
            } else {
                assert_int_equal(r.rc, 0);
                assert_text(r.msg, "1");
            }
            assert_drained(c);
            if (newer) {
                assert_true(push_client_delete(newer));
                push_client_unref(newer);
            }
            push_client_unref(c);
            push_session_delete(PUSH_ID("s"));
            push_session_unref(s);
            s = session("s");
        }
    }
    push_session_unref(s);
}

/* A put-back message is for the pull that waits as any other is. */
static void put_back_for_a_frozen_pull(void **state)
{
    (void)state;
    push_session *s = session("s");
    push_client *c = client(s, "c", 1);
    assert_put(c, "1");
    push_msg *one;
    assert_int_equal(push_client_pull(c, &one, 0), 0);
    struct call *pull = begin_pull(c, -1);
    assert_asleep(pull);
    freeze(pull);
    assert_put(c, "2");
    assert_int_equal(push_client_unpull(c, one), 0);
    thaw_all();
    assert_text(finish(pull).msg, "1");
    assert_next(c, 0, "2");
    assert_empty(c);
    push_client_unref(c);
    push_session_unref(s);
}

/* Dropped while the pull was on its way: it gets the newer one, and hears of the gap. */
static void evicted_before_the_pull_runs(void **state)
{
    (void)state;
    push_session *s = session("s");
    push_client *c = client_with(s, "c", 1, PUSH_DROP_OLDEST);
    struct call *pull = begin_pull(c, -1);
    assert_asleep(pull);
    freeze(pull);
    for (int i = 0; i < 4; i++)
        assert_int_equal(send_text(c, (char[2]){(char)('0' + i)}, NULL), 1);
    thaw_all();
    struct result r = finish(pull);
    assert_int_equal(r.rc, 3);
    assert_text(r.msg, "3");
    push_client_unref(c);
    push_session_unref(s);
}

/* ---- Pushes ----------------------------------------------------------------------------------------------- */

/* Taken in time, the deadline passes before the push runs: it counts. */
static void a_push_taken_in_time_is_no_timeout(void **state)
{
    (void)state;
    push_session *s = session("s");
    push_client *c = client(s, "c", 1);
    for (int kind = 0; kind < 2; kind++) {
        assert_put(c, "fill");
        struct call *push = kind == 0 ? begin_send(c, "late", 500) : begin_send_all(s, "late", PUSH_ID_NONE, 500);
        assert_asleep(push);
        int64_t late = now_ns() + 600 * MILLISECOND;
        freeze(push);
        assert_next(c, 0, "fill");
        assert_next(c, 0, "late");
        AWAIT(now_ns() > late);
        thaw_all();
        struct result r = finish(push);
        assert_int_equal(r.rc, 1);
        assert_report(r.report, 1, 0, 0, 0);
    }
    assert_empty(c);
    push_client_unref(c);
    push_session_unref(s);
}

/* Too late, and not yet withdrawn: whichever way it goes, count and mailbox agree. */
static void a_push_past_its_deadline(void **state)
{
    (void)state;
    push_session *s = session("s");
    push_client *c = client(s, "c", 1);
    assert_put(c, "fill");
    struct call *push = begin_send(c, "late", 300);
    assert_asleep(push);
    int64_t late = now_ns() + 400 * MILLISECOND;
    freeze(push);
    AWAIT(now_ns() > late);
    assert_next(c, 0, "fill");
    thaw_all();
    struct result r = finish(push);
    assert_in_range(r.rc, 0, 1);
    assert_report(r.report, (size_t)r.rc, 0, 0, (size_t)!r.rc);
    if (r.rc == 1)
        assert_next(c, 0, "late");
    assert_empty(c);
    push_client_unref(c);
    push_session_unref(s);
}

/* Delivered, then deleted, all before the push runs: what was taken counts. */
static void delivered_and_deleted_before_the_push_runs(void **state)
{
    (void)state;
    for (int kind = 0; kind < 3; kind++) {
        push_session *s = session("s");
        push_client *a = client(s, "a", 1);
        push_client *b = client(s, "b", 1);
        assert_int_equal(push_session_push(s, "fill", 4), 2);
        struct call *push = kind == 0 ? begin_send(a, "late", -1) : begin_push(s, "late");
        assert_asleep(push);
        freeze(push);
        assert_next(a, 0, "fill");
        if (kind == 2)
            assert_true(push_session_delete(PUSH_ID("s")));
        else
            assert_true(push_client_delete(a));
        if (kind == 1)
            assert_true(push_client_delete(b));
        thaw_all();
        assert_int_equal(finish(push).rc, 1);
        assert_next(a, 0, "late");
        assert_drained(a);
        assert_next(b, 0, "fill");
        if (kind == 0)
            assert_empty(b);
        else
            assert_drained(b);
        push_client_unref(a);
        push_client_unref(b);
        push_session_delete(PUSH_ID("s"));
        push_session_unref(s);
    }
}

/* A push that does not run holds nobody up: not those behind it, not the pulls, not a delete. */
static void a_frozen_push_holds_nobody_up(void **state)
{
    (void)state;
    push_session *s = session("s");
    push_client *c = client(s, "c", 1);
    assert_put(c, "0");
    struct call *first = begin_push(s, "1");
    assert_asleep(first);
    struct call *second = begin_push(s, "2");
    assert_asleep(second);
    freeze(first);
    for (int i = 0; i <= 2; i++)
        assert_next(c, 0, ((char[2]){(char)('0' + i)}));
    assert_int_equal(finish(second).rc, 1);
    assert_put(c, "3");
    assert_true(push_client_delete(c));
    push_client_unref(c);
    /* Even the session, and the memory of all but its own wait, may go. */
    assert_true(push_session_delete(PUSH_ID("s")));
    thaw_all();
    assert_int_equal(finish(first).rc, 1);
    push_session_unref(s);
}

/* Taken over while it does not run, twice, and then it gives up: it finds its place wherever that is. */
static void taken_over_before_the_push_runs(void **state)
{
    (void)state;
    push_session *s = session("s");
    push_client *c = client(s, "c", 1);
    assert_put(c, "fill");
    struct call *first = begin_send(c, "first", 300);
    assert_asleep(first);
    struct call *second = begin_send(c, "second", -1);
    assert_asleep(second);
    int64_t late = now_ns() + 400 * MILLISECOND;
    freeze(first);
    push_client *middle = duplicate(s, "c", PUSH_TAKEOVER);
    push_client *newest = duplicate(s, "c", PUSH_TAKEOVER);
    push_client_unref(c);
    push_client_unref(middle);
    AWAIT(now_ns() > late);
    thaw_all();
    assert_int_equal(finish(first).rc, 0);
    assert_next(newest, 0, "fill");
    assert_int_equal(finish(second).rc, 1);
    assert_next(newest, 0, "second");
    assert_empty(newest);
    push_client_unref(newest);
    push_session_unref(s);
}

/* ---- Pollers ---------------------------------------------------------------------------------------------- */

static void emptied_before_the_wait_runs(void **state)
{
    (void)state;
    push_session *s = session("s");
    push_client *c = client(s, "c", 1);
    push_poller *p = push_poller_new();
    assert_int_equal(push_poller_add(p, c, NULL), 0);
    /* Pulled, paused, removed: whatever it was woken for is gone. */
    for (int how = 0; how < 3; how++) {
        struct call *wait = begin_wait(p, -1);
        assert_asleep(wait);
        freeze(wait);
        assert_put(c, "x");
        if (how == 1)
            assert_int_equal(push_poller_pause(p, c), 0);
        if (how == 2)
            assert_int_equal(push_poller_remove(p, c), 0);
        assert_next(c, 0, "x");
        assert_empty(c);
        thaw_all();
        assert_asleep(wait);
        if (how == 1)
            assert_int_equal(push_poller_resume(p, c), 0);
        if (how == 2)
            assert_int_equal(push_poller_add(p, c, NULL), 0);
        assert_asleep(wait);
        assert_put(c, "y");
        struct result r = finish(wait);
        assert_int_equal(r.rc, 1);
        assert_ptr_equal(r.events[0].client, c);
        assert_next(c, 0, "y");
        assert_empty(c);
    }
    push_poller_free(p);
    push_client_unref(c);
    push_session_unref(s);
}

/* Two waits sleep, the one that is woken does not run; a second arrival wakes the other. */
static void each_arrival_wakes_a_wait_of_its_own(void **state)
{
    (void)state;
    push_session *s = session("s");
    push_client *a = client(s, "a", 1);
    push_client *b = client(s, "b", 1);
    push_poller *p = push_poller_new();
    assert_int_equal(push_poller_add(p, a, NULL), 0);
    assert_int_equal(push_poller_add(p, b, NULL), 0);
    struct call *waits[2] = {begin_wait(p, -1), NULL};
    assert_asleep(waits[0]);
    waits[1] = begin_wait(p, -1);
    assert_asleep(waits[1]);
    freeze(waits[0]);
    assert_put(a, "x");
    assert_put(b, "x");
    assert_true(finish(waits[1]).rc >= 1);
    push_poller_wake(p);
    thaw_all();
    assert_int_equal(finish(waits[0]).rc, 0);
    push_poller_free(p);
    push_client_unref(a);
    push_client_unref(b);
    push_session_unref(s);
}

/* At a rendezvous, a message that is put back goes to the pull that waits: it is queued no more. */
static void put_back_for_a_frozen_pull_at_a_rendezvous(void **state)
{
    (void)state;
    push_session *s = session("s");
    push_client *c = client(s, "c", 0);
    struct call *pull = begin_pull(c, -1);
    assert_asleep(pull);
    assert_int_equal(send_text(c, "1", NULL), 1);
    struct result r = finish(pull);
    pull = begin_pull(c, -1);
    assert_asleep(pull);
    freeze(pull);
    assert_int_equal(push_client_unpull(c, r.msg), 0);
    push_client_stats stats = stats_of(c);
    assert_int_equal(stats.queued, 0);
    assert_int_equal(stats.queued_bytes, 0);
    assert_int_equal(stats.pulled, 1);
    thaw_all();
    r = finish(pull);
    assert_int_equal(r.rc, 0);
    assert_text(r.msg, "1");
    push_client_unref(c);
    push_session_unref(s);
}

static const struct CMUnitTest tests[] = {
    TEST(the_message_waits_for_a_woken_pull),
    TEST(a_rendezvous_ends_with_one_message),
    TEST(as_many_messages_as_pulls_at_a_rendezvous),
    TEST(a_message_in_time_is_no_timeout),
    TEST(a_message_that_another_took),
    TEST(each_message_wakes_a_pull_of_its_own),
    TEST(others_came_before_the_pull_runs),
    TEST(deleted_before_the_pull_runs),
    TEST(put_back_for_a_frozen_pull),
    TEST(put_back_for_a_frozen_pull_at_a_rendezvous),
    TEST(evicted_before_the_pull_runs),
    TEST(a_push_taken_in_time_is_no_timeout),
    TEST(a_push_past_its_deadline),
    TEST(delivered_and_deleted_before_the_push_runs),
    TEST(a_frozen_push_holds_nobody_up),
    TEST(taken_over_before_the_push_runs),
    TEST(emptied_before_the_wait_runs),
    TEST(each_arrival_wakes_a_wait_of_its_own),
};
TEST_MAIN(tests)
