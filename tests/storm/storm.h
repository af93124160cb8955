/*
 * A storm: threads that make random calls on a few sessions, clients and pollers, while they are cancelled,
 * signalled and forked, descriptors run out and clocks are set; and a watchdog who knows what each of them waits
 * for.
 *
 *     storm.c     the rounds, how each ends, and what must be left after it: nothing
 *     worker.c    the random calls
 *     mail.c      messages that count how often they were delivered and taken
 *     watch.c     the watchdog
 *     weather.c   cancellation, signals, fork, descriptors
 *     clock.c     the clocks
 */
#ifndef PUSH_TESTS_STORM_H
#define PUSH_TESTS_STORM_H

#include "../helpers.h"

enum {
    SESSIONS = 3,
    IDS = 4, /* of clients, in each session */
    POLLERS = 2,
    MEMBERS = 16, /* of a poller, at most */
    WORKERS = 10,
    STEADY = 3,   /* the first so many workers never wait without a deadline: they keep the storm going */
    LIMIT = 1000, /* ticks of the watchdog, a millisecond each: his second */
    HANDS = 3
};

/* ---- Messages -------------------------------------------------------------------------------------------- */

struct mail; /* one of a pool */

/* NULL where the pool is used up. The message is the caller's. */
push_msg *mail_new(struct mail **mail);

/* A call that pushed it to many, or one, came back with that; or it was cancelled, and nobody knows. To be called
 * before the reference of mail_new is let go. */
void mail_delivered(struct mail *mail, int count);
void mail_unsure(struct mail *mail);

/* It was pulled; it is about to be put back. */
void mail_taken(const push_msg *msg);
void mail_returned(const push_msg *msg);

long mail_alive(void);

/* ---- Waits ------------------------------------------------------------------------------------------------ */

enum wait_kind {
    WAIT_NONE,
    WAIT_PULL,
    WAIT_PULL_MANY,
    WAIT_PULL_BY_ID,
    WAIT_POLL, /* poll(2) on a client's descriptor */
    WAIT_SEND,
    WAIT_SEND_ALL,
    WAIT_PUSH,
    WAIT_POLLER,
    WAIT_KINDS
};

/* What a worker waits in. The handles are the worker's, and held for as long as it waits. */
struct wait {
    pthread_mutex_t lock; /* guards all of it */
    enum wait_kind kind;
    push_client *c;
    push_session *s;
    struct spot *spot;
    int64_t deadline; /* INT64_MAX: none */
    uint64_t call;    /* so many waits before it */
    /* The watchdog's own. */
    uint64_t seen_call;
    uint64_t seen_progress;
    unsigned ticks; /* for which it has had no more reason to wait */
};

struct worker {
    unsigned number;
    uint64_t random;
    _Atomic unsigned calls;
    pthread_t thread;
    struct wait wait;
    push_client *clients[HANDS];
    push_session *sessions[HANDS];
    push_msg *msg; /* on its way */
    struct mail *mail;
    push_msg *pocket; /* pulled, and perhaps to be put back */
    push_client *pocket_from;
    atomic_bool cancelled;
    atomic_bool dead; /* it has no thread at present */
    atomic_bool finished;
};

/* A poller that all share. Who uses an event's client while another may remove it needs a handle of his own: those
 * are here. */
struct spot {
    push_poller *p;
    pthread_rwlock_t lock;
    push_client *members[MEMBERS];
    _Atomic int fd;          /* -1: nobody has asked for it */
    _Atomic uint64_t served; /* waits that came back */
};

/* ---- The storm -------------------------------------------------------------------------------------------- */

extern struct worker workers[WORKERS];
extern struct spot spots[POLLERS];
extern struct climate {
    uint32_t sessions, ids; /* that are used */
    bool calm;              /* little is deleted or replaced, so that clients live long and are shared by many */
} climate;
extern atomic_bool lull;          /* only calls that wait, without a deadline: soon all of them do */
extern atomic_bool over;          /* the round ends: nobody begins anything any more */
extern _Atomic unsigned shortage; /* odd while there are no descriptors */

/* Counted over all rounds. */
struct counts {
    _Atomic uint64_t calls, waits[WAIT_KINDS], timeouts, closed_waits;
    _Atomic uint64_t rests, cancelled, signals, forks, shortages, refused, clock_steps, clock_jumps;
    _Atomic unsigned longest; /* ticks that a waiter took to come back */
};
extern struct counts counts;

void *worker_main(void *worker);
/* Of a thread that has ended, cancelled or not. */
void worker_tidy(struct worker *w);
void worker_drop_handles(struct worker *w);
void spot_clear(struct spot *spot);

/* Runs until watch_stop. Where somebody waits for what has ended, it ends the program. `again` says how to repeat.
 */
void watch_start(const char *again);
void watch_stop(void);
void watch_begin(struct worker *w, enum wait_kind kind, struct wait wait);
void watch_end(struct worker *w);
/* In a lull: until everybody waits, and for a reason, or it has taken too long. Who seems to wait without one is
 * given the time to come out, or the watchdog to bark. */
void watch_settle(void);

/* One event among the calls; and one while everybody waits. `random` is the weather's own. */
void weather(uint64_t *random);
void weather_at_rest(uint64_t *random);
void weather_clear(void);

#endif
