#include "hub.h"

#include "connection.h"

#include <errno.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>

enum { EVENTS_AT_ONCE = 256 };

/* ---- Users ----------------------------------------------------------------------------------------------- */

static int compare_names(const void *a, const void *b)
{
    return strcmp(a, b);
}

static struct user *find_user(struct hub *hub, const char *name)
{
    void *node = tfind(name, &hub->users, compare_names);
    return node == NULL ? NULL : *(struct user **)node;
}

static void drop_user(struct hub *hub, struct user *u)
{
    tdelete(u, &hub->users, compare_names);
    hub->user_count--;
    free(u);
}

static struct user *hold_user(struct hub *hub, const char *name)
{
    struct user *u = find_user(hub, name);
    if (u == NULL) {
        u = calloc(1, sizeof *u);
        if (u == NULL)
            return NULL;
        strcpy(u->name, name);
        if (tsearch(u, &hub->users, compare_names) == NULL) {
            free(u);
            return NULL;
        }
        hub->user_count++;
        if (hub->cluster != NULL && cluster_join(hub->cluster, name) < 0) {
            drop_user(hub, u);
            return NULL;
        }
    }
    u->devices++;
    return u;
}

static void release_user(struct hub *hub, struct user *u)
{
    if (--u->devices > 0)
        return;
    if (hub->cluster != NULL)
        cluster_leave(hub->cluster, u->name);
    drop_user(hub, u);
}

/* ---- Devices --------------------------------------------------------------------------------------------- */

static struct device *find_device(const char *user, const char *name)
{
    push_session *session = push_session_find(push_id_str(user));
    push_client *client = session == NULL ? NULL : push_client_find(session, push_id_str(name));
    struct device *d = push_client_data(client);

    push_client_unref(client);
    push_session_unref(session);
    return d;
}

static struct device *new_device(struct hub *hub, const char *user, const char *name)
{
    struct device *d = calloc(1, sizeof *d);
    if (d == NULL)
        return NULL;
    d->user = hold_user(hub, user);
    if (d->user == NULL) {
        free(d);
        return NULL;
    }
    strcpy(d->name, name);
    lws_dll2_add_tail(&d->in_all, &hub->devices);
    return d;
}

/* Lets go of what the device has in libpush, the mailbox itself excepted. */
static void close_handle(struct hub *hub, struct device *d)
{
    if (d->client == NULL)
        return;
    push_poller_remove(hub->poller, d->client);
    push_client_unref(d->client);
    d->client = NULL;
}

/* It has no connection. */
static void delete_device(struct hub *hub, struct device *d)
{
    if (d->client != NULL)
        push_client_delete(d->client);
    close_handle(hub, d);
    lws_dll2_remove(&d->in_all);
    lws_dll2_remove(&d->in_away);
    release_user(hub, d->user);
    free(d->returned);
    free(d);
}

static bool is_closed(struct device *d)
{
    push_client_stats stats;
    return push_client_stat(d->client, &stats) < 0 || stats.closed;
}

/* Something is in its mailbox, or it was closed: by its overflow policy. */
static void device_ready(struct hub *hub, struct device *d)
{
    if (d->connection == NULL)
        delete_device(hub, d); /* away, and paused: only a closed one is reported */
    else if (is_closed(d))
        connection_end(d->connection, &farewell_too_slow);
    else
        connection_ready(d->connection);
}

/* ---- The grace time -------------------------------------------------------------------------------------- */

static void wait_for_next(struct hub *hub);

static void grace_over(lws_sorted_usec_list_t *timer)
{
    struct hub *hub = lws_container_of(timer, struct hub, grace_timer);
    lws_dll2_t *first;

    while ((first = lws_dll2_get_head(&hub->away)) != NULL) {
        struct device *d = lws_container_of(first, struct device, in_away);
        if (d->away_until > lws_now_usecs())
            break;
        delete_device(hub, d);
    }
    wait_for_next(hub);
}

static void wait_for_next(struct hub *hub)
{
    lws_dll2_t *first = lws_dll2_get_head(&hub->away);
    if (first == NULL)
        return;
    struct device *d = lws_container_of(first, struct device, in_away);
    lws_usec_t left = d->away_until - lws_now_usecs();
    lws_sul_schedule(hub->lws, 0, &hub->grace_timer, grace_over, left > 0 ? left : 1);
}

/* ---- What connections call ------------------------------------------------------------------------------- */

int hub_admit(struct hub *hub, const char *user, const char *name)
{
    if (find_device(user, name) != NULL)
        return 0;
    struct user *u = find_user(hub, user);
    if (u == NULL)
        return hub->user_count < hub->options->max_users ? 0 : -EUSERS;
    return u->devices < hub->options->max_devices ? 0 : -EDQUOT;
}

static int open_mailbox(struct hub *hub, struct device *d)
{
    push_client_options options = {
        .max_buffer = hub->options->max_buffer,
        .max_bytes = hub->options->max_bytes,
        .overflow = hub->options->overflow,
        .duplicate = PUSH_TAKEOVER,
    };
    push_client *client = push_client_open(push_id_str(d->user->name), push_id_str(d->name), &options);
    if (client == NULL)
        return -errno;
    close_handle(hub, d); /* the mailbox is the new client's now */
    d->client = client;
    push_client_set_data(client, d);
    int rc = push_poller_add(hub->poller, client, d);
    if (rc < 0)
        push_client_delete(client); /* it would not be served */
    return rc;
}

int hub_attach(struct hub *hub, const char *user, const char *name, struct connection *c, bool *resumed)
{
    int rc = hub_admit(hub, user, name);
    if (rc < 0)
        return rc;
    struct device *d = find_device(user, name);
    if (d != NULL && d->connection != NULL)
        connection_end(d->connection, &farewell_taken_over); /* puts back what it has not delivered */
    *resumed = d != NULL;
    if (d == NULL)
        d = new_device(hub, user, name);
    if (d == NULL)
        return -ENOMEM;
    rc = open_mailbox(hub, d);
    if (rc < 0) {
        if (d->client == NULL || is_closed(d))
            delete_device(hub, d);
        return rc;
    }
    lws_dll2_remove(&d->in_away);
    d->connection = c;
    hub->connected++;
    c->device = d;
    return 0;
}

void hub_detach(struct hub *hub, struct device *d)
{
    d->connection = NULL;
    hub->connected--;
    if (is_closed(d)) {
        delete_device(hub, d);
        return;
    }
    push_poller_pause(hub->poller, d->client); /* it is reported still when it is closed */
    d->away_until = lws_now_usecs() + (lws_usec_t)hub->options->grace * LWS_US_PER_SEC;
    lws_dll2_add_tail(&d->in_away, &hub->away);
    if (hub->away.count == 1)
        wait_for_next(hub);
}

static void end_device(struct hub *hub, struct device *d)
{
    push_client_delete(d->client);
    if (d->connection != NULL)
        connection_end(d->connection, &farewell_deleted);
    else
        delete_device(hub, d);
}

size_t hub_delete(struct hub *hub, const char *user, const char *name)
{
    size_t count = 0;

    lws_start_foreach_dll_safe(struct lws_dll2 *, p, next, lws_dll2_get_head(&hub->devices))
    {
        struct device *d = lws_container_of(p, struct device, in_all);
        if (strcmp(d->user->name, user) == 0 && (name == NULL || strcmp(d->name, name) == 0)) {
            end_device(hub, d);
            count++;
        }
    }
    lws_end_foreach_dll_safe(p, next);
    return count;
}

void hub_end_all(struct hub *hub, const struct farewell *why)
{
    lws_start_foreach_dll_safe(struct lws_dll2 *, p, next, lws_dll2_get_head(&hub->devices))
    {
        struct device *d = lws_container_of(p, struct device, in_all);
        if (d->connection != NULL)
            connection_end(d->connection, why);
    }
    lws_end_foreach_dll_safe(p, next);
}

/* ---- Pushing --------------------------------------------------------------------------------------------- */

static void count_report(struct hub *hub, const push_report *report)
{
    atomic_fetch_add_explicit(&hub->delivered, report->delivered, memory_order_relaxed);
    atomic_fetch_add_explicit(&hub->dropped, report->dropped, memory_order_relaxed);
    atomic_fetch_add_explicit(&hub->disconnected, report->disconnected, memory_order_relaxed);
}

static int push_here(const char *user, push_msg *msg, const char *except, push_report *report)
{
    push_session *session = push_session_find(push_id_str(user));
    if (session == NULL)
        return errno == ENOENT ? 0 : -errno;
    int rc = push_session_send(session, msg, push_id_str(except), 0, report);
    push_session_unref(session);
    return rc == -EPIPE ? 0 : rc; /* the last device went meanwhile */
}

int hub_push(struct hub *hub, const char *user, const char *except, json_t *text, uint64_t *id,
             struct cluster_report *report)
{
    int rc = -ENOMEM;

    *report = (struct cluster_report){0};
    pthread_mutex_lock(&hub->push_lock);
    push_msg *msg = message_new(hub->last_id + 1, hub->boot, text);
    if (msg != NULL)
        rc = hub->cluster != NULL ? cluster_push(hub->cluster, user, msg, except, report)
                                  : push_here(user, msg, except, &report->local);
    if (rc >= 0)
        *id = ++hub->last_id;
    push_msg_unref(msg);
    pthread_mutex_unlock(&hub->push_lock);
    count_report(hub, &report->local);
    return rc < 0 ? rc : 0;
}

void hub_serve(struct hub *hub)
{
    push_event events[EVENTS_AT_ONCE];
    int n;

    /* It ends: what has messages is paused until they are written, what has none is not reported again. */
    while ((n = push_poller_wait(hub->poller, events, EVENTS_AT_ONCE, 0)) > 0)
        for (int i = 0; i < n; i++)
            device_ready(hub, events[i].data);
}

/* ---- The hub itself -------------------------------------------------------------------------------------- */

int hub_init(struct hub *hub, const struct options *options, struct lws_context *lws)
{
    *hub = (struct hub){.options = options, .lws = lws, .started = lws_now_usecs()};
    pthread_mutex_init(&hub->push_lock, NULL);
    if (lws_hex_random(lws, hub->boot, sizeof hub->boot) != 0)
        return -EIO;
    hub->poller = push_poller_new();
    return hub->poller == NULL ? -errno : 0;
}

void hub_destroy(struct hub *hub)
{
    lws_dll2_t *first;

    cluster_close(hub->cluster);
    hub->cluster = NULL;
    while ((first = lws_dll2_get_head(&hub->devices)) != NULL) {
        struct device *d = lws_container_of(first, struct device, in_all);
        if (d->connection != NULL)
            connection_close(d->connection); /* it may have gone with that */
        else
            delete_device(hub, d);
    }
    lws_sul_cancel(&hub->grace_timer);
    push_poller_free(hub->poller);
    pthread_mutex_destroy(&hub->push_lock);
}
