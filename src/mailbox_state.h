/*
 * What the parts of the mailbox share, for them alone: mailbox.c (its state, closing, descriptor, watch,
 * take-over), mailbox_put.c, mailbox_pull.c, mailbox_waiting.c (pushes that wait). All functions need the mailbox
 * lock. L1.
 */
#ifndef PUSH_SRC_MAILBOX_STATE_H
#define PUSH_SRC_MAILBOX_STATE_H

#include "mailbox.h"

/* ---- The word ---- */

static inline uint64_t word_of(const push_client *c)
{
    return atomic_load_explicit(&c->word, memory_order_acquire);
}

static inline uint64_t tail_of(const push_client *c)
{
    return word_of(c) >> WORD_SHIFT;
}

static inline void set_flags(push_client *c, uint64_t flags)
{
    atomic_fetch_or_explicit(&c->word, flags, memory_order_acq_rel);
}

static inline void clear_flags(push_client *c, uint64_t flags)
{
    if (word_of(c) & flags)
        atomic_fetch_and_explicit(&c->word, ~flags, memory_order_acq_rel);
}

/* ---- What is in the mailbox: under the mailbox lock ---- */

static inline bool is_rendezvous(const push_client *c)
{
    return c->max_buffer == 0;
}

/* WORD_SLOW is there for good. */
static inline bool is_always_slow(const push_client *c)
{
    return is_rendezvous(c) || (c->extra && c->extra->max_bytes > 0);
}

static inline size_t ring_len_locked(const push_client *c)
{
    return c->pull_ring ? (size_t)ring_len(c->pull_ring, tail_of(c)) : 0;
}

static inline size_t queued_locked(const push_client *c)
{
    return ring_len_locked(c) + (c->extra ? c->extra->returned_len : 0);
}

/* A pull that waits. At a rendezvous, for as long as it has no message, it is in extra->awake or in the sleepers'
 * queue, nothing is queued, and no push waits; once it has one, it is in extra->handed. */
struct receiver {
    struct receiver *next; /* in either list */
    push_client *client;
    push_msg *msg; /* what it was handed */
};

/* At a rendezvous: a pull waits for a message. */
static inline bool has_receiver_locked(const push_client *c)
{
    return !client_is_closed(c) && (c->extra->awake || !waitq_empty(&c->sleepers));
}

static inline bool has_message_locked(const push_client *c)
{
    return queued_locked(c) > 0 || c->waiting_pushes != NULL;
}

static inline bool fits_locked(const push_client *c, size_t size)
{
    if (is_rendezvous(c))
        return has_receiver_locked(c);
    size_t queued = queued_locked(c);
    if (queued >= c->max_buffer)
        return false;
    size_t max_bytes = c->extra ? c->extra->max_bytes : 0;
    if (max_bytes == 0 || queued == 0)
        return true;
    uint64_t bytes = ring_bytes(c->pull_ring);
    return bytes <= max_bytes && size <= max_bytes - bytes;
}

static inline void mark_most_locked(push_client *c)
{
    size_t queued = queued_locked(c);
    if (queued > c->pull_ring->most)
        c->pull_ring->most = queued;
}

/* Takes out the put-back message that would be pulled next; there is one. Its node is freed later, the reference
 * to the message is the caller's. */
static inline push_msg *pop_returned_locked(push_client *c, struct deferred *deferred, size_t *gap)
{
    struct returned *node = c->extra->returned;
    c->extra->returned = node->next;
    c->extra->returned_len--;
    c->pull_ring->bytes_out += node->msg->u.size;
    node->next = deferred->returned;
    deferred->returned = node;
    *gap = node->gap;
    return node->msg;
}

/* ---- mailbox.c ---- */

/* There is a message, or a push that waits at a rendezvous: a sleeping pull is chosen, descriptor and watch are
 * told. */
void push__arrive_locked(push_client *c, struct wakeups *wakeups);

/* Nothing was found: from now on, the next message will be told of. False: one came meanwhile. */
bool push__arm_locked(push_client *c);

/* The same, for a pull that does not wait, of a client with extra: a poller may look after the mailbox for a while,
 * so that pushes need not tell of every message. */
bool push__rest_locked(push_client *c);

/* Closes it: false where it was closed already. */
bool push__close_locked(push_client *c, struct wakeups *wakeups);

/* ---- mailbox_put.c ---- */

/* Puts a message into the ring, which has a free slot. Needs WORD_SLOW, or the push lock too. */
void push__put_locked(push_client *c, push_msg *msg, struct wakeups *wakeups);

/* Grows the ring as needed, for one more message and `pulls` more pulls that wait at a rendezvous: what they are
 * handed comes back into the ring when they are cancelled. Takes the mailbox lock itself, so that memory can be had
 * outside it. Needs the push lock, or a rendezvous. */
int push__reserve_slots(push_client *c, size_t pulls, struct deferred *deferred);

/* ---- mailbox_pull.c ---- */

/* The message goes to a pull that waits at a rendezvous; there is one. */
void push__hand_over_locked(push_client *c, push_msg *msg, struct wakeups *wakeups);

/* ---- mailbox_waiting.c ---- */

/* The producer's side belongs to the mailbox lock from here on. Needs the push lock too. */
void push__enter_slow_locked(push_client *c);

/* ... and back to the push lock where nothing stands against it. */
void push__leave_slow_locked(push_client *c);

/* Leaves a node behind. Needs the push lock too. */
void push__wait_locked(push_client *c, push_msg *msg, struct push_node *node, struct push_wait *wait,
                       struct wakeups *wakeups);

size_t push__waiting_count(const push_client *c);

/* Delivers the first message that waits; there is one, and a free slot. */
void push__deliver_first_locked(push_client *c, struct wakeups *wakeups);

/* Room was made, or a node left: those that wait move up. */
void push__move_up_locked(push_client *c, struct wakeups *wakeups);

/* The mailbox is closed: nobody waits any more. */
void push__close_waiting_locked(push_client *c, struct wakeups *wakeups);

#endif
