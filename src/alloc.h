/* Memory of the library: the C library's, or what push_set_allocator gave. Any thread. L0. */
#ifndef PUSH_SRC_ALLOC_H
#define PUSH_SRC_ALLOC_H

#include <stddef.h>

/* Each marks the library as used, so that the allocator cannot change under memory that is out. */
void *push__malloc(size_t size);
void *push__realloc(void *p, size_t size);
void push__free(void *p);

/* Marks the library as used where nothing is allocated yet. */
void push__alloc_settle(void);

#endif
