/* Ids through the public header: equality, text form, PUSH_ID, and ids as keys of sessions and clients. */
#include "helpers.h"

#include <limits.h>
#include <strings.h>

static void a_string_and_its_bytes_are_the_same_id(void **state)
{
    (void)state;
    assert_true(push_id_equal(push_id_str("alice"), push_id_bytes("alice", 5)));
    assert_true(push_id_equal(push_id_str(""), push_id_bytes("x", 0)));
    assert_false(push_id_equal(push_id_str("alice"), push_id_bytes("alice", 6)));
    assert_false(push_id_equal(push_id_str("alice"), push_id_bytes("alice", 4)));
    /* Equal by content, not by address. */
    char copy[] = "alice";
    assert_true(push_id_equal(push_id_str("alice"), push_id_str(copy)));
    copy[4] = 'f';
    assert_false(push_id_equal(push_id_str("alice"), push_id_str(copy)));
}

static void no_id_equals_only_itself(void **state)
{
    (void)state;
    push_id none = PUSH_ID_NONE;
    push_id ids[] = {push_id_str(""), push_id_str("(none)"), push_id_int(0), push_id_bytes("", 1)};
    assert_true(push_id_equal(none, PUSH_ID_NONE));
    assert_true(push_id_equal(none, push_id_str(NULL)));
    assert_true(push_id_equal(none, push_id_bytes(NULL, 0)));
    assert_true(push_id_equal(none, push_id_bytes(NULL, 7)));
    for (size_t i = 0; i < COUNT(ids); i++) {
        assert_false(push_id_equal(none, ids[i]));
        assert_false(push_id_equal(ids[i], none));
    }
}

/* Ids that are easy to take for one another. No two are equal. */
static size_t similar_ids(push_id *ids)
{
    static const uint64_t number = UINT64_C(0x0102030405060708);
    size_t n = 0;
    ids[n++] = push_id_int(0);
    ids[n++] = push_id_int(2);
    ids[n++] = push_id_int(42);
    ids[n++] = push_id_int(UINT64_C(42) << 32);
    ids[n++] = push_id_int((UINT64_C(1) << 32) + 42);
    ids[n++] = push_id_int(UINT64_MAX);
    ids[n++] = push_id_int(INT64_MAX);
    ids[n++] = push_id_int(number);
    ids[n++] = push_id_bytes(&number, sizeof(number));
    ids[n++] = push_id_bytes(&number, 4);
    ids[n++] = push_id_bytes(&number, 2);
    ids[n++] = push_id_str("");
    ids[n++] = push_id_str("0");
    ids[n++] = push_id_str("2");
    ids[n++] = push_id_str("42");
    ids[n++] = push_id_str("042");
    ids[n++] = push_id_str("42 ");
    ids[n++] = push_id_bytes("42", 3);
    ids[n++] = push_id_bytes("\0", 1);
    ids[n++] = push_id_bytes("\0\0", 2);
    ids[n++] = push_id_bytes("a\0b", 3);
    ids[n++] = push_id_bytes("a\0c", 3);
    ids[n++] = push_id_str("a");
    ids[n++] = push_id_str("A");
    ids[n++] = push_id_str("ab");
    ids[n++] = push_id_str("(none)");
    ids[n++] = push_id_str("18446744073709551615");
    return n;
}
#define SIMILAR_MAX 32

static void different_ids_differ(void **state)
{
    (void)state;
    push_id ids[SIMILAR_MAX];
    size_t n = similar_ids(ids);
    for (size_t i = 0; i < n; i++) {
        for (size_t k = 0; k < n; k++)
            assert_int_equal(push_id_equal(ids[i], ids[k]), i == k);
    }
}

static void the_macro_takes_strings_integers_and_ids(void **state)
{
    (void)state;
    char array[] = "alice";
    const char *pointer = array;
    const push_id id = push_id_int(7);
    assert_true(push_id_equal(PUSH_ID("alice"), push_id_str("alice")));
    assert_true(push_id_equal(PUSH_ID(array), push_id_str("alice")));
    assert_true(push_id_equal(PUSH_ID(pointer), push_id_str("alice")));
    assert_true(push_id_equal(PUSH_ID(id), id));
    assert_true(push_id_equal(PUSH_ID(PUSH_ID_NONE), PUSH_ID_NONE));

    push_id five = push_id_int(5);
    assert_true(push_id_equal(PUSH_ID((char)5), five));
    assert_true(push_id_equal(PUSH_ID((signed char)5), five));
    assert_true(push_id_equal(PUSH_ID((unsigned char)5), five));
    assert_true(push_id_equal(PUSH_ID((short)5), five));
    assert_true(push_id_equal(PUSH_ID((unsigned short)5), five));
    assert_true(push_id_equal(PUSH_ID(5), five));
    assert_true(push_id_equal(PUSH_ID(5U), five));
    assert_true(push_id_equal(PUSH_ID(5L), five));
    assert_true(push_id_equal(PUSH_ID(5UL), five));
    assert_true(push_id_equal(PUSH_ID(5LL), five));
    assert_true(push_id_equal(PUSH_ID(5ULL), five));
    assert_true(push_id_equal(PUSH_ID((uint8_t)5), five));
    assert_true(push_id_equal(PUSH_ID((size_t)5), five));
    assert_true(push_id_equal(PUSH_ID((int64_t)5), five));
    assert_true(push_id_equal(PUSH_ID((uint64_t)5), five));
    assert_true(push_id_equal(PUSH_ID((bool)true), push_id_int(1)));
    assert_true(push_id_equal(PUSH_ID(UINT64_MAX), push_id_int(UINT64_MAX)));
    /* One negative number is one id, of whatever type. */
    assert_true(push_id_equal(PUSH_ID(-1), PUSH_ID((signed char)-1)));
    assert_true(push_id_equal(PUSH_ID(-1), PUSH_ID(-1LL)));
    assert_true(push_id_equal(PUSH_ID(INT64_MIN), push_id_int(UINT64_C(1) << 63)));
}

/* The text as it should be, into buffers of every size. */
static void check_format(push_id id, const char *expected)
{
    int length = (int)strlen(expected);
    assert_int_equal(push_id_format(id, NULL, 0), length);
    for (size_t size = 0; size <= (size_t)length + 3; size++) {
        char buf[300];
        memset(buf, '#', sizeof(buf));
        assert_int_equal(push_id_format(id, buf, size), length);
        size_t written = size == 0 ? 0 : (size <= (size_t)length ? size - 1 : (size_t)length);
        assert_int_equal(strncasecmp(buf, expected, written), 0);
        if (size > 0)
            assert_int_equal(buf[written], '\0');
        for (size_t i = size; i < sizeof(buf); i++)
            assert_int_equal(buf[i], '#');
    }
}

static void ids_are_formatted_as_snprintf_does(void **state)
{
    (void)state;
    check_format(push_id_int(42), "42");
    check_format(push_id_int(0), "0");
    check_format(push_id_int(UINT64_MAX), "18446744073709551615");
    check_format(PUSH_ID(-1), "18446744073709551615");
    check_format(push_id_str("alice"), "alice");
    check_format(push_id_str("42"), "42");
    check_format(push_id_bytes("a\0b", 3), "a\\x00b");
    check_format(PUSH_ID_NONE, "(none)");
    check_format(push_id_str(""), "");
    check_format(push_id_str("a b~!"), "a b~!");
    check_format(push_id_str("C:\\x"), "C:\\\\x");
    check_format(push_id_bytes("\n\t\x1f\x7f\x80\xff", 6), "\\x0a\\x09\\x1f\\x7f\\x80\\xff");
    check_format(push_id_str("h\xc3\xa9"), "h\\xc3\\xa9");
    check_format(push_id_bytes("\0", 1), "\\x00");
}

/* Every single byte has its text: itself where it is printable, two characters for the backslash, else four. */
static void every_byte_is_formatted(void **state)
{
    (void)state;
    for (int byte = 0; byte < 256; byte++) {
        char c = (char)byte;
        char expected[8];
        if (byte == '\\')
            snprintf(expected, sizeof(expected), "\\\\");
        else if (byte >= 0x20 && byte < 0x7f)
            snprintf(expected, sizeof(expected), "%c", byte);
        else
            snprintf(expected, sizeof(expected), "\\x%02x", (unsigned)byte);
        check_format(push_id_bytes(&c, 1), expected);
    }
}

static void formatting_long_and_bad_ids(void **state)
{
    (void)state;
    char *bytes = calloc(1, PUSH_ID_MAX + 1);
    char *text = malloc(PUSH_ID_MAX * 4 + 1);
    assert_non_null(bytes);
    assert_non_null(text);
    assert_int_equal(push_id_format(push_id_bytes(bytes, PUSH_ID_MAX), NULL, 0), 4 * PUSH_ID_MAX);
    assert_int_equal(push_id_format(push_id_bytes(bytes, PUSH_ID_MAX), text, 4 * PUSH_ID_MAX + 1), 4 * PUSH_ID_MAX);
    assert_int_equal(strlen(text), 4 * PUSH_ID_MAX);
    strcpy(text, "untouched");
    assert_int_equal(push_id_format(push_id_bytes(bytes, PUSH_ID_MAX + 1), text, 100), -EINVAL);
    assert_int_equal(push_id_format(push_id_bytes(bytes, PUSH_ID_MAX + 1), NULL, 0), -EINVAL);
    assert_int_equal(push_id_format(push_id_bytes(bytes, SIZE_MAX), text, 100), -EINVAL);
    assert_string_equal(text, "untouched");
    assert_int_equal(push_id_format(push_id_str("alice"), NULL, 1), -EINVAL);
    assert_int_equal(push_id_format(PUSH_ID_NONE, NULL, 10), -EINVAL);
    free(bytes);
    free(text);
}

static void different_ids_are_different_sessions_and_clients(void **state)
{
    (void)state;
    push_id ids[SIMILAR_MAX];
    size_t n = similar_ids(ids);
    push_session *sessions[SIMILAR_MAX];
    push_session *group = session("group");
    for (size_t i = 0; i < n; i++) {
        assert_false(push_session_exists(ids[i]));
        sessions[i] = push_session_new(ids[i], ids[i], 1);
        assert_non_null(sessions[i]);
        assert_true(push_id_equal(push_session_id(sessions[i]), ids[i]));
        push_client *c = push_client_new(group, ids[i], NULL);
        assert_non_null(c);
        assert_true(push_id_equal(push_client_id(c), ids[i]));
        push_client_set_data(c, &ids[i]);
        push_client_unref(c);
    }
    for (size_t i = 0; i < n; i++) {
        push_session *found = push_session_find(ids[i]);
        assert_ptr_equal(found, sessions[i]);
        push_session_unref(found);
        assert_int_equal(push_session_len(found), 1);
        push_client *c = push_client_find(group, ids[i]);
        assert_non_null(c);
        assert_true(push_id_equal(*(push_id *)push_client_data(c), ids[i]));
        push_client_unref(c);
        assert_true(push_session_delete(ids[i]));
        assert_false(push_session_exists(ids[i]));
        push_session_unref(sessions[i]);
    }
    push_session_unref(group);
}

static void the_library_keeps_its_own_copy_of_the_bytes(void **state)
{
    (void)state;
    char bytes[] = "alice";
    push_session *s = push_session_new(push_id_str(bytes), push_id_str(bytes), 1);
    assert_non_null(s);
    memset(bytes, 'x', sizeof(bytes) - 1);
    assert_true(push_session_exists(push_id_str("alice")));
    assert_false(push_session_exists(push_id_str(bytes)));
    assert_true(push_id_equal(push_session_id(s), push_id_str("alice")));
    push_client *c = push_client_find(s, push_id_str("alice"));
    assert_non_null(c);
    assert_true(push_id_equal(push_client_id(c), push_id_str("alice")));
    size_t count;
    push_id *ids = push_session_clients(s, &count);
    assert_int_equal(count, 1);
    /* The list has bytes of its own as well: it outlives what it names. */
    push_client_delete(c);
    push_client_unref(c);
    push_session_delete(push_id_str("alice"));
    push_session_unref(s);
    assert_true(push_id_equal(ids[0], push_id_str("alice")));
    push_ids_free(ids);
}

/* What a handle says of its id is the same before and after the delete. */
static void an_id_is_valid_while_the_handle_is_held(void **state)
{
    (void)state;
    push_session *s = push_session_new(PUSH_ID("alice"), PUSH_ID("phone"), 1);
    push_client *c = push_client_find(s, PUSH_ID("phone"));
    push_id session_id = push_session_id(s);
    push_id client_id = push_client_id(c);
    assert_true(push_session_delete(PUSH_ID("alice")));
    assert_true(push_id_equal(session_id, PUSH_ID("alice")));
    assert_true(push_id_equal(client_id, PUSH_ID("phone")));
    assert_true(push_id_equal(push_session_id(s), PUSH_ID("alice")));
    assert_true(push_id_equal(push_client_id(c), PUSH_ID("phone")));
    push_shutdown();
    assert_true(push_id_equal(session_id, PUSH_ID("alice")));
    assert_true(push_id_equal(client_id, PUSH_ID("phone")));
    push_client_unref(c);
    push_session_unref(s);
}

static void the_longest_id_works_and_one_byte_more_is_refused(void **state)
{
    (void)state;
    char *bytes = malloc(PUSH_ID_MAX + 1);
    assert_non_null(bytes);
    memset(bytes, 'x', PUSH_ID_MAX + 1);
    push_id longest = push_id_bytes(bytes, PUSH_ID_MAX);
    push_id too_long = push_id_bytes(bytes, PUSH_ID_MAX + 1);

    push_session *s = push_session_new(longest, longest, 1);
    assert_non_null(s);
    assert_true(push_id_equal(push_session_id(s), longest));
    assert_true(push_session_exists(longest));
    assert_int_equal(push_session_push(s, "x", 1), 1);
    push_msg *msg;
    assert_int_equal(push_session_pull(s, longest, &msg, 0), 0);
    push_msg_unref(msg);
    /* The last byte counts. */
    bytes[PUSH_ID_MAX - 1] = 'y';
    assert_false(push_session_exists(longest));
    bytes[PUSH_ID_MAX - 1] = 'x';
    size_t count;
    push_id *ids = push_sessions(&count);
    assert_int_equal(count, 1);
    assert_true(push_id_equal(ids[0], longest));
    push_ids_free(ids);

    assert_null_errno(push_session_new(too_long, PUSH_ID_NONE, 1), EINVAL);
    assert_int_equal(push_session_len(s), 1);
    push_session_unref(s);
    free(bytes);
}

/* Made by hand, not by the functions: bytes that are not there. */
static void bytes_that_are_not_there(void **state)
{
    (void)state;
    push_id id = push_id_str("x");
    id.data = NULL;
    assert_null_errno(push_session_new(id, PUSH_ID_NONE, 1), EINVAL);
    assert_null_errno(push_session_find(id), EINVAL);
    assert_false(push_session_exists(id));
    assert_false(push_session_delete(id));
}

/* Ten thousand keys of each sort, found again, none taken for another. */
static void many_ids(void **state)
{
    (void)state;
    enum { N = 10000 };
    push_session *s = session("many");
    char name[32];
    for (uint64_t i = 0; i < N; i++) {
        snprintf(name, sizeof(name), "%d", (int)i);
        push_client *a = push_client_new(s, push_id_int(i), NULL);
        push_client *b = push_client_new(s, push_id_str(name), NULL);
        push_client_set_data(a, (void *)(uintptr_t)(2 * i + 1));
        push_client_set_data(b, (void *)(uintptr_t)(2 * i + 2));
        push_client_unref(a);
        push_client_unref(b);
    }
    assert_int_equal(push_session_len(s), 2 * N);
    for (uint64_t i = 0; i < N; i++) {
        snprintf(name, sizeof(name), "%d", (int)i);
        push_client *a = push_client_find(s, push_id_int(i));
        push_client *b = push_client_find(s, push_id_str(name));
        assert_ptr_equal(push_client_data(a), (void *)(uintptr_t)(2 * i + 1));
        assert_ptr_equal(push_client_data(b), (void *)(uintptr_t)(2 * i + 2));
        /* Deleting half of them leaves the others where they are. */
        if (i % 2 == 0)
            assert_true(push_client_delete(a));
        push_client_unref(a);
        push_client_unref(b);
    }
    assert_int_equal(push_session_len(s), 2 * N - N / 2);
    for (uint64_t i = 0; i < N; i++) {
        push_client *a = push_client_find(s, push_id_int(i));
        assert_int_equal(a != NULL, i % 2 == 1);
        push_client_unref(a);
    }
    push_session_unref(s);
}

static const struct CMUnitTest tests[] = {
    TEST(a_string_and_its_bytes_are_the_same_id),
    TEST(no_id_equals_only_itself),
    TEST(different_ids_differ),
    TEST(the_macro_takes_strings_integers_and_ids),
    TEST(ids_are_formatted_as_snprintf_does),
    TEST(every_byte_is_formatted),
    TEST(formatting_long_and_bad_ids),
    TEST(different_ids_are_different_sessions_and_clients),
    TEST(the_library_keeps_its_own_copy_of_the_bytes),
    TEST(an_id_is_valid_while_the_handle_is_held),
    TEST(the_longest_id_works_and_one_byte_more_is_refused),
    TEST(bytes_that_are_not_there),
    TEST(many_ids),
};
TEST_MAIN(tests)
