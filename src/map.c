#include "map.h"

#include <string.h>

#include "alloc.h"

enum { FIRST_CAP = 4, MAX_CAP = 1 << 28 };

/* What a slot says of the object in it: its hash, never 0. The bit that this costs names the shard, in the
 * registry, and is the same for all of a table. */
static uint32_t mark_of(uint32_t hash)
{
    return hash | 0x80000000U;
}

static uint32_t *marks_of(const struct map *map)
{
    return (uint32_t *)(void *)(map->u.table + map->cap);
}

static uint32_t slot_of(const struct map *map, uint32_t hash)
{
    return hash & (map->cap - 1);
}

static uint32_t slot_after(const struct map *map, uint32_t slot)
{
    return (slot + 1) & (map->cap - 1);
}

struct key *push__map_get(const struct map *map, const struct name *name)
{
    if (map->cap == 0)
        return map->u.one && key_is(map->u.one, name) ? map->u.one : NULL;
    const uint32_t *marks = marks_of(map);
    uint32_t mark = mark_of(name->hash);
    uint32_t slot = slot_of(map, name->hash);
    __builtin_prefetch(&map->u.table[slot]); /* while the marks come */
    for (; marks[slot] != 0; slot = slot_after(map, slot)) {
        if (marks[slot] == mark && key_is(map->u.table[slot], name))
            return map->u.table[slot];
    }
    return NULL;
}

uint32_t push__map_needs(const struct map *map)
{
    if (map->cap == 0)
        return map->len == 0 ? 0 : FIRST_CAP;
    if (map->len + 1 <= map->cap - map->cap / 4)
        return 0;
    return map->cap * 2;
}

struct key **push__map_table(uint32_t cap)
{
    const size_t slot = sizeof(struct key *) + sizeof(uint32_t);
    _Static_assert(MAX_CAP <= SIZE_MAX / (sizeof(struct key *) + sizeof(uint32_t)), "a size for each table");
    if (cap > MAX_CAP)
        return NULL;
    struct key **table = push__malloc(cap * slot);
    if (table)
        memset(table, 0, cap * slot);
    return table;
}

static void set_slot(struct map *map, uint32_t slot, struct key *key, uint32_t mark)
{
    map->u.table[slot] = key;
    marks_of(map)[slot] = mark;
}

static void table_add(struct map *map, struct key *key, uint32_t mark)
{
    uint32_t slot = slot_of(map, mark);
    while (map->u.table[slot])
        slot = slot_after(map, slot);
    set_slot(map, slot, key, mark);
}

struct key **push__map_install(struct map *map, struct key **table, uint32_t cap)
{
    struct map old = *map;
    map->u.table = table;
    map->cap = cap;
    if (old.cap == 0) {
        if (old.u.one)
            table_add(map, old.u.one, mark_of(old.u.one->hash));
        return NULL;
    }
    for (uint32_t slot = 0; slot < old.cap; slot++) {
        if (old.u.table[slot])
            table_add(map, old.u.table[slot], marks_of(&old)[slot]);
    }
    return old.u.table;
}

void push__map_add(struct map *map, struct key *key)
{
    if (map->cap == 0)
        map->u.one = key;
    else
        table_add(map, key, mark_of(key->hash));
    map->len++;
}

/* The slot that holds this object, or cap. */
static uint32_t find_slot(const struct map *map, const struct key *key)
{
    for (uint32_t slot = slot_of(map, key->hash); map->u.table[slot]; slot = slot_after(map, slot)) {
        if (map->u.table[slot] == key)
            return slot;
    }
    return map->cap;
}

/* Closes the hole at `hole` by moving back what probed over it (Knuth, TAOCP 6.4, algorithm R). */
static void close_hole(struct map *map, uint32_t hole)
{
    uint32_t mask = map->cap - 1;
    const uint32_t *marks = marks_of(map);
    for (uint32_t slot = slot_after(map, hole); marks[slot] != 0; slot = slot_after(map, slot)) {
        uint32_t home = slot_of(map, marks[slot]);
        if (((slot - home) & mask) >= ((slot - hole) & mask)) {
            set_slot(map, hole, map->u.table[slot], marks[slot]);
            hole = slot;
        }
    }
    set_slot(map, hole, NULL, 0);
}

bool push__map_remove(struct map *map, const struct key *key)
{
    if (map->cap == 0) {
        if (map->u.one != key)
            return false;
        map->u.one = NULL;
    } else {
        uint32_t slot = find_slot(map, key);
        if (slot == map->cap)
            return false;
        close_hole(map, slot);
    }
    map->len--;
    return true;
}

void push__map_replace(struct map *map, const struct key *from, struct key *to)
{
    if (map->cap == 0)
        map->u.one = to;
    else
        map->u.table[find_slot(map, from)] = to;
}

struct key **push__map_release(struct map *map)
{
    if (map->len > 1 || map->cap == 0)
        return NULL;
    uint32_t at = 0;
    struct key *last = push__map_next(map, &at);
    struct key **table = map->u.table;
    map->u.one = last;
    map->cap = 0;
    return table;
}

struct key *push__map_next(const struct map *map, uint32_t *at)
{
    if (map->cap == 0)
        return (*at)++ == 0 ? map->u.one : NULL;
    while (*at < map->cap) {
        struct key *key = map->u.table[(*at)++];
        if (key)
            return key;
    }
    return NULL;
}

bool push__map_check(const struct map *map)
{
    if (map->cap == 0)
        return map->len == (map->u.one ? 1U : 0U);
    if ((map->cap & (map->cap - 1)) != 0 || map->len > map->cap - map->cap / 4)
        return false;
    uint32_t len = 0;
    for (uint32_t slot = 0; slot < map->cap; slot++) {
        const struct key *key = map->u.table[slot];
        uint32_t mark = marks_of(map)[slot];
        if (mark != (key ? mark_of(key->hash) : 0))
            return false;
        if (!key)
            continue;
        len++;
        for (uint32_t probe = slot_of(map, key->hash); probe != slot; probe = slot_after(map, probe)) {
            if (!map->u.table[probe])
                return false;
        }
    }
    return len == map->len;
}
