/*
 * What a session has had from each publisher, on the receiving side: tells duplicates, and how many messages are
 * missing before one that came. No locks.
 */
#ifndef PUSH_SRC_NATS_PEERS_H
#define PUSH_SRC_NATS_PEERS_H

#include <stdbool.h>
#include <stdint.h>

#include "wire.h"

#define PEERS_MAX 64 /* publishers remembered a session; the one remembered longest makes room */

struct peers {
    struct origin *last; /* the last message of each */
    uint16_t count, capacity, oldest;
};

/* Notes a message. Returns false where it, or a later one of its publisher, was had before. *missing is how many of
 * its publisher's messages are missing before it. A publisher that is new here has `missing` none where
 * may_have_missed is false; else, all that it counted before. Out of memory: the message is taken for one without
 * origin, true and 0. */
bool push__nats_peers_accept(struct peers *peers, const struct origin *origin, bool may_have_missed,
                             uint64_t *missing);

/* Whether may_have_missed makes a difference for that message. */
bool push__nats_peers_unsure(const struct peers *peers, const struct origin *origin);

void push__nats_peers_free(struct peers *peers);

#endif
