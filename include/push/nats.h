/*
 * libpush-nats: sessions that many processes share, over NATS.
 *
 * Each process (a node) has the clients that are connected to it, in libpush as ever. A push to a session id
 * reaches the session's clients on this node, and, through a NATS server, those on every other node of the same
 * cluster.
 *
 *     push_nats *n = push_nats_connect("nats://127.0.0.1:4222", NULL);
 *     push_client *c = push_nats_client_open(n, PUSH_ID("alice"), PUSH_ID("phone"), NULL, 1000);   join
 *     ...
 *     push_nats_push(n, PUSH_ID("alice"), msg, PUSH_ID_NONE, 0, NULL);                            push
 *     ...
 *     push_nats_client_close(n, c);                                                               leave
 *     push_nats_close(n, 5000);
 *
 * Clients are pulled from by push.h alone: mailboxes, descriptors and pollers know nothing of NATS.
 *
 * Sections: concepts, options, connecting, joining, pushing, introspection.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef PUSH_NATS_H
#define PUSH_NATS_H

#include <push/push.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Concepts --------------------------------------------------------------------------------------------
 *
 * Never in the way. No call of this header but push_nats_close touches the network: two threads of the library's
 * do, and what libnats has. With the server gone, slow or restarted, pushes still reach the clients of this node at
 * once, and the connection is made anew for ever, with growing pauses of up to 5 seconds. What is meant for other
 * nodes waits in a bounded queue, the outbox, until a server has confirmed it; after a lost connection what was not
 * confirmed is sent again, and receivers drop what they have had already. What is given up (older than max_age_ms,
 * refused by the server, left over at the close) is told to on_unpublished, and counted: nothing is lost silently.
 *
 * Interest. A node is subscribed to a session exactly while it is joined: from the first join until linger_ms after
 * the last leave. Servers send a message only to the nodes that are.
 *
 * Delivery. A remote message is pushed into the mailboxes of this node with timeout 0, by the thread that delivers,
 * which so never waits: PUSH_DROP_NEWEST, PUSH_DROP_OLDEST and PUSH_DISCONNECT do what they always do; a client
 * with PUSH_BLOCK whose mailbox is full does not get the message, which is counted (refused) and told to
 * on_refused. Who takes part in a cluster should choose one of the others, or a mailbox that is large enough.
 *
 * Order. The messages that one node pushed to a session arrive in the order they were pushed, and none twice. A
 * node's own messages do not come back to it. Messages of different nodes may arrive in a different order on
 * different nodes at level PUSH_NATS_CORE; at level PUSH_NATS_STREAM other nodes see them in the stream's order.
 *
 * Levels.
 *     PUSH_NATS_CORE    at most once, lowest latency: a node that is cut off misses what is pushed meanwhile
 *     PUSH_NATS_STREAM  a JetStream stream keeps the last `history` messages of each session: a node that was cut
 * off, or (with position_file) restarted, catches up from where it was
 *
 * Lost messages. Every node counts its messages to each session, so a receiver sees how many it missed, at both
 * levels: what a slow consumer or a cut dropped, what left the history, what the publisher gave up. The number is
 * told to on_lost, where the gap is; the message that it returns is pushed to the session's clients in the gap's
 * place
 * ("you missed 3: fetch the state anew"), so that they learn it by a pull. (What a mailbox's own policy drops,
 * pulls report as ever.) What cannot be seen: at PUSH_NATS_CORE, messages of a node of which this one had none
 * before.
 *
 * Callbacks run on threads of the library with no lock held. They must not wait, must not call push_nats_close or
 * push_nats_join with a timeout, and may call everything else. None runs after push_nats_close has returned.
 *
 * Threads. Every call may be made from any thread at any time; push_nats_close once, and nothing after or during
 * it. fork(2): a push_nats must not be used in the child. */

typedef struct push_nats push_nats;

/* ---- Options --------------------------------------------------------------------------------------------- */

typedef enum push_nats_level { PUSH_NATS_CORE, PUSH_NATS_STREAM } push_nats_level;

/* Zero, and NULL, choose the default everywhere. */
typedef struct push_nats_options {
    const char *cluster; /* who shares sessions: 1 to 32 of A-Z a-z 0-9 - _; "default" */
    const char *name;    /* of this connection, for the server's monitoring */
    push_nats_level level;
    int linger_ms; /* how long a subscription outlives the last leave; 5000, negative: not at all */

    /* Who we are, where the URLs do not say. Encryption: URLs that begin with tls://. */
    const char *user, *password, *token;
    const char *credentials_file;            /* JWT and seed, as nsc(1) writes them */
    const char *ca_file;                     /* certificates to trust; the system's */
    const char *certificate_file, *key_file; /* our own */

    /* The outbox. */
    size_t max_queued;       /* messages that wait to be sent or confirmed; 65536 */
    size_t max_queued_bytes; /* 64 MiB */
    int max_age_ms;          /* given up when older; 60000, negative: never */

    /* Messages of one session that have arrived and wait to be delivered; more are dropped (stats.dropped); 65536.
     */
    int max_pending;

    /* The stream (PUSH_NATS_STREAM). Who connects first makes it; these settings are then the stream's. */
    size_t history;            /* messages kept a session; 100 */
    int history_ms;            /* how long; 3600000, negative: for ever */
    int replicas;              /* servers that keep a copy; 1 */
    bool in_memory;            /* rather than on the servers' disks */
    const char *position_file; /* where this node stood is kept in that file, and sessions joined within a minute
                                  after a restart catch up from there; NULL: they begin with what comes */

    /* `count` messages to the session did not arrive. Returns a message for the session's clients on this node,
     * whose reference it gives away, or NULL. */
    push_msg *(*on_lost)(void *arg, push_id session, uint64_t count);
    /* Clients with PUSH_BLOCK did not take a remote message: report->timed_out of them. */
    void (*on_refused)(void *arg, push_id session, push_msg *msg, const push_report *report);
    /* Other nodes do not get this message: -ETIMEDOUT: max_age_ms; -EMSGSIZE: larger than the server allows;
     * -EPIPE: push_nats_close came first; -EIO: the stream, or libnats, refused it for good. (What the server's
     * permissions forbid it does not say by message: that is in the statistics alone, in `unpublished` and
     * `error`.) */
    void (*on_unpublished)(void *arg, push_id session, push_msg *msg, int error);
    void *arg;
} push_nats_options;

/* ---- Connecting ------------------------------------------------------------------------------------------ */

/* A node of a cluster. `urls` are one or more servers, with commas between ("nats://a:4222,nats://b:4222"); options
 * NULL are the defaults. Connects, and reconnects, in the background: a program starts whether NATS is there or
 * not. Does not wait. NULL with errno EINVAL: no URL, or an option out of range; ENOMEM, EAGAIN (no thread),
 * ENOTSUP (libnats is too old). */
PUSH_API push_nats *push_nats_connect(const char *urls, const push_nats_options *options);

/* Waits up to timeout_ms until the node is connected, and, at PUSH_NATS_STREAM, has its stream. Returns 0. -EAGAIN
 * (timeout 0), -ETIMEDOUT, -EINVAL. push_nats_stat tells what stands in the way. */
PUSH_API int push_nats_wait(push_nats *n, int timeout_ms);

/* Waits up to timeout_ms until all that was pushed before is confirmed by the server (or given up). Returns 0.
 * -EAGAIN, -ETIMEDOUT, -EINVAL. */
PUSH_API int push_nats_flush(push_nats *n, int timeout_ms);

/* Leaves the cluster: takes no more pushes, sends what is queued, delivers what has arrived, up to timeout_ms, then
 * frees everything; sessions and clients stay. An attempt to connect or write that is under way ends first, which
 * may take 2 seconds more, or one for each URL. Returns the number of messages that were not published (each was
 * told to on_unpublished). -EINVAL. */
PUSH_API int push_nats_close(push_nats *n, int timeout_ms);

/* ---- Joining --------------------------------------------------------------------------------------------- */

/* Joins a session: this node gets the messages that other nodes push to it, for every call once more to be undone
 * by push_nats_leave. Waits up to timeout_ms for the server to confirm the subscription. The session itself need
 * not exist. Returns 1 once the server has confirmed: what others push from now on arrives; 0 where it has not yet,
 * and will in the background. -EINVAL, -ENOMEM. */
PUSH_API int push_nats_join(push_nats *n, push_id session, int timeout_ms);

/* Undoes one push_nats_join. Does not wait. Returns 0. -ENOENT: it is not joined; -EINVAL. */
PUSH_API int push_nats_leave(push_nats *n, push_id session);

/* push_client_open and push_nats_join in one: for a server's new connection. Waits as push_nats_join does. NULL
 * with errno as push_client_open; nothing is left behind then. */
PUSH_API push_client *push_nats_client_open(push_nats *n, push_id session, push_id client,
                                            const push_client_options *options, int timeout_ms);

/* For a connection that ended: push_client_delete, push_nats_leave, and the handle is let go. A client that shall
 * stay, for its device to come back to: push_client_unref and push_nats_leave instead. Does not wait. Returns 0.
 * -ENOENT: the session is not joined (the client is deleted all the same); -EINVAL. */
PUSH_API int push_nats_client_close(push_nats *n, push_client *c);

/* ---- Pushing --------------------------------------------------------------------------------------------- */

typedef struct push_nats_report {
    push_report local; /* the clients of this node */
    bool queued;       /* the outbox took the message for the other nodes */
} push_nats_report;

/* Pushes a message to all clients of the session, on all nodes, but `except` (a client of whatever node;
 * PUSH_ID_NONE for nobody). On this node as push_session_send does, with its wait for full PUSH_BLOCK clients; for
 * the other nodes it is put into the outbox, which waits, up to the same deadline, only where the outbox is full.
 * Neither delays the other. The session need not exist here. The caller keeps his reference to msg. `report` may be
 * NULL; it is always filled, with zeros on error. Returns the number of clients on this node that took the message,
 * and report->queued says whether it is on its way to the others: where it is not (the outbox stayed full), it is
 * counted in the statistics as unpublished, too. -EPIPE: push_nats_close has begun; -EMSGSIZE: larger than the
 * server takes; -EINVAL: nobody got it then. -ENOMEM: nobody here got it. */
PUSH_API int push_nats_push(push_nats *n, push_id session, push_msg *msg, push_id except, int timeout_ms,
                            push_nats_report *report);

/* ---- Introspection --------------------------------------------------------------------------------------- */

typedef struct push_nats_stats {
    bool connected;       /* to a server */
    bool ready;           /* connected, and the stream is there: push_nats_wait */
    uint64_t reconnects;  /* connections after the first */
    uint64_t published;   /* messages that a server has confirmed */
    uint64_t resent;      /* sent once more, for lack of a confirmation */
    uint64_t unpublished; /* given up, or not taken by the outbox */
    size_t queued;        /* in the outbox now */
    size_t queued_bytes;
    uint64_t received;    /* from other nodes, and delivered */
    uint64_t caught_up;   /* of these, from the stream's history */
    uint64_t duplicates;  /* had already, and not delivered again */
    uint64_t lost;        /* missing, as told to on_lost */
    uint64_t refused;     /* deliveries that a full PUSH_BLOCK client did not take */
    uint64_t dropped;     /* by libnats: messages came faster than they could be delivered (a slow consumer) */
    size_t sessions;      /* joined, or lingering */
    size_t subscriptions; /* of these, confirmed by the server */
    char error[128];      /* the last thing that went wrong, in libnats' words; "" */
} push_nats_stats;

/* Fills *out. Returns 0, or -EINVAL. Does not wait. */
PUSH_API int push_nats_stat(push_nats *n, push_nats_stats *out);

#ifdef __cplusplus
} /* extern "C" */
#endif

#endif /* PUSH_NATS_H */
