#include "outbox.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"

#define WINDOW 4096         /* letters that may wait for the stream's acknowledgement */
#define ACKNOWLEDGE_MS 3000 /* after so long without one, what is unconfirmed is sent again */
#define RETRY_MS 20         /* before the next attempt, where libnats had no memory, or the stream no leader */
#define HEADERS_SIZE 256    /* that a message has around its payload, at most, without an exception */

/* ---- Letters --------------------------------------------------------------------------------------------- */

struct letter *push__nats_letter_new(push_id session, const char *subject, push_msg *msg, push_id except)
{
    size_t subject_size = strlen(subject) + 1;
    size_t id_size = session.data ? (size_t)session.value : 0;
    size_t except_size = except.kind == 0 ? 0 : push__nats_encoded_size(except);
    struct letter *letter = malloc(sizeof *letter + subject_size + id_size + except_size);
    if (!letter)
        return NULL;
    *letter = (struct letter){.msg = push_msg_ref(msg), .session = session};
    letter->bytes = sizeof *letter + subject_size + id_size + except_size + push_msg_size(msg);

    char *at = letter->text;
    letter->subject = memcpy(at, subject, subject_size);
    at += subject_size;
    if (except_size > 0) {
        push__nats_encode(except, at);
        letter->except = at;
        at += except_size;
    }
    if (session.data)
        letter->session = push_id_bytes(id_size > 0 ? memcpy(at, session.data, id_size) : at, id_size);
    return letter;
}

void push__nats_letter_free(struct letter *letter)
{
    if (letter) {
        push_msg_unref(letter->msg);
        free(letter);
    }
}

static size_t letter_payload(const struct letter *letter)
{
    return push_msg_size(letter->msg) + HEADERS_SIZE + (letter->except ? strlen(letter->except) : 0);
}

static struct letter **slot(const struct outbox *outbox, uint64_t index)
{
    return &outbox->ring[index % outbox->max_letters];
}

/* ---- Putting --------------------------------------------------------------------------------------------- */

/* An empty outbox takes any one letter. */
static bool full(const struct outbox *outbox, const struct letter *letter)
{
    size_t waiting = (size_t)(outbox->tail - outbox->head);
    return waiting == outbox->max_letters || (waiting > 0 && (outbox->bytes > outbox->max_bytes ||
                                                              letter->bytes > outbox->max_bytes - outbox->bytes));
}

static int wait_for_room(struct outbox *outbox, const struct letter *letter, int64_t deadline)
{
    while (!outbox->closed && full(outbox, letter))
        if (deadline <= clock_ms() || !cond_wait_until(&outbox->room, &outbox->lock, deadline))
            return -ETIMEDOUT;
    return outbox->closed ? -EPIPE : 0;
}

int push__nats_outbox_put(struct outbox *outbox, struct letter *letter, int64_t deadline)
{
    struct origin origin;

    pthread_mutex_lock(&outbox->lock);
    int rc = 0;
    if (outbox->closed)
        rc = -EPIPE;
    else if (letter_payload(letter) > (size_t)outbox->max_payload)
        rc = -EMSGSIZE;
    if (rc == 0 && full(outbox, letter))
        rc = wait_for_room(outbox, letter, deadline);
    if (rc == 0)
        rc = push__nats_counts_next(&outbox->counts, letter->subject, &origin);
    if (rc == 0) {
        push__nats_origin_format(&origin, letter->origin);
        letter->queued_at = clock_ms();
        *slot(outbox, outbox->tail++) = letter;
        outbox->bytes += letter->bytes;
        if (outbox->tail - outbox->next == 1)
            pthread_cond_signal(&outbox->wake);
    }
    pthread_mutex_unlock(&outbox->lock);
    return rc;
}

void push__nats_outbox_refuse(struct outbox *outbox)
{
    pthread_mutex_lock(&outbox->lock);
    outbox->unpublished_count++;
    pthread_mutex_unlock(&outbox->lock);
}

/* ---- The connection, and its answers --------------------------------------------------------------------- */

static void send_again_locked(struct outbox *outbox)
{
    outbox->next = outbox->head;
    outbox->progress = clock_ms();
    pthread_cond_signal(&outbox->wake);
}

void push__nats_outbox_online(struct outbox *outbox, natsConnection *connection, const char *reply)
{
    int64_t max_payload = natsConnection_GetMaxPayload(connection);

    pthread_mutex_lock(&outbox->lock);
    outbox->connection = connection;
    outbox->max_payload = max_payload;
    snprintf(outbox->reply, sizeof outbox->reply, "%s", reply);
    outbox->generation++;
    send_again_locked(outbox);
    pthread_mutex_unlock(&outbox->lock);
}

void push__nats_outbox_offline(struct outbox *outbox)
{
    pthread_mutex_lock(&outbox->lock);
    outbox->connection = NULL;
    outbox->generation++;
    while (outbox->sending)
        pthread_cond_wait(&outbox->room, &outbox->lock);
    pthread_mutex_unlock(&outbox->lock);
}

bool push__nats_outbox_mark(struct outbox *outbox, uint64_t *mark, uint64_t *generation)
{
    pthread_mutex_lock(&outbox->lock);
    bool unconfirmed =
        outbox->connection && outbox->next > outbox->head && !(*slot(outbox, outbox->next - 1))->done;
    bool more = unconfirmed || outbox->sending;
    *mark = unconfirmed ? outbox->next : 0;
    *generation = outbox->generation;
    pthread_mutex_unlock(&outbox->lock);
    return more;
}

void push__nats_outbox_confirm(struct outbox *outbox, uint64_t mark, uint64_t generation)
{
    pthread_mutex_lock(&outbox->lock);
    if (generation == outbox->generation) {
        for (uint64_t i = outbox->head; i < mark; i++)
            (*slot(outbox, i))->done = true;
        pthread_cond_signal(&outbox->wake);
    }
    pthread_mutex_unlock(&outbox->lock);
}

void push__nats_outbox_acknowledge(struct outbox *outbox, uint64_t index, enum answer answer)
{
    pthread_mutex_lock(&outbox->lock);
    if (index >= outbox->head && index < outbox->furthest && !(*slot(outbox, index))->done) {
        if (answer == ANSWER_AGAIN) {
            outbox->progress = clock_ms() - ACKNOWLEDGE_MS + RETRY_MS;
        } else {
            (*slot(outbox, index))->done = true;
            (*slot(outbox, index))->error = answer == ANSWER_REFUSED ? -EIO : 0;
            outbox->progress = clock_ms();
        }
        if (index == outbox->head || answer == ANSWER_AGAIN)
            pthread_cond_signal(&outbox->wake);
    }
    pthread_mutex_unlock(&outbox->lock);
}

void push__nats_outbox_close(struct outbox *outbox)
{
    pthread_mutex_lock(&outbox->lock);
    outbox->closed = true;
    pthread_cond_broadcast(&outbox->room);
    pthread_mutex_unlock(&outbox->lock);
}

int push__nats_outbox_wait(struct outbox *outbox, int timeout_ms)
{
    int64_t deadline = deadline_after(timeout_ms);
    int rc = 0;

    pthread_mutex_lock(&outbox->lock);
    for (uint64_t end = outbox->tail; outbox->settled < end && rc == 0;)
        if (timeout_ms == 0)
            rc = -EAGAIN;
        else if (!cond_wait_until(&outbox->room, &outbox->lock, deadline) && outbox->settled < end)
            rc = -ETIMEDOUT;
    pthread_mutex_unlock(&outbox->lock);
    return rc;
}

/* ---- The sender ------------------------------------------------------------------------------------------ */

/* A message of libnats. It copies the payload. */
static natsStatus make_message(natsMsg **out, const struct letter *letter, const char *reply)
{
    natsMsg *msg = NULL;
    natsStatus status =
        natsMsg_Create(&msg, letter->subject, reply, push_msg_data(letter->msg), (int)push_msg_size(letter->msg));
    if (status == NATS_OK)
        status = natsMsgHeader_Set(msg, HEADER_ID, letter->origin);
    if (status == NATS_OK && letter->except)
        status = natsMsgHeader_Set(msg, HEADER_EXCEPT, letter->except);
    if (status != NATS_OK) {
        natsMsg_Destroy(msg);
        msg = NULL;
    }
    *out = msg;
    return status;
}

static natsStatus publish(natsConnection *connection, const struct letter *letter, const char *reply,
                          uint64_t index)
{
    char reply_to[sizeof((struct outbox *)0)->reply + 24];
    snprintf(reply_to, sizeof reply_to, "%s%" PRIu64, reply, index);

    natsMsg *msg;
    natsStatus status = make_message(&msg, letter, reply[0] != '\0' ? reply_to : NULL);
    if (status == NATS_OK)
        status = natsConnection_PublishMsg(connection, msg);
    natsMsg_Destroy(msg);
    return status;
}

/* What a failed attempt to send means: 0: the connection is gone, or libnats had no memory, and the letter stays.
 */
static int refusal(natsStatus status)
{
    switch (status) {
    case NATS_MAX_PAYLOAD:
        return -EMSGSIZE;
    case NATS_INVALID_ARG:
    case NATS_INVALID_SUBJECT:
    case NATS_NO_SERVER_SUPPORT:
        return -EIO;
    default:
        return 0;
    }
}

static void sent_locked(struct outbox *outbox, struct letter *letter, natsStatus status)
{
    if (status == NATS_OK) {
        outbox->next++;
    } else if (refusal(status) != 0) {
        letter->done = true;
        letter->error = refusal(status);
        outbox->next++;
    } else if (status == NATS_NO_MEMORY) {
        cond_wait_until(&outbox->wake, &outbox->lock, clock_ms() + RETRY_MS);
    } else {
        outbox->connection = NULL; /* another will come */
    }
}

/* Sends the next letter, with the lock open meanwhile. */
static void send_next_locked(struct outbox *outbox)
{
    uint64_t index = outbox->next, generation = outbox->generation;
    struct letter *letter = *slot(outbox, index);
    if (letter->done) {
        outbox->next++;
        return;
    }

    natsConnection *connection = outbox->connection;
    char reply[sizeof outbox->reply];
    memcpy(reply, outbox->reply, sizeof reply);
    bool first = index == outbox->head;
    if (first)
        outbox->progress = clock_ms();
    if (index < outbox->furthest)
        outbox->resent++;
    else
        outbox->furthest = index + 1;
    outbox->sending = true;
    pthread_mutex_unlock(&outbox->lock);

    natsStatus status = publish(connection, letter, reply, index);
    if (status == NATS_OK && first)
        outbox->sent(outbox->arg);

    pthread_mutex_lock(&outbox->lock);
    outbox->sending = false;
    if (generation == outbox->generation && index == outbox->next)
        sent_locked(outbox, letter, status);
    if (!outbox->connection)
        pthread_cond_broadcast(&outbox->room);
}

static bool may_send(const struct outbox *outbox)
{
    return outbox->connection && outbox->next < outbox->tail &&
           (!outbox->streamed || outbox->next - outbox->head < WINDOW);
}

/* What the letter at the head is to be given up for: 0: nothing. */
static int overdue_locked(const struct outbox *outbox)
{
    if (outbox->stopping)
        return -EPIPE;
    bool old =
        outbox->max_age_ms >= 0 && clock_ms() - (*slot(outbox, outbox->head))->queued_at > outbox->max_age_ms;
    return old ? -ETIMEDOUT : 0;
}

/* Takes up to max letters that are done, or overdue, from the head. */
static size_t take_done_locked(struct outbox *outbox, struct letter **letters, size_t max)
{
    size_t n = 0;
    while (n < max && outbox->head < outbox->tail) {
        struct letter *letter = *slot(outbox, outbox->head);
        if (!letter->done) {
            letter->error = overdue_locked(outbox);
            if (letter->error == 0)
                break;
        }
        outbox->bytes -= letter->bytes;
        outbox->head++;
        if (letter->error == 0)
            outbox->published++;
        else
            outbox->unpublished_count++;
        letters[n++] = letter;
    }
    if (outbox->next < outbox->head)
        outbox->next = outbox->head;
    if (n > 0)
        pthread_cond_broadcast(&outbox->room);
    return n;
}

static void settle(struct outbox *outbox, struct letter **letters, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (letters[i]->error != 0 && outbox->unpublished)
            outbox->unpublished(outbox->arg, letters[i]->session, letters[i]->msg, letters[i]->error);
        push__nats_letter_free(letters[i]);
    }
}

static bool acknowledgement_late_locked(const struct outbox *outbox, int64_t now)
{
    return outbox->streamed && outbox->connection && outbox->next > outbox->head &&
           now - outbox->progress >= ACKNOWLEDGE_MS;
}

/* When the sender must look again, though nobody wakes it. */
static int64_t next_look_locked(const struct outbox *outbox)
{
    int64_t look = outbox->counts.turn;
    if (outbox->head < outbox->tail && outbox->max_age_ms >= 0) {
        int64_t overdue = (*slot(outbox, outbox->head))->queued_at + outbox->max_age_ms + 1;
        look = overdue < look ? overdue : look;
    }
    if (outbox->streamed && outbox->connection && outbox->next > outbox->head) {
        int64_t late = outbox->progress + ACKNOWLEDGE_MS;
        look = late < look ? late : look;
    }
    return look;
}

static void *sender(void *arg)
{
    struct outbox *outbox = arg;
    struct letter *letters[64];

    pthread_mutex_lock(&outbox->lock);
    for (;;) {
        int64_t now = clock_ms();
        size_t n = take_done_locked(outbox, letters, sizeof letters / sizeof letters[0]);
        void *forgotten = push__nats_counts_turn(&outbox->counts, now);
        if (n > 0 || forgotten) {
            pthread_mutex_unlock(&outbox->lock);
            settle(outbox, letters, n);
            push__nats_counts_free(forgotten);
            pthread_mutex_lock(&outbox->lock);
            outbox->settled = outbox->head;
            pthread_cond_broadcast(&outbox->room);
        } else if (outbox->stopping) {
            break;
        } else if (acknowledgement_late_locked(outbox, now)) {
            send_again_locked(outbox);
        } else if (may_send(outbox)) {
            send_next_locked(outbox);
        } else {
            cond_wait_until(&outbox->wake, &outbox->lock, next_look_locked(outbox));
        }
    }
    pthread_mutex_unlock(&outbox->lock);
    nats_ReleaseThreadMemory();
    return NULL;
}

/* ---- Its life -------------------------------------------------------------------------------------------- */

static void destroy(struct outbox *outbox)
{
    push__nats_counts_free(outbox->counts.young);
    push__nats_counts_free(outbox->counts.old);
    pthread_cond_destroy(&outbox->room);
    pthread_cond_destroy(&outbox->wake);
    pthread_mutex_destroy(&outbox->lock);
    free(outbox->ring);
}

int push__nats_outbox_start(struct outbox *outbox, uint64_t publisher)
{
    outbox->ring = calloc(outbox->max_letters, sizeof *outbox->ring);
    if (!outbox->ring)
        return -ENOMEM;
    int rc = -pthread_mutex_init(&outbox->lock, NULL);
    if (rc != 0)
        goto free_ring;
    rc = cond_init_monotonic(&outbox->wake);
    if (rc != 0)
        goto destroy_lock;
    rc = cond_init_monotonic(&outbox->room);
    if (rc != 0)
        goto destroy_wake;
    push__nats_counts_init(&outbox->counts, publisher);
    outbox->max_payload = INT_MAX;
    rc = -pthread_create(&outbox->thread, NULL, sender, outbox);
    if (rc == 0)
        return 0;
    pthread_cond_destroy(&outbox->room);
destroy_wake:
    pthread_cond_destroy(&outbox->wake);
destroy_lock:
    pthread_mutex_destroy(&outbox->lock);
free_ring:
    free(outbox->ring);
    return rc;
}

size_t push__nats_outbox_stop(struct outbox *outbox)
{
    size_t left = 0;

    pthread_mutex_lock(&outbox->lock);
    outbox->closed = outbox->stopping = true;
    for (uint64_t i = outbox->head; i < outbox->tail; i++)
        left += !(*slot(outbox, i))->done;
    pthread_cond_signal(&outbox->wake);
    pthread_mutex_unlock(&outbox->lock);
    pthread_join(outbox->thread, NULL);
    destroy(outbox);
    return left;
}
