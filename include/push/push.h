/**
 * @file push/push.h
 * libpush: push one message to all devices of a user, pull it on each of them.
 *
 * SPDX-License-Identifier: MIT
 *
 * Sections: visibility, version, concepts, status, ids, messages, sessions, clients, pollers, the process. The
 * comment of a call says what it does; its arguments; what it returns, and every error (after errno, what a call
 * that returns NULL has set errno to); whether it waits; who owns what on success and on failure; which threads may
 * call it.
 */

/**
 * @mainpage libpush
 *
 * libpush fans messages out: push one message to a user, and every device of that user gets it.
 *
 * A **session** (a user, a group) is found by its id in a registry that the process shares. It has **clients**
 * (devices, connections), each with a bounded **mailbox** of its own. A push puts one **message** into the mailbox
 * of every client; threads, event loops and **pollers** pull it out again.
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
/** @cond */
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
/** @endcond */

/* ---- Version --------------------------------------------------------------------------------------------- */

/** @defgroup push_process The process
 * The library as a whole: its version, its errors, its memory, its end.
 * @{ */

/** Raised when programs must be compiled anew. */
#define PUSH_VERSION_MAJOR 0
/** Raised when something was added. */
#define PUSH_VERSION_MINOR 1
/** Raised when something was put right. */
#define PUSH_VERSION_PATCH 0
/** All three. */
#define PUSH_VERSION_STRING "0.1.0"

/**
 * The version of the library that runs, which may be newer than the header compiled against.
 *
 * @return the version, as in PUSH_VERSION_STRING; never NULL
 * @waits      never
 * @ownership  static storage
 * @threads    any
 */
PUSH_API const char *push_version(void);

/** @} */

/* ---- Concepts -------------------------------------------------------------------------------------------- */

/**
 * @page push_concepts Concepts
 *
 * @section push_handles Handles
 *
 * push_session, push_client, push_poller and push_msg are opaque. Every call that returns a session, client or
 * message handle gives one reference to the caller, who lets it go with the matching _unref. Dropping handles
 * deletes nothing: sessions and clients live in the registry until they are deleted. A deleted session or client
 * stays a valid, closed object until its last handle goes.
 *
 * @section push_messages Messages
 *
 * Messages are immutable and reference-counted. A push to N clients makes N references, no copy. A pull gives one
 * of them to the caller.
 *
 * @section push_results Results
 *
 * A function that returns int returns a count >= 0, or a negative errno value (see push_strerror()). A function
 * that returns a pointer returns NULL and sets errno (positive). Bad arguments are found before anything else, give
 * -EINVAL, and change nothing. A call that fails for any other reason (-ENOMEM, -EMFILE and the like) changes
 * nothing either: it can be repeated. The errors of this library:
 *
 * - `-EAGAIN`: timeout 0, and nothing to pull, or no event, now
 * - `-ETIMEDOUT`: the timeout ran out
 * - `-ENOENT`: no such client, no such session
 * - `-EPIPE`: the client (or its session) was deleted or disconnected, and its mailbox is drained
 * - `-EEXIST`: the client id is taken, and PUSH_REFUSE was asked for; the client is in this poller already
 * - `-EBUSY`: the client is in another poller; too late to set an allocator
 * - `-EINVAL`: NULL where an object is needed, PUSH_ID_NONE where an id is needed, an option out of range
 * - `-ENOMEM`, `-EMFILE`, `-ENFILE` and others: what the system said
 *
 * @section push_timeouts Timeouts
 *
 * Timeouts are in milliseconds on the monotonic clock, as in poll(2): 0 never waits, any negative value waits for
 * ever. One deadline holds for the whole call. A signal does not end a wait.
 *
 * @section push_full Full mailboxes
 *
 * A mailbox is full when it holds max_buffer messages, or, with max_bytes, when it is not empty and the message
 * would take it over that limit, and while earlier pushes wait for it. What a push does to a full mailbox is the
 * client's overflow policy:
 *
 * - `PUSH_BLOCK`: the push waits, up to its timeout; other clients get the message without delay
 * - `PUSH_DROP_NEWEST`: this client does not get this message
 * - `PUSH_DROP_OLDEST`: this client loses its oldest message, or as many as the new one needs
 * - `PUSH_DISCONNECT`: this client is deleted: it can drain what it has, then sees -EPIPE
 *
 * Lost messages are counted, and the next pull after the gap tells how many were lost there.
 *
 * @section push_order Order
 *
 * The messages of one thread arrive in the order it pushed them. Any two clients of a session get the messages that
 * were pushed to the session, and that both get, in the same order, however many threads push.
 *
 * @section push_threads Threads
 *
 * Every call may be made from any thread at any time, with these rules:
 *
 * - _unref of a handle: no other call may use that reference any more; take a reference for each thread.
 * - push_poller_free(): no other call on that poller may be running or follow; pushes, pulls and deletes may.
 * - push_shutdown(): sessions created meanwhile may survive it: stop what creates them first.
 * - push_set_allocator(): before the first use of the library.
 *
 * No call holds a lock that another call needs while it waits. The free function of a message runs with no lock of
 * the library held and may itself call the library; an allocator may run under a lock, and must not.
 *
 * @section push_descriptors Descriptors
 *
 * push_session_pull_fd() and push_client_fd() return a descriptor that is readable (poll, epoll) whenever there is
 * a message to pull, or the client is closed: level, not edge. It may stay readable after the last message was
 * taken, until one pull finds nothing (-EAGAIN, -ETIMEDOUT); it never fails to be readable while a message waits.
 * It is made by the first call, is the same at every later one, and costs clients that never asked for one nothing.
 * It belongs to the library: never read, write or close it. It is closed when the last handle of the client goes:
 * hold a handle for as long as an event loop watches it.
 *
 * A consumer that cannot write just now must take the descriptor out of its loop and put it back later: level means
 * that it would be woken again and again.
 *
 * @section push_cancellation Cancellation
 *
 * The calls that wait are cancellation points (pthread_cancel, deferred) while they wait, and no other is. A
 * cancelled pull loses no message; a cancelled push leaves the message where it was taken already and no trace
 * elsewhere.
 *
 * @section push_fork Fork
 *
 * After fork(2) the child starts with an empty registry. Handles made before the fork must not be used in it.
 *
 * @section push_signals Signals
 *
 * Signal handlers must not call the library.
 */

/** A user or a group. @ingroup push_session */
typedef struct push_session push_session;
/** A device or a connection: a mailbox. @ingroup push_client */
typedef struct push_client push_client;
/** An immutable block of bytes, reference-counted. @ingroup push_msg */
typedef struct push_msg push_msg;
/** One wait point for many clients. @ingroup push_poller */
typedef struct push_poller push_poller;

/* ---- Status ---------------------------------------------------------------------------------------------- */

/**
 * A sentence for a result of this library ("push: no such client").
 *
 * The sign does not matter, so errno can be given as well.
 *
 * @param rc  what a call returned; any int
 * @return the sentence; never NULL
 * @waits      never
 * @ownership  static storage
 * @threads    any
 * @ingroup push_process
 */
PUSH_API const char *push_strerror(int rc);

/* ---- Ids ------------------------------------------------------------------------------------------------- */

/** @defgroup push_id Ids
 * What sessions and clients are called.
 *
 * An id is a small value, passed by value: nothing, an integer, or bytes. A string and the same bytes are the same
 * id; 42 and "42" are different ids. The bytes an id points to must stay readable for the duration of the call it
 * is given to; the library keeps a copy. An id of more than PUSH_ID_MAX bytes is -EINVAL wherever it is used.
 * @{ */

#define PUSH_ID_MAX 65536 /**< The most bytes that an id may have. */

/** An id. The fields are not for use: make ids with the functions below. */
typedef struct push_id {
    const void *data; /**< bytes, not owned; NULL for an integer and for PUSH_ID_NONE */
    uint64_t value;   /**< the size of the bytes, or the integer */
    int kind;         /**< 0 none, 1 integer, 2 bytes */
} push_id;

/** No id: Go's nil. */
#ifdef __cplusplus
#define PUSH_ID_NONE (push_id())
#else
#define PUSH_ID_NONE ((push_id){NULL, 0, 0})
#endif

/**
 * The id of a string.
 *
 * @param s  NUL-terminated; NULL gives PUSH_ID_NONE
 * @return the id; it cannot fail
 * @waits      never
 * @ownership  s stays the caller's, and is used for as long as the id is
 * @threads    any
 */
PUSH_API push_id push_id_str(const char *s);

/**
 * The id of some bytes, NUL included.
 *
 * @param data  the bytes; NULL gives PUSH_ID_NONE
 * @param size  their number
 * @return the id; it cannot fail
 * @waits      never
 * @ownership  data stays the caller's, and is used for as long as the id is
 * @threads    any
 */
PUSH_API push_id push_id_bytes(const void *data, size_t size);

/**
 * The id of an integer.
 *
 * @param n  the integer
 * @return the id; it cannot fail
 * @waits      never
 * @ownership  nothing changes hands
 * @threads    any
 */
PUSH_API push_id push_id_int(uint64_t n);

/**
 * Compares two ids.
 *
 * @param a  an id
 * @param b  another
 * @return true where they are the same id; PUSH_ID_NONE equals only itself
 * @waits      never
 * @ownership  nothing changes hands
 * @threads    any
 */
PUSH_API bool push_id_equal(push_id a, push_id b);

/**
 * Writes an id for people to read, as snprintf(3) does.
 *
 * `42`, `alice`, `a\x00b`, `(none)`: a byte that is no printable ASCII character is written `\xNN`, a backslash
 * twice.
 *
 * @param id    the id
 * @param buf   gets at most `size` bytes, NUL included
 * @param size  the size of buf
 * @return the length of the whole text
 * @retval -EINVAL  buf is NULL with a size that is not 0, or the id is too long
 * @waits      never
 * @ownership  nothing changes hands
 * @threads    any
 */
PUSH_API int push_id_format(push_id id, char *buf, size_t size);

/** @cond */
#ifndef __cplusplus
static inline push_id push_id_signed_(long long n)
{
    return push_id_int((uint64_t)n);
}
static inline push_id push_id_same_(push_id id)
{
    return id;
}
#endif
/** @endcond */

#ifndef __cplusplus
/** The id of x: push_id_str() for char pointers, push_id_int() for integers, the id itself for an id. */
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

/** @} */

/* ---- Messages -------------------------------------------------------------------------------------------- */

/** @defgroup push_msg Messages
 * Immutable, reference-counted blocks of bytes.
 *
 * A message never changes after it was made. Any number of threads may read it.
 * @{ */

/**
 * A message with a copy of some bytes.
 *
 * @param data  the bytes; may be NULL where size is 0
 * @param size  their number; 0 makes a valid, empty message
 * @return the message; NULL with errno set on failure
 * @errno EINVAL  data is NULL with a size that is not 0
 * @errno ENOMEM  out of memory
 * @waits      never
 * @ownership  one reference for the caller; data stays his
 * @threads    any
 */
PUSH_API push_msg *push_msg_new(const void *data, size_t size);

/**
 * A message that adopts the caller's block: no copy.
 *
 * When the last reference goes, free_fn(data, arg) runs exactly once, on the thread that let it go, with no lock of
 * the library held; it may call the library.
 *
 * @param data     the block
 * @param size     its size
 * @param free_fn  frees it; NULL where nothing is to be freed (static data)
 * @param arg      given to free_fn
 * @return the message; NULL with errno set on failure
 * @errno EINVAL  data is NULL with a size that is not 0
 * @errno ENOMEM  out of memory
 * @waits      never
 * @ownership  one reference for the caller; data is the message's on success; on failure it stays the caller's, and
 *             free_fn does not run
 * @threads    any
 */
PUSH_API push_msg *push_msg_wrap(void *data, size_t size, void (*free_fn)(void *data, void *arg), void *arg);

/**
 * One more reference.
 *
 * @param msg  the message
 * @return msg; NULL with errno set on failure
 * @errno EINVAL  msg is NULL
 * @waits      never
 * @ownership  one more reference for the caller
 * @threads    any
 */
PUSH_API push_msg *push_msg_ref(push_msg *msg);

/**
 * Lets a reference go; the last one frees the message.
 *
 * @param msg  the message; NULL is fine
 * @waits      never
 * @ownership  the reference is gone
 * @threads    any; no other call may use that reference any more
 */
PUSH_API void push_msg_unref(push_msg *msg);

/**
 * The bytes of a message.
 *
 * @param msg  the message
 * @return the bytes, aligned for any object; NULL for a NULL message
 * @waits      never
 * @ownership  the bytes are the message's, valid while a reference is held
 * @threads    any
 */
PUSH_API const void *push_msg_data(const push_msg *msg);

/**
 * The size of a message.
 *
 * @param msg  the message
 * @return the number of bytes; 0 for a NULL message
 * @waits      never
 * @ownership  nothing changes hands
 * @threads    any
 */
PUSH_API size_t push_msg_size(const push_msg *msg);

/** @} */

/* ---- Sessions -------------------------------------------------------------------------------------------- */

/** @defgroup push_session Sessions
 * Users and groups: find them by their ids, push to all their clients, pull by a client's id.
 *
 * A session stays in the registry until it is deleted, whoever holds a handle of it.
 * @{ */

/** What a push did. */
typedef struct push_report {
    size_t delivered;    /**< mailboxes that took the message */
    size_t dropped;      /**< clients that lost a message through this push: this one, or their oldest */
    size_t disconnected; /**< clients that PUSH_DISCONNECT closed in this push */
    size_t timed_out;    /**< PUSH_BLOCK clients that were still full at the deadline, or at once with timeout 0 */
} push_report;

/**
 * Finds or creates a session, and a client in it.
 *
 * The session stays until push_session_delete(). A new client has room for max_buffer messages and policy
 * PUSH_BLOCK; an existing one keeps its mailbox: max_buffer is then ignored. max_buffer 0 is a rendezvous: a push
 * completes when a pull takes the message.
 *
 * @param session     the id of the session
 * @param client      the id of the client; PUSH_ID_NONE for no client
 * @param max_buffer  the messages that a new client's mailbox holds
 * @return the session; NULL with errno set on failure
 * @errno EINVAL  no session id, or an id too long
 * @errno ENOMEM  out of memory
 * @errno ENOSYS  or whatever else getrandom(2) said when the process first used the library
 * @waits      never
 * @ownership  one reference for the caller
 * @threads    any
 */
PUSH_API push_session *push_session_new(push_id session, push_id client, size_t max_buffer);

/**
 * Finds a session; never creates one.
 *
 * @param session  the id
 * @return the session; NULL with errno set on failure
 * @errno ENOENT  there is none
 * @errno EINVAL  no id, or an id too long
 * @waits      never
 * @ownership  one reference for the caller
 * @threads    any
 */
PUSH_API push_session *push_session_find(push_id session);

/**
 * One more reference.
 *
 * @param s  the session
 * @return s; NULL with errno set on failure
 * @errno EINVAL  s is NULL
 * @waits      never
 * @ownership  one more reference for the caller
 * @threads    any
 */
PUSH_API push_session *push_session_ref(push_session *s);

/**
 * Lets a reference go: the session itself stays.
 *
 * @param s  the session; NULL is fine
 * @waits      never
 * @ownership  the reference is gone
 * @threads    any; no other call may use that reference any more
 */
PUSH_API void push_session_unref(push_session *s);

/**
 * The id of a session.
 *
 * @param s  the session
 * @return the id; PUSH_ID_NONE for NULL
 * @waits      never
 * @ownership  the id's bytes are the session's, valid while the handle is held
 * @threads    any
 */
PUSH_API push_id push_session_id(const push_session *s);

/**
 * Pushes a copy of some bytes to all clients.
 *
 * Clients with room get the message first, without delay; then the push waits for those whose mailbox is full and
 * whose policy is PUSH_BLOCK.
 *
 * @param s     the session
 * @param data  the bytes; may be NULL where size is 0
 * @param size  their number
 * @return the number of clients whose mailbox took the message, 0 where there is no client; where the session is
 *         deleted while the push waits, the number that took it
 * @retval -EPIPE   the session was deleted; or is while the push waits, and none took it
 * @retval -EINVAL  s is NULL, or data is NULL with a size that is not 0
 * @retval -ENOMEM  out of memory
 * @waits      for ever, for full mailboxes with PUSH_BLOCK
 * @ownership  data stays the caller's
 * @threads    any
 */
PUSH_API int push_session_push(push_session *s, const void *data, size_t size);

/**
 * Pushes a message to all clients, or to all but one.
 *
 * As push_session_push(), with a deadline. A deadline that passes is no error: clients that were still full are in
 * report->timed_out.
 *
 * @param s           the session
 * @param msg         the message
 * @param except      a client that is passed over (the origin); PUSH_ID_NONE for nobody
 * @param timeout_ms  how long to wait: 0 never, negative for ever
 * @param report      filled with what the push did, with zeros on error; may be NULL
 * @return the number of clients whose mailbox took the message, 0 where there is no client; where the session is
 *         deleted while the push waits, the number that took it
 * @retval -EPIPE   the session was deleted; or is while the push waits, and none took it
 * @retval -EINVAL  s or msg is NULL, or the id is too long
 * @retval -ENOMEM  out of memory
 * @waits      up to timeout_ms, for full mailboxes with PUSH_BLOCK
 * @ownership  the caller keeps his reference to msg, on success and on failure
 * @threads    any
 */
PUSH_API int push_session_send(push_session *s, push_msg *msg, push_id except, int timeout_ms, push_report *report);

/**
 * Pulls the next message of a client, by the client's id.
 *
 * Threads that pull from one client share its messages.
 *
 * @param s           the session
 * @param client      the client's id
 * @param msg         gets the message; NULL on error
 * @param timeout_ms  how long to wait: 0 never, negative for ever
 * @return 0, or, where messages were lost just before this one, how many
 * @retval -ENOENT     no such client, or the session is deleted, at the call
 * @retval -EAGAIN     timeout 0, and nothing to pull now
 * @retval -ETIMEDOUT  the timeout ran out
 * @retval -EPIPE      the client was deleted while the pull waited
 * @retval -EINVAL     s or msg is NULL, no id, or an id too long
 * @retval -ENOMEM     out of memory
 * @waits      up to timeout_ms, for a message
 * @ownership  on success one reference to the message for the caller, who lets it go with push_msg_unref()
 * @threads    any
 */
PUSH_API int push_session_pull(push_session *s, push_id client, push_msg **msg, int timeout_ms);

/**
 * The descriptor of a client, by the client's id: see @ref push_descriptors.
 *
 * @param s       the session
 * @param client  the client's id
 * @return the descriptor
 * @retval -ENOENT  no such client, or the session is deleted
 * @retval -EINVAL  s is NULL, no id, or an id too long
 * @retval -ENOMEM  out of memory
 * @retval -EMFILE  the process has too many descriptors
 * @retval -ENFILE  the system has
 * @waits      never
 * @ownership  the descriptor is the library's: never read, write or close it
 * @threads    any
 */
PUSH_API int push_session_pull_fd(push_session *s, push_id client);

/**
 * Deletes a client, by its id: see push_client_delete().
 *
 * @param s       the session
 * @param client  the client's id
 * @return true; false where there was none, which is fine
 * @waits      never
 * @ownership  handles stay valid, and closed
 * @threads    any
 */
PUSH_API bool push_session_delete_client(push_session *s, push_id client);

/**
 * The number of clients.
 *
 * @param s  the session
 * @return the number; 0 for a deleted session and for NULL
 * @waits      never
 * @ownership  nothing changes hands
 * @threads    any
 */
PUSH_API size_t push_session_len(push_session *s);

/**
 * The ids of all clients, in no order.
 *
 * The list ends with a PUSH_ID_NONE that is not counted. A session without clients, or deleted, gives an empty
 * list.
 *
 * @param s      the session
 * @param count  gets their number, 0 on failure; may be NULL
 * @return the list; NULL with errno set on failure
 * @errno EINVAL  s is NULL
 * @errno ENOMEM  out of memory
 * @waits      never
 * @ownership  the list is the caller's, for push_ids_free(): one allocation, bytes of the ids included
 * @threads    any
 */
PUSH_API push_id *push_session_clients(push_session *s, size_t *count);

/**
 * Frees a list of ids.
 *
 * @param ids  what push_session_clients() or push_sessions() returned; NULL is fine
 * @waits      never
 * @ownership  the list is gone, with the bytes of its ids
 * @threads    any
 */
PUSH_API void push_ids_free(push_id *ids);

/**
 * Whether there is a session of that id.
 *
 * @param session  the id
 * @return true while there is one
 * @waits      never
 * @ownership  nothing changes hands
 * @threads    any
 */
PUSH_API bool push_session_exists(push_id session);

/**
 * Takes a session out of the registry and deletes all its clients.
 *
 * Every blocked push and pull on it returns. The id may be used anew at once; old handles never touch the new
 * session.
 *
 * @param session  the id
 * @return true; false where there was none, which is fine
 * @waits      never
 * @ownership  handles stay valid, and closed
 * @threads    any
 */
PUSH_API bool push_session_delete(push_id session);

/**
 * As push_session_delete(), in one atomic step, only while the session has no client.
 *
 * @param session  the id
 * @return true; false where it has a client, or there is none
 * @waits      never
 * @ownership  handles stay valid, and closed
 * @threads    any
 */
PUSH_API bool push_session_delete_if_empty(push_id session);

/**
 * The ids of all live sessions: as push_session_clients().
 *
 * Sessions created or deleted meanwhile may or may not be in it.
 *
 * @param count  gets their number, 0 on failure; may be NULL
 * @return the list; NULL with errno set on failure
 * @errno ENOMEM  out of memory
 * @waits      never
 * @ownership  the list is the caller's, for push_ids_free()
 * @threads    any
 */
PUSH_API push_id *push_sessions(size_t *count);

/** @} */

/* ---- Clients --------------------------------------------------------------------------------------------- */

/** @defgroup push_client Clients
 * Devices and connections, each with a bounded mailbox: the fast path, without a look-up by id.
 *
 * A client is created in its session, and stays there until it is deleted, whoever holds a handle of it.
 * @{ */

/** What a push does to a full mailbox. */
typedef enum push_overflow {
    PUSH_BLOCK,       /**< the push waits, up to its timeout */
    PUSH_DROP_NEWEST, /**< this client does not get this message */
    PUSH_DROP_OLDEST, /**< this client loses its oldest message, or as many as the new one needs */
    PUSH_DISCONNECT   /**< this client is deleted */
} push_overflow;

/** What happens when the id of a new client is taken. */
typedef enum push_duplicate {
    PUSH_SHARE,    /**< one more reference to the client that is there, its options unchanged: readers share */
    PUSH_TAKEOVER, /**< a device that reconnects: the new client gets the mailbox as it stands (messages, gaps,
                        limits, waiting pushes, statistics, data pointer); older handles are closed and empty */
    PUSH_REPLACE,  /**< the old client is deleted (its handles may drain it), the new one starts empty */
    PUSH_REFUSE    /**< no client: the call fails with EEXIST */
} push_duplicate;

/** How a client is to be. */
typedef struct push_client_options {
    size_t max_buffer; /**< messages; 0: rendezvous, which only PUSH_BLOCK may have */
    size_t max_bytes;  /**< payload bytes queued, 0 for no such limit; an empty mailbox takes any one message */
    push_overflow overflow;   /**< what a push does to a full mailbox */
    push_duplicate duplicate; /**< what happens when the id is taken */
} push_client_options;

/** What a mailbox holds, and what came of it so far. */
typedef struct push_client_stats {
    size_t queued;       /**< messages in the mailbox now */
    size_t queued_bytes; /**< their payload */
    size_t max_buffer;   /**< messages that it may hold */
    size_t high_water;   /**< most messages ever queued at once */
    uint64_t pushed;     /**< messages the mailbox took: queued + pulled + evicted */
    uint64_t pulled;     /**< messages that were pulled, and not put back */
    uint64_t dropped;    /**< lost by its policy: newest refused, or oldest evicted */
    bool closed;         /**< the client is deleted */
} push_client_stats;

/**
 * A client of a session, created, or found, as options->duplicate says.
 *
 * @param s        the session
 * @param id       the client's id
 * @param options  NULL: 10 messages, PUSH_BLOCK, PUSH_SHARE
 * @return the client; NULL with errno set on failure
 * @errno EINVAL  s is NULL, no id, an id too long, an option out of range
 * @errno EPIPE   the session is deleted
 * @errno EEXIST  the id is taken, and options say PUSH_REFUSE
 * @errno ENOMEM  out of memory
 * @waits      never
 * @ownership  one reference for the caller; options stay his, and are copied
 * @threads    any
 */
PUSH_API push_client *push_client_new(push_session *s, push_id id, const push_client_options *options);

/**
 * Session and client in one atomic step: creates what is missing, leaves nothing behind when it fails.
 *
 * A session that only this call made goes by itself with its last client; once push_session_new() has named it, it
 * stays until deleted.
 *
 * @param session  the session's id
 * @param client   the client's id
 * @param options  as for push_client_new()
 * @return the client; NULL with errno set on failure
 * @errno EINVAL  no id, an id too long, an option out of range
 * @errno EEXIST  the client id is taken, and options say PUSH_REFUSE
 * @errno ENOMEM  out of memory
 * @errno ENOSYS  or whatever else getrandom(2) said when the process first used the library
 * @waits      never
 * @ownership  one reference for the caller; options stay his, and are copied
 * @threads    any
 */
PUSH_API push_client *push_client_open(push_id session, push_id client, const push_client_options *options);

/**
 * Finds a client; never creates one.
 *
 * @param s   the session
 * @param id  the client's id
 * @return the client; NULL with errno set on failure
 * @errno ENOENT  there is none, or the session is deleted
 * @errno EINVAL  s is NULL, no id, or an id too long
 * @waits      never
 * @ownership  one reference for the caller
 * @threads    any
 */
PUSH_API push_client *push_client_find(push_session *s, push_id id);

/**
 * One more reference.
 *
 * @param c  the client
 * @return c; NULL with errno set on failure
 * @errno EINVAL  c is NULL
 * @waits      never
 * @ownership  one more reference for the caller
 * @threads    any
 */
PUSH_API push_client *push_client_ref(push_client *c);

/**
 * Lets a reference go: the client itself stays in its session.
 *
 * @param c  the client; NULL is fine
 * @waits      never
 * @ownership  the reference is gone; with the last one of a deleted client go what it had queued and its descriptor
 * @threads    any; no other call may use that reference any more
 */
PUSH_API void push_client_unref(push_client *c);

/**
 * The id of a client.
 *
 * @param c  the client
 * @return the id; PUSH_ID_NONE for NULL
 * @waits      never
 * @ownership  the id's bytes are the client's, valid while the handle is held
 * @threads    any
 */
PUSH_API push_id push_client_id(const push_client *c);

/**
 * The session of a client.
 *
 * @param c  the client
 * @return the session; NULL for NULL
 * @waits      never
 * @ownership  borrowed: valid while the client handle is held
 * @threads    any
 */
PUSH_API push_session *push_client_session(const push_client *c);

/**
 * Keeps a pointer of the caller's, which the library never looks at.
 *
 * Setting it releases, reading it acquires: who reads it sees what was written before it was set.
 *
 * @param c     the client; NULL is ignored
 * @param data  the pointer
 * @waits      never
 * @ownership  what data points to stays the caller's
 * @threads    any
 */
PUSH_API void push_client_set_data(push_client *c, void *data);

/**
 * The pointer that push_client_set_data() set.
 *
 * @param c  the client
 * @return the pointer; NULL where none was set, and for NULL
 * @waits      never
 * @ownership  what it points to is the caller's
 * @threads    any
 */
PUSH_API void *push_client_data(const push_client *c);

/**
 * Pushes a message to this one client.
 *
 * @param c           the client
 * @param msg         the message
 * @param timeout_ms  how long to wait: 0 never, negative for ever
 * @param report      filled with what the push did, with zeros on error; may be NULL
 * @return 1; 0 where the client did not take the message: the deadline passed, or its policy (with
 *         report->disconnected 1 where this push closed it)
 * @retval -EPIPE   the client is deleted, or was while the push waited
 * @retval -EINVAL  c or msg is NULL
 * @retval -ENOMEM  out of memory
 * @waits      up to timeout_ms, where the mailbox is full and has PUSH_BLOCK
 * @ownership  the caller keeps his reference to msg, on success and on failure
 * @threads    any
 */
PUSH_API int push_client_send(push_client *c, push_msg *msg, int timeout_ms, push_report *report);

/**
 * Pulls the next message.
 *
 * Threads that pull from one client share its messages. What a deleted client has queued can still be pulled, in
 * order; then -EPIPE, for ever.
 *
 * @param c           the client
 * @param msg         gets the message; NULL on error
 * @param timeout_ms  how long to wait: 0 never, negative for ever
 * @return 0, or, where messages were lost just before this one, how many
 * @retval -EAGAIN     timeout 0, and nothing to pull now
 * @retval -ETIMEDOUT  the timeout ran out
 * @retval -EPIPE      the client is deleted, and drained
 * @retval -EINVAL     c or msg is NULL
 * @retval -ENOMEM     out of memory
 * @waits      up to timeout_ms, for a message
 * @ownership  on success one reference to the message for the caller, who lets it go with push_msg_unref()
 * @threads    any
 */
PUSH_API int push_client_pull(push_client *c, push_msg **msg, int timeout_ms);

/**
 * Waits for the first message as push_client_pull() does, then takes what is there.
 *
 * A batch ends before the next gap.
 *
 * @param c           the client
 * @param msgs        gets the messages
 * @param max         how many it has room for
 * @param lost        gets the number of messages that were lost before the first one; may be NULL
 * @param timeout_ms  how long to wait: 0 never, negative for ever
 * @return the number of messages, 1..max
 * @retval -EAGAIN     timeout 0, and nothing to pull now
 * @retval -ETIMEDOUT  the timeout ran out
 * @retval -EPIPE      the client is deleted, and drained
 * @retval -EINVAL     c or msgs is NULL, or max is 0
 * @retval -ENOMEM     out of memory
 * @waits      up to timeout_ms, for the first message
 * @ownership  one reference to each message for the caller
 * @threads    any
 */
PUSH_API int push_client_pull_many(push_client *c, push_msg **msgs, size_t max, size_t *lost, int timeout_ms);

/**
 * Puts a message back to the front that was pulled, and could not be handed on.
 *
 * It is the next one pulled, by whoever pulls. It fits even in a full mailbox. Several are put back last-pulled
 * first. Into a deleted client it is allowed, to be drained.
 *
 * @param c    the client
 * @param msg  the message
 * @return 0
 * @retval -EINVAL  c or msg is NULL, or nothing was pulled from this mailbox that is not back already
 * @retval -EPIPE   the handle was closed by PUSH_TAKEOVER
 * @retval -ENOMEM  out of memory
 * @waits      never
 * @ownership  takes over the caller's reference on success only
 * @threads    any
 */
PUSH_API int push_client_unpull(push_client *c, push_msg *msg);

/**
 * The descriptor of a client: see @ref push_descriptors.
 *
 * @param c  the client
 * @return the descriptor
 * @retval -EINVAL  c is NULL
 * @retval -ENOMEM  out of memory
 * @retval -EMFILE  the process has too many descriptors
 * @retval -ENFILE  the system has
 * @waits      never
 * @ownership  the descriptor is the library's: never read, write or close it
 * @threads    any
 */
PUSH_API int push_client_fd(push_client *c);

/**
 * Deletes exactly this client, never a newer one of the same id.
 *
 * Blocked pulls and pushes on it return, its descriptor turns readable and stays so; pushes pass it over: once this
 * has returned, none delivers into it. What is queued can be pulled through a handle.
 *
 * @param c  the client
 * @return true; false where it was deleted already, which is fine, and for NULL
 * @waits      never
 * @ownership  the caller keeps his reference, and lets it go as ever
 * @threads    any
 */
PUSH_API bool push_client_delete(push_client *c);

/**
 * The statistics of a client.
 *
 * @param c    the client
 * @param out  filled
 * @return 0
 * @retval -EINVAL  c or out is NULL
 * @waits      never
 * @ownership  nothing changes hands
 * @threads    any
 */
PUSH_API int push_client_stat(push_client *c, push_client_stats *out);

/** @} */

/* ---- Pollers --------------------------------------------------------------------------------------------- */

/** @defgroup push_poller Pollers
 * One wait point, and one descriptor, for many clients: what epoll is to sockets.
 *
 * A client is reported from its first message until a pull on it found nothing (-EAGAIN or -ETIMEDOUT), drained or
 * not; a closed one until it is removed. Ready clients are served in turn. The poller holds a reference to its
 * clients.
 * @{ */

/** A client that is ready. */
typedef struct push_event {
    push_client *client; /**< borrowed: valid until it is removed from the poller */
    void *data;          /**< what push_poller_add() was given */
} push_event;

/**
 * A new poller.
 *
 * @return the poller; NULL with errno set on failure
 * @errno ENOMEM  out of memory, or whatever else the system said
 * @waits      never
 * @ownership  the poller is the caller's, for push_poller_free()
 * @threads    any
 */
PUSH_API push_poller *push_poller_new(void);

/**
 * Frees a poller; clients in it stay as they were.
 *
 * @param p  the poller; NULL is fine
 * @waits      never
 * @ownership  the poller is gone, with its references to clients and its descriptor
 * @threads    any; no other call on this poller may be running or follow
 */
PUSH_API void push_poller_free(push_poller *p);

/**
 * Adds a client.
 *
 * A closed client may be added, and is reported.
 *
 * @param p     the poller
 * @param c     the client
 * @param data  kept for its events
 * @return 0
 * @retval -EEXIST  it is in this poller
 * @retval -EBUSY   it is in another
 * @retval -EINVAL  p or c is NULL
 * @retval -ENOMEM  out of memory
 * @waits      never
 * @ownership  the poller takes a reference of its own; what data points to stays the caller's
 * @threads    any
 */
PUSH_API int push_poller_add(push_poller *p, push_client *c, void *data);

/**
 * Removes a client; after it returned, no wait reports it.
 *
 * @param p  the poller
 * @param c  the client
 * @return 0
 * @retval -ENOENT  it is not in this poller
 * @retval -EINVAL  p or c is NULL
 * @waits      never
 * @ownership  the poller's reference is gone
 * @threads    any
 */
PUSH_API int push_poller_remove(push_poller *p, push_client *c);

/**
 * Waits until a client is ready, and tells of as many as are.
 *
 * Several threads may wait on one poller: an arrival wakes one of them, and two that wait at once may be told of
 * the same client.
 *
 * @param p           the poller
 * @param events      filled as far as there are ready clients
 * @param max         how many it has room for
 * @param timeout_ms  how long to wait: 0 never, negative for ever
 * @return the number of events, 1..max, or 0 for a push_poller_wake()
 * @retval -EAGAIN     timeout 0, and no event now
 * @retval -ETIMEDOUT  the timeout ran out
 * @retval -EINVAL     p or events is NULL, or max is below 1
 * @retval -ENOMEM     out of memory
 * @waits      up to timeout_ms, for a client that is ready or for a wake
 * @ownership  the clients in events are borrowed: valid until they are removed from the poller
 * @threads    any; where another may remove a client meanwhile, hold a handle of its own
 */
PUSH_API int push_poller_wait(push_poller *p, push_event *events, int max, int timeout_ms);

/**
 * One descriptor for all clients of a poller, for an outer event loop.
 *
 * It is readable while a wait with timeout 0 would report something (a wake too); not readable after one said
 * -EAGAIN, until something comes.
 *
 * @param p  the poller
 * @return the descriptor
 * @retval -EINVAL  p is NULL
 * @retval -EMFILE  the process has too many descriptors
 * @retval -ENFILE  the system has
 * @waits      never
 * @ownership  the descriptor is the poller's: never read, write or close it
 * @threads    any
 */
PUSH_API int push_poller_fd(push_poller *p);

/**
 * Stops reporting a client for messages (its consumer cannot write now); it is still reported when it closes.
 *
 * @param p  the poller
 * @param c  the client
 * @return 0
 * @retval -ENOENT  it is not in this poller
 * @retval -EINVAL  p or c is NULL
 * @waits      never
 * @ownership  nothing changes hands
 * @threads    any
 */
PUSH_API int push_poller_pause(push_poller *p, push_client *c);

/**
 * Undoes push_poller_pause(); it cannot fail for a client that is in the poller.
 *
 * @param p  the poller
 * @param c  the client
 * @return 0
 * @retval -ENOENT  it is not in this poller
 * @retval -EINVAL  p or c is NULL
 * @waits      never
 * @ownership  nothing changes hands
 * @threads    any
 */
PUSH_API int push_poller_resume(push_poller *p, push_client *c);

/**
 * Makes one wait, now or next, return 0, ahead of events.
 *
 * Calls are counted: each wakes one wait.
 *
 * @param p  the poller; NULL is ignored
 * @waits      never
 * @ownership  nothing changes hands
 * @threads    any
 */
PUSH_API void push_poller_wake(push_poller *p);

/** @} */

/* ---- The process ----------------------------------------------------------------------------------------- */

/**
 * Deletes every session and frees the registry.
 *
 * The library can be used again after it. Once the last handle is gone too, nothing of the library is left: no
 * byte, no descriptor, no thread.
 *
 * @waits      never
 * @ownership  handles stay valid, and closed
 * @threads    any; sessions created meanwhile may survive it: stop what creates them first
 * @ingroup push_process
 */
PUSH_API void push_shutdown(void);

/**
 * Makes all memory of the library come from these functions from now on.
 *
 * They may run under a lock of the library, and must not call it.
 *
 * @param malloc_fn   as malloc(3)
 * @param realloc_fn  as realloc(3)
 * @param free_fn     as free(3)
 * @return 0
 * @retval -EINVAL  a function is NULL
 * @retval -EBUSY   the library has been used already
 * @waits      never
 * @ownership  nothing changes hands
 * @threads    any, before the first use of the library
 * @ingroup push_process
 */
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
