#include <errno.h>
#include <limits.h>

#include "mailbox_state.h"

/* Takes up to n messages that are in the ring, and ends before the next gap. */
static size_t take_from_ring_locked(struct ring *ring, push_msg **msgs, size_t n, size_t *gap)
{
    size_t taken = 0;
    *gap = ring_gap(ring);
    do
        msgs[taken++] = ring_take(ring);
    while (taken < n && ring_gap(ring) == 0);
    ring->pulled += taken;
    ring_release(ring, taken);
    return taken;
}

/* Takes the next message, wherever it is: put back, in the ring, or with a push that waits at a rendezvous. False:
 * there is none, or it has a gap before it, and a batch has begun. */
static bool take_next_locked(push_client *c, push_msg **msg, size_t *gap, bool begun, struct deferred *deferred)
{
    struct ring *ring = c->pull_ring;
    struct client_extra *extra = c->extra;
    if (extra && extra->returned) {
        if (begun && extra->returned->gap > 0)
            return false;
        *msg = pop_returned_locked(c, deferred, gap);
        ring->pulled++;
        return true;
    }
    if (ring_len_locked(c) == 0 && c->waiting_pushes)
        push__deliver_first_locked(c, &deferred->wakeups);
    ring->tail_seen = tail_of(c);
    if (ring_len_locked(c) == 0 || (begun && ring_gap(ring) > 0))
        return false;
    take_from_ring_locked(ring, msg, 1, gap);
    return true;
}

static size_t take_slow_locked(push_client *c, push_msg **msgs, size_t max, size_t *gap, struct deferred *deferred)
{
    size_t n = 0;
    size_t no_gap;
    while (n < max && take_next_locked(c, &msgs[n], n == 0 ? gap : &no_gap, n > 0, deferred)) {
        n++;
        push__move_up_locked(c, &deferred->wakeups);
    }
    push__leave_slow_locked(c);
    return n;
}

/* Takes up to max messages; 0: there is none. */
static size_t take_locked(push_client *c, push_msg **msgs, size_t max, size_t *gap, struct deferred *deferred)
{
    struct ring *ring = c->pull_ring;
    if (!ring)
        return 0;
    if (ring->slow)
        return take_slow_locked(c, msgs, max, gap, deferred);
    uint64_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);
    if (ring->tail_seen - head < max)
        ring->tail_seen = tail_of(c);
    uint64_t there = ring->tail_seen - head;
    if (there == 0)
        return 0;
    ring_prefetch(ring, head);
    return take_from_ring_locked(ring, msgs, there < max ? (size_t)there : max, gap);
}

/* ---- Pulls that wait ---- */

static void receivers_add(struct receiver **list, struct receiver *receiver)
{
    receiver->next = *list;
    *list = receiver;
}

/* Where it is in that list. */
static void receivers_remove(struct receiver **list, const struct receiver *receiver)
{
    while (*list && *list != receiver)
        list = &(*list)->next;
    if (*list)
        *list = receiver->next;
}

void push__hand_over_locked(push_client *c, push_msg *msg, struct wakeups *wakeups)
{
    struct receiver *receiver = c->extra->awake;
    if (receiver)
        c->extra->awake = receiver->next;
    else
        receiver = push__waitq_wake(&c->sleepers, wakeups);
    receiver->msg = msg;
    receivers_add(&c->extra->handed, receiver);
}

static void begin_to_wait_locked(push_client *c)
{
    if (is_rendezvous(c))
        c->extra->waiting++;
}

static void end_to_wait_locked(push_client *c, struct receiver *self)
{
    if (!is_rendezvous(c))
        return;
    c->extra->waiting--;
    receivers_remove(&c->extra->handed, self);
}

/* What a pull was handed goes to another, or back to the front. */
static void hand_back_locked(push_client *c, push_msg *msg, struct wakeups *wakeups)
{
    if (has_receiver_locked(c)) {
        push__hand_over_locked(c, msg, wakeups);
        return;
    }
    ring_untake(c->pull_ring, msg);
    mark_most_locked(c);
    push__arrive_locked(c, wakeups);
}

/* A cancelled pull was to take a message: another does. */
static void pull_cancelled(void *arg, bool woken, struct wakeups *wakeups)
{
    struct receiver *self = arg;
    push_client *c = self->client;
    end_to_wait_locked(c, self);
    if (self->msg)
        hand_back_locked(c, self->msg, wakeups);
    else if (woken && has_message_locked(c))
        push__waitq_wake(&c->sleepers, wakeups);
}

/* Spinning pays where messages come one at a time, each as an answer: it saves a yield on the way. In a stream it
 * does harm: while the pull yields, messages gather. In a stream the next one comes at once, or several do. */
static bool spinning_pays_locked(const push_client *c, unsigned looks)
{
    enum { AT_ONCE = 4 };
    return looks > 0 ? looks > AT_ONCE : queued_locked(c) == 1;
}

/* Spins and yields, with the lock let go, until something happens in the mailbox or patience ends; then sees to it
 * that there is something to sleep in. Returns 0, or what was missing for that. */
static int yield_locked(push_client *c, const struct deadline *deadline, struct receiver *self,
                        struct deferred *deferred)
{
    unsigned yields = patience_yields(c->patience);
    uint64_t seen = word_of(c);
    bool spins = c->spins;
    unsigned yielded = 0;
    unsigned looks = 0;
    if (is_rendezvous(c))
        receivers_add(&c->extra->awake, self);
    lock_release(&c->lock);
    while (yielded < yields && word_of(c) == seen && !push__deadline_passed(deadline)) {
        looks = spins ? push__spin_while(&c->word, seen) : 0;
        if (looks > 0)
            break;
        push__yield();
        yielded++;
    }
    int rc = word_of(c) == seen ? push__sleeper_renew(&deferred->sleeper) : 0;
    lock_acquire(&c->lock);
    if (is_rendezvous(c))
        receivers_remove(&c->extra->awake, self);
    if (yields > 0 && word_of(c) != seen) {
        c->patience = patience_after_yield(c->patience, yielded);
        c->spins = spinning_pays_locked(c, looks);
    }
    return rc;
}

/* Waits, once, for something to happen: yields first, then sleeps. Returns 0 to look again, -ETIMEDOUT or an error.
 */
static int wait_locked(push_client *c, const struct deadline *deadline, struct receiver *self, bool *yielded,
                       struct deferred *deferred)
{
    if (!*yielded || !push__sleeper_is_free(deferred->sleeper)) {
        *yielded = true;
        return yield_locked(c, deadline, self, deferred);
    }
    uint64_t start = push__now();
    if (!push__arm_locked(c))
        return 0;
    int rc = push__waitq_sleep(&c->sleepers, &c->lock, deadline, &deferred->sleeper, pull_cancelled, self);
    *yielded = false;
    c->patience = patience_after_sleep(c->patience, push__now() - start);
    return rc;
}

/* The message that a pull was handed, and what else is there. */
static size_t begin_with_handed_locked(push_client *c, push_msg *msg, push_msg **msgs, size_t max, size_t *gap,
                                       struct deferred *deferred)
{
    size_t no_gap;
    *gap = 0;
    msgs[0] = msg;
    return 1 + take_slow_locked(c, msgs + 1, max - 1, &no_gap, deferred);
}

/* Takes what is there, or waits for it. */
static int take_or_wait_locked(push_client *c, push_msg **msgs, size_t max, size_t *gap,
                               const struct deadline *deadline, struct deferred *deferred)
{
    struct receiver self = {.client = c};
    int rc = 0;
    for (bool yielded = false;;) {
        size_t n = self.msg ? begin_with_handed_locked(c, self.msg, msgs, max, gap, deferred)
                            : take_locked(c, msgs, max, gap, deferred);
        if (n > 0)
            return (int)n;
        if (client_is_closed(c))
            return -EPIPE;
        /* It has been armed since before it slept, so that nothing can have come meanwhile; but descriptor and
         * watch may have been told of a message that somebody else took. */
        if (rc == -ETIMEDOUT)
            push__arm_locked(c);
        if (rc < 0)
            return rc;
        begin_to_wait_locked(c);
        rc = wait_locked(c, deadline, &self, &yielded, deferred);
        end_to_wait_locked(c, &self);
    }
}

/* A pull is about to wait at a rendezvous: there must be a slot for the message it will be handed, should it be
 * cancelled. */
static int make_room_locked(push_client *c)
{
    struct deferred deferred = {0};
    int rc = 0;
    while (rc == 0 && (!c->pull_ring || c->pull_ring->cap <= c->extra->waiting)) {
        lock_release(&c->lock);
        rc = push__reserve_slots(c, 1, &deferred);
        push__deferred_run(&deferred);
        lock_acquire(&c->lock);
    }
    return rc;
}

/* There was nothing. */
static int wait_for_message_locked(push_client *c, push_msg **msgs, size_t max, size_t *gap, int timeout_ms,
                                   struct deferred *deferred)
{
    struct deadline deadline = push__deadline_in(timeout_ms);
    int rc = is_rendezvous(c) ? make_room_locked(c) : 0;
    return rc < 0 ? rc : take_or_wait_locked(c, msgs, max, gap, &deadline, deferred);
}

bool push__mailbox_take_locked(push_client *c, push_msg **msg, size_t *gap)
{
    struct deferred deferred = {0};
    if (take_locked(c, msg, 1, gap, &deferred) == 0)
        return false;
    lock_release(&c->lock);
    if (deferred_any(&deferred))
        push__deferred_run(&deferred);
    return true;
}

int push__mailbox_pull(push_client *c, push_msg **msgs, size_t max, size_t *gap, int timeout_ms)
{
    struct deferred deferred = {0};
    if (max > INT_MAX)
        max = INT_MAX;
    lock_acquire(&c->lock);
    int rc = (int)take_locked(c, msgs, max, gap, &deferred);
    if (rc == 0 && timeout_ms != 0) {
        rc = wait_for_message_locked(c, msgs, max, gap, timeout_ms, &deferred);
    } else if (rc == 0) {
        while (rc == 0 && c->extra && !client_is_closed(c) && !push__rest_locked(c))
            rc = (int)take_locked(c, msgs, max, gap, &deferred);
        if (rc == 0)
            rc = client_is_closed(c) ? -EPIPE : -EAGAIN;
    }
    lock_release(&c->lock);
    if (deferred_any(&deferred))
        push__deferred_run(&deferred);
    return rc;
}
