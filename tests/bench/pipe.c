/*
 * A pipe for each receiver: write(2) of 16 bytes, which is atomic; reads take what is there. The kernel bounds a
 * pipe in pages: one page, 256 messages, is the smallest. Nothing is allocated or shared: each pipe has a copy.
 *
 * SPDX-License-Identifier: MIT
 */
#include "bench.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

enum { EVENTS = 256, BATCH = 256 };

struct inbox {
    int read_fd, write_fd;
    size_t head, len; /* what a read brought and nobody has pulled yet */
    struct payload read[BATCH];
};

struct group {
    size_t receivers;
    struct inbox inboxes[];
};

static struct group *open_group(size_t receivers, size_t capacity, size_t pushers)
{
    (void)pushers;
    struct group *g = must_alloc(1, sizeof *g + receivers * sizeof g->inboxes[0]);
    g->receivers = receivers;
    for (struct inbox *b = g->inboxes; b < g->inboxes + receivers; b++) {
        int fds[2];
        must(pipe2(fds, O_CLOEXEC) == 0, "pipe2");
        must(fcntl(fds[1], F_SETPIPE_SZ, (int)(capacity * sizeof(struct payload))) >= 0, "F_SETPIPE_SZ");
        b->read_fd = fds[0];
        b->write_fd = fds[1];
    }
    return g;
}

static void close_group(struct group *g)
{
    for (struct inbox *b = g->inboxes; b < g->inboxes + g->receivers; b++) {
        close(b->read_fd);
        close(b->write_fd);
    }
    free(g);
}

static void push(struct group *g, size_t pusher, const struct payload *p)
{
    (void)pusher;
    for (struct inbox *b = g->inboxes; b < g->inboxes + g->receivers; b++)
        must(write(b->write_fd, p, sizeof *p) == (ssize_t)sizeof *p, "write");
}

static void fill(struct inbox *b)
{
    ssize_t size = read(b->read_fd, b->read, sizeof b->read);
    must(size > 0 && (size_t)size % sizeof b->read[0] == 0, "read");
    b->head = 0;
    b->len = (size_t)size / sizeof b->read[0];
}

static void pull(struct group *g, size_t receiver, struct payload *p)
{
    struct inbox *b = &g->inboxes[receiver];
    if (b->head == b->len)
        fill(b);
    *p = b->read[b->head++];
}

static void drain(struct group *g, struct delivery *d)
{
    struct epoll_event events[EVENTS];
    int loop = epoll_create1(EPOLL_CLOEXEC);
    must(loop >= 0, "epoll_create1");
    for (size_t i = 0; i < g->receivers; i++) {
        struct epoll_event e = {.events = EPOLLIN, .data.u64 = i};
        must(epoll_ctl(loop, EPOLL_CTL_ADD, g->inboxes[i].read_fd, &e) == 0, "epoll_ctl");
    }
    while (d->open > 0) {
        int ready = epoll_wait(loop, events, EVENTS, -1);
        must(ready >= 0 || errno == EINTR, "epoll_wait");
        for (int i = 0; i < ready; i++) {
            size_t receiver = events[i].data.u64;
            struct inbox *b = &g->inboxes[receiver];
            fill(b);
            while (b->head < b->len)
                deliver(d, receiver, &b->read[b->head++]);
        }
    }
    close(loop);
}

const struct peer peers[] = {
    {.name = "pipe",
     .descriptors = 2,
     .open = open_group,
     .close = close_group,
     .push = push,
     .pull = pull,
     .drain = drain},
    {.name = NULL},
};
