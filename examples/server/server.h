/* The process: what all connections share. */
#ifndef SERVER_SERVER_H
#define SERVER_SERVER_H

#include "hub.h"
#include "options.h"

#include <libwebsockets.h>

struct server {
    struct options options;
    struct hub hub;
    struct lws_context *lws;
    struct lws_vhost *vhost;
    int signals;           /* a descriptor that tells of SIGINT and SIGTERM */
    long connections;      /* and what else lws watches: it counts them alike */
    long watched;          /* of them */
    unsigned signals_seen; /* 1: end in good order, 2: end at once */
    size_t ending;         /* connections that are told to end, and have not */
    unsigned char *buffer; /* what is being written: LWS_PRE bytes of it are lws's */
    size_t buffer_size;    /* the others */
};

static inline struct server *server_of(struct lws *wsi)
{
    return lws_context_user(lws_get_context(wsi));
}

static inline bool server_is_full(const struct server *server)
{
    return server->connections - server->watched >= (long)server->options.max_connections;
}

static inline bool server_is_stopping(const struct server *server)
{
    return server->signals_seen > 0;
}

static inline unsigned char *server_buffer(struct server *server)
{
    return server->buffer + LWS_PRE;
}

#endif
