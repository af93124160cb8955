/*
 * GLib: a GAsyncQueue for each receiver, and reference-counted boxes. The queue has no bound: the pusher never
 * waits, and nothing limits the memory.
 *
 * SPDX-License-Identifier: MIT
 */
#include "bench.h"

#include <glib.h>
#include <stdlib.h>

struct group {
    size_t receivers;
    GAsyncQueue *queues[];
};

static struct group *open_group(size_t receivers, size_t capacity, size_t pushers)
{
    (void)capacity;
    (void)pushers;
    struct group *g = must_alloc(1, sizeof *g + receivers * sizeof g->queues[0]);
    g->receivers = receivers;
    for (size_t i = 0; i < receivers; i++)
        g->queues[i] = g_async_queue_new_full(g_atomic_rc_box_release);
    return g;
}

static void close_group(struct group *g)
{
    for (size_t i = 0; i < g->receivers; i++)
        g_async_queue_unref(g->queues[i]);
    free(g);
}

static void push(struct group *g, size_t pusher, const struct payload *p)
{
    (void)pusher;
    struct payload *m = g_atomic_rc_box_new(struct payload);
    *m = *p;
    for (size_t i = 0; i < g->receivers; i++)
        g_async_queue_push(g->queues[i], g_atomic_rc_box_acquire(m));
    g_atomic_rc_box_release(m);
}

static void pull(struct group *g, size_t receiver, struct payload *p)
{
    struct payload *m = g_async_queue_pop(g->queues[receiver]);
    *p = *m;
    g_atomic_rc_box_release(m);
}

/* There is no waiting for several queues: one sweep after the other, yielding after one that found nothing. */
static void drain(struct group *g, struct delivery *d)
{
    while (d->open > 0) {
        bool found = false;
        for (size_t i = 0; i < g->receivers; i++) {
            struct payload *m;
            while ((m = g_async_queue_try_pop(g->queues[i])) != NULL) {
                found = true;
                deliver(d, i, m);
                g_atomic_rc_box_release(m);
            }
        }
        if (!found)
            g_thread_yield();
    }
}

const struct peer peers[] = {
    {.name = "glib", .open = open_group, .close = close_group, .push = push, .pull = pull, .drain = drain},
    {.name = NULL},
};
