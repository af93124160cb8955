/*
 * Bare mechanisms, to tell how close to them a measured figure is:
 *
 *     spin   a single-producer single-consumer ring for each receiver, with no lock and no sleeping: a wait spins,
 *            and yields; one thread for all sweeps over the rings. The transfer of a cache line, malloc here and
 *            free there, nothing else.
 *     futex  one word for each receiver: the kernel's wait and wake, with room for one message.
 *
 * SPDX-License-Identifier: MIT
 */
#include "bench.h"

#include <linux/futex.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { LINE = 64, SPINS_ALONE = 2000, SPINS = 10 }; /* alone: both threads have a core for themselves */

struct box {
    _Alignas(LINE) atomic_size_t tail; /* spin: written by the pusher */
    _Alignas(LINE) atomic_size_t head; /* spin: written by the receiver */
    _Alignas(LINE) atomic_uint full;   /* futex: 1 while there is a message */
    struct payload payload;
    size_t capacity;
    struct message **slots;
};

struct group {
    size_t receivers;
    unsigned spins;
    struct box boxes[];
};

static struct group *open_group(size_t receivers, size_t capacity, size_t pushers)
{
    if (pushers > 1)
        die("one pusher only");
    struct group *g = aligned_alloc(LINE, sizeof *g + receivers * sizeof g->boxes[0]);
    must(g != NULL, "aligned_alloc");
    g->receivers = receivers;
    g->spins = receivers == 1 ? SPINS_ALONE : SPINS;
    for (size_t i = 0; i < receivers; i++)
        g->boxes[i] = (struct box){.capacity = capacity, .slots = must_alloc(capacity, sizeof(struct message *))};
    return g;
}

static void close_group(struct group *g)
{
    for (size_t i = 0; i < g->receivers; i++)
        free(g->boxes[i].slots);
    free(g);
}

/* Waits until *word is no longer `value`; returns what it is then. */
static size_t spin_while(struct group *g, atomic_size_t *word, size_t value)
{
    size_t now;
    for (unsigned spins = 0; (now = atomic_load_explicit(word, memory_order_acquire)) == value; spins++)
        if (spins >= g->spins)
            sched_yield();
    return now;
}

static void spin_push(struct group *g, size_t pusher, const struct payload *p)
{
    (void)pusher;
    struct message *m = message_new(p, g->receivers);
    for (struct box *b = g->boxes; b < g->boxes + g->receivers; b++) {
        size_t tail = atomic_load_explicit(&b->tail, memory_order_relaxed);
        spin_while(g, &b->head, tail - b->capacity);
        b->slots[tail % b->capacity] = m;
        atomic_store_explicit(&b->tail, tail + 1, memory_order_release);
    }
}

static void spin_pull(struct group *g, size_t receiver, struct payload *p)
{
    struct box *b = &g->boxes[receiver];
    size_t head = atomic_load_explicit(&b->head, memory_order_relaxed);
    spin_while(g, &b->tail, head);
    struct message *m = b->slots[head % b->capacity];
    atomic_store_explicit(&b->head, head + 1, memory_order_release);
    message_take(m, p);
}

/* Sweeps over all rings, and takes all there is in each. */
static void spin_drain(struct group *g, struct delivery *d)
{
    while (d->open > 0) {
        size_t taken = 0;
        for (size_t i = 0; i < g->receivers; i++) {
            struct box *b = &g->boxes[i];
            size_t head = atomic_load_explicit(&b->head, memory_order_relaxed);
            size_t tail = atomic_load_explicit(&b->tail, memory_order_acquire);
            for (; head != tail; head++, taken++) {
                struct payload p;
                message_take(b->slots[head % b->capacity], &p);
                deliver(d, i, &p);
            }
            atomic_store_explicit(&b->head, head, memory_order_release);
        }
        if (taken == 0)
            sched_yield();
    }
}

static void futex_push(struct group *g, size_t pusher, const struct payload *p)
{
    (void)pusher;
    for (struct box *b = g->boxes; b < g->boxes + g->receivers; b++) {
        while (atomic_load(&b->full) != 0)
            sched_yield();
        b->payload = *p;
        atomic_store(&b->full, 1);
        syscall(SYS_futex, &b->full, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
    }
}

static void futex_pull(struct group *g, size_t receiver, struct payload *p)
{
    struct box *b = &g->boxes[receiver];
    while (atomic_load(&b->full) == 0)
        syscall(SYS_futex, &b->full, FUTEX_WAIT_PRIVATE, 0, NULL, NULL, 0);
    *p = b->payload;
    atomic_store(&b->full, 0);
}

const struct peer peers[] = {
    {.name = "spin",
     .open = open_group,
     .close = close_group,
     .push = spin_push,
     .pull = spin_pull,
     .drain = spin_drain},
    {.name = "futex", .open = open_group, .close = close_group, .push = futex_push, .pull = futex_pull},
    {.name = NULL},
};
