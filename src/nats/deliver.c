/* From a message of libnats into the mailboxes of this node. */
#include "node.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

uint64_t push__nats_header_number(natsMsg *msg, const char *key)
{
    const char *text = NULL;
    return natsMsgHeader_Get(msg, key, &text) == NATS_OK && text ? strtoull(text, NULL, 10) : 0;
}

static struct origin origin_of(natsMsg *msg)
{
    const char *text = NULL;
    return push__nats_origin_parse(natsMsgHeader_Get(msg, HEADER_ID, &text) == NATS_OK ? text : NULL);
}

/* ---- Into the mailboxes ---------------------------------------------------------------------------------- */

/* Counts what did not happen. */
static void count(struct push_nats *n, uint64_t *counter, uint64_t by)
{
    pthread_mutex_lock(&n->lock);
    *counter += by;
    pthread_mutex_unlock(&n->lock);
}

/* Without waiting: who has no room, and would have the pusher wait, goes without. */
static void push_here(struct interest *interest, push_msg *msg, push_id except)
{
    struct push_nats *n = interest->node;
    push_report report;

    push_session *session = push_session_find(interest->session);
    if (!session)
        return; /* joined ahead of the session, or a moment longer */
    int rc = push_session_send(session, msg, except, 0, &report);
    push_session_unref(session);
    if (rc == -ENOMEM)
        count(n, &n->stats.lost, 1);
    if (report.timed_out > 0) {
        count(n, &n->stats.refused, report.timed_out);
        if (n->settings.on_refused)
            n->settings.on_refused(n->settings.arg, interest->session, msg, &report);
    }
}

static void tell_lost(struct interest *interest, uint64_t missing)
{
    struct push_nats *n = interest->node;
    count(n, &n->stats.lost, missing);
    if (!n->settings.on_lost)
        return;
    push_msg *notice = n->settings.on_lost(n->settings.arg, interest->session, missing);
    if (notice)
        push_here(interest, notice, PUSH_ID_NONE);
    push_msg_unref(notice);
}

static void deliver(struct interest *interest, natsMsg *msg, uint64_t missing)
{
    if (missing > 0)
        tell_lost(interest, missing);

    const char *text = NULL;
    void *bytes = NULL;
    push_id except = PUSH_ID_NONE;
    push_msg *copy = push_msg_new(natsMsg_GetData(msg), (size_t)natsMsg_GetDataLength(msg));
    bool ok = copy != NULL;
    if (ok && natsMsgHeader_Get(msg, HEADER_EXCEPT, &text) == NATS_OK && text) {
        bytes = malloc(strlen(text) + 1);
        ok = bytes != NULL;
        if (ok)
            except = push__nats_decode(text, bytes);
    }
    if (ok)
        push_here(interest, copy, except);
    else
        tell_lost(interest, 1);
    free(bytes);
    push_msg_unref(copy);
}

/* ---- What may be delivered ------------------------------------------------------------------------------- */

enum verdict { DELIVER, DUPLICATE, OURS, LATER };

/* By its origin alone. */
static enum verdict judge_locked(struct interest *interest, const struct origin *origin, bool may_have_missed,
                                 uint64_t *missing)
{
    struct push_nats *n = interest->node;
    if (origin->publisher == n->publisher)
        return OURS;
    if (!push__nats_peers_accept(&interest->peers, origin, may_have_missed, missing)) {
        n->stats.duplicates++;
        return DUPLICATE;
    }
    n->stats.received++;
    return DELIVER;
}

/* By its place in the stream, first: what does not follow what was delivered last waits for the keeper to fetch it.
 */
static enum verdict judge_streamed_locked(struct interest *interest, uint64_t sequence, uint64_t previous,
                                          const struct origin *origin, uint64_t *missing)
{
    struct push_nats *n = interest->node;
    if (interest->state == CONFIRMED && sequence <= interest->sequence) {
        n->stats.duplicates++;
        return DUPLICATE;
    }
    if (interest->state != CONFIRMED || previous > interest->sequence) {
        if (sequence > interest->seen)
            interest->seen = sequence;
        if (interest->state == CONFIRMED)
            push__nats_interest_move_locked(interest, BEHIND);
        return LATER;
    }
    interest->sequence = sequence;
    if (sequence > n->position)
        n->position = sequence;
    return judge_locked(interest, origin, false, missing);
}

/* ---- The two ways in ------------------------------------------------------------------------------------- */

void push__nats_on_message(natsConnection *connection, natsSubscription *subscription, natsMsg *msg, void *closure)
{
    struct interest *interest = closure;
    struct push_nats *n = interest->node;
    struct origin origin = origin_of(msg);
    uint64_t sequence = 0, previous = 0, missing = 0;
    (void)connection;
    (void)subscription;

    if (n->settings.streamed) {
        sequence = push__nats_header_number(msg, HEADER_SEQUENCE);
        previous = push__nats_header_number(msg, HEADER_PREVIOUS);
    }
    pthread_mutex_lock(&n->lock);
    enum verdict verdict = n->settings.streamed
                               ? judge_streamed_locked(interest, sequence, previous, &origin, &missing)
                               : judge_locked(interest, &origin, false, &missing);
    pthread_mutex_unlock(&n->lock);

    if (verdict == DELIVER)
        deliver(interest, msg, missing);
    natsMsg_Destroy(msg);
}

bool push__nats_origin_unsure(struct interest *interest, natsMsg *msg)
{
    struct origin origin = origin_of(msg);
    pthread_mutex_lock(&interest->node->lock);
    bool unsure = push__nats_peers_unsure(&interest->peers, &origin);
    pthread_mutex_unlock(&interest->node->lock);
    return unsure;
}

void push__nats_deliver_fetched(struct interest *interest, natsMsg *msg, bool may_have_missed)
{
    struct push_nats *n = interest->node;
    struct origin origin = origin_of(msg);
    uint64_t sequence = push__nats_header_number(msg, HEADER_SEQUENCE), missing = 0;

    pthread_mutex_lock(&n->lock);
    interest->sequence = sequence;
    if (sequence > n->position)
        n->position = sequence;
    enum verdict verdict = judge_locked(interest, &origin, may_have_missed, &missing);
    if (verdict == DELIVER)
        n->stats.caught_up++;
    pthread_mutex_unlock(&n->lock);

    if (verdict == DELIVER)
        deliver(interest, msg, missing);
}
