/* Answers to requests. Functions that do not say otherwise return what lws's callback is to return. */
#ifndef SERVER_ANSWER_H
#define SERVER_ANSWER_H

#include "request.h"

#include <jansson.h>
#include <libwebsockets.h>

/* The answer is out. */
int http_complete(struct lws *wsi);

/* Answers with a body, which is let go; NULL: there is no memory. */
int http_reply(struct lws *wsi, unsigned status, json_t *body);
int http_refuse(struct lws *wsi, const struct refusal *refusal);

/* Writes a refusal, which is not complete then; `allow` lists the methods that are right, NULL is fine. Returns 0
 * or -1. */
int http_write_refusal(struct lws *wsi, const struct refusal *refusal, const char *allow);

/* Writes the headers of an answer of so many bytes; LWS_ILLEGAL_HTTP_CONTENT_LEN: until the connection ends.
 * Returns 0 or -1. */
int http_headers(struct lws *wsi, unsigned status, const char *type, lws_filepos_t size);

#endif
