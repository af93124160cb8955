/* The allocator of the explored library: counts, and keeps freed memory until the execution is over, filled with a
 * pattern, so that its use after the free is noticed. */
#ifndef EXPLORE_HEAP_H
#define EXPLORE_HEAP_H

#include <stddef.h>

#include "state.h"

void *heap_malloc(size_t size);
void *heap_realloc(void *p, size_t size);
void heap_free(void *p);

/* Blocks that are out. */
size_t heap_blocks(void);

/* Looks through what was freed, and lets it go: NULL, or the fault found. */
const char *heap_check(void);

/* Adds all memory, the freed as well. Not where a sanitizer has the memory. */
void heap_digest(struct digest *digest);

#endif
