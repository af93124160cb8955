/* What the keeper does with subscriptions: each joined session has one, and one that is left is given back. */
#include "node.h"

#include <stdio.h>
#include <string.h>

#include "clock.h"

#define RETIRE_MS 20 /* so long, unsubscribed sessions gather, for one answer */
#define SLOW_MS 1000 /* between two counts of what libnats dropped */
#define BATCH 512    /* subscriptions confirmed by one answer */

/* ---- One of them ----------------------------------------------------------------------------------------- */

/* The last callback of a subscription has returned. */
static void on_complete(void *closure)
{
    struct interest *interest = closure;
    struct push_nats *n = interest->node;

    pthread_mutex_lock(&n->lock);
    interest->alive = false;
    n->subscriptions_alive--;
    push__nats_interest_unref_locked(interest);
    pthread_cond_signal(&n->wake);
    pthread_cond_broadcast(&n->changed);
    pthread_mutex_unlock(&n->lock);
}

/* push.v1.CLUSTER.TOKEN, or, of what the stream hands on, push.v1.CLUSTER.live.TOKEN. */
static void subscribed_subject(const struct interest *interest, char subject[SUBJECT_SIZE])
{
    const struct push_nats *n = interest->node;
    const char *token = strrchr(interest->subject, '.') + 1;
    snprintf(subject, SUBJECT_SIZE, SUBJECT_PREFIX "%s.%s%s", n->settings.cluster,
             n->settings.streamed ? "live." : "", token);
}

static natsStatus subscribe(struct interest *interest)
{
    struct push_nats *n = interest->node;
    natsSubscription *subscription = NULL;
    char subject[SUBJECT_SIZE];

    if (interest->subscription)
        return NATS_OK; /* and not confirmed yet */
    subscribed_subject(interest, subject);
    pthread_mutex_lock(&n->lock);
    interest->alive = true;
    interest->references++;
    interest->seen = 0;
    n->subscriptions_alive++;
    pthread_mutex_unlock(&n->lock);

    natsStatus status =
        natsConnection_Subscribe(&subscription, n->connection, subject, push__nats_on_message, interest);
    if (status != NATS_OK) {
        on_complete(interest);
        return status;
    }
    status = natsSubscription_SetOnCompleteCB(subscription, on_complete, interest);
    if (status != NATS_OK) {
        /* Closed already, with the connection. Whether a callback runs, nobody can tell: it must find the interest.
         */
        pthread_mutex_lock(&n->lock);
        interest->references++;
        pthread_mutex_unlock(&n->lock);
        on_complete(interest);
        natsSubscription_Destroy(subscription);
        return status;
    }
    interest->dropped = 0;
    interest->subscription = subscription;
    TAILQ_INSERT_TAIL(&n->subscribed, interest, subscribed);
    return NATS_OK;
}

/* What libnats dropped of it since the last time. */
static uint64_t newly_dropped(struct interest *interest)
{
    int64_t dropped = 0;
    if (natsSubscription_GetDropped(interest->subscription, &dropped) != NATS_OK ||
        (uint64_t)dropped <= interest->dropped)
        return 0;
    uint64_t newly = (uint64_t)dropped - interest->dropped;
    interest->dropped = (uint64_t)dropped;
    return newly;
}

static void unsubscribe(struct interest *interest)
{
    struct push_nats *n = interest->node;
    uint64_t dropped = newly_dropped(interest);
    natsSubscription_Unsubscribe(interest->subscription);
    TAILQ_REMOVE(&n->subscribed, interest, subscribed);
    pthread_mutex_lock(&n->lock);
    n->stats.dropped += dropped;
    pthread_mutex_unlock(&n->lock);
}

static void destroy_subscription(struct interest *interest)
{
    natsSubscription_Destroy(interest->subscription);
    interest->subscription = NULL;
}

/* ---- Those that are to be made --------------------------------------------------------------------------- */

/* The next ones to subscribe, with a reference each: not those whose last subscription still has a callback to
 * come. */
static size_t take_pending(struct push_nats *n, struct interest **batch)
{
    size_t count = 0;
    struct interest *next;

    pthread_mutex_lock(&n->lock);
    for (struct interest *interest = TAILQ_FIRST(&n->pending); interest && count < BATCH; interest = next) {
        next = TAILQ_NEXT(interest, work);
        if (interest->alive && !interest->subscription)
            continue;
        push__nats_interest_unlist_locked(interest);
        interest->references++;
        batch[count++] = interest;
    }
    pthread_mutex_unlock(&n->lock);
    return count;
}

/* The server knows of the subscriptions made before; last: where the stream was then. */
static natsStatus fence(struct push_nats *n, uint64_t *last)
{
    uint64_t first;
    return n->settings.streamed ? push__nats_stream_bounds(n, &first, last) : push__nats_link_ping(n);
}

static void confirm_locked(struct interest *interest, uint64_t last)
{
    if (interest->node->settings.streamed) {
        if (!interest->positioned)
            interest->sequence = last;
        interest->positioned = true;
        if (interest->sequence < last || interest->sequence < interest->seen) {
            push__nats_interest_move_locked(interest, BEHIND);
            return;
        }
    }
    push__nats_interest_move_locked(interest, CONFIRMED);
}

bool push__nats_subscribe_pending(struct push_nats *n)
{
    struct interest *batch[BATCH];
    uint64_t last = 0;
    size_t count = take_pending(n, batch);
    if (count == 0)
        return true;

    natsStatus status = NATS_OK;
    for (size_t i = 0; i < count && status == NATS_OK; i++)
        status = subscribe(batch[i]);
    if (status == NATS_OK)
        status = fence(n, &last);
    if (status != NATS_OK)
        push__nats_note_error(n, status, nats_GetLastError(NULL));

    pthread_mutex_lock(&n->lock);
    for (size_t i = 0; i < count; i++) {
        if (status == NATS_OK)
            confirm_locked(batch[i], last);
        else
            push__nats_interest_move_locked(batch[i], PENDING);
        push__nats_interest_unref_locked(batch[i]);
    }
    pthread_mutex_unlock(&n->lock);
    return status == NATS_OK;
}

bool push__nats_has_pending_locked(struct push_nats *n)
{
    struct interest *interest;
    TAILQ_FOREACH(interest, &n->pending, work)
    {
        if (!interest->alive || interest->subscription)
            return true;
    }
    return false;
}

/* ---- Those that have ended ------------------------------------------------------------------------------- */

/* Before version 3.6, libnats' read loop does not hold on to the subscription of a message that it is about to hand
 * over, and another thread's destroying it pulls it away (nats.c issue 637). So it is kept until the read loop is
 * known to have come by: it has brought us an answer to what we asked after the unsubscribing. Or has ended. */
static void destroy_retired(struct push_nats *n)
{
    struct interest *interest;
    while ((interest = TAILQ_FIRST(&n->retired)) != NULL) {
        TAILQ_REMOVE(&n->retired, interest, work);
        destroy_subscription(interest);
        push__nats_interest_unref(interest);
    }
}

void push__nats_unsubscribe_expired(struct push_nats *n)
{
    for (;;) {
        pthread_mutex_lock(&n->lock);
        struct interest *interest = push__nats_interest_expired_locked(n, clock_ms());
        pthread_mutex_unlock(&n->lock);
        if (!interest)
            return;
        if (interest->subscription) {
            unsubscribe(interest);
            if (TAILQ_EMPTY(&n->retired))
                n->retire_at = clock_ms() + RETIRE_MS;
            TAILQ_INSERT_TAIL(&n->retired, interest, work);
        } else {
            push__nats_interest_unref(interest);
        }
    }
}

bool push__nats_retire(struct push_nats *n)
{
    uint64_t last;
    if (TAILQ_EMPTY(&n->retired) || clock_ms() < n->retire_at)
        return true;
    n->retire_at = clock_ms() + RETIRE_MS;
    if (fence(n, &last) != NATS_OK)
        return false;
    destroy_retired(n);
    return true;
}

void push__nats_subscriptions_end(struct push_nats *n)
{
    struct interest *interest;
    while ((interest = TAILQ_FIRST(&n->subscribed)) != NULL) {
        pthread_mutex_lock(&n->lock);
        push__nats_interest_move_locked(interest, PENDING);
        pthread_mutex_unlock(&n->lock);
        unsubscribe(interest);
        destroy_subscription(interest);
    }
    destroy_retired(n);
}

/* ---- What libnats dropped -------------------------------------------------------------------------------- */

void push__nats_count_dropped(struct push_nats *n)
{
    uint64_t dropped = 0;
    struct interest *interest;
    TAILQ_FOREACH(interest, &n->subscribed, subscribed)
    dropped += newly_dropped(interest);
    pthread_mutex_lock(&n->lock);
    n->stats.dropped += dropped;
    n->slow = dropped > 0; /* libnats tells once; it may go on */
    pthread_mutex_unlock(&n->lock);
    n->slow_at = clock_ms() + SLOW_MS;
}
