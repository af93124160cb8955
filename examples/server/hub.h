/*
 * The hub: users, their devices, and what is pushed to them. A user is a session of libpush, a device a client of
 * it: a mailbox that connections come and go at.
 *
 * Messages may be pushed from any thread. All else here belongs to the service thread.
 */
#ifndef SERVER_HUB_H
#define SERVER_HUB_H

#include "cluster.h"
#include "message.h"
#include "options.h"

#include <jansson.h>
#include <libwebsockets.h>
#include <pthread.h>
#include <push/push.h>
#include <stdatomic.h>

enum { HUB_NAME_MAX = 64 }; /* bytes of a user's or a device's name */

struct connection;
struct farewell;

struct user {
    char name[HUB_NAME_MAX + 1]; /* first: a name is the key of its user */
    size_t devices;
};

/* A message that was put back into the mailbox, and how many were lost just before it. */
struct returned {
    struct cursor cursor;
    size_t lost;
};

struct device {
    lws_dll2_t in_all;
    lws_dll2_t in_away; /* while it has no connection */
    lws_usec_t away_until;
    struct user *user;
    push_client *client;
    struct connection *connection; /* NULL: away */
    struct cursor handed_over;     /* the last message that the kernel took for it */
    struct returned *returned;     /* not pulled again yet; the next to be pulled is the last here */
    size_t returned_count;
    size_t unacknowledged; /* of them, sent before */
    size_t lost;           /* before the next message, on the way from other servers */
    char name[HUB_NAME_MAX + 1];
};

struct hub {
    const struct options *options;
    struct lws_context *lws;
    char boot[BOOT_SIZE]; /* random: message ids begin anew with each run of the server */
    lws_usec_t started;
    push_poller *poller;
    struct cluster *cluster; /* NULL: this server is alone */
    void *users;             /* a tree for tsearch(3) */
    size_t user_count;
    lws_dll2_owner_t devices;
    lws_dll2_owner_t away; /* in the order of away_until: the grace time is the same for all */
    lws_sorted_usec_list_t grace_timer;
    size_t connected;
    pthread_mutex_t push_lock; /* gives messages their ids in the order that all mailboxes get them in */
    uint64_t last_id;          /* by push_lock */
    atomic_ullong delivered, dropped, disconnected;
};

/* Returns 0 or a negative errno. hub_destroy is fine for a hub that failed to begin, or never did. */
int hub_init(struct hub *hub, const struct options *options, struct lws_context *lws);
void hub_destroy(struct hub *hub);

/* Pushes to all devices of a user but `except` (NULL for none). `text` is a JSON string. Never waits, any thread.
 * Returns 0 with the message's id, or a negative errno. Nobody there is no error: the report says so. */
int hub_push(struct hub *hub, const char *user, const char *except, json_t *text, uint64_t *id,
             struct cluster_report *report);

/* Tells the connections whose mailbox has something. To be called when the poller's descriptor is readable. */
void hub_serve(struct hub *hub);

/* Whether a device may connect: 0, -EDQUOT for too many devices of the user, -EUSERS for too many users. */
int hub_admit(struct hub *hub, const char *user, const char *name);

/* Opens the device's mailbox for a connection, which takes it over from an earlier one. `resumed` tells whether it
 * was there. Returns 0, or a negative errno as hub_admit or of libpush. */
int hub_attach(struct hub *hub, const char *user, const char *name, struct connection *c, bool *resumed);

/* The connection has gone: the device is away, and its mailbox goes when the grace time is over. */
void hub_detach(struct hub *hub, struct device *d);

/* Deletes a device, or with NULL all of a user, and ends their connections. Returns how many. */
size_t hub_delete(struct hub *hub, const char *user, const char *name);

/* Ends all connections. */
void hub_end_all(struct hub *hub, const struct farewell *why);

/* A new JSON object, or NULL. */
json_t *hub_stats(struct hub *hub);

#endif
