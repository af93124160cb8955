/*
 * The watchdog. Once a millisecond he asks of everybody who waits whether there is still a reason to: is what he
 * waits for open, is there nothing to pull, no room to push, is the deadline to come, has nobody cancelled him?
 * Who waits on for a second without a reason has missed a wake-up. The second is a thousand of the watchdog's own
 * turns, of at least a millisecond, so that on a machine that is busy with other things it stretches for all alike.
 */
#include "storm.h"

#include <time.h>
#include <unistd.h>

enum { SUSPICION = 20 }; /* ticks */

static const char *how_to_repeat = "";
static pthread_t thread;
static atomic_bool running;
static atomic_int settled;   /* turns in a row in which all waited, for a reason */
static atomic_bool suspects; /* that somebody has missed a wake-up */

static const char *const names[WAIT_KINDS] = {"nothing",     "pull",    "pull_many",
                                              "pull by id",  "poll(2)", "send to one",
                                              "send to all", "push",    "a poller's wait"};

void watch_begin(struct worker *w, enum wait_kind kind, struct wait wait)
{
    pthread_mutex_lock(&w->wait.lock);
    w->wait.kind = kind;
    w->wait.c = wait.c;
    w->wait.s = wait.s;
    w->wait.spot = wait.spot;
    w->wait.deadline = wait.deadline;
    w->wait.call++;
    pthread_mutex_unlock(&w->wait.lock);
    atomic_fetch_add(&counts.waits[kind], 1);
}

void watch_end(struct worker *w)
{
    pthread_mutex_lock(&w->wait.lock);
    w->wait.kind = WAIT_NONE;
    w->wait.c = NULL;
    w->wait.s = NULL;
    w->wait.spot = NULL;
    pthread_mutex_unlock(&w->wait.lock);
}

/* A session that is in the registry no more. Its handle is held: no other can have the same address. */
static bool deleted(push_session *s)
{
    push_session *now = push_session_find(push_session_id(s));
    push_session_unref(now);
    return now != s;
}

/* Nobody's mailbox is such that a push might wait for it. */
static bool all_have_room(push_session *s)
{
    size_t n;
    push_id *ids = push_session_clients(s, &n);
    bool room = true;
    for (size_t i = 0; ids && i < n && room; i++) {
        push_client *c = push_client_find(s, ids[i]);
        push_client_stats stats;
        if (c && push_client_stat(c, &stats) == 0)
            room = stats.closed || (stats.max_buffer > 0 && stats.queued == 0);
        push_client_unref(c);
    }
    push_ids_free(ids);
    return room;
}

/* The mailbox that a wait is about: a push that waits goes with it when it is taken over. Returns false where it is
 * closed, with nobody who can have taken it over. */
static bool look_into(const struct wait *wait, push_client_stats *stats)
{
    push_client_stat(wait->c, stats);
    if (!stats->closed || wait->kind != WAIT_SEND)
        return !stats->closed;
    push_client *heir = push_client_find(push_client_session(wait->c), push_client_id(wait->c));
    if (heir)
        push_client_stat(heir, stats);
    push_client_unref(heir);
    return heir != NULL;
}

/* What it waits for will never come, or should have ended it. */
static bool has_ended(const struct worker *w)
{
    const struct wait *wait = &w->wait;
    push_client_stats stats;
    return atomic_load(&w->cancelled) || atomic_load(&over) || now_ns() > wait->deadline ||
           (wait->c && !look_into(wait, &stats)) || (wait->s && deleted(wait->s));
}

/* What it waits for is there. `progress` changes when others were served instead. */
static bool has_come(const struct wait *wait, uint64_t *progress)
{
    push_client_stats stats = {0};
    if (wait->c)
        look_into(wait, &stats);
    int fd;
    switch (wait->kind) {
    case WAIT_PULL:
    case WAIT_PULL_MANY:
    case WAIT_POLL:
        *progress = stats.pulled;
        return stats.queued > 0;
    case WAIT_SEND:
        *progress = stats.pushed;
        return stats.queued == 0 && stats.max_buffer > 0;
    case WAIT_SEND_ALL:
    case WAIT_PUSH:
        return all_have_room(wait->s);
    case WAIT_POLLER:
        *progress = atomic_load(&wait->spot->served);
        fd = atomic_load(&wait->spot->fd);
        return fd >= 0 && readable(fd);
    default:
        return false;
    }
}

/* A poller's descriptor may be readable for nothing, until a wait has said so: it is asked, and the answer is
 * final, for it takes a wake away from who should have had it. He has had a tenth of the time to come for it. */
static bool has_missed_an_event(const struct wait *wait)
{
    push_event event;
    return push_poller_wait(wait->spot->p, &event, 1, 0) >= 0;
}

static void bark(const struct worker *w)
{
    const struct wait *wait = &w->wait;
    push_client_stats stats = {0};
    if (wait->c)
        look_into(wait, &stats);
    fprintf(
        stderr,
        "storm: worker %u still waits in %s, %u ticks after there was a reason to: %s%s%s; queued %zu, max_buffer "
        "%zu, pushed %llu, pulled %llu\nagain: %s\n",
        w->number, names[wait->kind], wait->ticks, stats.closed ? "its client is closed " : "",
        atomic_load(&over) ? "all was ended " : "", atomic_load(&w->cancelled) ? "it was cancelled " : "",
        stats.queued, stats.max_buffer, (unsigned long long)stats.pushed, (unsigned long long)stats.pulled,
        how_to_repeat);
    fflush(NULL);
    _exit(1);
}

/* False where it runs, or waits without a reason. */
static bool look_at(struct worker *w)
{
    struct wait *wait = &w->wait;
    pthread_mutex_lock(&wait->lock);
    uint64_t progress = 0;
    bool ended = wait->kind != WAIT_NONE && has_ended(w);
    bool come = wait->kind != WAIT_NONE && has_come(wait, &progress);
    bool still =
        atomic_load(&w->dead) || (wait->kind != WAIT_NONE && !ended && !come && wait->call == wait->seen_call);
    if ((!ended && !come) || wait->call != wait->seen_call || progress != wait->seen_progress) {
        wait->ticks = 0;
    } else {
        wait->ticks++;
        if (ended && wait->ticks > atomic_load(&counts.longest))
            atomic_store(&counts.longest, wait->ticks);
        bool stale = wait->kind == WAIT_POLLER && !ended && wait->ticks > LIMIT / 10 && !has_missed_an_event(wait);
        if (stale)
            wait->ticks = 0;
        else if (wait->ticks > (wait->kind == WAIT_POLLER && !ended ? LIMIT / 10 : LIMIT))
            bark(w);
    }
    wait->seen_call = wait->call;
    wait->seen_progress = progress;
    pthread_mutex_unlock(&wait->lock);
    return still;
}

/* The turn that is going on may have begun before; and those who were woken are given time to run. */
void watch_settle(void)
{
    enum { TURNS = 5, LONG = 1000 };
    atomic_store(&settled, 0);
    for (int i = 0; (i < LONG && atomic_load(&settled) < TURNS) || atomic_load(&suspects); i++)
        pause_briefly();
    if (atomic_load(&settled) >= TURNS)
        atomic_fetch_add(&counts.rests, 1);
}

static void *watch(void *arg)
{
    (void)arg;
    while (atomic_load(&running)) {
        bool still = true;
        bool late = false;
        for (size_t i = 0; i < WORKERS; i++) {
            still = look_at(&workers[i]) && still;
            late = late || workers[i].wait.ticks >= SUSPICION;
        }
        atomic_store(&suspects, late);
        if (still)
            atomic_fetch_add(&settled, 1);
        else
            atomic_store(&settled, 0);
        nanosleep(&(struct timespec){0, MILLISECOND}, NULL);
    }
    return NULL;
}

void watch_start(const char *again)
{
    how_to_repeat = again;
    atomic_store(&running, true);
    atomic_store(&settled, 0);
    assert_int_equal(pthread_create(&thread, NULL, watch, NULL), 0);
}

void watch_stop(void)
{
    atomic_store(&running, false);
    assert_int_equal(pthread_join(thread, NULL), 0);
}
