/*
 * What the library calls in the explorer instead of pthreads, atomics, the clock and eventfds: models of them in
 * which one thread runs at a time, and in which each operation that others can see ends in a scheduling point.
 * shim.h makes the library's sources call these.
 */
#ifndef EXPLORE_MODEL_H
#define EXPLORE_MODEL_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#include "state.h"

struct thread;

/* `life` tells a live object from one that was never made, was destroyed, or lies in freed memory. */
enum { EXPLORE_LIVE = 0x11fe };

struct explore_mutex {
    unsigned life;
    struct thread *owner; /* NULL: free */
};

/* Who sleeps on it is written in the threads. */
struct explore_cond {
    unsigned life;
};

int explore_mutex_init(struct explore_mutex *mutex, const pthread_mutexattr_t *attr);
int explore_mutex_destroy(struct explore_mutex *mutex);
int explore_mutex_lock(struct explore_mutex *mutex);
int explore_mutex_unlock(struct explore_mutex *mutex);

int explore_cond_init(struct explore_cond *cond, const pthread_condattr_t *attr);
int explore_cond_destroy(struct explore_cond *cond);
int explore_cond_wait(struct explore_cond *cond, struct explore_mutex *mutex);
int explore_cond_timedwait(struct explore_cond *cond, struct explore_mutex *mutex, const struct timespec *deadline);
int explore_cond_signal(struct explore_cond *cond);

int explore_sched_yield(void);

/* After an operation on an atomic object. */
enum atomic_op { ATOMIC_LOAD, ATOMIC_STORE, ATOMIC_ADD, ATOMIC_SUB, ATOMIC_BITS, ATOMIC_SWAP };
void explore_atomic(enum atomic_op op, memory_order order, const volatile void *object);

int explore_clock_gettime(clockid_t clock, struct timespec *now);
ssize_t explore_getrandom(void *data, size_t size, unsigned flags);

/* Descriptors of the model: eventfds, numbered from EXPLORE_FD on. */
enum { EXPLORE_FD = 1000 };
int explore_eventfd(unsigned value, int flags);
ssize_t explore_read(int fd, void *data, size_t size);
ssize_t explore_write(int fd, const void *data, size_t size);
int explore_close(int fd);

struct explore_cleanup {
    struct explore_cleanup *next;
    void (*fn)(void *arg);
    void *arg;
};
void explore_cleanup_push(struct explore_cleanup *cleanup);
void explore_cleanup_pop(int execute);
int explore_setcancelstate(int state, int *old);

/* ---- For the scenarios and the scheduler ---- */

/* pthread_cancel of a thread of the scenario; whether it was acted upon. */
void explore_cancel(int number);
bool explore_cancelled(int number);

/* As poll would say. */
bool explore_readable(int fd);
int explore_open_descriptors(void);

/* Mutexes and condition variables that were made, and not destroyed. */
int explore_live_objects(void);

/* Adds the clock, the descriptors, and what static mutexes guard. */
void explore_digest(struct digest *digest);

/* Before an execution: the clock is set back. */
void explore_begin(void);

/* The clock goes on to `until` at least. */
void explore_time_passes(uint64_t until);

#endif
