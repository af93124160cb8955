#include "http.h"

#include "answer.h"
#include "api.h"
#include "pages.h"
#include "server.h"
#include "transports.h"

#include <string.h>
#include <sys/socket.h>

/* ---- What is asked for ----------------------------------------------------------------------------------- */

static const struct endpoint {
    const char *path;
    int method;
    const char *allow;
    int (*begin)(struct session *s);
} endpoints[] = {
    {"/push", LWSHUMETH_POST, "POST", api_push},
    {"/clients", LWSHUMETH_DELETE, "DELETE", api_delete},
    {"/stats", LWSHUMETH_GET, "GET", api_stats},
    {"/events", LWSHUMETH_GET, "GET", sse_begin},
    {"/poll", LWSHUMETH_GET, "GET", poll_begin},
    {"/ws", LWSHUMETH_GET, "GET", api_no_upgrade}, /* that asks for no WebSocket */
};

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
        http_write_refusal(wsi, refusal, NULL);
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
            return http_write_refusal(wsi, &bad_method, e->allow) < 0 ? -1 : http_complete(wsi);
        return e->begin(s);
    }
    return pages_serve(wsi, path, method);
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
    return http_write_refusal(wsi, refusal, NULL) < 0 ? -1 : 1;
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

/* It has a request that is not answered: another one has to wait for that. */
static bool is_busy(const struct session *s)
{
    return s != NULL && (s->transport != NULL || s->push != NULL);
}

static void tear_down(struct session *s)
{
    if (s == NULL)
        return;
    connection_close(&s->connection);
    if (s->transport != NULL)
        lws_set_timer_usecs(s->connection.wsi, LWS_SET_TIMER_USEC_CANCEL);
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
    case LWS_CALLBACK_FILTER_HTTP_CONNECTION:
        return is_busy(s) ? -1 : 0;
    case LWS_CALLBACK_HTTP:
        set_up(wsi, s);
        return begin(s);
    case LWS_CALLBACK_HTTP_BODY:
        return api_push_body(s, in, len);
    case LWS_CALLBACK_HTTP_BODY_COMPLETION:
        return api_push_now(s);
    case LWS_CALLBACK_HTTP_FILE_COMPLETION:
        return http_complete(wsi);
    case LWS_CALLBACK_HTTP_CONFIRM_UPGRADE:
        return is_busy(s) ? -1 : confirm_upgrade(wsi, in);
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
