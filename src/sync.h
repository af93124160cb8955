/*
 * Locks with a rank, monotonic deadlines, the wait queue that every sleeping thread of the library sleeps in, and
 * the patience that decides how long to yield before sleeping. L0.
 */
#ifndef PUSH_SRC_SYNC_H
#define PUSH_SRC_SYNC_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

/* ---- Locks ---- */

/* A thread takes locks in this order only, and at most one of a rank. Builds with PUSH_LOCK_RANKS assert it. */
enum lock_rank {
    RANK_INIT,     /* making the registry */
    RANK_REGISTRY, /* a shard of the registry */
    RANK_PUSH,     /* a session: one fan-out at a time */
    RANK_CLIENTS,  /* a session: its client map */
    RANK_LOOKUP,   /* a session: look-ups in its client map, where they have locks of their own */
    RANK_MAILBOX,  /* a client: its mailbox */
    RANK_HEIR,     /* the same, of the client that a mailbox is being moved to */
    RANK_WAIT,     /* a push that waits */
    RANK_READY     /* a poller */
};

struct lock {
    pthread_mutex_t mutex;
#ifdef PUSH_LOCK_RANKS
    enum lock_rank rank;
#endif
};

#ifdef PUSH_LOCK_RANKS
#define LOCK_INITIALIZER(r)                                                                                        \
    {                                                                                                              \
        PTHREAD_MUTEX_INITIALIZER, (r)                                                                             \
    }
void push__rank_enter(enum lock_rank rank);
void push__rank_leave(enum lock_rank rank);
#else
#define LOCK_INITIALIZER(r)                                                                                        \
    {                                                                                                              \
        PTHREAD_MUTEX_INITIALIZER                                                                                  \
    }
#endif

/* Returns 0 or a negative errno value. */
int push__lock_init(struct lock *lock, enum lock_rank rank);
void push__lock_destroy(struct lock *lock);

/* Takes the lock, or lets it go, as one of another rank than it was made with. */
static inline void lock_acquire_as(struct lock *lock, enum lock_rank rank)
{
#ifdef PUSH_LOCK_RANKS
    push__rank_enter(rank);
#else
    (void)rank;
#endif
    pthread_mutex_lock(&lock->mutex);
}

static inline void lock_release_as(struct lock *lock, enum lock_rank rank)
{
#ifdef PUSH_LOCK_RANKS
    push__rank_leave(rank); /* before the lock: who takes it next may free it */
#else
    (void)rank;
#endif
    pthread_mutex_unlock(&lock->mutex);
}

static inline enum lock_rank lock_rank(const struct lock *lock)
{
#ifdef PUSH_LOCK_RANKS
    return lock->rank;
#else
    (void)lock;
    return RANK_INIT;
#endif
}

static inline void lock_acquire(struct lock *lock)
{
    lock_acquire_as(lock, lock_rank(lock));
}

static inline void lock_release(struct lock *lock)
{
    lock_release_as(lock, lock_rank(lock));
}

/* Take, and let go of, further locks of a rank that is held: always the same ones, in the same order. */
static inline void lock_acquire_more(struct lock *lock)
{
    pthread_mutex_lock(&lock->mutex);
}

static inline void lock_release_more(struct lock *lock)
{
    pthread_mutex_unlock(&lock->mutex);
}

/* ---- Deadlines ---- */

struct deadline {
    struct timespec at; /* CLOCK_MONOTONIC */
    bool never;
};

/* timeout_ms as in poll(2): negative is never. */
struct deadline push__deadline_in(int timeout_ms);
bool push__deadline_passed(const struct deadline *deadline);

/* Nanoseconds on the monotonic clock. */
uint64_t push__now(void);

/* ---- Wait queues ---- */

/* Threads that sleep until something comes, first come first woken. Each has a condition variable of its own, so
 * that a wake-up goes to one thread and cannot be lost to another. The owner's lock guards the queue.
 *
 * Waking is done in two steps: under the lock a sleeper is chosen, and taken out of the queue; once no lock is held
 * any more it is told. A thread that is told while the lock that it needs is held runs into it, and sleeps again,
 * which costs as much as all the rest. (As Linux's wake_q.) A chosen sleeper may be back before it is told: so it
 * lives on until whoever chose it lets go of it, too. */
struct sleeper;
struct waitq {
    struct sleeper *last; /* circular; NULL: nobody sleeps */
};

/* Sleepers that were chosen and are still to be told, in that order. */
struct wakeups {
    struct sleeper *first, *last;
};

static inline bool waitq_empty(const struct waitq *q)
{
    return q->last == NULL;
}

/* Sees to it that *sleeper, NULL at first, can be slept in. Allocates: no lock is held but a push lock. Returns 0,
 * -ENOMEM, or what making a condition variable said; then *sleeper is NULL. */
int push__sleeper_renew(struct sleeper **sleeper);

/* Whether it can be slept in as it is: it is there, and nobody is about to tell it of the last time. */
bool push__sleeper_is_free(const struct sleeper *sleeper);

/* Lets go of it, or of NULL. No lock is held but a push lock. */
void push__sleeper_unref(struct sleeper *sleeper);

/* Sleeps in *own, which is free, with `lock` let go meanwhile, until woken: 0; or -ETIMEDOUT. The caller looks at
 * his predicate again in any case: somebody else may have been quicker.
 * A cancellation point. A cancelled thread runs on_cancel(arg, woken, wakeups) under the lock, lets it go, tells
 * whom on_cancel has chosen, and lets go of *own: where it was woken already, on_cancel must hand the wake-up on.
 */
int push__waitq_sleep(struct waitq *q, struct lock *lock, const struct deadline *deadline, struct sleeper **own,
                      void (*on_cancel)(void *arg, bool woken, struct wakeups *wakeups), void *arg);

/* Choose the first, or all, to be woken. The first's arg, or NULL. */
void *push__waitq_wake(struct waitq *q, struct wakeups *wakeups);
void push__waitq_wake_all(struct waitq *q, struct wakeups *wakeups);

/* Tells all that were chosen; then there are none. No lock is held. Builds with PUSH_LOCK_RANKS assert it. */
void push__wakeups_send(struct wakeups *wakeups);

/* ---- Patience ---- */

/* How often to yield the processor before going to sleep. Threads that hand messages to each other quickly save the
 * kernel's sleep and wake-up, several microseconds, by yielding; threads that wait long must not burn, and a thread
 * that yields right after it woke another is in its way: the kernel would have run that one in its place. So each
 * wait teaches the next. A few yields that brought a message make for more of it, and so does a sleep so short that
 * it had better been yielded away. Many yields, or a sleep no longer than they take, make for less. After a long
 * sleep there is none, but for one in the second wait after, and then in each eighth, as a probe: where many
 * threads are runnable it lets all of them run, and is the way back. */
typedef uint8_t patience; /* yields; with PATIENCE_RESTS: long sleeps in a row, modulo 8 */
enum { PATIENCE_MAX = 32, PATIENCE_RESTS = 0x80, PATIENCE_PROBE = 7, PATIENCE_FIRST_REST = PATIENCE_RESTS | 6 };

static inline unsigned patience_yields(patience p)
{
    if (p & PATIENCE_RESTS)
        return (p & PATIENCE_PROBE) == PATIENCE_PROBE ? 1 : 0;
    return p;
}

/* After so many of the yields, what was waited for had come. */
static inline patience patience_after_yield(patience old, unsigned yielded)
{
    enum { FEW = 8 };
    if (old & PATIENCE_RESTS)
        return 2;
    if (yielded > FEW)
        return old / 2;
    return old > PATIENCE_MAX / 2 ? PATIENCE_MAX : (patience)(old * 2);
}

static inline patience patience_after_sleep(patience old, uint64_t slept_ns)
{
    if (slept_ns >= 50 * 1000)
        return old & PATIENCE_RESTS ? PATIENCE_RESTS | ((old + 1) & PATIENCE_PROBE) : PATIENCE_FIRST_REST;
    if (slept_ns >= 10 * 1000)
        return PATIENCE_MAX;
    return old & PATIENCE_RESTS || old < 2 ? PATIENCE_FIRST_REST : old / 2;
}

void push__yield(void);

/* Looks at a word for about as long as a yield takes: returns how many looks it took until it was not `seen` any
 * more, or 0. */
unsigned push__spin_while(const _Atomic uint64_t *word, uint64_t seen);

/* Spins for about as long as n such looks take. */
void push__pause(unsigned n);

/* ---- Cancellation ---- */

/* Brackets system calls, and functions of the caller's, that are cancellation points in calls of the library that
 * are none. */
int push__cancel_off(void);
void push__cancel_restore(int state);

#endif
