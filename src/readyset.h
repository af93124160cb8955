/*
 * The wait point of a poller: which of its watches are ready, who waits for one, and a descriptor. It knows no
 * clients: a mailbox raises and clears its watch, the poller waits. L1.
 *
 * A watch stands in the ready list, which is served in turn, while it is signalled and not paused, or closed.
 *
 * A watch whose mailbox was found empty need not leave the list at once: it can stay there, idle, and each wait
 * looks at the mailbox's word, until it has looked in vain so often, or nobody waits any more, that the watch is
 * armed and taken out: then the next put signals it. While messages keep coming, pushes so have nothing to tell.
 * (As network drivers poll under load, and ask for interrupts again when it ebbs: Mogul and Ramakrishnan,
 * "Eliminating receive livelock in an interrupt-driven kernel", 1997.) While a thread sleeps in the set, no listed
 * watch is idle. An idle watch is in the list: none is paused.
 */
#ifndef PUSH_SRC_READYSET_H
#define PUSH_SRC_READYSET_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <push/push.h>

#include "sync.h"
#include "waker.h"

/* What a message adds to a watched word; the bits below are flags. */
enum { WATCH_ONE = 8 };

struct watch_link {
    struct watch_link *next, *prev; /* circular, the list's head included; NULL: in no list */
};

struct readyset {
    struct lock lock;        /* guards all below, and the watches but their set */
    struct watch_link ready; /* head of the ready list: next is served next */
    struct watch_link all;   /* head of the list of all watches */
    struct waitq waiters;    /* threads in push__readyset_wait */
    size_t wakes;            /* push_poller_wake calls not consumed yet */
    struct waker waker;      /* open from the first push__readyset_fd on */
    patience patience;
    unsigned gather; /* how long a wait lets messages gather before it looks: times of push__pause */
};

/* Lies in the object that is watched. */
struct watch {
    struct readyset *set; /* NULL: not watched. Guarded by the watched object's lock */
    struct watch_link ready, all;
    push_client *client;       /* I while in a set */
    void *data;                /* I while in a set */
    _Atomic uint64_t *word;    /* I while in a set: changes when there is something new, and arming changes it */
    uint64_t idle_word;        /* the word when the mailbox was found empty, where idle */
    uint64_t armed_word;       /* what arming makes of it */
    _Atomic bool signalled;    /* read under the watched object's lock alone: see watch_is_signalled */
    bool idle, paused, closed; /* idle: signalled, but empty when last seen */
    uint8_t looks;             /* while idle: waits that saw no change */
};

/* Returns 0 or a negative errno value. */
int push__readyset_init(struct readyset *set);

/* No watch is in it, nobody waits. */
void push__readyset_destroy(struct readyset *set);

void push__readyset_add(struct readyset *set, struct watch *watch);
void push__readyset_remove(struct watch *watch);

/* The oldest member, or NULL: for a poller that empties its set. Stays valid while the caller sees to it. */
push_client *push__readyset_first(struct readyset *set);

/* Under the watched object's lock. A watch is armed only by changing its word, after it was made unsignalled: so
 * who has changed the word, and finds the watch signalled, need not signal it. */
static inline bool watch_is_signalled(const struct watch *watch)
{
    return atomic_load_explicit(&watch->signalled, memory_order_relaxed);
}

/* The watched mailbox has something to pull; was found empty, and armed; is closed. */
void push__watch_signal(struct watch *watch, struct wakeups *wakeups);
void push__watch_clear(struct watch *watch);

/* It was found empty with this word, which `armed` would arm. False: arm it now. */
bool push__watch_rest(struct watch *watch, uint64_t word, uint64_t armed);

void push__watch_close(struct watch *watch, struct wakeups *wakeups);
void push__watch_pause(struct watch *watch, bool paused, struct wakeups *wakeups);

/* How long a wait that began now would let messages gather. Under the set's lock. */
unsigned push__readyset_gathers(const struct readyset *set);

/* As push_poller_wait, push_poller_fd, push_poller_wake. */
int push__readyset_wait(struct readyset *set, push_event *events, int max, int timeout_ms);
int push__readyset_fd(struct readyset *set);
void push__readyset_wake(struct readyset *set);

#endif
