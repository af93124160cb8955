/*
 * Random sequences of API calls, on one thread, compared call by call with a model: fuzz_run() reads the calls out
 * of an input's bytes. Every divergence ends the program, after the calls that led to it.
 *
 *     input.c    what the bytes mean
 *     trace.c    the calls made so far, readable
 *     world.[ch] what the library should hold: sessions, clients, pollers (and mailbox_model.[ch] for each mailbox)
 *     waiting.c  time, and what happens while a call waits
 *     calls_*.c  the calls
 */
#ifndef PUSH_TESTS_FUZZ_H
#define PUSH_TESTS_FUZZ_H

#include "../helpers.h"

/* Takes the world from empty to empty again. */
void fuzz_run(const uint8_t *data, size_t size);

/* ---- input.c ---- */

void input_set(const uint8_t *data, size_t size);
bool input_left(void);
/* Less than n, which is at most 65536; 0 where the input has ended. */
size_t input_below(size_t n);
/* Seldom true. */
bool input_rarely(void);

/* ---- trace.c ---- */

/* The next call. `format` knows %d (int), %z (size_t) and %s (a string that stays). */
void trace_call(int depth, const char *format, ...);
void trace_result(int depth, long long result);
void trace_clear(void);
/* Prints the calls as they are made. */
void trace_live(void);

#define REQUIRE(condition)                                                                                         \
    do {                                                                                                           \
        if (!(condition))                                                                                          \
            diverge(#condition, __FILE__, __LINE__);                                                               \
    } while (0)
_Noreturn void diverge(const char *text, const char *file, int line);

/* ---- calls_*.c ---- */

/* Makes one call that the input chooses, with others inside of it where it waits. */
void call_one(void);

/* Whole groups of calls: each makes one of them. */
void call_session(void);
void call_client(void);
void call_push(void);
void call_pull(void);
void call_poller(void);
void call_hostile(void);

#endif
