/* The hash map: its invariant after all kinds of operations, against a list of what should be in it. The tests
 * choose the hashes, so that objects collide as they please. */
#include "helpers.h"

#include "alloc.h"
#include "map.h"

struct item {
    bool there;
    struct key key;
};

static push_id item_id(const struct item *item)
{
    return key_id(&item->key);
}

static void item_init(struct item *item, uint64_t id, uint32_t hash)
{
    item->there = false;
    struct name name = {push_id_int(id), hash};
    key_init(&item->key, &name);
}

static struct key *get(const struct map *map, push_id id, uint32_t hash)
{
    struct name name = {id, hash};
    return push__map_get(map, &name);
}

/* As an owner of a map does it. */
static void add(struct map *map, struct item *item)
{
    uint32_t cap = push__map_needs(map);
    if (cap > 0) {
        struct key **table = push__map_table(cap);
        assert_non_null(table);
        push__free(push__map_install(map, table, cap));
        assert_int_equal(push__map_needs(map), 0);
    }
    push__map_add(map, &item->key);
    item->there = true;
}

static void destroy(struct map *map)
{
    if (map->cap > 0)
        push__free(map->u.table);
    *map = (struct map){0};
}

static void take_out(struct map *map, struct item *item)
{
    assert_true(push__map_remove(map, &item->key));
    item->there = false;
}

/* Every item is found where it is there, and not where it is not; the walk meets each once. */
static void check_against(const struct map *map, const struct item *items, size_t n)
{
    assert_true(push__map_check(map));
    size_t there = 0;
    for (size_t i = 0; i < n; i++) {
        struct key *found = get(map, item_id(&items[i]), items[i].key.hash);
        assert_ptr_equal(found, items[i].there ? &items[i].key : NULL);
        there += items[i].there;
    }
    assert_int_equal(map->len, there);

    size_t met = 0;
    uint64_t sum = 0;
    uint64_t expected = 0;
    const struct key *key;
    for (uint32_t at = 0; (key = push__map_next(map, &at)) != NULL; met++)
        sum += (uintptr_t)key * 31;
    for (size_t i = 0; i < n; i++)
        expected += items[i].there ? (uintptr_t)&items[i].key * 31 : 0;
    assert_int_equal(met, there);
    assert_int_equal(sum, expected);
}

/* ---- One object ------------------------------------------------------------------------------------------ */

static void test_one_object_needs_no_table(void **state)
{
    (void)state;
    struct map map = {0};
    struct item items[2];
    item_init(&items[0], 1, 7);
    item_init(&items[1], 2, 7);
    check_against(&map, items, 2);
    assert_false(push__map_remove(&map, &items[0].key));
    for (int i = 0; i < 3; i++) {
        long blocks = blocks_held();
        assert_int_equal(push__map_needs(&map), 0);
        add(&map, &items[i % 2]);
        check_against(&map, items, 2);
        assert_int_equal(blocks_held(), blocks);
        assert_false(push__map_remove(&map, &items[(i + 1) % 2].key));
        take_out(&map, &items[i % 2]);
        check_against(&map, items, 2);
        assert_null(push__map_release(&map));
    }
}

static void test_the_second_object_makes_a_table(void **state)
{
    (void)state;
    struct map map = {0};
    struct item items[2];
    item_init(&items[0], 1, 3);
    item_init(&items[1], 2, 3);
    add(&map, &items[0]);
    assert_int_equal(push__map_needs(&map), 4);
    add(&map, &items[1]);
    check_against(&map, items, 2);
    assert_null(push__map_release(&map));
    take_out(&map, &items[0]);
    push__free(push__map_release(&map));
    assert_int_equal(map.cap, 0);
    check_against(&map, items, 2);
    assert_null(push__map_release(&map));
    take_out(&map, &items[1]);
    check_against(&map, items, 2);
}

static void test_replace(void **state)
{
    (void)state;
    struct map map = {0};
    struct item items[4];
    struct item twin;
    for (uint32_t n = 1; n <= COUNT(items); n++) {
        for (uint32_t i = 0; i < COUNT(items); i++)
            item_init(&items[i], i, 5);
        for (uint32_t i = 0; i < n; i++)
            add(&map, &items[i]);
        item_init(&twin, n - 1, 5);
        push__map_replace(&map, &items[n - 1].key, &twin.key);
        assert_true(push__map_check(&map));
        assert_int_equal(map.len, n);
        assert_ptr_equal(get(&map, item_id(&twin), 5), &twin.key);
        assert_false(push__map_remove(&map, &items[n - 1].key));
        assert_true(push__map_remove(&map, &twin.key));
        items[n - 1].there = false;
        check_against(&map, items, COUNT(items));
        destroy(&map);
    }
}

/* ---- Keys ------------------------------------------------------------------------------------------------ */

/* All under one hash: the key alone tells them apart. */
static void test_equal_hashes_are_not_equal_keys(void **state)
{
    (void)state;
    static const char long_id[] = "an id that is longer than the key's own array";
    push_id ids[] = {push_id_int(42),
                     push_id_int(UINT64_C(42) << 32),
                     push_id_str("42"),
                     push_id_bytes("42\0\0\0\0\0\0", 8),
                     push_id_bytes("", 0),
                     push_id_bytes("\0", 1),
                     push_id_str("12345678"),
                     push_id_str("123456789"),
                     push_id_bytes(long_id, sizeof(long_id) - 1),
                     push_id_bytes(long_id, sizeof(long_id))};
    struct map map = {0};
    struct key *keys[COUNT(ids)];
    for (size_t i = 0; i < COUNT(ids); i++) {
        keys[i] = push__malloc(sizeof(struct key) + key_extra(ids[i]));
        assert_non_null(keys[i]);
        struct name name = {ids[i], 99};
        key_init(keys[i], &name);
        assert_null(get(&map, ids[i], 99));
        uint32_t cap = push__map_needs(&map);
        if (cap > 0)
            push__free(push__map_install(&map, push__map_table(cap), cap));
        push__map_add(&map, keys[i]);
        assert_true(push__map_check(&map));
    }
    for (size_t i = 0; i < COUNT(ids); i++) {
        assert_ptr_equal(get(&map, ids[i], 99), keys[i]);
        assert_null(get(&map, ids[i], 98));
        assert_true(push_id_equal(key_id(keys[i]), ids[i]));
    }
    for (size_t i = 0; i < COUNT(ids); i++) {
        assert_true(push__map_remove(&map, keys[i]));
        assert_true(push__map_check(&map));
        push__free(keys[i]);
    }
    destroy(&map);
}

/* ---- Holes ----------------------------------------------------------------------------------------------- */

/* All places that five objects can have in a table of eight, round its end too, and any of them removed first. */
static void test_every_hole_is_closed(void **state)
{
    (void)state;
    enum { CAP = 8, N = 5 };
    enum { MARKS = CAP * sizeof(uint32_t) / sizeof(struct key *) };
    struct key *table[CAP + MARKS]; /* CAP pointers and, behind them, CAP marks */
    struct item items[N];
    for (uint32_t places = 0; places < 1U << 3 * N; places++) {
        for (uint32_t removed = 0; removed < N; removed++) {
            struct map map = {0};
            memset(table, 0, sizeof(table));
            push__map_install(&map, table, CAP);
            for (uint32_t i = 0; i < N; i++) {
                item_init(&items[i], i, places >> 3 * i & 7);
                assert_int_equal(push__map_needs(&map), 0);
                push__map_add(&map, &items[i].key);
            }
            if (!push__map_remove(&map, &items[removed].key) || !push__map_check(&map))
                fail_msg("places %05o, removed %u", (unsigned)places, (unsigned)removed);
            for (uint32_t i = 0; i < N; i++) {
                const struct key *found = get(&map, item_id(&items[i]), items[i].key.hash);
                assert_ptr_equal(found, i == removed ? NULL : &items[i].key);
            }
        }
    }
}

/* ---- Growth ---------------------------------------------------------------------------------------------- */

static void test_growth(void **state)
{
    (void)state;
    enum { N = 100000 / SANITIZER_SLOWDOWN };
    struct item *items = calloc(N, sizeof(*items));
    assert_non_null(items);
    struct map map = {0};
    uint64_t seed = 1;
    uint32_t cap = 0;
    for (uint32_t i = 0; i < N; i++) {
        item_init(&items[i], i, random_next(&seed));
        add(&map, &items[i]);
        /* At most three quarters full, and never more than twice what that needs. */
        assert_true(map.cap == 0 || map.len <= map.cap - map.cap / 4);
        assert_true(map.cap <= 4 || map.len > map.cap / 4);
        if (map.cap != cap)
            assert_true(push__map_check(&map));
        cap = map.cap;
    }
    check_against(&map, items, N);
    for (uint32_t i = 0; i < N; i++)
        take_out(&map, &items[i]);
    check_against(&map, items, N);
    push__free(push__map_release(&map));
    free(items);
}

static void test_limits(void **state)
{
    (void)state;
    assert_null(push__map_table((UINT32_C(1) << 28) + 1));
    assert_null(push__map_table(UINT32_C(1) << 31));
    fail_allocations_after(0);
    assert_null(push__map_table(4));
    fail_allocations_after(-1);
}

/* ---- Anything, in any order ------------------------------------------------------------------------------ */

static uint32_t spread(uint64_t *seed)
{
    return random_next(seed);
}

static uint32_t few_homes(uint64_t *seed)
{
    return random_next(seed) % 3;
}

static uint32_t one_home(uint64_t *seed)
{
    (void)seed;
    return 0xffffffff;
}

static uint32_t upper_bits(uint64_t *seed)
{
    return random_next(seed) << 24;
}

/* Everything in one slot, told apart by the bits that the table keeps beside its pointers, or not even by those. */
static uint32_t tags_only(uint64_t *seed)
{
    return (random_next(seed) % 10) << 20;
}

static uint32_t round_the_end(uint64_t *seed)
{
    return UINT32_MAX - random_next(seed) % 4;
}

static void random_operations(uint32_t (*hash)(uint64_t *), uint64_t seed, uint32_t n, size_t steps)
{
    struct item *items = calloc(n, sizeof(*items));
    assert_non_null(items);
    for (uint32_t i = 0; i < n; i++)
        item_init(&items[i], i, hash(&seed));
    struct map map = {0};
    /* What to aim at changes, so that the map fills and empties. */
    uint32_t aim = n;
    for (size_t step = 0; step < steps; step++) {
        struct item *item = &items[random_next(&seed) % n];
        if (random_next(&seed) % 50 == 0)
            aim = random_next(&seed) % (n + 1);
        if (!item->there && map.len < aim)
            add(&map, item);
        else if (item->there && map.len >= aim)
            take_out(&map, item);
        else if (!item->there)
            assert_false(push__map_remove(&map, &item->key));
        if (map.len <= 1 && random_next(&seed) % 2)
            push__free(push__map_release(&map));
        check_against(&map, items, n);
    }
    destroy(&map);
    free(items);
}

static void test_random_operations(void **state)
{
    (void)state;
    static uint32_t (*const hashes[])(uint64_t *) = {spread,     few_homes, one_home,
                                                     upper_bits, tags_only, round_the_end};
    for (size_t i = 0; i < COUNT(hashes); i++) {
        random_operations(hashes[i], i, 5, SCALED(20000));
        random_operations(hashes[i], i, 60, SCALED(10000));
    }
}

/* ---- The check itself ------------------------------------------------------------------------------------ */

static void test_check_finds_faults(void **state)
{
    (void)state;
    struct item items[3];
    struct map map = {0};
    map.len = 1;
    assert_false(push__map_check(&map));
    map.len = 0;
    for (uint32_t i = 0; i < 3; i++) {
        item_init(&items[i], i, 1);
        add(&map, &items[i]);
    }
    assert_true(push__map_check(&map));
    assert_int_equal(map.cap, 4);

    /* A hole before an object. */
    uint32_t *marks = (uint32_t *)(void *)(map.u.table + map.cap);
    struct key *second = map.u.table[2];
    uint32_t mark = marks[2];
    map.u.table[2] = NULL;
    marks[2] = 0;
    map.len = 2;
    assert_false(push__map_check(&map));
    map.u.table[2] = second;
    map.len = 3;

    /* A mark that is not that of the object's hash. */
    assert_false(push__map_check(&map));
    marks[2] = mark ^ 8;
    assert_false(push__map_check(&map));
    marks[2] = mark;
    assert_true(push__map_check(&map));
    map.len = 2;

    /* A wrong count, either way. */
    assert_false(push__map_check(&map));
    map.len = 4;
    assert_false(push__map_check(&map));
    map.len = 3;
    assert_true(push__map_check(&map));

    /* Too full, and no power of two. */
    map.cap = 3;
    assert_false(push__map_check(&map));
    map.cap = 4;
    destroy(&map);
}

static const struct CMUnitTest tests[] = {TEST(test_one_object_needs_no_table),
                                          TEST(test_the_second_object_makes_a_table),
                                          TEST(test_replace),
                                          TEST(test_equal_hashes_are_not_equal_keys),
                                          TEST(test_every_hole_is_closed),
                                          TEST(test_growth),
                                          TEST(test_limits),
                                          TEST(test_random_operations),
                                          TEST(test_check_finds_faults)};

TEST_MAIN(tests)
