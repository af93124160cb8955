#if !defined(_GNU_SOURCE)
#define _GNU_SOURCE /* sched_getcpu */
#endif
#include "stripes.h"

#include <sched.h>

#ifndef PUSH_STRIPES
#define PUSH_STRIPES 16
#endif
#ifndef PUSH_STRIPE_BY_CPU
#ifdef __linux__
#define PUSH_STRIPE_BY_CPU 1
#else
#define PUSH_STRIPE_BY_CPU 0
#endif
#endif
enum { GROUPS = 16, STRIPES = PUSH_STRIPES, LINE = 64 };

static struct stripe {
    _Alignas(LINE) struct lock lock;
} stripes[GROUPS][STRIPES];

static void destroy(int made)
{
    while (made-- > 0)
        push__lock_destroy(&stripes[made / STRIPES][made % STRIPES].lock);
}

int push__stripes_init(void)
{
    for (int i = 0; i < GROUPS * STRIPES; i++) {
        int rc = push__lock_init(&stripes[i / STRIPES][i % STRIPES].lock, RANK_LOOKUP);
        if (rc < 0) {
            destroy(i);
            return rc;
        }
    }
    return 0;
}

void push__stripes_destroy(void)
{
    destroy(GROUPS * STRIPES);
}

struct lock *push__stripe_of(uint32_t group, uint32_t stripe)
{
    return &stripes[group % GROUPS][stripe % STRIPES].lock;
}

struct lock *push__stripe_here(uint32_t group, uint32_t hash)
{
#if PUSH_STRIPE_BY_CPU
    (void)hash;
    return push__stripe_of(group, (uint32_t)sched_getcpu()); /* its error is a number like any other */
#else
    return push__stripe_of(group, hash);
#endif
}

void push__stripes_acquire_all(uint32_t group)
{
    lock_acquire(push__stripe_of(group, 0));
    for (uint32_t i = 1; i < STRIPES; i++)
        lock_acquire_more(push__stripe_of(group, i));
}

void push__stripes_release_all(uint32_t group)
{
    for (uint32_t i = STRIPES - 1; i > 0; i--)
        lock_release_more(push__stripe_of(group, i));
    lock_release(push__stripe_of(group, 0));
}
