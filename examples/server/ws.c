/* GET /ws: a device on a WebSocket. */
#include "answer.h"
#include "server.h"
#include "transports.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CLOSE_UNACCEPTABLE = 1003, CLOSE_POLICY = 1008, CLOSE_TOO_LARGE = 1009 };

static const struct transport transport;

/* Returns -1, which has lws send the close frame. */
static int close_with(struct lws *wsi, unsigned code, const char *reason)
{
    lws_close_reason(wsi, (enum lws_close_status)code, (unsigned char *)reason, strlen(reason));
    return -1;
}

static int send_text(struct lws *wsi, size_t size)
{
    return lws_write(wsi, server_buffer(server_of(wsi)), size, LWS_WRITE_TEXT) < (int)size ? -1 : 0;
}

/* ---- Beginning ------------------------------------------------------------------------------------------- */

const struct refusal *ws_check(struct lws *wsi)
{
    char user[NAME_SIZE], device[NAME_SIZE];
    uint64_t acks;
    const struct refusal *refusal = request_user(wsi, user);

    if (refusal == NULL)
        refusal = request_device(wsi, device);
    if (refusal == NULL)
        refusal = request_number(wsi, "ack", 0, 1, &acks);
    if (refusal == NULL)
        refusal = request_refused(hub_admit(&server_of(wsi)->hub, user, device));
    return refusal;
}

int ws_begin(struct session *s)
{
    struct connection *c = &s->connection;
    char user[NAME_SIZE], device[NAME_SIZE];
    uint64_t acks = 0;

    request_user(c->wsi, user);
    request_device(c->wsi, device);
    request_number(c->wsi, "ack", 0, 1, &acks);
    int rc =
        acks ? connection_open(c, user, device, KEEP_UNTIL_ACKNOWLEDGED, c->server->options.window, &s->ws.resumed)
             : connection_open(c, user, device, KEEP_UNTIL_HANDED_OVER, 1, &s->ws.resumed);
    if (rc < 0)
        return -1;
    if (!acks)
        connection_received_as_handed_over(c);
    s->transport = &transport;
    lws_callback_on_writable(c->wsi);
    return 0;
}

/* ---- Sending --------------------------------------------------------------------------------------------- */

static int send_hello(struct session *s)
{
    struct connection *c = &s->connection;
    struct device *d = c->device;
    push_client_stats stats;

    push_client_stat(d->client, &stats);
    json_t *hello =
        json_pack("{s:s, s:s, s:s, s:s, s:b, s:I, s:I, s:I}", "type", "hello", "boot", c->server->hub.boot, "user",
                  d->user->name, "device", d->name, "resumed", s->ws.resumed, "queued",
                  (json_int_t)(stats.queued + (c->next.msg != NULL)), "unacked", (json_int_t)d->unacknowledged,
                  "max_message", (json_int_t)c->server->options.max_message);
    size_t size = json_dumpb(hello, (char *)server_buffer(c->server), c->server->buffer_size, JSON_COMPACT);
    json_decref(hello);
    s->ws.greeted = true;
    return size == 0 ? -1 : send_text(c->wsi, size);
}

static int send_message(struct connection *c)
{
    const struct sent *sent = connection_take(c);
    char *out = (char *)server_buffer(c->server);
    size_t size, json_size;
    const char *json = message_json(sent->msg, &json_size);

    size = (size_t)lws_snprintf(out, c->server->buffer_size,
                                "{\"type\":\"message\",\"lost\":%zu,\"message\":", sent->lost);
    memcpy(out + size, json, json_size);
    size += json_size;
    out[size++] = '}';
    if (send_text(c->wsi, size) < 0)
        return -1;
    if (!lws_partial_buffered(c->wsi))
        connection_handed_over(c);
    return 0;
}

/* One frame at a time. lws calls only when the kernel has all of the one before. */
static int writeable(struct session *s)
{
    struct connection *c = &s->connection;
    int rc = 0;

    connection_handed_over(c);
    if (c->farewell != NULL)
        return close_with(c->wsi, c->farewell->code, c->farewell->reason);
    if (!s->ws.greeted)
        rc = send_hello(s);
    else if (connection_fetch(c))
        rc = send_message(c);
    if (rc == 0)
        connection_ready(c);
    return rc;
}

static const struct transport transport = {writeable, NULL};

/* ---- What the device says: {"ack":ID}, and of a message of another server {"ack":ID,"boot":"BOOT"} ---------- */

static int read_acknowledgement(json_t *frame, const char *boot, struct cursor *out)
{
    char text[CURSOR_SIZE];
    json_int_t id;

    if (json_unpack(frame, "{s:I, s?s!}", "ack", &id, "boot", &boot) < 0)
        return -EINVAL;
    int size = snprintf(text, sizeof text, "%s-%" JSON_INTEGER_FORMAT, boot, id);
    return size < (int)sizeof text ? cursor_read(text, "", out) : -EINVAL;
}

static int receive_frame(struct session *s)
{
    struct connection *c = &s->connection;
    struct cursor last;
    json_t *frame = json_loadb((const char *)s->ws.frame, s->ws.frame_size, JSON_REJECT_DUPLICATES, NULL);
    int rc = read_acknowledgement(frame, c->server->hub.boot, &last);

    json_decref(frame);
    if (rc < 0)
        return close_with(c->wsi, CLOSE_POLICY, "expected {\"ack\":ID} or {\"ack\":ID,\"boot\":\"BOOT\"}");
    if (c->keep != KEEP_UNTIL_ACKNOWLEDGED)
        return close_with(c->wsi, CLOSE_POLICY, "acknowledgements need ack=1 in the URL");
    connection_acknowledge(c, &last);
    return 0;
}

int ws_receive(struct session *s, const void *data, size_t size)
{
    struct lws *wsi = s->connection.wsi;

    if (s->connection.farewell != NULL)
        return 0;
    if (lws_frame_is_binary(wsi))
        return close_with(wsi, CLOSE_UNACCEPTABLE, "text frames only");
    if (lws_is_first_fragment(wsi))
        s->ws.frame_size = 0;
    if (size > FRAME_MAX - s->ws.frame_size)
        return close_with(wsi, CLOSE_TOO_LARGE, "too large");
    memcpy(s->ws.frame + s->ws.frame_size, data, size);
    s->ws.frame_size += size;
    return lws_is_final_fragment(wsi) ? receive_frame(s) : 0;
}
