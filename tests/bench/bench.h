/*
 * What a benchmark driver in C is made of: the harness (bench.c) runs the workloads and checks what arrives; a
 * peer (one file each) says how its own users would send a message to N receivers, and receive it.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef BENCH_H
#define BENCH_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { BENCH_PUSHERS = 8 };

/* The 16 bytes of a message. */
struct payload {
    uint64_t seq;
    uint64_t tag; /* which pusher; in round trips, when it was sent */
};

/* What one receiver has seen. */
struct receiver {
    uint64_t next[BENCH_PUSHERS];
    uint64_t received;
};

/* What one thread that serves all receivers has seen. */
struct delivery {
    struct receiver *receivers;
    size_t open;   /* receivers that still miss messages */
    uint64_t want; /* messages for each receiver */
    bool lossy;
};

#define BENCH_END UINT64_MAX /* the seq that ends a stream of a lossy peer */

/* A group is one pusher's side and the mailboxes of its N receivers. */
struct group;

struct peer {
    const char *name;
    bool lossy;         /* may lose messages by design: the harness counts what is lost instead of failing */
    size_t descriptors; /* that it takes for each receiver */
    struct group *(*open)(size_t receivers, size_t capacity, size_t pushers);
    void (*close)(struct group *g);
    /* Hands one message to all receivers, and waits while one is full. */
    void (*push)(struct group *g, size_t pusher, const struct payload *p);
    /* Waits for the next message of one receiver. */
    void (*pull)(struct group *g, size_t receiver, struct payload *p);
    /* Receives everything for all receivers on the calling thread, until deliver() returns false.
     * NULL where the peer has no way to wait for several. */
    void (*drain)(struct group *g, struct delivery *d);
    /* Workloads that only this peer has; false for those it has not. May be NULL. */
    bool (*run)(const struct peer *peer, const char *workload, size_t n, uint64_t count);
};

extern const struct peer peers[]; /* the last one has no name */

/* Records a message; true when the receiver has all it wants. Ends the program where a message is missing,
 * doubled, torn or out of order. */
bool receive(struct receiver *r, uint64_t want, bool lossy, const struct payload *p);

/* The same for a thread that serves all; false when nobody misses anything any more. */
static inline bool deliver(struct delivery *d, size_t receiver, const struct payload *p)
{
    if (receive(&d->receivers[receiver], d->want, d->lossy, p))
        d->open--;
    return d->open > 0;
}

/* A message as a plain C program shares it: allocated once, counted references. */
struct message {
    atomic_size_t refs;
    struct payload payload;
};

struct message *message_new(const struct payload *p, size_t refs);
void message_take(struct message *m, struct payload *p); /* copies the payload out, and lets the reference go */

_Noreturn void die(const char *format, ...) __attribute__((format(printf, 1, 2)));
void must(bool ok, const char *what);        /* ends the program with errno's text */
void must_zero(int rc, const char *what);    /* the same for pthread functions */
void *must_alloc(size_t count, size_t size); /* zeroed */
uint64_t now_ns(void);
void sleep_until(uint64_t ns);
double heap_bytes(void); /* allocated by malloc, in the whole process */
double median(uint64_t *values, size_t count);
/* One line of output: workload peer n value unit. */
void result(const char *workload, const char *peer, size_t n, double value, const char *unit);

#endif
