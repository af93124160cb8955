/* GET /events: a device on a stream of Server-Sent Events. */
#include "answer.h"
#include "server.h"
#include "transports.h"

#include <errno.h>
#include <string.h>

enum { RETRY_MS = 1000 };

static const struct transport transport;

static int send_text(struct lws *wsi, size_t size)
{
    return lws_write(wsi, server_buffer(server_of(wsi)), size, LWS_WRITE_HTTP) < (int)size ? -1 : 0;
}

static const char last_event_id[] = "last-event-id:"; /* as lws wants the names of headers it does not know */

/* The browser names the last message that it got when it comes again by itself. */
static void resume(struct connection *c)
{
    char text[CURSOR_SIZE];
    struct cursor last;

    if (lws_hdr_custom_copy(c->wsi, text, sizeof text, last_event_id, sizeof last_event_id - 1) > 0 &&
        cursor_read(text, c->server->hub.boot, &last) == 0)
        connection_received(c, &last);
    else
        connection_received_as_handed_over(c);
}

int sse_begin(struct session *s)
{
    struct connection *c = &s->connection;
    char user[NAME_SIZE], device[NAME_SIZE];
    const struct refusal *refusal = request_user(c->wsi, user);

    if (refusal == NULL)
        refusal = request_device(c->wsi, device);
    if (refusal == NULL)
        refusal = request_refused(
            connection_open(c, user, device, KEEP_WHILE_WINDOW_ALLOWS, c->server->options.window, NULL));
    if (refusal != NULL)
        return http_refuse(c->wsi, refusal);
    resume(c);
    s->transport = &transport;
    if (http_headers(c->wsi, HTTP_STATUS_OK, "text/event-stream", LWS_ILLEGAL_HTTP_CONTENT_LEN) < 0)
        return -1;
    lws_http_headers_detach(c->wsi);
    lws_set_timeout(c->wsi, NO_PENDING_TIMEOUT, 0);
    lws_set_timer_usecs(c->wsi, (lws_usec_t)c->server->options.ping * LWS_US_PER_SEC);
    lws_callback_on_writable(c->wsi);
    return 0;
}

static int send_line(struct connection *c, const char *line)
{
    size_t size = strlen(line);
    memcpy(server_buffer(c->server), line, size);
    return send_text(c->wsi, size);
}

static int send_farewell(struct connection *c)
{
    char line[256];
    lws_snprintf(line, sizeof line, "event: bye\ndata: {\"reason\":\"%s\"}\n\n", c->farewell->reason);
    send_line(c, line);
    return -1;
}

static int send_message(struct connection *c)
{
    const struct sent *sent = connection_take(c);
    char *out = (char *)server_buffer(c->server);
    size_t size = 0, json_size;
    const char *json = message_json(sent->msg, &json_size);
    char cursor[CURSOR_SIZE];

    if (sent->lost > 0)
        size =
            (size_t)lws_snprintf(out, c->server->buffer_size, "event: lost\ndata: {\"lost\":%zu}\n\n", sent->lost);
    cursor_write(cursor, &sent->cursor);
    size += (size_t)lws_snprintf(out + size, c->server->buffer_size - size, "id: %s\ndata: ", cursor);
    memcpy(out + size, json, json_size);
    size += json_size;
    out[size++] = '\n';
    out[size++] = '\n';
    if (send_text(c->wsi, size) < 0)
        return -1;
    if (!lws_partial_buffered(c->wsi))
        connection_handed_over(c);
    return 0;
}

static int writeable(struct session *s)
{
    struct connection *c = &s->connection;
    char line[32];
    int rc = 0;

    connection_handed_over(c);
    if (c->farewell != NULL)
        return send_farewell(c);
    if (!s->sse.begun) {
        lws_snprintf(line, sizeof line, "retry: %d\n\n", RETRY_MS);
        rc = send_line(c, line);
        s->sse.begun = true;
    } else if (connection_fetch(c)) {
        rc = send_message(c);
    } else if (s->sse.ping_due) {
        rc = send_line(c, ": ping\n\n");
    }
    s->sse.ping_due = false;
    if (rc == 0)
        connection_ready(c);
    return rc;
}

static int timer(struct session *s)
{
    s->sse.ping_due = true;
    lws_set_timer_usecs(s->connection.wsi, (lws_usec_t)s->connection.server->options.ping * LWS_US_PER_SEC);
    lws_callback_on_writable(s->connection.wsi);
    return 0;
}

static const struct transport transport = {writeable, timer};
