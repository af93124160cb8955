/*
 * Linked into an example whose loop serves a consumer that cannot write for a while, by wrapping two calls of it:
 * who waits for its turn in sem_wait goes on only when the loop sleeps in epoll_wait with nothing to do. A loop
 * that is woken again and again by the client it cannot serve never sleeps, and ends the program with a failure.
 */
#include <pthread.h>
#include <semaphore.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

int __real_epoll_wait(int epoll, struct epoll_event *events, int max, int timeout_ms);
int __wrap_epoll_wait(int epoll, struct epoll_event *events, int max, int timeout_ms);
int __real_sem_wait(sem_t *sem);
int __wrap_sem_wait(sem_t *sem);

enum { PATIENCE_SECONDS = 30 };

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static bool asleep; /* guarded by mutex */

static void set_asleep(bool value)
{
    pthread_mutex_lock(&mutex);
    asleep = value;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&mutex);
}

int __wrap_epoll_wait(int epoll, struct epoll_event *events, int max, int timeout_ms)
{
    int n = __real_epoll_wait(epoll, events, max, 0);
    if (n != 0 || timeout_ms == 0)
        return n;
    set_asleep(true);
    n = __real_epoll_wait(epoll, events, max, timeout_ms);
    set_asleep(false);
    return n;
}

int __wrap_sem_wait(sem_t *sem)
{
    if (__real_sem_wait(sem) != 0)
        return -1;
    struct timespec deadline;
    clock_gettime(CLOCK_REALTIME, &deadline);
    deadline.tv_sec += PATIENCE_SECONDS;

    pthread_mutex_lock(&mutex);
    bool in_time = true;
    while (!asleep && in_time)
        in_time = pthread_cond_timedwait(&changed, &mutex, &deadline) == 0;
    bool slept = asleep;
    pthread_mutex_unlock(&mutex);
    if (!slept) {
        fputs("the loop never sleeps while a consumer cannot write\n", stderr);
        _exit(1);
    }
    return 0;
}
