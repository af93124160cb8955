/*
 * How many messages this node has published to each session: the numbers that let receivers drop what they have had
 * and count what they missed. A session that nothing was pushed to for COUNTS_IDLE_MS to twice that is forgotten;
 * its next message begins a new run, of which receivers know nothing yet. No locks: the outbox's guards it.
 */
#ifndef PUSH_SRC_NATS_COUNTS_H
#define PUSH_SRC_NATS_COUNTS_H

#include <stdint.h>

#include "wire.h"

#define COUNTS_IDLE_MS (15 * 60 * 1000)

/* Two generations of balanced trees (tsearch(3), which hostile ids cannot degrade) by subject. */
struct counts {
    void *young, *old;
    uint64_t publisher;
    uint64_t runs; /* begun so far */
    int64_t turn;  /* when the old generation goes */
};

void push__nats_counts_init(struct counts *counts, uint64_t publisher);

/* The origin of the next message to that subject. Returns 0 or -ENOMEM. */
int push__nats_counts_next(struct counts *counts, const char *subject, struct origin *origin);

/* Where it is time: makes the young generation the old one, and returns the old one, for push__nats_counts_free
 * outside of the lock; else NULL. */
void *push__nats_counts_turn(struct counts *counts, int64_t now);
void push__nats_counts_free(void *generation);

#endif
