/*
 * libzmq, inproc: an XPUB socket for each pusher (sockets are not for several threads), a SUB socket for each
 * receiver, connected to all of them. XPUB rather than PUB, because only it can tell that all have subscribed;
 * ZMQ_XPUB_NODROP makes a full receiver block the pusher, as it would here. inproc adds up both marks: 64 + 64.
 * libzmq copies messages of 16 bytes into each pipe, and allocates nothing for them.
 *
 * SPDX-License-Identifier: MIT
 */
#include "bench.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <zmq.h>

struct group {
    size_t receivers, pushers;
    void **pub, **sub;
};

static void *context; /* one in a process, as the guide says */

static void set(void *socket, int option, int value)
{
    must(zmq_setsockopt(socket, option, &value, sizeof value) == 0, "zmq_setsockopt");
}

static struct group *open_group(size_t receivers, size_t capacity, size_t pushers)
{
    static unsigned groups;
    char address[64];
    if (context == NULL) {
        context = zmq_ctx_new();
        must(context != NULL, "zmq_ctx_new");
        must(zmq_ctx_set(context, ZMQ_MAX_SOCKETS, 60000) == 0, "ZMQ_MAX_SOCKETS");
    }
    struct group *g = must_alloc(1, sizeof *g);
    *g = (struct group){.receivers = receivers,
                        .pushers = pushers,
                        .pub = must_alloc(pushers, sizeof(void *)),
                        .sub = must_alloc(receivers, sizeof(void *))};
    int mark = (int)(capacity + 1) / 2;
    for (size_t i = 0; i < pushers; i++) {
        g->pub[i] = zmq_socket(context, ZMQ_XPUB);
        must(g->pub[i] != NULL, "zmq_socket");
        set(g->pub[i], ZMQ_SNDHWM, mark);
        set(g->pub[i], ZMQ_XPUB_NODROP, 1);
        set(g->pub[i], ZMQ_XPUB_VERBOSE, 1);
        set(g->pub[i], ZMQ_LINGER, 0);
        snprintf(address, sizeof address, "inproc://group-%u-%zu", groups, i);
        must(zmq_bind(g->pub[i], address) == 0, "zmq_bind");
    }
    for (size_t i = 0; i < receivers; i++) {
        g->sub[i] = zmq_socket(context, ZMQ_SUB);
        must(g->sub[i] != NULL, "zmq_socket");
        set(g->sub[i], ZMQ_RCVHWM, mark);
        must(zmq_setsockopt(g->sub[i], ZMQ_SUBSCRIBE, "", 0) == 0, "ZMQ_SUBSCRIBE");
        for (size_t j = 0; j < pushers; j++) {
            snprintf(address, sizeof address, "inproc://group-%u-%zu", groups, j);
            must(zmq_connect(g->sub[i], address) == 0, "zmq_connect");
        }
    }
    for (size_t i = 0; i < pushers; i++)
        for (size_t j = 0; j < receivers; j++) {
            char subscription[8];
            must(zmq_recv(g->pub[i], subscription, sizeof subscription, 0) == 1, "a subscription");
        }
    groups++;
    return g;
}

static void close_group(struct group *g)
{
    for (size_t i = 0; i < g->receivers; i++)
        zmq_close(g->sub[i]);
    for (size_t i = 0; i < g->pushers; i++)
        zmq_close(g->pub[i]);
    free(g->sub);
    free(g->pub);
    free(g);
}

static void push(struct group *g, size_t pusher, const struct payload *p)
{
    must(zmq_send(g->pub[pusher], p, sizeof *p, 0) == (int)sizeof *p, "zmq_send");
}

static void pull(struct group *g, size_t receiver, struct payload *p)
{
    must(zmq_recv(g->sub[receiver], p, sizeof *p, 0) == (int)sizeof *p, "zmq_recv");
}

static void drain(struct group *g, struct delivery *d)
{
    zmq_pollitem_t *items = must_alloc(g->receivers, sizeof *items);
    for (size_t i = 0; i < g->receivers; i++)
        items[i] = (zmq_pollitem_t){.socket = g->sub[i], .events = ZMQ_POLLIN};
    while (d->open > 0) {
        int ready = zmq_poll(items, (int)g->receivers, -1);
        must(ready >= 0, "zmq_poll");
        for (size_t i = 0; i < g->receivers && ready > 0; i++) {
            if (!(items[i].revents & ZMQ_POLLIN))
                continue;
            ready--;
            struct payload p;
            while (zmq_recv(g->sub[i], &p, sizeof p, ZMQ_DONTWAIT) == (int)sizeof p)
                deliver(d, i, &p);
            must(errno == EAGAIN, "zmq_recv");
        }
    }
    free(items);
}

const struct peer peers[] = {
    {.name = "zmq",
     .descriptors = 1,
     .open = open_group,
     .close = close_group,
     .push = push,
     .pull = pull,
     .drain = drain},
    {.name = NULL},
};
