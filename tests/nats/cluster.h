/*
 * What the tests of libpush-nats share: nats-servers on loopback, on ports that were free, each with a folder of
 * its own; nodes (node.c), each a process; and conversation with them. All end with the test.
 */
#ifndef PUSH_TESTS_NATS_CLUSTER_H
#define PUSH_TESTS_NATS_CLUSTER_H

#include "../helpers.h"

#include <push/nats.h>

/* The frame of a test, which ends what it started. */
#define CLUSTER_TEST(function)                                                                                     \
    cmocka_unit_test_prestate_setup_teardown(function, test_begin, cluster_end, (void *)#function)
int cluster_end(void **state);

/* ---- Servers --------------------------------------------------------------------------------------------- */

struct server {
    pid_t pid;
    int port, cluster_port;
    const char *routes; /* a cluster: the URL of another's cluster port, or "" */
    const char *user;   /* NULL: anybody; else who, with his name as the password */
    bool stream;
    char url[40];
    char folder[64];
};

/* Both leave the test skipped where there is no nats-server. */
struct server *start_server(void);        /* alone, without streams */
struct server *start_stream_server(void); /* alone, with them */
/* Two servers that are one cluster. */
void start_two_servers(struct server **a, struct server **b);
/* A port on which nothing listens yet, for a server that comes later. */
struct server *reserve_server(void);
void start_reserved(struct server *server);

void kill_server(struct server *server);    /* -KILL */
void restart_server(struct server *server); /* on the same port, with what it had on disk */
void stop_server(struct server *server);    /* -STOP: it is there and does nothing */
void continue_server(struct server *server);

/* ---- Nodes ----------------------------------------------------------------------------------------------- */

struct node;

struct node *start_node(void);
/* start_node, connect with the format's words, wait. */
struct node *connected_node(const struct server *server, const char *options);
void kill_node(struct node *node);
void end_node(struct node *node); /* closes its input, and expects exit status 0 */
void stop_node(struct node *node);
void continue_node(struct node *node);
int node_threads(struct node *node);

/* Sends a command, and returns the answer, which is valid until the next call for that node. */
const char *ask(struct node *node, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Sends it without waiting for the answer; `answer` waits. */
void tell(struct node *node, const char *format, ...) __attribute__((format(printf, 2, 3)));
const char *answer(struct node *node);
long ask_number(struct node *node, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* One of `stat`. */
long stat_of(struct node *node, const char *name);

#define assert_answer(node, expected, ...) assert_string_equal(ask(node, __VA_ARGS__), expected)

/* What `count` and `until` answer. */
struct counted {
    long count, last, lost, disorder;
};
struct counted count_messages(struct node *node, const char *session, const char *client, int quiet_ms);
struct counted count_until(struct node *node, const char *session, const char *client, long last, int ms);

/* The encoded id: of a string, of bytes. Valid until eight others were made. */
const char *E(const char *text);
const char *encoded(push_id id);

#endif
