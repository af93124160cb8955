/* The public calls: arguments are checked, the rest is done elsewhere. */
#include "node.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "clock.h"

static bool valid_or_none(push_id id)
{
    return id.kind == 0 || push__nats_id_valid(id);
}

static void *fail(int rc)
{
    errno = -rc;
    return NULL;
}

/* ---- Connecting ------------------------------------------------------------------------------------------ */

static void on_sent(void *node)
{
    struct push_nats *n = node;
    if (n->settings.streamed)
        return; /* the stream answers by itself */
    pthread_mutex_lock(&n->lock);
    n->unconfirmed = true;
    pthread_cond_signal(&n->wake);
    pthread_mutex_unlock(&n->lock);
}

static void on_unpublished(void *node, push_id session, push_msg *msg, int error)
{
    struct push_nats *n = node;
    if (n->settings.on_unpublished)
        n->settings.on_unpublished(n->settings.arg, session, msg, error);
}

static int init_locks(struct push_nats *n)
{
    int rc = -pthread_mutex_init(&n->lock, NULL);
    if (rc != 0)
        return rc;
    rc = cond_init_monotonic(&n->wake);
    if (rc == 0) {
        rc = cond_init_monotonic(&n->changed);
        if (rc != 0)
            pthread_cond_destroy(&n->wake);
    }
    if (rc != 0)
        pthread_mutex_destroy(&n->lock);
    return rc;
}

static void destroy_locks(struct push_nats *n)
{
    pthread_cond_destroy(&n->changed);
    pthread_cond_destroy(&n->wake);
    pthread_mutex_destroy(&n->lock);
}

static int init_state(struct push_nats *n, const push_nats_options *options)
{
    TAILQ_INIT(&n->pending);
    TAILQ_INIT(&n->behind);
    TAILQ_INIT(&n->lingering);
    TAILQ_INIT(&n->subscribed);
    TAILQ_INIT(&n->retired);
    n->resume_until = NEVER;
    if (n->settings.position_file)
        n->position = n->position_seen = n->resume = push__nats_position_read(n->settings.position_file);
    push__nats_outbox_options(&n->outbox, options);
    n->outbox.sent = on_sent;
    n->outbox.unpublished = on_unpublished;
    n->outbox.arg = n;
    while (n->publisher == 0)
        if (getrandom(&n->publisher, sizeof n->publisher, 0) < 0)
            return -errno;
    return nats_Open(-1) == NATS_OK ? 0 : -ENOMEM;
}

push_nats *push_nats_connect(const char *urls, const push_nats_options *options)
{
    if (!nats_CheckCompatibility())
        return fail(-ENOTSUP);
    struct push_nats *n = calloc(1, sizeof *n);
    if (!n)
        return fail(-ENOMEM);
    int rc = push__nats_settings_copy(&n->settings, urls, options);
    if (rc == 0)
        rc = init_state(n, options);
    if (rc < 0)
        goto free_node;
    rc = init_locks(n);
    if (rc < 0)
        goto free_node;
    rc = push__nats_outbox_start(&n->outbox, n->publisher);
    if (rc < 0)
        goto free_locks;
    push__nats_link_enlist(n);
    rc = -pthread_create(&n->keeper, NULL, push__nats_keeper, n);
    if (rc == 0)
        return n;
    push__nats_link_delist(n);
    push__nats_outbox_stop(&n->outbox);
free_locks:
    destroy_locks(n);
free_node:
    push__nats_settings_free(&n->settings);
    free(n);
    return fail(rc);
}

int push_nats_wait(push_nats *n, int timeout_ms)
{
    if (!n)
        return -EINVAL;
    int64_t deadline = deadline_after(timeout_ms);
    int rc = 0;
    pthread_mutex_lock(&n->lock);
    while (!n->ready && rc == 0)
        if (timeout_ms == 0)
            rc = -EAGAIN;
        else if (!cond_wait_until(&n->changed, &n->lock, deadline) && !n->ready)
            rc = -ETIMEDOUT;
    pthread_mutex_unlock(&n->lock);
    return rc;
}

int push_nats_flush(push_nats *n, int timeout_ms)
{
    return n ? push__nats_outbox_wait(&n->outbox, timeout_ms) : -EINVAL;
}

int push_nats_close(push_nats *n, int timeout_ms)
{
    if (!n)
        return -EINVAL;
    int64_t deadline = deadline_after(timeout_ms);
    push__nats_outbox_close(&n->outbox);
    push__nats_outbox_wait(&n->outbox, timeout_ms);

    pthread_mutex_lock(&n->lock);
    n->stopping = true;
    n->close_by = deadline;
    pthread_cond_signal(&n->wake);
    pthread_mutex_unlock(&n->lock);
    pthread_join(n->keeper, NULL);

    push__nats_link_delist(n);
    size_t unpublished = push__nats_outbox_stop(&n->outbox);
    destroy_locks(n);
    push__nats_settings_free(&n->settings);
    free(n);
    return unpublished > INT_MAX ? INT_MAX : (int)unpublished;
}

/* ---- Joining --------------------------------------------------------------------------------------------- */

/* The keeper may not have seen yet that the connection is lost. */
static bool confirmed_locked(const struct interest *interest)
{
    return interest->state == CONFIRMED && interest->node->connected;
}

static bool confirmed_by(struct push_nats *n, struct interest *interest, int64_t deadline)
{
    pthread_mutex_lock(&n->lock);
    while (!confirmed_locked(interest) && interest->joins > 0 && deadline > clock_ms() &&
           cond_wait_until(&n->changed, &n->lock, deadline)) {
    }
    bool confirmed = confirmed_locked(interest);
    push__nats_interest_unref_locked(interest);
    pthread_mutex_unlock(&n->lock);
    return confirmed;
}

int push_nats_join(push_nats *n, push_id session, int timeout_ms)
{
    char subject[SUBJECT_SIZE];
    struct interest *interest;

    if (!n || !push__nats_id_valid(session))
        return -EINVAL;
    int64_t deadline = deadline_after(timeout_ms);
    int rc = push__nats_subject(n, session, subject);
    if (rc == 0)
        rc = push__nats_interest_join(n, session, subject, &interest);
    return rc < 0 ? rc : confirmed_by(n, interest, deadline);
}

int push_nats_leave(push_nats *n, push_id session)
{
    char subject[SUBJECT_SIZE];
    if (!n || !push__nats_id_valid(session))
        return -EINVAL;
    int rc = push__nats_subject(n, session, subject);
    return rc < 0 ? rc : push__nats_interest_leave(n, subject);
}

/* A client of this process, or NULL. */
static push_client *find_client(push_id session, push_id client)
{
    push_session *s = push_session_find(session);
    push_client *c = s ? push_client_find(s, client) : NULL;
    push_session_unref(s);
    return c;
}

push_client *push_nats_client_open(push_nats *n, push_id session, push_id client,
                                   const push_client_options *options, int timeout_ms)
{
    if (!n)
        return fail(-EINVAL);
    int64_t deadline = deadline_after(timeout_ms);
    push_client *there = find_client(session, client);
    push_client *c = push_client_open(session, client, options);
    int rc = c ? push_nats_join(n, session, timeout_until(deadline)) : -errno;
    if (rc < 0 && c) {
        if (c != there) /* not one that is shared */
            push_client_delete(c);
        push_client_unref(c);
    }
    push_client_unref(there);
    return rc < 0 ? fail(rc) : c;
}

int push_nats_client_close(push_nats *n, push_client *c)
{
    if (!n || !c)
        return -EINVAL;
    push_client_delete(c);
    int rc = push_nats_leave(n, push_session_id(push_client_session(c)));
    push_client_unref(c);
    return rc;
}

/* ---- Pushing --------------------------------------------------------------------------------------------- */

/* Room in the outbox is asked for without waiting first, so that neither the clients of this node wait for the
 * others nor the others for them. */
static int push_everywhere(push_nats *n, push_session *here, struct letter *letter, push_msg *msg, push_id except,
                           int64_t deadline, push_nats_report *report)
{
    int rc = push__nats_outbox_put(&n->outbox, letter, 0);
    report->queued = rc == 0;
    if (rc < 0 && rc != -ETIMEDOUT)
        return rc;

    int taken = here ? push_session_send(here, msg, except, timeout_until(deadline), &report->local) : 0;
    if (!report->queued)
        report->queued = push__nats_outbox_put(&n->outbox, letter, deadline) == 0;
    if (!report->queued)
        push__nats_outbox_refuse(&n->outbox);
    return taken == -EPIPE ? 0 : taken; /* the session was deleted: there is nobody here */
}

int push_nats_push(push_nats *n, push_id session, push_msg *msg, push_id except, int timeout_ms,
                   push_nats_report *report)
{
    char subject[SUBJECT_SIZE];
    push_nats_report unused;

    if (!report)
        report = &unused;
    *report = (push_nats_report){0};
    if (!n || !msg || !push__nats_id_valid(session) || !valid_or_none(except))
        return -EINVAL;
    int64_t deadline = deadline_after(timeout_ms);
    int rc = push__nats_subject(n, session, subject);
    if (rc < 0)
        return rc;
    struct letter *letter = push__nats_letter_new(session, subject, msg, except);
    if (!letter)
        return -ENOMEM;

    push_session *here = push_session_find(session);
    rc = push_everywhere(n, here, letter, msg, except, deadline, report);
    push_session_unref(here);
    if (!report->queued)
        push__nats_letter_free(letter);
    if (rc < 0 && !report->queued)
        *report = (push_nats_report){0};
    return rc;
}

/* ---- Introspection --------------------------------------------------------------------------------------- */

int push_nats_stat(push_nats *n, push_nats_stats *out)
{
    if (!n || !out)
        return -EINVAL;
    pthread_mutex_lock(&n->lock);
    *out = n->stats;
    out->connected = n->connected;
    out->ready = n->ready;
    out->sessions = n->interest_count;
    out->subscriptions = n->connected ? n->confirmed_count : 0; /* the keeper is about to count anew */
    pthread_mutex_unlock(&n->lock);

    pthread_mutex_lock(&n->outbox.lock);
    out->published = n->outbox.published;
    out->resent = n->outbox.resent;
    out->unpublished = n->outbox.unpublished_count;
    out->queued = (size_t)(n->outbox.tail - n->outbox.head);
    out->queued_bytes = n->outbox.bytes;
    pthread_mutex_unlock(&n->outbox.lock);
    return 0;
}
