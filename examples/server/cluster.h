/*
 * The other servers of a cluster: what is pushed here reaches the user's devices there, and the other way round. By
 * libpush-nats (cluster.c), where the server was built with it; else there are none (no_cluster.c).
 */
#ifndef SERVER_CLUSTER_H
#define SERVER_CLUSTER_H

#include "options.h"

#include <jansson.h>
#include <push/push.h>

struct cluster;

/* What became of a push. */
struct cluster_report {
    push_report local;
    bool queued;    /* it waits to be sent to the other servers, or was sent */
    bool published; /* and is on its way: there is a connection */
};

/* Connects in the background. NULL with errno set: ENOTSUP: not built with NATS; EINVAL: bad URLs or a bad name. */
struct cluster *cluster_open(const struct options *options);

/* Sends what is queued, for two seconds at most. NULL is fine. */
void cluster_close(struct cluster *cluster);

/* A user has a first device here, or no more. Join returns 0 or a negative errno. */
int cluster_join(struct cluster *cluster, const char *user);
void cluster_leave(struct cluster *cluster, const char *user);

/* To the user's devices on all servers but `except` (NULL for none), without waiting. Any thread. Returns 0 or a
 * negative errno. */
int cluster_push(struct cluster *cluster, const char *user, push_msg *msg, const char *except,
                 struct cluster_report *report);

/* A new JSON object, or NULL. */
json_t *cluster_stats(struct cluster *cluster);

#endif
