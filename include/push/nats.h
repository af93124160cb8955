/**
 * @file push/nats.h
 * libpush-nats: sessions that many processes share, over NATS.
 *
 * SPDX-License-Identifier: MIT
 *
 * Sections: concepts, options, connecting, joining, pushing, introspection. Clients are pulled from by push.h
 * alone: mailboxes, descriptors and pollers know nothing of NATS.
 */
#ifndef PUSH_NATS_H
#define PUSH_NATS_H

#include <push/push.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Concepts -------------------------------------------------------------------------------------------- */

/**
 * @page push_nats_concepts libpush-nats
 *
 * Sessions that many processes share.
 *
 * Each process (a node) has the clients that are connected to it, in libpush as ever. A push to a session id
 * reaches the session's clients on this node, and, through a NATS server, those on every other node of the same
 * cluster.
 *
 * Clients are pulled from by push.h alone: mailboxes, descriptors and pollers know nothing of NATS.
 *
 *     push_nats *n = push_nats_connect("nats://127.0.0.1:4222", NULL);
 *     push_client *c = push_nats_client_open(n, PUSH_ID("alice"), PUSH_ID("phone"), NULL, 1000); // join
 *
 *     push_msg *msg = push_msg_new("hello", 5);
 *     push_nats_push(n, PUSH_ID("alice"), msg, PUSH_ID_NONE, 0, NULL); // push
 *     push_msg_unref(msg);
 *
 *     push_nats_client_close(n, c); // leave
 *     push_nats_close(n, 5000);
 *
 * @section push_nats_network Never in the way
 *
 * No call but push_nats_close() touches the network: two threads of the library's do, and what libnats has. With
 * the server gone, slow or restarted, pushes still reach the clients of this node at once, and the connection is
 * made anew for ever, with growing pauses of up to 5 seconds. What is meant for other nodes waits in a bounded
 * queue, the outbox, until a server has confirmed it; after a lost connection what was not confirmed is sent again,
 * and receivers drop what they have had already. What is given up (older than max_age_ms, refused by the server,
 * left over at the close) is told to on_unpublished, and counted: nothing is lost silently.
 *
 * @section push_nats_interest Interest
 *
 * A node is subscribed to a session exactly while it is joined: from the first join until linger_ms after the last
 * leave. Servers send a message only to the nodes that are.
 *
 * @section push_nats_delivery Delivery
 *
 * A remote message is pushed into the mailboxes of this node with timeout 0, by the thread that delivers, which so
 * never waits: PUSH_DROP_NEWEST, PUSH_DROP_OLDEST and PUSH_DISCONNECT do what they always do; a client with
 * PUSH_BLOCK whose mailbox is full does not get the message, which is counted (refused) and told to on_refused. Who
 * takes part in a cluster should choose one of the others, or a mailbox that is large enough.
 *
 * @section push_nats_order Order
 *
 * The messages that one node pushed to a session arrive in the order they were pushed, and none twice. A node's own
 * messages do not come back to it. Messages of different nodes may arrive in a different order on different nodes
 * at level PUSH_NATS_CORE; at level PUSH_NATS_STREAM other nodes see them in the stream's order.
 *
 * @section push_nats_levels Levels
 *
 * - `PUSH_NATS_CORE`: at most once, lowest latency: a node that is cut off misses what is pushed meanwhile
 * - `PUSH_NATS_STREAM`: a JetStream stream keeps the last messages of each session, as many as the option history
 *   says: a node that was cut off, or (with position_file) restarted, catches up from where it was
 *
 * @section push_nats_lost Lost messages
 *
 * Every node counts its messages to each session, so a receiver sees how many it missed, at both levels: what a
 * slow consumer or a cut dropped, what left the history, what the publisher gave up. The number is told to on_lost,
 * where the gap is; the message that it returns is pushed to the session's clients in the gap's place ("you missed
 * 3: fetch the state anew"), so that they learn it by a pull. (What a mailbox's own policy drops, pulls report as
 * ever.) What cannot be seen: at PUSH_NATS_CORE, messages of a node of which this one had none before.
 *
 * @section push_nats_callbacks Callbacks
 *
 * They run on threads of the library with no lock held. They must not wait, must not call push_nats_close(), or
 * push_nats_join() with a timeout, and may call everything else. None runs after push_nats_close() has returned.
 * The ids, messages and reports that they are given are borrowed: valid until they return.
 *
 * @section push_nats_threads Threads
 *
 * Every call may be made from any thread at any time; push_nats_close() once, and nothing after or during it.
 *
 * @section push_nats_fork Fork
 *
 * After fork(2) a push_nats must not be used in the child.
 */

/** @defgroup push_nats Sessions that many processes share
 * A node of a cluster: joining sessions, and pushing to their clients on all nodes.
 *
 * The levels, what becomes of a message when the server is gone, and the rules for callbacks are in
 * libpush-nats(7).
 * @{ */

/** A node: this process's part in a cluster. */
typedef struct push_nats push_nats;

/* ---- Options --------------------------------------------------------------------------------------------- */

/** What becomes of messages while a node is cut off. */
typedef enum push_nats_level {
    PUSH_NATS_CORE,  /**< it misses them: at most once, lowest latency */
    PUSH_NATS_STREAM /**< a JetStream stream keeps them, and the node catches up */
} push_nats_level;

/** How a node is to be. Zero, and NULL, choose the default everywhere. */
typedef struct push_nats_options {
    const char *cluster;   /**< who shares sessions: 1 to 32 of A-Z a-z 0-9 - _; default: "default" */
    const char *name;      /**< of this connection, for the server's monitoring */
    push_nats_level level; /**< default: PUSH_NATS_CORE */
    int linger_ms; /**< how long a subscription outlives the last leave; default: 5000; negative: not at all */

    /* Who we are, where the URLs do not say. Encryption: URLs that begin with tls://. */
    const char *user,             /**< who we are, where the URLs do not say */
        *password,                /**< the user's; only with one */
        *token;                   /**< in the place of a user */
    const char *credentials_file; /**< JWT and seed, as nsc(1) writes them */
    const char *ca_file;          /**< certificates to trust, for URLs with tls://; default: the system's */
    const char *certificate_file, /**< our own certificate; only with key_file */
        *key_file;                /**< its key; only with certificate_file */

    /* The outbox. */
    size_t max_queued;       /**< messages that wait to be sent or confirmed; default: 65536, at most 2^28 */
    size_t max_queued_bytes; /**< bytes of them, but an empty outbox takes any one message; default: 64 MiB */
    int max_age_ms; /**< a message is given up when it has waited longer; default: 60000; negative: never */

    /** Messages of one session that have arrived and wait to be delivered; more are dropped, and counted in the
     * field dropped of push_nats_stats; default: 65536. */
    int max_pending;

    /* The stream (PUSH_NATS_STREAM). */
    /** Messages that the stream keeps of each session, with PUSH_NATS_STREAM; default: 100. Who connects first
     * makes the stream; these settings are then the stream's. */
    size_t history;
    int history_ms; /**< how long the stream keeps them; default: 3600000; negative: for ever */
    int replicas;   /**< servers that keep a copy, up to 5; default: 1 */
    bool in_memory; /**< the stream is in the servers' memory, rather than on their disks */
    /** Where this node stood is kept in that file, and sessions joined within a minute after a restart catch up
     * from there; NULL: they begin with what comes. */
    const char *position_file;

    /** So many messages to the session did not arrive. Returns a message for the session's clients on this node,
     * whose reference it gives away, or NULL. NULL: nobody is told. */
    push_msg *(*on_lost)(void *arg, push_id session, uint64_t count);
    /** Clients with PUSH_BLOCK did not take a remote message: as many as the report's timed_out says. NULL: nobody
     * is told. */
    void (*on_refused)(void *arg, push_id session, push_msg *msg, const push_report *report);
    /** Other nodes do not get this message. The error is -ETIMEDOUT: max_age_ms; -EMSGSIZE: larger than the server
     * allows; -EPIPE: push_nats_close() came first; -EIO: the stream, or libnats, refused it for good. (What the
     * server's permissions forbid it does not say by message: that is in the statistics alone, in unpublished and
     * error.) NULL: nobody is told. */
    void (*on_unpublished)(void *arg, push_id session, push_msg *msg, int error);
    void *arg; /**< given to the callbacks */
} push_nats_options;

/* ---- Connecting ------------------------------------------------------------------------------------------ */

/**
 * A node of a cluster, which connects, and reconnects, in the background.
 *
 * A program starts whether NATS is there or not: push_nats_wait() waits until it is.
 *
 * @param urls     one or more servers, with commas between: `nats://a:4222,nats://b:4222`
 * @param options  NULL: the defaults
 * @return the node; NULL with errno set on failure
 * @errno EINVAL   no URL, or an option out of range
 * @errno ENOMEM   out of memory
 * @errno EAGAIN   no thread
 * @errno ENOTSUP  libnats is too old
 * @errno ENOSYS   or whatever else getrandom(2) said
 * @waits      never
 * @ownership  the node is the caller's, for push_nats_close(); urls and options stay his, and are copied
 * @threads    any
 */
PUSH_API push_nats *push_nats_connect(const char *urls, const push_nats_options *options);

/**
 * Waits until the node is connected, and, at PUSH_NATS_STREAM, has its stream.
 *
 * push_nats_stat() tells what stands in the way.
 *
 * @param n           the node
 * @param timeout_ms  how long to wait: 0 never, negative for ever
 * @return 0
 * @retval -EAGAIN     timeout 0, and it is not now
 * @retval -ETIMEDOUT  the timeout ran out
 * @retval -EINVAL     n is NULL
 * @waits      up to timeout_ms, for the server
 * @ownership  nothing changes hands
 * @threads    any; a callback of the node only with timeout 0
 */
PUSH_API int push_nats_wait(push_nats *n, int timeout_ms);

/**
 * Waits until all that was pushed before is confirmed by the server, or given up.
 *
 * @param n           the node
 * @param timeout_ms  how long to wait: 0 never, negative for ever
 * @return 0
 * @retval -EAGAIN     timeout 0, and some is not now
 * @retval -ETIMEDOUT  the timeout ran out
 * @retval -EINVAL     n is NULL
 * @waits      up to timeout_ms, for the server
 * @ownership  nothing changes hands
 * @threads    any; a callback of the node only with timeout 0
 */
PUSH_API int push_nats_flush(push_nats *n, int timeout_ms);

/**
 * Leaves the cluster, and frees the node; sessions and clients stay.
 *
 * It takes no more pushes, sends what is queued, delivers what has arrived, up to timeout_ms, then frees
 * everything.
 *
 * @param n           the node
 * @param timeout_ms  how long to wait: 0 never, negative for ever
 * @return the number of messages that were not published; each was told to on_unpublished
 * @retval -EINVAL  n is NULL
 * @waits      up to timeout_ms, for the server; an attempt to connect or write that is under way ends first, which
 *             may take 2 seconds more, or one for each URL
 * @ownership  the node is gone
 * @threads    any, but no callback of the node; once, and no other call on the node may be running or follow
 */
PUSH_API int push_nats_close(push_nats *n, int timeout_ms);

/* ---- Joining --------------------------------------------------------------------------------------------- */

/**
 * Joins a session: this node gets the messages that other nodes push to it.
 *
 * Calls are counted: each is to be undone by one push_nats_leave(). The session itself need not exist.
 *
 * @param n           the node
 * @param session     the session's id
 * @param timeout_ms  how long to wait: 0 never, negative for ever
 * @return 1 once the server has confirmed the subscription: what others push from now on arrives; 0 where it has
 * not yet, and will in the background
 * @retval -EINVAL  n is NULL, no id, or an id too long
 * @retval -ENOMEM  out of memory
 * @retval -EIO     libcrypto could not hash the id, which is long
 * @waits      up to timeout_ms, for the server to confirm the subscription
 * @ownership  nothing changes hands: the id is copied
 * @threads    any; a callback of the node only with timeout 0
 */
PUSH_API int push_nats_join(push_nats *n, push_id session, int timeout_ms);

/**
 * Undoes one push_nats_join().
 *
 * @param n        the node
 * @param session  the session's id
 * @return 0
 * @retval -ENOENT  it is not joined
 * @retval -EINVAL  n is NULL, no id, or an id too long
 * @retval -EIO     libcrypto could not hash the id, which is long
 * @waits      never
 * @ownership  nothing changes hands
 * @threads    any
 */
PUSH_API int push_nats_leave(push_nats *n, push_id session);

/**
 * push_client_open() and push_nats_join() in one: for a server's new connection.
 *
 * When it fails, nothing is left behind. That the server has not confirmed in time is no failure.
 *
 * @param n           the node
 * @param session     the session's id
 * @param client      the client's id
 * @param options     as for push_client_new()
 * @param timeout_ms  how long to wait: 0 never, negative for ever
 * @return the client; NULL with errno set on failure
 * @errno EINVAL  n is NULL, no id, an id too long, an option out of range
 * @errno EEXIST  the client id is taken, and options say PUSH_REFUSE
 * @errno ENOMEM  out of memory
 * @errno EIO     libcrypto could not hash the session's id, which is long
 * @errno ENOSYS  or whatever else getrandom(2) said when the process first used the library
 * @waits      up to timeout_ms, for the server to confirm the subscription
 * @ownership  one reference for the caller, for push_nats_client_close(); options stay his, and are copied
 * @threads    any; a callback of the node only with timeout 0
 */
PUSH_API push_client *push_nats_client_open(push_nats *n, push_id session, push_id client,
                                            const push_client_options *options, int timeout_ms);

/**
 * push_client_delete(), push_nats_leave() and push_client_unref() in one: for a connection that ended.
 *
 * A client that shall stay, for its device to come back to: push_client_unref() and push_nats_leave() instead.
 *
 * @param n  the node
 * @param c  the client
 * @return 0
 * @retval -ENOENT  the session is not joined; the client is deleted all the same
 * @retval -EINVAL  n or c is NULL
 * @retval -EIO     libcrypto could not hash the session's id, which is long; the client is deleted all the same
 * @waits      never
 * @ownership  the caller's reference to the client is gone, but with -EINVAL
 * @threads    any; no other call may use that reference any more
 */
PUSH_API int push_nats_client_close(push_nats *n, push_client *c);

/* ---- Pushing --------------------------------------------------------------------------------------------- */

/** What a push did. */
typedef struct push_nats_report {
    push_report local; /**< to the clients of this node */
    bool queued;       /**< the outbox took the message for the other nodes */
} push_nats_report;

/**
 * Pushes a message to all clients of a session, on all nodes, or to all but one.
 *
 * On this node as push_session_send() does, with its wait for full PUSH_BLOCK clients; for the other nodes it is
 * put into the outbox, which waits, up to the same deadline, only where the outbox is full. Neither delays the
 * other. The session need not exist here.
 *
 * Whether the message is on its way to the other nodes, report->queued says: where it is not (the outbox stayed
 * full), it is counted in the statistics as unpublished, too.
 *
 * @param n           the node
 * @param session     the session's id
 * @param msg         the message
 * @param except      a client, of whatever node, that is passed over (the origin); PUSH_ID_NONE for nobody
 * @param timeout_ms  how long to wait: 0 never, negative for ever
 * @param report      filled with what the push did, with zeros on error, but for `queued` with -ENOMEM; may be NULL
 * @return the number of clients on this node whose mailbox took the message
 * @retval -EPIPE     push_nats_close() has begun: nobody got it
 * @retval -EMSGSIZE  larger than the server takes: nobody got it
 * @retval -EINVAL    n or msg is NULL, no session id, or an id too long: nobody got it
 * @retval -EIO       libcrypto could not hash the session's id, which is long: nobody got it
 * @retval -ENOMEM    out of memory: nobody here got it
 * @waits      up to timeout_ms, for full mailboxes with PUSH_BLOCK and for room in the outbox
 * @ownership  the caller keeps his reference to msg, on success and on failure
 * @threads    any; a callback of the node only with timeout 0
 */
PUSH_API int push_nats_push(push_nats *n, push_id session, push_msg *msg, push_id except, int timeout_ms,
                            push_nats_report *report);

/* ---- Introspection --------------------------------------------------------------------------------------- */

/** How a node stands, and what came of it so far. */
typedef struct push_nats_stats {
    bool connected;       /**< to a server */
    bool ready;           /**< connected, and the stream is there: push_nats_wait() */
    uint64_t reconnects;  /**< connections after the first */
    uint64_t published;   /**< messages that a server has confirmed */
    uint64_t resent;      /**< sent once more, for lack of a confirmation */
    uint64_t unpublished; /**< given up, or not taken by the outbox */
    size_t queued;        /**< messages in the outbox now */
    size_t queued_bytes;  /**< their bytes */
    uint64_t received;    /**< from other nodes, and delivered */
    uint64_t caught_up;   /**< of these, from the stream's history */
    uint64_t duplicates;  /**< had already, and not delivered again */
    uint64_t lost;        /**< missing, as told to on_lost */
    uint64_t refused;     /**< deliveries that a full PUSH_BLOCK client did not take */
    uint64_t dropped;     /**< by libnats: messages came faster than they could be delivered (a slow consumer) */
    size_t sessions;      /**< joined, or lingering */
    size_t subscriptions; /**< of these, confirmed by the server */
    char error[128];      /**< the last thing that went wrong, in libnats' words; "" */
} push_nats_stats;

/**
 * The statistics of a node.
 *
 * @param n    the node
 * @param out  filled
 * @return 0
 * @retval -EINVAL  n or out is NULL
 * @waits      never
 * @ownership  nothing changes hands
 * @threads    any
 */
PUSH_API int push_nats_stat(push_nats *n, push_nats_stats *out);

/** @} */

#ifdef __cplusplus
} /* extern "C" */
#endif

#endif /* PUSH_NATS_H */
