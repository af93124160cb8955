#include "jitter.h"

#include <pthread.h>
#include <sched.h>

#include "../helpers.h"

int __real_pthread_mutex_lock(pthread_mutex_t *mutex);
int __real_pthread_mutex_unlock(pthread_mutex_t *mutex);
int __real_pthread_cond_signal(pthread_cond_t *cond);
int __wrap_pthread_mutex_lock(pthread_mutex_t *mutex);
int __wrap_pthread_mutex_unlock(pthread_mutex_t *mutex);
int __wrap_pthread_cond_signal(pthread_cond_t *cond);

static _Thread_local uint64_t state;

void jitter_seed(uint64_t seed)
{
    state = seed;
}

static void spin(uint32_t turns)
{
    for (volatile uint32_t i = 0; i < turns; i++)
        continue;
}

void jitter(void)
{
    if (state == 0)
        return;
    uint32_t random = random_next(&state);
    if (random % 8 == 0)
        sched_yield();
    else if (random % 8 == 1)
        spin(random >> 8 & 1023);
}

int __wrap_pthread_mutex_lock(pthread_mutex_t *mutex)
{
    jitter();
    return __real_pthread_mutex_lock(mutex);
}

int __wrap_pthread_mutex_unlock(pthread_mutex_t *mutex)
{
    int rc = __real_pthread_mutex_unlock(mutex);
    jitter();
    return rc;
}

int __wrap_pthread_cond_signal(pthread_cond_t *cond)
{
    jitter();
    return __real_pthread_cond_signal(cond);
}
