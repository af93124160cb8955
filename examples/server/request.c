#include "request.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const struct refusal bad_name = {400, "a name is 1 to 64 bytes of UTF-8 without control characters"};
static const struct refusal no_user = {400, "the URL lacks user=NAME"};
static const struct refusal no_device = {400, "the URL lacks device=NAME"};
static const struct refusal bad_number = {400, "a number is none, or out of range"};
static const struct refusal foreign = {403, "a page of another site may not do that"};
static const struct refusal no_token = {401, "this needs the header Authorization: Bearer TOKEN"};
static const struct refusal no_length = {411, "the body needs a Content-Length"};
static const struct refusal too_many_devices = {429, "too many devices of this user"};
static const struct refusal too_many_users = {503, "too many users"};
static const struct refusal too_large_for_nats = {413, "the message is larger than the NATS server takes"};
static const struct refusal no_memory = {503, "no memory"};

int request_arg(struct lws *wsi, const char *name, char *out, size_t size)
{
    char fragment[REQUEST_HEADER_MAX + 1];
    size_t length = strlen(name);
    int n;

    for (int i = 0; (n = lws_hdr_copy_fragment(wsi, fragment, sizeof fragment, WSI_TOKEN_HTTP_URI_ARGS, i)) >= 0;
         i++) {
        if ((size_t)n <= length || memcmp(fragment, name, length) != 0 || fragment[length] != '=')
            continue;
        size_t value = (size_t)n - length - 1;
        if (value >= size)
            return -EMSGSIZE;
        memcpy(out, fragment + length + 1, value);
        out[value] = '\0';
        return (int)value;
    }
    return -ENOENT;
}

static bool is_name(const char *s, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        unsigned char c = (unsigned char)s[i];
        if (c < 0x20 || c == 0x7f || (c == 0xc2 && (unsigned char)s[i + 1] < 0xa0)) /* C0, DEL, C1 */
            return false;
    }
    json_t *valid = json_stringn(s, size); /* it takes nothing but UTF-8 */
    json_decref(valid);
    return size > 0 && valid != NULL;
}

const struct refusal *request_optional_name(struct lws *wsi, const char *arg, char out[NAME_SIZE])
{
    int n = request_arg(wsi, arg, out, NAME_SIZE);

    if (n == -ENOENT) {
        out[0] = '\0';
        return NULL;
    }
    return n >= 0 && is_name(out, (size_t)n) ? NULL : &bad_name;
}

const struct refusal *request_user(struct lws *wsi, char out[NAME_SIZE])
{
    const struct refusal *refusal = request_optional_name(wsi, "user", out);
    return refusal == NULL && out[0] == '\0' ? &no_user : refusal;
}

const struct refusal *request_device(struct lws *wsi, char out[NAME_SIZE])
{
    const struct refusal *refusal = request_optional_name(wsi, "device", out);
    return refusal == NULL && out[0] == '\0' ? &no_device : refusal;
}

/* Digits only; strtoull would take a sign. */
static bool read_number(const char *text, uint64_t min, uint64_t max, uint64_t *out)
{
    char *end;

    errno = 0;
    unsigned long long n = strtoull(text, &end, 10);
    if (*text < '0' || *text > '9' || *end != '\0' || errno != 0 || n < min || n > max)
        return false;
    *out = n;
    return true;
}

const struct refusal *request_number(struct lws *wsi, const char *arg, uint64_t min, uint64_t max, uint64_t *out)
{
    char text[24];
    int n = request_arg(wsi, arg, text, sizeof text);

    if (n == -ENOENT)
        return NULL;
    return n >= 0 && read_number(text, min, max, out) ? NULL : &bad_number;
}

const struct refusal *request_origin(struct lws *wsi)
{
    char origin[300], host[280];

    if (lws_hdr_total_length(wsi, WSI_TOKEN_ORIGIN) == 0)
        return NULL; /* no browser, or a plain visit */
    if (lws_hdr_copy(wsi, origin, sizeof origin, WSI_TOKEN_ORIGIN) <= 0 ||
        lws_hdr_copy(wsi, host, sizeof host, WSI_TOKEN_HOST) <= 0)
        return &foreign;
    const char *authority = strstr(origin, "://");
    return authority != NULL && strcmp(authority + 3, host) == 0 ? NULL : &foreign;
}

const struct refusal *request_token(struct lws *wsi, const char *token)
{
    static const char scheme[] = "Bearer ";
    char given[REQUEST_HEADER_MAX + 1];
    size_t prefix = sizeof scheme - 1;

    if (token == NULL)
        return NULL;
    int n = lws_hdr_copy(wsi, given, sizeof given, WSI_TOKEN_HTTP_AUTHORIZATION);
    if (n < 0 || (size_t)n != prefix + strlen(token) || strncasecmp(given, scheme, prefix) != 0 ||
        lws_timingsafe_bcmp(given + prefix, token, (uint32_t)strlen(token)) != 0)
        return &no_token;
    return NULL;
}

const struct refusal *request_length(struct lws *wsi, uint64_t *size)
{
    char text[24];

    if (lws_hdr_total_length(wsi, WSI_TOKEN_HTTP_TRANSFER_ENCODING) > 0)
        return &no_length;
    int n = lws_hdr_copy(wsi, text, sizeof text, WSI_TOKEN_HTTP_CONTENT_LENGTH);
    *size = 0;
    if (n == 0)
        return lws_hdr_total_length(wsi, WSI_TOKEN_POST_URI) > 0 ? &no_length : NULL;
    return n > 0 && read_number(text, 0, INT64_MAX, size) ? NULL : &bad_number;
}

const struct refusal *request_refused(int rc)
{
    switch (rc) {
    case 0:
        return NULL;
    case -EDQUOT:
        return &too_many_devices;
    case -EUSERS:
        return &too_many_users;
    case -EMSGSIZE:
        return &too_large_for_nats;
    default:
        return &no_memory;
    }
}
