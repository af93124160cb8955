#include "http.h"

#include "server.h"
#include "transports.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* ---- Answers --------------------------------------------------------------------------------------------- */

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

static int complete(struct lws *wsi)
{
    return lws_http_transaction_completed(wsi) ? -1 : 0;
}

int http_reply(struct lws *wsi, unsigned status, json_t *body)
{
    int rc = write_reply(wsi, status, body, NULL);
    json_decref(body);
    return rc < 0 ? -1 : complete(wsi);
}

static int write_refusal(struct lws *wsi, const struct refusal *refusal, const char *allow)
{
    json_t *body = json_pack("{s:s}", "error", refusal->error);
    int rc = write_reply(wsi, refusal->status, body, allow);
    json_decref(body);
    return rc;
}

int http_refuse(struct lws *wsi, const struct refusal *refusal)
{
    return write_refusal(wsi, refusal, NULL) < 0 ? -1 : complete(wsi);
}

/* ---- POST /push ------------------------------------------------------------------------------------------ */

static int push_begin(struct session *s)
{
    static const struct refusal too_large = {413, "the message is too large"};
    struct lws *wsi = s->connection.wsi;
    struct server *server = s->connection.server;
    struct push_body head = {0};
    uint64_t size = 0;
    const struct refusal *refusal = request_token(wsi, server->options.token);

    if (refusal == NULL)
        refusal = request_user(wsi, head.user);
    if (refusal == NULL)
        refusal = request_optional_name(wsi, "except", head.except);
    request_length(wsi, &size);
    if (refusal == NULL && size > server->options.max_message)
        refusal = &too_large;
    if (refusal == NULL) {
        s->push = malloc(sizeof *s->push + size);
        if (s->push == NULL)
            refusal = request_refused(-ENOMEM);
    }
    if (refusal != NULL)
        return http_refuse(wsi, refusal);
    head.capacity = size;
    *s->push = head;
    return 0;
}

static int push_more(struct session *s, const void *data, size_t size)
{
    struct push_body *body = s->push;
    if (body == NULL || size == 0)
        return 0;
    if (size > body->capacity - body->size)
        return -1;
    memcpy(body->text + body->size, data, size);
    body->size += size;
    return 0;
}

static int push_now(struct session *s)
{
    static const struct refusal bad_text = {400, "the message is no UTF-8"};
    struct push_body *body = s->push;
    struct lws *wsi = s->connection.wsi;
    push_report report;
    uint64_t id;

    if (body == NULL)
        return 0;
    json_t *text = json_stringn(body->text, body->size);
    if (text == NULL)
        return http_refuse(wsi, &bad_text);
    int rc = hub_push(&s->connection.server->hub, body->user, body->except[0] != '\0' ? body->except : NULL, text,
                      &id, &report);
    json_decref(text);
    if (rc < 0)
        return http_refuse(wsi, request_refused(rc));
    return http_reply(wsi, HTTP_STATUS_OK,
                      json_pack("{s:I, s:I, s:I, s:I}", "id", (json_int_t)id, "delivered",
                                (json_int_t)report.delivered, "dropped", (json_int_t)report.dropped, "disconnected",
                                (json_int_t)report.disconnected));
}

/* ---- The other requests ---------------------------------------------------------------------------------- */

static int delete_clients(struct session *s)
{
    struct lws *wsi = s->connection.wsi;
    struct server *server = s->connection.server;
    char user[NAME_SIZE], device[NAME_SIZE];
    const struct refusal *refusal = request_token(wsi, server->options.token);

    if (refusal == NULL)
        refusal = request_user(wsi, user);
    if (refusal == NULL)
        refusal = request_optional_name(wsi, "device", device);
    if (refusal != NULL)
        return http_refuse(wsi, refusal);
    size_t count = hub_delete(&server->hub, user, device[0] != '\0' ? device : NULL);
    return http_reply(wsi, HTTP_STATUS_OK, json_pack("{s:I}", "deleted", (json_int_t)count));
}

static int stats(struct session *s)
{
    return http_reply(s->connection.wsi, HTTP_STATUS_OK, hub_stats(&s->connection.server->hub));
}

static int no_upgrade(struct session *s)
{
    static const struct refusal refusal = {426, "this is a WebSocket's address"};
    return http_refuse(s->connection.wsi, &refusal);
}

static const struct endpoint {
    const char *path;
    int method;
    const char *allow;
    int (*begin)(struct session *s);
} endpoints[] = {
    {"/push", LWSHUMETH_POST, "POST", push_begin}, {"/clients", LWSHUMETH_DELETE, "DELETE", delete_clients},
    {"/stats", LWSHUMETH_GET, "GET", stats},       {"/events", LWSHUMETH_GET, "GET", sse_begin},
    {"/poll", LWSHUMETH_GET, "GET", poll_begin},   {"/ws", LWSHUMETH_GET, "GET", no_upgrade},
};

/* ---- The pages ------------------------------------------------------------------------------------------- */

static const struct file_type {
    const char *suffix, *type;
} file_types[] = {
    {".html", "text/html; charset=utf-8"},
    {".js", "text/javascript; charset=utf-8"},
    {".css", "text/css; charset=utf-8"},
    {".svg", "image/svg+xml"},
    {".png", "image/png"},
};

static bool is_plain(const char *name, const char *suffix)
{
    size_t stem = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_-");
    return stem > 0 && strcmp(name + stem, suffix) == 0;
}

/* The type of a file of the pages; NULL where it cannot be one. */
static const char *type_of(const char *name)
{
    for (size_t i = 0; i < LWS_ARRAY_SIZE(file_types); i++)
        if (is_plain(name, file_types[i].suffix))
            return file_types[i].type;
    return NULL;
}

static int serve_page(struct lws *wsi, const char *path, int method)
{
    static const struct refusal not_found = {404, "there is nothing here"}, bad_method = {405, "GET only"};
    const char *name = strcmp(path, "/") == 0        ? "index.html"
                       : strcmp(path, "/admin") == 0 ? "admin.html"
                                                     : path + 1;
    const char *type = type_of(name);
    char file[4096];

    if (type == NULL)
        return http_refuse(wsi, &not_found);
    if (method != LWSHUMETH_GET && method != LWSHUMETH_HEAD)
        return write_refusal(wsi, &bad_method, "GET, HEAD") < 0 ? -1 : complete(wsi);
    lws_snprintf(file, sizeof file, "%s/%s", server_of(wsi)->options.www, name);
    if (access(file, R_OK) != 0)
        return http_refuse(wsi, &not_found);
    int rc = lws_serve_http_file(wsi, file, type, NULL, 0);
    return rc < 0 || (rc > 0 && complete(wsi) < 0) ? -1 : 0;
}

/* ---- Requests as lws tells of them ----------------------------------------------------------------------- */

static const struct refusal *check(struct lws *wsi)
{
    static const struct refusal stopping = {503, "the server is going away"};
    return server_is_stopping(server_of(wsi)) ? &stopping : request_origin(wsi);
}

static const struct refusal *check_body(struct lws *wsi)
{
    static const struct refusal no_body = {400, "only POST has a body"};
    uint64_t size;
    const struct refusal *refusal = request_length(wsi, &size);

    if (refusal == NULL && size > 0 && lws_hdr_total_length(wsi, WSI_TOKEN_POST_URI) == 0)
        refusal = &no_body;
    return refusal;
}

static int begin(struct session *s)
{
    static const struct refusal bad_method = {405, "not with this method"};
    struct lws *wsi = s->connection.wsi;
    char *path;
    int length;
    int method = lws_http_get_uri_and_method(wsi, &path, &length);
    const struct refusal *refusal = check_body(wsi);

    if (refusal != NULL) {
        write_refusal(wsi, refusal, NULL);
        return -1; /* nobody knows where the next request would begin */
    }
    refusal = check(wsi);
    if (refusal != NULL)
        return http_refuse(wsi, refusal);
    for (size_t i = 0; i < LWS_ARRAY_SIZE(endpoints); i++) {
        const struct endpoint *e = &endpoints[i];
        if (strcmp(path, e->path) != 0)
            continue;
        if (method != e->method)
            return write_refusal(wsi, &bad_method, e->allow) < 0 ? -1 : complete(wsi);
        return e->begin(s);
    }
    return serve_page(wsi, path, method);
}

/* Returns 0: go on; 1: it was refused, and the client told; -1: hang up. */
static int confirm_upgrade(struct lws *wsi, const char *to)
{
    static const struct refusal elsewhere = {404, "WebSockets are at /ws"};
    static const struct refusal no_http2 = {400, "HTTP/2 is not spoken here"};
    char *path;
    int length;
    bool websocket = strcasecmp(to, "websocket") == 0;

    if (!websocket && strcasecmp(to, "h2c") != 0)
        return -1; /* lws has answered already */
    const struct refusal *refusal = websocket ? check(wsi) : &no_http2;
    if (refusal == NULL &&
        (lws_http_get_uri_and_method(wsi, &path, &length) != LWSHUMETH_GET || strcmp(path, "/ws") != 0))
        refusal = &elsewhere;
    if (refusal == NULL)
        refusal = ws_check(wsi);
    if (refusal == NULL)
        return 0;
    return write_refusal(wsi, refusal, NULL) < 0 ? -1 : 1;
}

static void limit_send_buffer(struct lws *wsi)
{
    int size = (int)server_of(wsi)->options.send_buffer;
    if (size > 0)
        setsockopt(lws_get_socket_fd(wsi), SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
}

static void set_up(struct lws *wsi, struct session *s)
{
    s->connection.server = server_of(wsi);
    s->connection.wsi = wsi;
}

static void tear_down(struct session *s)
{
    if (s == NULL)
        return;
    connection_close(&s->connection);
    s->transport = NULL; /* lws may still offer a turn to write */
    free(s->push);
    s->push = NULL;
}

int http_callback(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in, size_t len)
{
    struct session *s = user;

    switch (reason) {
    case LWS_CALLBACK_FILTER_NETWORK_CONNECTION:
        return server_is_full(server_of(wsi)) || server_is_stopping(server_of(wsi)) ? -1 : 0;
    case LWS_CALLBACK_WSI_CREATE:
        server_of(wsi)->connections++;
        return 0;
    case LWS_CALLBACK_WSI_DESTROY:
        server_of(wsi)->connections--;
        return 0;
    case LWS_CALLBACK_SERVER_NEW_CLIENT_INSTANTIATED:
        limit_send_buffer(wsi);
        return 0;
    case LWS_CALLBACK_HTTP:
        if (s->transport != NULL || s->push != NULL)
            return -1; /* a second request while the first is not answered */
        set_up(wsi, s);
        return begin(s);
    case LWS_CALLBACK_HTTP_BODY:
        return push_more(s, in, len);
    case LWS_CALLBACK_HTTP_BODY_COMPLETION:
        return push_now(s);
    case LWS_CALLBACK_HTTP_FILE_COMPLETION:
        return complete(wsi);
    case LWS_CALLBACK_HTTP_CONFIRM_UPGRADE:
        return confirm_upgrade(wsi, in);
    case LWS_CALLBACK_ESTABLISHED:
        set_up(wsi, s);
        return ws_begin(s);
    case LWS_CALLBACK_RECEIVE:
        return ws_receive(s, in, len);
    case LWS_CALLBACK_HTTP_WRITEABLE:
    case LWS_CALLBACK_SERVER_WRITEABLE:
        return s != NULL && s->transport != NULL ? s->transport->writeable(s) : 0;
    case LWS_CALLBACK_TIMER:
        return s != NULL && s->transport != NULL ? s->transport->timer(s) : 0;
    case LWS_CALLBACK_WS_SERVER_DROP_PROTOCOL: /* before the close frame */
        tear_down(s);
        return 0;
    case LWS_CALLBACK_HTTP_DROP_PROTOCOL:
    case LWS_CALLBACK_CLOSED:
    case LWS_CALLBACK_CLOSED_HTTP:
        tear_down(s);
        if (s != NULL)
            connection_ended(&s->connection);
        return 0;
    case LWS_CALLBACK_RAW_ADOPT:
        return -1; /* CONNECT: lws takes it for a wish to speak some other protocol */
    default:
        return 0;
    }
}
