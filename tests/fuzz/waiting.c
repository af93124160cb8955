#include "waiting.h"

#include <time.h>

#include "sync.h"

int __real_clock_gettime(clockid_t clock, struct timespec *now);
int __wrap_pthread_cond_wait(pthread_cond_t *cond, pthread_mutex_t *mutex);
int __wrap_pthread_cond_timedwait(pthread_cond_t *cond, pthread_mutex_t *mutex, const struct timespec *end);
void __wrap_push__yield(void);
int __wrap_clock_gettime(clockid_t clock, struct timespec *now);

static struct waiting *innermost;
static struct timespec virtual_now = {1000, 0};

void waiting_begin(struct waiting *waiting, int timeout_ms)
{
    waiting->for_ever = timeout_ms < 0;
    waiting->outer = innermost;
    innermost = waiting;
}

void waiting_end(struct waiting *waiting)
{
    REQUIRE(innermost == waiting);
    innermost = waiting->outer;
}

int waiting_depth(void)
{
    int depth = 0;
    for (const struct waiting *at = innermost; at; at = at->outer)
        depth++;
    return depth;
}

int pick_timeout(void)
{
    static const int timeouts[] = {0, 0, 0, 1, 250, 1999, -1, -1, INT32_MIN, INT32_MAX};
    return timeouts[input_below(COUNT(timeouts))];
}

/* ---- What a wait may be woken by ---- */

/* What it waits for has come. */
static bool has_come(const struct waiting *waiting)
{
    if (waiting->pull)
        return waiting->pull->mailbox.closed || waiting->pull->mailbox.handed_len > 0 ||
               model_has_message(&waiting->pull->mailbox);
    if (waiting->poll)
        return poller_has_report(waiting->poll);
    for (size_t i = 0; i < waiting->push->len; i++) {
        if (waiting->push->pushes[i].state == MODEL_WAITS)
            return false;
    }
    return true;
}

/* Nobody else can have been told in its place. */
static bool waits_alone(const struct waiting *waiting)
{
    return waiting->pull ? waiting->pull->pulls == 1 : waiting->poll ? waiting->poll->waits == 1 : true;
}

static void end_by_force(struct waiting *waiting)
{
    /* A wake may go to another wait on the same poller first. */
    REQUIRE(waiting->ended++ < (waiting->poll ? waiting->poll->waits : 1));
    int depth = waiting_depth();
    if (waiting->poll) {
        trace_call(depth, "push_poller_wake(p%d)", (int)(waiting->poll - w.pollers));
        push_poller_wake(waiting->poll->real);
        waiting->poll->wakes++;
        waiting->poll->quiet = false;
        return;
    }
    struct world_session *s = waiting->pull ? waiting->pull->session : NULL;
    for (size_t i = 0; !s && i < waiting->push->len; i++) {
        if (waiting->push->pushes[i].state == MODEL_WAITS)
            s = waiting->push->clients[i]->session;
    }
    REQUIRE(s && s->live);
    trace_call(depth, "push_session_delete(%s)", id_name(s->id));
    REQUIRE(push_session_delete(id_of(s->id)));
    session_end(s);
}

static void make_calls(void)
{
    struct waiting *waiting = innermost;
    if (waiting->pull && waiting->pull->due == DUE_YES && !model_has_message(&waiting->pull->mailbox))
        waiting->pull->due = DUE_MAYBE;
    if (waiting_depth() > DEPTH_MAX)
        return;
    world_check(true);
    for (size_t n = input_below(4); n > 0 && input_left(); n--)
        call_one();
    REQUIRE(innermost == waiting);
}

/* ---- Time ---- */

static bool has_passed(const struct timespec *end)
{
    return virtual_now.tv_sec > end->tv_sec ||
           (virtual_now.tv_sec == end->tv_sec && virtual_now.tv_nsec >= end->tv_nsec);
}

int __wrap_clock_gettime(clockid_t clock, struct timespec *now)
{
    if (clock != CLOCK_MONOTONIC)
        return __real_clock_gettime(clock, now);
    *now = virtual_now;
    return 0;
}

/* Sleeping takes 20 us: between what patience calls short and long. */
static void let_time_pass(void)
{
    virtual_now.tv_nsec += 20 * 1000;
    if (virtual_now.tv_nsec >= 1000000000) {
        virtual_now.tv_sec++;
        virtual_now.tv_nsec -= 1000000000;
    }
}

/* ---- Where the library waits ---- */

/* `end` NULL: for ever. Returns as pthread_cond_timedwait; 0 may be a spurious wake-up. */
static int sleep_in(pthread_mutex_t *mutex, const struct timespec *end)
{
    enum { LOOKS_MAX = 4 };
    struct waiting *waiting = innermost;
    REQUIRE(waiting != NULL);
    REQUIRE(waiting->for_ever == (end == NULL));
    REQUIRE(!has_come(waiting) || !waits_alone(waiting));
    if (end && has_passed(end))
        return ETIMEDOUT;
    struct lock *lock = (struct lock *)(void *)mutex; /* its first member */
    lock_release(lock);
    let_time_pass();
    bool more = input_left() && waiting->looks++ < LOOKS_MAX;
    if (more)
        make_calls();
    else if (!end)
        end_by_force(waiting);
    else if (!has_passed(end))
        virtual_now = *end;
    lock_acquire(lock);
    return more || !end ? 0 : ETIMEDOUT;
}

int __wrap_pthread_cond_wait(pthread_cond_t *cond, pthread_mutex_t *mutex)
{
    (void)cond;
    return sleep_in(mutex, NULL);
}

int __wrap_pthread_cond_timedwait(pthread_cond_t *cond, pthread_mutex_t *mutex, const struct timespec *end)
{
    (void)cond;
    return sleep_in(mutex, end);
}

void __wrap_push__yield(void)
{
    REQUIRE(innermost != NULL);
    if (input_left() && input_below(16) == 0)
        make_calls();
}
