/*
 * What a mailbox should do, in the plainest way: a list of messages, a list of pushes that wait, some counters. It
 * is written from the contract in push.h, and shares nothing with the library. One thread.
 *
 * Messages are numbers; refs[number] counts the references that mailboxes and waiting pushes should hold.
 */
#ifndef PUSH_TESTS_MAILBOX_MODEL_H
#define PUSH_TESTS_MAILBOX_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <push/push.h>

/* Who copies models around may want them small. */
#ifndef MODEL_QUEUE_MAX
#define MODEL_QUEUE_MAX 1024
#endif
enum { MODEL_QUEUE = MODEL_QUEUE_MAX, MODEL_WAITING = 16 };

struct model_message {
    size_t size;
    int refs;
};

struct model_entry {
    int message;
    size_t gap; /* messages lost just before it */
};

enum model_wait { MODEL_WAITS, MODEL_DELIVERED, MODEL_CLOSED_UNDER_IT, MODEL_WITHDRAWN };

/* A push that waits, and how it ended. */
struct model_push {
    int message;
    enum model_wait state;
};

struct model {
    struct model_message *messages;
    size_t max_buffer, max_bytes;
    push_overflow overflow;
    bool closed, taken_over;

    struct model_entry queue[MODEL_QUEUE];
    size_t len;
    struct model_push *waiting[MODEL_WAITING];
    size_t waiting_len;
    size_t waiting_pulls;    /* at a rendezvous, each is room for one message, which then counts as pulled */
    int handed[MODEL_QUEUE]; /* what they were handed: they have not returned yet */
    size_t handed_len;
    size_t pending_gap; /* before the next message that is put */
    size_t high_water;
    uint64_t pushed, pulled, dropped;
};

void model_init(struct model *m, struct model_message *messages, const push_client_options *options);

/* One push with timeout 0: adds what it did to the report. Returns as push_client_send. */
int model_send(struct model *m, int message, push_report *report);

/* True where a push with a deadline would wait. */
bool model_would_wait(const struct model *m, int message);

/* A push that waits where it cannot deliver: returns true where it does. Else as model_send. */
bool model_park(struct model *m, struct model_push *push, push_report *report);
void model_withdraw(struct model *m, struct model_push *push);

/* As push_client_pull_many with timeout 0. The references go to the caller. */
int model_pull(struct model *m, int *messages, size_t max, size_t *lost);

/* A pull that waits at a rendezvous returns with a message that it was handed. False: it was not. */
bool model_receive(struct model *m, int message);

/* As push_client_unpull. */
int model_unpull(struct model *m, int message);

void model_close(struct model *m);

/* `to` is new: it gets all that `from` has, which is closed and empty afterwards. */
void model_take_over(struct model *from, struct model *to);

/* The last handle has gone. */
void model_destroy(struct model *m);

bool model_has_message(const struct model *m);
push_client_stats model_stats(const struct model *m);

#endif
