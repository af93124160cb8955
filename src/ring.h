/*
 * A bounded ring of messages for one producer and one consumer at a time: a plain container, no locks, no waiting.
 * The number of messages ever put (`tail`) is kept and published by the owner (see client.h); the number ever taken
 * (`head`) is kept here. L0.
 *
 * Which thread is the producer or the consumer, and what orders one after the other, is the owner's affair: fields
 * are tagged [P] producer, [C] consumer; growing needs both to be shut out.
 *
 * Invariant (push__ring_check): tail - head <= cap; the messages lie in slots[take_at], ... up to slots[put_at],
 * round the end; gaps are recorded for the slots that hold messages only.
 */
#ifndef PUSH_SRC_RING_H
#define PUSH_SRC_RING_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <push/push.h>

#include "msg.h"

enum { CACHE_LINE = 64 };

struct ring {
    /* The producer's cache line. */
    size_t put_at;      /* [P] slot of the next message */
    size_t cap;         /* [P] slots */
    uint64_t head_seen; /* [P] a head that was, at some time: never ahead of the true one */
    uint64_t most;      /* [P] high-water mark */
    uint64_t bytes_in;  /* [P] payload of all messages ever put */
    size_t gap;         /* [P] messages lost since the last one that was put */
    size_t *gaps;       /* [P] gaps[slot]: messages lost just before that one; NULL: not recorded. I for [C] */
    void *block;        /* I the allocation that this lies in */

    /* The consumer's cache line: aligned, because with pointers of 32 bits the producer does not fill his. */
    /* [C] messages ever taken; its release pairs with the acquire in ring_has_room: the slot was read before the
     * producer writes it anew */
    _Alignas(CACHE_LINE) _Atomic uint64_t head;
    size_t take_at;     /* [C] slot of the next message */
    size_t take_cap;    /* [C] cap once more, so that the producer's line is left alone */
    uint64_t tail_seen; /* [C] a tail that was: what lies below it can be taken */
    uint64_t bytes_out; /* [C] payload of all messages that left */
    uint64_t pulled;    /* [C] messages that a pull took, less those put back */
    size_t front_gap;   /* [C] messages evicted since the last one that was taken */
    bool slow;          /* [C] the owner's: there is more to a take than the ring */

    /* Seldom used. */
    uint64_t dropped;  /* [P] lost by the overflow policy */
    struct ring *next; /* link of retired rings, once out of use */

    push_msg *slots[];
};

/* An empty ring, or NULL. record_gaps: for the producer that drops its newest. */
struct ring *push__ring_new(size_t cap, bool record_gaps);

/* Makes an unused ring of at least as many slots go on where `old` stands, which must not be used any more and
 * still has to be freed. */
void push__ring_continue(struct ring *ring, const struct ring *old, uint64_t tail);

/* Frees the ring, not the messages in it. */
void push__ring_free(struct ring *ring);

/* Bytes of payload in the ring. Needs both sides shut out. */
static inline uint64_t ring_bytes(const struct ring *ring)
{
    return ring->bytes_in - ring->bytes_out;
}

/* [P] True where one more message fits into the slots. The high-water mark doubles as a soft limit, so that the
 * consumer's head is looked at only where it matters: there, and where the ring is full. */
static inline bool ring_has_room(struct ring *ring, uint64_t tail)
{
    uint64_t soft = ring->most < ring->cap ? ring->most : ring->cap;
    if (tail - ring->head_seen < soft)
        return true;
    ring->head_seen = atomic_load_explicit(&ring->head, memory_order_acquire);
    return tail - ring->head_seen < ring->cap;
}

/* [P] Keeps the high-water mark, after ring_has_room and the put that made `tail` messages. */
static inline void ring_mark(struct ring *ring, uint64_t tail)
{
    if (tail - ring->head_seen > ring->most)
        ring->most = tail - ring->head_seen;
}

/* [P] Free slots, at least: exact where it is 0. */
static inline size_t ring_room(struct ring *ring, uint64_t tail)
{
    if (tail - ring->head_seen >= ring->cap)
        ring->head_seen = atomic_load_explicit(&ring->head, memory_order_acquire);
    return ring->cap - (size_t)(tail - ring->head_seen);
}

/* [P] Writes the next slot, which the owner's tail has not published yet: until then it can be written again. */
static inline void ring_write(struct ring *ring, push_msg *msg)
{
    ring->slots[ring->put_at] = msg;
    if (ring->gaps)
        ring->gaps[ring->put_at] = ring->gap;
}

/* [P] The slot was published. */
static inline void ring_advance(struct ring *ring, size_t size)
{
    ring->bytes_in += size;
    ring->gap = 0;
    if (++ring->put_at == ring->cap)
        ring->put_at = 0;
}

/* [C] Messages lost just before the next one, which is there. */
static inline size_t ring_gap(const struct ring *ring)
{
    return ring->front_gap + (ring->gaps ? ring->gaps[ring->take_at] : 0);
}

/* Asks for a cache line that will be written: without, it comes shared, and once more to be owned. */
static inline void prefetch_for_write(const void *p)
{
#if defined(__x86_64__)
    __asm__ volatile("prefetchw %0" ::"m"(*(const char *)p)); /* the builtin makes a prefetch for reading of it */
#else
    __builtin_prefetch(p, 1);
#endif
}

/* [C] Asks for the header of a message that will be taken soon, where it is there already: it comes from another
 * core, and whoever takes it drops a reference in it. */
static inline void ring_prefetch(const struct ring *ring, uint64_t head)
{
    enum { AHEAD = 2 };
    if (ring->tail_seen - head <= AHEAD)
        return;
    size_t at = ring->take_at + AHEAD;
    prefetch_for_write(ring->slots[at < ring->take_cap ? at : at - ring->take_cap]);
}

/* [C] Takes the next message, which is there. */
static inline push_msg *ring_take(struct ring *ring)
{
    push_msg *msg = ring->slots[ring->take_at];
    ring->front_gap = 0;
    ring->bytes_out += msg->u.size;
    if (++ring->take_at == ring->take_cap)
        ring->take_at = 0;
    return msg;
}

/* [C] Gives n slots whose messages were taken back to the producer. */
static inline void ring_release(struct ring *ring, size_t n)
{
    uint64_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);
    atomic_store_explicit(&ring->head, head + n, memory_order_release);
}

/* A message that makes `tail` messages is put into the empty ring and taken at once. Needs both sides shut out. */
static inline void ring_pass(struct ring *ring, size_t size, uint64_t tail)
{
    ring->bytes_in += size;
    ring->bytes_out += size;
    ring->pulled++;
    ring->tail_seen = tail;
    ring_release(ring, 1);
}

/* Back to the front, into a free slot. Needs both sides shut out. */
static inline void ring_untake(struct ring *ring, push_msg *msg)
{
    uint64_t head = atomic_load_explicit(&ring->head, memory_order_relaxed) - 1;
    ring->take_at = (ring->take_at > 0 ? ring->take_at : ring->take_cap) - 1;
    ring->slots[ring->take_at] = msg;
    ring->bytes_out -= msg->u.size;
    ring->head_seen = head;
    ring->pulled--;
    atomic_store_explicit(&ring->head, head, memory_order_release);
}

static inline uint64_t ring_len(const struct ring *ring, uint64_t tail)
{
    return tail - atomic_load_explicit(&ring->head, memory_order_relaxed);
}

bool push__ring_check(const struct ring *ring, uint64_t tail);

#endif
