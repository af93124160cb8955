/* Locks with ranks, deadlines on a clock that the test sets, and the wait queue. */
#include "helpers.h"

#include <limits.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "sync.h"

/* ---- The clock, and condition variables that cannot be had ----------------------------------------------- */

static struct {
    bool set;
    struct timespec now;
} fake_clock;

int __real_clock_gettime(clockid_t id, struct timespec *now);
int __wrap_clock_gettime(clockid_t id, struct timespec *now);
int __wrap_clock_gettime(clockid_t id, struct timespec *now)
{
    if (!fake_clock.set)
        return __real_clock_gettime(id, now);
    *now = fake_clock.now;
    return id == CLOCK_MONOTONIC ? 0 : -1;
}

static void set_clock(time_t seconds, long nanoseconds)
{
    fake_clock.now = (struct timespec){seconds, nanoseconds};
    fake_clock.set = true;
}

static int restore_clock(void **state)
{
    fake_clock.set = false;
    return test_end(state);
}

static int cond_error;

int __real_pthread_cond_init(pthread_cond_t *cond, const pthread_condattr_t *attr);
int __wrap_pthread_cond_init(pthread_cond_t *cond, const pthread_condattr_t *attr);
int __wrap_pthread_cond_init(pthread_cond_t *cond, const pthread_condattr_t *attr)
{
    clockid_t clock;
    if (cond_error)
        return cond_error;
    if (!attr || pthread_condattr_getclock(attr, &clock) != 0 || clock != CLOCK_MONOTONIC)
        return EINVAL;
    return __real_pthread_cond_init(cond, attr);
}

static int mutexattr_error;

int __real_pthread_mutexattr_init(pthread_mutexattr_t *attr);
int __wrap_pthread_mutexattr_init(pthread_mutexattr_t *attr);
int __wrap_pthread_mutexattr_init(pthread_mutexattr_t *attr)
{
    return mutexattr_error ? mutexattr_error : __real_pthread_mutexattr_init(attr);
}

/* ---- Deadlines ------------------------------------------------------------------------------------------- */

static void test_no_deadline(void **state)
{
    (void)state;
    static const int timeouts[] = {-1, -2, INT_MIN};
    for (size_t i = 0; i < COUNT(timeouts); i++) {
        struct deadline deadline = push__deadline_in(timeouts[i]);
        assert_true(deadline.never);
        set_clock(INT32_MAX, 0);
        assert_false(push__deadline_passed(&deadline));
        fake_clock.set = false;
    }
}

static int64_t in_ns(struct timespec t)
{
    return (int64_t)t.tv_sec * SECOND + t.tv_nsec;
}

/* For every kind of timeout and every place in a second: the sum is exact, its nanoseconds are valid, it has passed
 * at that instant and not a nanosecond before. */
static void test_deadlines_are_exact(void **state)
{
    (void)state;
    static const int timeouts[] = {0,    1,    2,     10,      999,         1000,        1001,    1999,
                                   2000, 9999, 60000, 3600000, INT_MAX - 1, INT_MAX - 7, 1 << 30, INT_MAX};
    static const long places[] = {0, 1, 999999, 1000000, 499999999, 998999999, 999000000, 999000001, 999999999};
    for (size_t i = 0; i < COUNT(timeouts); i++) {
        for (size_t j = 0; j < COUNT(places); j++) {
            set_clock(1234567, places[j]);
            int64_t expected = in_ns(fake_clock.now) + timeouts[i] * MILLISECOND;
            struct deadline deadline = push__deadline_in(timeouts[i]);
            assert_false(deadline.never);
            assert_in_range(deadline.at.tv_nsec, 0, 999999999);
            assert_true(in_ns(deadline.at) == expected);

            set_clock((time_t)(expected / SECOND), (long)(expected % SECOND));
            assert_int_equal(push__now(), expected);
            assert_true(push__deadline_passed(&deadline));
            set_clock((time_t)((expected - 1) / SECOND), (long)((expected - 1) % SECOND));
            assert_false(push__deadline_passed(&deadline));
            set_clock((time_t)(expected / SECOND) + 1, 0);
            assert_true(push__deadline_passed(&deadline));
            set_clock((time_t)(expected / SECOND) - 1, 999999999);
            assert_false(push__deadline_passed(&deadline));
        }
    }
}

/* ---- Locks ----------------------------------------------------------------------------------------------- */

static void test_no_lock(void **state)
{
    (void)state;
    struct lock lock;
    mutexattr_error = ENOMEM;
    int rc = push__lock_init(&lock, RANK_PUSH);
    mutexattr_error = 0;
    assert_int_equal(rc, -ENOMEM);
    assert_int_equal(push__lock_init(&lock, RANK_PUSH), 0);
    push__lock_destroy(&lock);
}

/* ---- Ranks ----------------------------------------------------------------------------------------------- */

/* How a child ends that takes a lock of one rank, then one of another; and lets them go, or only another. */
static int child_status(enum lock_rank first, enum lock_rank second)
{
    pid_t child = fork();
    if (child == 0) {
        setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
        struct lock a, b;
        if (push__lock_init(&a, first) < 0 || push__lock_init(&b, second) < 0)
            _exit(2);
        lock_acquire(&a);
        lock_acquire(&b);
        lock_release(&b);
        lock_release(&a);
        lock_acquire(&b);
        lock_release(&b);
        _exit(0);
    }
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    return status;
}

static void test_ranks_are_asserted(void **state)
{
    (void)state;
    for (enum lock_rank first = RANK_INIT; first <= RANK_READY; first++) {
        for (enum lock_rank second = RANK_INIT; second <= RANK_READY; second++) {
            int status = child_status(first, second);
            if (first < second)
                assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
            else
                assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
        }
    }
}

static void test_a_rank_not_held_cannot_be_left(void **state)
{
    (void)state;
    pid_t child = fork();
    if (child == 0) {
        setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
        push__rank_leave(RANK_PUSH);
        _exit(0);
    }
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
}

/* ---- The wait queue -------------------------------------------------------------------------------------- */

enum { SLEEPERS = 8 };

struct dormitory {
    struct lock lock;
    struct waitq q;
    int in_queue;       /* threads that went to sleep, ever */
    int order[64];      /* who came back, in order */
    int back;           /* how many */
    int handed_on;      /* wake-ups that cancelled threads passed to others */
    int cancelled;      /* on_cancel calls */
    bool lock_was_held; /* in all of them */
};

struct guest {
    struct dormitory *d;
    int number;
    int timeout_ms;
    int rc;
    bool free_again; /* it could have slept in the same sleeper once more */
    pthread_t thread;
};

static void dormitory_open(struct dormitory *d)
{
    *d = (struct dormitory){.lock_was_held = true};
    assert_int_equal(push__lock_init(&d->lock, RANK_READY), 0);
}

static void dormitory_close(struct dormitory *d)
{
    lock_acquire(&d->lock);
    assert_true(waitq_empty(&d->q));
    lock_release(&d->lock);
    push__lock_destroy(&d->lock);
}

static void on_cancel(void *arg, bool woken, struct wakeups *wakeups)
{
    struct dormitory *d = arg;
    d->cancelled++;
    if (pthread_mutex_trylock(&d->lock.mutex) == 0)
        d->lock_was_held = false;
    if (woken) {
        d->handed_on++;
        push__waitq_wake(&d->q, wakeups);
    }
}

static void *sleep_once(void *arg)
{
    struct guest *g = arg;
    struct dormitory *d = g->d;
    struct sleeper *sleeper = NULL;
    if (push__sleeper_renew(&sleeper) < 0)
        return NULL;
    lock_acquire(&d->lock);
    struct deadline deadline = push__deadline_in(g->timeout_ms);
    d->in_queue++;
    g->rc = push__waitq_sleep(&d->q, &d->lock, &deadline, &sleeper, on_cancel, d);
    d->order[d->back++] = g->number;
    lock_release(&d->lock);
    g->free_again = push__sleeper_is_free(sleeper);
    push__sleeper_unref(sleeper);
    return NULL;
}

static int locked_read(struct dormitory *d, const int *value)
{
    lock_acquire(&d->lock);
    int copy = *value;
    lock_release(&d->lock);
    return copy;
}

/* Puts one more thread to sleep, and returns once it is in the queue. */
static void check_in(struct dormitory *d, struct guest *g, int number, int timeout_ms)
{
    *g = (struct guest){.d = d, .number = number, .timeout_ms = timeout_ms, .rc = 1};
    int before = locked_read(d, &d->in_queue);
    assert_int_equal(pthread_create(&g->thread, NULL, sleep_once, g), 0);
    assert_eventually(locked_read(d, &d->in_queue) == before + 1);
}

/* True where the thread was cancelled. */
static bool check_out(struct guest *g)
{
    void *value;
    assert_int_equal(pthread_join(g->thread, &value), 0);
    return value == PTHREAD_CANCELED;
}

static void wake(struct dormitory *d)
{
    struct wakeups wakeups = {0};
    lock_acquire(&d->lock);
    push__waitq_wake(&d->q, &wakeups);
    lock_release(&d->lock);
    push__wakeups_send(&wakeups);
    assert_null(wakeups.first);
    assert_null(wakeups.last);
}

static void test_first_come_first_woken(void **state)
{
    (void)state;
    struct dormitory d;
    struct guest guests[SLEEPERS];
    dormitory_open(&d);
    for (int i = 0; i < SLEEPERS; i++)
        check_in(&d, &guests[i], i, i % 2 ? -1 : INT_MAX);
    for (int i = 0; i < SLEEPERS; i++) {
        assert_int_equal(locked_read(&d, &d.back), i);
        wake(&d);
        assert_eventually(locked_read(&d, &d.back) == i + 1);
        assert_false(check_out(&guests[i]));
        assert_int_equal(guests[i].rc, 0);
        assert_int_equal(d.order[i], i);
    }
    /* Nobody is there, and nothing is remembered. */
    wake(&d);
    check_in(&d, &guests[0], 0, 1);
    assert_false(check_out(&guests[0]));
    assert_int_equal(guests[0].rc, -ETIMEDOUT);
    dormitory_close(&d);
}

static void test_wake_all(void **state)
{
    (void)state;
    struct dormitory d;
    struct guest guests[SLEEPERS];
    dormitory_open(&d);
    for (int i = 0; i < SLEEPERS; i++)
        check_in(&d, &guests[i], i, -1);
    struct wakeups wakeups = {0};
    lock_acquire(&d.lock);
    struct sleeper *last = d.q.last;
    push__waitq_wake_all(&d.q, &wakeups);
    assert_true(waitq_empty(&d.q));
    assert_ptr_equal(wakeups.last, last);
    assert_ptr_not_equal(wakeups.first, last);
    push__waitq_wake_all(&d.q, &wakeups);
    lock_release(&d.lock);
    push__wakeups_send(&wakeups);
    for (int i = 0; i < SLEEPERS; i++) {
        assert_false(check_out(&guests[i]));
        assert_int_equal(guests[i].rc, 0);
    }
    dormitory_close(&d);
}

/* Who times out leaves the queue, wherever he stands in it, and the order of the others. */
static void test_a_timeout_leaves_the_others(void **state)
{
    (void)state;
    for (int late = 0; late < 3; late++) {
        struct dormitory d;
        struct guest guests[3];
        dormitory_open(&d);
        for (int i = 0; i < 3; i++)
            check_in(&d, &guests[i], i, i == late ? 1 : -1);
        assert_false(check_out(&guests[late]));
        assert_int_equal(guests[late].rc, -ETIMEDOUT);
        for (int i = 0; i < 3; i++) {
            if (i == late)
                continue;
            wake(&d);
            assert_false(check_out(&guests[i]));
            assert_int_equal(guests[i].rc, 0);
        }
        assert_int_equal(d.back, 3);
        dormitory_close(&d);
    }
}

/* A thread that is chosen when its deadline has passed, and has not got the lock back yet, counts as woken: it may
 * be back, and gone, before it is told. */
static void test_woken_at_the_deadline(void **state)
{
    (void)state;
    struct dormitory d;
    struct guest g;
    dormitory_open(&d);
    check_in(&d, &g, 0, 30);
    lock_acquire(&d.lock);
    struct deadline later = push__deadline_in(60);
    AWAIT(push__deadline_passed(&later));
    bool asleep = !waitq_empty(&d.q);
    struct wakeups wakeups = {0};
    push__waitq_wake(&d.q, &wakeups);
    lock_release(&d.lock);
    assert_false(check_out(&g));
    assert_int_equal(g.rc, asleep ? 0 : -ETIMEDOUT);
    assert_int_equal(g.free_again, !asleep);
    push__wakeups_send(&wakeups);
    dormitory_close(&d);
}

static void test_time_passes(void **state)
{
    (void)state;
    struct dormitory d;
    struct guest g;
    dormitory_open(&d);
    int64_t begin = now_ns();
    check_in(&d, &g, 0, 25);
    assert_false(check_out(&g));
    assert_int_equal(g.rc, -ETIMEDOUT);
    assert_true(g.free_again);
    assert_true(now_ns() - begin >= 25 * MILLISECOND);
    dormitory_close(&d);
}

/* ---- Cancellation ---------------------------------------------------------------------------------------- */

static void test_a_cancelled_sleeper_leaves_the_queue(void **state)
{
    (void)state;
    for (int gone = 0; gone < 3; gone++) {
        struct dormitory d;
        struct guest guests[3];
        dormitory_open(&d);
        for (int i = 0; i < 3; i++)
            check_in(&d, &guests[i], i, -1);
        assert_int_equal(pthread_cancel(guests[gone].thread), 0);
        assert_true(check_out(&guests[gone]));
        assert_int_equal(d.cancelled, 1);
        assert_int_equal(d.handed_on, 0);
        assert_true(d.lock_was_held);
        for (int i = 0; i < 3; i++) {
            if (i == gone)
                continue;
            wake(&d);
            assert_false(check_out(&guests[i]));
            assert_int_equal(guests[i].rc, 0);
        }
        dormitory_close(&d);
    }
}

/* The first is cancelled, and woken before it has the lock back: the wake-up goes on to the second. */
static void test_a_cancelled_sleeper_hands_its_wake_up_on(void **state)
{
    (void)state;
    int handed_on = 0;
    for (int i = 0; i < 100 && handed_on == 0; i++) {
        struct dormitory d;
        struct guest guests[2];
        dormitory_open(&d);
        check_in(&d, &guests[0], 0, -1);
        check_in(&d, &guests[1], 1, -1);
        struct wakeups wakeups = {0};
        lock_acquire(&d.lock);
        pthread_cancel(guests[0].thread);
        push__waitq_wake(&d.q, &wakeups);
        lock_release(&d.lock);
        bool cancelled = check_out(&guests[0]);
        push__wakeups_send(&wakeups); /* told before, it might come back and not be cancelled */
        if (!cancelled) {
            /* It was quicker than the cancellation. */
            assert_int_equal(guests[0].rc, 0);
            wake(&d);
        }
        assert_false(check_out(&guests[1]));
        assert_int_equal(guests[1].rc, 0);
        assert_true(d.lock_was_held);
        assert_int_equal(d.cancelled, cancelled);
        assert_int_equal(d.handed_on, cancelled);
        handed_on = d.handed_on;
        dormitory_close(&d);
    }
    assert_int_equal(handed_on, 1);
}

/* As many wake-ups as there are sleepers left: however cancels and wakes meet, each of those comes back. */
static void test_no_wake_up_is_lost_to_cancellation(void **state)
{
    (void)state;
    uint64_t seed = 1;
    for (int round = 0; round < SCALED(300); round++) {
        struct dormitory d;
        struct guest guests[SLEEPERS];
        bool doomed[SLEEPERS];
        int stay = 0;
        dormitory_open(&d);
        for (int i = 0; i < SLEEPERS; i++) {
            check_in(&d, &guests[i], i, -1);
            doomed[i] = random_next(&seed) % 2;
            stay += !doomed[i];
        }
        int wakes = stay;
        for (int i = 0; i < SLEEPERS; i++) {
            if (random_next(&seed) % 2 && wakes > 0) {
                wakes--;
                wake(&d);
            }
            if (doomed[i])
                assert_int_equal(pthread_cancel(guests[i].thread), 0);
        }
        while (wakes-- > 0)
            wake(&d);
        /* A doomed thread that came back before it was cancelled has used a wake-up: once all of them have gone,
         * the rest is owed. */
        int used = 0;
        for (int i = 0; i < SLEEPERS; i++) {
            if (doomed[i] && !check_out(&guests[i]))
                used++;
        }
        while (used-- > 0)
            wake(&d);
        for (int i = 0; i < SLEEPERS; i++) {
            if (!doomed[i]) {
                assert_false(check_out(&guests[i]));
                assert_int_equal(guests[i].rc, 0);
            }
        }
        assert_true(d.lock_was_held);
        dormitory_close(&d);
    }
}

/* ---- Failure --------------------------------------------------------------------------------------------- */

static void test_no_condition_variable(void **state)
{
    (void)state;
    struct sleeper *sleeper = NULL;
    cond_error = EPERM;
    assert_int_equal(push__sleeper_renew(&sleeper), -EPERM);
    assert_null(sleeper);
    cond_error = 0;
    assert_false(push__sleeper_is_free(sleeper));
    assert_int_equal(push__sleeper_renew(&sleeper), 0);
    assert_true(push__sleeper_is_free(sleeper));
    struct sleeper *first = sleeper;
    assert_int_equal(push__sleeper_renew(&sleeper), 0);
    assert_ptr_equal(sleeper, first);
    push__sleeper_unref(sleeper);
    push__sleeper_unref(NULL);
}

static void nobody_cancels(void *arg, bool woken, struct wakeups *wakeups)
{
    (void)arg, (void)woken, (void)wakeups;
}

/* Sleeps until a deadline that has passed: what is left in the queue is as it was. */
static void sleep_in_vain(struct dormitory *d, struct sleeper **sleeper)
{
    struct deadline passed = push__deadline_in(0);
    lock_acquire(&d->lock);
    assert_int_equal(push__waitq_sleep(&d->q, &d->lock, &passed, sleeper, nobody_cancels, NULL), -ETIMEDOUT);
    lock_release(&d->lock);
}

/* The same sleeper serves for many sleeps; but not while somebody is still to tell it of the last one. */
static void test_a_sleeper_is_free_again(void **state)
{
    (void)state;
    struct dormitory d;
    dormitory_open(&d);
    struct sleeper *sleeper = NULL;
    assert_false(push__sleeper_is_free(sleeper));
    assert_int_equal(push__sleeper_renew(&sleeper), 0);
    struct sleeper *first = sleeper;
    for (int i = 0; i < 3; i++) {
        sleep_in_vain(&d, &sleeper);
        assert_true(waitq_empty(&d.q));
        assert_int_equal(push__sleeper_renew(&sleeper), 0);
        assert_ptr_equal(sleeper, first);
    }
    push__sleeper_unref(sleeper);
    dormitory_close(&d);
}

/* Sleeps until chosen or its deadline, and then once more, until chosen. */
static void *sleep_twice(void *arg)
{
    struct guest *g = arg;
    struct dormitory *d = g->d;
    struct sleeper *sleeper = NULL;
    if (push__sleeper_renew(&sleeper) < 0)
        return NULL;
    struct sleeper *first = sleeper;
    struct deadline deadline = push__deadline_in(g->timeout_ms);
    lock_acquire(&d->lock);
    d->in_queue++;
    g->rc = push__waitq_sleep(&d->q, &d->lock, &deadline, &sleeper, nobody_cancels, NULL);
    lock_release(&d->lock);
    g->free_again = push__sleeper_is_free(sleeper);
    if (push__sleeper_renew(&sleeper) < 0 || (sleeper == first) != g->free_again)
        return NULL;
    deadline = push__deadline_in(-1);
    lock_acquire(&d->lock);
    d->in_queue++;
    g->rc += push__waitq_sleep(&d->q, &d->lock, &deadline, &sleeper, nobody_cancels, NULL);
    d->back++;
    lock_release(&d->lock);
    push__sleeper_unref(sleeper);
    return NULL;
}

static size_t checked_in(struct dormitory *d)
{
    lock_acquire(&d->lock);
    size_t n = (size_t)d->in_queue;
    lock_release(&d->lock);
    return n;
}

/* It was chosen at its deadline, is told while it sleeps again, and does not take the one for the other. */
static void test_told_late(void **state)
{
    (void)state;
    struct dormitory d;
    struct guest g = {.d = &d, .timeout_ms = 20, .rc = 1};
    dormitory_open(&d);
    assert_int_equal(pthread_create(&g.thread, NULL, sleep_twice, &g), 0);
    AWAIT(checked_in(&d) == 1);
    struct wakeups wakeups = {0};
    lock_acquire(&d.lock);
    struct deadline later = push__deadline_in(60);
    AWAIT(push__deadline_passed(&later));
    bool asleep = d.in_queue == 1 && !waitq_empty(&d.q);
    if (asleep)
        push__waitq_wake(&d.q, &wakeups);
    lock_release(&d.lock);
    AWAIT(checked_in(&d) == 2);
    assert_int_equal(g.free_again, !asleep);
    push__wakeups_send(&wakeups);
    assert_null(wakeups.first);
    lock_acquire(&d.lock);
    assert_false(waitq_empty(&d.q));
    assert_int_equal(d.back, 0);
    lock_release(&d.lock);
    wake(&d);
    assert_false(check_out(&g));
    assert_int_equal(g.rc, asleep ? 0 : -ETIMEDOUT);
    assert_int_equal(d.back, 1);
    dormitory_close(&d);
}

/* How a child ends that tells whom it has chosen, nobody, with a lock held or without. */
static int telling_status(bool holds_lock)
{
    pid_t child = fork();
    if (child == 0) {
        setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
        struct lock lock;
        if (push__lock_init(&lock, RANK_MAILBOX) < 0)
            _exit(2);
        struct wakeups wakeups = {0};
        if (holds_lock)
            lock_acquire(&lock);
        push__wakeups_send(&wakeups);
        _exit(0);
    }
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    return status;
}

static void test_nobody_is_told_under_a_lock(void **state)
{
    (void)state;
    int status = telling_status(false);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    status = telling_status(true);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
}

/* ---- Patience -------------------------------------------------------------------------------------------- */

/* Of eight waits that each end in a long sleep, how many yield at all. */
static int count_probes(patience p)
{
    int probes = 0;
    for (int i = 0; i < 8; i++) {
        assert_in_range(patience_yields(p), 0, 1);
        probes += patience_yields(p) > 0;
        p = patience_after_sleep(p, SECOND);
    }
    return probes;
}

static void test_patience(void **state)
{
    (void)state;
    patience p = patience_after_sleep(PATIENCE_MAX, SECOND);
    assert_int_equal(patience_yields(p), 0);
    assert_int_equal(count_probes(p), 1);
    assert_int_equal(count_probes(patience_after_sleep(p, UINT64_MAX)), 1);
    /* Success makes for more of it, up to the limit. */
    for (int i = 0; i < 20; i++) {
        patience next = patience_after_yield(p, 1);
        assert_true(patience_yields(next) > patience_yields(p) || next == PATIENCE_MAX);
        p = next;
    }
    assert_int_equal(p, PATIENCE_MAX);
    /* Sleeps too short to be worth it do, too. */
    assert_int_equal(patience_after_sleep(1, 20 * 1000), PATIENCE_MAX);
    assert_int_equal(patience_after_sleep(PATIENCE_RESTS, 20 * 1000), PATIENCE_MAX);
    /* Yields that took as long as a quick sleep make for less, and so do sleeps as quick, down to none. */
    assert_int_equal(patience_after_yield(PATIENCE_MAX, PATIENCE_MAX), PATIENCE_MAX / 2);
    for (int i = 0; i < 6; i++)
        p = patience_after_sleep(p, 1000);
    assert_int_equal(patience_yields(p), 0);
}

#define CLOCK_TEST(function)                                                                                       \
    cmocka_unit_test_prestate_setup_teardown(function, test_begin, restore_clock, (void *)#function)

static const struct CMUnitTest tests[] = {CLOCK_TEST(test_no_deadline),
                                          CLOCK_TEST(test_deadlines_are_exact),
                                          TEST(test_no_lock),
                                          TEST(test_ranks_are_asserted),
                                          TEST(test_a_rank_not_held_cannot_be_left),
                                          TEST(test_first_come_first_woken),
                                          TEST(test_wake_all),
                                          TEST(test_a_timeout_leaves_the_others),
                                          TEST(test_woken_at_the_deadline),
                                          TEST(test_time_passes),
                                          TEST(test_a_cancelled_sleeper_leaves_the_queue),
                                          TEST(test_a_cancelled_sleeper_hands_its_wake_up_on),
                                          TEST(test_no_wake_up_is_lost_to_cancellation),
                                          TEST(test_a_sleeper_is_free_again),
                                          TEST(test_told_late),
                                          TEST(test_nobody_is_told_under_a_lock),
                                          TEST(test_no_condition_variable),
                                          TEST(test_patience)};

TEST_MAIN(tests)
