#include "../helpers.h"

#include <time.h>

#include "clock.h"

/* Offsets to what the kernel says. */
static _Atomic int64_t realtime;
static _Atomic int64_t monotonic;
static atomic_bool jumps;

int __real_clock_gettime(clockid_t clock, struct timespec *t);
int __real_pthread_cond_init(pthread_cond_t *cond, const pthread_condattr_t *attr);
int __real_pthread_cond_timedwait(pthread_cond_t *cond, pthread_mutex_t *mutex, const struct timespec *until);
int __wrap_clock_gettime(clockid_t clock, struct timespec *t);
int __wrap_pthread_cond_init(pthread_cond_t *cond, const pthread_condattr_t *attr);
int __wrap_pthread_cond_timedwait(pthread_cond_t *cond, pthread_mutex_t *mutex, const struct timespec *until);

static int64_t to_ns(const struct timespec *t)
{
    return t->tv_sec * SECOND + t->tv_nsec;
}

static struct timespec to_timespec(int64_t ns)
{
    return (struct timespec){.tv_sec = (time_t)(ns / SECOND), .tv_nsec = (long)(ns % SECOND)};
}

void clock_set_realtime(int64_t offset_ns)
{
    atomic_store(&realtime, offset_ns);
}

void clock_jump(int64_t ns)
{
    atomic_store(&jumps, true);
    atomic_fetch_add(&monotonic, ns);
}

int __wrap_clock_gettime(clockid_t clock, struct timespec *t)
{
    int rc = __real_clock_gettime(clock, t);
    if (rc == 0 && clock == CLOCK_MONOTONIC)
        *t = to_timespec(to_ns(t) + atomic_load(&monotonic));
    if (rc == 0 && clock == CLOCK_REALTIME)
        *t = to_timespec(to_ns(t) + atomic_load(&realtime));
    return rc;
}

/* A condition variable on the realtime clock would have its deadlines moved by every step. */
int __wrap_pthread_cond_init(pthread_cond_t *cond, const pthread_condattr_t *attr)
{
    clockid_t clock = CLOCK_REALTIME;
    EXPECT(!attr || pthread_condattr_getclock(attr, &clock) == 0);
    EXPECT(clock == CLOCK_MONOTONIC);
    return __real_pthread_cond_init(cond, attr);
}

/* The kernel knows nothing of the jumps. So, once there are some, the wait goes piece by piece, and the end of a
 * piece is a spurious wake-up: the caller is to look at his predicate, for a signal may have come with it. */
int __wrap_pthread_cond_timedwait(pthread_cond_t *cond, pthread_mutex_t *mutex, const struct timespec *until)
{
    if (!atomic_load(&jumps))
        return __real_pthread_cond_timedwait(cond, mutex, until);
    /* Not on the stack: cancellation leaves this frame without the address sanitizer's knowledge. */
    static _Thread_local struct timespec t;
    __real_clock_gettime(CLOCK_MONOTONIC, &t);
    int64_t piece = to_ns(&t) + MILLISECOND / 2;
    int64_t end = to_ns(until) - atomic_load(&monotonic);
    if (end < 0)
        end = 0; /* a jump by more than the machine has been up: there are no times before 0 */
    t = to_timespec(end < piece ? end : piece);
    int rc = __real_pthread_cond_timedwait(cond, mutex, &t);
    EXPECT(rc == 0 || rc == ETIMEDOUT);
    return rc == ETIMEDOUT && piece < end ? 0 : rc;
}
