/*
 * Linked into an example whose loop serves consumers that cannot write for a while, by wrapping two calls of it:
 * who opens a consumer's end with fdopen to read from it goes on only when the loop sleeps in epoll_wait with
 * nothing to do. A loop that is woken again and again by a client it cannot serve never sleeps, and ends the
 * program with a failure.
 */
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

int __real_epoll_wait(int epoll, struct epoll_event *events, int max, int timeout_ms);
int __wrap_epoll_wait(int epoll, struct epoll_event *events, int max, int timeout_ms);
FILE *__real_fdopen(int fd, const char *mode);
FILE *__wrap_fdopen(int fd, const char *mode);

enum { PATIENCE_SECONDS = 30 };

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static int asleep = -1; /* in this epoll descriptor; guarded by mutex */

static void set_asleep(int epoll)
{
    pthread_mutex_lock(&mutex);
    asleep = epoll;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&mutex);
}

/* poll takes no event out: as long as the loop is said to be asleep, what came is still there to be seen. */
static int await_event(int epoll, int timeout_ms)
{
    struct pollfd fd = {.fd = epoll, .events = POLLIN};
    return poll(&fd, 1, timeout_ms);
}

int __wrap_epoll_wait(int epoll, struct epoll_event *events, int max, int timeout_ms)
{
    int n = __real_epoll_wait(epoll, events, max, 0);
    if (n != 0 || timeout_ms == 0)
        return n;
    set_asleep(epoll);
    n = await_event(epoll, timeout_ms);
    set_asleep(-1);
    return n < 0 ? n : __real_epoll_wait(epoll, events, max, 0);
}

FILE *__wrap_fdopen(int fd, const char *mode)
{
    struct timespec deadline;
    clock_gettime(CLOCK_REALTIME, &deadline);
    deadline.tv_sec += PATIENCE_SECONDS;

    pthread_mutex_lock(&mutex);
    bool slept, in_time = true;
    while (!(slept = asleep >= 0 && await_event(asleep, 0) == 0) && in_time)
        in_time = pthread_cond_timedwait(&changed, &mutex, &deadline) == 0;
    pthread_mutex_unlock(&mutex);
    if (!slept) {
        fputs("the loop never sleeps while a consumer cannot write\n", stderr);
        _exit(1);
    }
    return __real_fdopen(fd, mode);
}
