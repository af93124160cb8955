#include <errno.h>

#include "alloc.h"
#include "mailbox_state.h"

/* ---- Room ---- */

/* Slots the ring must have, for one more message in it or waiting, and `pulls` more pulls waiting at a rendezvous.
 */
static size_t slots_needed_locked(const push_client *c, size_t pulls)
{
    if (is_rendezvous(c)) {
        size_t waiting = c->extra->waiting + pulls;
        return waiting > 0 ? waiting : 1;
    }
    size_t len = ring_len_locked(c) + push__waiting_count(c);
    return len < c->max_buffer ? len + 1 : c->max_buffer;
}

/* Rings double. */
static size_t slots_to_have(const push_client *c, size_t needed)
{
    enum { FIRST = 4 };
    size_t slots = needed > FIRST ? (needed - 1) * 2 : FIRST; /* no overflow: a ring of needed - 1 slots is there */
    return is_rendezvous(c) || slots < c->max_buffer ? slots : c->max_buffer;
}

static void retire(struct deferred *deferred, struct ring *ring)
{
    if (ring) {
        ring->next = deferred->rings;
        deferred->rings = ring;
    }
}

static void install_locked(push_client *c, struct ring *ring, struct deferred *deferred)
{
    if (c->pull_ring)
        push__ring_continue(ring, c->pull_ring, tail_of(c));
    else
        ring->slow = (word_of(c) & WORD_SLOW) != 0;
    retire(deferred, c->pull_ring);
    c->ring = c->pull_ring = ring;
}

int push__reserve_slots(push_client *c, size_t pulls, struct deferred *deferred)
{
    struct ring *spare = NULL;
    for (;;) {
        lock_acquire(&c->lock);
        size_t have = c->pull_ring ? c->pull_ring->cap : 0;
        size_t needed = slots_needed_locked(c, pulls);
        if (have < needed && spare && spare->cap >= needed) {
            install_locked(c, spare, deferred);
            spare = NULL;
            have = needed;
        }
        lock_release(&c->lock);
        push__ring_free(spare);
        if (have >= needed)
            return 0;
        spare = push__ring_new(slots_to_have(c, needed), c->overflow == PUSH_DROP_NEWEST);
        if (!spare)
            return -ENOMEM;
    }
}

ptrdiff_t push__mailbox_reserve(push_client *c, struct deferred *deferred)
{
    uint64_t word = word_of(c);
    if (word & WORD_CLOSED)
        return PTRDIFF_MAX;
    bool slow = (word & WORD_SLOW) != 0;
    if (!slow && c->ring) {
        size_t room = ring_room(c->ring, word >> WORD_SHIFT);
        if (room > 0)
            return (ptrdiff_t)room;
        if (c->ring->cap == c->max_buffer)
            return 0;
    }
    int rc = push__reserve_slots(c, 0, deferred);
    if (rc < 0)
        return rc;
    return slow ? 0 : (ptrdiff_t)ring_room(c->ring, word >> WORD_SHIFT);
}

void push__deferred_run(struct deferred *deferred)
{
    push__wakeups_send(&deferred->wakeups);
    push__sleeper_unref(deferred->sleeper);
    deferred->sleeper = NULL;
    push__msg_list_free(&deferred->messages);
    while (deferred->rings) {
        struct ring *ring = deferred->rings;
        deferred->rings = ring->next;
        push__ring_free(ring);
    }
    while (deferred->returned) {
        struct returned *node = deferred->returned;
        deferred->returned = node->next;
        push__free(node);
    }
}

void push__put_locked(push_client *c, push_msg *msg, struct wakeups *wakeups)
{
    struct ring *ring = c->pull_ring;
    size_t size = msg->u.size;
    ring_write(ring, msg);
    atomic_fetch_add_explicit(&c->word, WORD_ONE, memory_order_acq_rel);
    ring_advance(ring, size);
    if (!is_rendezvous(c))
        mark_most_locked(c);
    push__arrive_locked(c, wakeups);
}

/* Put and taken at once, by a pull that waits at a rendezvous. */
static void pass_locked(push_client *c, push_msg *msg, struct wakeups *wakeups)
{
    uint64_t word = atomic_fetch_add_explicit(&c->word, WORD_ONE, memory_order_acq_rel);
    ring_pass(c->pull_ring, msg->u.size, (word >> WORD_SHIFT) + 1);
    push__hand_over_locked(c, msg, wakeups);
}

/* ---- Putting ---- */

static void discard(push_msg *msg, struct deferred *deferred)
{
    if (msg_drop(msg, 1))
        msg_list_add(&deferred->messages, msg);
}

/* Drops the message that would be pulled next. Needs the push lock too. */
static void evict_locked(push_client *c, struct deferred *deferred)
{
    struct ring *ring = c->pull_ring;
    struct client_extra *extra = c->extra;
    size_t gap;
    if (extra && extra->returned) {
        discard(pop_returned_locked(c, deferred, &gap), deferred);
    } else {
        gap = ring_gap(ring);
        ring->tail_seen = tail_of(c);
        discard(ring_take(ring), deferred);
        ring_release(ring, 1);
    }
    size_t *next_gap = extra && extra->returned ? &extra->returned->gap : &ring->front_gap;
    *next_gap += gap + 1;
    ring->dropped++;
}

static enum put_result overflow_locked(push_client *c, push_msg *msg, struct push_node *node,
                                       struct push_wait *wait, struct deferred *deferred)
{
    switch ((push_overflow)c->overflow) { /* GCOVR_EXCL_BR_LINE: each value has a case, no other occurs */
    case PUSH_DROP_NEWEST:
        c->pull_ring->gap++;
        c->pull_ring->dropped++;
        return PUT_DROPPED;
    case PUSH_DROP_OLDEST:
        while (!fits_locked(c, msg->u.size))
            evict_locked(c, deferred);
        push__leave_slow_locked(c);
        push__put_locked(c, msg, &deferred->wakeups);
        return PUT_EVICTED;
    case PUSH_DISCONNECT:
        push__close_locked(c, &deferred->wakeups);
        return PUT_DISCONNECTED;
    case PUSH_BLOCK:
        break;
    }
    if (!node)
        return PUT_FULL;
    push__wait_locked(c, msg, node, wait, &deferred->wakeups);
    return PUT_WAITS;
}

enum put_result push__mailbox_put(push_client *c, push_msg *msg, struct push_node *node, struct push_wait *wait,
                                  struct deferred *deferred)
{
    enum put_result result;
    lock_acquire(&c->lock);
    if (client_is_closed(c)) {
        result = PUT_CLOSED;
    } else if (!c->waiting_pushes && fits_locked(c, msg->u.size)) {
        if (is_rendezvous(c))
            pass_locked(c, msg, &deferred->wakeups);
        else
            push__put_locked(c, msg, &deferred->wakeups);
        result = PUT_TAKEN;
    } else {
        result = overflow_locked(c, msg, node, wait, deferred);
    }
    lock_release(&c->lock);
    return result;
}
