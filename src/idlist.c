#include "idlist.h"

#include <errno.h>
#include <string.h>

#include "alloc.h"

static size_t key_size(const struct key *key)
{
    return key->kind == ID_BYTES ? key->size : 0;
}

/* Makes room for `more` members of `size` bytes each, doubling. */
static int reserve(void **block, size_t *cap, size_t len, size_t more, size_t size)
{
    if (more > SIZE_MAX / 2 / size - len)
        return -ENOMEM;
    if (len + more <= *cap)
        return 0;
    size_t want = len + more < len * 2 ? len * 2 : len + more;
    void *grown = push__realloc(*block, want * size);
    if (!grown)
        return -ENOMEM;
    *block = grown;
    *cap = want;
    return 0;
}

static void add(struct idlist *list, const struct key *key)
{
    push_id id = key_id(key);
    if (id.kind == ID_BYTES) {
        memcpy(list->bytes + list->bytes_len, id.data, (size_t)id.value);
        id.data = (const void *)(uintptr_t)list->bytes_len;
        list->bytes_len += (size_t)id.value;
    }
    list->ids[list->len++] = id;
}

int push__idlist_add_map(struct idlist *list, struct lock *lock, const struct map *map)
{
    for (;;) {
        const struct key *key;
        size_t bytes = 0;
        lock_acquire(lock);
        size_t len = map->len;
        for (uint32_t at = 0; (key = push__map_next(map, &at)) != NULL;)
            bytes += key_size(key);
        /* One byte and one id more than needed, so that there is a block to point into and to finish. */
        bool fits = len < list->cap - list->len && bytes < list->bytes_cap - list->bytes_len;
        for (uint32_t at = 0; fits && (key = push__map_next(map, &at)) != NULL;)
            add(list, key);
        lock_release(lock);
        if (fits)
            return 0;
        void *ids = list->ids, *block = list->bytes;
        int rc = reserve(&ids, &list->cap, list->len, len + 1, sizeof(push_id));
        list->ids = ids;
        if (rc == 0)
            rc = reserve(&block, &list->bytes_cap, list->bytes_len, bytes + 1, 1);
        list->bytes = block;
        if (rc < 0)
            return rc;
    }
}

push_id *push__idlist_finish(struct idlist *list)
{
    size_t ids_size = (list->len + 1) * sizeof(push_id);
    push_id *ids = push__realloc(list->ids, ids_size + list->bytes_len); /* neither is more than SIZE_MAX / 2 */
    if (!ids)
        return NULL;
    unsigned char *bytes = (unsigned char *)ids + ids_size;
    if (list->bytes_len > 0)
        memcpy(bytes, list->bytes, list->bytes_len);
    for (size_t i = 0; i < list->len; i++) {
        if (ids[i].kind == ID_BYTES)
            ids[i].data = bytes + (uintptr_t)ids[i].data;
    }
    ids[list->len] = PUSH_ID_NONE;
    list->ids = NULL;
    push__idlist_free(list);
    return ids;
}

void push__idlist_free(struct idlist *list)
{
    push__free(list->ids);
    push__free(list->bytes);
    *list = (struct idlist){0};
}
