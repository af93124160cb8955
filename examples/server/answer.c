#include "answer.h"

#include "server.h"

#include <string.h>

/* A refusal of which the client needs to know more. */
static int add_special_header(struct lws *wsi, unsigned status, unsigned char **p, unsigned char *end)
{
    static const unsigned char bearer[] = "Bearer", seconds[] = "1", websocket[] = "websocket";

    switch (status) {
    case 401:
        return lws_add_http_header_by_token(wsi, WSI_TOKEN_HTTP_WWW_AUTHENTICATE, bearer, sizeof bearer - 1, p,
                                            end);
    case 426:
        return lws_add_http_header_by_token(wsi, WSI_TOKEN_UPGRADE, websocket, sizeof websocket - 1, p, end);
    case 429:
    case 503:
        return lws_add_http_header_by_token(wsi, WSI_TOKEN_HTTP_RETRY_AFTER, seconds, sizeof seconds - 1, p, end);
    default:
        return 0;
    }
}

static int add_headers(struct lws *wsi, unsigned status, const char *type, lws_filepos_t size, const char *allow,
                       unsigned char **p, unsigned char *end)
{
    static const char version[] = "HTTP/1.1";
    static const unsigned char no_store[] = "no-store";
    unsigned char *start = *p;

    if (lws_add_http_common_headers(wsi, status, type, size, p, end) != 0 ||
        lws_add_http_header_by_token(wsi, WSI_TOKEN_HTTP_CACHE_CONTROL, no_store, sizeof no_store - 1, p, end) !=
            0 ||
        add_special_header(wsi, status, p, end) != 0)
        return -1;
    memcpy(start, version,
           sizeof version - 1); /* where a WebSocket is refused lws says 1.0, which clients do not take */
    if (allow != NULL && lws_add_http_header_by_token(wsi, WSI_TOKEN_HTTP_ALLOW, (const unsigned char *)allow,
                                                      (int)strlen(allow), p, end) != 0)
        return -1;
    return lws_finalize_http_header(wsi, p, end) != 0 ? -1 : 0;
}

int http_headers(struct lws *wsi, unsigned status, const char *type, lws_filepos_t size)
{
    struct server *server = server_of(wsi);
    unsigned char *start = server_buffer(server), *p = start;

    if (add_headers(wsi, status, type, size, NULL, &p, start + server->buffer_size) < 0)
        return -1;
    return lws_write(wsi, start, (size_t)(p - start), LWS_WRITE_HTTP_HEADERS) < (int)(p - start) ? -1 : 0;
}

/* Writes a whole answer. */
static int write_reply(struct lws *wsi, unsigned status, json_t *body, const char *allow)
{
    struct server *server = server_of(wsi);
    unsigned char *start = server_buffer(server), *p = start, *end = start + server->buffer_size;
    size_t size = json_dumpb(body, NULL, 0, JSON_COMPACT);

    if (size == 0 || add_headers(wsi, status, "application/json", size + 1, allow, &p, end) < 0 ||
        size >= (size_t)(end - p))
        return -1;
    p += json_dumpb(body, (char *)p, size, JSON_COMPACT);
    *p++ = '\n';
    return lws_write(wsi, start, (size_t)(p - start), LWS_WRITE_HTTP_FINAL) < (int)(p - start) ? -1 : 0;
}

int http_complete(struct lws *wsi)
{
    return lws_http_transaction_completed(wsi) ? -1 : 0;
}

int http_reply(struct lws *wsi, unsigned status, json_t *body)
{
    int rc = write_reply(wsi, status, body, NULL);
    json_decref(body);
    return rc < 0 ? -1 : http_complete(wsi);
}

int http_write_refusal(struct lws *wsi, const struct refusal *refusal, const char *allow)
{
    json_t *body = json_pack("{s:s}", "error", refusal->error);
    int rc = write_reply(wsi, refusal->status, body, allow);
    json_decref(body);
    return rc;
}

int http_refuse(struct lws *wsi, const struct refusal *refusal)
{
    return http_write_refusal(wsi, refusal, NULL) < 0 ? -1 : http_complete(wsi);
}
