/*
 * A history: calls that threads made, when each began and returned, and what it said. As text, one line each, so
 * that one that fails can be kept, read, and checked again:
 *
 *     mailbox CAPACITY POLICY                   the calls below went to one mailbox
 *     push THREAD BEGAN RETURNED TIMEOUT MESSAGE RESULT DROPPED DISCONNECTED
 *     pull THREAD BEGAN RETURNED TIMEOUT MESSAGE RESULT FIRST     MESSAGE 0 where RESULT is an error; else RESULT
 *                                               messages were lost before it. FIRST 0: goes on with the batch of
 *                                               the line above
 *     unpull THREAD BEGAN RETURNED MESSAGE RESULT
 *     delete THREAD BEGAN RETURNED RESULT
 *
 *     session CLIENTS                           messages were pushed to all clients of a session
 *     push THREAD BEGAN RETURNED TIMEOUT MESSAGE RESULT DROPPED DISCONNECTED
 *     got CLIENT MESSAGE                        in the order in which the client pulled them
 *
 * POLICY: block, drop-newest, drop-oldest, disconnect. Times are nanoseconds, timeouts milliseconds, messages
 * numbers from 1. Lines that begin with # are comments.
 */
#ifndef PUSH_TESTS_HISTORY_H
#define PUSH_TESTS_HISTORY_H

#include "../helpers.h"

enum { CALLS_MAX = 128, CLIENTS_MAX = 8, MESSAGES_MAX = 256 };

enum kind { KIND_PUSH, KIND_PULL, KIND_UNPULL, KIND_DELETE };

struct made_call {
    enum kind kind;
    int thread;
    int64_t began, returned;
    int timeout_ms;
    int message; /* 0: none */
    int result;  /* of a pull: the messages lost before it, or an error */
    int dropped, disconnected;
    bool first; /* of a batch */
};

struct history {
    bool of_session;
    size_t capacity;
    push_overflow policy;
    struct made_call calls[CALLS_MAX];
    size_t len;

    size_t clients;
    int got[CLIENTS_MAX][MESSAGES_MAX];
    size_t got_len[CLIENTS_MAX];
};

/* Adds a call; ends the program where there is no room. */
void history_add(struct history *h, const struct made_call *call);

void history_print(const struct history *h, FILE *f);
void history_print_call(const struct made_call *call, FILE *f);

/* Returns 0, or the number of the first line that is no history's. */
int history_read(struct history *h, FILE *f);

#endif
