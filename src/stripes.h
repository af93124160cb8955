/*
 * Locks for what many threads look at all the time and somebody changes seldom: who looks takes the one stripe of
 * the processor that he runs on, who changes takes all of the group. So threads that look at the same time do not
 * pass one cache line around (a "big-reader lock"). The locks are the process's; sessions share groups by chance.
 * L0.
 */
#ifndef PUSH_SRC_STRIPES_H
#define PUSH_SRC_STRIPES_H

#include <stdint.h>

#include "sync.h"

/* Makes the locks. Returns 0 or a negative errno value. */
int push__stripes_init(void);
void push__stripes_destroy(void);

/* Groups and stripes are named by any numbers. */
struct lock *push__stripe_of(uint32_t group, uint32_t stripe);

/* The one that a look-up takes now: where the processor is not known, `hash` names it. */
struct lock *push__stripe_here(uint32_t group, uint32_t hash);

void push__stripes_acquire_all(uint32_t group);
void push__stripes_release_all(uint32_t group);

#endif
