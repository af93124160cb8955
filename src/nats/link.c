/*
 * The connection. libnats does not reconnect by itself here: it would keep what is published meanwhile in a buffer
 * of its own, out of the outbox's order, and forget it silently. A connection that is lost is closed, and the
 * keeper makes a new one.
 */
#include "node.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CONNECT_MS 1000
#define WRITE_MS 2000
#define PING_MS 2000
#define PINGS_OUT 2    /* a server that answers none of these is gone */
#define ANSWER_MS 1000 /* the longest wait for an answer to a ping of ours */

/* ---- What libnats tells us ------------------------------------------------------------------------------- */

void push__nats_note_error(struct push_nats *n, natsStatus status, const char *text)
{
    pthread_mutex_lock(&n->lock);
    snprintf(n->stats.error, sizeof n->stats.error, "%s",
             text && text[0] != '\0' ? text : natsStatus_GetText(status));
    pthread_mutex_unlock(&n->lock);
}

static void on_closed(natsConnection *connection, void *closure)
{
    struct push_nats *n = closure;
    const char *text = NULL;
    if (natsConnection_GetLastError(connection, &text) != NATS_OK && text && text[0] != '\0')
        push__nats_note_error(n, NATS_CONNECTION_CLOSED, text);

    pthread_mutex_lock(&n->lock);
    if (connection == n->connection) {
        n->lost_connection = true;
        n->connected = n->ready = false;
        pthread_cond_signal(&n->wake);
    }
    n->connections_alive--;
    pthread_cond_broadcast(&n->changed);
    pthread_mutex_unlock(&n->lock);
}

/* libnats tells of errors after on_closed, too: when a close cuts a drain short, the drain fails. Nothing says when
 * the last one was, so on_error finds its node here, or does nothing. */
static pthread_mutex_t nodes_lock = PTHREAD_MUTEX_INITIALIZER;
static LIST_HEAD(, push_nats) nodes = LIST_HEAD_INITIALIZER(nodes);

void push__nats_link_enlist(struct push_nats *n)
{
    pthread_mutex_lock(&nodes_lock);
    LIST_INSERT_HEAD(&nodes, n, enlisted);
    pthread_mutex_unlock(&nodes_lock);
}

void push__nats_link_delist(struct push_nats *n)
{
    pthread_mutex_lock(&nodes_lock);
    LIST_REMOVE(n, enlisted);
    pthread_mutex_unlock(&nodes_lock);
}

static bool is_enlisted_locked(const struct push_nats *n)
{
    const struct push_nats *other;
    LIST_FOREACH(other, &nodes, enlisted)
    if (other == n)
        return true;
    return false;
}

static void note_error(struct push_nats *n, natsConnection *connection, natsStatus error)
{
    const char *text = NULL;

    if (error == NATS_SLOW_CONSUMER) {
        pthread_mutex_lock(&n->lock);
        n->slow = true;
        pthread_cond_signal(&n->wake);
        pthread_mutex_unlock(&n->lock);
        return;
    }
    natsConnection_GetLastError(connection, &text);
    push__nats_note_error(n, error, text);
    if (error == NATS_NOT_PERMITTED && text && strstr(text, "Publish"))
        push__nats_outbox_refuse(&n->outbox);
}

static void on_error(natsConnection *connection, natsSubscription *subscription, natsStatus error, void *closure)
{
    (void)subscription;
    pthread_mutex_lock(&nodes_lock);
    if (is_enlisted_locked(closure))
        note_error(closure, connection, error);
    pthread_mutex_unlock(&nodes_lock);
}

/* ---- Connecting ------------------------------------------------------------------------------------------ */

static natsStatus set_servers(natsOptions *options, const char *urls)
{
    const char *servers[64];
    int count = 0;
    char *list = strdup(urls), *rest = NULL;
    if (!list)
        return NATS_NO_MEMORY;
    for (char *url = strtok_r(list, ", ", &rest); url && count < 64; url = strtok_r(NULL, ", ", &rest))
        servers[count++] = url;
    natsStatus status = natsOptions_SetServers(options, servers, count);
    free(list);
    return status;
}

static natsStatus set_identity(natsOptions *options, const struct settings *settings)
{
    natsStatus status = NATS_OK;
    if (settings->name)
        status = natsOptions_SetName(options, settings->name);
    if (status == NATS_OK && settings->user)
        status = natsOptions_SetUserInfo(options, settings->user, settings->password ? settings->password : "");
    if (status == NATS_OK && settings->token)
        status = natsOptions_SetToken(options, settings->token);
    if (status == NATS_OK && settings->credentials_file)
        status = natsOptions_SetUserCredentialsFromFiles(options, settings->credentials_file, NULL);
    return status;
}

static natsStatus set_encryption(natsOptions *options, const struct settings *settings)
{
    natsStatus status = NATS_OK;
    if (strstr(settings->urls, "tls://"))
        status = natsOptions_SetSecure(options, true);
    if (status == NATS_OK && settings->ca_file)
        status = natsOptions_LoadCATrustedCertificates(options, settings->ca_file);
    if (status == NATS_OK && settings->certificate_file)
        status = natsOptions_LoadCertificatesChain(options, settings->certificate_file, settings->key_file);
    return status;
}

static natsStatus set_behaviour(natsOptions *options, struct push_nats *n)
{
    natsStatus status = natsOptions_SetAllowReconnect(options, false);
    if (status == NATS_OK)
        status = natsOptions_SetNoEcho(options, true);
    if (status == NATS_OK)
        status = natsOptions_UseGlobalMessageDelivery(options, true); /* else, a thread for each session */
    if (status == NATS_OK)
        status = natsOptions_SetSendAsap(options, true);
    if (status == NATS_OK)
        status = natsOptions_SetTimeout(options, CONNECT_MS);
    if (status == NATS_OK)
        status = natsOptions_SetWriteDeadline(options, WRITE_MS);
    if (status == NATS_OK)
        status = natsOptions_SetPingInterval(options, PING_MS);
    if (status == NATS_OK)
        status = natsOptions_SetMaxPingsOut(options, PINGS_OUT);
    if (status == NATS_OK && n->settings.max_pending > 0)
        status = natsOptions_SetMaxPendingMsgs(options, n->settings.max_pending);
    if (status == NATS_OK)
        status = natsOptions_SetClosedCB(options, on_closed, n);
    if (status == NATS_OK)
        status = natsOptions_SetErrorHandler(options, on_error, n);
    return status;
}

static natsStatus make_options(natsOptions **out, struct push_nats *n)
{
    natsOptions *options = NULL;
    natsStatus status = natsOptions_Create(&options);
    if (status == NATS_OK)
        status = set_servers(options, n->settings.urls);
    if (status == NATS_OK)
        status = set_identity(options, &n->settings);
    if (status == NATS_OK)
        status = set_encryption(options, &n->settings);
    if (status == NATS_OK)
        status = set_behaviour(options, n);
    *out = options;
    return status;
}

static natsStatus connect_to_server(struct push_nats *n)
{
    natsOptions *options = NULL;
    natsConnection *connection = NULL;
    natsStatus status = make_options(&options, n);
    if (status == NATS_OK)
        status = natsConnection_Connect(&connection, options);
    natsOptions_Destroy(options);
    if (status != NATS_OK)
        return status;

    pthread_mutex_lock(&n->lock);
    n->connection = connection;
    n->connections_alive++;
    n->connected = !natsConnection_IsClosed(connection);
    n->lost_connection = !n->connected; /* it may be gone again, and on_closed have come too early to know it */
    pthread_mutex_unlock(&n->lock);
    return NATS_OK;
}

/* The stream, and the subject where its acknowledgements arrive. */
static natsStatus attach_stream(struct push_nats *n, char *reply, size_t size)
{
    natsInbox *inbox = NULL;
    char subject[80];

    natsStatus status = natsConnection_JetStream(&n->stream, n->connection, NULL);
    if (status == NATS_OK)
        status = push__nats_stream_ensure(n);
    if (status == NATS_OK)
        status = natsInbox_Create(&inbox);
    if (status == NATS_OK) {
        snprintf(reply, size, "%s.", inbox);
        snprintf(subject, sizeof subject, "%s.*", inbox);
        status = natsConnection_Subscribe(&n->acknowledgements, n->connection, subject,
                                          push__nats_on_acknowledgement, n);
    }
    if (status == NATS_OK)
        status = natsSubscription_SetPendingLimits(n->acknowledgements, -1, -1); /* the outbox bounds them */
    natsInbox_Destroy(inbox);
    return status;
}

natsStatus push__nats_link_connect(struct push_nats *n)
{
    char reply[sizeof n->outbox.reply] = "";
    natsStatus status = connect_to_server(n);
    if (status == NATS_OK && n->settings.streamed)
        status = attach_stream(n, reply, sizeof reply);
    if (status != NATS_OK) {
        push__nats_note_error(n, status, nats_GetLastError(NULL));
        push__nats_link_close(n);
        return status;
    }
    push__nats_outbox_online(&n->outbox, n->connection, reply);
    return NATS_OK;
}

natsStatus push__nats_link_ping(struct push_nats *n)
{
    return natsConnection_FlushTimeout(n->connection, ANSWER_MS);
}

void push__nats_link_close(struct push_nats *n)
{
    natsConnection *connection = n->connection;

    push__nats_outbox_offline(&n->outbox);
    pthread_mutex_lock(&n->lock);
    n->connection = NULL;
    n->connected = n->ready = n->lost_connection = false;
    pthread_mutex_unlock(&n->lock);

    if (connection)
        natsConnection_Close(connection);
    natsSubscription_Destroy(n->acknowledgements);
    jsCtx_Destroy(n->stream);
    natsConnection_Destroy(connection);
    n->acknowledgements = NULL;
    n->stream = NULL;
}
