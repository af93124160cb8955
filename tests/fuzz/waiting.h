/*
 * What happens while a call of the library waits. There is one thread, and time stands still: where the library
 * goes to sleep, or yields, the fuzzer makes a few further calls in its place, and then lets it look again, or time
 * run out. So every wait, and everything that may happen during one, comes out the same each time. The linker's
 * --wrap leads the library's calls of pthread_cond_wait, pthread_cond_timedwait, sched_yield and clock_gettime
 * here.
 */
#ifndef PUSH_TESTS_FUZZ_WAITING_H
#define PUSH_TESTS_FUZZ_WAITING_H

#include "world.h"

enum { DEPTH_MAX = 3 };

/* A push on its way: one model_push for each mailbox where it may wait. */
struct sending {
    size_t len;
    struct world_client *clients[IDS];
    struct model_push pushes[IDS];
    push_report report;
    bool closed; /* the one client was, or the session is */
};

/* A call that waits. One of them is set. */
struct waiting {
    struct world_client *pull;
    struct sending *push;
    struct world_poller *poll;

    bool for_ever;
    int looks;
    int ended; /* by force, so often */
    struct waiting *outer;
};

/* Brackets a call that, by the model, waits. Outside of the brackets no call may. */
void waiting_begin(struct waiting *waiting, int timeout_ms);
void waiting_end(struct waiting *waiting);

/* How many calls are around the one that is made now. */
int waiting_depth(void);

/* A timeout: any, where the call need not wait or another call can still end its wait; else 0. */
int pick_timeout(void);

#endif
