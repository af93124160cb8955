/* Which sessions this node is joined to. */
#include "node.h"

#include <errno.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"

int push__nats_subject(const struct push_nats *n, push_id session, char subject[SUBJECT_SIZE])
{
    char token[TOKEN_SIZE];
    int rc = push__nats_token(session, token);
    if (rc == 0)
        snprintf(subject, SUBJECT_SIZE, SUBJECT_PREFIX "%s.%s", n->settings.cluster, token);
    return rc;
}

/* ---- The table ------------------------------------------------------------------------------------------- */

static int compare(const void *a, const void *b)
{
    return strcmp(((const struct interest *)a)->subject, ((const struct interest *)b)->subject);
}

static struct interest *find_locked(struct push_nats *n, const char *subject)
{
    union {
        struct interest interest;
        char bytes[sizeof(struct interest) + SUBJECT_SIZE];
    } probe;
    strcpy(probe.bytes + offsetof(struct interest, subject), subject);
    struct interest **node = tfind(&probe, &n->interests, compare);
    return node ? *node : NULL;
}

static struct interest *new_interest(struct push_nats *n, push_id session, const char *subject)
{
    size_t subject_size = strlen(subject) + 1;
    size_t id_size = session.data ? (size_t)session.value : 0;
    struct interest *interest = malloc(sizeof *interest + subject_size + id_size);
    if (!interest)
        return NULL;
    *interest = (struct interest){.node = n, .session = session, .references = 1};
    memcpy(interest->subject, subject, subject_size);
    if (session.data) {
        char *bytes = interest->subject + subject_size;
        if (id_size > 0)
            memcpy(bytes, session.data, id_size);
        interest->session = push_id_bytes(bytes, id_size);
    }
    return interest;
}

static void free_interest(struct interest *interest)
{
    push__nats_peers_free(&interest->peers);
    free(interest);
}

void push__nats_interest_unref_locked(struct interest *interest)
{
    if (--interest->references == 0)
        free_interest(interest);
}

void push__nats_interest_unref(struct interest *interest)
{
    struct push_nats *n = interest->node;
    pthread_mutex_lock(&n->lock);
    push__nats_interest_unref_locked(interest);
    pthread_mutex_unlock(&n->lock);
}

/* Adds it to the table, with a reference of the table's. */
static int insert_locked(struct push_nats *n, struct interest *interest)
{
    if (!tsearch(interest, &n->interests, compare))
        return -ENOMEM;
    interest->in_table = true;
    interest->references++;
    n->interest_count++;
    if (n->resume > 0 && clock_ms() < n->resume_until) {
        interest->sequence = n->resume;
        interest->positioned = true;
    }
    return 0;
}

static void remove_locked(struct interest *interest)
{
    struct push_nats *n = interest->node;
    push__nats_interest_unlist_locked(interest);
    if (interest->state == CONFIRMED)
        n->confirmed_count--;
    interest->state = PENDING;
    tdelete(interest, &n->interests, compare);
    interest->in_table = false;
    n->interest_count--;
}

/* ---- The queues ------------------------------------------------------------------------------------------ */

static struct interest_queue *queue_of(struct interest *interest)
{
    return interest->state == PENDING ? &interest->node->pending : &interest->node->behind;
}

void push__nats_interest_unlist_locked(struct interest *interest)
{
    if (interest->listed)
        TAILQ_REMOVE(queue_of(interest), interest, work);
    interest->listed = false;
}

void push__nats_interest_move_locked(struct interest *interest, enum interest_state state)
{
    struct push_nats *n = interest->node;
    push__nats_interest_unlist_locked(interest);
    if (interest->state == CONFIRMED)
        n->confirmed_count--;
    interest->state = state;
    if (state == CONFIRMED) {
        n->confirmed_count++;
        pthread_cond_broadcast(&n->changed);
    } else {
        TAILQ_INSERT_TAIL(queue_of(interest), interest, work);
        interest->listed = true;
        pthread_cond_signal(&n->wake);
    }
}

/* ---- Joining and leaving --------------------------------------------------------------------------------- */

static void join_locked(struct interest *interest)
{
    if (interest->lingering)
        TAILQ_REMOVE(&interest->node->lingering, interest, linger);
    interest->lingering = false;
    interest->joins++;
    interest->references++;
}

int push__nats_interest_join(struct push_nats *n, push_id session, const char *subject, struct interest **out)
{
    int rc = 0;
    struct interest *fresh = NULL;

    pthread_mutex_lock(&n->lock);
    struct interest *interest = find_locked(n, subject);
    if (!interest) {
        interest = fresh = new_interest(n, session, subject);
        rc = fresh ? insert_locked(n, fresh) : -ENOMEM;
    }
    if (rc == 0) {
        join_locked(interest);
        if (fresh)
            push__nats_interest_move_locked(interest, PENDING);
        *out = interest;
    }
    if (fresh)
        push__nats_interest_unref_locked(fresh);
    pthread_mutex_unlock(&n->lock);
    return rc;
}

int push__nats_interest_leave(struct push_nats *n, const char *subject)
{
    int rc = -ENOENT;

    pthread_mutex_lock(&n->lock);
    struct interest *interest = find_locked(n, subject);
    if (interest && interest->joins > 0) {
        rc = 0;
        if (--interest->joins == 0) {
            interest->leave_at = clock_ms() + n->settings.linger_ms;
            interest->lingering = true;
            TAILQ_INSERT_TAIL(&n->lingering, interest, linger);
            pthread_cond_signal(&n->wake);
        }
    }
    pthread_mutex_unlock(&n->lock);
    return rc;
}

/* Each lingers equally long, so the first in the queue is the first to go. */
struct interest *push__nats_interest_expired_locked(struct push_nats *n, int64_t now)
{
    struct interest *interest = TAILQ_FIRST(&n->lingering);
    if (!interest || interest->leave_at > now)
        return NULL;
    TAILQ_REMOVE(&n->lingering, interest, linger);
    interest->lingering = false;
    remove_locked(interest);
    return interest;
}

/* ---- The end --------------------------------------------------------------------------------------------- */

void push__nats_interest_clear(struct push_nats *n)
{
    pthread_mutex_lock(&n->lock);
    while (n->interests) {
        struct interest *interest = *(struct interest **)n->interests;
        if (interest->lingering)
            TAILQ_REMOVE(&n->lingering, interest, linger);
        interest->lingering = false;
        remove_locked(interest);
        push__nats_interest_unref_locked(interest);
    }
    pthread_mutex_unlock(&n->lock);
}
