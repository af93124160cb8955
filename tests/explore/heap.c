#include "heap.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "coroutine.h"
#include "schedule.h"

enum { FILL = 0xdd, LIVE = 0x11fe, FREED = 0xf4ee };

struct block {
    size_t size;
    size_t state;
    max_align_t data[];
};

static size_t blocks;

static struct block *block_of(void *p)
{
    return (struct block *)(void *)((char *)p - offsetof(struct block, data));
}

static void *block_init(struct block *block, size_t size)
{
    memset(block->data, FILL, size);
    block->size = size;
    block->state = LIVE;
    blocks++;
    return block->data;
}

#ifdef EXPLORE_SANITIZED
/* The sanitizer keeps and watches freed memory itself. */
void *heap_malloc(size_t size)
{
    struct block *block = malloc(sizeof(*block) + size);
    return block ? block_init(block, size) : NULL;
}

void heap_free(void *p)
{
    blocks--;
    free(block_of(p));
}

const char *heap_check(void)
{
    return NULL;
}

void heap_digest(struct digest *digest)
{
    (void)digest;
}
#else
/* Each thread takes memory from a place of its own, one block behind the other, so that where its blocks lie does
 * not depend on what the others did meanwhile: else hardly a state would ever be met twice. Nothing is used again
 * within an execution. */
enum { ARENA_SIZE = 1 << 20 };
static struct arena {
    unsigned char *bytes;
    size_t used;
} arenas[1 + MAX_THREADS];

static size_t block_size(size_t size)
{
    size_t whole = sizeof(struct block) + size;
    return (whole + sizeof(max_align_t) - 1) / sizeof(max_align_t) * sizeof(max_align_t);
}

void *heap_malloc(size_t size)
{
    struct arena *arena = &arenas[self->number];
    if (!arena->bytes && !(arena->bytes = malloc(ARENA_SIZE)))
        return NULL;
    if (size > ARENA_SIZE || block_size(size) > ARENA_SIZE - arena->used)
        return NULL;
    struct block *block = (struct block *)(void *)(arena->bytes + arena->used);
    arena->used += block_size(size);
    memset(arena->bytes + arena->used - sizeof(max_align_t), FILL, sizeof(max_align_t)); /* what rounding up adds */
    return block_init(block, size);
}

void heap_free(void *p)
{
    struct block *block = block_of(p);
    if (block->state != LIVE)
        schedule_fail("free of what is not allocated");
    memset(block->data, FILL, block->size);
    block->state = FREED;
    blocks--;
}

const char *heap_check(void)
{
    const char *fault = NULL;
    for (struct arena *arena = arenas; arena <= &arenas[MAX_THREADS]; arena++) {
        for (size_t at = 0; at < arena->used;) {
            struct block *block = (struct block *)(void *)(arena->bytes + at);
            const unsigned char *data = (const unsigned char *)block->data;
            for (size_t i = 0; i < block->size && !fault; i++) {
                if (data[i] != FILL)
                    fault = "memory was written after it was freed";
            }
            at += block_size(block->size);
            block->state = 0;
        }
        arena->used = 0;
    }
    return fault;
}

void heap_digest(struct digest *digest)
{
    for (const struct arena *arena = arenas; arena <= &arenas[MAX_THREADS]; arena++) {
        digest_word(digest, arena->used);
        digest_add(digest, arena->bytes, arena->used);
    }
}
#endif

void *heap_realloc(void *p, size_t size)
{
    void *copy = heap_malloc(size);
    if (copy && p) {
        size_t old = block_of(p)->size;
        memcpy(copy, p, old < size ? old : size);
        heap_free(p);
    }
    return copy;
}

size_t heap_blocks(void)
{
    return blocks;
}
