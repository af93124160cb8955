/* SipHash against the published vectors, and the hash of ids under the process's secret. */
#include "helpers.h"

#include <sys/random.h>

#include "id.h"
#include "siphash.h"

enum { VECTORS = 64 };

/* Vector n is the hash of the n bytes 0, 1, ... n-1 under the key 0, 1, ... 15. */
static unsigned char input[VECTORS];
static const uint64_t key[2] = {UINT64_C(0x0706050403020100), UINT64_C(0x0f0e0d0c0b0a0908)};

/* From the reference implementation of the algorithm's authors; the sixteenth is the paper's worked example. */
static const uint64_t siphash_2_4[VECTORS] = {
    UINT64_C(0x726fdb47dd0e0e31), UINT64_C(0x74f839c593dc67fd), UINT64_C(0x0d6c8009d9a94f5a),
    UINT64_C(0x85676696d7fb7e2d), UINT64_C(0xcf2794e0277187b7), UINT64_C(0x18765564cd99a68d),
    UINT64_C(0xcbc9466e58fee3ce), UINT64_C(0xab0200f58b01d137), UINT64_C(0x93f5f5799a932462),
    UINT64_C(0x9e0082df0ba9e4b0), UINT64_C(0x7a5dbbc594ddb9f3), UINT64_C(0xf4b32f46226bada7),
    UINT64_C(0x751e8fbc860ee5fb), UINT64_C(0x14ea5627c0843d90), UINT64_C(0xf723ca908e7af2ee),
    UINT64_C(0xa129ca6149be45e5), UINT64_C(0x3f2acc7f57c29bdb), UINT64_C(0x699ae9f52cbe4794),
    UINT64_C(0x4bc1b3f0968dd39c), UINT64_C(0xbb6dc91da77961bd), UINT64_C(0xbed65cf21aa2ee98),
    UINT64_C(0xd0f2cbb02e3b67c7), UINT64_C(0x93536795e3a33e88), UINT64_C(0xa80c038ccd5ccec8),
    UINT64_C(0xb8ad50c6f649af94), UINT64_C(0xbce192de8a85b8ea), UINT64_C(0x17d835b85bbb15f3),
    UINT64_C(0x2f2e6163076bcfad), UINT64_C(0xde4daaaca71dc9a5), UINT64_C(0xa6a2506687956571),
    UINT64_C(0xad87a3535c49ef28), UINT64_C(0x32d892fad841c342), UINT64_C(0x7127512f72f27cce),
    UINT64_C(0xa7f32346f95978e3), UINT64_C(0x12e0b01abb051238), UINT64_C(0x15e034d40fa197ae),
    UINT64_C(0x314dffbe0815a3b4), UINT64_C(0x027990f029623981), UINT64_C(0xcadcd4e59ef40c4d),
    UINT64_C(0x9abfd8766a33735c), UINT64_C(0x0e3ea96b5304a7d0), UINT64_C(0xad0c42d6fc585992),
    UINT64_C(0x187306c89bc215a9), UINT64_C(0xd4a60abcf3792b95), UINT64_C(0xf935451de4f21df2),
    UINT64_C(0xa9538f0419755787), UINT64_C(0xdb9acddff56ca510), UINT64_C(0xd06c98cd5c0975eb),
    UINT64_C(0xe612a3cb9ecba951), UINT64_C(0xc766e62cfcadaf96), UINT64_C(0xee64435a9752fe72),
    UINT64_C(0xa192d576b245165a), UINT64_C(0x0a8787bf8ecb74b2), UINT64_C(0x81b3e73d20b49b6f),
    UINT64_C(0x7fa8220ba3b2ecea), UINT64_C(0x245731c13ca42499), UINT64_C(0xb78dbfaf3a8d83bd),
    UINT64_C(0xea1ad565322a1a0b), UINT64_C(0x60e61c23a3795013), UINT64_C(0x6606d7e446282b93),
    UINT64_C(0x6ca4ecb15c5f91e1), UINT64_C(0x9f626da15c9625f3), UINT64_C(0xe51b38608ef25f57),
    UINT64_C(0x958a324ceb064572)};

/* As the tests of Rust's core library have them. */
static const uint64_t siphash_1_3[VECTORS] = {
    UINT64_C(0xabac0158050fc4dc), UINT64_C(0xc9f49bf37d57ca93), UINT64_C(0x82cb9b024dc7d44d),
    UINT64_C(0x8bf80ab8e7ddf7fb), UINT64_C(0xcf75576088d38328), UINT64_C(0xdef9d52f49533b67),
    UINT64_C(0xc50d2b50c59f22a7), UINT64_C(0xd3927d989bb11140), UINT64_C(0x369095118d299a8e),
    UINT64_C(0x25a48eb36c063de4), UINT64_C(0x79de85ee92ff097f), UINT64_C(0x70c118c1f94dc352),
    UINT64_C(0x78a384b157b4d9a2), UINT64_C(0x306f760c1229ffa7), UINT64_C(0x605aa111c0f95d34),
    UINT64_C(0xd320d86d2a519956), UINT64_C(0xcc4fdd1a7d908b66), UINT64_C(0x9cf2689063dbd80c),
    UINT64_C(0x8ffc389cb473e63e), UINT64_C(0xf21f9de58d297d1c), UINT64_C(0xc0dc2f46a6cce040),
    UINT64_C(0xb992abfe2b45f844), UINT64_C(0x7ffe7b9ba320872e), UINT64_C(0x525a0e7fdae6c123),
    UINT64_C(0xf464aeb267349c8c), UINT64_C(0x45cd5928705b0979), UINT64_C(0x3a3e35e3ca9913a5),
    UINT64_C(0xa91dc74e4ade3b35), UINT64_C(0xfb0bed02ef6cd00d), UINT64_C(0x88d93cb44ab1e1f4),
    UINT64_C(0x540f11d643c5e663), UINT64_C(0x2370dd1f8c21d1bc), UINT64_C(0x81157b6c16a7b60d),
    UINT64_C(0x4d54b9e57a8ff9bf), UINT64_C(0x759f12781f2a753e), UINT64_C(0xcea1a3bebf186b91),
    UINT64_C(0x2cf508d3ada26206), UINT64_C(0xb6101c2da3c33057), UINT64_C(0xb3f47496ae3a36a1),
    UINT64_C(0x626b57547b108392), UINT64_C(0xc1d2363299e41531), UINT64_C(0x667cc1923f1ad944),
    UINT64_C(0x65704ffec8138825), UINT64_C(0x24f280d1c28949a6), UINT64_C(0xc2ca1cedfaf8876b),
    UINT64_C(0xc2164bfc9f042196), UINT64_C(0xa16e9c9368b1d623), UINT64_C(0x49fb169c8b5114fd),
    UINT64_C(0x9f3143f8df074c46), UINT64_C(0xc6fdaf2412cc86b3), UINT64_C(0x7eaf49d10a52098f),
    UINT64_C(0x1cf313559d292f9a), UINT64_C(0xc44a30dda2f41f12), UINT64_C(0x36fae98943a71ed0),
    UINT64_C(0x318fb34c73f0bce6), UINT64_C(0xa27abf3670a7e980), UINT64_C(0xb4bcc0db243c6d75),
    UINT64_C(0x23f8d852fdb71513), UINT64_C(0x8f035f4da67d8a08), UINT64_C(0xd89cd0e5b7e8f148),
    UINT64_C(0xf6f4e6bcf7a644ee), UINT64_C(0xaec59ad80f1837f2), UINT64_C(0xc3b2f6154b6694e0),
    UINT64_C(0x9d199062b7bbb3a8)};

static int fill_input(void **state)
{
    for (size_t i = 0; i < VECTORS; i++)
        input[i] = (unsigned char)i;
    return test_begin(state);
}

static void test_2_4_vectors(void **state)
{
    (void)state;
    for (size_t n = 0; n < VECTORS; n++)
        assert_int_equal(siphash(key, input, n, 2, 4), siphash_2_4[n]);
}

static void test_1_3_vectors(void **state)
{
    (void)state;
    for (size_t n = 0; n < VECTORS; n++)
        assert_int_equal(siphash(key, input, n, 1, 3), siphash_1_3[n]);
}

static void test_alignment_does_not_matter(void **state)
{
    (void)state;
    unsigned char moved[VECTORS + 8];
    for (size_t by = 0; by < 8; by++) {
        memcpy(moved + by, input, VECTORS);
        for (size_t n = 0; n < VECTORS; n++)
            assert_int_equal(siphash(key, moved + by, n, 1, 3), siphash_1_3[n]);
    }
}

static void test_every_bit_counts(void **state)
{
    (void)state;
    for (size_t bit = 0; bit < 128; bit++) {
        uint64_t other[2] = {key[0], key[1]};
        other[bit / 64] ^= UINT64_C(1) << bit % 64;
        assert_int_not_equal(siphash(other, input, 15, 1, 3), siphash_1_3[15]);
    }
    for (size_t bit = 0; bit < 15 * 8; bit++) {
        unsigned char other[15];
        memcpy(other, input, sizeof(other));
        other[bit / 8] ^= (unsigned char)(1U << bit % 8);
        assert_int_not_equal(siphash(key, other, sizeof(other), 1, 3), siphash_1_3[15]);
    }
}

/* ---- The secret ------------------------------------------------------------------------------------------ */

/* getrandom as a test wants it: `supply` bytes in all, `at_once` a call, every other call interrupted. */
static struct {
    const unsigned char *supply; /* NULL: the system's */
    size_t at_once;
    unsigned calls;
    int error;
} source;

ssize_t __real_getrandom(void *buf, size_t size, unsigned flags);
ssize_t __wrap_getrandom(void *buf, size_t size, unsigned flags);
ssize_t __wrap_getrandom(void *buf, size_t size, unsigned flags)
{
    if (source.error) {
        errno = source.error;
        return -1;
    }
    if (!source.supply)
        return __real_getrandom(buf, size, flags);
    if (source.calls++ % 2 == 0) {
        errno = EINTR;
        return -1;
    }
    size_t n = size < source.at_once ? size : source.at_once;
    memcpy(buf, source.supply, n);
    source.supply += n;
    return (ssize_t)n;
}

static void test_ids_are_hashed_under_the_whole_secret(void **state)
{
    (void)state;
    for (size_t at_once = 1; at_once <= 16; at_once++) {
        source.supply = input;
        source.at_once = at_once;
        assert_int_equal(push__id_secret_init(), 0);
        assert_ptr_equal(source.supply, input + 16);
        source.supply = NULL;
        uint64_t secret[2];
        memcpy(secret, input, sizeof(secret));
        for (size_t n = 0; n < VECTORS; n++)
            assert_int_equal(push__id_hash(push_id_bytes(input, n)), siphash(secret, input, n, 1, 3));
        uint64_t number = 42;
        assert_int_equal(push__id_hash(push_id_int(number)), siphash(secret, &number, sizeof(number), 1, 3));
    }
}

static void test_the_secret_differs(void **state)
{
    (void)state;
    uint64_t seen[64];
    for (size_t i = 0; i < COUNT(seen); i++) {
        assert_int_equal(push__id_secret_init(), 0);
        seen[i] = push__id_hash(push_id_str("alice"));
        for (size_t j = 0; j < i; j++)
            assert_int_not_equal(seen[i], seen[j]);
    }
}

static void assert_named_again(push_id id)
{
    const struct name *name = push__name_again(id);
    assert_true(push_id_equal(name->id, id));
    assert_int_equal(name->hash, (uint32_t)push__id_hash(id));
}

/* Whatever was named before, and in whichever order. */
static void test_a_name_again_is_the_name(void **state)
{
    (void)state;
    static char bytes[100];
    static char same[sizeof(bytes)];
    push_id ids[] = {push_id_int(0),           push_id_int(1),           push_id_bytes("", 0),
                     push_id_bytes("\0", 1),   push_id_bytes("\1", 1),   push_id_bytes(bytes, 39),
                     push_id_bytes(same, 39),  push_id_bytes(bytes, 40), push_id_bytes(bytes, 41),
                     push_id_bytes(bytes, 100)};
    assert_int_equal(push__id_secret_init(), 0);
    for (size_t i = 0; i < COUNT(ids); i++) {
        for (size_t j = 0; j < COUNT(ids); j++) {
            assert_named_again(ids[i]);
            assert_named_again(ids[j]);
            assert_named_again(ids[j]);
        }
    }
}

/* The caller's memory has changed since, or the secret has. */
static void test_what_was_named_last_may_be_out_of_date(void **state)
{
    (void)state;
    for (size_t size = 1; size <= 64; size++) {
        char bytes[64] = {0};
        assert_int_equal(push__id_secret_init(), 0);
        assert_named_again(push_id_bytes(bytes, size));
        bytes[size - 1] = 1;
        assert_named_again(push_id_bytes(bytes, size));
        assert_int_equal(push__id_secret_init(), 0);
        assert_named_again(push_id_bytes(bytes, size));
    }
    for (uint64_t n = 0; n < 64; n++) {
        assert_int_equal(push__id_secret_init(), 0);
        assert_named_again(push_id_int(7));
    }
}

static void test_no_randomness_is_an_error(void **state)
{
    (void)state;
    source.error = ENOSYS;
    assert_int_equal(push__id_secret_init(), -ENOSYS);
    source.error = 0;
    assert_int_equal(push__id_secret_init(), 0);
}

/* The registry takes the shard from the upper bits and the slot from the lower ones: each must be spread. */
static void test_bits_are_spread(void **state)
{
    (void)state;
    enum { IDS = 1 << 16, BUCKETS = 256, EXPECTED = IDS / BUCKETS };
    static unsigned low[BUCKETS];
    static unsigned high[BUCKETS];
    assert_int_equal(push__id_secret_init(), 0);
    for (uint64_t i = 0; i < IDS; i++) {
        uint32_t hash = (uint32_t)push__id_hash(push_id_int(i));
        low[hash % BUCKETS]++;
        high[hash >> 24]++;
    }
    /* Ten standard deviations off is no chance: 256 expected, deviation 16. */
    for (size_t i = 0; i < BUCKETS; i++) {
        assert_in_range(low[i], EXPECTED - 160, EXPECTED + 160);
        assert_in_range(high[i], EXPECTED - 160, EXPECTED + 160);
    }
}

#define VECTOR_TEST(function)                                                                                      \
    cmocka_unit_test_prestate_setup_teardown(function, fill_input, test_end, (void *)#function)

static const struct CMUnitTest tests[] = {VECTOR_TEST(test_2_4_vectors),
                                          VECTOR_TEST(test_1_3_vectors),
                                          VECTOR_TEST(test_alignment_does_not_matter),
                                          VECTOR_TEST(test_every_bit_counts),
                                          VECTOR_TEST(test_ids_are_hashed_under_the_whole_secret),
                                          TEST(test_the_secret_differs),
                                          TEST(test_a_name_again_is_the_name),
                                          TEST(test_what_was_named_last_may_be_out_of_date),
                                          TEST(test_no_randomness_is_an_error),
                                          TEST(test_bits_are_spread)};

TEST_MAIN(tests)
