/*
 * A scenario: a few threads that use the library at the same time, and what must hold in every execution. Its
 * threads, like set-up and finish, share the fixture `x`, which is zeroed before each execution, and nothing else
 * that changes.
 */
#ifndef EXPLORE_SCENARIO_H
#define EXPLORE_SCENARIO_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>

#include <push/push.h>

#include "model.h"
#include "schedule.h"

enum { MAX_OUTCOMES = 6, MAX_NUMBERS = 8 };

struct scenario {
    const char *name;
    void (*set_up)(void);
    void (*threads[MAX_THREADS])(void);
    void (*finish)(void);
    const char *outcomes[MAX_OUTCOMES]; /* each must be seen in some execution: see outcome() */
    unsigned long
        least; /* executions within the default bounds: about half of those there were when it was written */
    int fewer_preemptions; /* than elsewhere, where the threads take very many steps */
};

/* Each list ends with a scenario without name. */
extern const struct scenario push_scenarios[], rendezvous_scenarios[], pull_scenarios[], duplicate_scenarios[],
    poller_scenarios[], session_scenarios[], cancel_scenarios[], wake_scenarios[];

/* A message is a number > 0, an outcome of a call a number or a negative errno value. */
struct numbers {
    int list[MAX_NUMBERS];
    size_t len;
};

extern struct fixture {
    push_session *session; /* "session"; unref'd by the end, as all below */
    push_client *a, *b;    /* of the session */
    push_poller *poller;
    int fd;                              /* of a client, or the poller; 0: none */
    int rc[1 + MAX_THREADS];             /* by thread: what it pleases */
    struct numbers got[1 + MAX_THREADS]; /* by thread: what it pulled */
    push_report report[1 + MAX_THREADS];
    int lost[1 + MAX_THREADS];               /* by thread: gaps its pulls told of, added up */
    bool done[1 + MAX_THREADS];              /* by thread */
    push_client *opened[1 + MAX_THREADS];    /* by thread */
    push_session *sessions[1 + MAX_THREADS]; /* by thread */
} x;

#define CHECK(condition)                                                                                           \
    do {                                                                                                           \
        if (!(condition))                                                                                          \
            schedule_fail("%s:%d: %s does not hold", __FILE__, __LINE__, #condition);                              \
    } while (0)

/* This execution is one of those of which there must be some. */
void outcome(size_t n);

void open_session(void);

/* Makes x.a, x.b: clients "a" and "b" of the session. */
void open_a(size_t max_buffer, push_overflow overflow);
void two_slots(void);        /* the session, and `a` with room for two messages */
void two_slots_polled(void); /* the same, and the poller that `a` is in */
void open_b(size_t max_buffer, push_overflow overflow);
push_client *join(const char *name, const push_client_options *options);

/* As push_session_send and push_client_send, into x.report. */
int push_number(int number, int timeout_ms);
int push_sized(int number, size_t size, int timeout_ms);
int send_number(push_client *c, int number, int timeout_ms);

/* The number, or an error. Keeps the number for x.got. */
int pull_number(push_client *c, int timeout_ms);
int pull_number_by_id(const char *client, int timeout_ms);

/* Waits in the poller, for ever, and notes what it said. */
void wait_in_poller(void);

/* Pulls what is there, by the program's own thread. */
void drain(push_client *c);

/* How often any thread, the program's own included, got the number. */
int times_got(int number);
size_t all_got(void);

/* True where every thread got its numbers in ascending order. */
bool got_in_order(int thread);

/* A message is as long as a number, or longer. */
int number_of(push_msg *msg);
push_msg *message(int number, size_t size);
enum { NUMBER_SIZE = sizeof(int) };

#endif
