/*
 * Where numbers end: sizes up to SIZE_MAX, which a 32-bit machine can reach for real, and what must stay 64 bits
 * wide there. Run everywhere; tests/elsewhere/run.sh runs it where size_t is 32 bits.
 */
#include "../helpers.h"

#include <limits.h>

/* Integers as ids are 64 bits on any machine. */
static void ids_beyond_32_bits(void **state)
{
    (void)state;
    uint64_t numbers[] = {1,          (UINT64_C(1) << 32) + 1, UINT64_C(1) << 32, 0, UINT64_MAX,
                          UINT32_MAX, UINT64_C(1) << 63};
    push_session *s = session("s");
    for (size_t i = 0; i < COUNT(numbers); i++) {
        push_client *c = push_client_new(s, push_id_int(numbers[i]), NULL);
        assert_non_null(c);
        push_client_unref(c);
        assert_int_equal(push_session_len(s), i + 1);
        for (size_t k = 0; k < i; k++)
            assert_false(push_id_equal(push_id_int(numbers[i]), push_id_int(numbers[k])));
    }
    char text[32];
    assert_int_equal(push_id_format(push_id_int(UINT64_MAX), text, sizeof(text)), 20);
    assert_string_equal(text, "18446744073709551615");
    push_session_unref(s);
}

/* The hash of an integer, and of equal bytes, is the same whichever end comes first: what differs is found. */
static void ids_that_differ_in_one_bit(void **state)
{
    (void)state;
    push_session *s = session("s");
    for (int i = 0; i < 64; i++) {
        uint64_t n = UINT64_C(1) << i;
        push_client_unref(push_client_new(s, push_id_int(n), NULL));
        push_client_unref(push_client_new(s, push_id_bytes(&n, sizeof(n)), NULL));
        assert_int_equal(push_session_len(s), 2 * (i + 1));
    }
    for (int i = 0; i < 64; i++) {
        uint64_t n = UINT64_C(1) << i;
        assert_true(push_session_delete_client(s, push_id_int(n)));
        assert_true(push_session_delete_client(s, push_id_bytes(&n, sizeof(n))));
    }
    assert_int_equal(push_session_len(s), 0);
    push_session_unref(s);
}

static void messages_as_large_as_the_address_space(void **state)
{
    (void)state;
    char byte = 'x';
    size_t sizes[] = {SIZE_MAX, SIZE_MAX - 1, SIZE_MAX - 15, SIZE_MAX - 16, SIZE_MAX - 64, SIZE_MAX / 2 + 1};
    for (size_t i = 0; i < COUNT(sizes); i++) {
        assert_null_errno(push_msg_new(&byte, sizes[i]), ENOMEM);
        push_msg *msg = push_msg_wrap(&byte, sizes[i], NULL, NULL);
        assert_non_null(msg);
        assert_true(push_msg_size(msg) == sizes[i]);
        push_msg_unref(msg);
    }
}

/* A mailbox of SIZE_MAX bytes takes exactly so many, and the sum does not begin anew. */
static void max_bytes_of_size_max(void **state)
{
    (void)state;
    char byte = 'x';
    push_session *s = session("s");
    push_client_options options = {.max_buffer = SIZE_MAX, .max_bytes = SIZE_MAX};
    push_client *c = push_client_new(s, PUSH_ID("c"), &options);
    push_msg *two_thirds = push_msg_wrap(&byte, SIZE_MAX / 3 * 2, NULL, NULL);
    push_msg *third = push_msg_wrap(&byte, SIZE_MAX / 3, NULL, NULL);
    push_msg *got;
    assert_int_equal(push_client_send(c, two_thirds, 0, NULL), 1);
    assert_int_equal(push_client_send(c, two_thirds, 0, NULL), 0);
    assert_int_equal(push_client_send(c, third, 0, NULL), 1);
    assert_true(stats_of(c).queued_bytes == SIZE_MAX);
    assert_int_equal(send_text(c, "x", NULL), 0);
    assert_int_equal(send_text(c, "", NULL), 1);
    assert_int_equal(push_client_pull(c, &got, 0), 0);
    assert_ptr_equal(got, two_thirds);
    push_msg_unref(got);
    assert_true(stats_of(c).queued_bytes == SIZE_MAX / 3);
    assert_int_equal(push_client_send(c, two_thirds, 0, NULL), 1);
    push_msg_unref(two_thirds);
    push_msg_unref(third);
    push_client_unref(c);
    push_session_unref(s);
}

#if SIZE_MAX < UINT64_MAX
/* One block, however large, can be in a mailbox many times. */
static void more_bytes_than_can_be_said(void **state)
{
    (void)state;
    char byte = 'x';
    push_session *s = session("s");
    push_client *c = client(s, "c", 5);
    push_msg *msg = push_msg_wrap(&byte, SIZE_MAX / 3 * 2, NULL, NULL);
    push_msg *got;
    for (int i = 0; i < 3; i++)
        assert_int_equal(push_client_send(c, msg, 0, NULL), 1);
    assert_true(stats_of(c).queued_bytes == SIZE_MAX);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(push_client_pull(c, &got, 0), 0);
        push_msg_unref(got);
    }
    assert_true(stats_of(c).queued_bytes == SIZE_MAX / 3 * 2);
    push_msg_unref(msg);
    push_client_unref(c);
    push_session_unref(s);
}
#endif

/* A mailbox without a bound that counts grows until there is no memory: then it says so, and holds what it held. */
static void grown_until_there_is_no_memory(void **state)
{
    (void)state;
    push_overflow policies[] = {PUSH_BLOCK, PUSH_DROP_NEWEST, PUSH_DROP_OLDEST};
    for (size_t i = 0; i < COUNT(policies); i++) {
        push_session *s = session("s");
        push_client *c = client_with(s, "c", SIZE_MAX, policies[i]);
        push_msg *msg = text_msg("x");
        size_t n = 0;
        int rc;
        while ((rc = push_client_send(c, msg, 0, NULL)) == 1) {
            n++;
            /* From here on each block must be had anew, and is not. */
            if (n == SCALED(200000))
                fail_allocations_after(0);
        }
        assert_int_equal(rc, -ENOMEM);
        assert_true(allocations_failed() > 0);
        push_client_stats stats = stats_of(c);
        assert_int_equal(stats.queued, n);
        assert_int_equal(stats.pushed, n);
        assert_int_equal(stats.dropped, 0);
        assert_true(stats.max_buffer == SIZE_MAX);
        assert_int_equal(push_client_send(c, msg, 0, NULL), -ENOMEM);
        for (size_t k = 0; k < n / 2; k++)
            assert_next(c, 0, "x");
        /* Now there are slots again, without any memory. */
        assert_int_equal(push_client_send(c, msg, 0, NULL), 1);
        fail_allocations_after(-1);
        assert_int_equal(stats_of(c).queued, n - n / 2 + 1);
        push_msg_unref(msg);
        push_client_unref(c);
        assert_true(push_session_delete(PUSH_ID("s")));
        push_session_unref(s);
    }
}

/* Arguments whose type is wider than what can be. */
static void the_largest_arguments(void **state)
{
    (void)state;
    push_session *s = session("s");
    push_client *c = client(s, "c", SIZE_MAX);
    push_msg *msgs[2] = {NULL, NULL};
    size_t lost = 1;
    assert_put(c, "1");
    assert_put(c, "2");
    assert_int_equal(push_client_pull_many(c, msgs, SIZE_MAX, &lost, INT_MAX), 2);
    assert_int_equal(lost, 0);
    assert_text(msgs[0], "1");
    assert_text(msgs[1], "2");
    push_poller *p = push_poller_new();
    push_event event;
    assert_put(c, "3");
    assert_int_equal(push_poller_add(p, c, NULL), 0);
    assert_int_equal(push_poller_wait(p, &event, INT_MAX, INT_MAX), 1);
    assert_next(c, 0, "3");
    assert_empty(c);
    /* A deadline three weeks away has not passed. */
    struct call *pull = begin_pull(c, INT_MAX);
    struct call *wait = begin_wait(p, INT_MAX);
    assert_asleep(pull);
    assert_asleep(wait);
    push_poller_wake(p);
    assert_int_equal(finish(wait).rc, 0);
    assert_true(push_client_delete(c));
    assert_int_equal(finish(pull).rc, -EPIPE);
    push_poller_free(p);
    push_client_unref(c);
    push_session_unref(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(ids_beyond_32_bits),
        TEST(ids_that_differ_in_one_bit),
        TEST(messages_as_large_as_the_address_space),
        TEST(max_bytes_of_size_max),
#if SIZE_MAX < UINT64_MAX
        TEST(more_bytes_than_can_be_said),
#endif
        TEST(grown_until_there_is_no_memory),
        TEST(the_largest_arguments),
    };
    helpers_init();
    printf("size_t has %zu bits, the first byte of 1 is %d\n", sizeof(size_t) * CHAR_BIT, *(const char *)&(int){1});
    return cmocka_run_group_tests(tests, NULL, NULL);
}
