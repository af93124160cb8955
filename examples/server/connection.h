/*
 * A connection that a device receives by, whatever the transport: WebSocket, Server-Sent Events or a poll. It takes
 * messages out of the device's mailbox only as fast as its socket takes them, one ahead, and keeps what was sent
 * until it is known to be received. When it ends, all that it still has goes back into the mailbox.
 */
#ifndef SERVER_CONNECTION_H
#define SERVER_CONNECTION_H

#include "hub.h"

#include <libwebsockets.h>
#include <push/push.h>

enum { REASON_MAX = 123 }; /* bytes that a close frame has for it */

/* Why a connection is ended by the server: as a WebSocket's close code, and as the status of a poll. */
struct farewell {
    unsigned code, status;
    const char *reason;
};

extern const struct farewell farewell_taken_over, farewell_too_slow, farewell_deleted, farewell_going_away;

struct sent {
    push_msg *msg;
    struct cursor cursor;
    size_t lost; /* messages that were lost just before it */
};

/* Until when a message that was sent is kept. */
enum keep {
    KEEP_UNTIL_HANDED_OVER,   /* the kernel has it all */
    KEEP_UNTIL_ACKNOWLEDGED,  /* nothing more is sent while the window is full */
    KEEP_WHILE_WINDOW_ALLOWS, /* the oldest makes room for the newest */
};

struct connection {
    struct server *server;
    struct lws *wsi;
    struct device *device;           /* NULL: not open */
    const struct farewell *farewell; /* it is to end */
    enum keep keep;
    struct sent next;    /* pulled, not sent yet; msg NULL: none */
    struct sent *window; /* sent, and kept; the oldest first */
    size_t count, capacity;
};

/* Opens the device's mailbox, with `capacity` for the window. `resumed` tells whether it was there, NULL is fine.
 * Returns 0, or a negative errno as hub_attach. */
int connection_open(struct connection *c, const char *user, const char *name, enum keep keep, size_t capacity,
                    bool *resumed);

/* Says of what earlier connections sent that it was received up to a message, or as far as the kernel took it. What
 * is not said to be received is sent again. */
void connection_received(struct connection *c, const struct cursor *last);
void connection_received_as_handed_over(struct connection *c);

/* Puts back what is not known to be received, and lets the device go. Fine for one that is not open. */
void connection_close(struct connection *c);

/* Closes it, and has its socket say why; and when the socket has, or could not. */
void connection_end(struct connection *c, const struct farewell *why);
void connection_ended(struct connection *c);

/* There may be something in the mailbox: if so, asks lws for a turn to write. */
void connection_ready(struct connection *c);

/* Pulls the next message, if there is none yet. False: there is none, or the window is full; connection_ready will
 * be called when there is. */
bool connection_fetch(struct connection *c);

/* The next message is about to be sent: it becomes the newest of the window. */
const struct sent *connection_take(struct connection *c);

/* The kernel has taken all that was sent. */
void connection_handed_over(struct connection *c);

/* A message was received, and all that were sent before it. */
void connection_acknowledge(struct connection *c, const struct cursor *last);

#endif
