/* The requests that are answered at once. */
#include "api.h"

#include "answer.h"
#include "server.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ---- POST /push ------------------------------------------------------------------------------------------ */

int api_push(struct session *s)
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

int api_push_body(struct session *s, const void *data, size_t size)
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

int api_push_now(struct session *s)
{
    static const struct refusal bad_text = {400, "the message is no UTF-8"};
    struct push_body *body = s->push;
    struct lws *wsi = s->connection.wsi;
    struct server *server = s->connection.server;
    struct cluster_report report;
    uint64_t id;

    if (body == NULL)
        return 0;
    json_t *text = json_stringn(body->text, body->size);
    if (text == NULL)
        return http_refuse(wsi, &bad_text);
    int rc = hub_push(&server->hub, body->user, body->except[0] != '\0' ? body->except : NULL, text, &id, &report);
    json_decref(text);
    if (rc < 0)
        return http_refuse(wsi, request_refused(rc));
    json_t *answer = json_pack("{s:I, s:I, s:I, s:I}", "id", (json_int_t)id, "delivered",
                               (json_int_t)report.local.delivered, "dropped", (json_int_t)report.local.dropped,
                               "disconnected", (json_int_t)report.local.disconnected);
    if (server->hub.cluster != NULL) {
        json_object_set_new(answer, "published", json_boolean(report.published));
        json_object_set_new(answer, "queued", json_boolean(report.queued));
    }
    return http_reply(wsi, HTTP_STATUS_OK, answer);
}

/* ---- The others ------------------------------------------------------------------------------------------ */

int api_delete(struct session *s)
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

int api_stats(struct session *s)
{
    return http_reply(s->connection.wsi, HTTP_STATUS_OK, hub_stats(&s->connection.server->hub));
}

int api_no_upgrade(struct session *s)
{
    static const struct refusal refusal = {426, "this is a WebSocket's address"};
    return http_refuse(s->connection.wsi, &refusal);
}
