#include "mailbox.h"

#include <errno.h>
#include <limits.h>

#include "alloc.h"

/* ---- The word ---- */

static uint64_t word_of(const push_client *c)
{
    return atomic_load_explicit(&c->word, memory_order_acquire);
}

static uint64_t tail_of(const push_client *c)
{
    return word_of(c) >> WORD_SHIFT;
}

static void set_flags(push_client *c, uint64_t flags)
{
    atomic_fetch_or_explicit(&c->word, flags, memory_order_acq_rel);
}

static void clear_flags(push_client *c, uint64_t flags)
{
    if (word_of(c) & flags)
        atomic_fetch_and_explicit(&c->word, ~flags, memory_order_acq_rel);
}

/* ---- What is in the mailbox: under the mailbox lock ---- */

static bool is_rendezvous(const push_client *c)
{
    return c->max_buffer == 0;
}

/* WORD_SLOW is there for good. */
static bool is_always_slow(const push_client *c)
{
    return is_rendezvous(c) || (c->extra && c->extra->max_bytes > 0);
}

static size_t ring_len_locked(const push_client *c)
{
    return c->pull_ring ? (size_t)ring_len(c->pull_ring, tail_of(c)) : 0;
}

static size_t queued_locked(const push_client *c)
{
    return ring_len_locked(c) + (c->extra ? c->extra->returned_len : 0);
}

/* Messages in a rendezvous mailbox that belong to pulls that wait: their threads just have not run yet. */
static size_t handed_locked(const push_client *c)
{
    if (!is_rendezvous(c))
        return 0;
    size_t queued = queued_locked(c);
    return queued < c->extra->waiting ? queued : c->extra->waiting;
}

static bool has_message_locked(const push_client *c)
{
    return queued_locked(c) > 0 || c->waiting_pushes != NULL;
}

static bool fits_locked(const push_client *c, size_t size)
{
    size_t queued = queued_locked(c);
    if (is_rendezvous(c))
        return queued < c->extra->waiting;
    if (queued >= c->max_buffer)
        return false;
    size_t max_bytes = c->extra ? c->extra->max_bytes : 0;
    if (max_bytes == 0 || queued == 0)
        return true;
    uint64_t bytes = ring_bytes(c->pull_ring);
    return bytes <= max_bytes && size <= max_bytes - bytes;
}

/* ---- Telling those who want to know: under the mailbox lock ---- */

/* There is a message, or a push that waits at a rendezvous. Sleeping pulls are woken by who calls. */
static void arrive_locked(push_client *c)
{
    struct client_extra *extra = c->extra;
    if (extra) {
        push__waker_raise(&extra->waker);
        if (extra->watch.set && !extra->watch.signalled)
            push__watch_signal(&extra->watch);
    }
    if (waitq_empty(&c->sleepers))
        clear_flags(c, WORD_ALERT);
}

/* Nothing was found: from now on, the next message will be told of. False: one came meanwhile. */
static bool arm_locked(push_client *c)
{
    uint64_t word = atomic_fetch_or_explicit(&c->word, WORD_ALERT, memory_order_acq_rel);
    uint64_t head = c->pull_ring ? atomic_load_explicit(&c->pull_ring->head, memory_order_relaxed) : 0;
    if (word >> WORD_SHIFT != head)
        return false;
    if (c->extra) {
        push__waker_clear(&c->extra->waker);
        if (c->extra->watch.set && c->extra->watch.signalled)
            push__watch_clear(&c->extra->watch);
    }
    return true;
}

/* A descriptor or a watch is new: brings it to the state the mailbox is in. */
static void announce_locked(push_client *c)
{
    if (client_is_closed(c)) {
        push__waker_raise(&c->extra->waker);
        if (c->extra->watch.set && !c->extra->watch.closed)
            push__watch_close(&c->extra->watch);
    } else if (has_message_locked(c)) {
        arrive_locked(c);
    } else if (!arm_locked(c)) {
        arrive_locked(c);
    }
}

/* ---- Waiting pushes: under the mailbox lock ---- */

static void node_append(push_client *c, struct push_node *node)
{
    struct push_node *last = c->waiting_pushes;
    if (last) {
        node->next = last->next;
        node->prev = last;
        node->next->prev = node;
        last->next = node;
    } else {
        node->next = node->prev = node;
    }
    c->waiting_pushes = node;
}

static void node_unlink(push_client *c, struct push_node *node)
{
    if (node->next == node) {
        c->waiting_pushes = NULL;
    } else {
        node->next->prev = node->prev;
        node->prev->next = node->next;
        if (c->waiting_pushes == node)
            c->waiting_pushes = node->prev;
    }
}

static size_t node_count(const push_client *c)
{
    size_t n = 0;
    const struct push_node *last = c->waiting_pushes;
    if (last) {
        const struct push_node *node = last;
        do {
            n++;
            node = node->next;
        } while (node != last);
    }
    return n;
}

/* The node is in no list. Its thread may go on and free it as soon as the lock is let go. */
static void node_finish(struct push_node *node, enum node_state state)
{
    struct push_wait *wait = node->wait;
    lock_acquire(&wait->lock);
    node->state = state;
    if (atomic_fetch_sub_explicit(&wait->waiting, 1, memory_order_acq_rel) == 1 && wait->sleeping)
        pthread_cond_signal(&wait->cond);
    lock_release(&wait->lock);
}

/* The producer's side belongs to the mailbox lock from here on. Needs the push lock too. */
static void enter_slow_locked(push_client *c)
{
    set_flags(c, WORD_SLOW);
    c->pull_ring->slow = true;
}

/* ... and back to the push lock where nothing stands against it. */
static void leave_slow_locked(push_client *c)
{
    if (is_always_slow(c) || c->waiting_pushes || (c->extra && c->extra->returned) || !c->pull_ring->slow)
        return;
    c->pull_ring->slow = false;
    clear_flags(c, WORD_SLOW);
}

static void mark_most_locked(push_client *c)
{
    size_t queued = queued_locked(c) - handed_locked(c);
    if (queued > c->pull_ring->most)
        c->pull_ring->most = queued;
}

/* Puts a message into the ring, which has a free slot. Needs WORD_SLOW, or the push lock too. */
static void put_locked(push_client *c, push_msg *msg)
{
    struct ring *ring = c->pull_ring;
    size_t size = msg->u.size;
    ring_write(ring, msg);
    atomic_fetch_add_explicit(&c->word, WORD_ONE, memory_order_acq_rel);
    ring_advance(ring, size);
    if (!is_rendezvous(c))
        mark_most_locked(c);
    arrive_locked(c);
}

static void deliver_first_locked(push_client *c)
{
    struct push_node *node = c->waiting_pushes->next;
    node_unlink(c, node);
    put_locked(c, node->msg);
    push__waitq_wake(&c->sleepers);
    node_finish(node, NODE_DELIVERED);
}

/* Room was made, or a node left: those that wait move up. */
static void move_up_locked(push_client *c)
{
    while (c->waiting_pushes && fits_locked(c, c->waiting_pushes->next->msg->u.size))
        deliver_first_locked(c);
}

static void close_all_waiting_locked(push_client *c)
{
    while (c->waiting_pushes) {
        struct push_node *node = c->waiting_pushes->next;
        node_unlink(c, node);
        node_finish(node, NODE_CLOSED);
    }
}

enum node_state push__mailbox_withdraw(struct push_node *node)
{
    struct push_wait *wait = node->wait;
    for (;;) {
        /* While it waits, its client is open, and so cannot go; a take-over may give it another at any time. */
        lock_acquire(&wait->lock);
        enum node_state state = node->state;
        push_client *c = state == NODE_WAITING ? client_ref(node->client) : NULL;
        lock_release(&wait->lock);
        if (!c)
            return state;

        lock_acquire(&c->lock);
        lock_acquire(&wait->lock);
        bool here = node->state == NODE_WAITING && node->client == c;
        lock_release(&wait->lock);
        if (here) {
            node_unlink(c, node);
            node_finish(node, NODE_WITHDRAWN);
            move_up_locked(c);
            leave_slow_locked(c);
        }
        lock_release(&c->lock);
        push__client_unref(c);
    }
}

/* ---- Closing ---- */

static bool close_locked(push_client *c)
{
    if (client_is_closed(c))
        return false;
    set_flags(c, WORD_CLOSED);
    close_all_waiting_locked(c);
    push__waitq_wake_all(&c->sleepers);
    if (c->extra)
        announce_locked(c);
    return true;
}

bool push__mailbox_close(push_client *c)
{
    lock_acquire(&c->lock);
    bool closed = close_locked(c);
    lock_release(&c->lock);
    return closed;
}

/* ---- Room ---- */

/* Slots the ring must have, for one more message in it or waiting, and `pulls` more pulls waiting at a rendezvous.
 */
static size_t slots_needed_locked(const push_client *c, size_t pulls)
{
    if (is_rendezvous(c)) {
        size_t waiting = c->extra->waiting + pulls;
        return waiting > 0 ? waiting : 1;
    }
    size_t len = ring_len_locked(c) + node_count(c);
    return len < c->max_buffer ? len + 1 : c->max_buffer;
}

static size_t slots_to_have(const push_client *c, size_t needed, size_t have)
{
    enum { FIRST = 4 };
    size_t slots = have > SIZE_MAX / 2 ? SIZE_MAX : have * 2;
    slots = slots < FIRST ? FIRST : slots;
    slots = slots < needed ? needed : slots;
    return is_rendezvous(c) || slots < c->max_buffer ? slots : c->max_buffer;
}

static void retire(struct garbage *garbage, struct ring *ring)
{
    if (ring) {
        ring->next = garbage->rings;
        garbage->rings = ring;
    }
}

static void install_locked(push_client *c, struct ring *ring, struct garbage *garbage)
{
    if (c->pull_ring)
        push__ring_continue(ring, c->pull_ring, tail_of(c));
    else
        ring->slow = (word_of(c) & WORD_SLOW) != 0;
    retire(garbage, c->pull_ring);
    c->ring = c->pull_ring = ring;
}

/* Grows the ring as needed. The memory is had outside the mailbox lock. Needs the push lock, or a rendezvous. */
static int reserve_slots(push_client *c, size_t pulls, struct garbage *garbage)
{
    struct ring *spare = NULL;
    for (;;) {
        lock_acquire(&c->lock);
        size_t have = c->pull_ring ? c->pull_ring->cap : 0;
        size_t needed = slots_needed_locked(c, pulls);
        if (have < needed && spare && spare->cap >= needed) {
            install_locked(c, spare, garbage);
            spare = NULL;
            have = needed;
        }
        lock_release(&c->lock);
        push__ring_free(spare);
        if (have >= needed)
            return 0;
        spare = push__ring_new(slots_to_have(c, needed, have), c->overflow == PUSH_DROP_NEWEST);
        if (!spare)
            return -ENOMEM;
    }
}

ptrdiff_t push__mailbox_reserve(push_client *c, struct garbage *garbage)
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
    int rc = reserve_slots(c, 0, garbage);
    if (rc < 0)
        return rc;
    return slow ? 0 : (ptrdiff_t)ring_room(c->ring, word >> WORD_SHIFT);
}

void push__garbage_free(struct garbage *garbage)
{
    push__msg_list_free(&garbage->messages);
    while (garbage->rings) {
        struct ring *ring = garbage->rings;
        garbage->rings = ring->next;
        push__ring_free(ring);
    }
    while (garbage->returned) {
        struct returned *node = garbage->returned;
        garbage->returned = node->next;
        push__free(node);
    }
}

/* ---- Putting ---- */

static void discard(push_msg *msg, struct garbage *garbage)
{
    if (msg_drop(msg, 1))
        msg_list_add(&garbage->messages, msg);
}

/* Drops the message that would be pulled next. Needs the push lock too. */
static void evict_locked(push_client *c, struct garbage *garbage)
{
    struct ring *ring = c->pull_ring;
    struct client_extra *extra = c->extra;
    size_t gap;
    if (extra && extra->returned) {
        struct returned *node = extra->returned;
        extra->returned = node->next;
        extra->returned_len--;
        ring->bytes_out += node->msg->u.size;
        gap = node->gap;
        discard(node->msg, garbage);
        node->next = garbage->returned;
        garbage->returned = node;
    } else {
        gap = ring_gap(ring);
        ring->tail_seen = tail_of(c);
        discard(ring_take(ring), garbage);
        ring_release(ring, 1);
    }
    size_t *next_gap = extra && extra->returned ? &extra->returned->gap : &ring->front_gap;
    *next_gap += gap + 1;
    ring->dropped++;
}

/* Leaves a node behind. Needs the push lock too. */
static void wait_locked(push_client *c, push_msg *msg, struct push_node *node, struct push_wait *wait)
{
    node->wait = wait;
    node->msg = msg;
    node->client = c;
    node->state = NODE_WAITING;
    atomic_fetch_add_explicit(&wait->waiting, 1, memory_order_relaxed);
    node_append(c, node);
    enter_slow_locked(c);
    if (is_rendezvous(c))
        arrive_locked(c);
}

static enum put_result overflow_locked(push_client *c, push_msg *msg, struct push_node *node,
                                       struct push_wait *wait, struct garbage *garbage)
{
    switch ((push_overflow)c->overflow) {
    case PUSH_DROP_NEWEST:
        c->pull_ring->gap++;
        c->pull_ring->dropped++;
        return PUT_DROPPED;
    case PUSH_DROP_OLDEST:
        while (!fits_locked(c, msg->u.size))
            evict_locked(c, garbage);
        leave_slow_locked(c);
        put_locked(c, msg);
        return PUT_EVICTED;
    case PUSH_DISCONNECT:
        close_locked(c);
        return PUT_DISCONNECTED;
    case PUSH_BLOCK:
        break;
    }
    if (!node)
        return PUT_FULL;
    wait_locked(c, msg, node, wait);
    return PUT_WAITS;
}

enum put_result push__mailbox_put(push_client *c, push_msg *msg, struct push_node *node, struct push_wait *wait,
                                  struct garbage *garbage, bool *asleep)
{
    enum put_result result;
    lock_acquire(&c->lock);
    if (client_is_closed(c)) {
        result = PUT_CLOSED;
    } else if (!c->waiting_pushes && fits_locked(c, msg->u.size)) {
        put_locked(c, msg);
        result = PUT_TAKEN;
    } else {
        result = overflow_locked(c, msg, node, wait, garbage);
    }
    *asleep = !waitq_empty(&c->sleepers);
    lock_release(&c->lock);
    return result;
}

void push__mailbox_wake(push_client *c)
{
    lock_acquire(&c->lock);
    if (has_message_locked(c)) {
        push__waitq_wake(&c->sleepers);
        arrive_locked(c);
    }
    lock_release(&c->lock);
}

/* ---- Pulling ---- */

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
static bool take_next_locked(push_client *c, push_msg **msg, size_t *gap, bool begun, struct garbage *garbage)
{
    struct ring *ring = c->pull_ring;
    struct client_extra *extra = c->extra;
    if (extra && extra->returned) {
        struct returned *node = extra->returned;
        if (begun && node->gap > 0)
            return false;
        extra->returned = node->next;
        extra->returned_len--;
        *gap = node->gap;
        *msg = node->msg;
        ring->bytes_out += node->msg->u.size;
        ring->pulled++;
        node->next = garbage->returned;
        garbage->returned = node;
        return true;
    }
    if (ring_len_locked(c) == 0 && c->waiting_pushes)
        deliver_first_locked(c);
    ring->tail_seen = tail_of(c);
    if (ring_len_locked(c) == 0 || (begun && ring_gap(ring) > 0))
        return false;
    take_from_ring_locked(ring, msg, 1, gap);
    return true;
}

static size_t take_slow_locked(push_client *c, push_msg **msgs, size_t max, size_t *gap, struct garbage *garbage)
{
    size_t n = 0;
    size_t no_gap;
    while (n < max && take_next_locked(c, &msgs[n], n == 0 ? gap : &no_gap, n > 0, garbage)) {
        n++;
        move_up_locked(c);
    }
    leave_slow_locked(c);
    return n;
}

/* Takes up to max messages; 0: there is none. */
static size_t take_locked(push_client *c, push_msg **msgs, size_t max, size_t *gap, struct garbage *garbage)
{
    struct ring *ring = c->pull_ring;
    if (!ring)
        return 0;
    if (ring->slow)
        return take_slow_locked(c, msgs, max, gap, garbage);
    uint64_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);
    if (ring->tail_seen - head < max)
        ring->tail_seen = tail_of(c);
    uint64_t there = ring->tail_seen - head;
    if (there == 0)
        return 0;
    return take_from_ring_locked(ring, msgs, there < max ? (size_t)there : max, gap);
}

/* A cancelled pull was to take a message: another does. */
static void pull_cancelled(void *arg, bool woken)
{
    push_client *c = arg;
    if (is_rendezvous(c))
        c->extra->waiting--;
    if (woken && has_message_locked(c))
        push__waitq_wake(&c->sleepers);
}

/* Yields, with the lock let go, until something happens in the mailbox or patience ends. */
static void yield_locked(push_client *c, const struct deadline *deadline)
{
    uint64_t seen = word_of(c);
    unsigned yields = c->patience;
    lock_release(&c->lock);
    for (; yields > 0 && word_of(c) == seen && !push__deadline_passed(deadline); yields--)
        push__yield();
    lock_acquire(&c->lock);
    if (word_of(c) != seen)
        c->patience = patience_after_yield(c->patience);
}

/* Takes what is there, or waits for it. */
static int take_or_wait_locked(push_client *c, push_msg **msgs, size_t max, size_t *gap,
                               const struct deadline *deadline, struct garbage *garbage)
{
    bool passed = false;
    bool yielded = false;
    for (;;) {
        size_t n = take_locked(c, msgs, max, gap, garbage);
        if (n > 0)
            return (int)n;
        if (client_is_closed(c))
            return -EPIPE;
        if (!passed && !yielded) {
            yield_locked(c, deadline);
            yielded = true;
            continue;
        }
        if (!arm_locked(c))
            continue;
        if (passed)
            return -ETIMEDOUT;
        uint64_t start = push__now();
        int rc = push__waitq_sleep(&c->sleepers, &c->lock, deadline, pull_cancelled, c);
        if (rc < 0 && rc != -ETIMEDOUT)
            return rc;
        passed = rc == -ETIMEDOUT;
        yielded = false;
        c->patience = patience_after_sleep(push__now() - start);
    }
}

/* A pull is about to wait at a rendezvous: there must be a slot for the message it will be handed. */
static int join_rendezvous_locked(push_client *c)
{
    struct garbage garbage = {0};
    int rc = 0;
    while (rc == 0 && (!c->pull_ring || c->pull_ring->cap <= c->extra->waiting)) {
        lock_release(&c->lock);
        rc = reserve_slots(c, 1, &garbage);
        push__garbage_free(&garbage);
        lock_acquire(&c->lock);
    }
    if (rc == 0)
        c->extra->waiting++;
    return rc;
}

/* There was nothing. */
static int wait_for_message_locked(push_client *c, push_msg **msgs, size_t max, size_t *gap, int timeout_ms,
                                   struct garbage *garbage)
{
    struct deadline deadline = push__deadline_in(timeout_ms);
    if (!is_rendezvous(c))
        return take_or_wait_locked(c, msgs, max, gap, &deadline, garbage);
    int rc = join_rendezvous_locked(c);
    if (rc == 0) {
        rc = take_or_wait_locked(c, msgs, max, gap, &deadline, garbage);
        c->extra->waiting--;
    }
    return rc;
}

int push__mailbox_pull(push_client *c, push_msg **msgs, size_t max, size_t *gap, int timeout_ms)
{
    struct garbage garbage = {0};
    if (max > INT_MAX)
        max = INT_MAX;
    lock_acquire(&c->lock);
    int rc = (int)take_locked(c, msgs, max, gap, &garbage);
    if (rc == 0 && timeout_ms != 0) {
        rc = wait_for_message_locked(c, msgs, max, gap, timeout_ms, &garbage);
    } else if (rc == 0) {
        while (c->extra && !client_is_closed(c) && !arm_locked(c) && rc == 0)
            rc = (int)take_locked(c, msgs, max, gap, &garbage);
        if (rc == 0)
            rc = client_is_closed(c) ? -EPIPE : -EAGAIN;
    }
    lock_release(&c->lock);
    if (garbage.returned)
        push__garbage_free(&garbage);
    return rc;
}

/* ---- Descriptor and pollers ---- */

int push__mailbox_fd(push_client *c)
{
    int rc = push__client_need_extra(c);
    if (rc < 0)
        return rc;
    lock_acquire(&c->lock);
    struct waker *waker = &c->extra->waker;
    if (!waker_is_open(waker)) {
        rc = push__waker_open(waker);
        if (rc == 0)
            announce_locked(c);
    }
    if (rc == 0)
        rc = waker->read_fd;
    lock_release(&c->lock);
    return rc;
}

int push__mailbox_watch(push_client *c, struct readyset *set, void *data)
{
    int rc = 0;
    lock_acquire(&c->lock);
    struct watch *watch = &c->extra->watch;
    if (watch->set) {
        rc = watch->set == set ? -EEXIST : -EBUSY;
    } else {
        watch->client = c;
        watch->data = data;
        push__readyset_add(set, watch);
        announce_locked(c);
    }
    lock_release(&c->lock);
    return rc;
}

static struct watch *watch_in_locked(push_client *c, const struct readyset *set)
{
    return c->extra && c->extra->watch.set == set ? &c->extra->watch : NULL;
}

int push__mailbox_unwatch(push_client *c, struct readyset *set)
{
    lock_acquire(&c->lock);
    struct watch *watch = watch_in_locked(c, set);
    if (watch)
        push__readyset_remove(watch);
    lock_release(&c->lock);
    return watch ? 0 : -ENOENT;
}

int push__mailbox_pause(push_client *c, struct readyset *set, bool paused)
{
    lock_acquire(&c->lock);
    struct watch *watch = watch_in_locked(c, set);
    if (watch)
        push__watch_pause(watch, paused);
    lock_release(&c->lock);
    return watch ? 0 : -ENOENT;
}

/* ---- Put-back, take-over, statistics ---- */

int push__mailbox_unpull(push_client *c, struct returned *node)
{
    int rc = 0;
    lock_acquire(&c->lock);
    struct ring *ring = c->pull_ring;
    if (c->taken_over) {
        rc = -EPIPE;
    } else if (!ring || ring->pulled == 0) {
        rc = -EINVAL;
    } else {
        node->gap = 0;
        node->next = c->extra->returned;
        c->extra->returned = node;
        c->extra->returned_len++;
        ring->pulled--;
        ring->bytes_out -= node->msg->u.size;
        enter_slow_locked(c);
        mark_most_locked(c);
        arrive_locked(c);
        push__waitq_wake(&c->sleepers);
    }
    lock_release(&c->lock);
    return rc;
}

static void move_waiting_locked(push_client *from, push_client *to)
{
    to->waiting_pushes = from->waiting_pushes;
    from->waiting_pushes = NULL;
    struct push_node *last = to->waiting_pushes;
    struct push_node *node = last;
    if (!last)
        return;
    do {
        node = node->next;
        lock_acquire(&node->wait->lock);
        node->client = to;
        lock_release(&node->wait->lock);
    } while (node != last);
}

void push__mailbox_move(push_client *from, push_client *to)
{
    lock_acquire(&from->lock);
    to->max_buffer = from->max_buffer;
    to->overflow = from->overflow;
    to->patience = from->patience;
    to->ring = to->pull_ring = from->ring;
    from->ring = from->pull_ring = NULL;
    to->extra->max_bytes = 0;
    if (from->extra) {
        to->extra->max_bytes = from->extra->max_bytes;
        to->extra->returned = from->extra->returned;
        to->extra->returned_len = from->extra->returned_len;
        from->extra->returned = NULL;
        from->extra->returned_len = 0;
    }
    atomic_store_explicit(&to->word, word_of(from) & ~(uint64_t)WORD_ALERT, memory_order_relaxed);
    atomic_store_explicit(&from->word, WORD_CLOSED, memory_order_release);
    move_waiting_locked(from, to);
    from->taken_over = true;
    push__waitq_wake_all(&from->sleepers);
    if (from->extra)
        announce_locked(from);
    lock_release(&from->lock);
}

/* Payload of the first n messages, in the order they would be pulled. */
static size_t bytes_of_first_locked(const push_client *c, size_t n)
{
    size_t bytes = 0;
    for (const struct returned *node = c->extra ? c->extra->returned : NULL; node && n > 0; node = node->next, n--)
        bytes += node->msg->u.size;
    const struct ring *ring = c->pull_ring;
    for (size_t at = ring->take_at; n > 0; n--) {
        bytes += ring->slots[at]->u.size;
        at = at + 1 == ring->take_cap ? 0 : at + 1;
    }
    return bytes;
}

void push__mailbox_stat(push_client *c, push_client_stats *out)
{
    *out = (push_client_stats){0};
    lock_acquire(&c->lock);
    const struct ring *ring = c->pull_ring;
    out->max_buffer = c->max_buffer;
    out->closed = client_is_closed(c);
    if (ring) {
        size_t handed = handed_locked(c);
        out->queued = queued_locked(c) - handed;
        out->queued_bytes = (size_t)ring_bytes(ring) - bytes_of_first_locked(c, handed);
        out->high_water = (size_t)ring->most;
        out->pushed = tail_of(c);
        out->pulled = ring->pulled + handed;
        out->dropped = ring->dropped;
    }
    lock_release(&c->lock);
}

bool push__mailbox_check(push_client *c)
{
    lock_acquire(&c->lock);
    uint64_t word = word_of(c);
    bool slow = is_always_slow(c) || c->waiting_pushes || (c->extra && c->extra->returned);
    bool ok = c->ring == c->pull_ring && slow == ((word & WORD_SLOW) != 0);
    ok = ok && (!(word & WORD_CLOSED) || !c->waiting_pushes);
    if (c->ring)
        ok = ok && push__ring_check(c->ring, word >> WORD_SHIFT) && c->ring->slow == slow;
    if (c->extra && waker_is_open(&c->extra->waker)) {
        bool due = (word & WORD_CLOSED) || has_message_locked(c);
        ok = ok && (!due || c->extra->waker.raised);
    }
    lock_release(&c->lock);
    return ok;
}
