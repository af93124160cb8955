#include "ring.h"

#include <string.h>

#include "alloc.h"

static size_t slot_size(bool record_gaps)
{
    return sizeof(push_msg *) + (record_gaps ? sizeof(size_t) : 0);
}

struct ring *push__ring_new(size_t cap, bool record_gaps)
{
    size_t fixed = offsetof(struct ring, slots) + CACHE_LINE;
    if (cap > (SIZE_MAX / 2 - fixed) / slot_size(record_gaps))
        return NULL;
    void *block = push__malloc(fixed + cap * slot_size(record_gaps));
    if (!block)
        return NULL;
    struct ring *ring = (struct ring *)(((uintptr_t)block + CACHE_LINE - 1) / CACHE_LINE * CACHE_LINE);
    memset(ring, 0, offsetof(struct ring, slots));
    atomic_init(&ring->head, 0);
    ring->block = block;
    ring->cap = ring->take_cap = cap;
    ring->gaps = record_gaps ? (size_t *)(void *)(ring->slots + cap) : NULL;
    return ring;
}

void push__ring_continue(struct ring *ring, const struct ring *old, uint64_t tail)
{
    uint64_t head = atomic_load_explicit(&old->head, memory_order_relaxed);
    size_t len = (size_t)(tail - head);
    for (size_t i = 0, from = old->take_at; i < len; i++) {
        ring->slots[i] = old->slots[from];
        if (ring->gaps)
            ring->gaps[i] = old->gaps[from];
        from = from + 1 == old->cap ? 0 : from + 1;
    }
    ring->put_at = len == ring->cap ? 0 : len;
    ring->head_seen = head;
    ring->most = old->most;
    ring->bytes_in = old->bytes_in;
    ring->gap = old->gap;
    atomic_store_explicit(&ring->head, head, memory_order_relaxed);
    ring->tail_seen = tail;
    ring->bytes_out = old->bytes_out;
    ring->pulled = old->pulled;
    ring->front_gap = old->front_gap;
    ring->slow = old->slow;
    ring->dropped = old->dropped;
}

void push__ring_free(struct ring *ring)
{
    if (ring)
        push__free(ring->block);
}

bool push__ring_check(const struct ring *ring, uint64_t tail)
{
    uint64_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);
    uint64_t len = tail - head;
    if (ring->cap == 0 || ring->cap != ring->take_cap || len > ring->cap || ring->put_at >= ring->cap)
        return false;
    if (ring->head_seen > head || ring->tail_seen > tail)
        return false;
    uint64_t bytes = 0;
    size_t at = ring->take_at;
    for (uint64_t i = 0; i < len; i++) {
        bytes += ring->slots[at]->u.size;
        at = at + 1 == ring->cap ? 0 : at + 1;
    }
    return at == ring->put_at && bytes <= ring_bytes(ring);
}
