/* Ids: validity, the keyed hash, and the key, which is an id stored inside the object that it names. L0. */
#ifndef PUSH_SRC_ID_H
#define PUSH_SRC_ID_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include <push/push.h>

enum { ID_NONE = 0, ID_INT = 1, ID_BYTES = 2 };

/* The last member of the object it names: bytes longer than the array go on behind the object (key_extra). */
struct key {
    uint32_t hash;
    uint32_t kind : 4;
    uint32_t size : 28;
    unsigned char bytes[8]; /* the integer, or the first bytes */
};

static inline bool id_valid(push_id id)
{
    return id.kind == ID_INT || (id.kind == ID_BYTES && id.data && id.value <= PUSH_ID_MAX);
}

static inline bool id_valid_or_none(push_id id)
{
    return id.kind == ID_NONE || id_valid(id);
}

static inline bool id_is_none(push_id id)
{
    return id.kind == ID_NONE;
}

/* Reads the secret of the hash from the system. Returns 0 or a negative errno value. To be called before the first
 * push__id_hash, with no other thread in it. */
int push__id_secret_init(void);

/* 64 bits of SipHash-1-3 under the process's secret. The id is valid. */
uint64_t push__id_hash(push_id id);

/* What objects are looked up by, and made with. Passed on by reference: an id does not fit into registers, and each
 * copy of it is written to memory and waited for. */
struct name {
    push_id id;
    uint32_t hash;
};

static inline struct name name_of(push_id id)
{
    return (struct name){.id = id, .hash = (uint32_t)push__id_hash(id)};
}

/* The same, for calls that a thread makes with one id again and again: what it named last is remembered. Good until
 * the thread's next call, and for as long as the id's bytes are there. */
const struct name *push__name_again(push_id id);

/* Bytes that an object needs behind its key. */
static inline size_t key_extra(push_id id)
{
    return id.kind == ID_BYTES && id.value > sizeof(((struct key *)0)->bytes)
               ? (size_t)id.value - sizeof(((struct key *)0)->bytes)
               : 0;
}

/* The start of a key's bytes as part of the whole object, not of the array of eight. */
static inline unsigned char *key_bytes(const struct key *key)
{
    return (unsigned char *)(uintptr_t)key + offsetof(struct key, bytes);
}

/* Copies the id in; the object has key_extra(id) bytes behind the key. */
static inline void key_init(struct key *key, const struct name *name)
{
    const push_id *id = &name->id;
    key->hash = name->hash;
    key->kind = (uint32_t)id->kind & 0xf;
    key->size = 0;
    if (id->kind == ID_INT) {
        memcpy(key_bytes(key), &id->value, sizeof(id->value));
    } else {
        key->size = (uint32_t)id->value & 0xfffffff;
        if (id->value > 0)
            memcpy(key_bytes(key), id->data, (size_t)id->value);
    }
}

/* The id, which points into the key. */
static inline push_id key_id(const struct key *key)
{
    push_id id = PUSH_ID_NONE;
    id.kind = (int)key->kind;
    if (key->kind == ID_INT) {
        memcpy(&id.value, key_bytes(key), sizeof(id.value));
    } else {
        id.data = key_bytes(key);
        id.value = key->size;
    }
    return id;
}

/* The name, whose id points into the key. */
static inline struct name key_name(const struct key *key)
{
    return (struct name){.id = key_id(key), .hash = key->hash};
}

static inline bool key_is(const struct key *key, const struct name *name)
{
    const push_id *id = &name->id;
    if (key->hash != name->hash || (int)key->kind != id->kind)
        return false;
    if (id->kind == ID_INT)
        return memcmp(key_bytes(key), &id->value, sizeof(id->value)) == 0;
    return key->size == id->value && memcmp(key_bytes(key), id->data, (size_t)id->value) == 0;
}

#endif
