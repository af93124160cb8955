/*
 * push_nats: one node of a cluster, and who does what in it.
 *
 *     the caller's threads   push (outbox.c), join and leave (interest.c); they never touch libnats
 *     the sender (outbox.c)  publishes
 *     the keeper (keeper.c)  connects, subscribes and unsubscribes (subscriptions.c), asks for confirmations,
 *                            catches up (catch_up.c)
 *     libnats' delivery      hands on what arrives (deliver.c); acknowledgements of the stream too (stream.c)
 *
 * Locks: `lock` here and the outbox's, never one in the other. Nothing of libnats that may block, and nothing of
 * the caller's, is called under either.
 */
#ifndef PUSH_SRC_NATS_NODE_H
#define PUSH_SRC_NATS_NODE_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include <nats/nats.h>
#include <push/nats.h>

#include "outbox.h"
#include "peers.h"
#include "wire.h"

/*
 * A session that this node is, or was a moment ago, joined to. The subject is the key.
 *
 *     PENDING ──subscribed──► (CONFIRMED, or, with a stream) BEHIND ──caught up──► CONFIRMED
 *        ▲                                                      ▲                     │
 *        └────────────── the connection is lost ────────────────┴─────── a gap ───────┘
 */
enum interest_state {
    PENDING,  /* to be subscribed */
    BEHIND,   /* subscribed; what the stream has is to be fetched before what arrives may be delivered */
    CONFIRMED /* what arrives is delivered */
};

struct interest {
    /* I */
    struct push_nats *node;
    push_id session; /* its bytes lie behind the subject */
    /* m: guarded by node->lock */
    size_t joins;
    size_t references; /* the table's, the subscription's, and those of whoever works on it unlocked */
    enum interest_state state;
    bool listed;    /* in the queue of its state */
    bool lingering; /* in node->lingering */
    bool in_table;
    int64_t leave_at;
    natsSubscription *subscription; /* K: written by the keeper alone */
    bool alive;                     /* the last subscription's last callback has not returned yet */
    uint64_t dropped;               /* K: by libnats, as last seen */
    struct peers peers;
    uint64_t sequence; /* with a stream: of the last message that was delivered, or need not be */
    uint64_t seen;     /* ... of the last that came while BEHIND */
    bool positioned;   /* `sequence` means something */
    TAILQ_ENTRY(interest) work;
    TAILQ_ENTRY(interest) linger;
    TAILQ_ENTRY(interest) subscribed; /* while `subscription` is there */
    char subject[];
};
TAILQ_HEAD(interest_queue, interest);

struct settings {
    char *urls;
    char cluster[CLUSTER_MAX + 1];
    char *name, *user, *password, *token, *credentials_file, *ca_file, *certificate_file, *key_file, *position_file;
    bool streamed;
    int linger_ms;
    int max_pending; /* 0: libnats' default */
    size_t history;
    int64_t history_ms; /* 0: for ever */
    int replicas;
    bool in_memory;
    push_msg *(*on_lost)(void *arg, push_id session, uint64_t count);
    void (*on_refused)(void *arg, push_id session, push_msg *msg, const push_report *report);
    void (*on_unpublished)(void *arg, push_id session, push_msg *msg, int error);
    void *arg;
};

struct push_nats {
    struct settings settings; /* I */
    uint64_t publisher;       /* I: our own, random, not 0 */
    struct outbox outbox;     /* has a lock of its own */

    pthread_mutex_t lock;
    pthread_cond_t wake;    /* the keeper: something to do */
    pthread_cond_t changed; /* whoever waits: confirmed, ready, or a subscription ended */
    pthread_t keeper;
    LIST_ENTRY(push_nats) enlisted; /* link.c */

    /* m */
    void *interests; /* by subject: tsearch(3) */
    size_t interest_count, confirmed_count;
    size_t subscriptions_alive; /* whose last callback has not returned */
    int connections_alive;      /* likewise */
    struct interest_queue pending, behind, lingering, subscribed;
    struct interest_queue retired; /* K: out of the table, unsubscribed, and yet to be destroyed: subscriptions.c */
    bool connected, ready, lost_connection, stopping;
    bool unconfirmed;  /* letters wait for a confirmation */
    bool slow;         /* libnats has dropped something */
    int64_t close_by;  /* once stopping: until then what has arrived is delivered */
    uint64_t position; /* the highest sequence delivered; with position_file */
    uint64_t resume;   /* where the last instance stood; 0: unknown */
    int64_t resume_until;
    push_nats_stats stats;

    natsConnection *connection; /* [m] changed by the keeper alone */
    /* K: the keeper's own */
    natsSubscription *acknowledgements;
    jsCtx *stream;
    uint64_t connections;
    int failures;           /* to connect, in a row */
    uint64_t position_seen; /* `position` when it was last looked at */
    int64_t fence_at, slow_at, position_at, retry_at, retire_at;
};

/* interest.c */
int push__nats_subject(const struct push_nats *n, push_id session, char subject[SUBJECT_SIZE]);
/* Finds or creates, and adds a join and a reference. Returns 0 or -ENOMEM. */
int push__nats_interest_join(struct push_nats *n, push_id session, const char *subject, struct interest **out);
int push__nats_interest_leave(struct push_nats *n, const char *subject);
void push__nats_interest_unref_locked(struct interest *interest);
void push__nats_interest_unref(struct interest *interest);
/* Puts it into the queue of that state. */
void push__nats_interest_move_locked(struct interest *interest, enum interest_state state);
/* Takes it out of its queue. */
void push__nats_interest_unlist_locked(struct interest *interest);
/* Takes out of the table, and returns with its reference, one whose time to linger is over; or NULL. */
struct interest *push__nats_interest_expired_locked(struct push_nats *n, int64_t now);
/* At the end: forgets all. */
void push__nats_interest_clear(struct push_nats *n);

/* deliver.c */
void push__nats_on_message(natsConnection *connection, natsSubscription *subscription, natsMsg *msg, void *closure);
/* A message that the keeper fetched while the interest is BEHIND. may_have_missed: some may have left the history.
 */
void push__nats_deliver_fetched(struct interest *interest, natsMsg *msg, bool may_have_missed);
/* Whether may_have_missed makes a difference to it. */
bool push__nats_origin_unsure(struct interest *interest, natsMsg *msg);
/* Of a header; 0 where there is none. */
uint64_t push__nats_header_number(natsMsg *msg, const char *key);

/* stream.c */
/* Makes sure of the stream. Returns NATS_OK or why not. */
natsStatus push__nats_stream_ensure(struct push_nats *n);
natsStatus push__nats_stream_bounds(struct push_nats *n, uint64_t *first, uint64_t *last);
/* Whether messages of that subject behind sequence `since` may have left the stream. */
natsStatus push__nats_stream_evicted(struct push_nats *n, const char *subject, uint64_t since, bool *evicted);
/* The next message of that subject from sequence `from` on: NATS_NOT_FOUND: there is none. */
natsStatus push__nats_stream_next(struct push_nats *n, const char *subject, uint64_t from, natsMsg **msg);
void push__nats_on_acknowledgement(natsConnection *connection, natsSubscription *subscription, natsMsg *msg,
                                   void *closure);

/* link.c: the connection */
natsStatus push__nats_link_connect(struct push_nats *n);
void push__nats_link_close(struct push_nats *n);
/* NATS_OK: the server has answered, so it has had what was sent before. */
natsStatus push__nats_link_ping(struct push_nats *n);
/* Between the two libnats may tell of errors. */
void push__nats_link_enlist(struct push_nats *n);
void push__nats_link_delist(struct push_nats *n);
void push__nats_note_error(struct push_nats *n, natsStatus status, const char *text);

/* subscriptions.c: for the keeper alone. What returns false has failed, and is to be tried again. */
bool push__nats_subscribe_pending(struct push_nats *n);
/* Whether it has something to do. */
bool push__nats_has_pending_locked(struct push_nats *n);
/* Those that have lingered long enough. */
void push__nats_unsubscribe_expired(struct push_nats *n);
/* Destroys those that were unsubscribed some time ago. */
bool push__nats_retire(struct push_nats *n);
void push__nats_count_dropped(struct push_nats *n);
/* Once the connection is closed: none is left, and those that are joined are pending again. */
void push__nats_subscriptions_end(struct push_nats *n);

/* catch_up.c: for the keeper alone. False: something failed, and is to be tried again. */
bool push__nats_catch_up(struct push_nats *n);

/* position.c */
uint64_t push__nats_position_read(const char *file);
int push__nats_position_write(const char *file, uint64_t position);

/* keeper.c */
void *push__nats_keeper(void *node);
void push__nats_wake(struct push_nats *n);

/* settings.c */
int push__nats_settings_copy(struct settings *settings, const char *urls, const push_nats_options *options);
void push__nats_settings_free(struct settings *settings);
void push__nats_outbox_options(struct outbox *outbox, const push_nats_options *options);

#endif
