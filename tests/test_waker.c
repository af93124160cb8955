/* The waker: readable as its owner says, one token at most, and no cancellation point. Built twice: with eventfd,
 * and with the pipe that stands in for it elsewhere. */
#include "helpers.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "waker.h"

/* Every other read and write is interrupted by a signal, or all fail, where a test says so. */
static bool interrupting;
static int failing_with;
static atomic_int interruptions;
static atomic_int system_calls;

static bool fails(void)
{
    if (failing_with) {
        atomic_fetch_add(&system_calls, 1);
        errno = failing_with;
        return true;
    }
    if (atomic_fetch_add(&system_calls, 1) % 2 || !interrupting)
        return false;
    atomic_fetch_add(&interruptions, 1);
    errno = EINTR;
    return true;
}

ssize_t __real_read(int fd, void *buf, size_t size);
ssize_t __wrap_read(int fd, void *buf, size_t size);
ssize_t __wrap_read(int fd, void *buf, size_t size)
{
    return fails() ? -1 : __real_read(fd, buf, size);
}

ssize_t __real_write(int fd, const void *buf, size_t size);
ssize_t __wrap_write(int fd, const void *buf, size_t size);
ssize_t __wrap_write(int fd, const void *buf, size_t size)
{
    return fails() ? -1 : __real_write(fd, buf, size);
}

static void test_closed(void **state)
{
    (void)state;
    struct waker waker = WAKER_CLOSED;
    assert_false(waker_is_open(&waker));
    push__waker_raise(&waker);
    push__waker_clear(&waker);
    push__waker_close(&waker);
    assert_false(waker_is_open(&waker));
    assert_false(waker.raised);
}

static void test_level(void **state)
{
    (void)state;
    int before = count_descriptors();
    struct waker waker = WAKER_CLOSED;
    assert_int_equal(push__waker_open(&waker), 0);
    assert_true(waker_is_open(&waker));
    assert_false(readable(waker.read_fd));
    for (int i = 0; i < 3; i++) {
        /* Clearing what is not raised, and raising what is, does nothing. */
        for (int j = 0; j < 3; j++) {
            push__waker_clear(&waker);
            assert_false(readable(waker.read_fd));
        }
        for (int j = 0; j < 3; j++) {
            push__waker_raise(&waker);
            assert_true(readable(waker.read_fd));
            assert_true(readable(waker.read_fd));
        }
    }
    push__waker_close(&waker);
    assert_false(waker_is_open(&waker));
    push__waker_close(&waker);
    assert_int_equal(count_descriptors(), before);
}

/* Only a change costs a system call. */
static void test_no_change_costs_nothing(void **state)
{
    (void)state;
    struct waker waker = WAKER_CLOSED;
    assert_int_equal(push__waker_open(&waker), 0);
    atomic_store(&system_calls, 0);
    for (int i = 1; i <= 5; i++) {
        for (int j = 0; j < 10; j++)
            push__waker_clear(&waker);
        for (int j = 0; j < 10; j++)
            push__waker_raise(&waker);
        assert_int_equal(atomic_load(&system_calls), 2 * i - 1);
        push__waker_clear(&waker);
        assert_int_equal(atomic_load(&system_calls), 2 * i);
    }
    push__waker_close(&waker);
}

/* More than a descriptor could hold, if each raise wrote to it. */
static void test_one_token_at_most(void **state)
{
    (void)state;
    struct waker waker = WAKER_CLOSED;
    assert_int_equal(push__waker_open(&waker), 0);
    for (int i = 0; i < 100000; i++)
        push__waker_raise(&waker);
    uint64_t token = 0;
    assert_int_equal(read(waker.read_fd, &token, sizeof(token)), sizeof(token));
    assert_int_equal(token, 1);
    assert_int_equal(read(waker.read_fd, &token, sizeof(token)), -1);
    assert_int_equal(errno, EAGAIN);
    push__waker_close(&waker);
}

static void test_descriptor_flags(void **state)
{
    (void)state;
    struct waker waker = WAKER_CLOSED;
    assert_int_equal(push__waker_open(&waker), 0);
    int fds[] = {waker.read_fd, waker.write_fd};
    for (size_t i = 0; i < COUNT(fds); i++) {
        assert_true(fcntl(fds[i], F_GETFL) & O_NONBLOCK);
        assert_true(fcntl(fds[i], F_GETFD) & FD_CLOEXEC);
    }
    push__waker_close(&waker);
}

static void test_no_descriptors_left(void **state)
{
    (void)state;
    int before = count_descriptors();
    struct rlimit limit;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    int fd = dup(STDERR_FILENO);
    assert_true(fd >= 0);
    close(fd);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &(struct rlimit){(rlim_t)fd, limit.rlim_max}), 0);
    struct waker waker = WAKER_CLOSED;
    int rc = push__waker_open(&waker);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    assert_int_equal(rc, -EMFILE);
    assert_false(waker_is_open(&waker));
    assert_int_equal(count_descriptors(), before);
    assert_int_equal(push__waker_open(&waker), 0);
    push__waker_close(&waker);
}

static void test_signals_do_not_disturb(void **state)
{
    (void)state;
    struct waker waker = WAKER_CLOSED;
    assert_int_equal(push__waker_open(&waker), 0);
    atomic_store(&interruptions, 0);
    interrupting = true;
    for (int i = 0; i < 10; i++) {
        push__waker_raise(&waker);
        bool raised = readable(waker.read_fd);
        push__waker_clear(&waker);
        bool cleared = !readable(waker.read_fd);
        assert_true(raised && cleared);
    }
    interrupting = false;
    assert_true(atomic_load(&interruptions) >= 10);
    push__waker_close(&waker);
}

/* No second try of what cannot be done. */
static void test_other_errors_end_it(void **state)
{
    (void)state;
    static const int errors[] = {EAGAIN, EIO};
    for (size_t i = 0; i < COUNT(errors); i++) {
        struct waker waker = WAKER_CLOSED;
        assert_int_equal(push__waker_open(&waker), 0);
        atomic_store(&system_calls, 0);
        failing_with = errors[i];
        push__waker_raise(&waker);
        push__waker_clear(&waker);
        failing_with = 0;
        assert_int_equal(atomic_load(&system_calls), 2);
        push__waker_close(&waker);
    }
}

struct doomed {
    int steps;
    int state_after;
};

static void *use_with_a_cancel_pending(void *arg)
{
    struct doomed *d = arg;
    struct waker waker = WAKER_CLOSED;
    pthread_cancel(pthread_self());
    push__waker_open(&waker);
    d->steps++;
    push__waker_raise(&waker);
    d->steps++;
    push__waker_clear(&waker);
    d->steps++;
    push__waker_close(&waker);
    d->steps++;
    pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, &d->state_after);
    pthread_testcancel();
    d->steps++;
    return NULL;
}

static void test_no_cancellation_point(void **state)
{
    (void)state;
    struct doomed d = {0, -1};
    pthread_t thread;
    void *value = NULL;
    assert_int_equal(pthread_create(&thread, NULL, use_with_a_cancel_pending, &d), 0);
    assert_int_equal(pthread_join(thread, &value), 0);
    assert_ptr_equal(value, PTHREAD_CANCELED);
    assert_int_equal(d.steps, 4);
    assert_int_equal(d.state_after, PTHREAD_CANCEL_ENABLE);
}

static void test_the_expected_kind(void **state)
{
    (void)state;
    struct waker waker = WAKER_CLOSED;
    assert_int_equal(push__waker_open(&waker), 0);
#if defined(__linux__) && !defined(PUSH_USE_PIPE)
    assert_int_equal(waker.read_fd, waker.write_fd);
#else
    assert_int_not_equal(waker.read_fd, waker.write_fd);
#endif
    push__waker_close(&waker);
}

static const struct CMUnitTest tests[] = {TEST(test_closed),
                                          TEST(test_level),
                                          TEST(test_no_change_costs_nothing),
                                          TEST(test_one_token_at_most),
                                          TEST(test_descriptor_flags),
                                          TEST(test_no_descriptors_left),
                                          TEST(test_signals_do_not_disturb),
                                          TEST(test_other_errors_end_it),
                                          TEST(test_no_cancellation_point),
                                          TEST(test_the_expected_kind)};

TEST_MAIN(tests)
