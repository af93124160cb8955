#include "map.h"

#include <string.h>

#include "alloc.h"

enum { FIRST_CAP = 4, MAX_CAP = 1 << 28, TAG_MASK = 7, TAG_SHIFT = 20 };

/* The three low bits of an entry are bits of the hash, so that nearly no other object on the way is touched: each
 * would be a cache miss. They are neither among those that name the slot in a table of usual size, nor those that
 * name the registry's shard. */
static uintptr_t tag_of(uint32_t hash)
{
    return (hash >> TAG_SHIFT) & TAG_MASK;
}

static uintptr_t entry_of(const struct key *key)
{
    return (uintptr_t)key | tag_of(key->hash);
}

static struct key *key_of(uintptr_t entry)
{
    return (struct key *)(entry & ~(uintptr_t)TAG_MASK);
}

static uint32_t slot_of(const struct map *map, uint32_t hash)
{
    return hash & (map->cap - 1);
}

static uint32_t slot_after(const struct map *map, uint32_t slot)
{
    return (slot + 1) & (map->cap - 1);
}

struct key *push__map_get(const struct map *map, push_id id, uint64_t hash)
{
    if (map->cap == 0)
        return map->u.one && key_is(map->u.one, id, hash) ? map->u.one : NULL;
    uintptr_t entry;
    uintptr_t tag = tag_of((uint32_t)hash);
    for (uint32_t slot = slot_of(map, (uint32_t)hash); (entry = map->u.table[slot]) != 0;
         slot = slot_after(map, slot)) {
        if ((entry & TAG_MASK) == tag && key_is(key_of(entry), id, hash))
            return key_of(entry);
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

uintptr_t *push__map_table(uint32_t cap)
{
    if (cap > MAX_CAP)
        return NULL;
    uintptr_t *table = push__malloc(cap * sizeof(*table));
    if (table)
        memset(table, 0, cap * sizeof(*table));
    return table;
}

static void table_add(struct map *map, struct key *key)
{
    uint32_t slot = slot_of(map, key->hash);
    while (map->u.table[slot])
        slot = slot_after(map, slot);
    map->u.table[slot] = entry_of(key);
}

uintptr_t *push__map_install(struct map *map, uintptr_t *table, uint32_t cap)
{
    struct map old = *map;
    map->u.table = table;
    map->cap = cap;
    struct key *key;
    for (uint32_t at = 0; (key = push__map_next(&old, &at)) != NULL;)
        table_add(map, key);
    return old.cap ? old.u.table : NULL;
}

void push__map_add(struct map *map, struct key *key)
{
    if (map->cap == 0)
        map->u.one = key;
    else
        table_add(map, key);
    map->len++;
}

/* The slot that holds this object, or cap. */
static uint32_t find_slot(const struct map *map, const struct key *key)
{
    uintptr_t entry = entry_of(key);
    for (uint32_t slot = slot_of(map, key->hash); map->u.table[slot]; slot = slot_after(map, slot)) {
        if (map->u.table[slot] == entry)
            return slot;
    }
    return map->cap;
}

/* Closes the hole at `hole` by moving back what probed over it (Knuth, TAOCP 6.4, algorithm R). */
static void close_hole(struct map *map, uint32_t hole)
{
    uint32_t mask = map->cap - 1;
    for (uint32_t slot = slot_after(map, hole); map->u.table[slot]; slot = slot_after(map, slot)) {
        uint32_t home = slot_of(map, key_of(map->u.table[slot])->hash);
        if (((slot - home) & mask) >= ((slot - hole) & mask)) {
            map->u.table[hole] = map->u.table[slot];
            hole = slot;
        }
    }
    map->u.table[hole] = 0;
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
        map->u.table[find_slot(map, from)] = entry_of(to);
}

uintptr_t *push__map_release(struct map *map)
{
    if (map->len > 1 || map->cap == 0)
        return NULL;
    uint32_t at = 0;
    struct key *last = push__map_next(map, &at);
    uintptr_t *table = map->u.table;
    map->u.one = last;
    map->cap = 0;
    return table;
}

struct key *push__map_next(const struct map *map, uint32_t *at)
{
    if (map->cap == 0)
        return (*at)++ == 0 ? map->u.one : NULL;
    while (*at < map->cap) {
        uintptr_t entry = map->u.table[(*at)++];
        if (entry)
            return key_of(entry);
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
        uintptr_t entry = map->u.table[slot];
        if (!entry)
            continue;
        len++;
        if (entry != entry_of(key_of(entry)))
            return false;
        for (uint32_t probe = slot_of(map, key_of(entry)->hash); probe != slot; probe = slot_after(map, probe)) {
            if (!map->u.table[probe])
                return false;
        }
    }
    return len == map->len;
}
