/* GET /poll: a device that asks, and waits a while for an answer. */
#include "answer.h"
#include "server.h"
#include "transports.h"

#include <errno.h>
#include <string.h>

enum { WAIT_DEFAULT = 30, WAIT_MAX = 60 };

static const struct transport transport;

/* ---- Beginning ------------------------------------------------------------------------------------------- */

struct question {
    char user[NAME_SIZE], device[NAME_SIZE];
    uint64_t wait, max;
    bool acks; /* it acknowledges, and `last` is what it has received */
    struct cursor last;
};

static const struct refusal *read_acknowledgement(struct connection *c, struct question *q)
{
    static const struct refusal bad_ack = {400, "ack is the id of a message, or the cursor that came with it"};
    char text[CURSOR_SIZE];
    int n = request_arg(c->wsi, "ack", text, sizeof text);
    if (n == -ENOENT)
        return NULL;
    q->acks = true;
    return n < 0 || cursor_read(text, c->server->hub.boot, &q->last) < 0 ? &bad_ack : NULL;
}

static const struct refusal *read_question(struct connection *c, struct question *q)
{
    *q = (struct question){.wait = WAIT_DEFAULT, .max = c->server->options.window};
    const struct refusal *refusal = request_user(c->wsi, q->user);

    if (refusal == NULL)
        refusal = request_device(c->wsi, q->device);
    if (refusal == NULL)
        refusal = request_number(c->wsi, "wait", 0, WAIT_MAX, &q->wait);
    if (refusal == NULL)
        refusal = request_number(c->wsi, "max", 1, c->server->options.window, &q->max);
    if (refusal == NULL)
        refusal = read_acknowledgement(c, q);
    return refusal;
}

/* Its window is as large as the answer may be: what it acknowledges is put back when the answer is out, and dropped
 * by the acknowledgement in the next question. */
static const struct refusal *open_connection(struct connection *c, const struct question *q)
{
    enum keep keep = q->acks ? KEEP_UNTIL_ACKNOWLEDGED : KEEP_UNTIL_HANDED_OVER;
    int rc = connection_open(c, q->user, q->device, keep, q->max, NULL);
    if (rc == 0 && q->acks)
        connection_received(c, &q->last);
    else if (rc == 0)
        connection_received_as_handed_over(c);
    return request_refused(rc);
}

/* It has waited as long as it wants to. */
static int timer(struct session *s)
{
    s->poll.waited = true;
    lws_callback_on_writable(s->connection.wsi);
    return 0;
}

int poll_begin(struct session *s)
{
    struct connection *c = &s->connection;
    struct question q;
    const struct refusal *refusal = read_question(c, &q);

    if (refusal == NULL)
        refusal = open_connection(c, &q);
    if (refusal != NULL)
        return http_refuse(c->wsi, refusal);
    s->transport = &transport;
    lws_set_timeout(c->wsi, NO_PENDING_TIMEOUT, 0);
    if (q.wait > 0)
        lws_set_timer_usecs(c->wsi, (lws_usec_t)q.wait * LWS_US_PER_SEC);
    else
        timer(s);
    connection_ready(c);
    return 0;
}

/* ---- Answering: the messages one by one, so that the answer needs no memory of its own ------------------- */

static const char tail[] = "]}\n";

static size_t write_head(struct connection *c, char *out, size_t size)
{
    char cursor[CURSOR_SIZE];

    cursor_write(cursor, &c->window[c->count - 1].cursor);
    return (size_t)lws_snprintf(out, size, "{\"boot\":\"%s\",\"ack\":\"%s\",\"lost\":%zu,\"messages\":[",
                                c->server->hub.boot, cursor, c->window[0].lost);
}

/* Takes what there is, up to the next gap, and writes the headers of the answer. */
static int begin_answer(struct session *s)
{
    struct connection *c = &s->connection;
    size_t size, json_size;

    do
        connection_take(c);
    while (c->count < c->capacity && connection_fetch(c) && c->next.lost == 0);
    size = write_head(c, (char *)server_buffer(c->server), c->server->buffer_size) + c->count - 1 + sizeof tail - 1;
    for (size_t i = 0; i < c->count; i++) {
        message_json(c->window[i].msg, &json_size);
        size += json_size;
    }
    s->poll.answering = true;
    lws_callback_on_writable(c->wsi);
    return http_headers(c->wsi, HTTP_STATUS_OK, "application/json", size);
}

static int end_answer(struct connection *c)
{
    connection_handed_over(c);
    connection_close(c);
    return lws_http_transaction_completed(c->wsi) ? -1 : 0;
}

static int send_next(struct session *s)
{
    struct connection *c = &s->connection;
    char *out = (char *)server_buffer(c->server);
    size_t size = 0, json_size;
    bool last = s->poll.sent + 1 == c->count;
    const char *json = message_json(c->window[s->poll.sent].msg, &json_size);

    if (s->poll.sent == 0)
        size = write_head(c, out, c->server->buffer_size);
    else
        out[size++] = ',';
    memcpy(out + size, json, json_size);
    size += json_size;
    if (last) {
        memcpy(out + size, tail, sizeof tail - 1);
        size += sizeof tail - 1;
    }
    s->poll.sent++;
    if (lws_write(c->wsi, (unsigned char *)out, size, last ? LWS_WRITE_HTTP_FINAL : LWS_WRITE_HTTP) < (int)size)
        return -1;
    if (last && !lws_partial_buffered(c->wsi))
        return end_answer(c);
    lws_callback_on_writable(c->wsi);
    return 0;
}

static int answer_nothing(struct connection *c)
{
    json_t *body = json_pack("{s:s, s:i, s:[]}", "boot", c->server->hub.boot, "lost", 0, "messages");
    connection_close(c);
    return http_reply(c->wsi, HTTP_STATUS_OK, body);
}

static int writeable(struct session *s)
{
    struct connection *c = &s->connection;

    if (s->poll.answering) {
        if (c->farewell != NULL)
            return -1; /* in the middle of an answer there is no other */
        return s->poll.sent < c->count ? send_next(s) : end_answer(c);
    }
    if (c->farewell != NULL)
        return http_refuse(c->wsi, &(struct refusal){c->farewell->status, c->farewell->reason});
    if (connection_fetch(c))
        return begin_answer(s);
    return s->poll.waited ? answer_nothing(c) : 0;
}

static const struct transport transport = {writeable, timer};
