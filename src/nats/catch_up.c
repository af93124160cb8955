/* With a stream: sessions that are behind it get what they have missed. */
#include "node.h"

#define CATCH_UP_SESSIONS 64 /* looked at before anything else gets a turn */
#define CATCH_UP_MESSAGES 256

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

bool push__nats_catch_up(struct push_nats *n)
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
