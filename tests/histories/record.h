/* Histories of the library: what threads do comes from a seed, when they do it does not. */
#ifndef PUSH_TESTS_HISTORIES_RECORD_H
#define PUSH_TESTS_HISTORIES_RECORD_H

#include "history.h"

/* 3 or 4 threads push, pull, put back and delete at one mailbox of a small capacity; what is left is drained. */
void record_mailbox(struct history *h, uint64_t seed);

/* 2 or 3 threads push to all clients of a session, each of which has a thread that pulls. */
void record_session(struct history *h, uint64_t seed);

#endif
