/*
 * nng, inproc, in its two ways to reach N receivers:
 *
 *     nng-pub   one pub0 socket, a sub0 socket for each receiver. pub0 never waits: it drops what a slow receiver
 *               has no room for. The harness counts what arrived, and says how much was lost.
 *     nng-pair  a pair0 socket at both ends for each receiver, a copy of the message to each: waits, loses nothing.
 *
 * The room of 128 messages is divided between the sending and the receiving socket.
 *
 * SPDX-License-Identifier: MIT
 */
#include "bench.h"

#include <errno.h>
#include <nng/nng.h>
#include <nng/protocol/pair0/pair.h>
#include <nng/protocol/pubsub0/pub.h>
#include <nng/protocol/pubsub0/sub.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

enum { EVENTS = 256, PATIENCE_MS = 10000 };

struct group {
    size_t receivers, senders; /* one sender for all with pub0, one for each with pair0 */
    nng_socket *send, *receive;
    atomic_size_t connected;
};

static void check(int rc, const char *what)
{
    if (rc != 0)
        die("%s: %s", what, nng_strerror(rc));
}

static void connected(nng_pipe pipe, nng_pipe_ev event, void *arg)
{
    (void)pipe;
    (void)event;
    struct group *g = arg;
    atomic_fetch_add(&g->connected, 1);
}

static struct group *open_group(size_t receivers, size_t senders, size_t capacity, int (*open_send)(nng_socket *),
                                int (*open_receive)(nng_socket *))
{
    static unsigned groups;
    char address[64];
    struct group *g = must_alloc(1, sizeof *g);
    g->receivers = receivers;
    g->senders = senders;
    g->send = must_alloc(senders, sizeof(nng_socket));
    g->receive = must_alloc(receivers, sizeof(nng_socket));
    int half = (int)(capacity + 1) / 2;
    for (size_t i = 0; i < senders; i++) {
        snprintf(address, sizeof address, "inproc://group-%u-%zu", groups, i);
        check(open_send(&g->send[i]), "open");
        check(nng_socket_set_int(g->send[i], NNG_OPT_SENDBUF, half), NNG_OPT_SENDBUF);
        check(nng_pipe_notify(g->send[i], NNG_PIPE_EV_ADD_POST, connected, g), "nng_pipe_notify");
        check(nng_listen(g->send[i], address, NULL, 0), "nng_listen");
    }
    for (size_t i = 0; i < receivers; i++) {
        snprintf(address, sizeof address, "inproc://group-%u-%zu", groups, senders == 1 ? 0 : i);
        check(open_receive(&g->receive[i]), "open");
        check(nng_socket_set_int(g->receive[i], NNG_OPT_RECVBUF, half), NNG_OPT_RECVBUF);
        check(nng_dial(g->receive[i], address, NULL, 0), "nng_dial");
    }
    for (int ms = 0; atomic_load(&g->connected) < receivers; ms++) {
        if (ms == PATIENCE_MS)
            die("%zu of %zu receivers connected", atomic_load(&g->connected), receivers);
        sleep_until(now_ns() + 1000000);
    }
    groups++;
    return g;
}

static struct group *open_pub(size_t receivers, size_t capacity, size_t pushers)
{
    (void)pushers;
    struct group *g = open_group(receivers, 1, capacity, nng_pub0_open, nng_sub0_open);
    for (size_t i = 0; i < receivers; i++)
        check(nng_socket_set(g->receive[i], NNG_OPT_SUB_SUBSCRIBE, "", 0), NNG_OPT_SUB_SUBSCRIBE);
    return g;
}

static struct group *open_pair(size_t receivers, size_t capacity, size_t pushers)
{
    (void)pushers;
    return open_group(receivers, receivers, capacity, nng_pair0_open, nng_pair0_open);
}

static void close_group(struct group *g)
{
    for (size_t i = 0; i < g->receivers; i++)
        nng_close(g->receive[i]);
    for (size_t i = 0; i < g->senders; i++)
        nng_close(g->send[i]);
    free(g->receive);
    free(g->send);
    free(g);
}

static void push(struct group *g, size_t pusher, const struct payload *p)
{
    (void)pusher;
    struct payload copy = *p;
    for (size_t i = 0; i < g->senders; i++)
        check(nng_send(g->send[i], &copy, sizeof copy, 0), "nng_send");
}

static int pull_flags(struct group *g, size_t receiver, struct payload *p, int flags)
{
    size_t size = sizeof *p;
    int rc = nng_recv(g->receive[receiver], p, &size, flags);
    if (rc == 0 && size != sizeof *p)
        die("a message of %zu bytes", size);
    return rc;
}

static void pull(struct group *g, size_t receiver, struct payload *p)
{
    check(pull_flags(g, receiver, p, 0), "nng_recv");
}

static void drain(struct group *g, struct delivery *d)
{
    struct epoll_event events[EVENTS];
    int loop = epoll_create1(EPOLL_CLOEXEC);
    must(loop >= 0, "epoll_create1");
    for (size_t i = 0; i < g->receivers; i++) {
        struct epoll_event e = {.events = EPOLLIN, .data.u64 = i};
        int fd;
        check(nng_socket_get_int(g->receive[i], NNG_OPT_RECVFD, &fd), NNG_OPT_RECVFD);
        must(epoll_ctl(loop, EPOLL_CTL_ADD, fd, &e) == 0, "epoll_ctl");
    }
    while (d->open > 0) {
        int ready = epoll_wait(loop, events, EVENTS, -1);
        must(ready >= 0 || errno == EINTR, "epoll_wait");
        for (int i = 0; i < ready; i++) {
            size_t receiver = events[i].data.u64;
            struct payload p;
            int rc;
            while ((rc = pull_flags(g, receiver, &p, NNG_FLAG_NONBLOCK)) == 0)
                deliver(d, receiver, &p);
            if (rc != NNG_EAGAIN)
                check(rc, "nng_recv");
        }
    }
    close(loop);
}

const struct peer peers[] = {
    {.name = "nng-pub",
     .lossy = true,
     .descriptors = 2,
     .open = open_pub,
     .close = close_group,
     .push = push,
     .pull = pull,
     .drain = drain},
    {.name = "nng-pair",
     .descriptors = 3,
     .open = open_pair,
     .close = close_group,
     .push = push,
     .pull = pull,
     .drain = drain},
    {.name = NULL},
};
