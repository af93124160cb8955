#include "sync.h"

#include <errno.h>
#include <sched.h>

#include "alloc.h"

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

/* A condition variable on the monotonic clock. Returns 0 or a negative errno value. */
static int cond_init(pthread_cond_t *cond)
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

/* Waits for a signal; a cancellation point, after which the lock is held, as pthread_cond_timedwait. Returns false
 * where the deadline passed. */
static bool cond_wait(pthread_cond_t *cond, struct lock *lock, const struct deadline *deadline)
{
    if (!deadline->never)
        return pthread_cond_timedwait(cond, &lock->mutex, &deadline->at) != ETIMEDOUT;
    pthread_cond_wait(cond, &lock->mutex);
    return true;
}

struct sleeper {
    struct sleeper *next, *prev; /* in a queue, circular; once chosen, `next` alone, of who chose it */
    pthread_cond_t cond;
    void *arg;
    bool woken;            /* chosen, and no longer in the queue: read and written under the queue's lock */
    _Atomic uint32_t refs; /* its thread's; that of who has chosen it. Dropped acq_rel, so that the last sees all */
};

int push__sleeper_renew(struct sleeper **sleeper)
{
    if (push__sleeper_is_free(*sleeper))
        return 0;
    push__sleeper_unref(*sleeper);
    *sleeper = NULL;
    struct sleeper *fresh = push__malloc(sizeof(*fresh));
    if (!fresh)
        return -ENOMEM;
    int rc = cond_init(&fresh->cond);
    if (rc < 0) {
        push__free(fresh);
        return rc;
    }
    atomic_init(&fresh->refs, 1);
    *sleeper = fresh;
    return 0;
}

bool push__sleeper_is_free(const struct sleeper *sleeper)
{
    return sleeper && atomic_load_explicit(&sleeper->refs, memory_order_acquire) == 1;
}

void push__sleeper_unref(struct sleeper *sleeper)
{
    if (!sleeper || atomic_fetch_sub_explicit(&sleeper->refs, 1, memory_order_acq_rel) != 1)
        return;
    pthread_cond_destroy(&sleeper->cond);
    push__free(sleeper);
}

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

void *push__waitq_wake(struct waitq *q, struct wakeups *wakeups)
{
    if (!q->last)
        return NULL;
    struct sleeper *first = q->last->next;
    waitq_remove(q, first);
    first->woken = true;
    atomic_fetch_add_explicit(&first->refs, 1, memory_order_relaxed);
    first->next = NULL;
    if (wakeups->last)
        wakeups->last->next = first;
    else
        wakeups->first = first;
    wakeups->last = first;
    return first->arg;
}

void push__waitq_wake_all(struct waitq *q, struct wakeups *wakeups)
{
    while (q->last)
        push__waitq_wake(q, wakeups);
}

void push__wakeups_send(struct wakeups *wakeups)
{
#ifdef PUSH_LOCK_RANKS
    if (held)
        abort();
#endif
    while (wakeups->first) {
        struct sleeper *sleeper = wakeups->first;
        wakeups->first = sleeper->next;
        pthread_cond_signal(&sleeper->cond);
        push__sleeper_unref(sleeper);
    }
    wakeups->last = NULL;
}

struct sleep {
    struct waitq *q;
    struct lock *lock;
    struct sleeper **self;
    void (*on_cancel)(void *arg, bool woken, struct wakeups *wakeups);
};

/* pthread_cond_wait has taken the lock again. */
static void sleep_cancelled(void *arg)
{
    struct sleep *sleep = arg;
    struct sleeper *self = *sleep->self;
    struct wakeups wakeups = {0};
    if (!self->woken)
        waitq_remove(sleep->q, self);
    sleep->on_cancel(self->arg, self->woken, &wakeups);
    lock_release(sleep->lock);
    push__wakeups_send(&wakeups);
    push__sleeper_unref(self);
    *sleep->self = NULL;
}

int push__waitq_sleep(struct waitq *q, struct lock *lock, const struct deadline *deadline, struct sleeper **own,
                      void (*on_cancel)(void *arg, bool woken, struct wakeups *wakeups), void *arg)
{
    struct sleep sleep = {.q = q, .lock = lock, .self = own, .on_cancel = on_cancel};
    struct sleeper *self = *own;
    self->arg = arg;
    self->woken = false;
    waitq_add(q, self);
    pthread_cleanup_push(sleep_cancelled, &sleep);
    while (!self->woken && cond_wait(&self->cond, lock, deadline))
        continue;
    pthread_cleanup_pop(0);
    if (self->woken)
        return 0;
    waitq_remove(q, self);
    return -ETIMEDOUT;
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

void push__pause(unsigned n)
{
    while (n-- > 0)
        relax();
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
