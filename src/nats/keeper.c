/* The thread that keeps the connection, the subscriptions and the stream in the state that they ought to have. */
#include "node.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"

#define BACKOFF_MIN_MS 50
#define BACKOFF_MAX_MS 5000
#define FENCE_MS 1000    /* the longest wait for an answer to a ping */
#define FENCE_PAUSE_MS 5 /* between two of them under load */
#define RETIRE_MS 20     /* so long, unsubscribed sessions gather, for one answer */
#define RETRY_MS 100     /* after something failed on a connection that lives */
#define SLOW_MS 1000     /* between two counts of what libnats dropped */
#define POSITION_MS 1000
#define RESUME_MS 60000
#define BATCH 512            /* subscriptions confirmed by one answer */
#define CATCH_UP_SESSIONS 64 /* looked at before anything else gets a turn */
#define CATCH_UP_MESSAGES 256

void push__nats_wake(struct push_nats *n)
{
    pthread_mutex_lock(&n->lock);
    pthread_cond_signal(&n->wake);
    pthread_mutex_unlock(&n->lock);
}

/* ---- Subscriptions --------------------------------------------------------------------------------------- */

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
    return n->settings.streamed ? push__nats_stream_bounds(n, &first, last)
                                : natsConnection_FlushTimeout(n->connection, FENCE_MS);
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

/* False: something failed, and is to be tried again. */
static bool subscribe_pending(struct push_nats *n)
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

static void unsubscribe_expired(struct push_nats *n)
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

/* False: something failed, and is to be tried again. */
static bool retire(struct push_nats *n)
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

/* ---- Catching up ----------------------------------------------------------------------------------------- */

static struct interest *take_behind(struct push_nats *n)
{
    pthread_mutex_lock(&n->lock);
    struct interest *interest = TAILQ_FIRST(&n->behind);
    if (interest) {
        push__nats_interest_unlist_locked(interest);
        interest->references++;
    }
    pthread_mutex_unlock(&n->lock);
    return interest;
}

/* Delivers what the stream has. NATS_NOT_FOUND: that was all. */
static natsStatus fetch(struct interest *interest)
{
    struct push_nats *n = interest->node;
    uint64_t from = interest->sequence;
    bool evicted = false, asked = false;

    for (int i = 0; i < CATCH_UP_MESSAGES; i++) {
        natsMsg *msg = NULL;
        natsStatus status = push__nats_stream_next(n, interest->subject, interest->sequence + 1, &msg);
        if (status == NATS_OK && !asked && push__nats_origin_unsure(interest, msg)) {
            status = push__nats_stream_evicted(n, interest->subject, from, &evicted);
            asked = true;
        }
        if (status == NATS_OK)
            push__nats_deliver_fetched(interest, msg, evicted);
        natsMsg_Destroy(msg);
        if (status != NATS_OK)
            return status;
    }
    return NATS_OK;
}

/* False: something failed, and is to be tried again. */
static bool catch_up(struct push_nats *n)
{
    for (int i = 0; i < CATCH_UP_SESSIONS; i++) {
        struct interest *interest = take_behind(n);
        if (!interest)
            return true;
        natsStatus status = fetch(interest);
        pthread_mutex_lock(&n->lock);
        bool all = status == NATS_NOT_FOUND && interest->seen <= interest->sequence;
        push__nats_interest_move_locked(interest, all ? CONFIRMED : BEHIND);
        push__nats_interest_unref_locked(interest);
        pthread_mutex_unlock(&n->lock);
        if (!all && status != NATS_OK) {
            if (status != NATS_NOT_FOUND) /* else, a replica does not have it yet */
                push__nats_note_error(n, status, nats_GetLastError(NULL));
            return false;
        }
    }
    return true;
}

/* ---- Confirmations, counts, the position ----------------------------------------------------------------- */

static void set_unconfirmed(struct push_nats *n, bool unconfirmed)
{
    pthread_mutex_lock(&n->lock);
    n->unconfirmed = unconfirmed;
    pthread_mutex_unlock(&n->lock);
}

/* What was sent before a ping that is answered has reached the server. */
static bool confirm_sent(struct push_nats *n)
{
    uint64_t generation, mark;
    bool ok = true;

    n->fence_at = clock_ms() + FENCE_PAUSE_MS;
    set_unconfirmed(n, false); /* first: whoever sends after the mark sets it again */
    if (!push__nats_outbox_mark(&n->outbox, &mark, &generation))
        return true;
    set_unconfirmed(n, true);
    if (mark > 0)
        ok = natsConnection_FlushTimeout(n->connection, FENCE_MS) == NATS_OK;
    if (ok)
        push__nats_outbox_confirm(&n->outbox, mark, generation);
    return ok;
}

static void count_dropped(struct push_nats *n)
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

/* What has been delivered a second ago is surely delivered; of what has not, nothing may be skipped after a
 * restart. */
static void save_position(struct push_nats *n, bool final)
{
    pthread_mutex_lock(&n->lock);
    bool settled = TAILQ_EMPTY(&n->behind) && n->ready;
    uint64_t position = n->position;
    pthread_mutex_unlock(&n->lock);

    uint64_t save = final ? position : n->position_seen;
    if (settled && save > 0 && push__nats_position_write(n->settings.position_file, save) < 0)
        push__nats_note_error(n, NATS_SYS_ERROR, "the position file cannot be written");
    n->position_seen = position;
    n->position_at = clock_ms() + POSITION_MS;
}

/* ---- The connection -------------------------------------------------------------------------------------- */

/* After the first connection to a stream: where this node begins. */
static void place(struct push_nats *n)
{
    uint64_t first = 0, last = 0;
    if (!n->settings.streamed || n->connections > 1 || push__nats_stream_bounds(n, &first, &last) != NATS_OK)
        return;
    pthread_mutex_lock(&n->lock);
    if (n->resume > last)
        n->resume = 0; /* of another stream */
    n->resume_until = clock_ms() + RESUME_MS;
    if (n->position == 0 || n->position > last)
        n->position = last;
    pthread_mutex_unlock(&n->lock);
}

static bool connect(struct push_nats *n)
{
    if (push__nats_link_connect(n) != NATS_OK) {
        n->failures++;
        return false;
    }
    n->failures = 0;
    n->connections++;
    place(n);
    pthread_mutex_lock(&n->lock);
    n->stats.reconnects = n->connections - 1;
    n->ready = n->connected;
    pthread_cond_broadcast(&n->changed);
    pthread_mutex_unlock(&n->lock);
    return true;
}

/* Half of the pause is by chance, so that the nodes do not all come back at the same moment. */
static void back_off(struct push_nats *n)
{
    int shift = n->failures > 7 ? 7 : n->failures;
    int pause = BACKOFF_MIN_MS << shift;
    if (pause > BACKOFF_MAX_MS)
        pause = BACKOFF_MAX_MS;
    int64_t until = clock_ms() + pause / 2 + (int64_t)(nats_NowInNanoSeconds() / 1000 % (pause / 2 + 1));

    pthread_mutex_lock(&n->lock);
    while (!n->stopping && cond_wait_until(&n->wake, &n->lock, until)) {
    }
    pthread_mutex_unlock(&n->lock);
}

static void disconnect(struct push_nats *n)
{
    struct interest *interest;

    count_dropped(n);
    push__nats_link_close(n);
    while ((interest = TAILQ_FIRST(&n->subscribed)) != NULL) {
        pthread_mutex_lock(&n->lock);
        push__nats_interest_move_locked(interest, PENDING);
        pthread_mutex_unlock(&n->lock);
        unsubscribe(interest);
        destroy_subscription(interest);
    }
    destroy_retired(n);
}

/* ---- The loop -------------------------------------------------------------------------------------------- */

static void work(struct push_nats *n)
{
    int64_t now = clock_ms();
    pthread_mutex_lock(&n->lock);
    bool unconfirmed = n->unconfirmed, slow = n->slow;
    pthread_mutex_unlock(&n->lock);

    unsubscribe_expired(n);
    bool ok = now < n->retry_at || (subscribe_pending(n) && catch_up(n));
    ok = retire(n) && ok;
    if (unconfirmed && now >= n->fence_at)
        ok = confirm_sent(n) && ok;
    if (slow && now >= n->slow_at)
        count_dropped(n);
    if (n->settings.position_file && now >= n->position_at)
        save_position(n, false);
    if (!ok)
        n->retry_at = clock_ms() + RETRY_MS;
}

static int64_t earlier(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static bool has_pending_locked(struct push_nats *n)
{
    struct interest *interest;
    TAILQ_FOREACH(interest, &n->pending, work)
    {
        if (!interest->alive || interest->subscription)
            return true;
    }
    return false;
}

static int64_t next_turn_locked(struct push_nats *n)
{
    int64_t next = NEVER;
    struct interest *first = TAILQ_FIRST(&n->lingering);
    if (first)
        next = first->leave_at;
    if (!TAILQ_EMPTY(&n->retired))
        next = earlier(next, n->retire_at);
    if (n->unconfirmed)
        next = earlier(next, n->fence_at);
    if (n->slow)
        next = earlier(next, n->slow_at);
    if (n->settings.position_file)
        next = earlier(next, n->position_at);
    if (!TAILQ_EMPTY(&n->behind) || has_pending_locked(n))
        next = earlier(next, n->retry_at);
    return next;
}

/* Waits for work. False: the end. */
static bool await_work(struct push_nats *n)
{
    pthread_mutex_lock(&n->lock);
    while (!n->stopping && !n->lost_connection && next_turn_locked(n) > clock_ms())
        cond_wait_until(&n->wake, &n->lock, next_turn_locked(n));
    bool go_on = !n->stopping;
    pthread_mutex_unlock(&n->lock);
    return go_on;
}

static bool lost_connection(struct push_nats *n)
{
    pthread_mutex_lock(&n->lock);
    bool lost = n->lost_connection;
    pthread_mutex_unlock(&n->lock);
    return lost;
}

/* What has arrived is delivered, until the deadline; then nothing of libnats' will call us any more. */
static void finish(struct push_nats *n)
{
    int64_t left = n->close_by == NEVER ? INT32_MAX : n->close_by - clock_ms();
    if (n->connection && left > 0 && natsConnection_DrainTimeout(n->connection, left) == NATS_OK) {
        pthread_mutex_lock(&n->lock);
        while (n->subscriptions_alive > 0 && cond_wait_until(&n->changed, &n->lock, n->close_by)) {
        }
        pthread_mutex_unlock(&n->lock);
    }
    if (n->settings.position_file)
        save_position(n, true);
    disconnect(n);
    push__nats_interest_clear(n);
    pthread_mutex_lock(&n->lock);
    while (n->subscriptions_alive > 0 || n->connections_alive > 0)
        pthread_cond_wait(&n->changed, &n->lock);
    pthread_mutex_unlock(&n->lock);
}

void *push__nats_keeper(void *node)
{
    struct push_nats *n = node;
    bool go_on = true;

    while (go_on) {
        if (lost_connection(n))
            disconnect(n);
        unsubscribe_expired(n);
        if (n->connection || connect(n)) {
            work(n);
            go_on = await_work(n);
        } else {
            back_off(n);
            pthread_mutex_lock(&n->lock);
            go_on = !n->stopping;
            pthread_mutex_unlock(&n->lock);
        }
    }
    finish(n);
    nats_ReleaseThreadMemory();
    return NULL;
}
