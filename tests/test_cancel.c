/*
 * pthread_cancel at each call that waits: no message lost or doubled, no lock held, references balanced, nothing
 * left behind in a mailbox. And calls that do not wait are no cancellation points.
 */
#include "helpers.h"

#include <sched.h>

static void cancel(struct call *call)
{
    assert_int_equal(pthread_cancel(call_thread(call)), 0);
}

/* Whatever a cancelled thread might have left locked: everything works. */
static void check_everything_works(push_session *s, push_client *c)
{
    push_client_stats before = stats_of(c);
    push_client *other = client(s, "beside it", 3);
    push_report report;
    assert_int_equal(push_session_len(s), 2);
    push_msg *msg = text_msg("works");
    assert_int_equal(push_session_send(s, msg, push_client_id(c), 0, &report), 1);
    push_msg_unref(msg);
    assert_next(other, 0, "works");
    push_ids_free(push_session_clients(s, NULL));
    push_ids_free(push_sessions(NULL));
    push_poller *p = push_poller_new();
    push_event event;
    assert_int_equal(push_poller_add(p, other, NULL), 0);
    assert_int_equal(send_text(other, "x", NULL), 1);
    assert_int_equal(push_poller_wait(p, &event, 1, 0), 1);
    push_poller_free(p);
    assert_true(push_client_delete(other));
    push_client_unref(other);
    push_client_stats after = stats_of(c);
    assert_int_equal(after.queued, before.queued);
    assert_int_equal(after.pushed, before.pushed);
    assert_int_equal(after.pulled, before.pulled);
}

/* ---- Pulls ------------------------------------------------------------------------------------------------ */

static struct call *begin_some_pull(int kind, push_session *s, push_client *c)
{
    switch (kind) {
    case 0:
        return begin_pull(c, -1);
    case 1:
        return begin_pull(c, 60000);
    case 2:
        return begin_pull_many(c, -1);
    default:
        return begin_pull_by_id(s, push_client_id(c), -1);
    }
}
#define PULL_KINDS 4

static void a_cancelled_pull_leaves_nothing_behind(void **state)
{
    (void)state;
    for (size_t capacity = 0; capacity <= 1; capacity++) {
        for (int kind = 0; kind < PULL_KINDS; kind++) {
            push_session *s = session("s");
            push_client *c = client(s, "c", capacity);
            struct call *pull = begin_some_pull(kind, s, c);
            assert_asleep(pull);
            cancel(pull);
            assert_true(finish_cancelled(pull));
            check_everything_works(s, c);
            /* Nobody waits at the rendezvous any more. */
            assert_int_equal(send_text(c, "1", NULL), capacity);
            if (capacity)
                assert_next(c, 0, "1");
            assert_empty(c);
            /* The next pull is woken as ever. */
            pull = begin_some_pull(kind, s, c);
            assert_asleep(pull);
            assert_put(c, "2");
            struct result r = finish(pull);
            assert_int_equal(r.rc, kind == 2 ? 1 : 0);
            assert_text(kind == 2 ? r.many[0] : r.msg, "2");
            push_client_unref(c);
            assert_true(push_session_delete(PUSH_ID("s")));
            push_session_unref(s);
        }
    }
}

/* The reference that a pull by id takes for itself: with it the client would never go. */
static void a_cancelled_pull_by_id_lets_the_client_go(void **state)
{
    (void)state;
    struct tracked t;
    push_session *s = push_session_new(PUSH_ID("s"), PUSH_ID("c"), 0);
    struct call *pull = begin_pull_by_id(s, PUSH_ID("c"), -1);
    assert_asleep(pull);
    int fd = push_session_pull_fd(s, PUSH_ID("c"));
    cancel(pull);
    assert_true(finish_cancelled(pull));
    assert_true(descriptor_open(fd));
    assert_true(push_session_delete_client(s, PUSH_ID("c")));
    assert_false(descriptor_open(fd));

    push_session_unref(push_session_new(PUSH_ID("s"), PUSH_ID("c"), 1));
    pull = begin_pull_by_id(s, PUSH_ID("c"), -1);
    assert_asleep(pull);
    cancel(pull);
    assert_true(finish_cancelled(pull));
    push_msg *msg = tracked_msg(&t);
    assert_int_equal(push_session_send(s, msg, PUSH_ID_NONE, 0, NULL), 1);
    push_msg_unref(msg);
    assert_int_equal(t.freed, 0);
    assert_true(push_session_delete_client(s, PUSH_ID("c")));
    assert_int_equal(t.freed, 1);
    push_session_unref(s);
}

/* Of several that wait, one is cancelled: the others get the messages. */
static void the_other_pulls_get_the_messages(void **state)
{
    (void)state;
    for (size_t capacity = 0; capacity <= 1; capacity++) {
        for (int which = 0; which < 3; which++) {
            push_session *s = session("s");
            push_client *c = client(s, "c", capacity);
            struct call *pulls[3];
            for (int i = 0; i < 3; i++) {
                pulls[i] = begin_pull(c, -1);
                assert_asleep(pulls[i]);
            }
            cancel(pulls[which]);
            assert_true(finish_cancelled(pulls[which]));
            for (int i = 0; i < 2; i++)
                assert_int_equal(push_session_push(s, "x", 1), 1);
            for (int i = 0; i < 3; i++) {
                if (i != which)
                    assert_text(finish(pulls[i]).msg, "x");
            }
            assert_int_equal(send_text(c, "y", NULL), capacity);
            push_client_unref(c);
            assert_true(push_session_delete(PUSH_ID("s")));
            push_session_unref(s);
        }
    }
}

/* Woken for a message, and cancelled before it ran: the message is for the next, who may be asleep already. */
static void cancelled_when_a_message_was_there(void **state)
{
    (void)state;
    need_cancellation_to_win();
    for (size_t capacity = 0; capacity <= 1; capacity++) {
        for (int kind = 0; kind < PULL_KINDS; kind++) {
            for (int others = 0; others < 2; others++) {
                push_session *s = session("s");
                push_client *c = client(s, "c", capacity);
                push_poller *p = push_poller_new();
                assert_int_equal(push_poller_add(p, c, NULL), 0);
                int fd = push_client_fd(c);
                struct call *pull = begin_some_pull(kind, s, c);
                assert_asleep(pull);
                struct call *other = NULL;
                if (others) {
                    other = begin_pull(c, -1);
                    assert_asleep(other);
                }
                freeze(pull);
                assert_int_equal(send_text(c, "1", NULL), 1);
                cancel(pull);
                thaw_all();
                assert_true(finish_cancelled(pull));
                if (others) {
                    assert_text(finish(other).msg, "1");
                } else {
                    push_event event;
                    assert_int_equal(stats_of(c).queued, 1);
                    assert_int_equal(stats_of(c).high_water, 1);
                    assert_true(readable(fd));
                    assert_int_equal(push_poller_wait(p, &event, 1, 0), 1);
                    check_everything_works(s, c);
                    assert_next(c, 0, "1");
                }
                assert_empty(c);
                assert_false(readable(fd));
                push_client_stats stats = stats_of(c);
                assert_int_equal(stats.pushed, 1);
                assert_int_equal(stats.pulled, 1);
                push_poller_free(p);
                push_client_unref(c);
                assert_true(push_session_delete(PUSH_ID("s")));
                push_session_unref(s);
            }
        }
    }
}

/* Woken for a message that another took, and cancelled before it ran: nothing is left to hand on. */
static void cancelled_when_the_message_had_gone(void **state)
{
    (void)state;
    for (int kind = 0; kind < PULL_KINDS; kind++) {
        push_session *s = session("s");
        push_client *c = client(s, "c", 1);
        struct call *pull = begin_some_pull(kind, s, c);
        assert_asleep(pull);
        struct call *other = begin_pull(c, -1);
        assert_asleep(other);
        freeze(pull);
        assert_int_equal(send_text(c, "1", NULL), 1);
        assert_next(c, 0, "1");
        cancel(pull);
        thaw_all();
        assert_true(finish_cancelled(pull));
        assert_asleep(other);
        assert_int_equal(send_text(c, "2", NULL), 1);
        assert_text(finish(other).msg, "2");
        assert_empty(c);
        push_client_unref(c);
        assert_true(push_session_delete(PUSH_ID("s")));
        push_session_unref(s);
    }
}

static void cancelled_after_the_client_closed(void **state)
{
    (void)state;
    need_cancellation_to_win();
    for (int kind = 0; kind < PULL_KINDS; kind++) {
        push_session *s = session("s");
        push_client *c = client(s, "c", 1);
        struct call *pull = begin_some_pull(kind, s, c);
        assert_asleep(pull);
        freeze(pull);
        assert_int_equal(send_text(c, "1", NULL), 1);
        assert_true(push_session_delete(PUSH_ID("s")));
        cancel(pull);
        thaw_all();
        assert_true(finish_cancelled(pull));
        assert_next(c, 0, "1");
        assert_drained(c);
        push_client_unref(c);
        push_session_unref(s);
    }
}

/* ---- Pushes ----------------------------------------------------------------------------------------------- */

static struct call *begin_some_push(int kind, push_session *s, push_client *c, const char *text)
{
    switch (kind) {
    case 0:
        return begin_send(c, text, -1);
    case 1:
        return begin_send_all(s, text, PUSH_ID_NONE, 60000);
    default:
        return begin_push(s, text);
    }
}
#define PUSH_KINDS 3

static void a_cancelled_push_leaves_no_node(void **state)
{
    (void)state;
    for (size_t capacity = 0; capacity <= 1; capacity++) {
        for (int kind = 0; kind < PUSH_KINDS; kind++) {
            push_session *s = session("s");
            push_client *c = client(s, "c", capacity);
            int fd = push_client_fd(c);
            if (capacity)
                assert_put(c, "fill");
            struct call *push = begin_some_push(kind, s, c, "cancelled");
            assert_asleep(push);
            cancel(push);
            assert_true(finish_cancelled(push));
            check_everything_works(s, c);
            if (capacity)
                assert_next(c, 0, "fill");
            assert_empty(c);
            assert_false(readable(fd));
            if (capacity) {
                assert_put(c, "next"); /* nobody stands in the way */
                assert_next(c, 0, "next");
            }
            assert_int_equal(stats_of(c).pushed, 2 * capacity);
            push_client_unref(c);
            assert_true(push_session_delete(PUSH_ID("s")));
            push_session_unref(s);
        }
    }
}

/* Where it was taken it stays, where it waited it does not come. */
static void a_cancelled_push_stays_where_it_was_taken(void **state)
{
    (void)state;
    struct tracked t;
    push_session *s = session("s");
    push_client *room = client(s, "room", 5);
    push_client *full = client(s, "full", 1);
    push_client *emptied = client(s, "emptied", 1);
    assert_int_equal(push_session_push(s, "fill", 4), 3);
    push_msg *msg = tracked_msg(&t);
    struct call *push = begin_send_all_msg(s, msg, PUSH_ID_NONE, -1);
    push_msg_unref(msg);
    assert_asleep(push);
    assert_next(emptied, 0, "fill"); /* its message moves in */
    assert_asleep(push);
    cancel(push);
    assert_true(finish_cancelled(push));
    assert_next(room, 0, "fill");
    assert_next(room, 0, "tracked");
    assert_empty(room);
    assert_next(emptied, 0, "tracked");
    assert_empty(emptied);
    assert_int_equal(t.freed, 1); /* no reference anywhere else */
    assert_next(full, 0, "fill");
    assert_empty(full);
    push_client_unref(room);
    push_client_unref(full);
    push_client_unref(emptied);
    push_session_unref(s);
}

static void those_behind_a_cancelled_push_move_up(void **state)
{
    (void)state;
    push_session *s = session("s");
    push_client_options options = {.max_buffer = 9, .max_bytes = 10};
    push_client *c = push_client_new(s, PUSH_ID("c"), &options);
    assert_put(c, "12345678");
    struct call *large = begin_push(s, "large");
    assert_asleep(large);
    struct call *small = begin_send(c, "s", -1);
    assert_asleep(small);
    struct call *last = begin_push(s, "also large");
    assert_asleep(last);
    cancel(large);
    assert_true(finish_cancelled(large));
    assert_int_equal(finish(small).rc, 1); /* no pull was needed */
    assert_asleep(last);
    assert_next(c, 0, "12345678");
    assert_next(c, 0, "s");
    assert_int_equal(finish(last).rc, 1);
    assert_next(c, 0, "also large");
    assert_empty(c);
    push_client_unref(c);
    push_session_unref(s);
}

static void one_in_the_middle_is_cancelled(void **state)
{
    (void)state;
    push_session *s = session("s");
    for (size_t capacity = 0; capacity <= 1; capacity++) {
        for (int which = 0; which < 3; which++) {
            push_client *c = client(s, "c", capacity);
            if (capacity)
                assert_put(c, "fill");
            struct call *pushes[3];
            for (int i = 0; i < 3; i++) {
                char text[2] = {(char)('0' + i)};
                pushes[i] = begin_some_push(i, s, c, text);
                assert_asleep(pushes[i]);
            }
            cancel(pushes[which]);
            assert_true(finish_cancelled(pushes[which]));
            if (capacity)
                assert_next(c, 0, "fill");
            for (int i = 0; i < 3; i++) {
                if (i != which)
                    assert_next(c, 0, ((char[2]){(char)('0' + i)}));
            }
            for (int i = 0; i < 3; i++) {
                if (i != which)
                    assert_int_equal(finish(pushes[i]).rc, 1);
            }
            assert_empty(c);
            assert_true(push_client_delete(c));
            push_client_unref(c);
        }
    }
    push_session_unref(s);
}

/* Delivered already, only that the pusher has not run: it was cancelled while it waited, and the message stays. */
static void cancelled_when_it_was_delivered(void **state)
{
    (void)state;
    for (int kind = 0; kind < PUSH_KINDS; kind++) {
        push_session *s = session("s");
        push_client *c = client(s, "c", 1);
        assert_put(c, "fill");
        struct call *push = begin_some_push(kind, s, c, "late");
        assert_asleep(push);
        freeze(push);
        assert_next(c, 0, "fill");
        cancel(push);
        thaw_all();
        finish_cancelled(push); /* it may have returned as well */
        check_everything_works(s, c);
        assert_next(c, 0, "late");
        assert_empty(c);
        push_client_unref(c);
        assert_true(push_session_delete(PUSH_ID("s")));
        push_session_unref(s);
    }
}

/* Cancelled where the client, or all of it, is gone or has moved. */
static void cancelled_after_delete_and_takeover(void **state)
{
    (void)state;
    for (int kind = 0; kind < PUSH_KINDS; kind++) {
        for (int how = 0; how < 3; how++) {
            push_session *s = session("s");
            push_client *c = client(s, "c", 1);
            assert_put(c, "fill");
            struct call *push = begin_some_push(kind, s, c, "late");
            assert_asleep(push);
            freeze(push);
            push_client_options options = {.max_buffer = 1, .duplicate = PUSH_TAKEOVER};
            push_client *next = NULL;
            if (how == 0)
                assert_true(push_client_delete(c));
            if (how == 1)
                assert_true(push_session_delete(PUSH_ID("s")));
            if (how == 2)
                next = push_client_new(s, PUSH_ID("c"), &options);
            cancel(push);
            thaw_all();
            finish_cancelled(push);
            if (next) {
                assert_next(next, 0, "fill");
                assert_empty(next);
                push_client_unref(next);
            } else {
                assert_next(c, 0, "fill");
                assert_drained(c);
            }
            push_client_unref(c);
            push_session_delete(PUSH_ID("s"));
            push_session_unref(s);
        }
    }
}

/* ---- Pollers ---------------------------------------------------------------------------------------------- */

static void a_cancelled_wait_leaves_the_poller_whole(void **state)
{
    (void)state;
    push_session *s = session("s");
    push_client *c = client(s, "c", 1);
    push_poller *p = push_poller_new();
    assert_int_equal(push_poller_add(p, c, NULL), 0);
    push_event event;
    for (int i = 0; i < 3; i++) {
        struct call *wait = begin_wait(p, i % 2 ? 60000 : -1);
        assert_asleep(wait);
        struct call *other = i == 2 ? begin_wait(p, -1) : NULL;
        if (other)
            assert_asleep(other);
        cancel(wait);
        assert_true(finish_cancelled(wait));
        assert_int_equal(push_poller_wait(p, &event, 1, 0), -EAGAIN);
        assert_put(c, "x");
        if (other)
            assert_int_equal(finish(other).rc, 1);
        assert_int_equal(push_poller_wait(p, &event, 1, 0), 1);
        assert_next(c, 0, "x");
        assert_empty(c);
    }
    push_poller_free(p);
    push_client_unref(c);
    push_session_unref(s);
}

/* Woken for an event, or by a wake, and cancelled before it ran: another wait has it. */
static void cancelled_when_an_event_was_there(void **state)
{
    (void)state;
    need_cancellation_to_win();
    push_session *s = session("s");
    push_client *c = client(s, "c", 1);
    push_poller *p = push_poller_new();
    assert_int_equal(push_poller_add(p, c, NULL), 0);
    push_event event;
    for (int how = 0; how < 4; how++) {
        struct call *wait = begin_wait(p, -1);
        assert_asleep(wait);
        struct call *other = how % 2 ? begin_wait(p, -1) : NULL;
        if (other)
            assert_asleep(other);
        freeze(wait);
        if (how < 2)
            assert_put(c, "x");
        else
            push_poller_wake(p);
        cancel(wait);
        thaw_all();
        assert_true(finish_cancelled(wait));
        int expected = how < 2;
        if (other)
            assert_int_equal(finish(other).rc, expected);
        else
            assert_int_equal(push_poller_wait(p, &event, 1, 0), expected);
        if (how < 2) {
            assert_next(c, 0, "x");
            assert_empty(c);
        }
        assert_int_equal(push_poller_wait(p, &event, 1, 0), -EAGAIN);
    }
    push_poller_free(p);
    push_client_unref(c);
    push_session_unref(s);
}

/* ---- What does not wait is no cancellation point ----------------------------------------------------------- */

struct bystander {
    push_session *s;
    push_client *c;
    push_poller *p;
    atomic_int stage;
    atomic_int freed;
};

static void free_at_a_cancellation_point(void *data, void *arg)
{
    (void)arg;
    pthread_testcancel();
    atomic_fetch_add((atomic_int *)data, 1);
}

static void *call_everything(void *arg)
{
    struct bystander *b = arg;
    pthread_cancel(pthread_self()); /* pending from here on */
    atomic_store(&b->stage, 1);
    push_client_stats stats;
    push_event event;
    push_report report;
    push_msg *msg = push_msg_new("x", 1);
    push_msg *got;
    push_msg_unref(push_msg_ref(msg));
    push_msg_unref(push_msg_wrap(&b->freed, sizeof(b->freed), free_at_a_cancellation_point, NULL));
    EXPECT(atomic_load(&b->freed) == 1);
    push_session_unref(push_session_new(PUSH_ID("other"), PUSH_ID("o"), 1));
    push_session_unref(push_session_find(PUSH_ID("other")));
    push_session_delete_if_empty(PUSH_ID("other"));
    push_session_delete(PUSH_ID("other"));
    push_session_len(b->s);
    push_ids_free(push_session_clients(b->s, NULL));
    push_ids_free(push_sessions(NULL));
    atomic_store(&b->stage, 2);
    EXPECT(push_client_fd(b->c) >= 0);
    EXPECT(push_poller_fd(b->p) >= 0);
    EXPECT(push_session_pull_fd(b->s, PUSH_ID("c")) >= 0);
    EXPECT(push_client_stat(b->c, &stats) == 0);
    atomic_store(&b->stage, 3);
    /* Pushes with room, with and without a deadline, that raise the descriptors; pulls that find a message. */
    EXPECT(push_client_send(b->c, msg, -1, &report) == 1);
    EXPECT(push_session_send(b->s, msg, PUSH_ID_NONE, 1000, &report) == 1);
    EXPECT(push_session_push(b->s, "y", 1) == 1);
    EXPECT(push_client_send(b->c, msg, 0, &report) == 0); /* full */
    atomic_store(&b->stage, 4);
    EXPECT(push_poller_wait(b->p, &event, 1, -1) == 1);
    EXPECT(push_client_pull(b->c, &got, -1) == 0);
    EXPECT(push_client_unpull(b->c, got) == 0);
    EXPECT(push_client_pull(b->c, &got, 1000) == 0);
    push_msg_unref(got);
    EXPECT(push_session_pull(b->s, PUSH_ID("c"), &got, -1) == 0);
    push_msg_unref(got);
    EXPECT(push_client_pull_many(b->c, &got, 1, NULL, -1) == 1);
    push_msg_unref(got);
    atomic_store(&b->stage, 5);
    EXPECT(push_client_pull(b->c, &got, 0) == -EAGAIN); /* clears the descriptors */
    EXPECT(push_session_pull(b->s, PUSH_ID("c"), &got, 0) == -EAGAIN);
    EXPECT(push_poller_wait(b->p, &event, 1, 0) == -EAGAIN);
    EXPECT(push_poller_pause(b->p, b->c) == 0);
    EXPECT(push_poller_resume(b->p, b->c) == 0);
    push_poller_wake(b->p);
    EXPECT(push_poller_wait(b->p, &event, 1, -1) == 0);
    atomic_store(&b->stage, 6);
    push_client_options options = {.max_buffer = 1, .duplicate = PUSH_TAKEOVER};
    push_client *d = push_client_open(PUSH_ID("opened"), PUSH_ID("d"), &options);
    EXPECT(d != NULL && push_client_fd(d) >= 0);
    push_client *e = push_client_open(PUSH_ID("opened"), PUSH_ID("d"), &options);
    EXPECT(push_client_pull(d, &got, -1) == -EPIPE);
    EXPECT(push_client_delete(e));
    EXPECT(push_client_send(e, msg, -1, NULL) == -EPIPE);
    push_client_unref(d);
    push_client_unref(e);
    push_poller_free(push_poller_new());
    push_msg_unref(msg);
    atomic_store(&b->stage, 7);
    /* Now it may be cancelled: this one waits. */
    push_client_pull(b->c, &got, -1);
    atomic_store(&b->stage, 8);
    return NULL;
}

static void only_waiting_is_a_cancellation_point(void **state)
{
    (void)state;
    struct bystander b = {.s = session("s"), .p = push_poller_new()};
    b.c = client(b.s, "c", 3);
    assert_int_equal(push_poller_add(b.p, b.c, NULL), 0);
    pthread_t thread;
    void *value;
    assert_int_equal(pthread_create(&thread, NULL, call_everything, &b), 0);
    assert_int_equal(pthread_join(thread, &value), 0);
    assert_ptr_equal(value, PTHREAD_CANCELED);
    assert_int_equal(b.stage, 7);
    assert_expectations();
    push_poller_free(b.p);
    push_client_unref(b.c);
    push_session_unref(b.s);
}

/* With cancellation switched off a wait is none either, and the state is left as it was. */
static void *wait_uncancellable(void *arg)
{
    push_client *c = arg;
    int state = -1;
    push_msg *msg;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
    EXPECT(push_client_pull(c, &msg, -1) == 0);
    push_msg_unref(msg);
    EXPECT(push_client_fd(c) >= 0);
    EXPECT(push_client_pull(c, &msg, 0) == -EAGAIN);
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
    EXPECT(state == PTHREAD_CANCEL_DISABLE);
    return arg;
}

static void cancellation_that_is_off_stays_off(void **state)
{
    (void)state;
    push_session *s = session("s");
    push_client *c = client(s, "c", 3);
    pthread_t thread;
    void *value;
    assert_int_equal(pthread_create(&thread, NULL, wait_uncancellable, c), 0);
    assert_int_equal(pthread_cancel(thread), 0);
    assert_put(c, "x");
    assert_int_equal(pthread_join(thread, &value), 0);
    assert_ptr_equal(value, c);
    assert_expectations();
    push_client_unref(c);
    push_session_unref(s);
}

/* ---- At any moment ----------------------------------------------------------------------------------------- */

/* Pulls for ever, and counts. Nothing between the pull and the count is a cancellation point. */
struct victim {
    push_session *s;
    push_client *c;
    int kind;
    atomic_uint count;
};

static void *pull_and_count(void *arg)
{
    struct victim *v = arg;
    for (;;) {
        push_msg *msgs[3];
        int rc;
        if (v->kind == 0)
            rc = push_client_pull(v->c, msgs, -1);
        else if (v->kind == 1)
            rc = push_session_pull(v->s, PUSH_ID("c"), msgs, 1000);
        else
            rc = push_client_pull_many(v->c, msgs, 3, NULL, -1);
        if (rc < 0)
            continue;
        int n = v->kind == 2 ? rc : 1;
        for (int i = 0; i < n; i++)
            push_msg_unref(msgs[i]);
        atomic_fetch_add(&v->count, (unsigned)n);
    }
    return NULL;
}

static void pulls_cancelled_at_any_moment(void **state)
{
    (void)state;
    uint64_t seed = 5;
    for (int round = 0; round < SCALED(5000); round++) {
        push_session *s = session("s");
        push_client *c = client(s, "c", (size_t)round % 4);
        struct victim victims[2] = {{.s = s, .c = c, .kind = round % 3}, {.s = s, .c = c, .kind = (round + 1) % 3}};
        pthread_t threads[2];
        for (int i = 0; i < 2; i++)
            assert_int_equal(pthread_create(&threads[i], NULL, pull_and_count, &victims[i]), 0);
        unsigned delivered = 0;
        push_msg *msg = text_msg("x");
        uint32_t before = random_next(&seed) % 50;
        for (uint32_t i = 0; i < before + 20; i++) {
            if (i == before)
                assert_int_equal(pthread_cancel(threads[0]), 0);
            delivered += (unsigned)push_client_send(c, msg, i % 4 == 0 ? 1 : 0, NULL);
        }
        assert_int_equal(pthread_cancel(threads[1]), 0);
        delivered += (unsigned)push_session_send(s, msg, PUSH_ID_NONE, 0, NULL);
        push_msg_unref(msg);
        for (int i = 0; i < 2; i++)
            assert_int_equal(pthread_join(threads[i], NULL), 0);
        unsigned pulled = victims[0].count + victims[1].count;
        while (push_client_pull(c, &msg, 0) == 0) {
            push_msg_unref(msg);
            pulled++;
        }
        assert_int_equal(pulled, delivered);
        push_client_stats stats = stats_of(c);
        assert_int_equal(stats.pushed, delivered);
        assert_int_equal(stats.pulled, delivered);
        push_client_unref(c);
        assert_true(push_session_delete(PUSH_ID("s")));
        push_session_unref(s);
    }
}

static void *push_for_ever(void *arg)
{
    struct victim *v = arg;
    push_msg *msg;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
    msg = push_msg_new("x", 1);
    pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, NULL);
    pthread_cleanup_push((void (*)(void *))push_msg_unref, msg);
    for (;;) {
        if (v->kind == 0)
            push_client_send(v->c, msg, -1, NULL);
        else if (v->kind == 1)
            push_session_send(v->s, msg, PUSH_ID_NONE, 1000, NULL);
        else
            push_session_push(v->s, "x", 1);
    }
    pthread_cleanup_pop(1);
    return NULL;
}

static void pushes_cancelled_at_any_moment(void **state)
{
    (void)state;
    uint64_t seed = 6;
    for (int round = 0; round < SCALED(5000); round++) {
        push_session *s = session("s");
        push_client *c = client(s, "c", (size_t)round % 4);
        push_client *wide = client_with(s, "wide", 2, PUSH_DROP_OLDEST);
        struct victim victims[2] = {{.s = s, .c = c, .kind = round % 3}, {.s = s, .c = c, .kind = (round + 1) % 3}};
        pthread_t threads[2];
        for (int i = 0; i < 2; i++)
            assert_int_equal(pthread_create(&threads[i], NULL, push_for_ever, &victims[i]), 0);
        uint64_t pulled = 0;
        push_msg *msg;
        for (uint32_t i = random_next(&seed) % 100; i > 0; i--) {
            if (push_client_pull(c, &msg, i % 8 == 0 ? 1 : 0) == 0) {
                push_msg_unref(msg);
                pulled++;
            }
        }
        assert_int_equal(pthread_cancel(threads[0]), 0);
        while (pulled % 5 != 0 && push_client_pull(c, &msg, 50) == 0) {
            push_msg_unref(msg);
            pulled++;
        }
        assert_int_equal(pthread_cancel(threads[1]), 0);
        for (int i = 0; i < 2; i++)
            assert_int_equal(pthread_join(threads[i], NULL), 0);
        /* What is in it is in it, and nothing waits behind. */
        size_t queued = stats_of(c).queued;
        assert_true(queued <= (size_t)round % 4);
        for (size_t i = 0; i < queued; i++) {
            assert_next(c, 0, "x");
            pulled++;
        }
        assert_empty(c);
        assert_int_equal(stats_of(c).pushed, pulled);
        if (round % 4 > 0)
            assert_put(c, "y");
        push_client_unref(c);
        push_client_unref(wide);
        assert_true(push_session_delete(PUSH_ID("s")));
        push_session_unref(s);
    }
}

static void *wait_for_ever(void *arg)
{
    push_poller *p = arg;
    for (;;) {
        push_event event;
        int rc = push_poller_wait(p, &event, 1, -1);
        if (rc != 1)
            continue;
        push_msg *msg;
        int old;
        pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &old);
        while (push_client_pull(event.client, &msg, 0) == 0)
            push_msg_unref(msg);
        pthread_setcancelstate(old, NULL);
    }
    return NULL;
}

static void poller_waits_cancelled_at_any_moment(void **state)
{
    (void)state;
    uint64_t seed = 7;
    for (int round = 0; round < SCALED(5000); round++) {
        push_session *s = session("s");
        push_client *c = client(s, "c", 2);
        push_poller *p = push_poller_new();
        assert_int_equal(push_poller_add(p, c, NULL), 0);
        pthread_t threads[2];
        for (int i = 0; i < 2; i++)
            assert_int_equal(pthread_create(&threads[i], NULL, wait_for_ever, p), 0);
        for (uint32_t i = random_next(&seed) % 40; i > 0; i--)
            send_text(c, "x", NULL);
        assert_int_equal(pthread_cancel(threads[0]), 0);
        /* The other goes on to serve: these all get through. */
        for (int i = 0; i < 5; i++)
            assert_int_equal(push_session_push(s, "x", 1), 1);
        assert_int_equal(pthread_cancel(threads[1]), 0);
        for (int i = 0; i < 2; i++)
            assert_int_equal(pthread_join(threads[i], NULL), 0);
        push_msg *msg;
        while (push_client_pull(c, &msg, 0) == 0)
            push_msg_unref(msg);
        push_event event;
        assert_int_equal(push_poller_wait(p, &event, 1, 0), -EAGAIN);
        push_poller_free(p);
        push_client_unref(c);
        assert_true(push_session_delete(PUSH_ID("s")));
        push_session_unref(s);
    }
}

static const struct CMUnitTest tests[] = {
    TEST(a_cancelled_pull_leaves_nothing_behind),
    TEST(a_cancelled_pull_by_id_lets_the_client_go),
    TEST(the_other_pulls_get_the_messages),
    TEST(cancelled_when_a_message_was_there),
    TEST(cancelled_when_the_message_had_gone),
    TEST(cancelled_after_the_client_closed),
    TEST(a_cancelled_push_leaves_no_node),
    TEST(a_cancelled_push_stays_where_it_was_taken),
    TEST(those_behind_a_cancelled_push_move_up),
    TEST(one_in_the_middle_is_cancelled),
    TEST(cancelled_when_it_was_delivered),
    TEST(cancelled_after_delete_and_takeover),
    TEST(a_cancelled_wait_leaves_the_poller_whole),
    TEST(cancelled_when_an_event_was_there),
    TEST(only_waiting_is_a_cancellation_point),
    TEST(cancellation_that_is_off_stays_off),
    TEST(pulls_cancelled_at_any_moment),
    TEST(pushes_cancelled_at_any_moment),
    TEST(poller_waits_cancelled_at_any_moment),
};
TEST_MAIN(tests)
