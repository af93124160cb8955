/* Requests that are answered at once, and the pages. */
#ifndef SERVER_HTTP_H
#define SERVER_HTTP_H

#include "session.h"

#include <jansson.h>

/* The callback of the protocol "push": HTTP and WebSocket alike. */
int http_callback(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in, size_t len);

/* Answer a request, and return what lws's callback is to return. The body, which may be NULL, is let go. */
int http_reply(struct lws *wsi, unsigned status, json_t *body);
int http_refuse(struct lws *wsi, const struct refusal *refusal);

/* Writes the headers of an answer of so many bytes; LWS_ILLEGAL_HTTP_CONTENT_LEN: until the connection ends.
 * Returns 0 or -1. */
int http_headers(struct lws *wsi, unsigned status, const char *type, lws_filepos_t size);

#endif
