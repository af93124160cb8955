/*
 * Bad input of every kind, to every function: -EINVAL (or EINVAL in errno), before every other answer, without
 * waiting, and nothing has changed. And the words for results.
 */
#include "helpers.h"

#include <limits.h>

static char *long_bytes;
#define TOO_LONG push_id_bytes(long_bytes, PUSH_ID_MAX + 1)
#define FAR_TOO_LONG push_id_bytes(long_bytes, SIZE_MAX)

/* Something of everything, in every state. */
static struct world {
    push_session *live; /* with "c" and "empty" */
    push_session *dead;
    push_client *c;     /* holds two messages, full */
    push_client *empty; /* rendezvous */
    push_client *dead_client;
    push_client *taken_over;
    push_client *successor;
    push_poller *p; /* with c, ready, and one wake */
    push_msg *msg;
    struct tracked t;
} w;

struct picture {
    size_t sessions;
    size_t clients;
    push_client_stats stats[5];
    long blocks;
    int descriptors;
    int freed;
};

static struct picture take_picture(void)
{
    struct picture now = {.clients = push_session_len(w.live), .freed = w.t.freed};
    push_ids_free(push_sessions(&now.sessions));
    push_client *clients[] = {w.c, w.empty, w.dead_client, w.taken_over, w.successor};
    for (size_t i = 0; i < COUNT(clients); i++)
        now.stats[i] = stats_of(clients[i]);
    now.blocks = blocks_held();
    now.descriptors = count_descriptors();
    return now;
}

static struct picture before;

static int build_world(void **state)
{
    test_begin(state);
    long_bytes = calloc(1, PUSH_ID_MAX + 1);
    assert_non_null(long_bytes);
    w.live = session("live");
    w.dead = session("dead");
    w.c = client(w.live, "c", 2);
    w.empty = client(w.live, "empty", 0);
    w.dead_client = client(w.dead, "c", 2);
    w.taken_over = client(w.live, "t", 2);
    push_client_options options = {.max_buffer = 2, .duplicate = PUSH_TAKEOVER};
    w.successor = push_client_new(w.live, PUSH_ID("t"), &options);
    assert_put(w.dead_client, "1");
    assert_true(push_session_delete(PUSH_ID("dead")));
    assert_put(w.c, "1");
    assert_put(w.c, "2");
    w.p = push_poller_new();
    assert_int_equal(push_poller_add(w.p, w.c, NULL), 0);
    push_poller_wake(w.p);
    w.msg = tracked_msg(&w.t);
    before = take_picture();
    fail_allocations_after(0); /* bad input is found before a lack of memory, too */
    return 0;
}

static int check_world(void **state)
{
    fail_allocations_after(-1);
    struct picture after = take_picture();
    /* The wake and the client are still there for a wait, the messages for a pull. */
    push_event event;
    assert_int_equal(push_poller_wait(w.p, &event, 1, 0), 0);
    assert_int_equal(push_poller_wait(w.p, &event, 1, 0), 1);
    assert_ptr_equal(event.client, w.c);
    assert_next(w.c, 0, "1");
    assert_next(w.c, 0, "2");
    assert_empty(w.c);
    assert_next(w.dead_client, 0, "1");
    assert_drained(w.dead_client);
    push_msg_unref(w.msg);
    push_poller_free(w.p);
    push_client *clients[] = {w.c, w.empty, w.dead_client, w.taken_over, w.successor};
    for (size_t i = 0; i < COUNT(clients); i++)
        push_client_unref(clients[i]);
    push_session_unref(w.live);
    push_session_unref(w.dead);
    free(long_bytes);
    int rc = test_end(state);

    assert_int_equal(w.t.freed, 1);
    assert_int_equal(after.freed, before.freed);
    assert_int_equal(after.sessions, before.sessions);
    assert_int_equal(after.clients, before.clients);
    assert_int_equal(after.blocks, before.blocks);
    assert_int_equal(after.descriptors, before.descriptors);
    for (size_t i = 0; i < COUNT(after.stats); i++) {
        assert_int_equal(after.stats[i].queued, before.stats[i].queued);
        assert_int_equal(after.stats[i].queued_bytes, before.stats[i].queued_bytes);
        assert_int_equal(after.stats[i].max_buffer, before.stats[i].max_buffer);
        assert_int_equal(after.stats[i].high_water, before.stats[i].high_water);
        assert_int_equal(after.stats[i].pushed, before.stats[i].pushed);
        assert_int_equal(after.stats[i].pulled, before.stats[i].pulled);
        assert_int_equal(after.stats[i].dropped, before.stats[i].dropped);
        assert_int_equal(after.stats[i].closed, before.stats[i].closed);
    }
    return rc;
}

#define BAD(function)                                                                                              \
    cmocka_unit_test_prestate_setup_teardown(function, build_world, check_world, (void *)#function)

static push_msg *const MARK = (push_msg *)1;

#define assert_cleared(expression, message)                                                                        \
    do {                                                                                                           \
        (message) = MARK;                                                                                          \
        assert_int_equal(expression, -EINVAL);                                                                     \
        assert_null(message);                                                                                      \
    } while (0)

#define assert_refused(expression, report)                                                                         \
    do {                                                                                                           \
        memset(&(report), 0xa5, sizeof(report));                                                                   \
        assert_int_equal(expression, -EINVAL);                                                                     \
        assert_report(report, 0, 0, 0, 0);                                                                         \
    } while (0)

/* ---- Sessions -------------------------------------------------------------------------------------------- */

static void sessions_by_bad_ids(void **state)
{
    (void)state;
    push_id bad[] = {PUSH_ID_NONE, push_id_str(NULL), TOO_LONG, FAR_TOO_LONG};
    for (size_t i = 0; i < COUNT(bad); i++) {
        assert_null_errno(push_session_new(bad[i], PUSH_ID("c"), 1), EINVAL);
        assert_null_errno(push_session_new(bad[i], PUSH_ID_NONE, 1), EINVAL);
        assert_null_errno(push_session_find(bad[i]), EINVAL);
        assert_false(push_session_exists(bad[i]));
        assert_false(push_session_delete(bad[i]));
        assert_false(push_session_delete_if_empty(bad[i]));
        assert_null_errno(push_client_open(bad[i], PUSH_ID("c"), NULL), EINVAL);
    }
    /* A client id that is too long, whether or not the session is there. */
    assert_null_errno(push_session_new(PUSH_ID("live"), TOO_LONG, 1), EINVAL);
    assert_null_errno(push_session_new(PUSH_ID("fresh"), TOO_LONG, 1), EINVAL);
    assert_null_errno(push_session_new(PUSH_ID("fresh"), FAR_TOO_LONG, 1), EINVAL);
    assert_false(push_session_exists(PUSH_ID("fresh")));
}

static void no_session(void **state)
{
    (void)state;
    push_report report;
    push_msg *msg;
    assert_null_errno(push_session_ref(NULL), EINVAL);
    push_session_unref(NULL);
    assert_true(push_id_equal(push_session_id(NULL), PUSH_ID_NONE));
    assert_int_equal(push_session_push(NULL, "x", 1), -EINVAL);
    assert_int_equal(push_session_push(NULL, NULL, 0), -EINVAL);
    assert_refused(push_session_send(NULL, w.msg, PUSH_ID_NONE, -1, &report), report);
    assert_int_equal(push_session_send(NULL, w.msg, PUSH_ID_NONE, -1, NULL), -EINVAL);
    assert_cleared(push_session_pull(NULL, PUSH_ID("c"), &msg, -1), msg);
    assert_int_equal(push_session_pull_fd(NULL, PUSH_ID("c")), -EINVAL);
    assert_false(push_session_delete_client(NULL, PUSH_ID("c")));
    assert_int_equal(push_session_len(NULL), 0);
    size_t count = 99;
    assert_null_errno(push_session_clients(NULL, &count), EINVAL);
    assert_int_equal(count, 0);
    assert_null_errno(push_session_clients(NULL, NULL), EINVAL);
    assert_null_errno(push_client_new(NULL, PUSH_ID("c"), NULL), EINVAL);
    assert_null_errno(push_client_find(NULL, PUSH_ID("c")), EINVAL);
    push_ids_free(NULL);
}

static void pushes_of_nothing(void **state)
{
    (void)state;
    push_report report;
    push_session *sessions[] = {w.live, w.dead};
    /* On a deleted session -EINVAL beats -EPIPE; on the live one nothing waits for the full client. */
    for (size_t i = 0; i < COUNT(sessions); i++) {
        assert_int_equal(push_session_push(sessions[i], NULL, 1), -EINVAL);
        assert_int_equal(push_session_push(sessions[i], NULL, SIZE_MAX), -EINVAL);
        assert_refused(push_session_send(sessions[i], NULL, PUSH_ID_NONE, -1, &report), report);
        assert_int_equal(push_session_send(sessions[i], NULL, PUSH_ID_NONE, 0, NULL), -EINVAL);
        assert_refused(push_session_send(sessions[i], w.msg, TOO_LONG, -1, &report), report);
        assert_refused(push_session_send(sessions[i], w.msg, FAR_TOO_LONG, 0, &report), report);
    }
    assert_int_equal(push_session_push(w.live, "x", SIZE_MAX), -ENOMEM);
    assert_int_equal(push_session_push(w.live, "x", SIZE_MAX - 40), -ENOMEM);
}

static void clients_by_bad_ids(void **state)
{
    (void)state;
    push_id bad[] = {PUSH_ID_NONE, TOO_LONG, FAR_TOO_LONG};
    push_session *sessions[] = {w.live, w.dead};
    push_msg *msg;
    for (size_t k = 0; k < COUNT(sessions); k++) {
        push_session *s = sessions[k];
        for (size_t i = 0; i < COUNT(bad); i++) {
            assert_cleared(push_session_pull(s, bad[i], &msg, -1), msg);
            assert_cleared(push_session_pull(s, bad[i], &msg, 0), msg);
            assert_int_equal(push_session_pull(s, bad[i], NULL, 0), -EINVAL);
            assert_int_equal(push_session_pull_fd(s, bad[i]), -EINVAL);
            assert_false(push_session_delete_client(s, bad[i]));
            assert_null_errno(push_client_new(s, bad[i], NULL), EINVAL);
            assert_null_errno(push_client_find(s, bad[i]), EINVAL);
        }
        /* Known, unknown: nowhere to put the message. */
        assert_int_equal(push_session_pull(s, PUSH_ID("c"), NULL, 0), -EINVAL);
        assert_int_equal(push_session_pull(s, PUSH_ID("c"), NULL, -1), -EINVAL);
        assert_int_equal(push_session_pull(s, PUSH_ID("unknown"), NULL, -1), -EINVAL);
    }
    for (size_t i = 0; i < COUNT(bad); i++) {
        assert_null_errno(push_client_open(PUSH_ID("live"), bad[i], NULL), EINVAL);
        assert_null_errno(push_client_open(PUSH_ID("fresh"), bad[i], NULL), EINVAL);
    }
    assert_false(push_session_exists(PUSH_ID("fresh")));
}

static void bad_options(void **state)
{
    (void)state;
    push_client_options bad[] = {
        {.max_buffer = 0, .overflow = PUSH_DROP_NEWEST},
        {.max_buffer = 1, .overflow = (push_overflow)(PUSH_DISCONNECT + 1)},
        {.max_buffer = 1, .overflow = (push_overflow)-1},
        {.max_buffer = 1, .duplicate = (push_duplicate)(PUSH_REFUSE + 1)},
        {.max_buffer = 1, .duplicate = (push_duplicate)-1},
    };
    for (size_t i = 0; i < COUNT(bad); i++) {
        /* Beats EPIPE of the deleted session and EEXIST of the taken id. */
        assert_null_errno(push_client_new(w.dead, PUSH_ID("c"), &bad[i]), EINVAL);
        assert_null_errno(push_client_new(w.live, PUSH_ID("c"), &bad[i]), EINVAL);
        assert_null_errno(push_client_new(w.live, PUSH_ID("fresh"), &bad[i]), EINVAL);
        assert_null_errno(push_client_open(PUSH_ID("live"), PUSH_ID("c"), &bad[i]), EINVAL);
        assert_null_errno(push_client_open(PUSH_ID("fresh"), PUSH_ID("c"), &bad[i]), EINVAL);
    }
    assert_false(push_session_exists(PUSH_ID("fresh")));
}

/* ---- Clients --------------------------------------------------------------------------------------------- */

static void no_client(void **state)
{
    (void)state;
    push_report report;
    push_msg *msg;
    push_client_stats stats;
    size_t lost;
    assert_null_errno(push_client_ref(NULL), EINVAL);
    push_client_unref(NULL);
    assert_true(push_id_equal(push_client_id(NULL), PUSH_ID_NONE));
    assert_null(push_client_session(NULL));
    push_client_set_data(NULL, &report);
    assert_null(push_client_data(NULL));
    assert_refused(push_client_send(NULL, w.msg, -1, &report), report);
    assert_int_equal(push_client_send(NULL, w.msg, -1, NULL), -EINVAL);
    assert_cleared(push_client_pull(NULL, &msg, -1), msg);
    assert_int_equal(push_client_pull(NULL, NULL, -1), -EINVAL);
    assert_int_equal(push_client_pull_many(NULL, &msg, 1, &lost, -1), -EINVAL);
    assert_int_equal(push_client_unpull(NULL, w.msg), -EINVAL);
    assert_int_equal(push_client_unpull(NULL, NULL), -EINVAL);
    assert_int_equal(push_client_fd(NULL), -EINVAL);
    assert_false(push_client_delete(NULL));
    assert_int_equal(push_client_stat(NULL, &stats), -EINVAL);
    assert_int_equal(push_client_stat(NULL, NULL), -EINVAL);
}

static void bad_arguments_for_clients_in_every_state(void **state)
{
    (void)state;
    push_client *clients[] = {w.c, w.empty, w.dead_client, w.taken_over, w.successor};
    push_report report;
    push_msg *msg;
    size_t lost;
    for (size_t i = 0; i < COUNT(clients); i++) {
        push_client *c = clients[i];
        assert_refused(push_client_send(c, NULL, -1, &report), report);
        assert_refused(push_client_send(c, NULL, 0, &report), report);
        assert_int_equal(push_client_send(c, NULL, 0, NULL), -EINVAL);
        assert_int_equal(push_client_pull(c, NULL, -1), -EINVAL);
        assert_int_equal(push_client_pull(c, NULL, 0), -EINVAL);
        assert_int_equal(push_client_pull_many(c, NULL, 1, &lost, -1), -EINVAL);
        assert_int_equal(push_client_pull_many(c, NULL, 0, NULL, 0), -EINVAL);
        assert_int_equal(push_client_pull_many(c, &msg, 0, &lost, -1), -EINVAL);
        assert_int_equal(push_client_pull_many(c, &msg, 0, NULL, 0), -EINVAL);
        assert_int_equal(push_client_unpull(c, NULL), -EINVAL);
        assert_int_equal(push_client_stat(c, NULL), -EINVAL);
    }
    /* Nothing was pulled from any of them. */
    assert_int_equal(push_client_unpull(w.c, w.msg), -EINVAL);
    assert_int_equal(push_client_unpull(w.empty, w.msg), -EINVAL);
    assert_int_equal(push_client_unpull(w.dead_client, w.msg), -EINVAL);
    assert_int_equal(push_client_unpull(w.successor, w.msg), -EINVAL);
    fail_allocations_after(-1);
    assert_int_equal(push_client_unpull(w.taken_over, w.msg), -EPIPE);
}

/* ---- Pollers --------------------------------------------------------------------------------------------- */

static void bad_arguments_for_pollers(void **state)
{
    (void)state;
    push_event events[2];
    int bad_max[] = {0, -1, INT_MIN};
    int timeouts[] = {-1, 0, 5};
    assert_int_equal(push_poller_add(NULL, w.c, NULL), -EINVAL);
    assert_int_equal(push_poller_add(w.p, NULL, NULL), -EINVAL);
    assert_int_equal(push_poller_add(NULL, NULL, NULL), -EINVAL);
    assert_int_equal(push_poller_remove(NULL, w.c), -EINVAL);
    assert_int_equal(push_poller_remove(w.p, NULL), -EINVAL);
    assert_int_equal(push_poller_pause(NULL, w.c), -EINVAL);
    assert_int_equal(push_poller_pause(w.p, NULL), -EINVAL);
    assert_int_equal(push_poller_resume(NULL, w.c), -EINVAL);
    assert_int_equal(push_poller_resume(w.p, NULL), -EINVAL);
    assert_int_equal(push_poller_fd(NULL), -EINVAL);
    push_poller_wake(NULL);
    push_poller_free(NULL);
    for (size_t i = 0; i < COUNT(timeouts); i++) {
        assert_int_equal(push_poller_wait(NULL, events, 2, timeouts[i]), -EINVAL);
        assert_int_equal(push_poller_wait(w.p, NULL, 2, timeouts[i]), -EINVAL);
        for (size_t k = 0; k < COUNT(bad_max); k++)
            assert_int_equal(push_poller_wait(w.p, events, bad_max[k], timeouts[i]), -EINVAL);
    }
}

/* ---- The rest -------------------------------------------------------------------------------------------- */

static void bad_arguments_for_the_rest(void **state)
{
    (void)state;
    char buf[4] = "abc";
    assert_null_errno(push_msg_new(NULL, 1), EINVAL);
    assert_null_errno(push_msg_wrap(NULL, 1, NULL, NULL), EINVAL);
    assert_null_errno(push_msg_ref(NULL), EINVAL);
    push_msg_unref(NULL);
    assert_null(push_msg_data(NULL));
    assert_int_equal(push_msg_size(NULL), 0);
    assert_int_equal(push_id_format(TOO_LONG, buf, sizeof(buf)), -EINVAL);
    assert_int_equal(push_id_format(PUSH_ID(1), NULL, 1), -EINVAL);
    assert_string_equal(buf, "abc");
    /* Too late for an allocator, but what is wrong with it is said first. */
    assert_int_equal(push_set_allocator(NULL, realloc, free), -EINVAL);
    assert_int_equal(push_set_allocator(malloc, NULL, free), -EINVAL);
    assert_int_equal(push_set_allocator(malloc, realloc, NULL), -EINVAL);
    assert_int_equal(push_set_allocator(malloc, realloc, free), -EBUSY);
}

/* The other way round: what may be NULL or NONE is no error. */
static void what_may_be_left_out(void **state)
{
    (void)state;
    fail_allocations_after(-1);
    push_session *s = push_session_new(PUSH_ID("other"), PUSH_ID_NONE, 0);
    push_client *c = push_client_new(s, PUSH_ID("c"), NULL);
    assert_int_equal(push_session_push(s, NULL, 0), 1);
    assert_int_equal(push_session_send(s, w.msg, PUSH_ID_NONE, 0, NULL), 1);
    assert_int_equal(push_client_send(c, w.msg, 0, NULL), 1);
    push_msg *msgs[3];
    assert_int_equal(push_client_pull_many(c, msgs, 3, NULL, 0), 3);
    for (int i = 0; i < 3; i++)
        push_msg_unref(msgs[i]);
    push_ids_free(push_session_clients(s, NULL));
    push_ids_free(push_sessions(NULL));
    push_poller *p = push_poller_new();
    assert_int_equal(push_poller_add(p, c, NULL), 0);
    push_poller_free(p);
    push_client_unref(c);
    assert_true(push_session_delete(PUSH_ID("other")));
    push_session_unref(s);
}

static void every_int_has_its_sentence(void **state)
{
    (void)state;
    int known[] = {EAGAIN, ETIMEDOUT, ENOENT, EPIPE, EEXIST, EBUSY, EINVAL, ENOMEM, EMFILE, ENFILE};
    for (size_t i = 0; i < COUNT(known); i++) {
        const char *text = push_strerror(-known[i]);
        assert_non_null(text);
        assert_int_equal(strncmp(text, "push: ", 6), 0);
        assert_true(strlen(text) > 8);
        assert_string_equal(push_strerror(known[i]), text); /* the sign does not matter */
        for (size_t k = 0; k < i; k++)
            assert_string_not_equal(text, push_strerror(-known[k]));
        /* Static: the next call does not write over it. */
        char copy[128];
        snprintf(copy, sizeof(copy), "%s", text);
        push_strerror(-known[(i + 1) % COUNT(known)]);
        push_strerror(-12345);
        assert_string_equal(text, copy);
    }
    for (int rc = -5000; rc <= 5000; rc++) {
        assert_non_null(push_strerror(rc));
        assert_true(strlen(push_strerror(rc)) > 0);
    }
    assert_non_null(push_strerror(INT_MIN));
    assert_non_null(push_strerror(INT_MAX));
    assert_non_null(strstr(push_strerror(-ENOENT), "no such client"));
    assert_non_null(strstr(push_strerror(-EPIPE), "closed"));
}

static void the_version_is_the_headers(void **state)
{
    (void)state;
    char text[64];
    snprintf(text, sizeof(text), "%d.%d.%d", PUSH_VERSION_MAJOR, PUSH_VERSION_MINOR, PUSH_VERSION_PATCH);
    assert_string_equal(push_version(), text);
    assert_string_equal(PUSH_VERSION_STRING, text);
}

static const struct CMUnitTest tests[] = {
    BAD(sessions_by_bad_ids),
    BAD(no_session),
    BAD(pushes_of_nothing),
    BAD(clients_by_bad_ids),
    BAD(bad_options),
    BAD(no_client),
    BAD(bad_arguments_for_clients_in_every_state),
    BAD(bad_arguments_for_pollers),
    BAD(bad_arguments_for_the_rest),
    BAD(what_may_be_left_out),
    TEST(every_int_has_its_sentence),
    TEST(the_version_is_the_headers),
};
TEST_MAIN(tests)
