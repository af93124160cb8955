#include "stripes.h"

#include "alloc.h"

#ifndef PUSH_STRIPES
#define PUSH_STRIPES 16
#endif
enum { STRIPES = PUSH_STRIPES, LINE = 64 };

struct stripe {
    struct lock lock;
    char padding[LINE - sizeof(struct lock) % LINE];
};

struct stripes {
    struct stripe *stripe; /* the first boundary of a cache line behind this */
};

static struct stripe *first_stripe(struct stripes *stripes)
{
    char *end = (char *)(stripes + 1);
    return (struct stripe *)(void *)(end + (LINE - (uintptr_t)end % LINE) % LINE);
}

static void destroy(struct stripes *stripes, int made)
{
    while (made-- > 0)
        push__lock_destroy(&stripes->stripe[made].lock);
    push__free(stripes);
}

struct stripes *push__stripes_new(enum lock_rank rank)
{
    struct stripes *stripes = push__malloc(sizeof(*stripes) + LINE + STRIPES * sizeof(struct stripe));
    if (!stripes)
        return NULL;
    stripes->stripe = first_stripe(stripes);
    for (int i = 0; i < STRIPES; i++) {
        if (push__lock_init(&stripes->stripe[i].lock, rank) < 0) {
            destroy(stripes, i);
            return NULL;
        }
    }
    return stripes;
}

void push__stripes_free(struct stripes *stripes)
{
    if (stripes)
        destroy(stripes, STRIPES);
}

struct lock *push__stripe_of(struct stripes *stripes, uint64_t hash)
{
    return &stripes->stripe[hash % STRIPES].lock;
}

void push__stripes_acquire_all(struct stripes *stripes)
{
    lock_acquire(&stripes->stripe[0].lock);
    for (int i = 1; i < STRIPES; i++)
        lock_acquire_more(&stripes->stripe[i].lock);
}

void push__stripes_release_all(struct stripes *stripes)
{
    for (int i = STRIPES - 1; i > 0; i--)
        lock_release_more(&stripes->stripe[i].lock);
    lock_release(&stripes->stripe[0].lock);
}
