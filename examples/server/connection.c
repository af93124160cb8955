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

/* ---- What was put back: told from what is new, and with its gaps, of which the mailbox knows no more --------- */

/* Room for one connection's messages more. */
static bool reserve(struct connection *c)
{
    struct device *d = c->device;
    size_t most = d->returned_count + c->count + 1;
    struct returned *returned = realloc(d->returned, most * sizeof *returned);

    if (returned != NULL)
        d->returned = returned;
    return returned != NULL;
}

/* The message was pulled again, unless it is a new one: then all that were put back have gone. Returns how many
 * were lost before it, and before those that went. */
static size_t take_returned(struct device *d, const struct cursor *cursor)
{
    size_t lost = 0;

    while (d->returned_count > 0) {
        struct returned *r = &d->returned[--d->returned_count];
        lost += r->lost;
        if (cursor_equal(&r->cursor, cursor))
            break;
    }
    return lost;
}

/* How many were put back behind this one; all, if it was not put back. */
static size_t returned_behind(const struct device *d, const struct cursor *cursor)
{
    for (size_t i = d->returned_count; i > 0; i--)
        if (cursor_equal(&d->returned[i - 1].cursor, cursor))
            return i - 1;
    return d->returned_count;
}

/* ---- Messages out of the mailbox, and back --------------------------------------------------------------- */

/* What comes from other servers is whatever somebody published. */
static bool is_message(struct connection *c, const push_msg *msg, struct cursor *cursor)
{
    if (message_cursor(msg, cursor) < 0)
        return false;
    return hub_of(c)->cluster == NULL ||
           (push_msg_size(msg) <= message_max_size(c->server->options.max_message) && message_is_whole(msg));
}

static bool pull(struct connection *c)
{
    struct device *d = c->device;
    struct cursor cursor;
    push_msg *msg;
    int rc;

    while ((rc = push_client_pull(d->client, &msg, 0)) >= 0) {
        d->lost += (size_t)rc;
        if (is_message(c, msg, &cursor)) {
            c->next = (struct sent){msg, cursor, d->lost + take_returned(d, &cursor)};
            d->lost = 0;
            return true;
        }
        d->lost += message_lost(msg);
        push_msg_unref(msg);
    }
    return false;
}

static void put_back(struct connection *c, struct sent *s)
{
    struct device *d = c->device;

    if (s->msg == NULL)
        return;
    struct returned *r = &d->returned[d->returned_count++];
    *r = (struct returned){s->cursor, s->lost};
    if (push_client_unpull(d->client, s->msg) < 0) {
        push_msg_unref(s->msg); /* there is no memory */
        r->lost++;
    }
    s->msg = NULL;
}

/* Lets the oldest of the window go. */
static void forget(struct connection *c, size_t n)
{
    for (size_t i = 0; i < n; i++)
        push_msg_unref(c->window[i].msg);
    c->count -= n;
    memmove(c->window, c->window + n, c->count * sizeof *c->window);
}

/* There is no memory to keep them. */
static void drop_all(struct connection *c)
{
    c->device->lost += c->count + (c->next.msg != NULL);
    push_msg_unref(c->next.msg);
    c->next.msg = NULL;
    forget(c, c->count);
}

static void put_all_back(struct connection *c)
{
    struct device *d = c->device;

    if (!reserve(c)) {
        drop_all(c);
        return;
    }
    put_back(c, &c->next);
    d->unacknowledged = c->count;
    while (c->count > 0)
        put_back(c, &c->window[--c->count]);
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

void connection_received(struct connection *c, const struct cursor *last)
{
    struct device *d = c->device;
    size_t behind = returned_behind(d, last);

    while (d->returned_count > behind && pull(c)) {
        if (d->returned_count < behind)
            return; /* that one was evicted, and this is the next to be sent */
        push_msg_unref(c->next.msg);
        c->next.msg = NULL;
        if (d->unacknowledged > 0)
            d->unacknowledged--;
    }
}

void connection_received_as_handed_over(struct connection *c)
{
    connection_received(c, &c->device->handed_over);
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
    c->device->handed_over = c->window[c->count - 1].cursor;
    if (c->keep == KEEP_UNTIL_HANDED_OVER)
        forget(c, c->count);
}

void connection_acknowledge(struct connection *c, const struct cursor *last)
{
    for (size_t i = 0; i < c->count; i++)
        if (cursor_equal(&c->window[i].cursor, last)) {
            forget(c, i + 1);
            connection_ready(c);
            return;
        }
}
