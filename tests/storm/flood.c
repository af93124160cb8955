/*
 * Hash flooding: ids that somebody chose so that they fall together cost no more than random ones. Counted are the
 * basic blocks of the library that run (its sources are compiled with -fsanitize-coverage=trace-pc): every probe is
 * some of them, and nothing depends on the clock.
 *
 * That the count would show it is shown by ids chosen with the secret of this very process, which nobody else
 * knows. The same ids are nothing special to another process: it is this program, run anew.
 */
#include "../helpers.h"

#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "id.h"
#include "siphash.h"

enum { N = 100000 };

/* ---- Blocks ----------------------------------------------------------------------------------------------- */

static uint64_t blocks;

void __sanitizer_cov_trace_pc(void);
void __sanitizer_cov_trace_pc(void)
{
    blocks++;
}

/* ---- Ids -------------------------------------------------------------------------------------------------- */

/* N ids, either integers or of so many bytes. */
struct ids {
    size_t size; /* 0: integers */
    uint64_t *ints;
    unsigned char *bytes;
};

static struct ids ids_new(size_t size)
{
    struct ids ids = {.size = size};
    ids.ints = size ? NULL : calloc(N, sizeof(ids.ints[0]));
    ids.bytes = size ? calloc(N, size) : NULL;
    assert_true(ids.ints || ids.bytes);
    return ids;
}

static void ids_free(struct ids *ids)
{
    free(ids->ints);
    free(ids->bytes);
}

static push_id id_at(const struct ids *ids, size_t i)
{
    return ids->size ? push_id_bytes(ids->bytes + i * ids->size, ids->size) : push_id_int(ids->ints[i]);
}

static struct ids random_ids(size_t size)
{
    uint64_t seed = 1;
    struct ids ids = ids_new(size);
    for (size_t i = 0; !size && i < N; i++)
        ids.ints[i] = (uint64_t)random_next(&seed) << 32 | random_next(&seed);
    for (size_t i = 0; i < N * size; i++)
        ids.bytes[i] = (unsigned char)random_next(&seed);
    return ids;
}

/* ---- What they cost --------------------------------------------------------------------------------------- */

struct cost {
    uint64_t join, find_client, create, find_session;
};

static struct cost cost_of(const struct ids *ids)
{
    struct cost cost = {0};
    push_session *s = session("flooded");
    blocks = 0;
    for (size_t i = 0; i < N; i++)
        push_client_unref(push_client_new(s, id_at(ids, i), NULL));
    cost.join = blocks;
    assert_int_equal(push_session_len(s), N);
    blocks = 0;
    for (size_t i = 0; i < N; i++) {
        push_client *c = push_client_find(s, id_at(ids, i));
        assert_non_null(c);
        push_client_unref(c);
    }
    cost.find_client = blocks;
    push_session_unref(s);
    push_shutdown();

    blocks = 0;
    for (size_t i = 0; i < N; i++)
        push_session_unref(push_session_new(id_at(ids, i), PUSH_ID_NONE, 0));
    cost.create = blocks;
    blocks = 0;
    for (size_t i = 0; i < N; i++)
        assert_true(push_session_exists(id_at(ids, i)));
    cost.find_session = blocks;
    push_shutdown();
    return cost;
}

/* In hundredths of what random ids of the same size cost. */
static unsigned percent(uint64_t chosen, uint64_t random)
{
    assert_true(random > N);
    return (unsigned)(chosen * 100 / random);
}

static unsigned worst_percent(const struct ids *ids)
{
    struct ids others = random_ids(ids->size);
    struct cost random = cost_of(&others);
    struct cost chosen = cost_of(ids);
    ids_free(&others);
    unsigned each[] = {percent(chosen.join, random.join), percent(chosen.find_client, random.find_client),
                       percent(chosen.create, random.create), percent(chosen.find_session, random.find_session)};
    unsigned worst = 0;
    for (size_t i = 0; i < COUNT(each); i++)
        worst = each[i] > worst ? each[i] : worst;
    return worst;
}

static void assert_no_flood(const char *what, struct ids ids)
{
    unsigned worst = worst_percent(&ids);
    printf("figure: %d ids, %s, percent of the cost of random ones: %u\n", N, what, worst);
    ids_free(&ids);
    assert_true(worst <= 200);
}

/* ---- Integers --------------------------------------------------------------------------------------------- */

static struct ids multiples_of(uint64_t factor)
{
    struct ids ids = ids_new(0);
    for (uint64_t i = 0; i < N; i++)
        ids.ints[i] = i * factor;
    return ids;
}

static void integers(void **state)
{
    (void)state;
    assert_no_flood("sequential", multiples_of(1));
    assert_no_flood("multiples of 2^16", multiples_of(UINT64_C(1) << 16));
    assert_no_flood("multiples of 2^32", multiples_of(UINT64_C(1) << 32));
    assert_no_flood("multiples of 2^44", multiples_of(UINT64_C(1) << 44));
    /* The inverse of the golden ratio's factor, modulo 2^64: Fibonacci hashing gives 0, 1, 2, ... */
    uint64_t golden = UINT64_C(0x9e3779b97f4a7c15);
    uint64_t inverse = golden;
    for (int i = 0; i < 6; i++)
        inverse *= 2 - golden * inverse;
    assert_true(golden * inverse == 1);
    assert_no_flood("in one place by Fibonacci hashing", multiples_of(inverse));
}

/* ---- Bytes that collide in hashes that go on from a state: of two blocks with one result, any sequence will do -
 */

enum { STAGES = 17 };
typedef uint32_t step_function(uint32_t state, unsigned char byte);

static uint32_t fnv1a_step(uint32_t state, unsigned char byte)
{
    return (state ^ byte) * 16777619U;
}

static uint32_t times33_step(uint32_t state, unsigned char byte)
{
    return state * 33 + byte;
}

static uint32_t times31_step(uint32_t state, unsigned char byte)
{
    return state * 31 + byte;
}

static uint32_t hash_of(uint32_t state, const unsigned char *p, size_t size, step_function *step)
{
    for (size_t i = 0; i < size; i++)
        state = step(state, p[i]);
    return state;
}

enum { BLOCK = 8 };

struct pair {
    unsigned char a[BLOCK], b[BLOCK];
};

static void make_block(unsigned char *block, uint32_t n)
{
    uint64_t seed = n;
    uint64_t bytes = (uint64_t)random_next(&seed) << 32 | random_next(&seed);
    memcpy(block, &bytes, BLOCK);
}

/* By the birthday paradox, among some 2^16 blocks there are two with one result. */
static struct pair find_pair(uint32_t state, step_function *step)
{
    enum { SLOTS = 1 << 20 };
    uint32_t *seen = calloc(SLOTS, sizeof(seen[0]));
    assert_non_null(seen);
    struct pair pair;
    uint32_t n = 0;
    bool found = false;
    while (!found) {
        assert_true(++n < SLOTS / 2);
        make_block(pair.a, n);
        uint32_t hash = hash_of(state, pair.a, BLOCK, step);
        uint32_t slot = hash % SLOTS;
        for (; seen[slot] && !found; slot = (slot + 1) % SLOTS) {
            make_block(pair.b, seen[slot]);
            found = hash_of(state, pair.b, BLOCK, step) == hash;
        }
        seen[slot] = n;
    }
    free(seen);
    return pair;
}

/* Joux, "Multicollisions in iterated hash functions" (2004). */
static struct ids multicollision(uint32_t start, step_function *step)
{
    struct pair pairs[STAGES];
    uint32_t state = start;
    for (size_t k = 0; k < STAGES; k++) {
        pairs[k] = find_pair(state, step);
        state = hash_of(state, pairs[k].a, BLOCK, step);
    }
    struct ids ids = ids_new((size_t)STAGES * BLOCK);
    for (size_t i = 0; i < N; i++) {
        unsigned char *p = ids.bytes + i * ids.size;
        for (size_t k = 0; k < STAGES; k++)
            memcpy(p + k * BLOCK, i >> k & 1 ? pairs[k].a : pairs[k].b, BLOCK);
        assert_int_equal(hash_of(start, p, ids.size, step), state);
    }
    return ids;
}

static void multicollisions(void **state)
{
    (void)state;
    assert_no_flood("one 32-bit FNV-1a", multicollision(2166136261U, fnv1a_step));
    assert_no_flood("one hash times 33", multicollision(5381, times33_step));
    assert_no_flood("one hash times 31", multicollision(0, times31_step));
}

static void long_common_prefixes(void **state)
{
    (void)state;
    struct ids ids = ids_new(256);
    for (size_t i = 0; i < N; i++) {
        char *p = (char *)ids.bytes + i * ids.size;
        memset(p, 'x', ids.size);
        char digits[16];
        int n = snprintf(digits, sizeof(digits), "%08zu", i);
        memcpy(p + ids.size - (size_t)n, digits, (size_t)n);
    }
    assert_no_flood("256 bytes that differ in the last eight", ids);
}

/* ---- SipHash ----------------------------------------------------------------------------------------------- */

enum { SAME_BITS = 9 };

/* Integers whose hash, by `hash`, has the same bits from `shift` on. */
static struct ids same_bits(uint64_t (*hash)(uint64_t n), int shift)
{
    struct ids ids = ids_new(0);
    size_t n = 0;
    for (uint64_t i = 0; n < N; i++) {
        if ((hash(i) >> shift & ((1 << SAME_BITS) - 1)) == 0)
            ids.ints[n++] = i;
    }
    return ids;
}

static uint64_t zero_key(uint64_t n)
{
    static const uint64_t key[2] = {0, 0};
    return siphash(key, &n, sizeof(n), 1, 3);
}

static void siphash_without_a_secret(void **state)
{
    (void)state;
    assert_no_flood("same low bits under a key of zeros", same_bits(zero_key, 0));
    assert_no_flood("same high bits under a key of zeros", same_bits(zero_key, 32 - SAME_BITS));
    assert_no_flood("same top bits under a key of zeros", same_bits(zero_key, 64 - SAME_BITS));
}

static uint64_t with_our_secret(uint64_t n)
{
    return push__id_hash(push_id_int(n));
}

static int run_anew(const struct ids *ids)
{
    int fd = memfd_create("ids", 0);
    assert_true(fd >= 0);
    size_t size = N * sizeof(ids->ints[0]);
    assert_int_equal(write(fd, ids->ints, size), (ssize_t)size);
    char number[16];
    snprintf(number, sizeof(number), "%d", fd);
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        execl("/proc/self/exe", "flood", number, (char *)NULL);
        _exit(127);
    }
    assert_true(child > 0);
    close(fd);
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}

/* How the secret came to be known does not matter: it is good for this process alone. */
static void the_secret_of_another_process(void **state)
{
    (void)state;
    push_session_unref(session("s")); /* now there is a secret */
    struct ids ids = same_bits(with_our_secret, 0);
    unsigned here = worst_percent(&ids);
    printf("figure: %d ids, same low bits under this process's secret, percent of the cost of random ones: %u\n", N,
           here);
    assert_true(here > 200);
    int rc = run_anew(&ids);
    ids_free(&ids);
    assert_int_equal(rc, 0);
}

static void ids_from_another_process(void **state)
{
    struct ids ids = ids_new(0);
    size_t size = N * sizeof(ids.ints[0]);
    int fd = *(int *)*state;
    assert_int_equal(pread(fd, ids.ints, size, 0), (ssize_t)size);
    assert_no_flood("same low bits under another process's secret", ids);
}

int main(int argc, char **argv)
{
    helpers_init();
    if (argc > 1) {
        int fd = atoi(argv[1]);
        const struct CMUnitTest test[] = {cmocka_unit_test_prestate(ids_from_another_process, &fd)};
        return cmocka_run_group_tests(test, NULL, NULL);
    }
    const struct CMUnitTest tests[] = {TEST(integers), TEST(multicollisions), TEST(long_common_prefixes),
                                       TEST(siphash_without_a_secret), TEST(the_secret_of_another_process)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
