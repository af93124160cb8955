/* The ways to receive messages. Each *_begin takes a request and returns what lws's callback is to return. */
#ifndef SERVER_TRANSPORTS_H
#define SERVER_TRANSPORTS_H

#include "session.h"

/* GET /ws: whether it may be a WebSocket, and, once it is one, its device. */
const struct refusal *ws_check(struct lws *wsi);
int ws_begin(struct session *s);
int ws_receive(struct session *s, const void *data, size_t size);

/* GET /events */
int sse_begin(struct session *s);

/* GET /poll */
int poll_begin(struct session *s);

#endif
