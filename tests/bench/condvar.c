/*
 * The textbook bounded queue: a mutex, two condition variables and a ring of pointers for each receiver.
 *
 * SPDX-License-Identifier: MIT
 */
#include "bench.h"

#include <pthread.h>
#include <stdlib.h>

struct queue {
    pthread_mutex_t mutex;
    pthread_cond_t not_empty, not_full;
    size_t head, len, capacity;
    struct message **slots;
};

struct group {
    size_t receivers;
    struct queue queues[];
};

static struct group *open_group(size_t receivers, size_t capacity, size_t pushers)
{
    (void)pushers;
    struct group *g = must_alloc(1, sizeof *g + receivers * sizeof g->queues[0]);
    g->receivers = receivers;
    for (struct queue *q = g->queues; q < g->queues + receivers; q++) {
        must_zero(pthread_mutex_init(&q->mutex, NULL), "pthread_mutex_init");
        must_zero(pthread_cond_init(&q->not_empty, NULL), "pthread_cond_init");
        must_zero(pthread_cond_init(&q->not_full, NULL), "pthread_cond_init");
        q->capacity = capacity;
        q->slots = must_alloc(capacity, sizeof q->slots[0]);
    }
    return g;
}

static void close_group(struct group *g)
{
    for (struct queue *q = g->queues; q < g->queues + g->receivers; q++) {
        pthread_mutex_destroy(&q->mutex);
        pthread_cond_destroy(&q->not_empty);
        pthread_cond_destroy(&q->not_full);
        free(q->slots);
    }
    free(g);
}

static void push(struct group *g, size_t pusher, const struct payload *p)
{
    (void)pusher;
    struct message *m = message_new(p, g->receivers);
    for (struct queue *q = g->queues; q < g->queues + g->receivers; q++) {
        pthread_mutex_lock(&q->mutex);
        while (q->len == q->capacity)
            pthread_cond_wait(&q->not_full, &q->mutex);
        q->slots[(q->head + q->len++) % q->capacity] = m;
        pthread_cond_signal(&q->not_empty);
        pthread_mutex_unlock(&q->mutex);
    }
}

static void pull(struct group *g, size_t receiver, struct payload *p)
{
    struct queue *q = &g->queues[receiver];
    pthread_mutex_lock(&q->mutex);
    while (q->len == 0)
        pthread_cond_wait(&q->not_empty, &q->mutex);
    struct message *m = q->slots[q->head];
    q->head = (q->head + 1) % q->capacity;
    q->len--;
    pthread_cond_signal(&q->not_full);
    pthread_mutex_unlock(&q->mutex);
    message_take(m, p);
}

const struct peer peers[] = {
    {.name = "condvar", .open = open_group, .close = close_group, .push = push, .pull = pull},
    {.name = NULL},
};
