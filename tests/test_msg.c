/* Messages: made, shared, freed exactly once, with no lock of the library held. */
#include "helpers.h"

static void a_new_message_is_a_copy(void **state)
{
    (void)state;
    char bytes[] = "hello";
    push_msg *msg = push_msg_new(bytes, 5);
    assert_non_null(msg);
    memset(bytes, 'x', 5);
    assert_int_equal(push_msg_size(msg), 5);
    assert_memory_equal(push_msg_data(msg), "hello", 5);
    push_msg_unref(msg);
}

static void an_empty_message_is_a_message(void **state)
{
    (void)state;
    push_session *s = push_session_new(PUSH_ID("s"), PUSH_ID("c"), 3);
    const void *datas[] = {NULL, "ignored"};
    for (size_t i = 0; i < COUNT(datas); i++) {
        push_msg *msg = push_msg_new(datas[i], 0);
        assert_non_null(msg);
        assert_int_equal(push_msg_size(msg), 0);
        assert_int_equal(push_session_send(s, msg, PUSH_ID_NONE, 0, NULL), 1);
        push_msg_unref(msg);
        assert_int_equal(push_session_push(s, datas[i], 0), 1);
        for (int k = 0; k < 2; k++) {
            assert_int_equal(push_session_pull(s, PUSH_ID("c"), &msg, 0), 0);
            assert_non_null(msg);
            assert_int_equal(push_msg_size(msg), 0);
            push_msg_unref(msg);
        }
    }
    push_session_unref(s);
}

static void messages_of_every_size_are_aligned_and_whole(void **state)
{
    (void)state;
    enum { LARGEST = 1 << 20 };
    unsigned char *bytes = malloc(LARGEST);
    assert_non_null(bytes);
    for (size_t i = 0; i < LARGEST; i++)
        bytes[i] = (unsigned char)(i * 31 + i / 251);
    for (size_t size = 1; size <= LARGEST; size = size < 300 ? size + 1 : size * 2) {
        push_msg *msg = push_msg_new(bytes, size);
        assert_non_null(msg);
        assert_int_equal((uintptr_t)push_msg_data(msg) % _Alignof(max_align_t), 0);
        assert_int_equal(push_msg_size(msg), size);
        assert_memory_equal(push_msg_data(msg), bytes, size);
        push_msg_unref(msg);
    }
    free(bytes);
}

static void never_freed(void *data, void *arg)
{
    (void)data;
    ++*(int *)arg;
}

static void bad_and_impossible_sizes(void **state)
{
    (void)state;
    int freed = 0;
    char byte = 'x';
    assert_null_errno(push_msg_new(NULL, 1), EINVAL);
    assert_null_errno(push_msg_new(NULL, SIZE_MAX), EINVAL);
    assert_null_errno(push_msg_wrap(NULL, 1, never_freed, &freed), EINVAL);
    assert_null_errno(push_msg_wrap(NULL, SIZE_MAX, NULL, NULL), EINVAL);
    /* The header of the message must not make the size wrap round. */
    volatile size_t none = 0;
    for (size_t less = 0; less < 300; less++)
        assert_null_errno(push_msg_new(&byte, none - 1 - less), ENOMEM);
    assert_null_errno(push_msg_new(&byte, SIZE_MAX / 2), ENOMEM);
    assert_int_equal(freed, 0);
}

static void wrap_adopts_without_a_copy(void **state)
{
    (void)state;
    struct tracked t;
    push_msg *msg = tracked_msg(&t);
    assert_ptr_equal(push_msg_data(msg), t.bytes);
    assert_int_equal(push_msg_size(msg), 7);
    assert_int_equal(t.freed, 0);
    push_msg_unref(msg);
    assert_int_equal(t.freed, 1);
    assert_true(pthread_equal(t.by, pthread_self()));
}

static void count_call(void *data, void *arg)
{
    (void)data;
    ++*(int *)arg;
}

static void wrap_without_free_function_and_without_data(void **state)
{
    (void)state;
    static char text[] = "static";
    push_msg *msg = push_msg_wrap(text, 6, NULL, NULL);
    assert_non_null(msg);
    assert_ptr_equal(push_msg_data(msg), text);
    push_msg_unref(msg);
    assert_string_equal(text, "static");

    int freed = 0;
    msg = push_msg_wrap(NULL, 0, count_call, &freed);
    assert_non_null(msg);
    assert_int_equal(push_msg_size(msg), 0);
    push_msg_unref(msg);
    assert_int_equal(freed, 1);
}

static void failing_wrap_leaves_the_data(void **state)
{
    (void)state;
    int freed = 0;
    char byte = 'x';
    fail_allocations_after(0);
    assert_null_errno(push_msg_wrap(&byte, 1, count_call, &freed), ENOMEM);
    assert_null_errno(push_msg_new(&byte, 1), ENOMEM);
    assert_true(allocations_failed() >= 2);
    fail_allocations_after(-1);
    assert_int_equal(freed, 0);
    push_msg *msg = push_msg_wrap(&byte, 1, count_call, &freed);
    assert_non_null(msg);
    push_msg_unref(msg);
    assert_int_equal(freed, 1);
}

static void the_last_reference_frees(void **state)
{
    (void)state;
    struct tracked t;
    push_msg *msg = tracked_msg(&t);
    for (int i = 0; i < 1000; i++)
        assert_ptr_equal(push_msg_ref(msg), msg);
    for (int i = 0; i < 1000; i++)
        push_msg_unref(msg);
    assert_int_equal(t.freed, 0);
    push_msg_unref(msg);
    assert_int_equal(t.freed, 1);
    push_msg_unref(NULL);
    assert_null_errno(push_msg_ref(NULL), EINVAL);
    assert_null(push_msg_data(NULL));
    assert_int_equal(push_msg_size(NULL), 0);
}

static void a_push_to_many_clients_shares_one_block(void **state)
{
    (void)state;
    enum { N = 50 };
    push_session *s = session("s");
    push_client *clients[N];
    char name[16];
    for (int i = 0; i < N; i++) {
        snprintf(name, sizeof(name), "c%d", i);
        clients[i] = client(s, name, 4);
    }
    struct tracked t;
    push_msg *msg = tracked_msg(&t);
    assert_int_equal(push_session_send(s, msg, PUSH_ID_NONE, 0, NULL), N);
    /* The caller's reference stays his own. */
    assert_int_equal(push_msg_size(msg), 7);
    /* The same message twice, and to one client, is just as good. */
    assert_int_equal(push_session_send(s, msg, PUSH_ID_NONE, 0, NULL), N);
    assert_int_equal(push_client_send(clients[0], msg, 0, NULL), 1);
    push_msg_unref(msg);
    for (int i = 0; i < N; i++) {
        for (int k = 0; k < (i == 0 ? 3 : 2); k++) {
            assert_int_equal(t.freed, 0);
            push_msg *got;
            assert_int_equal(push_client_pull(clients[i], &got, 0), 0);
            assert_ptr_equal(got, msg);
            assert_ptr_equal(push_msg_data(got), t.bytes);
            push_msg_unref(got);
        }
    }
    assert_int_equal(t.freed, 1);
    for (int i = 0; i < N; i++)
        push_client_unref(clients[i]);
    push_session_unref(s);
}

/* Whatever becomes of a push, it takes exactly the references that it counts. */
static void pushes_that_do_not_deliver_keep_nothing(void **state)
{
    (void)state;
    struct tracked t;
    push_report report;
    push_session *s = session("s");
    push_msg *msg = tracked_msg(&t);
    assert_int_equal(push_session_send(s, msg, PUSH_ID_NONE, -1, NULL), 0);
    push_msg_unref(msg);
    assert_int_equal(t.freed, 1);

    push_client *full = client(s, "full", 1);
    push_client *newest = client_with(s, "newest", 1, PUSH_DROP_NEWEST);
    push_client *closing = client_with(s, "closing", 1, PUSH_DISCONNECT);
    assert_int_equal(push_session_push(s, "fill", 4), 3);
    msg = tracked_msg(&t);
    assert_int_equal(push_session_send(s, msg, PUSH_ID_NONE, 0, &report), 0);
    assert_report(report, 0, 1, 1, 1);
    assert_int_equal(push_client_send(full, msg, 1, NULL), 0);
    assert_int_equal(push_client_send(newest, msg, 0, NULL), 0);
    assert_int_equal(push_client_send(closing, msg, 0, NULL), -EPIPE);
    push_msg_unref(msg);
    assert_int_equal(t.freed, 1);

    assert_true(push_session_delete(PUSH_ID("s")));
    msg = tracked_msg(&t);
    assert_int_equal(push_session_send(s, msg, PUSH_ID_NONE, -1, NULL), -EPIPE);
    assert_int_equal(push_client_send(full, msg, -1, NULL), -EPIPE);
    assert_int_equal(t.freed, 0);
    push_msg_unref(msg);
    assert_int_equal(t.freed, 1);
    push_client_unref(full);
    push_client_unref(newest);
    push_client_unref(closing);
    push_session_unref(s);
}

static void queued_messages_go_with_the_last_handle(void **state)
{
    (void)state;
    struct tracked t;
    push_session *s = session("s");
    push_client *c = client(s, "c", 10);
    push_msg *msg = tracked_msg(&t);
    assert_int_equal(push_client_send(c, msg, 0, NULL), 1);
    push_msg_unref(msg);
    push_client *again = push_client_ref(c);
    assert_ptr_equal(again, c);
    assert_true(push_client_delete(c));
    push_client_unref(c);
    /* Deleted, but there is a handle that can drain it. */
    assert_int_equal(t.freed, 0);
    push_client_unref(again);
    assert_int_equal(t.freed, 1);

    /* No handle: with the delete. */
    c = client(s, "c", 10);
    msg = tracked_msg(&t);
    assert_int_equal(push_client_send(c, msg, 0, NULL), 1);
    push_msg_unref(msg);
    push_client_unref(c);
    assert_int_equal(t.freed, 0);
    assert_true(push_session_delete_client(s, PUSH_ID("c")));
    assert_int_equal(t.freed, 1);

    c = client(s, "c", 10);
    msg = tracked_msg(&t);
    assert_int_equal(push_client_send(c, msg, 0, NULL), 1);
    push_msg_unref(msg);
    push_client_unref(c);
    push_session_unref(s);
    push_shutdown();
    assert_int_equal(t.freed, 1);
}

static void a_pulled_message_outlives_everything(void **state)
{
    (void)state;
    struct tracked t;
    push_session *s = session("s");
    push_client *c = client(s, "c", 1);
    push_msg *msg = tracked_msg(&t);
    assert_int_equal(push_client_send(c, msg, 0, NULL), 1);
    push_msg_unref(msg);
    push_msg *got;
    assert_int_equal(push_client_pull(c, &got, 0), 0);
    push_client_unref(c);
    push_session_unref(s);
    push_shutdown();
    assert_int_equal(t.freed, 0);
    assert_memory_equal(push_msg_data(got), "tracked", 7);
    push_msg_unref(got);
    assert_int_equal(t.freed, 1);
}

/* A message whose free function calls everything that needs a lock of the library. */
struct busy {
    push_session *s;
    push_client *c;
    push_poller *p;
    int freed;
};

static void call_the_library(void *data, void *arg)
{
    struct busy *b = arg;
    (void)data;
    b->freed++;
    push_client_stats stats;
    push_event event;
    push_msg *msg = NULL;
    push_session_len(b->s);
    push_session_exists(PUSH_ID("s"));
    push_session_unref(push_session_new(PUSH_ID("other"), PUSH_ID("x"), 1));
    push_session_delete(PUSH_ID("other"));
    push_ids_free(push_session_clients(b->s, NULL));
    push_ids_free(push_sessions(NULL));
    push_session_push(b->s, "from free", 0);
    push_client_unref(push_client_find(b->s, PUSH_ID("c")));
    push_client_unref(push_client_new(b->s, PUSH_ID("new"), NULL));
    push_session_delete_client(b->s, PUSH_ID("new"));
    push_client_stat(b->c, &stats);
    push_client_fd(b->c);
    msg = push_msg_new("x", 1);
    push_client_send(b->c, msg, 0, NULL);
    push_msg_unref(msg);
    if (push_client_pull(b->c, &msg, 0) >= 0)
        push_msg_unref(msg);
    push_poller_wait(b->p, &event, 1, 0);
    push_poller_pause(b->p, b->c);
    push_poller_resume(b->p, b->c);
    push_poller_wake(b->p);
}

static push_msg *busy_msg(struct busy *b)
{
    push_msg *msg = push_msg_wrap(b, 1, call_the_library, b);
    assert_non_null(msg);
    return msg;
}

/* One busy message in the mailbox, which holds the last reference. */
static void put_busy(struct busy *b)
{
    push_msg *msg = busy_msg(b);
    assert_int_equal(push_client_send(b->c, msg, 0, NULL), 1);
    push_msg_unref(msg);
}

static void free_functions_run_without_a_lock(void **state)
{
    (void)state;
    struct busy b = {.s = session("s"), .p = push_poller_new()};
    b.c = client_with(b.s, "c", 2, PUSH_DROP_OLDEST);
    assert_non_null(b.p);
    assert_int_equal(push_poller_add(b.p, b.c, NULL), 0);

    push_msg_unref(busy_msg(&b));
    assert_int_equal(b.freed, 1);

    /* Evicted by a push to the client, and by a push to the session. */
    put_busy(&b);
    for (int i = 0; i < 5; i++)
        assert_int_equal(send_text(b.c, "evict", NULL), 1);
    assert_int_equal(b.freed, 2);
    put_busy(&b);
    for (int i = 0; i < 5; i++)
        assert_true(send_all_text(b.s, "evict", NULL) >= 1);
    assert_int_equal(b.freed, 3);

    /* Evicted several at once, by bytes. */
    push_client_options options = {.max_buffer = 8, .max_bytes = 8, .overflow = PUSH_DROP_OLDEST};
    push_client *bytes = push_client_new(b.s, PUSH_ID("bytes"), &options);
    assert_non_null(bytes);
    for (int i = 0; i < 8; i++) {
        push_msg *msg = busy_msg(&b);
        assert_int_equal(push_client_send(bytes, msg, 0, NULL), 1);
        push_msg_unref(msg);
    }
    int before = b.freed;
    assert_int_equal(send_text(bytes, "12345678", NULL), 1);
    assert_int_equal(b.freed, before + 8);
    push_client_unref(bytes);
    assert_true(push_session_delete_client(b.s, PUSH_ID("bytes")));

    /* With the last handle of a deleted client, and with a delete that holds the last one. */
    push_client *last = client(b.s, "last", 2);
    push_msg *msg = busy_msg(&b);
    before = b.freed;
    assert_int_equal(push_client_send(last, msg, 0, NULL), 1);
    push_msg_unref(msg);
    assert_true(push_client_delete(last));
    push_client_unref(last);
    assert_int_equal(b.freed, before + 1);
    last = client(b.s, "last", 2);
    msg = busy_msg(&b);
    assert_int_equal(push_client_send(last, msg, 0, NULL), 1);
    push_msg_unref(msg);
    push_client_unref(last);
    assert_true(push_session_delete_client(b.s, PUSH_ID("last")));
    assert_int_equal(b.freed, before + 2);

    /* With its session, replaced, and with the process's shutdown. */
    push_client_unref(push_client_open(PUSH_ID("t"), PUSH_ID("c"), NULL));
    push_session *t = push_session_find(PUSH_ID("t"));
    msg = busy_msg(&b);
    assert_int_equal(push_session_send(t, msg, PUSH_ID_NONE, 0, NULL), 1);
    options = (push_client_options){.max_buffer = 1, .duplicate = PUSH_REPLACE};
    before = b.freed;
    push_client *replacing = push_client_new(t, PUSH_ID("c"), &options);
    assert_non_null(replacing);
    assert_int_equal(push_session_send(t, msg, PUSH_ID_NONE, 0, NULL), 1);
    push_msg_unref(msg);
    push_client_unref(replacing);
    assert_true(push_session_delete(PUSH_ID("t")));
    assert_int_equal(b.freed, before + 1);
    push_session_unref(t);
    push_client_unref(push_client_open(PUSH_ID("t"), PUSH_ID("c"), NULL));
    t = push_session_find(PUSH_ID("t"));
    msg = busy_msg(&b);
    assert_int_equal(push_session_send(t, msg, PUSH_ID_NONE, 0, NULL), 1);
    push_msg_unref(msg);
    push_session_unref(t);
    push_shutdown();
    assert_int_equal(b.freed, before + 2);

    push_poller_free(b.p);
    push_client_unref(b.c);
    push_session_unref(b.s);
}

/* The thread that lets the last reference go runs the free function: here the puller, who is not the pusher. */
static void unref_message(void *arg)
{
    push_msg_unref(*(push_msg **)arg);
}

static void free_runs_on_the_thread_of_the_last_reference(void **state)
{
    (void)state;
    struct tracked t;
    push_msg *msg = tracked_msg(&t);
    push_msg *other = push_msg_ref(msg);
    push_msg_unref(msg);
    crew_run(1, unref_message, &other, sizeof(other));
    assert_int_equal(t.freed, 1);
    assert_false(pthread_equal(t.by, pthread_self()));
}

static void ref_and_unref(void *arg)
{
    push_msg *msg = arg;
    for (int i = 0; i < SCALED(1000000); i++) {
        EXPECT(push_msg_ref(msg) == msg);
        EXPECT(push_msg_size(msg) == 7);
        push_msg_unref(msg);
    }
    push_msg_unref(msg);
}

static void references_from_many_threads(void **state)
{
    (void)state;
    enum { THREADS = 4 };
    struct tracked t;
    push_msg *msg = tracked_msg(&t);
    for (int i = 1; i < THREADS; i++)
        push_msg_ref(msg);
    crew_run(THREADS, ref_and_unref, msg, 0);
    assert_int_equal(t.freed, 1);
}

static const struct CMUnitTest tests[] = {
    TEST(a_new_message_is_a_copy),
    TEST(an_empty_message_is_a_message),
    TEST(messages_of_every_size_are_aligned_and_whole),
    TEST(bad_and_impossible_sizes),
    TEST(wrap_adopts_without_a_copy),
    TEST(wrap_without_free_function_and_without_data),
    TEST(failing_wrap_leaves_the_data),
    TEST(the_last_reference_frees),
    TEST(a_push_to_many_clients_shares_one_block),
    TEST(pushes_that_do_not_deliver_keep_nothing),
    TEST(queued_messages_go_with_the_last_handle),
    TEST(a_pulled_message_outlives_everything),
    TEST(free_functions_run_without_a_lock),
    TEST(free_runs_on_the_thread_of_the_last_reference),
    TEST(references_from_many_threads),
};
TEST_MAIN(tests)
