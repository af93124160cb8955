/*
 * The scheduler: runs the threads of a scenario one at a time, and decides at each scheduling point which goes on.
 * An execution is named by the choices made in it; the next execution differs in the last choice that had another
 * alternative. So all of them are visited, within the bounds.
 */
#ifndef EXPLORE_SCHEDULE_H
#define EXPLORE_SCHEDULE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "coroutine.h"
#include "model.h"
#include "state.h"

enum { MAX_THREADS = 4 };

/* How many there may be in one execution. Switching where the running thread cannot go on is free; where it yields,
 * it is not: a yield may do nothing. A timeout is free where nobody can run. */
struct bounds {
    int preemptions; /* a thread is stopped though it could go on: for another thread, or for one of those below */
    int timeouts;    /* a deadline passes though somebody could run */
    int spurious;    /* a condition variable returns for no reason */
};

enum thread_state { THREAD_READY, THREAD_LOCKING, THREAD_SLEEPING, THREAD_OVER };
enum wake { WAKE_SIGNAL, WAKE_TIMEOUT, WAKE_SPURIOUS, WAKE_CANCEL };

struct thread {
    struct coroutine coroutine;
    void (*run)(void);
    int number; /* 0: the program itself, which sets up and finishes; it is never stopped */
    enum thread_state state;
    struct explore_mutex *mutex; /* wanted: now, or after the sleep */
    struct explore_cond *cond;   /* slept on */
    uint64_t deadline;           /* of the sleep; UINT64_MAX: none */
    enum wake wake;              /* how the sleep ended */
    bool in_wait;                /* from falling asleep until running again */
    int locks;                   /* held */
    int yields;                  /* since it last changed anything */
    const char *low;             /* its stack is in use from here on, while it does not run */
    struct explore_cleanup *cleanups;
    bool cancel_off, cancel_pending, cancelled;
};

extern struct thread threads[1 + MAX_THREADS];
extern int threads_len; /* the program's own included */
extern struct thread *self;

/* ---- For the model ---- */

/* An operation that others can see is done. Another thread may run before this returns. `code`: where. */
void schedule_point(const char *what, const volatile void *object, const void *code);

/* The same, but that a thread that does nothing else lets the others run in the end. */
void schedule_yield(const void *code);

/* The running thread's state was changed to locking or sleeping. Returns once it can go on. */
void schedule_block(const char *what, const volatile void *object, const void *code);

/* The thread does not sleep any more: it takes its lock next. */
void schedule_wake(struct thread *thread, enum wake wake);

/* Ends the running thread. */
_Noreturn void schedule_exit(void);

/* One of `count` alternatives, 0 first. */
size_t schedule_choose(size_t count);

/* Makes a note in the trace. */
void schedule_trace(const char *what, const volatile void *object, const void *code);

/* Reports the fault with the schedule that shows it, and ends the program. */
_Noreturn void schedule_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* ---- For the program ---- */

/* Starts over, with the schedule as printed by a failure (NULL: all executions). False: it does not read so.
 * `digest`, unless it is NULL, adds what the program has of its own to a state: then executions are merged. */
bool schedule_begin(const char *scenario, const struct bounds *bounds, const char *schedule,
                    void (*digest)(struct digest *digest));

/* Runs the threads to their end, once. `invariant` is called at each scheduling point. */
void schedule_run(void (*const *runs)(void), void (*invariant)(void));

/* The states that were met, where executions are merged. */
size_t schedule_states(void);

/* Turns to the next execution: false where there is none. */
bool schedule_next(void);

/* Prints the schedule so far, what happened in it, and how to replay it. */
void schedule_print(void);

#endif
