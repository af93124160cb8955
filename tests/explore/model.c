#include "model.h"

#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>

#include "schedule.h"
#include "trace.h"

#define HERE __builtin_return_address(0)

static int live_objects;

int explore_live_objects(void)
{
    return live_objects;
}

/* ---- Mutexes ---- */

static void must_live(unsigned life, const char *what, const void *object)
{
    if (life != EXPLORE_LIVE)
        schedule_fail("%s %s is used, and is not alive", what, trace_name(object));
}

extern char __executable_start[], end[]; /* the linker's */

static bool is_static(const volatile void *object)
{
    return (uintptr_t)object >= (uintptr_t)__executable_start && (uintptr_t)object < (uintptr_t)end;
}

/* From the first static mutex to the last: the registry, the only static data that changes after the first use. */
static struct {
    uintptr_t begin, end;
    bool is_used; /* in this execution, by its threads */
} registry;

static void know_static(const struct explore_mutex *mutex)
{
    enum { CACHE_LINE = 64 }; /* a mutex and what it guards */
    uintptr_t at = (uintptr_t)mutex;
    if (registry.begin == 0 || at < registry.begin)
        registry.begin = at;
    if (at + CACHE_LINE > registry.end)
        registry.end = at + CACHE_LINE;
}

int explore_mutex_init(struct explore_mutex *mutex, const pthread_mutexattr_t *attr)
{
    (void)attr;
    if (is_static(mutex))
        know_static(mutex);
    *mutex = (struct explore_mutex){EXPLORE_LIVE, NULL};
    live_objects++;
    return 0;
}

int explore_mutex_destroy(struct explore_mutex *mutex)
{
    must_live(mutex->life, "mutex", mutex);
    if (mutex->owner)
        schedule_fail("a mutex is destroyed while it is held");
    for (int i = 1; i < threads_len; i++) {
        if (threads[i].state != THREAD_OVER && threads[i].mutex == mutex)
            schedule_fail("a mutex is destroyed while thread %d wants it", i);
    }
    mutex->life = 0;
    live_objects--;
    return 0;
}

static void take(struct explore_mutex *mutex)
{
    must_live(mutex->life, "mutex", mutex);
    if (self->number > 0 && is_static(mutex))
        registry.is_used = true;
    mutex->owner = self;
    self->mutex = NULL;
    self->locks++;
}

/* No scheduling point: stopping with the lock held before anything is done shows nothing that stopping before it
 * does not show. */
int explore_mutex_lock(struct explore_mutex *mutex)
{
    must_live(mutex->life, "mutex", mutex);
    if (mutex->owner == self)
        schedule_fail("thread %d locks what it holds", self->number);
    if (mutex->owner) {
        self->state = THREAD_LOCKING;
        self->mutex = mutex;
        schedule_block("waits for lock", mutex, HERE);
    } else {
        schedule_trace("locks", mutex, HERE);
    }
    take(mutex);
    return 0;
}

int explore_mutex_unlock(struct explore_mutex *mutex)
{
    must_live(mutex->life, "mutex", mutex);
    if (mutex->owner != self)
        schedule_fail("thread %d unlocks what it does not hold", self->number);
    mutex->owner = NULL;
    self->locks--;
    schedule_point("unlocks", mutex, HERE);
    return 0;
}

/* ---- Condition variables ---- */

int explore_cond_init(struct explore_cond *cond, const pthread_condattr_t *attr)
{
    clockid_t clock;
    if (!attr || pthread_condattr_getclock(attr, &clock) != 0 || clock != CLOCK_MONOTONIC)
        schedule_fail("a condition variable on another clock than the monotonic one");
    cond->life = EXPLORE_LIVE;
    live_objects++;
    return 0;
}

int explore_cond_destroy(struct explore_cond *cond)
{
    must_live(cond->life, "condition variable", cond);
    for (int i = 1; i < threads_len; i++) {
        if (threads[i].cond == cond)
            schedule_fail("a condition variable is destroyed while thread %d sleeps on it", i);
    }
    cond->life = 0;
    live_objects--;
    return 0;
}

int explore_cond_signal(struct explore_cond *cond)
{
    must_live(cond->life, "condition variable", cond);
    if (self->locks > 0)
        schedule_fail("thread %d wakes another with a lock held", self->number);
    schedule_trace("signals", cond, HERE);
    for (int i = 1; i < threads_len; i++) {
        if (threads[i].cond == cond) {
            schedule_wake(&threads[i], WAKE_SIGNAL);
            break;
        }
    }
    schedule_point("has signalled", cond, HERE);
    return 0;
}

/* As if pthread_cancel's request were acted upon: handlers run, the last first, and the thread ends. */
static void cancel_self(void)
{
    self->cancelled = true;
    self->cancel_pending = false;
    while (self->cleanups) {
        struct explore_cleanup *cleanup = self->cleanups;
        self->cleanups = cleanup->next;
        cleanup->fn(cleanup->arg);
    }
    schedule_exit();
}

static void cancellation_point(void)
{
    if (self->cancel_pending && !self->cancel_off)
        cancel_self();
}

static int sleep_on(struct explore_cond *cond, struct explore_mutex *mutex, uint64_t deadline, const void *code)
{
    must_live(cond->life, "condition variable", cond);
    if (mutex->owner != self)
        schedule_fail("thread %d sleeps without the lock", self->number);
    if (self->locks != 1)
        schedule_fail("thread %d sleeps with another lock held", self->number);
    cancellation_point();
    if (self->number == 0 && deadline != UINT64_MAX) {
        explore_time_passes(deadline);
        return ETIMEDOUT;
    }
    mutex->owner = NULL;
    self->locks--;
    self->yields = 0;
    self->state = THREAD_SLEEPING;
    self->mutex = mutex;
    self->cond = cond;
    self->deadline = deadline;
    self->in_wait = true;
    schedule_block("sleeps", cond, code);
    self->in_wait = false;
    take(mutex);
    must_live(cond->life, "condition variable", cond);
    explore_time_passes(0);
    if (self->wake == WAKE_CANCEL)
        cancel_self();
    return self->wake == WAKE_TIMEOUT ? ETIMEDOUT : 0;
}

static uint64_t nanoseconds(const struct timespec *time)
{
    return (uint64_t)time->tv_sec * 1000000000 + (uint64_t)time->tv_nsec;
}

int explore_cond_wait(struct explore_cond *cond, struct explore_mutex *mutex)
{
    return sleep_on(cond, mutex, UINT64_MAX, HERE);
}

int explore_cond_timedwait(struct explore_cond *cond, struct explore_mutex *mutex, const struct timespec *deadline)
{
    if (deadline->tv_nsec < 0 || deadline->tv_nsec >= 1000000000)
        schedule_fail("a deadline with %ld nanoseconds", deadline->tv_nsec);
    return sleep_on(cond, mutex, nanoseconds(deadline), HERE);
}

/* ---- Cancellation ---- */

void explore_cancel(int number)
{
    struct thread *t = &threads[number];
    if (t->state == THREAD_OVER)
        return;
    t->cancel_pending = true;
    if (t->state == THREAD_SLEEPING && !t->cancel_off)
        schedule_wake(t, WAKE_CANCEL);
    else if (t->in_wait && !t->cancel_off && t->wake != WAKE_CANCEL && schedule_choose(2) == 1)
        t->wake = WAKE_CANCEL; /* the signal came first, but so late that it does not count */
    schedule_point("has cancelled", NULL, HERE);
}

bool explore_cancelled(int number)
{
    return threads[number].cancelled;
}

void explore_cleanup_push(struct explore_cleanup *cleanup)
{
    cleanup->next = self->cleanups;
    self->cleanups = cleanup;
}

void explore_cleanup_pop(int execute)
{
    struct explore_cleanup *cleanup = self->cleanups;
    self->cleanups = cleanup->next;
    if (execute)
        cleanup->fn(cleanup->arg);
}

int explore_setcancelstate(int state, int *old)
{
    if (old)
        *old = self->cancel_off ? PTHREAD_CANCEL_DISABLE : PTHREAD_CANCEL_ENABLE;
    self->cancel_off = state == PTHREAD_CANCEL_DISABLE;
    return 0;
}

/* ---- Atomics ---- */

/* A relaxed load, store or addition says of itself that it orders nothing: a reference is taken, what only this
 * thread writes is read, what nobody else sees yet is written, or it is a hint. Stopping before it is enough, which
 * the operation before it sees to. Static atomics of the library change at its first use only, which is over. */
void explore_atomic(enum atomic_op op, memory_order order, const volatile void *object)
{
    static const char *const what[] = {"loads", "stores", "adds", "subtracts", "sets bits", "swaps"};
    if (op != ATOMIC_LOAD)
        self->yields = 0;
    if (is_static(object) || (order == memory_order_relaxed && op <= ATOMIC_ADD))
        return;
    schedule_point(what[op], object, HERE);
}

int explore_sched_yield(void)
{
    schedule_yield(HERE);
    return 0;
}

/* ---- The system ---- */

/* Time stands still but where a thread sleeps. A sleep takes so long that the library takes it for a long one. */
enum { START_NS = 1000000000, SLEEP_NS = 1000000 };
static uint64_t now = START_NS;

void explore_begin(void)
{
    now = START_NS;
    registry.is_used = false;
}

void explore_time_passes(uint64_t until)
{
    now = now + SLEEP_NS < until ? until : now + SLEEP_NS;
}

int explore_clock_gettime(clockid_t clock, struct timespec *time)
{
    if (clock != CLOCK_MONOTONIC)
        schedule_fail("another clock than the monotonic one");
    time->tv_sec = (time_t)(now / 1000000000);
    time->tv_nsec = (long)(now % 1000000000);
    return 0;
}

/* Always the same, so that a schedule can be replayed. */
ssize_t explore_getrandom(void *data, size_t size, unsigned flags)
{
    (void)flags;
    memset(data, 0x5a, size);
    return (ssize_t)size;
}

/* ---- Descriptors ---- */

enum { MAX_FDS = 8 };
static struct descriptor {
    bool open;
    uint64_t value;
} descriptors[MAX_FDS];

static struct descriptor *descriptor_of(int fd)
{
    if (fd < EXPLORE_FD || fd >= EXPLORE_FD + MAX_FDS || !descriptors[fd - EXPLORE_FD].open)
        schedule_fail("descriptor %d is used, and is not open", fd);
    return &descriptors[fd - EXPLORE_FD];
}

int explore_eventfd(unsigned value, int flags)
{
    if (!(flags & EFD_NONBLOCK))
        schedule_fail("an eventfd that blocks");
    for (int i = 0; i < MAX_FDS; i++) {
        if (!descriptors[i].open) {
            descriptors[i] = (struct descriptor){true, value};
            return EXPLORE_FD + i;
        }
    }
    errno = EMFILE;
    return -1;
}

ssize_t explore_read(int fd, void *data, size_t size)
{
    struct descriptor *d = descriptor_of(fd);
    cancellation_point();
    if (size != sizeof(d->value) || d->value == 0) {
        errno = size != sizeof(d->value) ? EINVAL : EAGAIN;
        return -1;
    }
    memcpy(data, &d->value, sizeof(d->value));
    d->value = 0;
    schedule_point("reads descriptor", d, HERE);
    return sizeof(d->value);
}

ssize_t explore_write(int fd, const void *data, size_t size)
{
    struct descriptor *d = descriptor_of(fd);
    uint64_t add;
    cancellation_point();
    if (size != sizeof(add)) {
        errno = EINVAL;
        return -1;
    }
    memcpy(&add, data, sizeof(add));
    d->value += add;
    schedule_point("writes descriptor", d, HERE);
    return sizeof(add);
}

int explore_close(int fd)
{
    struct descriptor *d = descriptor_of(fd);
    cancellation_point();
    d->open = false;
    return 0;
}

bool explore_readable(int fd)
{
    return descriptor_of(fd)->value > 0;
}

int explore_open_descriptors(void)
{
    int n = 0;
    for (int i = 0; i < MAX_FDS; i++)
        n += descriptors[i].open;
    return n;
}

void explore_digest(struct digest *digest)
{
    digest_word(digest, now);
    digest_add(digest, descriptors, sizeof(descriptors));
    digest_word(digest, registry.is_used);
    if (registry.is_used)
        digest_add(digest, (const void *)registry.begin, registry.end - registry.begin);
}
