/* The thread that keeps the connection, the subscriptions and the stream in the state that they ought to have. */
#include "node.h"

#include "clock.h"

#define BACKOFF_MIN_MS 50
#define BACKOFF_MAX_MS 5000
#define FENCE_PAUSE_MS 5 /* between two pings under load */
#define RETRY_MS 100     /* after something failed on a connection that lives */
#define POSITION_MS 1000
#define RESUME_MS 60000

void push__nats_wake(struct push_nats *n)
{
    pthread_mutex_lock(&n->lock);
    pthread_cond_signal(&n->wake);
    pthread_mutex_unlock(&n->lock);
}

/* ---- Confirmations, the position ------------------------------------------------------------------------- */

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
        ok = push__nats_link_ping(n) == NATS_OK;
    if (ok)
        push__nats_outbox_confirm(&n->outbox, mark, generation);
    return ok;
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
    push__nats_count_dropped(n);
    push__nats_link_close(n);
    push__nats_subscriptions_end(n);
}

/* ---- The loop -------------------------------------------------------------------------------------------- */

static void work(struct push_nats *n)
{
    int64_t now = clock_ms();
    pthread_mutex_lock(&n->lock);
    bool unconfirmed = n->unconfirmed, slow = n->slow;
    pthread_mutex_unlock(&n->lock);

    push__nats_unsubscribe_expired(n);
    bool ok = now < n->retry_at || (push__nats_subscribe_pending(n) && push__nats_catch_up(n));
    ok = push__nats_retire(n) && ok;
    if (unconfirmed && now >= n->fence_at)
        ok = confirm_sent(n) && ok;
    if (slow && now >= n->slow_at)
        push__nats_count_dropped(n);
    if (n->settings.position_file && now >= n->position_at)
        save_position(n, false);
    if (!ok)
        n->retry_at = clock_ms() + RETRY_MS;
}

static int64_t earlier(int64_t a, int64_t b)
{
    return a < b ? a : b;
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
    if (!TAILQ_EMPTY(&n->behind) || push__nats_has_pending_locked(n))
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
        push__nats_unsubscribe_expired(n);
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
