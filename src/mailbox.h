/*
 * The mailbox of a client: putting, pulling, waiting, closing. client.h explains how pushes and pulls share it. L1.
 *
 * Pushes come in two steps, so that a push to many mailboxes can fail before it has delivered to any: reserve,
 * which may fail, in each, then put, which cannot.
 */
#ifndef PUSH_SRC_MAILBOX_H
#define PUSH_SRC_MAILBOX_H

#include "client.h"

/* ---- A push that waits ---- */

enum node_state { NODE_WAITING, NODE_DELIVERED, NODE_CLOSED, NODE_WITHDRAWN };

/* One push parked at full mailboxes: it sleeps once, until none of its nodes waits any more. */
struct push_wait {
    struct lock lock;
    struct waitq sleepers;   /* [lock] the push's thread, while it sleeps */
    struct sleeper *sleeper; /* what it sleeps in */
    _Atomic size_t waiting;  /* a nodes in NODE_WAITING; written under the lock, read without it to peek */
};

/* A message that waits at one full mailbox. */
struct push_node {
    struct push_node *next, *prev; /* circular; guarded by the client's mailbox lock */
    struct push_wait *wait;        /* I */
    push_msg *msg;                 /* I one reference, which goes to the mailbox on delivery */
    push_client *client;           /* written under the mailbox lock and the wait's lock: read under either */
    enum node_state state;         /* the same */
};

/* ---- Pushing: under the session's push lock ---- */

/* What is left to do when no lock is held any more: to wake threads, and to free. */
struct deferred {
    struct wakeups wakeups;
    struct sleeper *sleeper; /* what a pull sleeps in; NULL for a push, see push_wait */
    struct msg_list messages;
    struct ring *rings;
    struct returned *returned; /* whose messages are in the list above */
};

/* Does it; then nothing is left. */
void push__deferred_run(struct deferred *deferred);

static inline bool deferred_any(const struct deferred *deferred)
{
    return deferred->wakeups.first || deferred->sleeper || deferred->messages.first || deferred->rings ||
           deferred->returned;
}

/* Sees to it that one message of `size` bytes can be put, or can wait, without allocating. Returns free slots (> 0:
 * so many puts will succeed at once), 0: full, or the mailbox lock decides; -ENOMEM. A closed mailbox has room for
 * ever. */
ptrdiff_t push__mailbox_reserve(push_client *c, struct deferred *deferred);

enum put_result {
    PUT_TAKEN,
    PUT_EVICTED, /* taken, after messages were dropped */
    PUT_DROPPED,
    PUT_FULL,
    PUT_WAITS, /* the node is in the mailbox */
    PUT_DISCONNECTED,
    PUT_CLOSED
};

/* The plain case: an open mailbox with room, where nobody needs to be told. Takes one reference on success. A
 * mailbox that was reserved in has a ring for as long as it is open. */
static inline bool mailbox_put_fast(push_client *c, push_msg *msg, size_t size)
{
    /* Acquires what the pull wrote that cleared WORD_SLOW. */
    uint64_t word = atomic_load_explicit(&c->word, memory_order_acquire);
    if (word & WORD_FLAGS)
        return false;
    struct ring *ring = c->ring;
    uint64_t tail = word >> WORD_SHIFT;
    if (!ring_has_room(ring, tail))
        return false;
    ring_write(ring, msg);
    if (!atomic_compare_exchange_strong_explicit(&c->word, &word, word + WORD_ONE, memory_order_release,
                                                 memory_order_relaxed))
        return false;
    ring_mark(ring, tail + 1);
    ring_advance(ring, size);
    return true;
}

/* Any case. Takes one reference where the result is PUT_TAKEN, PUT_EVICTED or PUT_WAITS. `node` NULL: does not
 * wait. */
enum put_result push__mailbox_put(push_client *c, push_msg *msg, struct push_node *node, struct push_wait *wait,
                                  struct deferred *deferred);

/* ---- Without the push lock ---- */

/* Takes a waiting node out of its mailbox, and lets those behind it move up. Returns the state that it ended in:
 * NODE_WITHDRAWN, or another where somebody was quicker. */
enum node_state push__mailbox_withdraw(struct push_node *node);

/* As push_client_pull_many. */
int push__mailbox_pull(push_client *c, push_msg **msgs, size_t max, size_t *gap, int timeout_ms);

/* Takes one message that is there: true. Under the mailbox lock, lets it go, and a reference of it is not needed
 * for that: see push__roster_find_locked. False: there is none; the lock is kept. */
bool push__mailbox_take_locked(push_client *c, push_msg **msg, size_t *gap);

/* As push_client_fd. */
int push__mailbox_fd(push_client *c);

/* Closes the mailbox: false where it was closed already. */
bool push__mailbox_close(push_client *c);

/* Whether push__mailbox_unpull would do now: 0, -EPIPE, -EINVAL. */
int push__mailbox_may_unpull(push_client *c);

/* ---- Under the session's push lock, which they need because they change what a push relies on ---- */

/* As push_client_unpull. Where it keeps the node, *node is NULL afterwards. */
int push__mailbox_unpull(push_client *c, struct returned **node, struct wakeups *wakeups);

/* Moves all that `from` has to `to`, which nobody knows yet, has extra, and keeps nothing of its own; closes
 * `from`. */
void push__mailbox_move(push_client *from, push_client *to, struct wakeups *wakeups);

void push__mailbox_stat(push_client *c, push_client_stats *out);

/* ---- Pollers: lock order mailbox < poller ---- */

/* Returns 0, -EEXIST, -EBUSY. c->extra is there. */
int push__mailbox_watch(push_client *c, struct readyset *set, void *data);
/* Return 0, -ENOENT. */
int push__mailbox_unwatch(push_client *c, struct readyset *set);
int push__mailbox_pause(push_client *c, struct readyset *set, bool paused);

/* True where all invariants hold; for tests, with both locks free and nobody else at work. */
bool push__mailbox_check(push_client *c);

#endif
