/*
 * A client: a mailbox with a name. mailbox.h moves its messages, client.c makes and frees it. L1.
 *
 * Two parties work on a mailbox at the same time without a lock between them:
 *
 *   the producer   the push that holds its session's push lock [p]: there is one at a time
 *   the consumers  pulls, each under the mailbox lock [m]
 *
 * What joins them is one atomic word: the number of messages ever put into the ring (`tail`), and three flags. A
 * push publishes a message by moving the word from "tail, no flag" to "tail + 1, no flag" in one compare-and-swap;
 * where a flag is set it fails, and the push takes the mailbox lock. So whoever sets a flag under the lock knows
 * that from then on nothing is put behind his back:
 *
 *   WORD_CLOSED  deleted: no push delivers any more. Never cleared.
 *   WORD_SLOW    the producer's side of the ring belongs to the mailbox lock, not to the push lock: while pushes
 *                wait or put-back messages are there, and always for a rendezvous or a mailbox with max_bytes. Set
 *                under both locks.
 *   WORD_ALERT   somebody wants to hear of the next message: a sleeping pull, a descriptor that is not readable, a
 *                watch that is not signalled. Set by who found the mailbox empty.
 *
 * Tags of the fields:  I immutable   [m] mailbox lock   [p] push lock of the session   [pm] written under both,
 * read under either   [ps] producer's side: [p] without WORD_SLOW, [m] with it   a atomic
 *
 * The fields that pulls use and those that pushes use lie on different cache lines, wherever malloc puts the
 * client: at least 48 bytes lie between them, and blocks begin at multiples of 16.
 */
#ifndef PUSH_SRC_CLIENT_H
#define PUSH_SRC_CLIENT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <push/push.h>

#include "id.h"
#include "readyset.h"
#include "ring.h"
#include "sync.h"
#include "waker.h"

enum { WORD_CLOSED = 1, WORD_SLOW = 2, WORD_ALERT = 4, WORD_FLAGS = 7, WORD_SHIFT = 3, WORD_ONE = WATCH_ONE };

/* A message that was pulled and put back. */
struct returned {
    struct returned *next;
    push_msg *msg;
    size_t gap; /* messages evicted just before it, after it was put back */
};

/* What only some clients need: made on demand, or at once for max_bytes and rendezvous; goes with the client. */
struct client_extra {
    struct waker waker;        /* [m] open from the first push_client_fd on */
    struct watch watch;        /* [m] */
    struct returned *returned; /* [m] the next to pull first */
    size_t returned_len;       /* [m] */
    size_t max_bytes;          /* I 0: no limit */
    size_t waiting;            /* [m] rendezvous: pulls that wait */
    struct receiver *awake;    /* [m] those of them that do not sleep, and have no message yet */
    struct receiver *handed;   /* [m] those that have one, the last first: their threads just have not run yet */
};

struct push_client {
    /* The producer's side. */
    _Atomic uint64_t word; /* a tail and flags; publishing releases, and pairs with the acquire of pulls */
    struct ring *ring;     /* [pm] or [m] with WORD_SLOW; NULL until the first message */

    /* Used by neither in the plain case. */
    _Atomic(void *) data;             /* a the caller's */
    push_session *session;            /* I a reference */
    size_t max_buffer;                /* [pm] I, but for a take-over before anybody knows the new client */
    struct client_extra *extra;       /* [m] NULL until needed */
    struct push_node *waiting_pushes; /* [m] circular, the last one; each pull that makes room takes the first in */
    struct waitq sleepers;            /* [m] pulls that sleep, and were not chosen to be woken */

    /* The consumers' side, and what look-ups by id touch. */
    _Atomic uint32_t refs; /* a handles, the session's map, snapshots, the poller */
    uint8_t overflow;      /* as max_buffer: a push_overflow */
    bool taken_over;       /* [m] its mailbox went to another client */
    patience patience;     /* [m] of its pulls */
    bool spins;            /* [m] whether they spin before they yield */
    struct lock lock;
    struct ring *pull_ring; /* [m] the same as ring */
    struct key key;         /* I last: see id.h */
};

static inline push_client *client_of_key(struct key *key)
{
    return (push_client *)(void *)((char *)key - offsetof(push_client, key));
}

static inline bool client_is_closed(const push_client *c)
{
    return atomic_load_explicit(&c->word, memory_order_acquire) & WORD_CLOSED;
}

/* A new client with one reference, in no session's map yet; takes a reference to the session. The options are
 * valid. NULL: out of memory, or what making the lock said, in *rc. */
push_client *push__client_create(push_session *s, const struct name *name, const push_client_options *options,
                                 int *rc);

/* Makes c->extra, if it is not there. No lock is held. Returns 0 or -ENOMEM. */
int push__client_need_extra(push_client *c);

static inline push_client *client_ref(push_client *c)
{
    atomic_fetch_add_explicit(&c->refs, 1, memory_order_relaxed);
    return c;
}

/* Frees what the last reference leaves: no lock may be held. */
void push__client_unref(push_client *c);

#endif
