/*
 * A session as an object: its locks, its client map, its life. What is done with them is in roster.h (who belongs
 * to it) and fanout.h (pushing). L1.
 */
#ifndef PUSH_SRC_SESSION_H
#define PUSH_SRC_SESSION_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#include <push/push.h>

#include "id.h"
#include "map.h"
#include "sync.h"

enum {
    SESSION_CLOSED = 1,   /* deleted: set under the clients lock, never cleared */
    SESSION_NAMED = 2,    /* push_session_new has named it: set under the registry's shard lock, never cleared */
    SESSION_PUSHED = 8,   /* it may have a snapshot: set under the clients lock, never cleared */
    SESSION_STRIPED = 16, /* look-ups take a stripe: set under the clients lock, never cleared */
    SESSION_STALE = 4     /* the snapshot is not the map any more: set and cleared under the clients lock */
};

struct push_session {
    struct lock push_lock;     /* [p] one fan-out at a time */
    struct lock clients_lock;  /* [c] */
    struct map clients;        /* [c] struct push_client by key; a reference each. To change it takes the stripes of
                                  look-ups, too, where SESSION_STRIPED: push__roster_lock */
    struct snapshot *snapshot; /* [p] the clients as an array, for pushes; NULL: none yet */
    _Atomic uint16_t flags;    /* a each set as said above, so that a look without the lock is a hint, or enough */
    _Atomic patience patience; /* a of pushes that wait: a hint, relaxed */
    uint8_t lookups;           /* [c] for pulls, until SESSION_STRIPED */
    _Atomic uint32_t refs;     /* a handles, the registry, clients */
    struct key key;            /* I last: see id.h */
};

static inline push_session *session_of_key(struct key *key)
{
    return (push_session *)(void *)((char *)key - offsetof(push_session, key));
}

static inline bool session_has(const push_session *s, uint16_t flag)
{
    return atomic_load_explicit(&s->flags, memory_order_acquire) & flag;
}

static inline void session_set(push_session *s, uint16_t flag)
{
    atomic_fetch_or_explicit(&s->flags, flag, memory_order_acq_rel);
}

static inline void session_clear(push_session *s, uint16_t flag)
{
    atomic_fetch_and_explicit(&s->flags, (uint16_t)~flag, memory_order_acq_rel);
}

/* A new session without clients, with one reference, in no registry. NULL with the reason in *rc. */
push_session *push__session_create(const struct name *name, int *rc);

static inline push_session *session_ref(push_session *s)
{
    atomic_fetch_add_explicit(&s->refs, 1, memory_order_relaxed);
    return s;
}

/* A session whose last reference goes has no clients and no snapshot. */
void push__session_unref(push_session *s);

#endif
