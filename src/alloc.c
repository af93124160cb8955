#include "alloc.h"

#include <errno.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>

#include <push/push.h>

enum { FRESH, SETTING, USED };

/* FRESH -> SETTING -> FRESH while push_set_allocator writes the functions, FRESH -> USED at the first use, for
 * good. The acquire in settle pairs with the release at the end of push_set_allocator. */
static _Atomic int state = FRESH;

static void *(*malloc_fn)(size_t) = malloc;
static void *(*realloc_fn)(void *, size_t) = realloc;
static void (*free_fn)(void *) = free;

void push__alloc_settle(void)
{
    int seen = atomic_load_explicit(&state, memory_order_acquire);
    while (seen != USED) {
        seen = FRESH;
        if (atomic_compare_exchange_weak_explicit(&state, &seen, USED, memory_order_acquire, memory_order_acquire))
            return;
        if (seen == SETTING)
            sched_yield();
    }
}

void *push__malloc(size_t size)
{
    push__alloc_settle();
    return malloc_fn(size);
}

void *push__realloc(void *p, size_t size)
{
    push__alloc_settle();
    return realloc_fn(p, size);
}

void push__free(void *p)
{
    if (p)
        free_fn(p);
}

int push_set_allocator(void *(*new_malloc)(size_t), void *(*new_realloc)(void *, size_t), void (*new_free)(void *))
{
    if (!new_malloc || !new_realloc || !new_free)
        return -EINVAL;
    int seen = FRESH;
    if (!atomic_compare_exchange_strong_explicit(&state, &seen, SETTING, memory_order_acquire,
                                                 memory_order_relaxed))
        return -EBUSY;
    malloc_fn = new_malloc;
    realloc_fn = new_realloc;
    free_fn = new_free;
    atomic_store_explicit(&state, FRESH, memory_order_release);
    return 0;
}
