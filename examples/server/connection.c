#include "connection.h"

#include "server.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

const struct farewell farewell_taken_over = {4000, 409, "taken over by a newer connection of this device"};
const struct farewell farewell_too_slow = {4001, 410, "too slow: the mailbox was full"};
const struct farewell farewell_deleted = {4002, 410, "deleted"};
const struct farewell farewell_going_away = {1001, 503, "the server is going away"};

enum { FAREWELL_SECONDS = 5 }; /* for a socket that cannot be written to */

static struct hub *hub_of(struct connection *c)
{
    return &c->server->hub;
}

/* ---- Gaps that were told of, but perhaps not received ---------------------------------------------------- */

/* There is room for all: no more messages than the window and the next have been put back and not pulled again. */
static void keep_gap(struct connection *c, const struct sent *s)
{
    struct device *d = c->device;

    if (s->lost == 0)
        return;
    if (d->gaps == NULL)
        d->gaps = calloc(c->server->options.window + 1, sizeof *d->gaps);
    if (d->gaps != NULL)
        d->gaps[d->gap_count++] = (struct gap){message_id(s->msg), s->lost};
}

/* What was lost before the message, or before ones before it that have gone meanwhile. */
static size_t take_gaps(struct device *d, uint64_t id)
{
    size_t lost = 0, left = 0;

    for (size_t i = 0; i < d->gap_count; i++) {
        if (d->gaps[i].id <= id)
            lost += d->gaps[i].lost;
        else
            d->gaps[left++] = d->gaps[i];
    }
    d->gap_count = left;
    return lost;
}

/* ---- Messages out of the mailbox, and back --------------------------------------------------------------- */

static bool pull(struct connection *c)
{
    push_msg *msg;
    int rc = push_client_pull(c->device->client, &msg, 0);
    if (rc < 0)
        return false;
    c->next = (struct sent){msg, (size_t)rc + take_gaps(c->device, message_id(msg))};
    return true;
}

static void put_back(struct connection *c, struct sent *s)
{
    if (s->msg == NULL)
        return;
    keep_gap(c, s);
    if (push_client_unpull(c->device->client, s->msg) < 0)
        push_msg_unref(s->msg); /* there is no memory */
    s->msg = NULL;
}

static void put_all_back(struct connection *c)
{
    put_back(c, &c->next);
    c->device->returned = c->count;
    while (c->count > 0)
        put_back(c, &c->window[--c->count]);
}

/* Lets the oldest of the window go. */
static void forget(struct connection *c, size_t n)
{
    for (size_t i = 0; i < n; i++)
        push_msg_unref(c->window[i].msg);
    c->count -= n;
    memmove(c->window, c->window + n, c->count * sizeof *c->window);
}

/* ---- The connection -------------------------------------------------------------------------------------- */

int connection_open(struct connection *c, const char *user, const char *name, enum keep keep, size_t capacity,
                    bool *resumed)
{
    bool was_there;
    int rc = hub_attach(hub_of(c), user, name, c, &was_there);
    if (rc < 0)
        return rc;
    c->keep = keep;
    c->capacity = capacity;
    c->window = calloc(capacity, sizeof *c->window);
    if (c->window == NULL) {
        connection_close(c);
        return -ENOMEM;
    }
    if (resumed != NULL)
        *resumed = was_there;
    return 0;
}

void connection_received(struct connection *c, uint64_t id)
{
    struct device *d = c->device;

    while (pull(c)) {
        if (message_id(c->next.msg) > id)
            return; /* the next to be sent */
        push_msg_unref(c->next.msg);
        c->next.msg = NULL;
        if (d->returned > 0)
            d->returned--;
    }
}

void connection_received_as_handed_over(struct connection *c)
{
    connection_received(c, c->device->handed_over);
}

void connection_close(struct connection *c)
{
    struct device *d = c->device;
    if (d == NULL)
        return;
    put_all_back(c);
    c->device = NULL;
    free(c->window);
    c->window = NULL;
    hub_detach(hub_of(c), d);
}

void connection_end(struct connection *c, const struct farewell *why)
{
    connection_close(c);
    c->farewell = why;
    c->server->ending++;
    lws_set_timeout(c->wsi, PENDING_TIMEOUT_CLOSE_SEND, FAREWELL_SECONDS);
    lws_callback_on_writable(c->wsi);
}

void connection_ended(struct connection *c)
{
    if (c->farewell == NULL)
        return;
    c->farewell = NULL;
    c->server->ending--;
    if (server_is_stopping(c->server))
        lws_cancel_service(c->server->lws); /* lws may be about to wait */
}

bool connection_fetch(struct connection *c)
{
    if (c->device == NULL)
        return false;
    push_poller *poller = hub_of(c)->poller;
    if (c->next.msg != NULL) {
        push_poller_pause(poller, c->device->client);
        return true;
    }
    bool full = c->keep == KEEP_UNTIL_ACKNOWLEDGED && c->count == c->capacity;
    bool some = !full && pull(c);
    if (full || some)
        push_poller_pause(poller, c->device->client);
    else
        push_poller_resume(poller, c->device->client);
    return some;
}

void connection_ready(struct connection *c)
{
    if (connection_fetch(c))
        lws_callback_on_writable(c->wsi);
}

const struct sent *connection_take(struct connection *c)
{
    if (c->count == c->capacity)
        forget(c, 1);
    struct sent *s = &c->window[c->count++];
    *s = c->next;
    c->next.msg = NULL;
    return s;
}

void connection_handed_over(struct connection *c)
{
    if (c->device == NULL || c->count == 0)
        return;
    c->device->handed_over = message_id(c->window[c->count - 1].msg);
    if (c->keep == KEEP_UNTIL_HANDED_OVER)
        forget(c, c->count);
}

void connection_acknowledge(struct connection *c, uint64_t id)
{
    for (size_t i = 0; i < c->count; i++)
        if (message_id(c->window[i].msg) == id) {
            forget(c, i + 1);
            connection_ready(c);
            return;
        }
}
