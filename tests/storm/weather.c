/* What comes over the threads from outside: cancellation, signals, fork, a shortage of descriptors, clocks. */
#include "storm.h"

#include <sched.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clock.h"

static void cancel_one(uint64_t *random)
{
    struct worker *w = &workers[random_next(random) % WORKERS];
    if (w->number < STEADY)
        return;
    atomic_store(&w->cancelled, true);
    pthread_cancel(w->thread);
    void *value;
    if (!EXPECT(pthread_join(w->thread, &value) == 0))
        return;
    EXPECT(value == PTHREAD_CANCELED);
    worker_tidy(w);
    atomic_fetch_add(&counts.cancelled, 1);
    atomic_store(&w->cancelled, false);
    EXPECT(pthread_create(&w->thread, NULL, worker_main, w) == 0);
}

static void count_signal(int signal_number)
{
    (void)signal_number;
    atomic_fetch_add(&counts.signals, 1);
}

/* Without SA_RESTART, so that every system call that can be interrupted is. */
static void signal_everybody(void)
{
    struct sigaction action = {.sa_handler = count_signal};
    sigaction(SIGUSR2, &action, NULL);
    for (size_t i = 0; i < WORKERS; i++)
        pthread_kill(workers[i].thread, SIGUSR2);
}

/* ---- Fork ------------------------------------------------------------------------------------------------- */

#define CHILD(condition)                                                                                           \
    do {                                                                                                           \
        if (!(condition)) {                                                                                        \
            fprintf(stderr, "%s:%d: the child expected %s\n", __FILE__, __LINE__, #condition);                     \
            _exit(1);                                                                                              \
        }                                                                                                          \
    } while (0)

static void live_in_a_child(void)
{
    watchdog("a child of the storm", 60);
    size_t n = 1;
    push_id *ids = push_sessions(&n);
    CHILD(ids && n == 0);
    push_ids_free(ids);
    for (unsigned i = 0; i < SESSIONS; i++)
        CHILD(!push_session_exists(push_id_int(i)));
    long blocks = blocks_held();
    push_client *c = push_client_open(push_id_int(0), push_id_str("phone"), NULL);
    push_poller *p = push_poller_new();
    CHILD(c && p);
    CHILD(push_session_len(push_client_session(c)) == 1);
    CHILD(push_poller_add(p, c, NULL) == 0);
    int fd = push_client_fd(c);
    CHILD(fd >= 0 && !readable(fd));
    CHILD(push_session_push(push_client_session(c), "hello", 5) == 1);
    CHILD(readable(fd));
    push_event event;
    CHILD(push_poller_wait(p, &event, 1, -1) == 1 && event.client == c);
    push_msg *msg;
    CHILD(push_client_pull(c, &msg, -1) == 0 && msg_is(msg, "hello"));
    push_msg_unref(msg);
    CHILD(push_client_pull(c, &msg, 1) == -ETIMEDOUT);
    push_poller_free(p);
    push_shutdown();
    CHILD(push_client_pull(c, &msg, -1) == -EPIPE);
    push_client_unref(c);
    CHILD(!descriptor_open(fd));
    CHILD(blocks_held() == blocks);
    _exit(0);
}

static void fork_off(void)
{
    fflush(NULL);
    pid_t child = fork();
    if (child == 0)
        live_in_a_child();
    if (!EXPECT(child > 0))
        return;
    int status = -1;
    while (waitpid(child, &status, 0) < 0 && errno == EINTR)
        continue;
    EXPECT(status == 0);
    atomic_fetch_add(&counts.forks, 1);
}

/* ---- Descriptors ------------------------------------------------------------------------------------------ */

/* All there are under a limit that all are used up of, until somebody has been refused, or for so many looks. */
static void run_out_of_descriptors(void)
{
    static int hoard[256];
    size_t n = 0;
    struct rlimit before;
    if (!EXPECT(getrlimit(RLIMIT_NOFILE, &before) == 0))
        return;
    struct rlimit low = {COUNT(hoard), before.rlim_max};
    uint64_t refused = atomic_load(&counts.refused);
    atomic_fetch_add(&shortage, 1);
    EXPECT(setrlimit(RLIMIT_NOFILE, &low) == 0);
    for (int looks = 0; looks < 50 && atomic_load(&counts.refused) == refused; looks++) {
        /* Clients that end give theirs back. */
        while (n < COUNT(hoard) && (hoard[n] = dup(STDERR_FILENO)) >= 0)
            n++;
        pause_briefly();
    }
    while (n > 0)
        close(hoard[--n]);
    EXPECT(setrlimit(RLIMIT_NOFILE, &before) == 0);
    atomic_fetch_add(&shortage, 1);
    atomic_fetch_add(&counts.shortages, 1);
}

/* ---- Clocks ----------------------------------------------------------------------------------------------- */

static void step_realtime(uint64_t *random)
{
    const int64_t day = 24 * 3600 * SECOND;
    clock_set_realtime(((int64_t)(random_next(random) % 7300) - 3650) * day);
    atomic_fetch_add(&counts.clock_steps, 1);
}

static void jump(uint64_t *random)
{
    clock_jump((int64_t)(random_next(random) % 3600) * SECOND);
    atomic_fetch_add(&counts.clock_jumps, 1);
}

void weather(uint64_t *random)
{
    uint32_t what = random_next(random) % 100;
    if (what < 25)
        cancel_one(random);
    else if (what < 60)
        signal_everybody();
    else if (what < 65)
        fork_off();
    else if (what < 75)
        run_out_of_descriptors();
    else if (what < 98)
        step_realtime(random);
    else
        jump(random);
}
