/* A list of ids with copies of their bytes, as push_session_clients returns it. L1. */
#ifndef PUSH_SRC_IDLIST_H
#define PUSH_SRC_IDLIST_H

#include "map.h"
#include "sync.h"

struct idlist {
    push_id *ids; /* data is an offset into bytes until the list is finished */
    size_t len, cap;
    unsigned char *bytes;
    size_t bytes_len, bytes_cap;
};

/* Adds the keys of a map that `lock` guards, all at one instant. Returns 0 or -ENOMEM. */
int push__idlist_add_map(struct idlist *list, struct lock *lock, const struct map *map);

/* Makes one block of the list, closed by a PUSH_ID_NONE, and empties it. NULL: out of memory. */
push_id *push__idlist_finish(struct idlist *list);

void push__idlist_free(struct idlist *list);

#endif
