/*
 * What the test programs share: a watchdog and leak checks around each test, short forms for messages, and
 * calls of the library made on other threads.
 *
 * Worker threads must not use cmocka's asserts (a failing one ends the program): they use EXPECT, which records,
 * and the main thread's test ends with the record looked at.
 *
 * Include it first: it sets the feature macros.
 */
#ifndef PUSH_TESTS_HELPERS_H
#define PUSH_TESTS_HELPERS_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>

#include <cmocka.h>

#include <push/push.h>

/* ---- Scale ----------------------------------------------------------------------------------------------- */

#if defined(SANITIZER_SLOWDOWN)
/* The build says. */
#elif defined(__SANITIZE_THREAD__)
#define SANITIZER_SLOWDOWN 3
#elif defined(__SANITIZE_ADDRESS__)
#define SANITIZER_SLOWDOWN 2
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define SANITIZER_SLOWDOWN 3
#elif __has_feature(address_sanitizer) || __has_feature(memory_sanitizer)
#define SANITIZER_SLOWDOWN 2
#endif
#endif
#ifndef SANITIZER_SLOWDOWN
#define SANITIZER_SLOWDOWN 1
#endif

/* How often a stress test repeats: n in a plain build, fewer under a sanitizer. */
#define SCALED(n) ((n) / SANITIZER_SLOWDOWN)

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* ---- The frame of a test ---------------------------------------------------------------------------------
 * Before: the watchdog is set. After: push_shutdown, then no block, descriptor or thread may be left over, and no
 * EXPECT may have failed. */

#define TEST(function) cmocka_unit_test_prestate_setup_teardown(function, test_begin, test_end, (void *)#function)

int test_begin(void **state);
int test_end(void **state);

/* The main function of every test program: sets the counting allocator and runs the tests. */
#define TEST_MAIN(tests)                                                                                           \
    int main(int argc, char **argv)                                                                                \
    {                                                                                                              \
        helpers_init();                                                                                            \
        if (argc > 1)                                                                                              \
            cmocka_set_test_filter(argv[1]);                                                                       \
        return cmocka_run_group_tests(tests, NULL, NULL);                                                          \
    }

void helpers_init(void);

/* Ends the program, with a word why, when the test takes longer than that. */
void watchdog(const char *what, unsigned seconds);

/* Blocks that the library holds now. */
long blocks_held(void);
/* Lets the next `successes` allocations through and fails all later ones; a negative number ends it. */
void fail_allocations_after(long successes);
/* Allocations refused since fail_allocations_after was last called. */
long allocations_failed(void);

/* fork(2) while no thread is inside of the allocator, which the sanitizers' would not survive. */
pid_t fork_quietly(void);

int count_descriptors(void);
int count_threads(void);

/* For worker threads: records the first failure, for assert_expectations in the main thread. */
#define EXPECT(condition) expect((condition), #condition, __FILE__, __LINE__)
bool expect(bool condition, const char *text, const char *file, int line);
void assert_expectations(void);

/* ---- Time and states ------------------------------------------------------------------------------------- */

int64_t now_ns(void);
#define MILLISECOND INT64_C(1000000)
#define SECOND (1000 * MILLISECOND)

/* The longest that a test waits for something that must happen. */
#define PATIENCE (20 * SECOND)

/* Looks again and again until the condition holds, or patience runs out. */
#define AWAIT(condition)                                                                                           \
    for (int64_t await_end_ = now_ns() + PATIENCE; !(condition) && now_ns() < await_end_;)                         \
    pause_briefly()
#define assert_eventually(condition)                                                                               \
    do {                                                                                                           \
        AWAIT(condition);                                                                                          \
        assert_true(condition);                                                                                    \
    } while (0)
void pause_briefly(void);

/* True once that thread of this process has been seen asleep in the kernel, and undisturbed, for a while. */
bool thread_settled(pid_t tid);

bool readable(int fd);
bool descriptor_open(int fd);

/* ---- Messages -------------------------------------------------------------------------------------------- */

push_msg *text_msg(const char *text);
bool msg_is(const push_msg *msg, const char *text);

/* A message that counts how often it was freed, and by whom. */
struct tracked {
    atomic_int freed;
    pthread_t by;
    char bytes[8];
};
push_msg *tracked_msg(struct tracked *t);

/* Pushes without waiting. */
int send_text(push_client *c, const char *text, push_report *report);
int send_all_text(push_session *s, const char *text, push_report *report);

/* The mailbox takes that text, now. */
#define assert_put(c, text) assert_put_(c, text, __FILE__, __LINE__)
void assert_put_(push_client *c, const char *text, const char *file, int line);

/* The next message, now, is that text, and so many were lost before it. */
#define assert_next(c, lost, text) assert_next_(c, lost, text, __FILE__, __LINE__)
void assert_next_(push_client *c, int lost, const char *text, const char *file, int line);

/* There is nothing to pull, and the client is open. */
#define assert_empty(c) assert_error_(c, -EAGAIN, __FILE__, __LINE__)
/* The client is closed, and every kind of pull says so. */
#define assert_drained(c) assert_error_(c, -EPIPE, __FILE__, __LINE__)
void assert_error_(push_client *c, int error, const char *file, int line);

/* A message of that text: lets it go. */
#define assert_text(msg, text) assert_text_(msg, text, __FILE__, __LINE__)
void assert_text_(push_msg *msg, const char *text, const char *file, int line);

#define assert_report(r, delivered_, dropped_, disconnected_, timed_out_)                                          \
    do {                                                                                                           \
        assert_int_equal((r).delivered, delivered_);                                                               \
        assert_int_equal((r).dropped, dropped_);                                                                   \
        assert_int_equal((r).disconnected, disconnected_);                                                         \
        assert_int_equal((r).timed_out, timed_out_);                                                               \
    } while (0)

/* A NULL result with that errno. */
#define assert_null_errno(expression, error)                                                                       \
    do {                                                                                                           \
        errno = 0;                                                                                                 \
        assert_null(expression);                                                                                   \
        assert_int_equal(errno, error);                                                                            \
    } while (0)

push_client_stats stats_of(push_client *c);
push_session *session(const char *id);                                   /* without clients */
push_client *client(push_session *s, const char *id, size_t max_buffer); /* blocking */
push_client *client_with(push_session *s, const char *id, size_t max_buffer, push_overflow overflow);

/* ---- Calls on another thread ----------------------------------------------------------------------------- */

enum call_kind {
    CALL_PULL,       /* push_client_pull */
    CALL_PULL_BY_ID, /* push_session_pull */
    CALL_PULL_MANY,  /* push_client_pull_many, up to CALL_MANY */
    CALL_SEND,       /* push_client_send */
    CALL_SEND_ALL,   /* push_session_send */
    CALL_PUSH,       /* push_session_push */
    CALL_WAIT        /* push_poller_wait, up to CALL_MANY */
};
#define CALL_MANY 8

struct call; /* on the heap, so that a failed test leaves no thread with a dead stack */

struct result {
    int rc;
    push_msg *msg; /* of the pulls; the test's to let go */
    push_msg *many[CALL_MANY];
    size_t lost;
    push_report report;
    push_event events[CALL_MANY];
    int64_t ns; /* how long it took */
};

struct call *begin_pull(push_client *c, int timeout_ms);
struct call *begin_pull_by_id(push_session *s, push_id id, int timeout_ms);
struct call *begin_pull_many(push_client *c, int timeout_ms);
struct call *begin_send(push_client *c, const char *text, int timeout_ms);
struct call *begin_send_msg(push_client *c, push_msg *msg, int timeout_ms); /* takes a reference */
struct call *begin_send_all(push_session *s, const char *text, push_id except, int timeout_ms);
struct call *begin_send_all_msg(push_session *s, push_msg *msg, push_id except, int timeout_ms);
struct call *begin_push(push_session *s, const char *text);
struct call *begin_wait(push_poller *p, int timeout_ms);

/* Waits until the thread sleeps inside of the call. */
#define assert_asleep(call) assert_asleep_(call, __FILE__, __LINE__)
void assert_asleep_(struct call *call, const char *file, int line);

bool call_done(struct call *call);
pthread_t call_thread(struct call *call);
/* Waits for the call to return, and frees it. */
struct result finish(struct call *call);
/* Waits for the cancelled thread, and frees the call. False: the call had returned; what it pulled is let go. */
bool finish_cancelled(struct call *call);
/* Of a thread that was woken, and cancelled before it ran, glibc's wait is cancelled. musl's returns, with the
 * cancellation still to come: there this skips the test, which has nothing to look at. */
void need_cancellation_to_win(void);

/* Holds the thread of a call that sleeps, wherever it stands (a signal handler does not return), until
 * thaw_all: what happens meanwhile, happens between its being woken and its running on. */
void freeze(struct call *call);
void thaw_all(void);

/* ---- Crews of threads ------------------------------------------------------------------------------------ */

/* Runs `function` on n threads, the i-th with (char *)args + i * size; all start together. */
struct crew;
struct crew *crew_start(size_t n, void (*function)(void *), void *args, size_t size);
void crew_join(struct crew *crew);
void crew_run(size_t n, void (*function)(void *), void *args, size_t size);

/* A random number generator of the test's own: the same numbers in each run. */
uint32_t random_next(uint64_t *state);

#endif
