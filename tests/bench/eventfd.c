/*
 * A queue under a mutex with an eventfd for each receiver, as programs with an event loop do it, in two ways:
 *
 *     eventfd       the plain one: each push writes to the eventfd; the loop reads it, and takes one message for
 *                   each push (EFD_SEMAPHORE).
 *     eventfd-edge  the careful one: only the push that finds the queue empty writes; the loop reads, and takes
 *                   everything in one go.
 *
 * SPDX-License-Identifier: MIT
 */
#include "bench.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum { EVENTS = 256 };

struct queue {
    pthread_mutex_t mutex;
    pthread_cond_t not_full;
    size_t head, len, capacity;
    struct message **slots;
    int fd;
};

struct group {
    size_t receivers;
    size_t capacity;
    bool edge;
    struct queue queues[];
};

static struct group *open_group(size_t receivers, size_t capacity, bool edge)
{
    struct group *g = must_alloc(1, sizeof *g + receivers * sizeof g->queues[0]);
    g->receivers = receivers;
    g->capacity = capacity;
    g->edge = edge;
    for (struct queue *q = g->queues; q < g->queues + receivers; q++) {
        must_zero(pthread_mutex_init(&q->mutex, NULL), "pthread_mutex_init");
        must_zero(pthread_cond_init(&q->not_full, NULL), "pthread_cond_init");
        q->capacity = capacity;
        q->slots = must_alloc(capacity, sizeof q->slots[0]);
        q->fd = eventfd(0, EFD_CLOEXEC | (edge ? 0 : EFD_SEMAPHORE));
        must(q->fd >= 0, "eventfd");
    }
    return g;
}

static struct group *open_plain(size_t receivers, size_t capacity, size_t pushers)
{
    (void)pushers;
    return open_group(receivers, capacity, false);
}

static struct group *open_edge(size_t receivers, size_t capacity, size_t pushers)
{
    (void)pushers;
    return open_group(receivers, capacity, true);
}

static void close_group(struct group *g)
{
    for (struct queue *q = g->queues; q < g->queues + g->receivers; q++) {
        pthread_mutex_destroy(&q->mutex);
        pthread_cond_destroy(&q->not_full);
        free(q->slots);
        close(q->fd);
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
        q->slots[(q->head + q->len) % q->capacity] = m;
        bool was_empty = q->len++ == 0;
        pthread_mutex_unlock(&q->mutex);
        if (was_empty || !g->edge)
            must(eventfd_write(q->fd, 1) == 0, "eventfd_write");
    }
}

/* Takes up to max messages, without waiting. */
static size_t take(struct queue *q, struct message **messages, size_t max)
{
    pthread_mutex_lock(&q->mutex);
    size_t count = q->len < max ? q->len : max;
    for (size_t i = 0; i < count; i++) {
        messages[i] = q->slots[q->head];
        q->head = (q->head + 1) % q->capacity;
    }
    if (q->len == q->capacity && count > 0)
        pthread_cond_broadcast(&q->not_full);
    q->len -= count;
    pthread_mutex_unlock(&q->mutex);
    return count;
}

static void pull(struct group *g, size_t receiver, struct payload *p)
{
    struct queue *q = &g->queues[receiver];
    struct message *m;
    eventfd_t value;
    if (!g->edge)
        must(eventfd_read(q->fd, &value) == 0, "eventfd_read");
    while (take(q, &m, 1) == 0)
        must(eventfd_read(q->fd, &value) == 0, "eventfd_read");
    message_take(m, p);
}

static void drain(struct group *g, struct delivery *d)
{
    struct epoll_event events[EVENTS];
    struct message **messages = must_alloc(g->capacity, sizeof *messages);
    int loop = epoll_create1(EPOLL_CLOEXEC);
    must(loop >= 0, "epoll_create1");
    for (size_t i = 0; i < g->receivers; i++) {
        struct epoll_event e = {.events = EPOLLIN, .data.u64 = i};
        must(epoll_ctl(loop, EPOLL_CTL_ADD, g->queues[i].fd, &e) == 0, "epoll_ctl");
    }
    while (d->open > 0) {
        int ready = epoll_wait(loop, events, EVENTS, -1);
        must(ready >= 0 || errno == EINTR, "epoll_wait");
        for (int i = 0; i < ready; i++) {
            size_t receiver = events[i].data.u64;
            eventfd_t value;
            must(eventfd_read(g->queues[receiver].fd, &value) == 0, "eventfd_read");
            size_t count = take(&g->queues[receiver], messages, g->edge ? g->capacity : 1);
            for (size_t j = 0; j < count; j++) {
                struct payload p;
                message_take(messages[j], &p);
                deliver(d, receiver, &p);
            }
        }
    }
    close(loop);
    free(messages);
}

const struct peer peers[] = {
    {.name = "eventfd",
     .descriptors = 1,
     .open = open_plain,
     .close = close_group,
     .push = push,
     .pull = pull,
     .drain = drain},
    {.name = "eventfd-edge",
     .descriptors = 1,
     .open = open_edge,
     .close = close_group,
     .push = push,
     .pull = pull,
     .drain = drain},
    {.name = NULL},
};
