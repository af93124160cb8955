/* What a request asks for, checked. */
#ifndef SERVER_REQUEST_H
#define SERVER_REQUEST_H

#include "hub.h"

#include <libwebsockets.h>

enum { NAME_SIZE = HUB_NAME_MAX + 1, REQUEST_HEADER_MAX = 4096 /* bytes of a request's line and headers */ };

/* Why a request is refused; NULL: it is not. */
struct refusal {
    unsigned status;
    const char *error;
};

/* An argument of the URL, decoded. Returns its length; -ENOENT: it is not there; -EMSGSIZE: longer than size - 1.
 */
int request_arg(struct lws *wsi, const char *name, char *out, size_t size);

/* The names in user= and device=: 1 to 64 bytes of UTF-8 without control characters. */
const struct refusal *request_user(struct lws *wsi, char out[NAME_SIZE]);
const struct refusal *request_device(struct lws *wsi, char out[NAME_SIZE]);

/* A name that need not be there: it is empty then. */
const struct refusal *request_optional_name(struct lws *wsi, const char *arg, char out[NAME_SIZE]);

/* A number of min..max; *out stays where the argument is not there. */
const struct refusal *request_number(struct lws *wsi, const char *arg, uint64_t min, uint64_t max, uint64_t *out);

/* A page of another site may not use this server in its visitor's name. */
const struct refusal *request_origin(struct lws *wsi);

/* With --token, who changes something must show it. */
const struct refusal *request_token(struct lws *wsi, const char *token);

/* The size of the request's body, 0 where it has none. */
const struct refusal *request_length(struct lws *wsi, uint64_t *size);

/* What hub_admit, hub_attach and libpush refuse. NULL for rc 0. */
const struct refusal *request_refused(int rc);

#endif
