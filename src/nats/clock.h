/* Milliseconds of the monotonic clock, and condition variables that keep to it. */
#ifndef PUSH_SRC_NATS_CLOCK_H
#define PUSH_SRC_NATS_CLOCK_H

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#define NEVER INT64_MAX

static inline int64_t clock_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* The moment at which a timeout as in poll(2) ends. */
static inline int64_t deadline_after(int timeout_ms)
{
    return timeout_ms < 0 ? NEVER : clock_ms() + timeout_ms;
}

/* What is left of it, as a timeout again. */
static inline int timeout_until(int64_t deadline)
{
    if (deadline == NEVER)
        return -1;
    int64_t left = deadline - clock_ms();
    return left > 0 ? (int)left : 0;
}

static inline int cond_init_monotonic(pthread_cond_t *cond)
{
    pthread_condattr_t attr;
    int rc = pthread_condattr_init(&attr);
    if (rc != 0)
        return -rc;
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    rc = pthread_cond_init(cond, &attr);
    pthread_condattr_destroy(&attr);
    return -rc;
}

/* False: the deadline has passed. */
static inline bool cond_wait_until(pthread_cond_t *cond, pthread_mutex_t *lock, int64_t deadline)
{
    if (deadline == NEVER) {
        pthread_cond_wait(cond, lock);
        return true;
    }
    struct timespec at = {.tv_sec = (time_t)(deadline / 1000), .tv_nsec = (long)(deadline % 1000) * 1000000};
    return pthread_cond_timedwait(cond, lock, &at) != ETIMEDOUT;
}

#endif
