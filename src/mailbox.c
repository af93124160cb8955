#include "mailbox.h"

#include <errno.h>

#include "mailbox_state.h"

/* ---- Telling those who want to know ---- */

void push__arrive_locked(push_client *c, struct wakeups *wakeups)
{
    struct client_extra *extra = c->extra;
    push__waitq_wake(&c->sleepers, wakeups);
    if (extra) {
        push__waker_raise(&extra->waker);
        if (extra->watch.set && !watch_is_signalled(&extra->watch))
            push__watch_signal(&extra->watch, wakeups);
    }
    if (waitq_empty(&c->sleepers))
        clear_flags(c, WORD_ALERT);
}

/* From now on, the next message will be told of. False: one is in the ring already. */
static bool set_alert_locked(push_client *c)
{
    uint64_t word = atomic_fetch_or_explicit(&c->word, WORD_ALERT, memory_order_acq_rel);
    uint64_t head = c->pull_ring ? atomic_load_explicit(&c->pull_ring->head, memory_order_relaxed) : 0;
    return word >> WORD_SHIFT == head;
}

bool push__arm_locked(push_client *c)
{
    if (!set_alert_locked(c))
        return false;
    if (c->extra) {
        push__waker_clear(&c->extra->waker);
        if (c->extra->watch.set && watch_is_signalled(&c->extra->watch))
            push__watch_clear(&c->extra->watch);
    }
    return true;
}

bool push__rest_locked(push_client *c)
{
    struct client_extra *extra = c->extra;
    uint64_t word = word_of(c);
    if (extra->watch.set && !waker_is_open(&extra->waker) && (word & WORD_FLAGS) == 0 && ring_len_locked(c) == 0 &&
        push__watch_rest(&extra->watch, word, word | WORD_ALERT))
        return true;
    return push__arm_locked(c);
}

/* Descriptor and watch are new, or the mailbox was closed: they are told what there is. */
static void announce_state_locked(push_client *c, struct wakeups *wakeups)
{
    if (client_is_closed(c)) {
        push__waker_raise(&c->extra->waker);
        if (c->extra->watch.set && !c->extra->watch.closed)
            push__watch_close(&c->extra->watch, wakeups);
    } else if (!set_alert_locked(c) || has_message_locked(c)) {
        push__arrive_locked(c, wakeups);
    }
}

/* ---- Closing ---- */

bool push__close_locked(push_client *c, struct wakeups *wakeups)
{
    if (client_is_closed(c))
        return false;
    set_flags(c, WORD_CLOSED);
    push__close_waiting_locked(c, wakeups);
    push__waitq_wake_all(&c->sleepers, wakeups);
    if (c->extra)
        announce_state_locked(c, wakeups);
    return true;
}

bool push__mailbox_close(push_client *c)
{
    struct wakeups wakeups = {0};
    lock_acquire(&c->lock);
    bool closed = push__close_locked(c, &wakeups);
    lock_release(&c->lock);
    push__wakeups_send(&wakeups);
    return closed;
}

/* ---- Descriptor and pollers ---- */

int push__mailbox_fd(push_client *c)
{
    int rc = push__client_need_extra(c);
    if (rc < 0)
        return rc;
    struct wakeups wakeups = {0};
    lock_acquire(&c->lock);
    struct waker *waker = &c->extra->waker;
    if (!waker_is_open(waker)) {
        rc = push__waker_open(waker);
        if (rc == 0)
            announce_state_locked(c, &wakeups);
    }
    if (rc == 0)
        rc = waker->read_fd;
    lock_release(&c->lock);
    push__wakeups_send(&wakeups);
    return rc;
}

int push__mailbox_watch(push_client *c, struct readyset *set, void *data)
{
    int rc = 0;
    struct wakeups wakeups = {0};
    lock_acquire(&c->lock);
    struct watch *watch = &c->extra->watch;
    if (watch->set) {
        rc = watch->set == set ? -EEXIST : -EBUSY;
    } else {
        watch->client = c;
        watch->data = data;
        watch->word = &c->word;
        push__readyset_add(set, watch);
        announce_state_locked(c, &wakeups);
    }
    lock_release(&c->lock);
    push__wakeups_send(&wakeups);
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
    struct wakeups wakeups = {0};
    lock_acquire(&c->lock);
    struct watch *watch = watch_in_locked(c, set);
    if (watch)
        push__watch_pause(watch, paused, &wakeups);
    lock_release(&c->lock);
    push__wakeups_send(&wakeups);
    return watch ? 0 : -ENOENT;
}

/* ---- Put-back, take-over, statistics ---- */

static int may_unpull_locked(const push_client *c)
{
    if (c->taken_over)
        return -EPIPE;
    return c->pull_ring && c->pull_ring->pulled > 0 ? 0 : -EINVAL;
}

int push__mailbox_may_unpull(push_client *c)
{
    lock_acquire(&c->lock);
    int rc = may_unpull_locked(c);
    lock_release(&c->lock);
    return rc;
}

static void put_back_locked(push_client *c, struct returned *node, struct wakeups *wakeups)
{
    node->gap = 0;
    node->next = c->extra->returned;
    c->extra->returned = node;
    c->extra->returned_len++;
    c->pull_ring->pulled--;
    c->pull_ring->bytes_out -= node->msg->u.size;
    push__enter_slow_locked(c);
    mark_most_locked(c);
    /* A watch at rest cannot see it in the word once it has been pulled again. */
    if (c->extra->watch.set)
        push__watch_signal(&c->extra->watch, wakeups);
    push__arrive_locked(c, wakeups);
}

int push__mailbox_unpull(push_client *c, struct returned **node, struct wakeups *wakeups)
{
    lock_acquire(&c->lock);
    int rc = may_unpull_locked(c);
    if (rc == 0 && is_rendezvous(c) && has_receiver_locked(c)) {
        push__hand_over_locked(c, (*node)->msg, wakeups);
    } else if (rc == 0) {
        put_back_locked(c, *node, wakeups);
        *node = NULL;
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

/* What pulls were handed goes with the mailbox: their handles are about to be closed. */
static void take_back_handed_locked(push_client *c)
{
    for (struct receiver *receiver = c->extra->handed; receiver; receiver = receiver->next) {
        ring_untake(c->pull_ring, receiver->msg);
        receiver->msg = NULL;
        mark_most_locked(c);
    }
    c->extra->handed = NULL;
}

void push__mailbox_move(push_client *from, push_client *to, struct wakeups *wakeups)
{
    /* Both locks: as soon as a waiting push knows that it is with `to`, it may leave. */
    lock_acquire(&from->lock);
    lock_acquire_as(&to->lock, RANK_HEIR);
    to->max_buffer = from->max_buffer;
    to->overflow = from->overflow;
    to->patience = from->patience;
    if (is_rendezvous(from))
        take_back_handed_locked(from);
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
    lock_release_as(&to->lock, RANK_HEIR);
    from->taken_over = true;
    push__waitq_wake_all(&from->sleepers, wakeups);
    if (from->extra)
        announce_state_locked(from, wakeups);
    lock_release(&from->lock);
}

void push__mailbox_stat(push_client *c, push_client_stats *out)
{
    *out = (push_client_stats){0};
    lock_acquire(&c->lock);
    const struct ring *ring = c->pull_ring;
    out->max_buffer = c->max_buffer;
    out->closed = client_is_closed(c);
    if (ring) {
        out->queued = queued_locked(c);
        /* Of one large message there can be many references: more than a size_t of 32 bits can say. */
        uint64_t bytes = ring_bytes(ring);
        out->queued_bytes = bytes < SIZE_MAX ? (size_t)bytes : SIZE_MAX;
        out->high_water = (size_t)ring->most;
        out->pushed = tail_of(c);
        out->pulled = ring->pulled;
        out->dropped = ring->dropped;
    }
    lock_release(&c->lock);
}

bool push__mailbox_check(push_client *c)
{
    lock_acquire(&c->lock);
    uint64_t word = word_of(c);
    bool slow = (word & WORD_SLOW) != 0;
    bool due = is_always_slow(c) || c->waiting_pushes || (c->extra && c->extra->returned);
    /* Nobody puts into a closed one: there it does not matter. */
    bool ok = c->ring == c->pull_ring && (slow == due || (word & WORD_CLOSED));
    ok = ok && (!(word & WORD_CLOSED) || !c->waiting_pushes);
    if (c->ring) {
        ok = ok && push__ring_check(c->ring, word >> WORD_SHIFT) && c->ring->slow == slow;
        ok = ok && c->ring->most >= queued_locked(c);
    }
    if (c->extra && waker_is_open(&c->extra->waker)) {
        bool readable = (word & WORD_CLOSED) || has_message_locked(c);
        ok = ok && (!readable || c->extra->waker.raised);
    }
    lock_release(&c->lock);
    return ok;
}
