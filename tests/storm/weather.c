/* What comes over the threads from outside: cancellation, signals, fork, a shortage of descriptors, clocks. */
#include "storm.h"

#include <sched.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clock.h"

/* Gives a worker what it waits for, so that it is woken and cancelled at once: another must get it then. */
static void tempt(struct worker *w)
{
    pthread_mutex_lock(&w->wait.lock);
    enum wait_kind kind = w->wait.kind;
    push_client *c = w->wait.c ? push_client_ref(w->wait.c) : NULL;
    push_poller *p = w->wait.spot ? w->wait.spot->p : NULL;
    pthread_mutex_unlock(&w->wait.lock);
    push_msg *msg = NULL;
    struct mail *mail;
    if (kind == WAIT_SEND) {
        if (push_client_pull(c, &msg, 0) >= 0)
            mail_taken(msg);
    } else if (kind == WAIT_PULL || kind == WAIT_PULL_MANY) {
        msg = mail_new(&mail);
        int rc = msg ? push_client_send(c, msg, 0, NULL) : 0;
        EXPECT(rc == 0 || rc == 1 || rc == -EPIPE);
        if (rc > 0)
            mail_delivered(mail, rc);
    } else if (kind == WAIT_POLLER) {
        push_poller_wake(p);
    }
    push_msg_unref(msg);
    push_client_unref(c);
}

static struct worker *cancel_one(uint64_t *random)
{
    struct worker *w = &workers[STEADY + random_next(random) % (WORKERS - STEADY)];
    atomic_store(&w->cancelled, true);
    if (random_next(random) % 2)
        tempt(w);
    pthread_cancel(w->thread);
    void *value = NULL;
    EXPECT(pthread_join(w->thread, &value) == 0);
    EXPECT(value == PTHREAD_CANCELED);
    worker_tidy(w);
    atomic_fetch_add(&counts.cancelled, 1);
    atomic_store(&w->dead, true);
    atomic_store(&w->cancelled, false);
    return w;
}

static void revive(struct worker *w)
{
    atomic_store(&w->dead, false);
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
    pid_t child = fork_quietly();
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

/* ---- Messages taken out, and put back later --------------------------------------------------------------- */

static struct pocket {
    push_client *c;
    push_msg *msg;
} pockets[8];

static push_client *some_client(uint64_t *random)
{
    static const char *const names[] = {"phone", "desk"};
    push_session *s = push_session_find(push_id_int(random_next(random) % climate.sessions));
    push_client *c = s ? push_client_find(s, push_id_str(names[random_next(random) % COUNT(names)])) : NULL;
    push_session_unref(s);
    return c;
}

static void fill_pocket(uint64_t *random)
{
    struct pocket *pocket = &pockets[random_next(random) % COUNT(pockets)];
    push_client *c = pocket->msg ? NULL : some_client(random);
    if (c && push_client_pull(c, &pocket->msg, 0) >= 0) {
        mail_taken(pocket->msg);
        pocket->c = push_client_ref(c);
    }
    push_client_unref(c);
}

static void empty_pocket(struct pocket *pocket)
{
    if (!pocket->msg)
        return;
    mail_returned(pocket->msg);
    if (push_client_unpull(pocket->c, pocket->msg) < 0) {
        mail_taken(pocket->msg);
        push_msg_unref(pocket->msg);
    }
    push_client_unref(pocket->c);
    *pocket = (struct pocket){0};
}

void weather_clear(void)
{
    for (size_t i = 0; i < COUNT(pockets); i++)
        empty_pocket(&pockets[i]);
}

/* ---- Weather ---------------------------------------------------------------------------------------------- */

void weather(uint64_t *random)
{
    uint32_t what = random_next(random) % 100;
    if (what < 20)
        revive(cancel_one(random));
    else if (what < 40)
        signal_everybody();
    else if (what < 45)
        fork_off();
    else if (what < 55)
        run_out_of_descriptors();
    else if (what < 75)
        step_realtime(random);
    else if (what < 77)
        jump(random);
    else
        fill_pocket(random);
}

/* Small things: if they get lost, nothing follows that would make up for it. */
void weather_at_rest(uint64_t *random)
{
    uint32_t what = random_next(random) % 8;
    push_client *c = NULL;
    if (what < 4) {
        struct worker *w = cancel_one(random);
        watch_settle();
        revive(w);
    } else if (what < 6) {
        for (size_t i = 0; i < COUNT(pockets); i++) {
            if (!pockets[i].msg)
                continue;
            empty_pocket(&pockets[i]);
            watch_settle();
        }
    } else if (what < 7) {
        signal_everybody();
    } else if ((c = some_client(random)) != NULL) {
        push_client_delete(c);
        push_client_unref(c);
    }
    watch_settle();
}
