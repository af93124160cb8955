/* The parts that need no server: subjects, headers, counts, peers, the outbox without a connection, the position
 * file. */
#include "../helpers.h"

#include <unistd.h>

#include "../../src/nats/clock.h"
#include "../../src/nats/node.h"

static void assert_token(push_id id, const char *expected)
{
    char token[TOKEN_SIZE];
    assert_int_equal(push__nats_token(id, token), 0);
    assert_string_equal(token, expected);
}

/* Examples by coreutils: printf alice | base64; printf x...x (97) | sha256sum | xxd -r -p | base64. */
static void tokens(void **state)
{
    (void)state;
    assert_token(push_id_str("alice"), "bYWxpY2U");
    assert_token(push_id_str(""), "b");
    assert_token(push_id_str("\xfb\xff"), "b-_8");
    assert_token(push_id_bytes("a\0b", 3), "bYQBi");
    assert_token(push_id_int(42), "i42");
    assert_token(push_id_str("42"), "bNDI");
    assert_token(push_id_int(UINT64_MAX), "i18446744073709551615");
    char bytes[97];
    memset(bytes, 'x', sizeof bytes);
    assert_token(push_id_bytes(bytes, 97), "hGajwfut_PQwLc3fjfXLszeFEzv60S-rJwyJxMaUmaI0");
}

/* Whatever the bytes: a token has no character that means anything to NATS, and no two ids have one token. */
static void tokens_are_harmless(void **state)
{
    (void)state;
    char token[TOKEN_SIZE], other[TOKEN_SIZE];
    for (int size = 1; size <= 200; size++) {
        unsigned char bytes[200];
        for (int value = 0; value < 256; value += 5) {
            memset(bytes, value, sizeof bytes);
            assert_int_equal(push__nats_token(push_id_bytes(bytes, (size_t)size), token), 0);
            assert_true(strlen(token) < TOKEN_SIZE);
            assert_int_equal(strspn(token, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"),
                             strlen(token));
            bytes[size - 1] ^= 1;
            assert_int_equal(push__nats_token(push_id_bytes(bytes, (size_t)size), other), 0);
            assert_string_not_equal(token, other);
        }
    }
}

static void encoded_ids_come_back(void **state)
{
    (void)state;
    static unsigned char bytes[PUSH_ID_MAX], back[PUSH_ID_MAX * 2];
    static char text[PUSH_ID_MAX * 2];
    uint64_t seed = 1;
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (unsigned char)random_next(&seed);
    const size_t sizes[] = {0, 1, 2, 3, 4, 95, 96, 97, 1000, PUSH_ID_MAX};
    for (size_t i = 0; i < COUNT(sizes); i++) {
        push_id id = push_id_bytes(bytes, sizes[i]);
        push__nats_encode(id, text);
        assert_true(strlen(text) < push__nats_encoded_size(id));
        assert_true(push_id_equal(push__nats_decode(text, back), id));
    }
    push__nats_encode(push_id_int(UINT64_MAX), text);
    assert_true(push_id_equal(push__nats_decode(text, back), push_id_int(UINT64_MAX)));

    const char *const nonsense[] = {"",  "i",  "i-1", "i+1",   "i 1", "i1x", "i18446744073709551616",
                                    "x", "b=", "b a", "bYQ==", "h1"};
    for (size_t i = 0; i < COUNT(nonsense); i++)
        assert_true(push_id_equal(push__nats_decode(nonsense[i], back), PUSH_ID_NONE));
}

static void origins(void **state)
{
    (void)state;
    char text[ORIGIN_SIZE];
    struct origin largest = {UINT64_MAX, UINT64_MAX, UINT64_MAX}, origin;
    push__nats_origin_format(&largest, text);
    origin = push__nats_origin_parse(text);
    assert_memory_equal(&origin, &largest, sizeof origin);
    origin = push__nats_origin_parse("a.b.c");
    assert_true(origin.publisher == 0xa && origin.run == 0xb && origin.count == 0xc);

    const char *const foreign[] = {NULL,    "",        "x",      "1",      "1.2",    "1.2.",
                                   "1.2.0", "1.2.3.4", "1.2.3 ", " 1.2.3", "-1.2.3", "1..3"};
    for (size_t i = 0; i < COUNT(foreign); i++)
        assert_int_equal(push__nats_origin_parse(foreign[i]).publisher, 0);
}

static bool accept(struct peers *peers, uint64_t publisher, uint64_t run, uint64_t count, uint64_t missing)
{
    uint64_t found;
    struct origin origin = {publisher, run, count};
    bool accepted = push__nats_peers_accept(peers, &origin, false, &found);
    return accepted && found == missing;
}

static void peers_tell_duplicates_and_gaps(void **state)
{
    (void)state;
    struct peers peers = {0};
    struct origin origin = {1, 1, 3};
    uint64_t missing;
    assert_true(accept(&peers, 1, 1, 5, 0)); /* what it counted before us is not missing */
    assert_true(accept(&peers, 1, 1, 6, 0));
    assert_true(accept(&peers, 2, 7, 1, 0));
    assert_true(accept(&peers, 1, 1, 10, 3));
    assert_false(push__nats_peers_accept(&peers, &origin, false, &missing));
    origin.count = 10;
    assert_false(push__nats_peers_accept(&peers, &origin, false, &missing));
    assert_true(accept(&peers, 1, 4, 3, 2)); /* a new run, which began while we listened */
    assert_false(push__nats_peers_accept(&peers, &origin, false, &missing));
    origin = (struct origin){3, 1, 4};
    assert_true(push__nats_peers_accept(&peers, &origin, true, &missing));
    assert_int_equal(missing, 3);
    origin.publisher = 0; /* not one of us: nothing is known */
    assert_true(push__nats_peers_accept(&peers, &origin, true, &missing));
    assert_true(push__nats_peers_accept(&peers, &origin, true, &missing));
    assert_int_equal(missing, 0);
    /* More than are remembered: the oldest is taken for new. */
    for (uint64_t publisher = 100; publisher < 100 + PEERS_MAX; publisher++)
        assert_true(accept(&peers, publisher, 1, 2, 0));
    assert_true(accept(&peers, 2, 7, 9, 0));
    assert_true(accept(&peers, 99 + PEERS_MAX, 1, 4, 1));
    push__nats_peers_free(&peers);
}

static void counts_count_each_session(void **state)
{
    (void)state;
    struct counts counts;
    struct origin a, b;
    push__nats_counts_init(&counts, 9);
    for (uint64_t n = 1; n <= 3; n++) {
        assert_int_equal(push__nats_counts_next(&counts, "s.a", &a), 0);
        assert_int_equal(push__nats_counts_next(&counts, "s.b", &b), 0);
        assert_true(a.publisher == 9 && a.run == 1 && a.count == n && b.run == 2 && b.count == n);
    }
    assert_null(push__nats_counts_turn(&counts, clock_ms()));
    /* Used in the time between two turns: it goes on. Not used: a new run. */
    int64_t later = clock_ms() + COUNTS_IDLE_MS + 1000;
    assert_null(push__nats_counts_turn(&counts, later));
    assert_int_equal(push__nats_counts_next(&counts, "s.a", &a), 0);
    assert_true(a.run == 1 && a.count == 4);
    void *gone = push__nats_counts_turn(&counts, later + COUNTS_IDLE_MS + 1000);
    assert_non_null(gone);
    push__nats_counts_free(gone);
    assert_int_equal(push__nats_counts_next(&counts, "s.a", &a), 0);
    assert_int_equal(push__nats_counts_next(&counts, "s.b", &b), 0);
    assert_true(a.run == 1 && a.count == 5 && b.run == 3 && b.count == 1);
    push__nats_counts_free(counts.young);
    push__nats_counts_free(counts.old);
}

/* ---- The outbox ------------------------------------------------------------------------------------------ */

static atomic_int told;
static atomic_int told_error;

static void on_unpublished(void *arg, push_id session, push_msg *msg, int error)
{
    (void)arg;
    assert_true(push_id_equal(session, push_id_str("alice")));
    assert_text(push_msg_ref(msg), "12345678");
    atomic_store(&told_error, error);
    atomic_fetch_add(&told, 1);
}

static int put(struct outbox *outbox, int timeout_ms)
{
    push_msg *msg = text_msg("12345678");
    struct letter *letter =
        push__nats_letter_new(push_id_str("alice"), "push.v1.x.bYWxpY2U", msg, push_id_str("phone"));
    push_msg_unref(msg);
    assert_non_null(letter);
    int rc = push__nats_outbox_put(outbox, letter, deadline_after(timeout_ms));
    if (rc < 0)
        push__nats_letter_free(letter);
    return rc;
}

static void the_outbox_is_bounded_and_gives_up(void **state)
{
    (void)state;
    atomic_store(&told, 0);
    struct outbox outbox = {
        .max_letters = 3, .max_bytes = 1 << 20, .max_age_ms = 300, .unpublished = on_unpublished};
    assert_int_equal(push__nats_outbox_start(&outbox, 1), 0);
    for (int i = 0; i < 3; i++)
        assert_int_equal(put(&outbox, 0), 0);
    assert_int_equal(put(&outbox, 0), -ETIMEDOUT);
    assert_int_equal(push__nats_outbox_wait(&outbox, 0), -EAGAIN);
    assert_int_equal(push__nats_outbox_wait(&outbox, 10), -ETIMEDOUT);
    assert_int_equal(put(&outbox, -1), 0); /* once the first ones are too old */
    assert_int_equal(push__nats_outbox_wait(&outbox, -1), 0);
    assert_int_equal(atomic_load(&told), 4);
    assert_int_equal(atomic_load(&told_error), -ETIMEDOUT);
    assert_int_equal(put(&outbox, 0), 0);
    push__nats_outbox_close(&outbox);
    assert_int_equal(put(&outbox, -1), -EPIPE);
    assert_int_equal(push__nats_outbox_stop(&outbox), 1);
    assert_int_equal(atomic_load(&told_error), -EPIPE);
}

static void the_outbox_is_bounded_by_bytes(void **state)
{
    (void)state;
    struct outbox outbox = {.max_letters = 100, .max_bytes = 1, .max_age_ms = -1};
    assert_int_equal(push__nats_outbox_start(&outbox, 1), 0);
    assert_int_equal(put(&outbox, 0), 0); /* an empty one takes any one letter */
    assert_int_equal(put(&outbox, 20), -ETIMEDOUT);
    assert_int_equal(push__nats_outbox_stop(&outbox), 1);
}

static void the_position_file(void **state)
{
    (void)state;
    char path[] = "/tmp/push-nats-position-XXXXXX", bad[80];
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    assert_int_equal(push__nats_position_read(path), 0); /* empty */
    assert_int_equal(push__nats_position_write(path, UINT64_MAX), 0);
    assert_true(push__nats_position_read(path) == UINT64_MAX);
    assert_int_equal(push__nats_position_write(path, 7), 0);
    assert_int_equal(push__nats_position_read(path), 7);
    unlink(path);
    assert_int_equal(push__nats_position_read(path), 0);
    snprintf(bad, sizeof bad, "%s/there/is/none", path);
    assert_int_equal(push__nats_position_write(bad, 7), -ENOENT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(tokens),
        TEST(tokens_are_harmless),
        TEST(encoded_ids_come_back),
        TEST(origins),
        TEST(peers_tell_duplicates_and_gaps),
        TEST(counts_count_each_session),
        TEST(the_outbox_is_bounded_and_gives_up),
        TEST(the_outbox_is_bounded_by_bytes),
        TEST(the_position_file),
    };
    helpers_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
