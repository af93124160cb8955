#include "sync.h"

#include <errno.h>
#include <sched.h>

#ifdef PUSH_LOCK_RANKS
#include <stdlib.h>

/* A bit for each rank this thread holds. */
static _Thread_local unsigned held;

void push__rank_enter(enum lock_rank rank)
{
    if (held >> rank)
        abort();
    held |= 1U << rank;
}

void push__rank_leave(enum lock_rank rank)
{
    if (!(held & 1U << rank))
        abort();
    held &= ~(1U << rank);
}
#endif

int push__lock_init(struct lock *lock, enum lock_rank rank)
{
#ifdef PUSH_LOCK_RANKS
    lock->rank = rank;
#else
    (void)rank;
#endif
    pthread_mutexattr_t attr;
    int rc = pthread_mutexattr_init(&attr);
    if (rc == 0) {
#ifdef __GLIBC__
        /* Locks are held for some tens of nanoseconds: spin for a moment before sleeping. */
        pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_ADAPTIVE_NP);
#endif
        rc = pthread_mutex_init(&lock->mutex, &attr);
        pthread_mutexattr_destroy(&attr);
    }
    return -rc;
}

void push__lock_destroy(struct lock *lock)
{
    pthread_mutex_destroy(&lock->mutex);
}

struct deadline push__deadline_in(int timeout_ms)
{
    struct deadline deadline = {.never = timeout_ms < 0};
    if (!deadline.never) {
        clock_gettime(CLOCK_MONOTONIC, &deadline.at);
        deadline.at.tv_sec += timeout_ms / 1000;
        deadline.at.tv_nsec += (long)(timeout_ms % 1000) * 1000000;
        if (deadline.at.tv_nsec >= 1000000000) {
            deadline.at.tv_sec++;
            deadline.at.tv_nsec -= 1000000000;
        }
    }
    return deadline;
}

bool push__deadline_passed(const struct deadline *deadline)
{
    if (deadline->never)
        return false;
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec > deadline->at.tv_sec ||
           (now.tv_sec == deadline->at.tv_sec && now.tv_nsec >= deadline->at.tv_nsec);
}

uint64_t push__now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

int push__cond_init(pthread_cond_t *cond)
{
    pthread_condattr_t attr;
    int rc = pthread_condattr_init(&attr);
    if (rc == 0) {
        rc = pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
        if (rc == 0)
            rc = pthread_cond_init(cond, &attr);
        pthread_condattr_destroy(&attr);
    }
    return -rc;
}

bool push__cond_wait(pthread_cond_t *cond, struct lock *lock, const struct deadline *deadline)
{
    if (!deadline->never)
        return pthread_cond_timedwait(cond, &lock->mutex, &deadline->at) != ETIMEDOUT;
    pthread_cond_wait(cond, &lock->mutex);
    return true;
}

struct sleeper {
    struct sleeper *next, *prev; /* circular */
    pthread_cond_t cond;
    void *arg;
    bool woken; /* and no longer in the queue */
};

static void waitq_add(struct waitq *q, struct sleeper *self)
{
    if (q->last) {
        self->next = q->last->next;
        self->prev = q->last;
        self->next->prev = self;
        self->prev->next = self;
    } else {
        self->next = self->prev = self;
    }
    q->last = self;
}

static void waitq_remove(struct waitq *q, struct sleeper *self)
{
    if (self->next == self) {
        q->last = NULL;
    } else {
        self->next->prev = self->prev;
        self->prev->next = self->next;
        if (q->last == self)
            q->last = self->prev;
    }
}

void *push__waitq_wake(struct waitq *q)
{
    if (!q->last)
        return NULL;
    struct sleeper *first = q->last->next;
    waitq_remove(q, first);
    first->woken = true;
    pthread_cond_signal(&first->cond);
    return first->arg;
}

void push__waitq_wake_all(struct waitq *q)
{
    while (q->last)
        push__waitq_wake(q);
}

struct sleep {
    struct waitq *q;
    struct lock *lock;
    struct sleeper self;
    void (*on_cancel)(void *arg, bool woken);
};

static void sleep_end(struct sleep *sleep)
{
    if (!sleep->self.woken)
        waitq_remove(sleep->q, &sleep->self);
    pthread_cond_destroy(&sleep->self.cond);
}

/* pthread_cond_wait has taken the lock again. */
static void sleep_cancelled(void *arg)
{
    struct sleep *sleep = arg;
    sleep_end(sleep);
    sleep->on_cancel(sleep->self.arg, sleep->self.woken);
    lock_release(sleep->lock);
}

int push__waitq_sleep(struct waitq *q, struct lock *lock, const struct deadline *deadline,
                      void (*on_cancel)(void *arg, bool woken), void *arg)
{
    struct sleep sleep = {.q = q, .lock = lock, .on_cancel = on_cancel, .self.arg = arg};
    int rc = push__cond_init(&sleep.self.cond);
    if (rc < 0)
        return rc;
    waitq_add(q, &sleep.self);
    pthread_cleanup_push(sleep_cancelled, &sleep);
    while (!sleep.self.woken && push__cond_wait(&sleep.self.cond, lock, deadline))
        continue;
    pthread_cleanup_pop(0);
    sleep_end(&sleep);
    return sleep.self.woken ? 0 : -ETIMEDOUT;
}

/* Looks at a word before the processor is yielded. */
#ifndef PUSH_SPINS
#define PUSH_SPINS 20
#endif
enum { SPINS = PUSH_SPINS };

void push__yield(void)
{
    sched_yield();
}

/* Tells the processor that this is a loop that waits. */
static inline void relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__) || (defined(__arm__) && __ARM_ARCH >= 7)
    __asm__ volatile("yield");
#endif
}

unsigned push__spin_while(const _Atomic uint64_t *word, uint64_t seen)
{
    for (unsigned looks = 1; looks <= SPINS; looks++) {
        if (atomic_load_explicit(word, memory_order_relaxed) != seen)
            return looks;
        relax();
    }
    return 0;
}

int push__cancel_off(void)
{
    int state;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
    return state;
}

void push__cancel_restore(int state)
{
    pthread_setcancelstate(state, NULL);
}
