/*
 * Delays at random places: the linker's --wrap leads the library's calls of locks, condition variables,
 * sched_yield, the clock and descriptors through here, and the tests' own. A thread is calm for a while, then
 * hesitant, then slow; a delay is a short spin, a yield, or now and then a sleep. So moments that are some
 * nanoseconds wide are met.
 *
 * PUSH_DELAY_SEED=n repeats a run's delays, as far as the kernel's schedule does; each run prints its own.
 *
 * Built without a sanitizer: it must order nothing in the eyes of one.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define WRAP(type, name, parameters)                                                                               \
    type __real_##name parameters;                                                                                 \
    type __wrap_##name parameters;                                                                                 \
    type __wrap_##name parameters

int __real_sched_yield(void);

/* ---- The seed -------------------------------------------------------------------------------------------- */

static uint64_t seed;
static atomic_uint threads;

__attribute__((constructor)) static void choose_seed(void)
{
    const char *given = getenv("PUSH_DELAY_SEED");
    if (given) {
        seed = strtoull(given, NULL, 10);
    } else {
        struct timespec now;
        timespec_get(&now, TIME_UTC);
        seed = (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
    }
    fprintf(stderr, "PUSH_DELAY_SEED=%llu\n", (unsigned long long)seed);
}

/* splitmix64 */
static uint64_t mix(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}

/* ---- Delays ---------------------------------------------------------------------------------------------- */

enum { MOOD_LASTS = 512 };

static _Thread_local struct {
    uint64_t state; /* 0: a thread that has not been here */
    uint32_t odds;  /* of a delay, in 1024; 0: calm */
    uint32_t left;  /* places until the mood changes */
} self;

static void change_mood(void)
{
    static const uint32_t moods[] = {0, 8, 64, 256};
    if (self.state == 0)
        self.state = seed ^ (uint64_t)(1 + atomic_fetch_add_explicit(&threads, 1, memory_order_relaxed)) << 32;
    uint64_t random = mix(&self.state);
    self.odds = moods[random % 4];
    self.left = 1 + (uint32_t)(random >> 32) % MOOD_LASTS;
}

static void spin(uint32_t turns)
{
    for (volatile uint32_t i = 0; i < turns; i++)
        continue;
}

/* Not nanosleep: that is a cancellation point, which most of what is delayed is not, and known to the thread
 * sanitizer, which takes it for the end of a wait that a signal's handler interrupts. */
static void rest(long nanoseconds)
{
    int error = errno;
    syscall(SYS_nanosleep, &(struct timespec){0, nanoseconds}, NULL);
    errno = error;
}

static void delay(void)
{
    if (self.left == 0)
        change_mood();
    self.left--;
    if (self.odds == 0)
        return;
    uint64_t random = mix(&self.state);
    if (random % 1024 >= self.odds)
        return;
    uint32_t kind = (uint32_t)(random >> 32);
    if (kind % 64 == 0)
        rest(1 + (kind >> 6) % 200000);
    else if (kind % 4 == 0)
        __real_sched_yield();
    else
        spin((kind >> 6) % 4096);
}

/* ---- Where they happen ----------------------------------------------------------------------------------- */

WRAP(int, pthread_mutex_lock, (pthread_mutex_t * mutex))
{
    delay();
    return __real_pthread_mutex_lock(mutex);
}

WRAP(int, pthread_mutex_unlock, (pthread_mutex_t * mutex))
{
    int rc = __real_pthread_mutex_unlock(mutex);
    delay();
    return rc;
}

WRAP(int, pthread_cond_wait, (pthread_cond_t * cond, pthread_mutex_t *mutex))
{
    delay();
    int rc = __real_pthread_cond_wait(cond, mutex);
    delay();
    return rc;
}

WRAP(int, pthread_cond_timedwait, (pthread_cond_t * cond, pthread_mutex_t *mutex, const struct timespec *end))
{
    delay();
    int rc = __real_pthread_cond_timedwait(cond, mutex, end);
    delay();
    return rc;
}

WRAP(int, pthread_cond_signal, (pthread_cond_t * cond))
{
    delay();
    int rc = __real_pthread_cond_signal(cond);
    delay();
    return rc;
}

WRAP(int, sched_yield, (void))
{
    delay();
    return __real_sched_yield();
}

WRAP(int, clock_gettime, (clockid_t id, struct timespec *now))
{
    int rc = __real_clock_gettime(id, now);
    delay();
    return rc;
}

WRAP(ssize_t, read, (int fd, void *data, size_t size))
{
    delay();
    ssize_t n = __real_read(fd, data, size);
    delay();
    return n;
}

WRAP(ssize_t, write, (int fd, const void *data, size_t size))
{
    delay();
    ssize_t n = __real_write(fd, data, size);
    delay();
    return n;
}
