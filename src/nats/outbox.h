/*
 * Messages on their way to the server. A letter stays in the outbox until the server has confirmed it: at level
 * core by the answer to a ping that was sent after it (push__nats_outbox_confirm), at level stream by the stream's
 * acknowledgement (push__nats_outbox_acknowledge). When a connection is lost, what was sent and not confirmed is
 * sent again on the next, in order. One thread sends; it alone takes letters out. Nobody else ever waits for the
 * network.
 *
 *      head            next             tail
 *       |  sent, and    |  waiting to    |
 *       |  unconfirmed  |  be sent       |
 */
#ifndef PUSH_SRC_NATS_OUTBOX_H
#define PUSH_SRC_NATS_OUTBOX_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <nats/nats.h>
#include <push/push.h>

#include "counts.h"

struct letter {
    push_msg *msg;
    int64_t queued_at;
    size_t bytes;    /* that it counts for */
    bool done;       /* [m] acknowledged, or refused */
    int error;       /* [m] of a refused one: told to on_unpublished */
    push_id session; /* its bytes lie in text */
    const char *subject;
    const char *except; /* encoded, or NULL */
    char origin[ORIGIN_SIZE];
    char text[];
};

struct outbox {
    pthread_mutex_t lock;
    pthread_cond_t wake; /* the sender: something to do */
    pthread_cond_t
        room; /* pushes: a letter went; flushes: confirmed; push__nats_outbox_offline: the sender let go */
    pthread_t thread;

    /* I: options */
    size_t max_letters, max_bytes;
    int max_age_ms; /* negative: for ever */
    bool streamed;  /* letters are confirmed one by one */
    void (*unpublished)(void *arg, push_id session, push_msg *msg, int error);
    void (*sent)(void *arg); /* something waits for a confirmation now; called by the sender, unlocked */
    void *arg;

    /* m: guarded by lock */
    struct counts counts;
    struct letter **ring; /* max_letters of them; letter i is in ring[i % max_letters] */
    uint64_t head, next, tail;
    uint64_t settled;  /* what is below has left, and whoever asked was told */
    uint64_t furthest; /* the highest `next` ever: what is below is sent again */
    size_t bytes;
    natsConnection *connection; /* NULL: none to send on */
    char reply[64];             /* where acknowledgements go: a subject that ends with a dot */
    uint64_t generation;        /* of connections: a confirmation of an old one is none */
    bool sending;               /* the sender is in libnats, with the lock open */
    bool closed;                /* takes no more */
    bool stopping;              /* the sender ends, and gives up what is left */
    int64_t progress;           /* when something was last confirmed, or first sent */
    uint64_t published, resent, unpublished_count;
    int64_t max_payload; /* of the server last connected to */
};

/* An outbox with its options set is made ready, and its thread started. Returns 0 or a negative errno value. */
int push__nats_outbox_start(struct outbox *outbox, uint64_t publisher);
/* Gives up what is left, ends the thread, and frees everything. Returns how many letters were given up. */
size_t push__nats_outbox_stop(struct outbox *outbox);

/* A letter for a valid id. subject: push.v1.CLUSTER.TOKEN. Takes one reference to msg. NULL: no memory. */
struct letter *push__nats_letter_new(push_id session, const char *subject, push_msg *msg, push_id except);
void push__nats_letter_free(struct letter *letter);

/* Takes over the letter. Returns 0; else the letter stays the caller's: -EAGAIN, -ETIMEDOUT (no room until the
 * deadline), -EPIPE (closed), -EMSGSIZE, -ENOMEM. */
int push__nats_outbox_put(struct outbox *outbox, struct letter *letter, int64_t deadline);
/* Counts a message that nobody will try to publish. */
void push__nats_outbox_refuse(struct outbox *outbox);

/* There is a connection to send on; what is unconfirmed is sent again. */
void push__nats_outbox_online(struct outbox *outbox, natsConnection *connection, const char *reply);
/* There is none any more. Waits until the sender has let go of it: no longer than libnats' write deadline. */
void push__nats_outbox_offline(struct outbox *outbox);

/* Before *mark, all letters were sent, on the connection of that generation; 0: all of them are confirmed. Returns
 * true where more will have to be confirmed; after false, `sent` is called for the next letter. */
bool push__nats_outbox_mark(struct outbox *outbox, uint64_t *mark, uint64_t *generation);
/* The letters before the mark have reached the server. */
void push__nats_outbox_confirm(struct outbox *outbox, uint64_t mark, uint64_t generation);
/* The stream took this letter, or refused it for good (error), or for now (again). */
enum answer { ANSWER_TAKEN, ANSWER_REFUSED, ANSWER_AGAIN };
void push__nats_outbox_acknowledge(struct outbox *outbox, uint64_t index, enum answer answer);

/* Takes no more letters. */
void push__nats_outbox_close(struct outbox *outbox);
/* Waits until all that is in the outbox now has left it. Returns 0, -EAGAIN or -ETIMEDOUT. */
int push__nats_outbox_wait(struct outbox *outbox, int timeout_ms);

#endif
