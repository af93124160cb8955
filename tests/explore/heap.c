#include "heap.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "coroutine.h"
#include "schedule.h"

enum { FILL = 0xdd, LIVE = 0x11fe, FREED = 0xf4ee };

struct block {
    struct block *next; /* in the list of the freed */
    size_t size;
    size_t state;
    max_align_t data[];
};

static size_t blocks;
static struct block *freed;

void *heap_malloc(size_t size)
{
    struct block *block = malloc(sizeof(*block) + size);
    if (!block)
        return NULL;
    memset(block->data, FILL, size);
    block->size = size;
    block->state = LIVE;
    blocks++;
    return block->data;
}

static struct block *block_of(void *p)
{
    return (struct block *)(void *)((char *)p - offsetof(struct block, data));
}

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

#ifdef EXPLORE_SANITIZED
/* The sanitizer keeps and watches freed memory itself. */
void heap_free(void *p)
{
    blocks--;
    free(block_of(p));
}
#else
void heap_free(void *p)
{
    struct block *block = block_of(p);
    if (block->state != LIVE)
        schedule_fail("free of what is not allocated");
    memset(block->data, FILL, block->size);
    block->state = FREED;
    block->next = freed;
    freed = block;
    blocks--;
}
#endif

size_t heap_blocks(void)
{
    return blocks;
}

const char *heap_check(void)
{
    const char *fault = NULL;
    while (freed) {
        struct block *block = freed;
        freed = block->next;
        const unsigned char *data = (const unsigned char *)block->data;
        for (size_t i = 0; i < block->size; i++) {
            if (data[i] != FILL)
                fault = "memory was written after it was freed";
        }
        block->state = 0;
        free(block);
    }
    return fault;
}
