/*
 * A hash map of objects that hold their own key (struct key). Open addressing, linear probing; one object needs
 * no table at all. A table is an array of pointers and behind it an array of the objects' hashes, so that neither a
 * look-up nor a removal touches any object but its own: each would be a cache miss. No locks, and no allocation of
 * its own: who adds makes room first (map_needs, push__map_install), so that memory can be had outside the lock
 * that guards the map. L0.
 *
 * Invariant (push__map_check): with cap 0 there is at most one object, `u.one`. Else cap is a power of two, at most
 * three quarters of it are taken, and no empty slot lies between an object and the slot its hash names.
 */
#ifndef PUSH_SRC_MAP_H
#define PUSH_SRC_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "id.h"

struct map {
    union {
        struct key *one;
        struct key **table; /* cap pointers, NULL where empty; then cap marks (uint32_t), 0 where empty */
    } u;
    uint32_t len;
    uint32_t cap; /* slots of the table; 0: no table */
};

struct key *push__map_get(const struct map *map, const struct name *name);

/* The slots a table must have to take one more object; 0 where the map has room as it is. */
uint32_t push__map_needs(const struct map *map);

/* An empty table of cap slots, or NULL. */
struct key **push__map_table(uint32_t cap);

/* Moves the map into an empty table of cap slots, and returns the old one for the caller to free. */
struct key **push__map_install(struct map *map, struct key **table, uint32_t cap);

/* Adds an object whose key is not there yet. map_needs() is 0. */
void push__map_add(struct map *map, struct key *key);

/* Removes this very object. False: it is not there. */
bool push__map_remove(struct map *map, const struct key *key);

/* Puts `to` into the place of `from`, which is there and has an equal key. */
void push__map_replace(struct map *map, const struct key *from, struct key *to);

/* Takes the table out of a map that has no need of one any more, for the caller to free; NULL where it stays. */
struct key **push__map_release(struct map *map);

/* Objects one by one: *at starts at 0; NULL at the end. */
struct key *push__map_next(const struct map *map, uint32_t *at);

bool push__map_check(const struct map *map);

#endif
