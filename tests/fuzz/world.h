/*
 * What the library should hold, in the plainest way: arrays. Written from the contract in push.h alone; real
 * objects are in it only as names. Mailboxes are those of mailbox_model.h.
 */
#ifndef PUSH_TESTS_FUZZ_WORLD_H
#define PUSH_TESTS_FUZZ_WORLD_H

#include "../mailbox_model.h"
#include "fuzz.h"

/* ---- Ids ---- */

enum { IDS = 10, BAD_IDS = 6, NO_ID = -1 };

/* 0 .. IDS-1 are good, IDS .. IDS+BAD_IDS-1 are not; NO_ID is PUSH_ID_NONE. */
push_id id_of(int id);
const char *id_name(int id);
bool id_good(int id);
/* Mostly small ones; the large ones and the bad ones seldom. */
int pick_id(void);
/* The same, and NO_ID. */
int pick_id_or_none(void);
/* The good id that equals it. */
int id_find(push_id id);

/* ---- Messages ---- */

enum { MESSAGES = 1024, SIZE_LARGEST = 1000, ALL_OTHERS = MESSAGES * SIZE_LARGEST };

struct world_message {
    int freed;
    bool wrapped;  /* its data is this struct; else a copy of bytes that only this number has */
    bool borrowed; /* a call has a reference of its own */
};

/* Returns its number, or -1: no more in this sequence. */
int message_new(size_t size, bool wrapped);
push_msg *message_make(int message);
const void *message_bytes(int message);
/* That is what was pulled. */
bool message_is(int message, const push_msg *msg);
size_t message_size(int message);

/* Pulled, and not let go yet. */
enum { HELD = 160, HELD_ENOUGH = 64 };
struct held {
    int message;
    push_msg *msg;
};

/* ---- Objects ---- */

enum { SESSIONS = 64, CLIENTS = 64, POLLERS = 2, SESSION_HANDLES = 6, CLIENT_HANDLES = 10 };

/* Whether a poller reports a client for its messages. MAYBE: a pull has found nothing, and waits. */
enum due { DUE_NO, DUE_MAYBE, DUE_YES };

struct world_session {
    push_session *real;
    int id;
    bool live, named;
    struct world_client *members[IDS];
};

struct world_client {
    push_client *real;
    struct world_session *session;
    int id;
    struct model mailbox;
    int refs; /* handles, the session, the poller, a call that waits */
    void *data;
    int fd;        /* -1: not asked for */
    bool fd_quiet; /* must not be readable: a pull found nothing, and nothing came since */
    int pulls;     /* that wait */
    struct world_poller *poller;
    void *poller_data;
    bool paused;
    enum due due;
    uint64_t served; /* clients that were reported while this one was due and was not */
};

struct world_poller {
    push_poller *real;
    size_t wakes;
    int fd;
    bool quiet; /* its descriptor must not be readable */
    int waits;
};

struct handle {
    void *object; /* world_session or world_client; NULL: none */
    int pins;     /* calls that wait and use it */
};

extern struct world {
    struct world_session sessions[SESSIONS];
    size_t sessions_len;
    struct world_client clients[CLIENTS];
    size_t clients_len;
    struct world_session *registry[IDS];
    struct world_poller pollers[POLLERS];
    struct handle session_handles[SESSION_HANDLES];
    struct handle client_handles[CLIENT_HANDLES];
    struct model_message messages[MESSAGES];
    struct world_message more[MESSAGES];
    size_t messages_len;
    bool huge; /* one of the messages is */
    struct held held[HELD];
    size_t held_len;
    size_t calls;
} w;

static inline struct world_session *session_in(int handle)
{
    return w.session_handles[handle].object;
}

static inline struct world_client *client_in(int handle)
{
    return w.client_handles[handle].object;
}

int pick_session(void);
int pick_client(void);

void world_begin(void);

/* ---- What calls do to it ---- */

struct world_session *session_create(int id, bool named);
void session_end(struct world_session *s);
size_t session_len(const struct world_session *s);

/* Creates or finds, as push_client_new on a live session. NULL with *error. */
struct world_client *client_join(struct world_session *s, int id, const push_client_options *options, int *error);
void client_hold(struct world_client *c);
void client_let_go(struct world_client *c);
/* By a delete, or by PUSH_DISCONNECT: it is no member any more. */
void client_leave(struct world_client *c);
bool client_is_member(const struct world_client *c);

/* A message came to the client: descriptors and pollers are told. */
void client_arrived(struct world_client *c);
/* A pull found nothing. */
void client_found_empty(struct world_client *c);

bool poller_must_report(const struct world_poller *p, const struct world_client *c);
bool poller_has_report(const struct world_poller *p);
struct world_client *client_of(const push_client *real);

/* Everything that can be looked at is as it should be. */
void world_check(bool call_waits);

#endif
