/* Clients: options, capacity, statistics, handles, ids that are taken, push_client_open. */
#include "helpers.h"

#include <limits.h>

static push_client *with_options(push_session *s, const char *id, push_client_options options)
{
    push_client *c = push_client_new(s, push_id_str(id), &options);
    assert_non_null(c);
    return c;
}

static push_client *duplicate(push_session *s, const char *id, push_duplicate how)
{
    push_client_options options = {.max_buffer = 7, .duplicate = how};
    return push_client_new(s, push_id_str(id), &options);
}

static push_msg *pull_one(push_client *c, int lost)
{
    push_msg *msg = NULL;
    assert_int_equal(push_client_pull(c, &msg, 0), lost);
    return msg;
}

/* ---- Options --------------------------------------------------------------------------------------------- */

static void default_options(void **state)
{
    (void)state;
    push_session *s = session("s");
    push_client *c = push_client_new(s, PUSH_ID("c"), NULL);
    assert_non_null(c);
    push_client_stats stats = stats_of(c);
    assert_int_equal(stats.max_buffer, 10);
    assert_int_equal(stats.queued, 0);
    assert_int_equal(stats.queued_bytes, 0);
    assert_int_equal(stats.high_water, 0);
    assert_int_equal(stats.pushed, 0);
    assert_int_equal(stats.pulled, 0);
    assert_int_equal(stats.dropped, 0);
    assert_false(stats.closed);
    push_report report;
    for (int i = 0; i < 10; i++)
        assert_put(c, "a message of some length, since there is no limit by bytes");
    assert_int_equal(send_text(c, "x", &report), 0);
    assert_report(report, 0, 0, 0, 1); /* it blocks */
    push_client *shared = push_client_new(s, PUSH_ID("c"), NULL);
    assert_ptr_equal(shared, c); /* it shares */
    push_client_unref(shared);
    push_client_unref(c);
    push_session_unref(s);
}

static void options_out_of_range(void **state)
{
    (void)state;
    push_session *s = session("s");
    push_client *c = client(s, "taken", 3);
    assert_put(c, "one");
    push_client_options bad[] = {
        {.max_buffer = 0, .overflow = PUSH_DROP_NEWEST},
        {.max_buffer = 0, .overflow = PUSH_DROP_OLDEST},
        {.max_buffer = 0, .overflow = PUSH_DISCONNECT},
        {.max_buffer = 1, .overflow = (push_overflow)4},
        {.max_buffer = 1, .overflow = (push_overflow)-1},
        {.max_buffer = 1, .overflow = (push_overflow)INT_MAX},
        {.max_buffer = 1, .duplicate = (push_duplicate)4},
        {.max_buffer = 1, .duplicate = (push_duplicate)-1},
        {.max_buffer = 1, .duplicate = (push_duplicate)INT_MAX},
        {.max_buffer = 0, .max_bytes = 5, .overflow = PUSH_DROP_OLDEST, .duplicate = PUSH_TAKEOVER},
        {.max_buffer = 0, .overflow = PUSH_DROP_OLDEST, .duplicate = PUSH_REPLACE},
        {.max_buffer = 0, .overflow = PUSH_DROP_OLDEST, .duplicate = PUSH_REFUSE},
    };
    for (size_t i = 0; i < COUNT(bad); i++) {
        /* Also where the options would not have mattered, since the client is there and shared. */
        assert_null_errno(push_client_new(s, PUSH_ID("taken"), &bad[i]), EINVAL);
        assert_null_errno(push_client_new(s, PUSH_ID("fresh"), &bad[i]), EINVAL);
        assert_null_errno(push_client_open(PUSH_ID("s"), PUSH_ID("taken"), &bad[i]), EINVAL);
        assert_null_errno(push_client_open(PUSH_ID("other"), PUSH_ID("fresh"), &bad[i]), EINVAL);
    }
    assert_false(push_session_exists(PUSH_ID("other")));
    assert_int_equal(push_session_len(s), 1);
    assert_false(stats_of(c).closed);
    assert_next(c, 0, "one");
    push_client_unref(c);
    push_session_unref(s);
}

static void huge_limits_cost_nothing(void **state)
{
    (void)state;
    size_t sizes[] = {SIZE_MAX, SIZE_MAX - 1, SIZE_MAX / 2 + 1, SIZE_MAX / 8 + 1, (size_t)1 << 31, 3000000000U};
    push_session *s = session("s");
    for (size_t i = 0; i < COUNT(sizes); i++) {
        for (int overflow = PUSH_BLOCK; overflow <= PUSH_DISCONNECT; overflow++) {
            push_client_options options = {
                .max_buffer = sizes[i], .max_bytes = sizes[i], .overflow = (push_overflow)overflow};
            push_client *c = with_options(s, "c", options);
            assert_true(stats_of(c).max_buffer == sizes[i]);
            for (int m = 0; m < 100; m++)
                assert_put(c, "x");
            for (int m = 0; m < 100; m++)
                assert_next(c, 0, "x");
            assert_empty(c);
            assert_true(push_client_delete(c));
            push_client_unref(c);
        }
    }
    push_session_unref(s);
}

/* ---- Capacity -------------------------------------------------------------------------------------------- */

static void capacity_is_exact(void **state)
{
    (void)state;
    push_session *s = session("s");
    for (size_t capacity = 1; capacity <= 70; capacity++) {
        push_client *c = client(s, "c", capacity);
        push_report report;
        /* The second and third time the ring has turned. */
        for (int round = 0; round < 3; round++) {
            for (size_t i = 0; i < capacity; i++)
                assert_put(c, "x");
            assert_int_equal(stats_of(c).queued, capacity);
            for (int again = 0; again < 2; again++) {
                assert_int_equal(send_text(c, "too many", &report), 0);
                assert_report(report, 0, 0, 0, 1);
            }
            /* One out, one in. */
            assert_next(c, 0, "x");
            assert_put(c, "x");
            assert_int_equal(send_text(c, "too many", &report), 0);
            for (size_t i = 0; i < capacity; i++)
                assert_next(c, 0, "x");
            assert_empty(c);
            if (capacity > 1) {
                assert_put(c, "turn");
                assert_next(c, 0, "turn");
            }
        }
        assert_int_equal(stats_of(c).high_water, capacity);
        assert_true(push_client_delete(c));
        push_client_unref(c);
    }
    push_session_unref(s);
}

/* The ring may grow at any fill level and at any turn of it: nothing is lost, doubled or out of order. */
static void order_holds_through_growth(void **state)
{
    (void)state;
    push_session *s = session("s");
    uint64_t seed = 7;
    for (size_t capacity = 1; capacity <= 200; capacity += capacity < 20 ? 1 : 37) {
        push_client *c = client(s, "c", capacity);
        unsigned in = 0;
        unsigned out = 0;
        for (int round = 0; round < 60; round++) {
            char text[16];
            for (uint32_t n = random_next(&seed) % (uint32_t)(capacity + 2); n > 0; n--) {
                snprintf(text, sizeof(text), "%u", in);
                bool room = in - out < capacity;
                assert_int_equal(send_text(c, text, NULL), room);
                in += room;
            }
            for (uint32_t n = random_next(&seed) % (uint32_t)(capacity + 2); n > 0 && out < in; n--) {
                snprintf(text, sizeof(text), "%u", out++);
                assert_next(c, 0, text);
            }
            assert_int_equal(stats_of(c).queued, in - out);
        }
        assert_true(push_client_delete(c));
        push_client_unref(c);
    }
    push_session_unref(s);
}

/* ---- Statistics ------------------------------------------------------------------------------------------ */

static void statistics(void **state)
{
    (void)state;
    push_session *s = session("s");
    push_client *c = client(s, "c", 4);
    assert_put(c, "12");
    assert_put(c, "345");
    assert_put(c, "");
    assert_next(c, 0, "12");
    push_client_stats stats = stats_of(c);
    assert_int_equal(stats.queued, 2);
    assert_int_equal(stats.queued_bytes, 3);
    assert_int_equal(stats.max_buffer, 4);
    assert_int_equal(stats.high_water, 3);
    assert_int_equal(stats.pushed, 3);
    assert_int_equal(stats.pulled, 1);
    assert_int_equal(stats.dropped, 0);
    assert_false(stats.closed);
    assert_next(c, 0, "345");
    assert_next(c, 0, "");
    assert_empty(c);
    assert_put(c, "x");
    stats = stats_of(c);
    assert_int_equal(stats.high_water, 3); /* it does not go down */
    assert_int_equal(stats.pulled, 3);
    assert_int_equal(stats.queued, 1);
    /* A push that timed out is neither pushed nor dropped. */
    for (int i = 0; i < 5; i++)
        send_text(c, "y", NULL);
    stats = stats_of(c);
    assert_int_equal(stats.pushed, 7);
    assert_int_equal(stats.dropped, 0);
    assert_int_equal(stats.high_water, 4);
    assert_true(push_client_delete(c));
    stats = stats_of(c);
    assert_true(stats.closed);
    assert_int_equal(stats.queued, 4);
    assert_int_equal(stats.pushed, 7);
    for (int i = 0; i < 4; i++)
        assert_next(c, 0, i == 0 ? "x" : "y");
    stats = stats_of(c);
    assert_int_equal(stats.pulled, 7);
    assert_int_equal(stats.queued, 0);
    assert_int_equal(stats.queued_bytes, 0);
    push_client_unref(c);
    push_session_unref(s);
}

/* A message that goes straight to a waiting pull was pushed and pulled. */
static void statistics_of_a_waiting_pull(void **state)
{
    (void)state;
    push_session *s = session("s");
    push_client *c = client(s, "c", 4);
    for (int i = 0; i < 3; i++) {
        struct call *pull = begin_pull(c, -1);
        assert_asleep(pull);
        assert_put(c, "x");
        assert_text(finish(pull).msg, "x");
    }
    push_client_stats stats = stats_of(c);
    assert_int_equal(stats.pushed, 3);
    assert_int_equal(stats.pulled, 3);
    assert_int_equal(stats.queued, 0);
    assert_true(stats.high_water <= 1);
    push_client_unref(c);
    push_session_unref(s);
}

/* ---- Handles --------------------------------------------------------------------------------------------- */

static void handles(void **state)
{
    (void)state;
    push_session *s = session("s");
    push_client *c = client(s, "c", 2);
    assert_true(push_id_equal(push_client_id(c), PUSH_ID("c")));
    assert_ptr_equal(push_client_session(c), s);
    push_client *found = push_client_find(s, PUSH_ID("c"));
    assert_ptr_equal(found, c);
    push_client *ref = push_client_ref(c);
    assert_ptr_equal(ref, c);
    assert_null_errno(push_client_find(s, PUSH_ID("d")), ENOENT);
    push_client_unref(found);
    push_client_unref(ref);
    push_client_unref(NULL);

    /* Dropping them deletes nothing; the session it names is valid without a handle of its own. */
    push_session_unref(s);
    assert_int_equal(push_session_len(push_client_session(c)), 1);
    assert_int_equal(push_session_push(push_client_session(c), "x", 1), 1);
    assert_true(push_session_delete(PUSH_ID("s")));
    assert_int_equal(push_session_push(push_client_session(c), "x", 1), -EPIPE);
    assert_true(push_id_equal(push_session_id(push_client_session(c)), PUSH_ID("s")));
    push_client_unref(c);

    s = session("s");
    c = client(s, "c", 2);
    assert_put(c, "x");
    push_client_unref(c);
    c = push_client_find(s, PUSH_ID("c"));
    assert_non_null(c);
    assert_next(c, 0, "x");
    assert_true(push_client_delete(c));
    assert_ptr_equal(push_client_session(c), s);
    assert_int_equal(push_session_len(push_client_session(c)), 0);
    push_client_unref(c);
    push_session_unref(s);
}

static void the_callers_pointer(void **state)
{
    (void)state;
    int x;
    int y;
    push_session *s = session("s");
    push_client *c = client(s, "c", 2);
    assert_null(push_client_data(c));
    push_client_set_data(c, &x);
    assert_ptr_equal(push_client_data(c), &x);
    push_client *shared = duplicate(s, "c", PUSH_SHARE);
    assert_ptr_equal(push_client_data(shared), &x);
    push_client_set_data(shared, &y);
    assert_ptr_equal(push_client_data(c), &y);
    assert_true(push_client_delete(c));
    assert_ptr_equal(push_client_data(c), &y);
    push_client_set_data(c, NULL);
    assert_null(push_client_data(c));
    assert_null(push_client_data(NULL));
    push_client_set_data(NULL, &x);
    push_client_unref(c);
    push_client_unref(shared);
    push_session_unref(s);
}

static void delete_is_exact(void **state)
{
    (void)state;
    push_session *s = session("s");
    push_client *old = client(s, "c", 2);
    assert_put(old, "old");
    assert_true(push_client_delete(old));
    assert_false(push_client_delete(old));
    assert_false(push_session_delete_client(s, PUSH_ID("c")));
    push_client *newer = client(s, "c", 2);
    assert_ptr_not_equal(newer, old);
    assert_false(push_client_delete(old));
    assert_int_equal(push_session_len(s), 1);
    assert_int_equal(push_session_push(s, "new", 3), 1);
    assert_int_equal(send_text(old, "x", NULL), -EPIPE);
    assert_next(old, 0, "old");
    assert_drained(old);
    assert_next(newer, 0, "new");
    assert_empty(newer);
    push_client_unref(old);
    push_client_unref(newer);
    push_session_unref(s);
}

static void deleting_ends_waiting_calls(void **state)
{
    (void)state;
    push_session *s = session("s");
    push_client *empty = client(s, "empty", 1);
    push_client *full = client(s, "full", 1);
    assert_put(full, "fill");
    struct call *pulls[] = {begin_pull(empty, -1), begin_pull(empty, 60000), begin_pull_many(empty, -1),
                            begin_pull_by_id(s, PUSH_ID("empty"), -1)};
    struct call *pushes[] = {begin_send(full, "x", -1), begin_send(full, "x", 60000)};
    for (size_t i = 0; i < COUNT(pulls); i++)
        assert_asleep(pulls[i]);
    for (size_t i = 0; i < COUNT(pushes); i++)
        assert_asleep(pushes[i]);
    assert_true(push_client_delete(empty));
    assert_true(push_client_delete(full));
    for (size_t i = 0; i < COUNT(pulls); i++)
        assert_int_equal(finish(pulls[i]).rc, -EPIPE);
    for (size_t i = 0; i < COUNT(pushes); i++) {
        struct result r = finish(pushes[i]);
        assert_int_equal(r.rc, -EPIPE);
        assert_report(r.report, 0, 0, 0, 0);
    }
    assert_next(full, 0, "fill");
    assert_drained(full);
    assert_drained(empty);
    push_client_unref(empty);
    push_client_unref(full);
    push_session_unref(s);
}

static void send_waits_for_room(void **state)
{
    (void)state;
    push_session *s = session("s");
    push_client *c = client(s, "c", 1);
    push_client *other = client(s, "other", 5);
    struct result r = finish(begin_send(c, "1", 0));
    assert_int_equal(r.rc, 1);
    assert_report(r.report, 1, 0, 0, 0);
    r = finish(begin_send(c, "2", 40));
    assert_int_equal(r.rc, 0);
    assert_report(r.report, 0, 0, 0, 1);
    assert_true(r.ns >= 40 * MILLISECOND);
    struct call *send = begin_send(c, "3", -1);
    assert_asleep(send);
    assert_next(c, 0, "1");
    r = finish(send);
    assert_int_equal(r.rc, 1);
    assert_report(r.report, 1, 0, 0, 0);
    assert_next(c, 0, "3");
    assert_empty(other); /* to this one client */
    push_client_unref(c);
    push_client_unref(other);
    push_session_unref(s);
}

/* The array is as long as the caller says, and is touched only where messages come. */
static void a_batch_of_any_size(void **state)
{
    (void)state;
    push_session *s = session("s");
    push_client *c = client(s, "c", 3);
    static const size_t sizes[] = {INT_MAX, (size_t)INT_MAX + 1, SIZE_MAX};
    for (size_t i = 0; i < COUNT(sizes); i++) {
        push_msg *msgs[3] = {NULL};
        assert_put(c, "1");
        assert_put(c, "2");
        assert_int_equal(push_client_pull_many(c, msgs, sizes[i], NULL, 0), 2);
        assert_text(msgs[0], "1");
        assert_text(msgs[1], "2");
        assert_null(msgs[2]);
    }
    push_client_unref(c);
    push_session_unref(s);
}

static void pull_waits_for_a_message(void **state)
{
    (void)state;
    push_session *s = session("s");
    push_client *c = client(s, "c", 1);
    struct result r = finish(begin_pull(c, 0));
    assert_int_equal(r.rc, -EAGAIN);
    r = finish(begin_pull(c, 40));
    assert_int_equal(r.rc, -ETIMEDOUT);
    assert_null(r.msg);
    assert_true(r.ns >= 40 * MILLISECOND);
    struct call *pulls[3];
    for (size_t i = 0; i < COUNT(pulls); i++) {
        pulls[i] = begin_pull(c, i == 1 ? 60000 : -1);
        assert_asleep(pulls[i]);
    }
    /* One message wakes one of them; three, all. */
    for (size_t i = 0; i < COUNT(pulls); i++)
        assert_int_equal(push_session_push(s, "x", 1), 1);
    for (size_t i = 0; i < COUNT(pulls); i++) {
        r = finish(pulls[i]);
        assert_int_equal(r.rc, 0);
        assert_text(r.msg, "x");
    }
    assert_empty(c);
    push_client_unref(c);
    push_session_unref(s);
}

/* ---- An id that is taken --------------------------------------------------------------------------------- */

static void share(void **state)
{
    (void)state;
    push_session *s = session("s");
    push_client *c = client_with(s, "c", 2, PUSH_DROP_OLDEST);
    assert_put(c, "1");
    push_client *shared = duplicate(s, "c", PUSH_SHARE);
    assert_ptr_equal(shared, c);
    assert_int_equal(push_session_len(s), 1);
    assert_int_equal(stats_of(shared).max_buffer, 2);
    assert_put(shared, "2");
    push_report report;
    assert_int_equal(send_text(shared, "3", &report), 1); /* still drops its oldest */
    assert_report(report, 1, 1, 0, 0);
    assert_next(c, 1, "2");
    assert_next(shared, 0, "3");
    assert_empty(c);
    push_client_unref(shared);
    assert_put(c, "4");
    assert_true(push_client_delete(c));
    push_client_unref(c);

    c = duplicate(s, "c", PUSH_SHARE);
    assert_non_null(c);
    assert_int_equal(stats_of(c).max_buffer, 7); /* not taken: created */
    assert_empty(c);
    push_client_unref(c);
    push_session_unref(s);
}

static void refuse(void **state)
{
    (void)state;
    push_session *s = session("s");
    push_client *c = duplicate(s, "c", PUSH_REFUSE);
    assert_non_null(c);
    assert_put(c, "1");
    assert_null_errno(duplicate(s, "c", PUSH_REFUSE), EEXIST);
    push_client_options options = {.max_buffer = 7, .duplicate = PUSH_REFUSE};
    assert_null_errno(push_client_open(PUSH_ID("s"), PUSH_ID("c"), &options), EEXIST);
    assert_int_equal(push_session_len(s), 1);
    assert_next(c, 0, "1");
    assert_true(push_client_delete(c));
    push_client *next = duplicate(s, "c", PUSH_REFUSE);
    assert_non_null(next);
    push_client_unref(next);
    push_client_unref(c);
    push_session_unref(s);
}

static void replace(void **state)
{
    (void)state;
    int data;
    push_session *s = session("s");
    push_client *old = client(s, "c", 1);
    push_client *idle = client(s, "idle", 1);
    push_client_set_data(old, &data);
    assert_put(old, "old");
    struct call *send = begin_send(old, "x", -1);
    struct call *push = begin_push(s, "y");
    assert_asleep(send);
    assert_asleep(push);
    assert_next(idle, 0, "y"); /* it had room */
    struct call *pull = begin_pull(idle, -1);
    assert_asleep(pull);

    push_client *new = duplicate(s, "c", PUSH_REPLACE);
    assert_non_null(new);
    assert_ptr_not_equal(new, old);
    assert_int_equal(finish(send).rc, -EPIPE);
    assert_int_equal(finish(push).rc, 1);
    push_client *new_idle = duplicate(s, "idle", PUSH_REPLACE);
    assert_int_equal(finish(pull).rc, -EPIPE);
    assert_int_equal(push_session_len(s), 2);

    push_client_stats stats = stats_of(new);
    assert_int_equal(stats.max_buffer, 7);
    assert_int_equal(stats.queued, 0);
    assert_int_equal(stats.pushed, 0);
    assert_null(push_client_data(new));
    assert_ptr_equal(push_client_data(old), &data);
    assert_true(stats_of(old).closed);
    assert_false(push_client_delete(old));
    assert_int_equal(push_session_len(s), 2);
    assert_put(new, "new");
    assert_next(old, 0, "old");
    assert_drained(old);
    assert_next(new, 0, "new");
    push_client *found = push_client_find(s, PUSH_ID("c"));
    assert_ptr_equal(found, new);
    push_client_unref(found);

    /* Not taken: created. */
    push_client *fresh = duplicate(s, "fresh", PUSH_REPLACE);
    assert_non_null(fresh);
    push_client_unref(fresh);
    push_client_unref(old);
    push_client_unref(new);
    push_client_unref(idle);
    push_client_unref(new_idle);
    push_session_unref(s);
}

/* The handle that was taken over: closed and empty, at once, and powerless. */
static void check_taken_over(push_client *old)
{
    push_client_stats stats = stats_of(old);
    assert_true(stats.closed);
    assert_int_equal(stats.queued, 0);
    assert_drained(old);
    push_report report;
    memset(&report, 0xa5, sizeof(report));
    assert_int_equal(send_text(old, "x", &report), -EPIPE);
    assert_report(report, 0, 0, 0, 0);
    struct tracked t;
    push_msg *msg = tracked_msg(&t);
    assert_int_equal(push_client_unpull(old, msg), -EPIPE);
    assert_int_equal(t.freed, 0); /* still the caller's */
    push_msg_unref(msg);
    assert_int_equal(t.freed, 1);
    assert_true(readable(push_client_fd(old)));
    push_client_delete(old);
}

static void takeover_gets_the_mailbox_as_it_stands(void **state)
{
    (void)state;
    int data;
    push_session *s = session("s");
    push_client *old =
        with_options(s, "c", (push_client_options){.max_buffer = 3, .max_bytes = 9, .overflow = PUSH_DROP_NEWEST});
    push_client_set_data(old, &data);
    assert_put(old, "1");
    assert_put(old, "2");
    assert_put(old, "3");
    assert_int_equal(send_text(old, "lost", NULL), 0);
    assert_int_equal(send_text(old, "lost", NULL), 0);
    push_msg *one = pull_one(old, 0);
    assert_put(old, "4");
    push_client *other = push_client_ref(old);

    push_client *new = duplicate(s, "c", PUSH_TAKEOVER);
    assert_non_null(new);
    assert_ptr_not_equal(new, old);
    assert_int_equal(push_session_len(s), 1);
    push_client *found = push_client_find(s, PUSH_ID("c"));
    assert_ptr_equal(found, new);
    push_client_unref(found);
    check_taken_over(old);
    check_taken_over(other);
    assert_int_equal(push_session_len(s), 1); /* an old handle deletes nothing newer */

    push_client_stats stats = stats_of(new);
    assert_false(stats.closed);
    assert_int_equal(stats.max_buffer, 3);
    assert_int_equal(stats.queued, 3);
    assert_int_equal(stats.queued_bytes, 3);
    assert_int_equal(stats.high_water, 3);
    assert_int_equal(stats.pushed, 4);
    assert_int_equal(stats.pulled, 1);
    assert_int_equal(stats.dropped, 2);
    assert_ptr_equal(push_client_data(new), &data);
    assert_true(push_id_equal(push_client_id(new), PUSH_ID("c")));
    assert_ptr_equal(push_client_session(new), s);

    /* What the old device had pulled and could not show can be put back through the new handle. */
    assert_int_equal(push_client_unpull(new, one), 0);
    assert_next(new, 0, "1");
    assert_next(new, 0, "2");
    assert_next(new, 0, "3");
    assert_next(new, 2, "4"); /* the gap, at its place */
    assert_empty(new);
    assert_put(new, "123456789");
    assert_int_equal(send_text(new, "1", NULL), 0); /* the limit by bytes is kept, and the policy */
    assert_put(new, "");
    push_client_unref(old);
    push_client_unref(other);
    assert_next(new, 0, "123456789");
    assert_next(new, 1, "");
    push_client_unref(new);
    push_session_unref(s);
}

/* A gap that nothing stands behind yet goes over as well. */
static void takeover_keeps_a_gap_at_the_end(void **state)
{
    (void)state;
    push_session *s = session("s");
    push_client *old = client_with(s, "c", 1, PUSH_DROP_NEWEST);
    assert_put(old, "1");
    assert_int_equal(send_text(old, "2", NULL), 0);
    assert_next(old, 0, "1");
    push_client *new = duplicate(s, "c", PUSH_TAKEOVER);
    assert_put(new, "3");
    assert_next(new, 1, "3");
    push_client_unref(old);
    push_client_unref(new);

    old = client_with(s, "d", 1, PUSH_DROP_OLDEST);
    for (int i = 0; i < 4; i++)
        assert_int_equal(send_text(old, (char[2]){(char)('0' + i)}, NULL), 1);
    new = duplicate(s, "d", PUSH_TAKEOVER);
    assert_next(new, 3, "3");
    push_client_unref(old);
    push_client_unref(new);
    push_session_unref(s);
}

static void takeover_ends_pulls_and_keeps_pushes(void **state)
{
    (void)state;
    push_session *s = session("s");
    push_client *empty = client(s, "empty", 1);
    push_client *full = client(s, "full", 1);
    assert_put(full, "fill");
    struct call *pulls[] = {begin_pull(empty, -1), begin_pull_many(empty, 60000),
                            begin_pull_by_id(s, PUSH_ID("empty"), -1)};
    for (size_t i = 0; i < COUNT(pulls); i++)
        assert_asleep(pulls[i]);
    struct call *first = begin_send(full, "first", -1);
    assert_asleep(first);
    struct call *second = begin_send_all(s, "second", PUSH_ID("empty"), -1);
    assert_asleep(second);
    struct call *third = begin_send(full, "third", 500);
    assert_asleep(third);

    push_client *new_empty = duplicate(s, "empty", PUSH_TAKEOVER);
    for (size_t i = 0; i < COUNT(pulls); i++) {
        struct result r = finish(pulls[i]);
        assert_int_equal(r.rc, -EPIPE);
        assert_null(r.msg);
    }
    push_client *new_full = duplicate(s, "full", PUSH_TAKEOVER);
    assert_asleep(first);
    assert_asleep(second);
    assert_int_equal(finish(third).rc, 0); /* its deadline holds */
    /* Nobody overtakes those that came over. */
    assert_int_equal(send_text(new_full, "fourth", NULL), 0);
    assert_next(new_full, 0, "fill");
    assert_int_equal(finish(first).rc, 1);
    assert_next(new_full, 0, "first");
    assert_int_equal(finish(second).rc, 1);
    assert_next(new_full, 0, "second");
    assert_empty(new_full);
    check_taken_over(empty);
    check_taken_over(full);
    push_client_unref(empty);
    push_client_unref(full);

    /* Again, and then deleted: the pushes that wait see it. */
    assert_put(new_full, "fill");
    first = begin_send(new_full, "first", -1);
    assert_asleep(first);
    push_client *newer = duplicate(s, "full", PUSH_TAKEOVER);
    push_client *newest = duplicate(s, "full", PUSH_TAKEOVER);
    assert_asleep(first);
    assert_true(push_client_delete(newest));
    assert_int_equal(finish(first).rc, -EPIPE);
    assert_next(newest, 0, "fill");
    assert_drained(newest);
    check_taken_over(new_full);
    check_taken_over(newer);
    push_client_unref(newer);
    push_client_unref(newest);
    push_client_unref(new_full);
    push_client_unref(new_empty);
    push_session_unref(s);
}

static void takeover_of_a_rendezvous(void **state)
{
    (void)state;
    push_session *s = session("s");
    push_client *old = client(s, "c", 0);
    struct call *push = begin_push(s, "x");
    assert_asleep(push);
    push_client *new = duplicate(s, "c", PUSH_TAKEOVER);
    assert_int_equal(stats_of(new).max_buffer, 0);
    check_taken_over(old);
    assert_asleep(push);
    assert_next(new, 0, "x");
    assert_int_equal(finish(push).rc, 1);
    assert_int_equal(send_text(new, "y", NULL), 0);
    push_client_unref(old);
    push_client_unref(new);
    push_session_unref(s);
}

static void takeover_of_nobody_creates(void **state)
{
    (void)state;
    push_session *s = session("s");
    push_client *c = duplicate(s, "c", PUSH_TAKEOVER);
    assert_non_null(c);
    assert_int_equal(stats_of(c).max_buffer, 7);
    assert_put(c, "x");
    assert_true(push_client_delete(c));
    push_client *next = duplicate(s, "c", PUSH_TAKEOVER);
    assert_empty(next); /* a deleted client is not taken over */
    assert_int_equal(stats_of(next).pushed, 0);
    assert_next(c, 0, "x");
    assert_drained(c);
    push_client_unref(c);
    push_client_unref(next);
    push_session_unref(s);
}

/* Put-back messages, and more than max_buffer of them, go over too; the limit holds again once they are pulled. */
static void takeover_keeps_what_was_put_back(void **state)
{
    (void)state;
    push_session *s = session("s");
    push_client *old = client(s, "c", 2);
    assert_put(old, "1");
    assert_put(old, "2");
    push_msg *one = pull_one(old, 0);
    push_msg *two = pull_one(old, 0);
    assert_put(old, "3");
    assert_put(old, "4");
    assert_int_equal(push_client_unpull(old, two), 0);
    assert_int_equal(push_client_unpull(old, one), 0);
    push_client *new = duplicate(s, "c", PUSH_TAKEOVER);
    push_client_unref(old);
    assert_int_equal(stats_of(new).queued, 4);
    assert_int_equal(stats_of(new).queued_bytes, 4);
    assert_int_equal(stats_of(new).pulled, 0);
    assert_true(readable(push_client_fd(new)));
    assert_next(new, 0, "1");
    assert_next(new, 0, "2");
    assert_int_equal(send_text(new, "5", NULL), 0);
    assert_next(new, 0, "3");
    assert_put(new, "5");
    assert_next(new, 0, "4");
    assert_next(new, 0, "5");
    assert_empty(new);
    push_client_unref(new);
    push_session_unref(s);
}

/* Nobody holds the old handle: its mailbox lives on in the new one alone. */
static void takeover_without_an_old_handle(void **state)
{
    (void)state;
    struct tracked t;
    push_session *s = session("s");
    push_client *c = client(s, "c", 3);
    push_msg *msg = tracked_msg(&t);
    assert_int_equal(push_client_send(c, msg, 0, NULL), 1);
    push_msg_unref(msg);
    push_client_unref(c);
    for (int i = 0; i < 5; i++) {
        c = duplicate(s, "c", PUSH_TAKEOVER);
        assert_int_equal(stats_of(c).queued, 1);
        push_client_unref(c);
    }
    assert_int_equal(t.freed, 0);
    assert_true(push_session_delete_client(s, PUSH_ID("c")));
    assert_int_equal(t.freed, 1);
    push_session_unref(s);
}

/* ---- push_client_open ------------------------------------------------------------------------------------- */

static push_client *open_client(const char *session_id, const char *id)
{
    push_client *c = push_client_open(push_id_str(session_id), push_id_str(id), NULL);
    assert_non_null(c);
    return c;
}

static void open_creates_what_is_missing(void **state)
{
    (void)state;
    push_client *a = open_client("s", "a");
    assert_true(push_session_exists(PUSH_ID("s")));
    push_session *s = push_client_session(a);
    assert_true(push_id_equal(push_session_id(s), PUSH_ID("s")));
    assert_int_equal(push_session_len(s), 1);
    assert_int_equal(stats_of(a).max_buffer, 10);
    push_client *b = open_client("s", "b");
    assert_ptr_equal(push_client_session(b), s);
    push_client *shared = open_client("s", "a");
    assert_ptr_equal(shared, a);
    assert_int_equal(push_session_push(s, "x", 1), 2);
    push_client_options options = {.max_buffer = 3, .duplicate = PUSH_REPLACE};
    push_client *new = push_client_open(PUSH_ID("s"), PUSH_ID("a"), &options);
    assert_ptr_not_equal(new, a);
    assert_int_equal(stats_of(new).max_buffer, 3);
    assert_next(a, 0, "x");
    assert_drained(a);
    options.duplicate = PUSH_TAKEOVER;
    push_client *taken = push_client_open(PUSH_ID("s"), PUSH_ID("b"), &options);
    assert_next(taken, 0, "x");
    push_client *all[] = {a, b, shared, new, taken};
    for (size_t i = 0; i < COUNT(all); i++)
        push_client_unref(all[i]);
    assert_true(push_session_exists(PUSH_ID("s"))); /* handles delete nothing */
}

static void an_opened_session_goes_with_its_last_client(void **state)
{
    (void)state;
    /* By handle, by id, by a push that disconnects. */
    for (int kind = 0; kind < 3; kind++) {
        push_client_options options = {.max_buffer = 1, .overflow = PUSH_DISCONNECT};
        push_client *a = push_client_open(PUSH_ID("s"), PUSH_ID("a"), &options);
        push_client *b = push_client_open(PUSH_ID("s"), PUSH_ID("b"), &options);
        push_session *s = push_session_ref(push_client_session(a));
        assert_true(push_client_delete(b));
        assert_true(push_session_exists(PUSH_ID("s")));
        if (kind == 0) {
            assert_true(push_client_delete(a));
        } else if (kind == 1) {
            assert_true(push_session_delete_client(s, PUSH_ID("a")));
        } else {
            assert_int_equal(push_session_push(s, "1", 1), 1);
            assert_int_equal(push_session_push(s, "2", 1), 0);
        }
        assert_false(push_session_exists(PUSH_ID("s")));
        assert_null_errno(push_session_find(PUSH_ID("s")), ENOENT);
        assert_int_equal(push_session_push(s, "x", 1), -EPIPE);
        assert_null_errno(push_client_new(s, PUSH_ID("a"), NULL), EPIPE);
        assert_false(push_session_delete(PUSH_ID("s")));
        push_client_unref(a);
        push_client_unref(b);
        push_session_unref(s);
    }
}

/* Replacing or taking over the only client is no moment without a client. */
static void an_opened_session_stays_while_its_client_is_replaced(void **state)
{
    (void)state;
    push_duplicate how[] = {PUSH_REPLACE, PUSH_TAKEOVER};
    for (size_t i = 0; i < COUNT(how); i++) {
        push_client *old = open_client("s", "a");
        push_session *s = push_session_ref(push_client_session(old));
        push_client_options options = {.max_buffer = 1, .duplicate = how[i]};
        push_client *new = push_client_open(PUSH_ID("s"), PUSH_ID("a"), &options);
        assert_non_null(new);
        assert_ptr_equal(push_client_session(new), s);
        assert_int_equal(push_session_push(s, "x", 1), 1);
        push_client_unref(old);
        assert_next(new, 0, "x");
        assert_true(push_client_delete(new));
        assert_false(push_session_exists(PUSH_ID("s")));
        push_client_unref(new);
        push_session_unref(s);
    }
}

static void a_session_that_was_named_stays(void **state)
{
    (void)state;
    /* Named before, named after; with or without a client. */
    for (int kind = 0; kind < 3; kind++) {
        if (kind == 0)
            push_session_unref(session("s"));
        push_client *c = open_client("s", "a");
        if (kind == 1)
            push_session_unref(session("s"));
        if (kind == 2)
            push_session_unref(push_session_new(PUSH_ID("s"), PUSH_ID("a"), 1));
        assert_true(push_client_delete(c));
        assert_true(push_session_exists(PUSH_ID("s")));
        push_session *s = push_session_find(PUSH_ID("s"));
        assert_int_equal(push_session_len(s), 0);
        assert_int_equal(push_session_push(s, "x", 1), 0);
        push_session_unref(s);
        push_client_unref(c);
        assert_true(push_session_delete_if_empty(PUSH_ID("s")));
    }
    /* Finding it, and making a client in it by handle, are no naming. */
    push_client *a = open_client("s", "a");
    push_session *s = push_session_find(PUSH_ID("s"));
    push_client *b = client(s, "b", 1);
    assert_true(push_client_delete(a));
    assert_true(push_session_exists(PUSH_ID("s")));
    assert_true(push_client_delete(b));
    assert_false(push_session_exists(PUSH_ID("s")));
    push_client_unref(a);
    push_client_unref(b);
    push_session_unref(s);
}

static void a_failed_open_leaves_nothing(void **state)
{
    (void)state;
    /* Every allocation of it in turn. */
    long points = 0;
    for (long n = 0;; n++) {
        fail_allocations_after(n);
        errno = 0;
        push_client *c = push_client_open(PUSH_ID("s"), PUSH_ID("a"), NULL);
        int error = errno;
        bool refused = allocations_failed() > 0;
        fail_allocations_after(-1);
        if (!refused) {
            assert_non_null(c);
            assert_true(push_client_delete(c));
            push_client_unref(c);
            break;
        }
        points++;
        assert_null(c);
        assert_int_equal(error, ENOMEM);
        assert_false(push_session_exists(PUSH_ID("s")));
    }
    assert_true(points >= 1);
    /* The session that was there stays as it was. */
    push_client *there = open_client("s", "there");
    assert_put(there, "x");
    fail_allocations_after(0);
    assert_null_errno(push_client_open(PUSH_ID("s"), PUSH_ID("a"), NULL), ENOMEM);
    fail_allocations_after(-1);
    assert_int_equal(push_session_len(push_client_session(there)), 1);
    assert_next(there, 0, "x");
    assert_true(push_client_delete(there));
    assert_false(push_session_exists(PUSH_ID("s")));
    push_client_unref(there);
}

/* Nothing will be put there: no memory is needed to say so. */
static void a_deleted_client_needs_no_memory(void **state)
{
    (void)state;
    push_session *s = session("s");
    push_client *c = client(s, "c", 100);
    push_msg *msg = text_msg("x");
    while (true) {
        fail_allocations_after(0);
        int rc = push_client_send(c, msg, 0, NULL);
        fail_allocations_after(-1);
        if (rc == -ENOMEM && stats_of(c).queued > 0)
            break; /* its ring is full, and must grow */
        if (rc == -ENOMEM)
            rc = push_client_send(c, msg, 0, NULL);
        assert_int_equal(rc, 1);
    }
    assert_true(push_client_delete(c));
    fail_allocations_after(0);
    assert_int_equal(push_client_send(c, msg, 0, NULL), -EPIPE);
    assert_int_equal(push_client_send(c, msg, -1, NULL), -EPIPE);
    fail_allocations_after(-1);
    push_msg_unref(msg);
    push_client_unref(c);
    push_session_unref(s);
}

/* ---- A session as it opens and closes under several threads ------------------------------------------------ */

static void open_push_delete(void *arg)
{
    push_id me = push_id_int(*(uint64_t *)arg);
    push_client_options options = {.max_buffer = SIZE_MAX}; /* room for what the others push meanwhile */
    for (int i = 0; i < SCALED(50000); i++) {
        push_client *c = push_client_open(PUSH_ID("s"), me, &options);
        if (!EXPECT(c != NULL))
            continue;
        EXPECT(push_session_exists(PUSH_ID("s")));
        push_msg *msg = push_msg_new("x", 1);
        EXPECT(push_session_send(push_client_session(c), msg, PUSH_ID_NONE, 0, NULL) >= 1);
        push_msg_unref(msg);
        EXPECT(push_client_pull(c, &msg, 0) == 0);
        push_msg_unref(msg);
        EXPECT(push_client_delete(c));
        push_client_unref(c);
    }
}

static void opening_races_with_the_last_delete(void **state)
{
    (void)state;
    uint64_t ids[] = {1, 2, 3};
    crew_run(COUNT(ids), open_push_delete, ids, sizeof(ids[0]));
    assert_false(push_session_exists(PUSH_ID("s")));
}

static const struct CMUnitTest tests[] = {
    TEST(default_options),
    TEST(options_out_of_range),
    TEST(huge_limits_cost_nothing),
    TEST(capacity_is_exact),
    TEST(order_holds_through_growth),
    TEST(statistics),
    TEST(statistics_of_a_waiting_pull),
    TEST(handles),
    TEST(the_callers_pointer),
    TEST(delete_is_exact),
    TEST(deleting_ends_waiting_calls),
    TEST(send_waits_for_room),
    TEST(a_batch_of_any_size),
    TEST(pull_waits_for_a_message),
    TEST(share),
    TEST(refuse),
    TEST(replace),
    TEST(takeover_gets_the_mailbox_as_it_stands),
    TEST(takeover_keeps_a_gap_at_the_end),
    TEST(takeover_keeps_what_was_put_back),
    TEST(takeover_ends_pulls_and_keeps_pushes),
    TEST(takeover_of_a_rendezvous),
    TEST(takeover_of_nobody_creates),
    TEST(takeover_without_an_old_handle),
    TEST(open_creates_what_is_missing),
    TEST(an_opened_session_goes_with_its_last_client),
    TEST(an_opened_session_stays_while_its_client_is_replaced),
    TEST(a_session_that_was_named_stays),
    TEST(a_failed_open_leaves_nothing),
    TEST(a_deleted_client_needs_no_memory),
    TEST(opening_races_with_the_last_delete),
};
TEST_MAIN(tests)
