/* The ring: driven as a mailbox drives it, against a plain list of what should be in it. */
#include "helpers.h"

#include "ring.h"

enum { MESSAGES = 97, LIST = 64 };

static push_msg messages[MESSAGES]; /* only their sizes matter here */

struct entry {
    push_msg *msg;
    size_t gap;
};

/* A ring, the tail that its owner keeps, and what should be in it. */
struct bench {
    struct ring *ring;
    uint64_t tail;
    bool records_gaps;

    struct entry list[LIST];
    size_t len;
    size_t pending_gap;
    uint64_t most, bytes, dropped;
};

static void bench_init(struct bench *b, size_t cap, bool records_gaps)
{
    for (size_t i = 0; i < MESSAGES; i++)
        messages[i].u.size = i * i % 31;
    *b = (struct bench){.ring = push__ring_new(cap, records_gaps), .records_gaps = records_gaps};
    assert_non_null(b->ring);
}

static void bench_destroy(struct bench *b)
{
    push__ring_free(b->ring);
}

static void check(struct bench *b)
{
    assert_true(push__ring_check(b->ring, b->tail));
    assert_int_equal(ring_len(b->ring, b->tail), b->len);
    assert_int_equal(ring_bytes(b->ring), b->bytes);
    assert_int_equal(b->ring->most, b->most);
    assert_int_equal(b->ring->dropped, b->dropped);
    size_t room = ring_room(b->ring, b->tail);
    assert_true(room <= b->ring->cap - b->len);
    assert_true((room == 0) == (b->len == b->ring->cap));
}

static void put(struct bench *b, push_msg *msg)
{
    bool room = ring_has_room(b->ring, b->tail);
    assert_true(room == (b->len < b->ring->cap));
    if (!room) {
        if (b->records_gaps) {
            b->ring->gap++;
            b->ring->dropped++;
            b->pending_gap++;
            b->dropped++;
        }
        return;
    }
    ring_write(b->ring, msg);
    b->tail++;
    ring_mark(b->ring, b->tail);
    ring_advance(b->ring, msg->u.size);
    b->list[b->len++] = (struct entry){msg, b->pending_gap};
    b->pending_gap = 0;
    b->bytes += msg->u.size;
    b->most = b->len > b->most ? b->len : b->most;
}

/* A write that is not published may be done again. */
static void write_only(struct bench *b, push_msg *msg)
{
    if (ring_has_room(b->ring, b->tail))
        ring_write(b->ring, msg);
}

static void remove_first(struct bench *b, size_t n)
{
    for (size_t i = 0; i < n; i++)
        b->bytes -= b->list[i].msg->u.size;
    b->len -= n;
    memmove(b->list, b->list + n, b->len * sizeof(b->list[0]));
}

/* Several, and the slots given back at once. */
static void take(struct bench *b, size_t n)
{
    n = n < b->len ? n : b->len;
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(ring_gap(b->ring), b->list[i].gap);
        assert_ptr_equal(ring_take(b->ring), b->list[i].msg);
    }
    if (n == 0)
        return;
    ring_release(b->ring, n);
    b->ring->pulled += n;
    remove_first(b, n);
}

/* The oldest goes, and the next one knows. */
static void evict(struct bench *b)
{
    if (b->len < 2)
        return;
    size_t gap = ring_gap(b->ring);
    assert_int_equal(gap, b->list[0].gap);
    assert_ptr_equal(ring_take(b->ring), b->list[0].msg);
    ring_release(b->ring, 1);
    b->ring->front_gap += gap + 1;
    b->ring->dropped++;
    b->dropped++;
    b->list[1].gap += gap + 1;
    remove_first(b, 1);
}

static void grow(struct bench *b, size_t cap)
{
    struct ring *ring = push__ring_new(cap, b->records_gaps);
    assert_non_null(ring);
    uint64_t pulled = b->ring->pulled;
    b->ring->slow = !b->ring->slow;
    bool slow = b->ring->slow;
    push__ring_continue(ring, b->ring, b->tail);
    push__ring_free(b->ring);
    b->ring = ring;
    assert_int_equal(ring->cap, cap);
    assert_int_equal(ring->pulled, pulled);
    assert_true(ring->slow == slow);
}

static void test_new(void **state)
{
    (void)state;
    for (size_t cap = 1; cap < 40; cap++) {
        for (int gaps = 0; gaps < 2; gaps++) {
            struct ring *ring = push__ring_new(cap, gaps);
            assert_non_null(ring);
            assert_int_equal((uintptr_t)ring % CACHE_LINE, 0);
            assert_int_equal(ring->cap, cap);
            assert_true((ring->gaps != NULL) == (gaps == 1));
            assert_true(push__ring_check(ring, 0));
            assert_int_equal(ring_len(ring, 0), 0);
            assert_int_equal(ring_room(ring, 0), cap);
            push__ring_free(ring);
        }
    }
    push__ring_free(NULL);
}

static void test_sides_lie_on_different_cache_lines(void **state)
{
    (void)state;
    assert_true(offsetof(struct ring, put_at) / CACHE_LINE == offsetof(struct ring, gaps) / CACHE_LINE);
    assert_true(offsetof(struct ring, head) / CACHE_LINE == offsetof(struct ring, slow) / CACHE_LINE);
    assert_true(offsetof(struct ring, put_at) / CACHE_LINE != offsetof(struct ring, head) / CACHE_LINE);
}

static void test_impossible_sizes(void **state)
{
    (void)state;
    static const size_t sizes[] = {SIZE_MAX, SIZE_MAX / 2, SIZE_MAX / 8, SIZE_MAX / 16};
    for (size_t i = 0; i < COUNT(sizes); i++) {
        assert_null(push__ring_new(sizes[i], false));
        assert_null(push__ring_new(sizes[i], true));
    }
    fail_allocations_after(0);
    assert_null(push__ring_new(4, false));
    fail_allocations_after(-1);
}

/* Exactly cap, at every place the ring can begin. */
static void test_capacity_is_exact(void **state)
{
    (void)state;
    for (size_t cap = 1; cap <= 17; cap++) {
        for (size_t begin = 0; begin < cap; begin++) {
            struct bench b;
            bench_init(&b, cap, false);
            for (size_t i = 0; i < begin; i++) {
                put(&b, &messages[i]);
                take(&b, 1);
            }
            for (size_t i = 0; i < cap + 3; i++) {
                put(&b, &messages[i]);
                check(&b);
                assert_int_equal(b.len, i < cap ? i + 1 : cap);
            }
            take(&b, cap);
            check(&b);
            assert_int_equal(b.most, cap);
            bench_destroy(&b);
        }
    }
}

/* From every state: so many taken, so many in it. */
static void test_growth_keeps_what_is_there(void **state)
{
    (void)state;
    for (size_t cap = 1; cap <= 6; cap++) {
        for (size_t begin = 0; begin < cap; begin++) {
            for (size_t len = 0; len <= cap; len++) {
                for (size_t more = 0; more <= cap + 1; more++) {
                    struct bench b;
                    bench_init(&b, cap, begin % 2);
                    for (size_t i = 0; i < begin; i++) {
                        put(&b, &messages[i]);
                        take(&b, 1);
                    }
                    for (size_t i = 0; i < len; i++)
                        put(&b, &messages[begin + i]);
                    grow(&b, cap + more);
                    check(&b);
                    for (size_t i = len; i < cap + more + 1; i++)
                        put(&b, &messages[begin + i]);
                    check(&b);
                    assert_int_equal(b.len, cap + more);
                    take(&b, LIST);
                    check(&b);
                    bench_destroy(&b);
                }
            }
        }
    }
}

static void random_operations(uint64_t seed, size_t cap, bool records_gaps, size_t steps)
{
    struct bench b;
    bench_init(&b, cap, records_gaps);
    for (size_t step = 0; step < steps; step++) {
        push_msg *msg = &messages[random_next(&seed) % MESSAGES];
        switch (random_next(&seed) % 16) {
        case 0:
            if (b.ring->cap < LIST - 4)
                grow(&b, b.ring->cap + random_next(&seed) % 3);
            break;
        case 1:
        case 2:
            evict(&b);
            break;
        case 3:
            write_only(&b, msg);
            break;
        case 4:
            take(&b, LIST);
            break;
        case 5:
        case 6:
        case 7:
        case 8:
            take(&b, 1 + random_next(&seed) % 3);
            break;
        default:
            put(&b, msg);
            break;
        }
        check(&b);
    }
    bench_destroy(&b);
}

static void test_random_operations(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < SCALED(300); seed++)
        random_operations(seed, 1 + (size_t)(seed % 7), seed / 7 % 2, 500);
}

static void test_check_finds_faults(void **state)
{
    (void)state;
    struct bench b;
    bench_init(&b, 3, false);
    /* Every slot has been written: the check may look anywhere. */
    for (size_t i = 0; i < 3; i++)
        put(&b, &messages[i + 3]);
    take(&b, 1);
    struct ring *ring = b.ring;
    assert_true(push__ring_check(ring, 3));
    assert_false(push__ring_check(ring, 2));
    assert_false(push__ring_check(ring, 4));
    assert_false(push__ring_check(ring, 9));

#define ASSERT_FOUND(field, wrong)                                                                                 \
    do {                                                                                                           \
        size_t right = (size_t)ring->field;                                                                        \
        ring->field = (wrong);                                                                                     \
        assert_false(push__ring_check(ring, 3));                                                                   \
        ring->field = right;                                                                                       \
        assert_true(push__ring_check(ring, 3));                                                                    \
    } while (0)
    ASSERT_FOUND(put_at, 1);
    ASSERT_FOUND(put_at, 3);
    ASSERT_FOUND(take_at, 0);
    ASSERT_FOUND(cap, 0);
    ASSERT_FOUND(cap, 1);
    ASSERT_FOUND(take_cap, 2);
    ASSERT_FOUND(head_seen, 2);
    ASSERT_FOUND(tail_seen, 4);
    ASSERT_FOUND(bytes_in, ring->bytes_out);
#undef ASSERT_FOUND
    bench_destroy(&b);
}

static const struct CMUnitTest tests[] = {TEST(test_new),
                                          TEST(test_sides_lie_on_different_cache_lines),
                                          TEST(test_impossible_sizes),
                                          TEST(test_capacity_is_exact),
                                          TEST(test_growth_keeps_what_is_there),
                                          TEST(test_random_operations),
                                          TEST(test_check_finds_faults)};

TEST_MAIN(tests)
