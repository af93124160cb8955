#include "helpers.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* ---- Allocations ----------------------------------------------------------------------------------------- */

/* Far above what a test needs, and below what sanitizers refuse by ending the program. */
#define LARGEST_ALLOCATION ((size_t)1 << 30)

static atomic_long held;
static atomic_long failures;
static atomic_bool failing;
static atomic_long allowance;

static bool may_allocate(size_t size)
{
    if (size > LARGEST_ALLOCATION)
        return false;
    if (!atomic_load(&failing) || atomic_fetch_sub(&allowance, 1) > 0)
        return true;
    atomic_fetch_add(&failures, 1);
    return false;
}

/* The C library lets nobody be inside malloc while a process forks; the sanitizers' allocators do not, and a child
 * can find their locks taken for ever. So fork_quietly waits here until nobody is inside; before fork is called,
 * because the memory sanitizer's takes locks that its malloc needs, and then calls the handlers of pthread_atfork.
 * Relaxed, but for what the two sides need to see of each other: threads that allocate must not be ordered by it in
 * the eyes of the sanitizer. */
static atomic_int inside;
static atomic_bool forking;

static void enter_allocator(void)
{
    if (SANITIZER_SLOWDOWN == 1)
        return;
    for (;;) {
        atomic_fetch_add_explicit(&inside, 1, memory_order_relaxed);
        if (!atomic_load(&forking))
            return;
        atomic_fetch_sub_explicit(&inside, 1, memory_order_relaxed);
        sched_yield();
    }
}

static void leave_allocator(void)
{
    if (SANITIZER_SLOWDOWN > 1)
        atomic_fetch_sub_explicit(&inside, 1, memory_order_relaxed);
}

pid_t fork_quietly(void)
{
    atomic_exchange(&forking, true);
    while (atomic_load(&inside) > 0)
        sched_yield();
    pid_t child = fork();
    atomic_store(&forking, false);
    return child;
}

static void *counting_malloc(size_t size)
{
    enter_allocator();
    void *p = may_allocate(size) ? malloc(size) : NULL;
    leave_allocator();
    if (p)
        atomic_fetch_add(&held, 1);
    return p;
}

static void *counting_realloc(void *old, size_t size)
{
    enter_allocator();
    void *p = may_allocate(size) ? realloc(old, size) : NULL;
    leave_allocator();
    if (p && !old)
        atomic_fetch_add(&held, 1);
    return p;
}

static void counting_free(void *p)
{
    if (!p)
        return;
    atomic_fetch_sub(&held, 1);
    enter_allocator();
    free(p);
    leave_allocator();
}

long blocks_held(void)
{
    return atomic_load(&held);
}

void fail_allocations_after(long successes)
{
    atomic_store(&failing, false);
    atomic_store(&failures, 0);
    atomic_store(&allowance, successes);
    atomic_store(&failing, successes >= 0);
}

long allocations_failed(void)
{
    return atomic_load(&failures);
}

/* ---- Watchdog -------------------------------------------------------------------------------------------- */

static char watched[128];

static void bark(int signal_number)
{
    static const char text[] = "watchdog: this does not end: ";
    ssize_t ignored = write(STDERR_FILENO, text, sizeof(text) - 1);
    ignored = write(STDERR_FILENO, watched, strlen(watched));
    ignored = write(STDERR_FILENO, "\n", 1);
    (void)ignored;
    (void)signal_number;
    _exit(124);
}

void watchdog(const char *what, unsigned seconds)
{
    snprintf(watched, sizeof(watched), "%s", what);
    struct sigaction action = {.sa_handler = bark};
    sigaction(SIGALRM, &action, NULL);
    alarm(seconds);
}

static void *do_nothing(void *arg)
{
    return arg;
}

void helpers_init(void)
{
    /* A sanitizer starts a thread of its own with the first one: before anybody counts. */
    pthread_t thread;
    if (pthread_create(&thread, NULL, do_nothing, NULL) == 0)
        pthread_join(thread, NULL);
    int rc = push_set_allocator(counting_malloc, counting_realloc, counting_free);
    if (rc != 0) {
        fprintf(stderr, "no allocator: %s\n", push_strerror(rc));
        exit(1);
    }
}

/* ---- The frame of a test --------------------------------------------------------------------------------- */

static struct baseline {
    long blocks;
    int descriptors;
    int threads;
} baseline;

static int count_entries(const char *path)
{
    DIR *dir = opendir(path);
    if (!dir)
        return -1;
    int n = 0;
    while (readdir(dir))
        n++;
    closedir(dir);
    return n;
}

int count_descriptors(void)
{
    return count_entries("/proc/self/fd");
}

int count_threads(void)
{
    return count_entries("/proc/self/task");
}

static pthread_mutex_t expect_lock = PTHREAD_MUTEX_INITIALIZER;
static char first_failure[512];
static atomic_int failed_expectations;

bool expect(bool condition, const char *text, const char *file, int line)
{
    if (condition)
        return true;
    pthread_mutex_lock(&expect_lock);
    if (atomic_fetch_add(&failed_expectations, 1) == 0)
        snprintf(first_failure, sizeof(first_failure), "%s:%d: a thread expected %s", file, line, text);
    pthread_mutex_unlock(&expect_lock);
    return false;
}

void assert_expectations(void)
{
    int n = atomic_exchange(&failed_expectations, 0);
    if (n > 0)
        fail_msg("%s (and %d more)", first_failure, n - 1);
}

int test_begin(void **state)
{
    watchdog(*state, SANITIZER_SLOWDOWN > 1 ? 180 : 90);
    fail_allocations_after(-1);
    atomic_store(&failed_expectations, 0);
    baseline = (struct baseline){blocks_held(), count_descriptors(), count_threads()};
    return 0;
}

int test_end(void **state)
{
    (void)state;
    fail_allocations_after(-1);
    thaw_all();
    push_shutdown();
    /* A joined thread leaves /proc a little later than the join returns; one that a failed test left behind is
     * woken by the shutdown. */
    assert_eventually(count_threads() <= baseline.threads);
    assert_expectations();
    assert_int_equal(blocks_held(), baseline.blocks);
    assert_int_equal(count_descriptors(), baseline.descriptors);
    alarm(0);
    return 0;
}

/* ---- Time and states ------------------------------------------------------------------------------------- */

int64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * SECOND + t.tv_nsec;
}

void pause_briefly(void)
{
    nanosleep(&(struct timespec){0, 200000}, NULL);
}

/* The state letter and the number of times the thread went to sleep; false when it is gone. */
static bool thread_state(pid_t tid, char *letter, unsigned long *sleeps)
{
    char path[64];
    char line[256];
    snprintf(path, sizeof(path), "/proc/self/task/%d/status", (int)tid);
    FILE *f = fopen(path, "re");
    if (!f)
        return false;
    int found = 0;
    while (fgets(line, sizeof(line), f)) {
        if (sscanf(line, "State: %c", letter) == 1 || sscanf(line, "voluntary_ctxt_switches: %lu", sleeps) == 1)
            found++;
    }
    fclose(f);
    return found == 2;
}

bool thread_settled(pid_t tid)
{
    char letter = '?';
    unsigned long first = 0;
    if (!thread_state(tid, &letter, &first) || letter != 'S')
        return false;
    for (int i = 0; i < 5; i++) {
        unsigned long now = 0;
        pause_briefly();
        if (!thread_state(tid, &letter, &now) || letter != 'S' || now != first)
            return false;
    }
    return true;
}

bool readable(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    int n;
    do {
        n = poll(&p, 1, 0);
    } while (n < 0 && errno == EINTR);
    return n == 1 && (p.revents & POLLIN);
}

bool descriptor_open(int fd)
{
    return fcntl(fd, F_GETFD) != -1;
}

/* ---- Messages -------------------------------------------------------------------------------------------- */

push_msg *text_msg(const char *text)
{
    push_msg *msg = push_msg_new(text, strlen(text));
    assert_non_null(msg);
    return msg;
}

bool msg_is(const push_msg *msg, const char *text)
{
    size_t size = strlen(text);
    return msg && push_msg_size(msg) == size && (size == 0 || memcmp(push_msg_data(msg), text, size) == 0);
}

static void tracked_free(void *data, void *arg)
{
    struct tracked *t = arg;
    EXPECT(data == t->bytes);
    t->by = pthread_self();
    EXPECT(atomic_fetch_add(&t->freed, 1) == 0);
}

push_msg *tracked_msg(struct tracked *t)
{
    *t = (struct tracked){.bytes = "tracked"};
    push_msg *msg = push_msg_wrap(t->bytes, 7, tracked_free, t);
    assert_non_null(msg);
    return msg;
}

int send_text(push_client *c, const char *text, push_report *report)
{
    push_msg *msg = text_msg(text);
    int rc = push_client_send(c, msg, 0, report);
    push_msg_unref(msg);
    return rc;
}

int send_all_text(push_session *s, const char *text, push_report *report)
{
    push_msg *msg = text_msg(text);
    int rc = push_session_send(s, msg, PUSH_ID_NONE, 0, report);
    push_msg_unref(msg);
    return rc;
}

void assert_put_(push_client *c, const char *text, const char *file, int line)
{
    push_report report;
    int rc = send_text(c, text, &report);
    _assert_int_equal(cast_to_largest_integral_type(rc), 1, file, line);
    _assert_int_equal(report.delivered, 1, file, line);
    _assert_int_equal(report.timed_out, 0, file, line);
    _assert_int_equal(report.disconnected, 0, file, line);
}

void assert_text_(push_msg *msg, const char *text, const char *file, int line)
{
    if (!msg_is(msg, text)) {
        int size = (int)push_msg_size(msg);
        print_error("got %s\"%.*s\", not \"%s\"\n", msg ? "" : "no message, ", size > 60 ? 60 : size,
                    size > 0 ? (const char *)push_msg_data(msg) : "", text);
        _fail(file, line);
    }
    push_msg_unref(msg);
}

void assert_next_(push_client *c, int lost, const char *text, const char *file, int line)
{
    push_msg *msg = NULL;
    int rc = push_client_pull(c, &msg, 0);
    if (rc < 0) {
        print_error("pull says %s, where \"%s\" should come\n", push_strerror(rc), text);
        _fail(file, line);
    }
    assert_text_(msg, text, file, line);
    _assert_int_equal(cast_to_largest_integral_type(rc), cast_to_largest_integral_type(lost), file, line);
}

void assert_error_(push_client *c, int error, const char *file, int line)
{
    push_msg *mark = (push_msg *)&mark;
    push_msg *msg = mark;
    int rc = push_client_pull(c, &msg, 0);
    _assert_int_equal(cast_to_largest_integral_type(rc), cast_to_largest_integral_type(error), file, line);
    _assert_true(msg == NULL, "msg == NULL", file, line);
    rc = push_client_pull_many(c, &msg, 1, NULL, 0);
    _assert_int_equal(cast_to_largest_integral_type(rc), cast_to_largest_integral_type(error), file, line);
    if (error == -EAGAIN)
        return;
    /* For ever, and without waiting. */
    rc = push_client_pull(c, &msg, -1);
    _assert_int_equal(cast_to_largest_integral_type(rc), cast_to_largest_integral_type(error), file, line);
    rc = push_client_pull_many(c, &msg, 1, NULL, -1);
    _assert_int_equal(cast_to_largest_integral_type(rc), cast_to_largest_integral_type(error), file, line);
}

push_client_stats stats_of(push_client *c)
{
    push_client_stats stats;
    memset(&stats, 0xa5, sizeof(stats));
    assert_int_equal(push_client_stat(c, &stats), 0);
    return stats;
}

push_session *session(const char *id)
{
    push_session *s = push_session_new(push_id_str(id), PUSH_ID_NONE, 0);
    assert_non_null(s);
    return s;
}

push_client *client_with(push_session *s, const char *id, size_t max_buffer, push_overflow overflow)
{
    push_client_options options = {.max_buffer = max_buffer, .overflow = overflow, .duplicate = PUSH_REFUSE};
    push_client *c = push_client_new(s, push_id_str(id), &options);
    assert_non_null(c);
    return c;
}

push_client *client(push_session *s, const char *id, size_t max_buffer)
{
    return client_with(s, id, max_buffer, PUSH_BLOCK);
}

/* ---- Calls on another thread ----------------------------------------------------------------------------- */

struct call {
    enum call_kind kind;
    push_session *s;
    push_client *c;
    push_poller *p;
    push_id id;
    push_msg *msg;
    char text[64];
    int timeout_ms;
    struct result result;
    pthread_t thread;
    _Atomic pid_t tid;
    atomic_bool done;
};

static int make_call(struct call *call, struct result *r)
{
    switch (call->kind) {
    case CALL_PULL:
        return push_client_pull(call->c, &r->msg, call->timeout_ms);
    case CALL_PULL_BY_ID:
        return push_session_pull(call->s, call->id, &r->msg, call->timeout_ms);
    case CALL_PULL_MANY:
        return push_client_pull_many(call->c, r->many, CALL_MANY, &r->lost, call->timeout_ms);
    case CALL_SEND:
        return push_client_send(call->c, call->msg, call->timeout_ms, &r->report);
    case CALL_SEND_ALL:
        return push_session_send(call->s, call->msg, call->id, call->timeout_ms, &r->report);
    case CALL_PUSH:
        return push_session_push(call->s, call->text, strlen(call->text));
    case CALL_WAIT:
        return push_poller_wait(call->p, r->events, CALL_MANY, call->timeout_ms);
    }
    return -ENOSYS;
}

static void *call_main(void *arg)
{
    struct call *call = arg;
    struct result *r = &call->result;
    atomic_store(&call->tid, (pid_t)syscall(SYS_gettid));
    int64_t began = now_ns();
    r->rc = make_call(call, r);
    r->ns = now_ns() - began;
    atomic_store(&call->done, true);
    return NULL;
}

static struct call *begin(struct call plan)
{
    struct call *call = malloc(sizeof(*call));
    assert_non_null(call);
    *call = plan;
    assert_int_equal(pthread_create(&call->thread, NULL, call_main, call), 0);
    return call;
}

struct call *begin_pull(push_client *c, int timeout_ms)
{
    return begin((struct call){.kind = CALL_PULL, .c = c, .timeout_ms = timeout_ms});
}

struct call *begin_pull_by_id(push_session *s, push_id id, int timeout_ms)
{
    return begin((struct call){.kind = CALL_PULL_BY_ID, .s = s, .id = id, .timeout_ms = timeout_ms});
}

struct call *begin_pull_many(push_client *c, int timeout_ms)
{
    return begin((struct call){.kind = CALL_PULL_MANY, .c = c, .timeout_ms = timeout_ms});
}

struct call *begin_send_msg(push_client *c, push_msg *msg, int timeout_ms)
{
    return begin((struct call){.kind = CALL_SEND, .c = c, .msg = push_msg_ref(msg), .timeout_ms = timeout_ms});
}

struct call *begin_send(push_client *c, const char *text, int timeout_ms)
{
    push_msg *msg = text_msg(text);
    struct call *call = begin_send_msg(c, msg, timeout_ms);
    push_msg_unref(msg);
    return call;
}

struct call *begin_send_all_msg(push_session *s, push_msg *msg, push_id except, int timeout_ms)
{
    return begin((struct call){
        .kind = CALL_SEND_ALL, .s = s, .msg = push_msg_ref(msg), .id = except, .timeout_ms = timeout_ms});
}

struct call *begin_send_all(push_session *s, const char *text, push_id except, int timeout_ms)
{
    push_msg *msg = text_msg(text);
    struct call *call = begin_send_all_msg(s, msg, except, timeout_ms);
    push_msg_unref(msg);
    return call;
}

struct call *begin_push(push_session *s, const char *text)
{
    struct call plan = {.kind = CALL_PUSH, .s = s};
    snprintf(plan.text, sizeof(plan.text), "%s", text);
    return begin(plan);
}

struct call *begin_wait(push_poller *p, int timeout_ms)
{
    return begin((struct call){.kind = CALL_WAIT, .p = p, .timeout_ms = timeout_ms});
}

bool call_done(struct call *call)
{
    return atomic_load(&call->done);
}

pthread_t call_thread(struct call *call)
{
    return call->thread;
}

static bool call_settled(struct call *call)
{
    pid_t tid = atomic_load(&call->tid);
    return tid != 0 && thread_settled(tid);
}

void assert_asleep_(struct call *call, const char *file, int line)
{
    bool settled = false;
    AWAIT(call_done(call) || (settled = call_settled(call)));
    if (call_done(call)) {
        print_error("the call came back with %d, where it should wait\n", call->result.rc);
        _fail(file, line);
    }
    _assert_true(settled, "the call waits", file, line);
}

static void *join_call(struct call *call)
{
    void *value = NULL;
    assert_int_equal(pthread_join(call->thread, &value), 0);
    push_msg_unref(call->msg);
    return value;
}

struct result finish(struct call *call)
{
    assert_null(join_call(call));
    struct result result = call->result;
    free(call);
    return result;
}

bool finish_cancelled(struct call *call)
{
    bool cancelled = join_call(call) == PTHREAD_CANCELED;
    if (!cancelled) {
        push_msg_unref(call->result.msg);
        for (int i = 0; call->kind == CALL_PULL_MANY && i < call->result.rc; i++)
            push_msg_unref(call->result.many[i]);
    }
    free(call);
    return cancelled;
}

void need_cancellation_to_win(void)
{
#ifndef __GLIBC__
    skip();
#endif
}

static atomic_int frozen;
static atomic_int thaws;

static void stay(int signal_number)
{
    (void)signal_number;
    int saved = errno;
    int seen = atomic_load(&thaws);
    atomic_fetch_add(&frozen, 1);
    while (atomic_load(&thaws) == seen)
        sched_yield();
    errno = saved;
}

void freeze(struct call *call)
{
    struct sigaction action = {.sa_handler = stay};
    assert_int_equal(sigaction(SIGUSR1, &action, NULL), 0);
    int before = atomic_load(&frozen);
    assert_int_equal(pthread_kill(call->thread, SIGUSR1), 0);
    assert_eventually(atomic_load(&frozen) > before);
}

void thaw_all(void)
{
    atomic_fetch_add(&thaws, 1);
}

/* ---- Crews of threads ------------------------------------------------------------------------------------ */

struct member {
    struct crew *crew;
    pthread_t thread;
    void *arg;
};

struct crew {
    size_t n;
    void (*function)(void *);
    pthread_barrier_t start;
    struct member members[];
};

static void *crew_main(void *arg)
{
    struct member *m = arg;
    pthread_barrier_wait(&m->crew->start);
    m->crew->function(m->arg);
    return NULL;
}

struct crew *crew_start(size_t n, void (*function)(void *), void *args, size_t size)
{
    struct crew *crew = malloc(sizeof(*crew) + n * sizeof(crew->members[0]));
    assert_non_null(crew);
    crew->n = n;
    crew->function = function;
    assert_int_equal(pthread_barrier_init(&crew->start, NULL, (unsigned)n), 0);
    for (size_t i = 0; i < n; i++) {
        struct member *m = &crew->members[i];
        m->crew = crew;
        m->arg = (char *)args + i * size;
        assert_int_equal(pthread_create(&m->thread, NULL, crew_main, m), 0);
    }
    return crew;
}

void crew_join(struct crew *crew)
{
    for (size_t i = 0; i < crew->n; i++) {
        assert_int_equal(pthread_join(crew->members[i].thread, NULL), 0);
    }
    pthread_barrier_destroy(&crew->start);
    free(crew);
}

void crew_run(size_t n, void (*function)(void *), void *args, size_t size)
{
    crew_join(crew_start(n, function, args, size));
}

uint32_t random_next(uint64_t *state)
{
    /* splitmix64 */
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return (uint32_t)(z >> 32);
}
