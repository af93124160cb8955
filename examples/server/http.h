/* What lws tells of connections and requests, and who deals with it. */
#ifndef SERVER_HTTP_H
#define SERVER_HTTP_H

#include <libwebsockets.h>

/* The callback of the protocol "push": HTTP and WebSocket alike. */
int http_callback(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in, size_t len);

#endif
