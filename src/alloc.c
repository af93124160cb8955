#include "alloc.h"

#include <errno.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>

#include <push/push.h>

enum { FRESH, SETTING, USED };

/* FRESH -> SETTING -> FRESH while push_set_allocator writes the functions, FRESH -> USED at the first use, for
 * good. The acquire in settle pairs with the release at the end of push_set_allocator. */
static _Atomic int allocator_state = FRESH;

static void *(*allocator_malloc)(size_t) = malloc;
static void *(*allocator_realloc)(void *, size_t) = realloc;
static void (*allocator_free)(void *) = free;

void push__alloc_settle(void)
{
    int seen = atomic_load_explicit(&allocator_state, memory_order_acquire);
    while (seen != USED) {
        seen = FRESH;
        if (atomic_compare_exchange_weak_explicit(&allocator_state, &seen, USED, memory_order_acquire,
                                                  memory_order_acquire))
            return;
        if (seen == SETTING)
            sched_yield();
    }
}

void *push__malloc(size_t size)
{
    push__alloc_settle();
    return allocator_malloc(size);
}

void *push__realloc(void *p, size_t size)
{
    push__alloc_settle();
    return allocator_realloc(p, size);
}

void push__free(void *p)
{
    if (p)
        allocator_free(p);
}

int push_set_allocator(void *(*new_malloc)(size_t), void *(*new_realloc)(void *, size_t), void (*new_free)(void *))
{
    if (!new_malloc || !new_realloc || !new_free)
        return -EINVAL;
    int seen = FRESH;
    if (!atomic_compare_exchange_strong_explicit(&allocator_state, &seen, SETTING, memory_order_acquire,
                                                 memory_order_relaxed))
        return -EBUSY;
    allocator_malloc = new_malloc;
    allocator_realloc = new_realloc;
    allocator_free = new_free;
    atomic_store_explicit(&allocator_state, FRESH, memory_order_release);
    return 0;
}
