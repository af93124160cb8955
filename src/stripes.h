/*
 * A lock in stripes, for what many threads look at all the time and somebody changes seldom: who looks takes the
 * one stripe that his hash names, who changes takes them all. So threads that look for different things do not pass
 * one cache line around. L0.
 */
#ifndef PUSH_SRC_STRIPES_H
#define PUSH_SRC_STRIPES_H

#include <stdint.h>

#include "sync.h"

struct stripes;

/* NULL: out of memory, or what making the locks said. */
struct stripes *push__stripes_new(enum lock_rank rank);
void push__stripes_free(struct stripes *stripes);

struct lock *push__stripe_of(struct stripes *stripes, uint64_t hash);

void push__stripes_acquire_all(struct stripes *stripes);
void push__stripes_release_all(struct stripes *stripes);

#endif
