/* Sessions: the registry, pushes to all clients, pulls by id, deletes. */
#include "helpers.h"

#include <limits.h>

/* ---- Made and found -------------------------------------------------------------------------------------- */

static void new_finds_or_creates(void **state)
{
    (void)state;
    assert_false(push_session_exists(PUSH_ID("alice")));
    push_session *s = push_session_new(PUSH_ID("alice"), PUSH_ID("phone"), 3);
    assert_non_null(s);
    assert_true(push_session_exists(PUSH_ID("alice")));
    assert_int_equal(push_session_len(s), 1);
    assert_true(push_id_equal(push_session_id(s), PUSH_ID("alice")));

    push_session *again = push_session_new(PUSH_ID("alice"), PUSH_ID("laptop"), 3);
    assert_ptr_equal(again, s);
    assert_int_equal(push_session_len(s), 2);
    push_session *found = push_session_find(PUSH_ID("alice"));
    assert_ptr_equal(found, s);
    push_session *ref = push_session_ref(s);
    assert_ptr_equal(ref, s);
    push_session_unref(ref);
    push_session_unref(found);
    push_session_unref(again);
    push_session_unref(s);
}

static void without_a_client_id_no_client_is_made(void **state)
{
    (void)state;
    push_session *s = push_session_new(PUSH_ID("alice"), PUSH_ID_NONE, 10);
    assert_int_equal(push_session_len(s), 0);
    assert_int_equal(push_session_push(s, "x", 1), 0);
    push_session *again = push_session_new(PUSH_ID("alice"), push_id_str(NULL), SIZE_MAX);
    assert_int_equal(push_session_len(s), 0);
    push_session_unref(again);
    push_session_unref(s);
}

static void find_never_creates(void **state)
{
    (void)state;
    assert_null_errno(push_session_find(PUSH_ID("nobody")), ENOENT);
    assert_false(push_session_exists(PUSH_ID("nobody")));
    size_t count = 99;
    push_id *ids = push_sessions(&count);
    assert_int_equal(count, 0);
    push_ids_free(ids);
}

static void an_existing_client_keeps_its_mailbox(void **state)
{
    (void)state;
    push_session *s = push_session_new(PUSH_ID("alice"), PUSH_ID("phone"), 2);
    assert_int_equal(push_session_push(s, "one", 3), 1);
    size_t others[] = {0, 1, 5, SIZE_MAX};
    for (size_t i = 0; i < COUNT(others); i++)
        push_session_unref(push_session_new(PUSH_ID("alice"), PUSH_ID("phone"), others[i]));
    push_client *c = push_client_find(s, PUSH_ID("phone"));
    assert_int_equal(stats_of(c).max_buffer, 2);
    assert_int_equal(stats_of(c).queued, 1);
    assert_put(c, "two");
    assert_int_equal(send_text(c, "three", NULL), 0);
    assert_next(c, 0, "one");
    assert_next(c, 0, "two");
    assert_empty(c);
    push_client_unref(c);
    push_session_unref(s);
}

static void a_client_made_by_session_new_blocks(void **state)
{
    (void)state;
    push_session *s = push_session_new(PUSH_ID("alice"), PUSH_ID("phone"), 3);
    push_report report;
    for (int i = 0; i < 3; i++)
        assert_int_equal(send_all_text(s, "x", &report), 1);
    assert_int_equal(send_all_text(s, "x", &report), 0);
    assert_report(report, 0, 0, 0, 1);
    push_session_unref(s);
}

static void dropping_handles_deletes_nothing(void **state)
{
    (void)state;
    push_session *s = push_session_new(PUSH_ID("alice"), PUSH_ID("phone"), 3);
    assert_int_equal(push_session_push(s, "one", 3), 1);
    push_session_unref(s);
    push_session_unref(NULL);
    assert_true(push_session_exists(PUSH_ID("alice")));
    s = push_session_find(PUSH_ID("alice"));
    assert_non_null(s);
    assert_int_equal(push_session_len(s), 1);
    push_client *c = push_client_find(s, PUSH_ID("phone"));
    push_session_unref(s);
    assert_next(c, 0, "one");
    push_client_unref(c);
    /* Without a client as well. */
    push_session_unref(session("bob"));
    assert_true(push_session_exists(PUSH_ID("bob")));
}

/* ---- Lists ----------------------------------------------------------------------------------------------- */

static size_t occurrences(const push_id *ids, size_t count, push_id id)
{
    size_t n = 0;
    for (size_t i = 0; i < count; i++)
        n += push_id_equal(ids[i], id);
    return n;
}

static void clients_are_listed(void **state)
{
    (void)state;
    push_session *s = session("s");
    size_t count = 99;
    push_id *ids = push_session_clients(s, &count);
    assert_non_null(ids);
    assert_int_equal(count, 0);
    assert_true(push_id_equal(ids[0], PUSH_ID_NONE));
    push_ids_free(ids);

    push_id expected[] = {PUSH_ID(42), PUSH_ID("42"), push_id_bytes("a\0b", 3), PUSH_ID(""), PUSH_ID(UINT64_MAX)};
    for (size_t i = 0; i < COUNT(expected); i++)
        push_client_unref(push_client_new(s, expected[i], NULL));
    long before = blocks_held();
    ids = push_session_clients(s, &count);
    assert_non_null(ids);
    assert_int_equal(blocks_held(), before + 1); /* one allocation, the bytes included */
    assert_int_equal(count, COUNT(expected));
    assert_true(push_id_equal(ids[count], PUSH_ID_NONE));
    for (size_t i = 0; i < COUNT(expected); i++)
        assert_int_equal(occurrences(ids, count, expected[i]), 1);
    push_ids_free(ids);
    assert_int_equal(blocks_held(), before);

    ids = push_session_clients(s, NULL);
    assert_non_null(ids);
    assert_true(push_id_equal(ids[COUNT(expected)], PUSH_ID_NONE));
    push_ids_free(ids);
    push_ids_free(NULL);

    assert_true(push_session_delete_client(s, PUSH_ID("42")));
    ids = push_session_clients(s, &count);
    assert_int_equal(count, COUNT(expected) - 1);
    assert_int_equal(occurrences(ids, count, PUSH_ID("42")), 0);
    assert_int_equal(occurrences(ids, count, PUSH_ID(42)), 1);
    push_ids_free(ids);

    assert_true(push_session_delete(PUSH_ID("s")));
    count = 99;
    ids = push_session_clients(s, &count);
    assert_non_null(ids);
    assert_int_equal(count, 0);
    assert_true(push_id_equal(ids[0], PUSH_ID_NONE));
    push_ids_free(ids);
    push_session_unref(s);
}

static void sessions_are_listed(void **state)
{
    (void)state;
    size_t count = 99;
    push_id *ids = push_sessions(&count);
    assert_non_null(ids);
    assert_int_equal(count, 0);
    assert_true(push_id_equal(ids[0], PUSH_ID_NONE));
    push_ids_free(ids);

    enum { N = 3000 };
    char name[32];
    for (int i = 0; i < N; i++) {
        snprintf(name, sizeof(name), "session number %d", i);
        push_session_unref(i % 2 ? session(name) : push_session_new(PUSH_ID(i), PUSH_ID_NONE, 0));
    }
    long before = blocks_held();
    ids = push_sessions(&count);
    assert_non_null(ids);
    assert_int_equal(blocks_held(), before + 1);
    assert_int_equal(count, N);
    assert_true(push_id_equal(ids[N], PUSH_ID_NONE));
    /* Deleting by the list: each exists once, and none is left. */
    for (size_t i = 0; i < count; i++)
        assert_true(push_session_delete(ids[i]));
    push_ids_free(ids);
    ids = push_sessions(NULL);
    assert_non_null(ids);
    assert_true(push_id_equal(ids[0], PUSH_ID_NONE));
    push_ids_free(ids);
}

/* ---- Pushes ---------------------------------------------------------------------------------------------- */

static void a_push_reaches_every_client_in_order(void **state)
{
    (void)state;
    enum { N = 20, MESSAGES = 30 };
    push_session *s = session("s");
    push_client *clients[N];
    char text[16];
    for (int i = 0; i < N; i++) {
        snprintf(text, sizeof(text), "c%d", i);
        clients[i] = client(s, text, MESSAGES);
    }
    for (int m = 0; m < MESSAGES; m++) {
        snprintf(text, sizeof(text), "m%d", m);
        push_report report;
        if (m % 2) {
            assert_int_equal(send_all_text(s, text, &report), N);
            assert_report(report, N, 0, 0, 0);
        } else {
            assert_int_equal(push_session_push(s, text, strlen(text)), N);
        }
    }
    for (int i = 0; i < N; i++) {
        for (int m = 0; m < MESSAGES; m++) {
            snprintf(text, sizeof(text), "m%d", m);
            assert_next(clients[i], 0, text);
        }
        assert_empty(clients[i]);
        push_client_unref(clients[i]);
    }
    push_session_unref(s);
}

static void push_copies_its_bytes(void **state)
{
    (void)state;
    push_session *s = session("s");
    push_client *c = client(s, "c", 2);
    char bytes[] = "hello";
    assert_int_equal(push_session_push(s, bytes, 5), 1);
    memset(bytes, 'x', 5);
    assert_next(c, 0, "hello");
    push_client_unref(c);
    push_session_unref(s);
}

static void the_origin_is_passed_over(void **state)
{
    (void)state;
    push_session *s = session("s");
    push_client *a = client(s, "a", 1);
    push_client *b = client(s, "b", 1);
    push_client *number = push_client_new(s, PUSH_ID(7), NULL);
    push_msg *msg = text_msg("hello");
    push_report report;
    assert_int_equal(push_session_send(s, msg, PUSH_ID("a"), -1, &report), 2);
    assert_report(report, 2, 0, 0, 0);
    assert_empty(a);
    assert_next(b, 0, "hello");
    assert_next(number, 0, "hello");
    assert_int_equal(push_session_send(s, msg, PUSH_ID(7), -1, &report), 2);
    assert_empty(number);
    assert_next(a, 0, "hello");
    assert_next(b, 0, "hello");
    /* An id that no client has passes over nobody. */
    assert_int_equal(push_session_send(s, msg, PUSH_ID("7"), -1, &report), 3);
    assert_report(report, 3, 0, 0, 0);
    /* A full origin is not waited for, nor counted. */
    assert_next(b, 0, "hello");
    assert_int_equal(push_session_send(s, msg, PUSH_ID("a"), -1, &report), 2);
    assert_report(report, 2, 0, 0, 0);
    push_msg_unref(msg);
    push_client_unref(a);
    push_client_unref(b);
    push_client_unref(number);
    push_session_unref(s);
}

/* One client of each policy, all full; and one with room. */
static void the_report_counts_by_policy(void **state)
{
    (void)state;
    push_session *s = session("s");
    push_client *blocking = client(s, "blocking", 1);
    push_client *rendezvous = client(s, "rendezvous", 0);
    push_client *newest = client_with(s, "newest", 1, PUSH_DROP_NEWEST);
    push_client *oldest = client_with(s, "oldest", 1, PUSH_DROP_OLDEST);
    push_client *closing = client_with(s, "closing", 1, PUSH_DISCONNECT);
    push_client *room = client(s, "room", 2);
    push_report report;
    memset(&report, 0xa5, sizeof(report));
    assert_int_equal(send_all_text(s, "one", &report), 5);
    assert_report(report, 5, 0, 0, 1);
    memset(&report, 0xa5, sizeof(report));
    assert_int_equal(send_all_text(s, "two", &report), 2);
    assert_report(report, 2, 2, 1, 2); /* room and oldest took it; newest and oldest lost one */
    assert_int_equal(push_session_len(s), 5);

    assert_next(blocking, 0, "one");
    assert_next(newest, 0, "one");
    assert_next(oldest, 1, "two");
    assert_next(closing, 0, "one");
    assert_drained(closing);
    assert_next(room, 0, "one");
    assert_next(room, 0, "two");
    assert_empty(rendezvous);
    push_client *all[] = {blocking, rendezvous, newest, oldest, closing, room};
    for (size_t i = 0; i < COUNT(all); i++)
        push_client_unref(all[i]);
    push_session_unref(s);
}

static void a_push_waits_until_its_deadline(void **state)
{
    (void)state;
    push_session *s = session("s");
    push_client *full = client(s, "full", 1);
    push_client *room = client(s, "room", 9);
    assert_int_equal(push_session_push(s, "fill", 4), 2);
    push_msg *msg = text_msg("x");
    push_report report;
    int64_t began = now_ns();
    assert_int_equal(push_session_send(s, msg, PUSH_ID_NONE, 60, &report), 1);
    int64_t took = now_ns() - began;
    assert_report(report, 1, 0, 0, 1);
    assert_true(took >= 60 * MILLISECOND);
    assert_true(took < 10 * SECOND);
    /* The message that came too late does not come at all. */
    assert_next(full, 0, "fill");
    assert_empty(full);
    assert_next(room, 0, "fill");
    assert_next(room, 0, "x");
    push_msg_unref(msg);
    push_client_unref(full);
    push_client_unref(room);
    push_session_unref(s);
}

static void one_deadline_for_many_full_mailboxes(void **state)
{
    (void)state;
    enum { N = 200 };
    push_session *s = session("s");
    for (int i = 0; i < N; i++) {
        push_client_options options = {.max_buffer = 1};
        push_client_unref(push_client_new(s, PUSH_ID(i), &options));
    }
    assert_int_equal(push_session_push(s, "fill", 4), N);
    push_msg *msg = text_msg("x");
    push_report report;
    int64_t began = now_ns();
    assert_int_equal(push_session_send(s, msg, PUSH_ID_NONE, 100, &report), 0);
    int64_t took = now_ns() - began;
    assert_report(report, 0, 0, 0, N);
    assert_true(took >= 100 * MILLISECOND);
    assert_true(took < N * 100 * MILLISECOND / 2);
    push_msg_unref(msg);
    push_session_unref(s);
}

static void a_blocked_push_ends_when_there_is_room(void **state)
{
    (void)state;
    push_session *s = session("s");
    push_client *a = client(s, "a", 1);
    push_client *b = client(s, "b", 1);
    push_client *room = client(s, "room", 9);
    for (int kind = 0; kind < 2; kind++) {
        assert_int_equal(push_session_push(s, "fill", 4), 3);
        struct call *push = kind == 0 ? begin_push(s, "late") : begin_send_all(s, "late", PUSH_ID_NONE, -1);
        assert_asleep(push);
        /* Who has room has it already. */
        assert_next(room, 0, "fill");
        assert_next(room, 0, "late");
        assert_next(a, 0, "fill");
        assert_next(a, 0, "late");
        assert_asleep(push); /* b is still full */
        assert_next(b, 0, "fill");
        struct result r = finish(push);
        assert_int_equal(r.rc, 3);
        if (kind == 1)
            assert_report(r.report, 3, 0, 0, 0);
        assert_next(b, 0, "late");
    }
    push_client_unref(a);
    push_client_unref(b);
    push_client_unref(room);
    push_session_unref(s);
}

static void negative_timeouts_wait_for_ever(void **state)
{
    (void)state;
    int timeouts[] = {-1, -2, -1000, INT_MIN, INT_MAX};
    push_session *s = session("s");
    push_client *c = client(s, "c", 1);
    for (size_t i = 0; i < COUNT(timeouts); i++) {
        struct call *pull = begin_pull_by_id(s, PUSH_ID("c"), timeouts[i]);
        assert_asleep(pull);
        assert_put(c, "one");
        struct result r = finish(pull);
        assert_int_equal(r.rc, 0);
        assert_text(r.msg, "one");

        assert_put(c, "fill");
        struct call *push = begin_send_all(s, "two", PUSH_ID_NONE, timeouts[i]);
        assert_asleep(push);
        assert_next(c, 0, "fill");
        assert_int_equal(finish(push).rc, 1);
        assert_next(c, 0, "two");
    }
    push_client_unref(c);
    push_session_unref(s);
}

/* Who joins while a push waits does not get what was pushed before. */
static void a_newcomer_gets_what_is_pushed_later(void **state)
{
    (void)state;
    push_session *s = session("s");
    push_client *full = client(s, "full", 1);
    assert_put(full, "fill");
    struct call *push = begin_push(s, "early");
    assert_asleep(push);
    push_client *late = client(s, "late", 3);
    assert_next(full, 0, "fill");
    assert_int_equal(finish(push).rc, 1);
    assert_next(full, 0, "early");
    assert_int_equal(push_session_push(s, "later", 5), 2);
    assert_next(late, 0, "later");
    assert_empty(late);
    push_client_unref(full);
    push_client_unref(late);
    push_session_unref(s);
}

/* ---- Pulls by id ----------------------------------------------------------------------------------------- */

static push_msg *const MARK = (push_msg *)1;

static void pull_by_id(void **state)
{
    (void)state;
    push_session *s = push_session_new(PUSH_ID("s"), PUSH_ID("c"), 2);
    push_msg *msg = MARK;
    assert_int_equal(push_session_pull(s, PUSH_ID("c"), &msg, 0), -EAGAIN);
    assert_null(msg);
    msg = MARK;
    int64_t began = now_ns();
    assert_int_equal(push_session_pull(s, PUSH_ID("c"), &msg, 30), -ETIMEDOUT);
    assert_true(now_ns() - began >= 30 * MILLISECOND);
    assert_null(msg);
    msg = MARK;
    assert_int_equal(push_session_pull(s, PUSH_ID("other"), &msg, -1), -ENOENT);
    assert_null(msg);
    assert_int_equal(push_session_len(s), 1); /* a pull creates nothing */

    assert_int_equal(push_session_push(s, "one", 3), 1);
    assert_int_equal(push_session_push(s, "two", 3), 1);
    assert_int_equal(push_session_pull(s, PUSH_ID("c"), &msg, -1), 0);
    assert_text(msg, "one");
    assert_int_equal(push_session_pull(s, PUSH_ID("c"), &msg, 5), 0);
    assert_text(msg, "two");

    assert_int_equal(push_session_push(s, "left", 4), 1);
    assert_true(push_session_delete_client(s, PUSH_ID("c")));
    msg = MARK;
    assert_int_equal(push_session_pull(s, PUSH_ID("c"), &msg, 0), -ENOENT);
    assert_null(msg);
    push_session_unref(push_session_new(PUSH_ID("s"), PUSH_ID("c"), 2));
    assert_int_equal(push_session_pull(s, PUSH_ID("c"), &msg, 0), -EAGAIN);
    assert_int_equal(push_session_push(s, "left", 4), 1);
    assert_true(push_session_delete(PUSH_ID("s")));
    msg = MARK;
    assert_int_equal(push_session_pull(s, PUSH_ID("c"), &msg, -1), -ENOENT);
    assert_null(msg);
    push_session_unref(s);
}

static void pull_by_id_tells_of_gaps(void **state)
{
    (void)state;
    push_session *s = session("s");
    push_client_unref(client_with(s, "c", 2, PUSH_DROP_OLDEST));
    for (int i = 0; i < 5; i++)
        assert_int_equal(push_session_push(s, &"01234"[i], 1), 1);
    push_msg *msg;
    assert_int_equal(push_session_pull(s, PUSH_ID("c"), &msg, -1), 3);
    assert_text(msg, "3");
    assert_int_equal(push_session_pull(s, PUSH_ID("c"), &msg, -1), 0);
    assert_text(msg, "4");
    push_session_unref(s);
}

static void deleting_ends_a_waiting_pull_by_id(void **state)
{
    (void)state;
    for (int kind = 0; kind < 4; kind++) {
        push_session *s = push_session_new(PUSH_ID("s"), PUSH_ID("c"), 2);
        push_client *c = push_client_find(s, PUSH_ID("c"));
        struct call *pull = begin_pull_by_id(s, PUSH_ID("c"), kind % 2 ? -1 : 60000);
        assert_asleep(pull);
        if (kind == 0)
            assert_true(push_session_delete_client(s, PUSH_ID("c")));
        if (kind == 1)
            assert_true(push_session_delete(PUSH_ID("s")));
        if (kind == 2)
            assert_true(push_client_delete(c));
        if (kind == 3)
            push_shutdown();
        struct result r = finish(pull);
        assert_int_equal(r.rc, -EPIPE);
        assert_null(r.msg);
        push_client_unref(c);
        push_session_unref(s);
        push_session_delete(PUSH_ID("s"));
    }
}

/* A pull by id that waits is on that client: not on a newer one of the id. */
static void a_waiting_pull_by_id_does_not_change_over(void **state)
{
    (void)state;
    push_session *s = push_session_new(PUSH_ID("s"), PUSH_ID("c"), 2);
    struct call *pull = begin_pull_by_id(s, PUSH_ID("c"), -1);
    assert_asleep(pull);
    assert_true(push_session_delete_client(s, PUSH_ID("c")));
    push_client *newer = client(s, "c", 2);
    assert_put(newer, "for the newer one");
    assert_int_equal(finish(pull).rc, -EPIPE);
    assert_next(newer, 0, "for the newer one");
    push_client_unref(newer);
    push_session_unref(s);
}

/* ---- Deletes --------------------------------------------------------------------------------------------- */

static void deleting_what_is_not_there_is_fine(void **state)
{
    (void)state;
    push_session *s = push_session_new(PUSH_ID("s"), PUSH_ID("c"), 2);
    assert_false(push_session_delete_client(s, PUSH_ID("other")));
    assert_true(push_session_delete_client(s, PUSH_ID("c")));
    assert_false(push_session_delete_client(s, PUSH_ID("c")));
    assert_int_equal(push_session_len(s), 0);
    assert_true(push_session_exists(PUSH_ID("s")));
    assert_false(push_session_delete(PUSH_ID("other")));
    assert_true(push_session_delete(PUSH_ID("s")));
    assert_false(push_session_delete(PUSH_ID("s")));
    assert_false(push_session_delete_if_empty(PUSH_ID("s")));
    assert_false(push_session_delete_client(s, PUSH_ID("c")));
    push_session_unref(s);
}

static void delete_if_empty(void **state)
{
    (void)state;
    push_session *s = push_session_new(PUSH_ID("s"), PUSH_ID("c"), 2);
    assert_false(push_session_delete_if_empty(PUSH_ID("s")));
    assert_true(push_session_exists(PUSH_ID("s")));
    assert_int_equal(push_session_push(s, "x", 1), 1);
    assert_true(push_session_delete_client(s, PUSH_ID("c")));
    assert_true(push_session_delete_if_empty(PUSH_ID("s")));
    assert_false(push_session_exists(PUSH_ID("s")));
    assert_false(push_session_delete_if_empty(PUSH_ID("s")));
    assert_int_equal(push_session_push(s, "x", 1), -EPIPE);
    push_session_unref(s);
}

static void a_deleted_session_is_closed(void **state)
{
    (void)state;
    push_session *s = session("s");
    push_client *c = client(s, "c", 5);
    assert_int_equal(push_session_push(s, "one", 3), 1);
    assert_int_equal(push_session_push(s, "two", 3), 1);
    assert_true(push_session_delete(PUSH_ID("s")));
    assert_false(push_session_exists(PUSH_ID("s")));
    assert_null_errno(push_session_find(PUSH_ID("s")), ENOENT);

    push_report report;
    memset(&report, 0xa5, sizeof(report));
    push_msg *msg = text_msg("x");
    assert_int_equal(push_session_push(s, "x", 1), -EPIPE);
    assert_int_equal(push_session_send(s, msg, PUSH_ID_NONE, 0, &report), -EPIPE);
    assert_report(report, 0, 0, 0, 0);
    memset(&report, 0xa5, sizeof(report));
    assert_int_equal(push_session_send(s, msg, PUSH_ID("c"), -1, &report), -EPIPE);
    assert_report(report, 0, 0, 0, 0);
    memset(&report, 0xa5, sizeof(report));
    assert_int_equal(push_client_send(c, msg, -1, &report), -EPIPE);
    assert_report(report, 0, 0, 0, 0);
    push_msg_unref(msg);
    assert_int_equal(push_session_len(s), 0);
    assert_null_errno(push_client_find(s, PUSH_ID("c")), ENOENT);
    assert_null_errno(push_client_new(s, PUSH_ID("c"), NULL), EPIPE);
    assert_null_errno(push_client_new(s, PUSH_ID("d"), NULL), EPIPE);
    assert_int_equal(push_session_pull_fd(s, PUSH_ID("c")), -ENOENT);
    assert_false(push_session_delete_client(s, PUSH_ID("c")));
    assert_false(push_client_delete(c));
    assert_true(push_id_equal(push_session_id(s), PUSH_ID("s")));

    /* What was queued is there for who holds the client. */
    assert_true(stats_of(c).closed);
    assert_int_equal(stats_of(c).queued, 2);
    assert_next(c, 0, "one");
    assert_next(c, 0, "two");
    assert_drained(c);
    push_client_unref(c);
    push_session_unref(s);
}

static void an_old_handle_never_touches_the_new_session(void **state)
{
    (void)state;
    push_session *old = session("s");
    push_client *old_client = client(old, "c", 5);
    assert_true(push_session_delete(PUSH_ID("s")));
    push_session *new = session("s");
    assert_ptr_not_equal(new, old);
    push_client *c = client(new, "c", 5);

    assert_int_equal(push_session_push(old, "x", 1), -EPIPE);
    assert_int_equal(send_text(old_client, "x", NULL), -EPIPE);
    assert_false(push_session_delete_client(old, PUSH_ID("c")));
    assert_false(push_client_delete(old_client));
    assert_null_errno(push_client_new(old, PUSH_ID("d"), NULL), EPIPE);
    assert_int_equal(push_session_len(old), 0);
    push_msg *msg;
    assert_int_equal(push_session_pull(old, PUSH_ID("c"), &msg, 0), -ENOENT);
    push_client_unref(old_client);
    push_session_unref(old);

    assert_int_equal(push_session_len(new), 1);
    assert_false(stats_of(c).closed);
    assert_int_equal(push_session_push(new, "y", 1), 1);
    assert_next(c, 0, "y");
    assert_empty(c);
    push_client_unref(c);
    push_session_unref(new);
}

/* The push that waits when the session goes: the count of those that took it, -EPIPE for none. */
static void deleting_a_session_ends_waiting_pushes(void **state)
{
    (void)state;
    for (int kind = 0; kind < 2; kind++) {
        push_session *s = session("s");
        push_client *full = client(s, "full", 1);
        push_client *room = kind == 0 ? NULL : client(s, "room", 9);
        assert_put(full, "fill");
        struct call *push = begin_push(s, "x");
        struct call *send = begin_send_all(s, "y", PUSH_ID_NONE, 60000);
        struct call *one = begin_send(full, "z", -1);
        assert_asleep(push);
        assert_asleep(send);
        assert_asleep(one);
        if (kind == 0)
            push_session_delete(PUSH_ID("s"));
        else
            push_shutdown();
        int expected = kind == 0 ? -EPIPE : 1;
        assert_int_equal(finish(push).rc, expected);
        struct result r = finish(send);
        assert_int_equal(r.rc, expected);
        assert_report(r.report, (size_t)kind, 0, 0, 0);
        r = finish(one);
        assert_int_equal(r.rc, -EPIPE);
        assert_report(r.report, 0, 0, 0, 0);
        /* What waited was not delivered. */
        assert_next(full, 0, "fill");
        assert_drained(full);
        if (room) {
            push_msg *msg;
            for (int i = 0; i < 2; i++) {
                assert_int_equal(push_client_pull(room, &msg, 0), 0);
                push_msg_unref(msg);
            }
            assert_drained(room);
        }
        push_client_unref(full);
        push_client_unref(room);
        push_session_unref(s);
    }
}

/* On error the report is zeros, whatever the push had done by then. */
static void the_report_of_a_push_that_failed_late(void **state)
{
    (void)state;
    push_session *s = session("s");
    push_client *full = client(s, "full", 1);
    push_client *newest = client_with(s, "newest", 1, PUSH_DROP_NEWEST);
    push_client *closing = client_with(s, "closing", 1, PUSH_DISCONNECT);
    assert_int_equal(push_session_push(s, "fill", 4), 3);
    struct call *push = begin_send_all(s, "x", PUSH_ID_NONE, -1);
    assert_asleep(push);
    assert_true(stats_of(closing).closed);
    assert_int_equal(stats_of(newest).dropped, 1);
    assert_true(push_session_delete(PUSH_ID("s")));
    struct result r = finish(push);
    assert_int_equal(r.rc, -EPIPE);
    assert_report(r.report, 0, 0, 0, 0);
    push_client_unref(full);
    push_client_unref(newest);
    push_client_unref(closing);
    push_session_unref(s);
}

/* The session stays: the push goes on to count the others. */
static void deleting_the_full_client_ends_a_waiting_push(void **state)
{
    (void)state;
    push_session *s = session("s");
    push_client *full = client(s, "full", 1);
    assert_put(full, "fill");
    struct call *push = begin_push(s, "x");
    assert_asleep(push);
    assert_true(push_client_delete(full));
    assert_int_equal(finish(push).rc, 0);
    assert_next(full, 0, "fill");
    assert_drained(full);
    push_client_unref(full);

    full = client(s, "full", 1);
    push_client *other = client(s, "other", 1);
    push_client *room = client(s, "room", 5);
    assert_int_equal(push_session_push(s, "fill", 4), 3);
    push = begin_send_all(s, "x", PUSH_ID_NONE, -1);
    assert_asleep(push);
    assert_true(push_session_delete_client(s, PUSH_ID("full")));
    assert_asleep(push); /* for the other one */
    assert_next(other, 0, "fill");
    struct result r = finish(push);
    assert_int_equal(r.rc, 2);
    assert_report(r.report, 2, 0, 0, 0);
    push_client_unref(full);
    push_client_unref(other);
    push_client_unref(room);
    push_session_unref(s);
}

/* ---- Shutdown -------------------------------------------------------------------------------------------- */

static void shutdown_deletes_everything_and_the_library_goes_on(void **state)
{
    (void)state;
    push_shutdown(); /* nothing there yet */
    for (int round = 0; round < 3; round++) {
        push_session *s = session("s");
        push_client *c = client(s, "c", 5);
        for (int i = 0; i < 100; i++)
            push_session_unref(push_session_new(PUSH_ID(i), PUSH_ID("x"), 1));
        assert_int_equal(push_session_push(s, "one", 3), 1);
        push_shutdown();
        push_shutdown();
        assert_false(push_session_exists(PUSH_ID("s")));
        assert_false(push_session_exists(PUSH_ID(7)));
        assert_int_equal(push_session_push(s, "two", 3), -EPIPE);
        assert_true(stats_of(c).closed);

        /* Used again while old handles are still held. */
        push_session *new = push_session_new(PUSH_ID("s"), PUSH_ID("c"), 5);
        assert_int_equal(push_session_push(new, "new", 3), 1);
        assert_next(c, 0, "one");
        assert_drained(c);
        push_client_unref(c);
        push_session_unref(s);
        push_session_unref(new);
        assert_true(push_session_exists(PUSH_ID("s")));
        push_shutdown();
        assert_int_equal(blocks_held(), 0);
    }
}

/* ---- Races of create and delete -------------------------------------------------------------------------- */

static atomic_bool stop;

static void delete_if_empty_again_and_again(void *arg)
{
    (void)arg;
    while (!atomic_load(&stop))
        push_session_delete_if_empty(PUSH_ID("s"));
}

/* A session that has got its client in session_new cannot be deleted as empty. */
static void create_push_delete(void *arg)
{
    push_id me = push_id_int(*(uint64_t *)arg);
    for (int i = 0; i < SCALED(100000); i++) {
        push_session *s = push_session_new(PUSH_ID("s"), me, 1);
        if (!EXPECT(s != NULL))
            continue;
        EXPECT(push_session_exists(PUSH_ID("s")));
        push_client *c = push_client_find(s, me);
        EXPECT(c != NULL);
        push_msg *msg = push_msg_new("x", 1);
        EXPECT(push_client_send(c, msg, 0, NULL) >= 0);
        EXPECT(push_session_send(s, msg, PUSH_ID_NONE, 0, NULL) >= 0);
        push_msg_unref(msg);
        EXPECT(push_client_delete(c));
        push_client_unref(c);
        push_session_unref(s);
    }
}

static void creating_races_with_delete_if_empty(void **state)
{
    (void)state;
    atomic_store(&stop, false);
    uint64_t ids[] = {1, 2};
    struct crew *deleter = crew_start(1, delete_if_empty_again_and_again, NULL, 0);
    crew_run(COUNT(ids), create_push_delete, ids, sizeof(ids[0]));
    atomic_store(&stop, true);
    crew_join(deleter);
    push_session_delete_if_empty(PUSH_ID("s"));
    assert_false(push_session_exists(PUSH_ID("s")));
}

/* Many sessions made and deleted by several threads: each thread's own are what it made of them. */
static void make_and_delete_sessions(void *arg)
{
    uint64_t mine = *(uint64_t *)arg << 32;
    enum { N = 300 };
    for (int round = 0; round < SCALED(100); round++) {
        for (uint64_t i = 0; i < N; i++) {
            push_session *s = push_session_new(push_id_int(mine + i), PUSH_ID("c"), 1);
            EXPECT(s && push_session_push(s, &i, sizeof(i)) == 1);
            push_session_unref(s);
        }
        for (uint64_t i = 0; i < N; i++) {
            push_session *s = push_session_find(push_id_int(mine + i));
            push_msg *msg = NULL;
            EXPECT(s && push_session_pull(s, PUSH_ID("c"), &msg, 0) == 0);
            EXPECT(msg && memcmp(push_msg_data(msg), &i, sizeof(i)) == 0);
            push_msg_unref(msg);
            push_session_unref(s);
            EXPECT(push_session_delete(push_id_int(mine + i)));
            EXPECT(!push_session_exists(push_id_int(mine + i)));
        }
    }
}

static void several_threads_use_the_registry(void **state)
{
    (void)state;
    uint64_t ids[] = {1, 2, 3, 4};
    crew_run(COUNT(ids), make_and_delete_sessions, ids, sizeof(ids[0]));
    size_t count;
    push_id *left = push_sessions(&count);
    push_ids_free(left);
    assert_int_equal(count, 0);
}

/* ---- Clients that are not alike -------------------------------------------------------------------------- */

/* One has less room than the others, wherever in the session it is. */
static void each_client_has_its_own_room(void **state)
{
    (void)state;
    enum { N = 8, BEFORE = 3, PUSHES = 10 };
    static const char *const texts[PUSHES] = {"0", "1", "2", "3", "4", "5", "6", "7", "8", "9"};
    for (size_t fuller = 0; fuller < N; fuller++) {
        push_session *s = session("s");
        push_client *c[N];
        for (uint64_t i = 0; i < N; i++)
            c[i] = push_client_new(s, PUSH_ID(i), &(push_client_options){.max_buffer = 100});
        for (int i = 0; i < BEFORE; i++)
            assert_put(c[fuller], "before");
        for (size_t i = 0; i < PUSHES; i++)
            assert_int_equal(send_all_text(s, texts[i], NULL), N);
        for (int i = 0; i < BEFORE; i++)
            assert_next(c[fuller], 0, "before");
        for (size_t i = 0; i < N; i++) {
            for (size_t k = 0; k < PUSHES; k++)
                assert_next(c[i], 0, texts[k]);
            assert_empty(c[i]);
            push_client_unref(c[i]);
        }
        push_session_unref(s);
        push_shutdown();
    }
}

/* ---- What one thread writes, and another looks at ----------------------------------------------------------
 * That the two are in order is for the thread sanitizer to see. */

enum { LOOKS = 2000 };

struct looker {
    push_session *s;
    push_client *c;
    bool writes;
};

static void join_leave_or_count(void *arg)
{
    const struct looker *l = arg;
    for (int i = 0; i < LOOKS; i++) {
        if (l->writes) {
            push_client_unref(push_client_new(l->s, PUSH_ID("guest"), NULL));
            EXPECT(push_session_delete_client(l->s, PUSH_ID("guest")));
        } else {
            EXPECT(push_session_len(l->s) - 1 <= 1);
        }
    }
}

/* The client's data is an int, each time another one, until the last is seen. */
static void write_or_read_data(void *arg)
{
    static int written[LOOKS];
    const struct looker *l = arg;
    for (int i = 0; i < LOOKS && l->writes; i++) {
        written[i] = i;
        push_client_set_data(l->c, &written[i]);
    }
    const int *data = NULL;
    for (int64_t end = now_ns() + PATIENCE; data != &written[LOOKS - 1] && now_ns() < end;) {
        data = push_client_data(l->c);
        EXPECT(!data || *data == data - written);
    }
    EXPECT(data == &written[LOOKS - 1]);
}

static void others_look_on(void **state)
{
    (void)state;
    push_session *s = session("s");
    push_client *c = client(s, "c", 1);
    struct looker lookers[] = {{s, c, true}, {s, c, false}};
    crew_run(COUNT(lookers), join_leave_or_count, lookers, sizeof(lookers[0]));
    crew_run(COUNT(lookers), write_or_read_data, lookers, sizeof(lookers[0]));
    assert_expectations();
    push_client_unref(c);
    push_session_unref(s);
}

static const struct CMUnitTest tests[] = {
    TEST(new_finds_or_creates),
    TEST(without_a_client_id_no_client_is_made),
    TEST(find_never_creates),
    TEST(an_existing_client_keeps_its_mailbox),
    TEST(a_client_made_by_session_new_blocks),
    TEST(dropping_handles_deletes_nothing),
    TEST(clients_are_listed),
    TEST(sessions_are_listed),
    TEST(a_push_reaches_every_client_in_order),
    TEST(push_copies_its_bytes),
    TEST(the_origin_is_passed_over),
    TEST(the_report_counts_by_policy),
    TEST(a_push_waits_until_its_deadline),
    TEST(one_deadline_for_many_full_mailboxes),
    TEST(a_blocked_push_ends_when_there_is_room),
    TEST(negative_timeouts_wait_for_ever),
    TEST(a_newcomer_gets_what_is_pushed_later),
    TEST(pull_by_id),
    TEST(pull_by_id_tells_of_gaps),
    TEST(deleting_ends_a_waiting_pull_by_id),
    TEST(a_waiting_pull_by_id_does_not_change_over),
    TEST(deleting_what_is_not_there_is_fine),
    TEST(delete_if_empty),
    TEST(a_deleted_session_is_closed),
    TEST(an_old_handle_never_touches_the_new_session),
    TEST(deleting_a_session_ends_waiting_pushes),
    TEST(the_report_of_a_push_that_failed_late),
    TEST(deleting_the_full_client_ends_a_waiting_push),
    TEST(shutdown_deletes_everything_and_the_library_goes_on),
    TEST(creating_races_with_delete_if_empty),
    TEST(several_threads_use_the_registry),
    TEST(each_client_has_its_own_room),
    TEST(others_look_on),
};
TEST_MAIN(tests)
