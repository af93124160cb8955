/*
 * The process around the library: fork, signals, the allocator, shutdown and use again, and that nothing is left.
 *
 * What needs a process that has not used the library yet runs in a child that executes this program anew, with the
 * name of its scene as the argument. Children report by their exit status.
 */
#include "helpers.h"

#include <sched.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

/* For children: no cmocka there. */
#define CHILD(condition)                                                                                           \
    do {                                                                                                           \
        if (!(condition)) {                                                                                        \
            fprintf(stderr, "%s:%d: a child expected %s\n", __FILE__, __LINE__, #condition);                       \
            _exit(1);                                                                                              \
        }                                                                                                          \
    } while (0)

static int wait_for(pid_t child)
{
    int status = 0;
    pid_t rc;
    do {
        rc = waitpid(child, &status, 0);
    } while (rc < 0 && errno == EINTR);
    assert_int_equal(rc, child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* The child's exit status: 0 where all it expected was so. */
static int in_a_child(void (*function)(void *), void *arg)
{
    fflush(NULL);
    pid_t child = fork_quietly();
    if (child == 0) {
        watchdog("a child", SANITIZER_SLOWDOWN > 1 ? 60 : 30);
        function(arg);
        _exit(0);
    }
    assert_true(child > 0);
    return wait_for(child);
}

/* ---- The allocator ----------------------------------------------------------------------------------------- */

static atomic_long made;
static atomic_long freed;
static atomic_bool refuses;

static void *own_malloc(size_t size)
{
    if (atomic_load(&refuses))
        return NULL;
    atomic_fetch_add(&made, 1);
    return malloc(size);
}

static void *own_realloc(void *p, size_t size)
{
    if (atomic_load(&refuses))
        return NULL;
    if (!p)
        atomic_fetch_add(&made, 1);
    return realloc(p, size);
}

static void own_free(void *p)
{
    if (p)
        atomic_fetch_add(&freed, 1);
    free(p);
}

static int set_own_allocator(void)
{
    return push_set_allocator(own_malloc, own_realloc, own_free);
}

/* Something of everything that needs memory; gone again at the end. */
static void use_everything(void)
{
    push_session *s = push_session_new(PUSH_ID("s"), PUSH_ID("c"), 3);
    CHILD(s != NULL);
    push_client *c = push_client_open(PUSH_ID("t"), PUSH_ID("d"), NULL);
    CHILD(c != NULL);
    push_poller *p = push_poller_new();
    CHILD(p != NULL);
    CHILD(push_poller_add(p, c, NULL) == 0);
    CHILD(push_client_fd(c) >= 0);
    CHILD(push_session_push(s, "hello", 5) == 1);
    CHILD(push_session_push(push_client_session(c), "hello", 5) == 1);
    push_event event;
    CHILD(push_poller_wait(p, &event, 1, 0) == 1);
    push_msg *msg;
    CHILD(push_client_pull(c, &msg, 0) == 0);
    CHILD(push_client_unpull(c, msg) == 0);
    size_t count;
    push_id *ids = push_sessions(&count);
    CHILD(ids != NULL && count == 2);
    push_ids_free(ids);
    push_poller_free(p);
    push_client_unref(c);
    push_session_unref(s);
    push_shutdown();
}

static void allocator_is_used_for_everything(void)
{
    CHILD(set_own_allocator() == 0);
    CHILD(made == 0);
    use_everything();
    CHILD(made > 5);
    CHILD(made == freed);
}

static void a_bad_allocator_is_refused_and_changes_nothing(void)
{
    CHILD(push_set_allocator(NULL, own_realloc, own_free) == -EINVAL);
    CHILD(push_set_allocator(own_malloc, NULL, own_free) == -EINVAL);
    CHILD(push_set_allocator(own_malloc, own_realloc, NULL) == -EINVAL);
    CHILD(push_set_allocator(NULL, NULL, NULL) == -EINVAL);
    /* It was no use of the library. */
    CHILD(set_own_allocator() == 0);
    use_everything();
    CHILD(made > 0 && made == freed);
}

static void too_late_after_a_session(void)
{
    push_session_unref(push_session_new(PUSH_ID("s"), PUSH_ID_NONE, 0));
    CHILD(set_own_allocator() == -EBUSY);
    use_everything();
    CHILD(made == 0 && freed == 0);
}

static void too_late_after_a_message(void)
{
    push_msg_unref(push_msg_new("x", 1));
    CHILD(set_own_allocator() == -EBUSY);
    use_everything();
    CHILD(made == 0 && freed == 0);
}

static void too_late_after_a_poller(void)
{
    push_poller_free(push_poller_new());
    CHILD(set_own_allocator() == -EBUSY);
    CHILD(push_set_allocator(NULL, NULL, NULL) == -EINVAL); /* beats it */
    use_everything();
    CHILD(made == 0 && freed == 0);
}

static void too_late_after_a_shutdown(void)
{
    use_everything();
    CHILD(set_own_allocator() == -EBUSY);
    use_everything();
    CHILD(made == 0 && freed == 0);
}

static void an_allocator_that_has_nothing(void)
{
    CHILD(set_own_allocator() == 0);
    atomic_store(&refuses, true);
    CHILD(push_session_new(PUSH_ID("s"), PUSH_ID("c"), 3) == NULL && errno == ENOMEM);
    CHILD(push_client_open(PUSH_ID("s"), PUSH_ID("c"), NULL) == NULL && errno == ENOMEM);
    CHILD(push_msg_new("x", 1) == NULL && errno == ENOMEM);
    CHILD(push_poller_new() == NULL && errno == ENOMEM);
    CHILD(push_session_find(PUSH_ID("s")) == NULL && (errno == ENOENT || errno == ENOMEM));
    CHILD(!push_session_exists(PUSH_ID("s")));
    CHILD(!push_session_delete(PUSH_ID("s")));
    atomic_store(&refuses, false);
    use_everything();
    CHILD(made == freed);
}

/* The first thing that is asked of the library is something that needs nothing. */
static void questions_come_first(void)
{
    push_shutdown();
    CHILD(!push_session_exists(PUSH_ID("s")));
    CHILD(!push_session_delete(PUSH_ID("s")));
    CHILD(!push_session_delete_if_empty(PUSH_ID("s")));
    errno = 0;
    CHILD(push_session_find(PUSH_ID("s")) == NULL && errno == ENOENT);
    size_t count = 99;
    push_id *ids = push_sessions(&count);
    CHILD(ids != NULL && count == 0);
    push_ids_free(ids);
    push_shutdown();
    use_everything();
}

static const struct scene {
    const char *name;
    void (*play)(void);
} scenes[] = {
    {"used for everything", allocator_is_used_for_everything},
    {"bad ones refused", a_bad_allocator_is_refused_and_changes_nothing},
    {"after a session", too_late_after_a_session},
    {"after a message", too_late_after_a_message},
    {"after a poller", too_late_after_a_poller},
    {"after a shutdown", too_late_after_a_shutdown},
    {"nothing to be had", an_allocator_that_has_nothing},
    {"questions first", questions_come_first},
};

/* An emulated machine's programs are none to the system that would have to start them: the emulator is. */
static void execute_anew(const char *scene)
{
    const char *emulator = getenv("PUSH_TESTS_EMULATOR");
    char program[4096];
    ssize_t n = readlink("/proc/self/exe", program, sizeof(program) - 1);
    if (n < 0)
        return;
    program[n] = '\0';
    if (emulator)
        execl(emulator, emulator, program, scene, (char *)NULL);
    else
        execl(program, program, scene, (char *)NULL);
}

static void rules_of_the_allocator(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(scenes); i++) {
        fflush(NULL);
        pid_t child = fork();
        if (child == 0) {
            execute_anew(scenes[i].name);
            _exit(99);
        }
        assert_true(child > 0);
        int rc = wait_for(child);
        if (rc != 0)
            print_error("scene \"%s\"\n", scenes[i].name);
        assert_int_equal(rc, 0);
    }
}

static int play_scene(const char *name)
{
    watchdog(name, 30);
    for (size_t i = 0; i < COUNT(scenes); i++) {
        if (strcmp(scenes[i].name, name) == 0) {
            scenes[i].play();
            return 0;
        }
    }
    return 98;
}

/* ---- fork ------------------------------------------------------------------------------------------------- */

static void begin_anew(void *arg)
{
    (void)arg;
    long at_first = blocks_held();
    size_t count = 99;
    push_id *ids = push_sessions(&count);
    CHILD(ids != NULL && count == 0);
    push_ids_free(ids);
    CHILD(!push_session_exists(PUSH_ID("alice")));
    errno = 0;
    CHILD(push_session_find(PUSH_ID("alice")) == NULL && errno == ENOENT);
    CHILD(!push_session_delete(PUSH_ID("alice")));

    /* The same ids, anew. */
    push_session *s = push_session_new(PUSH_ID("alice"), PUSH_ID("phone"), 2);
    CHILD(s != NULL);
    CHILD(push_session_len(s) == 1);
    push_msg *msg;
    CHILD(push_session_pull(s, PUSH_ID("phone"), &msg, 0) == -EAGAIN);
    CHILD(push_session_push(s, "child", 5) == 1);
    int fd = push_session_pull_fd(s, PUSH_ID("phone"));
    CHILD(fd >= 0 && readable(fd));
    CHILD(push_session_pull(s, PUSH_ID("phone"), &msg, 0) == 0);
    CHILD(msg_is(msg, "child"));
    push_msg_unref(msg);
    CHILD(push_session_pull(s, PUSH_ID("phone"), &msg, 5) == -ETIMEDOUT);
    CHILD(!readable(fd));
    push_session_unref(s);
    push_shutdown();
    use_everything();
    CHILD(!push_session_exists(PUSH_ID("alice")));
    CHILD(blocks_held() <= at_first);
}

static void the_child_starts_empty_and_the_parent_goes_on(void **state)
{
    (void)state;
    push_session *s = session("alice");
    push_client *c = client(s, "phone", 3);
    push_client *quiet = client(s, "quiet", 3);
    push_poller *p = push_poller_new();
    assert_int_equal(push_poller_add(p, c, NULL), 0);
    int fd = push_client_fd(c);
    int quiet_fd = push_client_fd(quiet);
    int poller_fd = push_poller_fd(p);
    assert_put(c, "1");
    assert_put(c, "2");
    for (int i = 0; i < 3; i++) {
        assert_int_equal(in_a_child(begin_anew, NULL), 0);
        assert_true(readable(fd)); /* the child has not emptied what it inherited */
        assert_true(readable(poller_fd));
        assert_false(readable(quiet_fd));
    }
    assert_true(push_session_exists(PUSH_ID("alice")));
    assert_int_equal(push_session_len(s), 2);
    push_event event;
    assert_int_equal(push_poller_wait(p, &event, 1, 0), 1);
    assert_next(c, 0, "1");
    assert_next(c, 0, "2");
    assert_empty(c);
    assert_false(readable(fd));
    assert_int_equal(push_session_push(s, "3", 1), 2);
    assert_true(readable(quiet_fd));
    assert_next(quiet, 0, "3");
    push_poller_free(p);
    push_client_unref(c);
    push_client_unref(quiet);
    push_session_unref(s);
}

static void fork_again(void *arg)
{
    begin_anew(arg);
    push_session *s = push_session_new(PUSH_ID("alice"), PUSH_ID("phone"), 2);
    CHILD(push_session_push(s, "kept", 4) == 1);
    fflush(NULL);
    pid_t grandchild = fork_quietly();
    CHILD(grandchild >= 0);
    if (grandchild == 0) {
        begin_anew(arg);
        _exit(0);
    }
    int status = 0;
    CHILD(waitpid(grandchild, &status, 0) == grandchild);
    CHILD(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    push_msg *msg;
    CHILD(push_session_pull(s, PUSH_ID("phone"), &msg, 0) == 0);
    CHILD(msg_is(msg, "kept"));
    push_msg_unref(msg);
}

static void grandchildren_start_empty_too(void **state)
{
    (void)state;
    push_session *s = push_session_new(PUSH_ID("alice"), PUSH_ID("phone"), 2);
    assert_int_equal(push_session_push(s, "parent", 6), 1);
    assert_int_equal(in_a_child(fork_again, NULL), 0);
    push_client *c = push_client_find(s, PUSH_ID("phone"));
    assert_next(c, 0, "parent");
    push_client_unref(c);
    push_session_unref(s);
}

/* The child waits, and is woken, on threads of its own. */
static void *pull_one(void *arg)
{
    push_msg *msg = NULL;
    CHILD(push_client_pull(arg, &msg, -1) == 0);
    return msg;
}

static void use_threads(void *arg)
{
    (void)arg;
    push_client *c = push_client_open(PUSH_ID("alice"), PUSH_ID("phone"), NULL);
    pthread_t thread;
    void *msg;
    CHILD(pthread_create(&thread, NULL, pull_one, c) == 0);
    CHILD(push_session_push(push_client_session(c), "x", 1) == 1);
    CHILD(pthread_join(thread, &msg) == 0);
    CHILD(msg_is(msg, "x"));
    push_msg_unref(msg);
}

static void the_child_may_use_threads(void **state)
{
    (void)state;
    push_session *s = push_session_new(PUSH_ID("alice"), PUSH_ID("phone"), 2);
    assert_int_equal(in_a_child(use_threads, NULL), 0);
    push_session_unref(s);
}

/* Forked at any moment of what other threads do, locks held and half-done work included. */
static atomic_bool stop;

static void keep_busy(void *arg)
{
    uint64_t seed = *(uint64_t *)arg;
    while (!atomic_load(&stop)) {
        push_client *c =
            push_client_open(push_id_int(random_next(&seed) % 100), push_id_int(random_next(&seed) % 3), NULL);
        EXPECT(c != NULL);
        push_msg *msg = push_msg_new("x", 1);
        EXPECT(msg != NULL);
        push_session_send(push_client_session(c), msg, PUSH_ID_NONE, 0, NULL);
        push_msg_unref(msg);
        if (push_client_pull(c, &msg, 0) >= 0)
            push_msg_unref(msg);
        EXPECT(random_next(&seed) % 8 != 0 || push_client_fd(c) >= 0);
        push_ids_free(push_sessions(NULL));
        push_client_delete(c);
        push_client_unref(c);
    }
}

static void forked_while_others_are_at_it(void **state)
{
    (void)state;
    push_session *s = session("alice");
    push_client *full = client(s, "full", 1);
    push_client *empty = client(s, "empty", 1);
    push_poller *p = push_poller_new();
    assert_int_equal(push_poller_add(p, empty, NULL), 0);
    assert_put(full, "fill");
    struct call *push = begin_send(full, "late", -1);
    struct call *pull = begin_pull_by_id(s, PUSH_ID("empty"), -1);
    struct call *wait = begin_wait(p, -1);
    assert_asleep(push);
    assert_asleep(pull);
    assert_asleep(wait);
    uint64_t seeds[] = {1, 2};
    atomic_store(&stop, false);
    struct crew *crew = crew_start(COUNT(seeds), keep_busy, seeds, sizeof(seeds[0]));
    int rc = 0;
    for (int i = 0; i < SCALED(150) + 10 && rc == 0; i++)
        rc = in_a_child(begin_anew, NULL);
    atomic_store(&stop, true);
    crew_join(crew);
    assert_int_equal(rc, 0);
    assert_expectations();
    assert_asleep(push);
    assert_asleep(pull);
    assert_next(full, 0, "fill");
    assert_int_equal(finish(push).rc, 1);
    assert_next(full, 0, "late");
    push_poller_wake(p);
    assert_int_equal(finish(wait).rc, 0);
    assert_put(empty, "x");
    assert_text(finish(pull).msg, "x");
    push_poller_free(p);
    push_client_unref(full);
    push_client_unref(empty);
    push_session_unref(s);
}

/* ---- Signals ---------------------------------------------------------------------------------------------- */

static atomic_int handled;

static void count_signal(int signal_number)
{
    (void)signal_number;
    atomic_fetch_add(&handled, 1);
}

/* Without SA_RESTART: a system call that can be interrupted is. */
static void handle_signals(void)
{
    struct sigaction action = {.sa_handler = count_signal};
    assert_int_equal(sigaction(SIGUSR2, &action, NULL), 0);
}

static void pester(struct call *call, int times)
{
    handle_signals();
    for (int i = 0; i < times; i++) {
        int before = atomic_load(&handled);
        assert_int_equal(pthread_kill(call_thread(call), SIGUSR2), 0);
        assert_eventually(atomic_load(&handled) > before);
    }
}

static void a_signal_does_not_end_a_wait(void **state)
{
    (void)state;
    push_session *pushed = session("pushed");
    push_client *full = client(pushed, "full", 1);
    push_client *none = client(pushed, "none", 0);
    push_session *pulled = session("pulled");
    push_client *empty = client(pulled, "empty", 5);
    push_poller *p = push_poller_new();
    assert_int_equal(push_poller_add(p, empty, NULL), 0);
    assert_put(full, "fill");
    struct call *calls[] = {begin_wait(p, -1),
                            begin_pull(empty, -1),
                            begin_pull(empty, 600000),
                            begin_pull_many(empty, -1),
                            begin_pull_by_id(pulled, PUSH_ID("empty"), -1),
                            begin_send(full, "x", -1),
                            begin_send(none, "x", 600000),
                            begin_push(pushed, "y"),
                            begin_send_all(pushed, "y", PUSH_ID("full"), -1)};
    for (size_t i = 0; i < COUNT(calls); i++)
        assert_asleep(calls[i]);
    for (size_t i = 0; i < COUNT(calls); i++)
        pester(calls[i], 20);
    for (size_t i = 0; i < COUNT(calls); i++)
        assert_asleep(calls[i]);
    /* They are what they were. */
    assert_true(push_session_delete(PUSH_ID("pushed")));
    assert_true(push_session_delete(PUSH_ID("pulled")));
    assert_int_equal(finish(calls[0]).rc, 1);
    for (size_t i = 1; i < COUNT(calls); i++)
        assert_int_equal(finish(calls[i]).rc, -EPIPE);
    push_poller_free(p);
    push_client_unref(full);
    push_client_unref(none);
    push_client_unref(empty);
    push_session_unref(pushed);
    push_session_unref(pulled);
}

static void a_signal_does_not_move_a_deadline(void **state)
{
    (void)state;
    handle_signals();
    push_session *s = session("s");
    push_client *full = client(s, "full", 1);
    push_client *empty = client(s, "empty", 1);
    push_poller *p = push_poller_new();
    assert_put(full, "fill");
    struct call *calls[] = {begin_pull(empty, 400), begin_send(full, "x", 400), begin_wait(p, 400)};
    int expected[] = {-ETIMEDOUT, 0, -ETIMEDOUT};
    bool running = true;
    while (running) {
        running = false;
        for (size_t i = 0; i < COUNT(calls); i++) {
            if (!call_done(calls[i])) {
                running = true;
                pthread_kill(call_thread(calls[i]), SIGUSR2);
            }
        }
        sched_yield();
    }
    for (size_t i = 0; i < COUNT(calls); i++) {
        struct result r = finish(calls[i]);
        assert_int_equal(r.rc, expected[i]);
        assert_true(r.ns >= 400 * MILLISECOND);
        assert_true(r.ns < 20 * SECOND);
    }
    push_poller_free(p);
    push_client_unref(full);
    push_client_unref(empty);
    push_session_unref(s);
}

/* ---- Nothing is left --------------------------------------------------------------------------------------- */

static void no_thread_of_the_librarys_own(void **state)
{
    (void)state;
    int before = count_threads();
    push_session *s = session("s");
    push_client *c = client(s, "c", 3);
    push_poller *p = push_poller_new();
    assert_int_equal(push_poller_add(p, c, NULL), 0);
    assert_true(push_poller_fd(p) >= 0);
    assert_true(push_client_fd(c) >= 0);
    assert_put(c, "x");
    push_event event;
    assert_int_equal(push_poller_wait(p, &event, 1, 10), 1);
    push_msg *msg;
    assert_int_equal(push_client_pull(c, &msg, 10), 0);
    push_msg_unref(msg);
    assert_int_equal(push_client_pull(c, &msg, 10), -ETIMEDOUT);
    assert_int_equal(count_threads(), before);
    push_poller_free(p);
    push_client_unref(c);
    push_session_unref(s);
}

/* A life of everything, in any order of letting go, leaves not a block and not a descriptor. */
static void whatever_goes_first(void **state)
{
    (void)state;
    int descriptors = count_descriptors();
    for (int order = 0; order < 24; order++) {
        push_session *s = session("s");
        push_client *c = client(s, "c", 2);
        push_client *r = client(s, "rendezvous", 0);
        push_poller *p = push_poller_new();
        assert_int_equal(push_poller_add(p, c, NULL), 0);
        assert_int_equal(push_poller_add(p, r, NULL), 0);
        assert_true(push_poller_fd(p) >= 0);
        assert_true(push_client_fd(c) >= 0);
        assert_put(c, "1");
        push_msg *msg;
        assert_int_equal(push_client_pull(c, &msg, 0), 0);
        assert_int_equal(push_client_unpull(c, msg), 0);
        assert_put(c, "2");
        push_msg *kept;
        assert_int_equal(push_client_pull(c, &kept, 0), 0);
        /* The steps, in the order that the number says. */
        bool done[4] = {false};
        int n = order;
        for (int left = 4; left > 0; left--) {
            int pick = n % left;
            n /= left;
            int step = 0;
            while (done[step] || pick-- > 0)
                step++;
            done[step] = true;
            if (step == 0)
                push_session_unref(s);
            if (step == 1) {
                push_client_unref(c);
                push_client_unref(r);
            }
            if (step == 2)
                push_shutdown();
            if (step == 3)
                push_poller_free(p);
        }
        assert_text(kept, "1");
        assert_int_equal(blocks_held(), 0);
        assert_int_equal(count_descriptors(), descriptors);
    }
}

/* The table gives back what a million sessions took: ids are found while they are there, and none is left. */
static void a_million_sessions(void **state)
{
    (void)state;
    const uint64_t n = SCALED(1000000);
    for (uint64_t i = 0; i < n; i++) {
        push_session *s = push_session_new(push_id_int(i), PUSH_ID("c"), 100);
        assert_non_null(s);
        push_session_unref(s);
    }
    size_t count;
    push_id *ids = push_sessions(&count);
    assert_int_equal(count, n);
    push_ids_free(ids);
    for (uint64_t i = 0; i < n; i++) {
        push_session *s = push_session_find(push_id_int(i * 7919 % n));
        assert_non_null(s);
        push_session_unref(s);
        assert_false(push_session_exists(push_id_int(n + i)));
    }
    for (uint64_t i = 0; i < n; i += 2)
        assert_true(push_session_delete(push_id_int(i)));
    for (uint64_t i = 0; i < n; i += 1000) {
        assert_false(push_session_exists(push_id_int(i)));
        assert_true(push_session_exists(push_id_int(i + 1)));
    }
    push_shutdown();
    assert_int_equal(blocks_held(), 0);
}

static const struct CMUnitTest tests[] = {
    TEST(rules_of_the_allocator),
    TEST(the_child_starts_empty_and_the_parent_goes_on),
    TEST(grandchildren_start_empty_too),
    TEST(the_child_may_use_threads),
    TEST(forked_while_others_are_at_it),
    TEST(a_signal_does_not_end_a_wait),
    TEST(a_signal_does_not_move_a_deadline),
    TEST(no_thread_of_the_librarys_own),
    TEST(whatever_goes_first),
    TEST(a_million_sessions),
};

int main(int argc, char **argv)
{
    if (argc == 2)
        return play_scene(argv[1]);
    helpers_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
