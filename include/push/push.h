/*
 * libpush: push one message to all devices of a user, pull it on each of them.
 *
 * A session (a user, a group) is found by its id in a registry that the process shares. It has clients
 * (devices, connections), each with a bounded mailbox of its own. A push puts one message into the mailbox
 * of every client; threads, event loops and pollers pull it out again.
 *
 *     push_session *s = push_session_new(PUSH_ID("alice"), PUSH_ID("phone"), 10);
 *     push_session_push(s, "hello", 5);
 *
 *     push_msg *msg;
 *     if (push_session_pull(s, PUSH_ID("phone"), &msg, -1) >= 0) {
 *         printf("%.*s\n", (int)push_msg_size(msg), (const char *)push_msg_data(msg));
 *         push_msg_unref(msg);
 *     }
 *     push_session_unref(s);
 *     push_shutdown();
 *
 * Sections: visibility, version, concepts, status, ids, messages, sessions, clients, descriptors, pollers,
 * the process.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef PUSH_PUSH_H
#define PUSH_PUSH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Visibility ------------------------------------------------------------------------------------------
 * PUSH_STATIC: define it when linking the static library (the CMake and pkg-config files do it where it
 * matters). PUSH_BUILD is for the build of the library itself. */
#if defined(PUSH_STATIC)
#define PUSH_API
#elif defined(_WIN32)
#if defined(PUSH_BUILD)
#define PUSH_API __declspec(dllexport)
#else
#define PUSH_API __declspec(dllimport)
#endif
#elif defined(__GNUC__)
#define PUSH_API __attribute__((visibility("default")))
#else
#define PUSH_API
#endif

/* ---- Version --------------------------------------------------------------------------------------------- */
#define PUSH_VERSION_MAJOR 0
#define PUSH_VERSION_MINOR 1
#define PUSH_VERSION_PATCH 0
#define PUSH_VERSION_STRING "0.1.0"

/* The version of the library that runs, which may be newer than the header compiled against. Never waits,
 * any thread, never NULL. */
PUSH_API const char *push_version(void);

/* ---- Concepts --------------------------------------------------------------------------------------------
 *
 * Handles. push_session, push_client, push_poller and push_msg are opaque. Every call that returns a session,
 * client or message handle gives one reference to the caller, who lets it go with the matching _unref.
 * Dropping handles deletes nothing: sessions and clients live in the registry until they are deleted. A
 * deleted session or client stays a valid, closed object until its last handle goes.
 *
 * Messages are immutable and reference-counted. A push to N clients makes N references, no copy. A pull
 * gives one of them to the caller.
 *
 * Results. A function that returns int returns a count >= 0, or a negative errno value (see push_strerror).
 * A function that returns a pointer returns NULL and sets errno (positive). Bad arguments are found before
 * anything else, give -EINVAL, and change nothing. A call that fails for any other reason (-ENOMEM, -EMFILE
 * and the like) changes nothing either: it can be repeated.
 *
 * Timeouts are in milliseconds on the monotonic clock, as in poll(2): 0 never waits, any negative value waits
 * for ever. One deadline holds for the whole call. A signal does not end a wait.
 *
 * Full mailboxes. A mailbox is full when it holds max_buffer messages, or, with max_bytes, when it is not
 * empty and the message would take it over that limit, and while earlier pushes wait for it. What a push does
 * to a full mailbox is the client's overflow policy:
 *
 *     PUSH_BLOCK        the push waits, up to its timeout; other clients get the message without delay
 *     PUSH_DROP_NEWEST  this client does not get this message
 *     PUSH_DROP_OLDEST  this client loses its oldest message, or as many as the new one needs
 *     PUSH_DISCONNECT   this client is deleted: it can drain what it has, then sees -EPIPE
 *
 * Lost messages are counted, and the next pull after the gap tells how many were lost there.
 *
 * Order. The messages of one thread arrive in the order it pushed them. Any two clients of a session get the
 * messages that were pushed to the session, and that both get, in the same order, however many threads push.
 *
 * Threads. Every call may be made from any thread at any time, with these rules:
 *
 *     unref of a handle    no other call may use that reference any more; take a reference for each thread
 *     push_poller_free     no other call on that poller may be running or follow; pushes, pulls and deletes may
 *     push_shutdown        sessions created meanwhile may survive it: stop what creates them first
 *     push_set_allocator   before the first use of the library
 *
 * No call holds a lock that another call needs while it waits. A free_fn runs with no lock of the library held and
 * may itself call the library; an allocator may run under a lock, and must not.
 *
 * Cancellation (pthread_cancel, deferred). The calls that wait are cancellation points while they wait, and no
 * other is. A cancelled pull loses no message; a cancelled push leaves the message where it was taken already
 * and no trace elsewhere.
 *
 * fork(2). The child starts with an empty registry. Handles made before the fork must not be used in it.
 *
 * Signal handlers must not call the library. */

typedef struct push_session push_session; /* a user or a group */
typedef struct push_client push_client;   /* a device or a connection: a mailbox */
typedef struct push_msg push_msg;         /* an immutable block of bytes, reference-counted */
typedef struct push_poller push_poller;   /* one wait point for many clients */

/* ---- Status ----------------------------------------------------------------------------------------------
 * The errors of this library, as negative errno values:
 *
 *     -EAGAIN     timeout 0, and nothing to pull, or no event, now
 *     -ETIMEDOUT  the timeout ran out
 *     -ENOENT     no such client, no such session
 *     -EPIPE      the client (or its session) was deleted or disconnected, and its mailbox is drained
 *     -EEXIST     the client id is taken, and PUSH_REFUSE was asked for; the client is in this poller already
 *     -EBUSY      the client is in another poller; too late to set an allocator
 *     -EINVAL     NULL where an object is needed, PUSH_ID_NONE where an id is needed, an option out of range
 *     -ENOMEM, -EMFILE, -ENFILE and others: what the system said */

/* A sentence for a result of this library ("push: no such client"), for any int: the sign does not matter, so
 * errno can be given as well. Static storage. Never waits, any thread, never NULL. */
PUSH_API const char *push_strerror(int rc);

/* ---- Ids -------------------------------------------------------------------------------------------------
 * A small value, passed by value: nothing, an integer, or bytes. A string and the same bytes are the same id;
 * 42 and "42" are different ids. The bytes an id points to must stay readable for the duration of the call it
 * is given to; the library keeps a copy. An id of more than PUSH_ID_MAX bytes is -EINVAL wherever it is used.
 *
 * The fields are not for use: make ids with the functions below. */
#define PUSH_ID_MAX 65536

typedef struct push_id {
    const void *data; /* bytes, not owned; NULL for an integer and for PUSH_ID_NONE */
    uint64_t value;   /* the size of the bytes, or the integer */
    int kind;         /* 0 none, 1 integer, 2 bytes */
} push_id;

/* No id: Go's nil. */
#ifdef __cplusplus
#define PUSH_ID_NONE (push_id())
#else
#define PUSH_ID_NONE ((push_id){NULL, 0, 0})
#endif

/* The id of a NUL-terminated string; NULL gives PUSH_ID_NONE. Never fails, never waits, any thread. */
PUSH_API push_id push_id_str(const char *s);

/* The id of `size` bytes, NUL included; NULL data gives PUSH_ID_NONE. Never fails, never waits, any thread. */
PUSH_API push_id push_id_bytes(const void *data, size_t size);

/* The id of an integer. Never fails, never waits, any thread. */
PUSH_API push_id push_id_int(uint64_t n);

/* True where a and b are the same id; PUSH_ID_NONE equals only itself. Never waits, any thread. */
PUSH_API bool push_id_equal(push_id a, push_id b);

/* Writes the id for people to read, as snprintf(3) does: at most `size` bytes, NUL included, and returns the
 * length of the whole text. 42, alice, a\x00b, (none); a byte that is no printable ASCII character is written
 * \xNN, a backslash \\. Never waits, any thread.
 * -EINVAL: buf is NULL with a size that is not 0, or the id is too long. */
PUSH_API int push_id_format(push_id id, char *buf, size_t size);

/* PUSH_ID(x): push_id_str for char pointers, push_id_int for integers, the id itself for an id. */
#ifndef __cplusplus
static inline push_id push_id_signed_(long long n)
{
    return push_id_int((uint64_t)n);
}
static inline push_id push_id_same_(push_id id)
{
    return id;
}
/* clang-format off */
#define PUSH_ID(x)                                                                                                  \
    (_Generic((x),                                                                                                  \
        char *: push_id_str, const char *: push_id_str, push_id: push_id_same_,                                     \
        char: push_id_signed_, signed char: push_id_signed_, short: push_id_signed_, int: push_id_signed_,          \
        long: push_id_signed_, long long: push_id_signed_,                                                          \
        _Bool: push_id_int, unsigned char: push_id_int, unsigned short: push_id_int, unsigned: push_id_int,         \
        unsigned long: push_id_int, unsigned long long: push_id_int)(x))
/* clang-format on */
#endif

/* ---- Messages --------------------------------------------------------------------------------------------
 * A message never changes after it was made. Any number of threads may read it. */

/* A message with a copy of `size` bytes; size 0 is a valid, empty message (data may be NULL then). One
 * reference for the caller. Never waits, any thread.
 * NULL with errno EINVAL: data is NULL with a size that is not 0; ENOMEM. */
PUSH_API push_msg *push_msg_new(const void *data, size_t size);

/* A message that adopts `data`: no copy. When the last reference goes, free_fn(data, arg) runs exactly once, on
 * the thread that let it go, with no lock of the library held; it may call the library. free_fn NULL: nothing
 * is freed (static data). On failure data stays the caller's and free_fn does not run. Never waits, any thread.
 * NULL with errno EINVAL: data is NULL with a size that is not 0; ENOMEM. */
PUSH_API push_msg *push_msg_wrap(void *data, size_t size, void (*free_fn)(void *data, void *arg), void *arg);

/* One more reference; returns msg. NULL gives NULL with errno EINVAL. Never waits, any thread. */
PUSH_API push_msg *push_msg_ref(push_msg *msg);

/* Lets a reference go; the last one frees the message. NULL is fine. Never waits, any thread. */
PUSH_API void push_msg_unref(push_msg *msg);

/* The bytes (aligned for any object), valid while a reference is held, and their number. NULL and 0 for a NULL
 * message. Never wait, any thread. */
PUSH_API const void *push_msg_data(const push_msg *msg);
PUSH_API size_t push_msg_size(const push_msg *msg);

/* ---- Sessions -------------------------------------------------------------------------------------------- */

/* What a push did. */
typedef struct push_report {
    size_t delivered;    /* mailboxes that took the message */
    size_t dropped;      /* clients that lost a message through this push: this one, or their oldest */
    size_t disconnected; /* clients that PUSH_DISCONNECT closed in this push */
    size_t timed_out;    /* PUSH_BLOCK clients that were still full at the deadline, or at once with timeout 0 */
} push_report;

/* Finds or creates the session, and, unless `client` is PUSH_ID_NONE, finds or creates that client in it with
 * room for max_buffer messages and policy PUSH_BLOCK. An existing client keeps its mailbox: max_buffer is then
 * ignored. max_buffer 0 is a rendezvous: a push completes when a pull takes the message. The session stays
 * until push_session_delete. One reference for the caller. Never waits, any thread.
 * NULL with errno EINVAL: no session id, or an id too long; ENOMEM, or what getrandom(2) said. */
PUSH_API push_session *push_session_new(push_id session, push_id client, size_t max_buffer);

/* The session of that id; never creates one. One reference for the caller. Never waits, any thread.
 * NULL with errno ENOENT: there is none; EINVAL. */
PUSH_API push_session *push_session_find(push_id session);

/* One more reference; returns s. NULL gives NULL with errno EINVAL. Never waits, any thread. */
PUSH_API push_session *push_session_ref(push_session *s);

/* Lets a reference go: the session itself stays. NULL is fine. Never waits, any thread. */
PUSH_API void push_session_unref(push_session *s);

/* The session's id, whose bytes are valid while the handle is held; PUSH_ID_NONE for NULL. Never waits. */
PUSH_API push_id push_session_id(const push_session *s);

/* Pushes a copy of `size` bytes to all clients, and waits, for ever, for those whose mailbox is full and whose
 * policy is PUSH_BLOCK. Clients with room get the message first, without delay. Any thread; the caller keeps
 * `data`.
 * Returns the number of clients whose mailbox took the message, 0 where there is no client. -EPIPE: the session
 * was deleted; where that happens while the push waits, the number that took it, -EPIPE for none. -EINVAL,
 * -ENOMEM. */
PUSH_API int push_session_push(push_session *s, const void *data, size_t size);

/* Pushes a message to all clients but `except` (the origin; PUSH_ID_NONE for nobody), and waits, up to
 * timeout_ms, for the full ones whose policy is PUSH_BLOCK. The caller keeps his reference to msg, on success and
 * on failure. `report` may be NULL; it is always filled, with zeros on error. Any thread.
 * Returns as push_session_push; a deadline that passes is no error: clients that were still full are in
 * report->timed_out. */
PUSH_API int push_session_send(push_session *s, push_msg *msg, push_id except, int timeout_ms, push_report *report);

/* Pulls the next message of a client, and waits for one up to timeout_ms. On success *msg is a reference that
 * the caller lets go with push_msg_unref; on error it is NULL. Any thread; threads that pull from one client share
 * its messages.
 * Returns 0, or, where messages were lost just before this one, how many. -ENOENT: no such client, or the
 * session is deleted, at the call; -EAGAIN, -ETIMEDOUT; -EPIPE: the client was deleted while the pull waited;
 * -EINVAL, -ENOMEM. */
PUSH_API int push_session_pull(push_session *s, push_id client, push_msg **msg, int timeout_ms);

/* The descriptor of a client: see Descriptors. Never waits, any thread.
 * -ENOENT: no such client, or the session is deleted; -EINVAL, -ENOMEM, -EMFILE, -ENFILE. */
PUSH_API int push_session_pull_fd(push_session *s, push_id client);

/* Deletes a client: see push_client_delete. False: there was none, which is fine. Never waits, any thread. */
PUSH_API bool push_session_delete_client(push_session *s, push_id client);

/* The number of clients; 0 for a deleted session and for NULL. Never waits, any thread. */
PUSH_API size_t push_session_len(push_session *s);

/* The ids of all clients, in no order, and their number in *count (may be NULL). The list ends with a
 * PUSH_ID_NONE that is not counted; it is one allocation, bytes of the ids included, for push_ids_free. A session
 * without clients, or deleted, gives an empty list. Never waits, any thread.
 * NULL with errno EINVAL, ENOMEM; *count is then 0. */
PUSH_API push_id *push_session_clients(push_session *s, size_t *count);

/* Frees a list of ids. NULL is fine. */
PUSH_API void push_ids_free(push_id *ids);

/* True while there is a session of that id. Never waits, any thread. */
PUSH_API bool push_session_exists(push_id session);

/* Takes the session out of the registry and deletes all its clients: every blocked push and pull on it returns.
 * Handles stay valid, and closed. The id may be used anew at once; old handles never touch the new session.
 * False: there was none, which is fine. Never waits, any thread. */
PUSH_API bool push_session_delete(push_id session);

/* The same, in one atomic step, only while the session has no client. False: it has one, or there is none. */
PUSH_API bool push_session_delete_if_empty(push_id session);

/* The ids of all live sessions: as push_session_clients. Sessions created or deleted meanwhile may or may not
 * be in it. Never waits, any thread. NULL with errno ENOMEM only. */
PUSH_API push_id *push_sessions(size_t *count);

/* Deletes every session and frees the registry. The library can be used again after it. Once the last handle is
 * gone too, nothing of the library is left: no byte, no descriptor, no thread. */
PUSH_API void push_shutdown(void);

/* ---- Clients ---------------------------------------------------------------------------------------------
 * The handle: the fast path, without a look-up by id. */

typedef enum push_overflow { PUSH_BLOCK, PUSH_DROP_NEWEST, PUSH_DROP_OLDEST, PUSH_DISCONNECT } push_overflow;

/* What happens when the id of a new client is taken. */
typedef enum push_duplicate {
    PUSH_SHARE,    /* one more reference to the client that is there, its options unchanged: readers share */
    PUSH_TAKEOVER, /* a device that reconnects: the new client gets the mailbox as it stands (messages, gaps,
                      limits, waiting pushes, statistics, data pointer); older handles are closed and empty */
    PUSH_REPLACE,  /* the old client is deleted (its handles may drain it), the new one starts empty */
    PUSH_REFUSE    /* EEXIST */
} push_duplicate;

typedef struct push_client_options {
    size_t max_buffer; /* messages; 0: rendezvous, which only PUSH_BLOCK may have */
    size_t max_bytes;  /* payload bytes queued, 0 for no such limit; an empty mailbox takes any one message */
    push_overflow overflow;
    push_duplicate duplicate;
} push_client_options;

typedef struct push_client_stats {
    size_t queued;       /* messages in the mailbox now */
    size_t queued_bytes; /* their payload */
    size_t max_buffer;
    size_t high_water; /* most messages ever queued at once */
    uint64_t pushed;   /* messages the mailbox took: queued + pulled + evicted */
    uint64_t pulled;
    uint64_t dropped; /* lost by its policy: newest refused, or oldest evicted */
    bool closed;
} push_client_stats;

/* A client of the session, created, or found, as options->duplicate says. options NULL: 10 messages, PUSH_BLOCK,
 * PUSH_SHARE. One reference for the caller. Never waits, any thread.
 * NULL with errno EINVAL: NULL session, no id, an id too long, an option out of range; EPIPE: the session is
 * deleted; EEXIST; ENOMEM. */
PUSH_API push_client *push_client_new(push_session *s, push_id id, const push_client_options *options);

/* Session and client in one atomic step: creates what is missing, leaves nothing behind when it fails. A session
 * that only this call made goes by itself with its last client; once push_session_new has named it, it stays
 * until deleted. Otherwise as push_client_new, without EPIPE. */
PUSH_API push_client *push_client_open(push_id session, push_id client, const push_client_options *options);

/* The client of that id. One reference for the caller. Never waits, any thread.
 * NULL with errno ENOENT: there is none, or the session is deleted; EINVAL. */
PUSH_API push_client *push_client_find(push_session *s, push_id id);

/* One more reference; returns c. NULL gives NULL with errno EINVAL. Never waits, any thread. */
PUSH_API push_client *push_client_ref(push_client *c);

/* Lets a reference go: the client itself stays in its session. NULL is fine. Never waits, any thread. */
PUSH_API void push_client_unref(push_client *c);

/* The client's id, whose bytes are valid while the handle is held; PUSH_ID_NONE for NULL. Never waits. */
PUSH_API push_id push_client_id(const push_client *c);

/* The client's session, borrowed: valid while the client handle is held. NULL for NULL. Never waits. */
PUSH_API push_session *push_client_session(const push_client *c);

/* A pointer of the caller's, NULL at first, which the library never looks at. Setting it releases, reading it
 * acquires. Never wait, any thread; NULL clients are ignored. */
PUSH_API void push_client_set_data(push_client *c, void *data);
PUSH_API void *push_client_data(const push_client *c);

/* Pushes to this one client, and waits up to timeout_ms where it is full and its policy is PUSH_BLOCK. The caller
 * keeps his reference to msg. `report` as in push_session_send. Any thread.
 * Returns 1, or 0 where the client did not take the message (timeout, or its policy: 0 with report->disconnected
 * 1 where this push closed it). -EPIPE: the client is deleted, or was while the push waited; -EINVAL, -ENOMEM. */
PUSH_API int push_client_send(push_client *c, push_msg *msg, int timeout_ms, push_report *report);

/* Pulls the next message: as push_session_pull, by handle. What a deleted client has queued can still be pulled,
 * in order; then -EPIPE, for ever. -EAGAIN, -ETIMEDOUT, -EINVAL, -ENOMEM. */
PUSH_API int push_client_pull(push_client *c, push_msg **msg, int timeout_ms);

/* Waits for the first message as push_client_pull does, then takes what is there: 1..max messages, each a
 * reference for the caller. A batch ends before the next gap; *lost (may be NULL) says how many messages were
 * lost before its first one. Any thread.
 * Returns the number of messages. Errors as push_client_pull; -EINVAL for max 0. */
PUSH_API int push_client_pull_many(push_client *c, push_msg **msgs, size_t max, size_t *lost, int timeout_ms);

/* Puts a message that was pulled, and could not be handed on, back to the front: it is the next one pulled, by
 * whoever pulls. It fits even in a full mailbox. Several are put back last-pulled first. Into a deleted client it
 * is allowed, to be drained. Takes over the caller's reference on success only. Never waits, any thread.
 * Returns 0. -EINVAL: NULL, or nothing was pulled from this mailbox that is not back already; -EPIPE: the handle
 * was closed by PUSH_TAKEOVER; -ENOMEM. */
PUSH_API int push_client_unpull(push_client *c, push_msg *msg);

/* The descriptor of the client: see Descriptors. Never waits, any thread. -EINVAL, -ENOMEM, -EMFILE, -ENFILE. */
PUSH_API int push_client_fd(push_client *c);

/* Deletes exactly this client, never a newer one of the same id. Blocked pulls and pushes on it return, its
 * descriptor turns readable and stays so; pushes pass it over: once this has returned, none delivers into it.
 * What is queued can be pulled through a handle. False: it was deleted already, which is fine. Never waits, any
 * thread. */
PUSH_API bool push_client_delete(push_client *c);

/* Fills *out. Returns 0, or -EINVAL. Never waits, any thread. */
PUSH_API int push_client_stat(push_client *c, push_client_stats *out);

/* ---- Descriptors -----------------------------------------------------------------------------------------
 * push_session_pull_fd and push_client_fd return a descriptor that is readable (poll, epoll) whenever there is a
 * message to pull, or the client is closed: level, not edge. It may stay readable after the last message was
 * taken, until one pull finds nothing (-EAGAIN, -ETIMEDOUT); it never fails to be readable while a message
 * waits. It is made by the first call, is the same at every later one, and costs clients that never asked for one
 * nothing. It belongs to the library: never read, write or close it. It is closed when the last handle of the
 * client goes: hold a handle for as long as an event loop watches it.
 *
 * A consumer that cannot write just now must take the descriptor out of its loop and put it back later: level
 * means that it would be woken again and again. */

/* ---- Pollers ---------------------------------------------------------------------------------------------
 * One wait point, and one descriptor, for many clients: what epoll is to sockets. A client is reported from its
 * first message until a pull on it found nothing (-EAGAIN or -ETIMEDOUT), drained or not; a closed one until it is
 * removed. Ready clients are served in turn. The poller holds a reference to its clients. */

typedef struct push_event {
    push_client *client; /* borrowed: valid until it is removed from the poller */
    void *data;          /* what push_poller_add was given */
} push_event;

/* A new poller. Never waits, any thread. NULL with errno ENOMEM or what the system said. */
PUSH_API push_poller *push_poller_new(void);

/* Frees the poller; clients in it stay as they were. NULL is fine. No other call on this poller may be running. */
PUSH_API void push_poller_free(push_poller *p);

/* Adds a client, and keeps `data` for its events. A closed client may be added, and is reported. Never waits,
 * any thread. Returns 0. -EEXIST: it is in this poller; -EBUSY: in another; -EINVAL, -ENOMEM. */
PUSH_API int push_poller_add(push_poller *p, push_client *c, void *data);

/* Removes a client; after it returned, no wait reports it. Never waits, any thread. Returns 0.
 * -ENOENT: it is not in this poller; -EINVAL. */
PUSH_API int push_poller_remove(push_poller *p, push_client *c);

/* Waits up to timeout_ms until a client is ready, and fills `events` as far as there are ready clients. Several
 * threads may wait on one poller: an arrival wakes one of them, and two that wait at once may be told of the same
 * client. Returns the number of events, 1..max, or 0 for a push_poller_wake. -EAGAIN, -ETIMEDOUT, -EINVAL (max
 * below 1 as well), -ENOMEM. */
PUSH_API int push_poller_wait(push_poller *p, push_event *events, int max, int timeout_ms);

/* One descriptor for all: readable while a wait with timeout 0 would report something (a wake too); not readable
 * after one said -EAGAIN, until something comes. It belongs to the poller: never read, write or close it. Never
 * waits, any thread. -EINVAL, -EMFILE, -ENFILE. */
PUSH_API int push_poller_fd(push_poller *p);

/* Stops reporting a client for messages (its consumer cannot write now); it is still reported when it closes.
 * push_poller_resume undoes it, and cannot fail for a client that is in the poller. Never wait, any thread.
 * Return 0. -ENOENT: it is not in this poller; -EINVAL. */
PUSH_API int push_poller_pause(push_poller *p, push_client *c);
PUSH_API int push_poller_resume(push_poller *p, push_client *c);

/* Makes one wait, now or next, return 0, ahead of events. Calls are counted. NULL is ignored. Never waits, any
 * thread. */
PUSH_API void push_poller_wake(push_poller *p);

/* ---- The process ----------------------------------------------------------------------------------------- */

/* All memory of the library comes from these functions from now on. Returns 0. -EINVAL: a NULL function; -EBUSY:
 * the library has been used already. */
PUSH_API int push_set_allocator(void *(*malloc_fn)(size_t), void *(*realloc_fn)(void *, size_t),
                                void (*free_fn)(void *));

#ifdef __cplusplus
} /* extern "C" */

/* PUSH_ID(x) for C++: one overload for each type that the macro of C knows. */
inline push_id PUSH_ID(const char *s)
{
    return push_id_str(s);
}
inline push_id PUSH_ID(push_id id)
{
    return id;
}
inline push_id PUSH_ID(bool n)
{
    return push_id_int(n ? 1 : 0);
}
inline push_id PUSH_ID(char n)
{
    return push_id_int(static_cast<uint64_t>(n));
}
inline push_id PUSH_ID(signed char n)
{
    return push_id_int(static_cast<uint64_t>(n));
}
inline push_id PUSH_ID(short n)
{
    return push_id_int(static_cast<uint64_t>(n));
}
inline push_id PUSH_ID(int n)
{
    return push_id_int(static_cast<uint64_t>(n));
}
inline push_id PUSH_ID(long n)
{
    return push_id_int(static_cast<uint64_t>(n));
}
inline push_id PUSH_ID(long long n)
{
    return push_id_int(static_cast<uint64_t>(n));
}
inline push_id PUSH_ID(unsigned char n)
{
    return push_id_int(n);
}
inline push_id PUSH_ID(unsigned short n)
{
    return push_id_int(n);
}
inline push_id PUSH_ID(unsigned int n)
{
    return push_id_int(n);
}
inline push_id PUSH_ID(unsigned long n)
{
    return push_id_int(n);
}
inline push_id PUSH_ID(unsigned long long n)
{
    return push_id_int(n);
}
#endif

#endif /* PUSH_PUSH_H */
