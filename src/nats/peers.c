#include "peers.h"

#include <stdlib.h>

static struct origin *find(const struct peers *peers, uint64_t publisher)
{
    for (uint16_t i = 0; i < peers->count; i++)
        if (peers->last[i].publisher == publisher)
            return &peers->last[i];
    return NULL;
}

/* A place for one more publisher, or NULL. */
static struct origin *add(struct peers *peers)
{
    if (peers->count == PEERS_MAX) {
        struct origin *place = &peers->last[peers->oldest];
        peers->oldest = (uint16_t)((peers->oldest + 1) % PEERS_MAX);
        return place;
    }
    if (peers->count == peers->capacity) {
        uint16_t capacity = peers->capacity == 0 ? 1 : (uint16_t)(2 * peers->capacity);
        struct origin *last = realloc(peers->last, capacity * sizeof *last);
        if (!last)
            return NULL;
        peers->last = last;
        peers->capacity = capacity;
    }
    return &peers->last[peers->count++];
}

bool push__nats_peers_accept(struct peers *peers, const struct origin *origin, bool may_have_missed,
                             uint64_t *missing)
{
    *missing = 0;
    if (origin->publisher == 0)
        return true;
    struct origin *last = find(peers, origin->publisher);
    if (last && last->run == origin->run) {
        if (origin->count <= last->count)
            return false;
        *missing = origin->count - last->count - 1;
    } else if (last && origin->run < last->run) {
        return false; /* a run that ended */
    } else {
        if (last || may_have_missed)
            *missing = origin->count - 1; /* a new run of somebody known began while we listened */
        if (!last)
            last = add(peers);
    }
    if (last)
        *last = *origin;
    return true;
}

bool push__nats_peers_unsure(const struct peers *peers, const struct origin *origin)
{
    return origin->publisher != 0 && origin->count > 1 && !find(peers, origin->publisher);
}

void push__nats_peers_free(struct peers *peers)
{
    free(peers->last);
    *peers = (struct peers){0};
}
