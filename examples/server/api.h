/* The requests that are answered at once. The functions return what lws's callback is to return. */
#ifndef SERVER_API_H
#define SERVER_API_H

#include "session.h"

/* POST /push: its beginning, each piece of its body, its end. The latter two are fine for other requests. */
int api_push(struct session *s);
int api_push_body(struct session *s, const void *data, size_t size);
int api_push_now(struct session *s);

/* DELETE /clients */
int api_delete(struct session *s);

/* GET /stats */
int api_stats(struct session *s);

/* GET /ws that asks for no WebSocket */
int api_no_upgrade(struct session *s);

#endif
