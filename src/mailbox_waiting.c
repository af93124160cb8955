#include "mailbox_state.h"

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

size_t push__waiting_count(const push_client *c)
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
static void node_finish(struct push_node *node, enum node_state state, struct wakeups *wakeups)
{
    struct push_wait *wait = node->wait;
    lock_acquire(&wait->lock);
    node->state = state;
    if (atomic_fetch_sub_explicit(&wait->waiting, 1, memory_order_acq_rel) == 1)
        push__waitq_wake(&wait->sleepers, wakeups);
    lock_release(&wait->lock);
}

void push__enter_slow_locked(push_client *c)
{
    set_flags(c, WORD_SLOW);
    c->pull_ring->slow = true;
}

void push__leave_slow_locked(push_client *c)
{
    if (is_always_slow(c) || c->waiting_pushes || (c->extra && c->extra->returned) || !c->pull_ring->slow)
        return;
    c->pull_ring->slow = false;
    clear_flags(c, WORD_SLOW);
}

void push__wait_locked(push_client *c, push_msg *msg, struct push_node *node, struct push_wait *wait,
                       struct wakeups *wakeups)
{
    node->wait = wait;
    node->msg = msg;
    node->client = c;
    node->state = NODE_WAITING;
    atomic_fetch_add_explicit(&wait->waiting, 1, memory_order_relaxed);
    node_append(c, node);
    push__enter_slow_locked(c);
    if (is_rendezvous(c))
        push__arrive_locked(c, wakeups);
}

void push__deliver_first_locked(push_client *c, struct wakeups *wakeups)
{
    struct push_node *node = c->waiting_pushes->next;
    node_unlink(c, node);
    push__put_locked(c, node->msg, wakeups);
    node_finish(node, NODE_DELIVERED, wakeups);
}

void push__move_up_locked(push_client *c, struct wakeups *wakeups)
{
    while (c->waiting_pushes && fits_locked(c, c->waiting_pushes->next->msg->u.size))
        push__deliver_first_locked(c, wakeups);
}

void push__close_waiting_locked(push_client *c, struct wakeups *wakeups)
{
    while (c->waiting_pushes) {
        struct push_node *node = c->waiting_pushes->next;
        node_unlink(c, node);
        node_finish(node, NODE_CLOSED, wakeups);
    }
}

enum node_state push__mailbox_withdraw(struct push_node *node)
{
    struct push_wait *wait = node->wait;
    struct wakeups wakeups = {0};
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
            node_finish(node, NODE_WITHDRAWN, &wakeups);
            push__move_up_locked(c, &wakeups);
            push__leave_slow_locked(c);
        }
        lock_release(&c->lock);
        push__wakeups_send(&wakeups);
        push__client_unref(c);
    }
}
