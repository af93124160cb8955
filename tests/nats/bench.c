/*
 * bench URL SERVER-PID LEVEL (core or stream) [SCALE]: two nodes, each a process, on one server: messages a second,
 * the latency that is added, and what a session costs. Prints lines that begin with "figure: ". SCALE divides the
 * amounts.
 */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <push/nats.h>

enum { STREAM_MESSAGES = 400000, ROUNDS = 10000, WARM_UP = 500, SESSIONS = 100000, SIZE = 16 };

static const char *url, *level_name;
static pid_t server;
static push_nats_level level;
static long scale = 1;
static char position_file[] = "/tmp/push-nats-bench-XXXXXX";

/* ---- Small things ---------------------------------------------------------------------------------------- */

static void check(bool ok, const char *what)
{
    if (!ok) {
        fprintf(stderr, "bench: %s failed: %s\n", what, strerror(errno));
        exit(1);
    }
}

static int64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static void sleep_ms(int ms)
{
    poll(NULL, 0, ms);
}

/* A number out of /proc/PID/status: VmRSS in kB, Threads. */
static long status_of(pid_t pid, const char *key)
{
    char path[40], line[256];
    long value = -1;
    snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
    FILE *file = fopen(path, "r");
    check(file != NULL, path);
    while (fgets(line, sizeof line, file))
        if (strncmp(line, key, strlen(key)) == 0)
            value = strtol(line + strlen(key) + 1, NULL, 10);
    fclose(file);
    return value;
}

static push_nats *node(const char *position)
{
    push_nats_options options = {.level = level, .cluster = "bench", .history = 10, .position_file = position};
    push_nats *n = push_nats_connect(url, &options);
    check(n != NULL, "push_nats_connect");
    check(push_nats_wait(n, 20000) == 0, "push_nats_wait");
    return n;
}

static push_client *client(push_nats *n, push_id session, size_t room)
{
    push_client_options options = {.max_buffer = room, .overflow = PUSH_DROP_OLDEST};
    push_client *c = push_nats_client_open(n, session, push_id_int(1), &options, 20000);
    check(c != NULL, "push_nats_client_open");
    return c;
}

/* What two processes tell each other: a number. */
static void say(int fd, int64_t number)
{
    check(write(fd, &number, sizeof number) == sizeof number, "write");
}

static int64_t hear(int fd)
{
    int64_t number;
    check(read(fd, &number, sizeof number) == sizeof number, "read");
    return number;
}

/* Runs `there` in a process of its own; `in` and `out` are ours to it. */
static pid_t other(void (*there)(int in, int out, long n), long n, int *in, int *out)
{
    int to[2], from[2];
    check(pipe(to) == 0 && pipe(from) == 0, "pipe");
    fflush(stdout);
    pid_t pid = fork();
    check(pid >= 0, "fork");
    if (pid == 0) {
        close(to[1]);
        close(from[0]);
        there(to[0], from[1], n);
        exit(0);
    }
    close(to[0]);
    close(from[1]);
    *in = from[0];
    *out = to[1];
    return pid;
}

static void await(pid_t pid, int in, int out)
{
    int status;
    close(out);
    check(waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0, "the other process");
    close(in);
}

/* ---- Messages a second ----------------------------------------------------------------------------------- */

static void receive(int in, int out, long sessions)
{
    push_nats *n = node(NULL);
    push_poller *poller = push_poller_new();
    for (long i = 0; i < sessions; i++)
        check(push_poller_add(poller, client(n, push_id_int((uint64_t)i), 1 << 20), NULL) == 0, "push_poller_add");
    say(out, 0);
    int64_t expected = hear(in), came = 0, lost = 0;
    push_event events[64];
    push_msg *msgs[256];
    push_nats_stats stats;
    while (came + lost < expected) {
        int ready = push_poller_wait(poller, events, 64, 1000);
        for (int i = 0; i < ready; i++) {
            int count;
            while ((count = push_client_pull_many(events[i].client, msgs, 256, NULL, 0)) > 0) {
                came += count;
                for (int j = 0; j < count; j++)
                    push_msg_unref(msgs[j]);
            }
        }
        if (ready < 0) {
            push_nats_stat(n, &stats);
            lost = (int64_t)stats.lost;
        }
    }
    say(out, now_ns());
    push_nats_stat(n, &stats);
    say(out, (int64_t)stats.lost);
    say(out, status_of(getpid(), "Threads:"));
    hear(in);
    push_nats_close(n, 5000);
}

static void messages_a_second(int done_in, int done_out, long sessions)
{
    int in, out;
    (void)done_in;
    long messages = STREAM_MESSAGES / scale;
    pid_t pid = other(receive, sessions, &in, &out);
    push_nats *n = node(NULL);
    hear(in);
    say(out, messages);
    char bytes[SIZE] = "0123456789abcde";
    int64_t begin = now_ns();
    for (long i = 0; i < messages; i++) {
        push_msg *msg = push_msg_new(bytes, sizeof bytes);
        check(push_nats_push(n, push_id_int((uint64_t)(i % sessions)), msg, PUSH_ID_NONE, -1, NULL) >= 0, "push");
        push_msg_unref(msg);
    }
    int64_t pushed = now_ns(), end = hear(in), lost = hear(in), threads = hear(in);
    check(push_nats_flush(n, 60000) == 0, "push_nats_flush");
    printf("figure: %s, %ld session%s: %.0f messages/s of %d bytes arrive on another node (pushed at %.0f/s); %ld "
           "lost\n",
           level_name, sessions, sessions == 1 ? "" : "s", (double)messages / (double)(end - begin) * 1e9, SIZE,
           (double)messages / (double)(pushed - begin) * 1e9, (long)lost);
    printf("figure: %s: threads of a receiving process: %ld\n", level_name, (long)threads);
    fflush(stdout);
    say(out, 0);
    push_nats_close(n, 5000);
    await(pid, in, out);
    say(done_out, 0);
}

/* ---- Latency --------------------------------------------------------------------------------------------- */

static const char ping[] = "ping", pong[] = "pong";

/* Sends back what comes, until nothing does. n NULL: within this process. */
static void echo_with(push_nats *n, push_client *c)
{
    push_msg *msg;
    while (push_client_pull(c, &msg, -1) >= 0) {
        if (push_msg_size(msg) == 0) {
            push_msg_unref(msg);
            return;
        }
        if (n)
            push_nats_push(n, push_id_str(pong), msg, PUSH_ID_NONE, 0, NULL);
        else {
            push_session *s = push_session_find(push_id_str(pong));
            push_session_send(s, msg, PUSH_ID_NONE, 0, NULL);
            push_session_unref(s);
        }
        push_msg_unref(msg);
    }
}

static void echo(int in, int out, long unused)
{
    (void)unused;
    push_nats *n = node(NULL);
    push_client *c = client(n, push_id_str(ping), 16);
    say(out, 0);
    echo_with(n, c);
    hear(in);
    push_nats_close(n, 5000);
}

static void *echo_thread(void *c)
{
    echo_with(NULL, c);
    return NULL;
}

static void send_to(push_nats *n, const char *session, size_t size)
{
    push_msg *msg = push_msg_new("0123456789abcde", size);
    if (n) {
        push_nats_push(n, push_id_str(session), msg, PUSH_ID_NONE, 0, NULL);
    } else {
        push_session *s = push_session_find(push_id_str(session));
        push_session_send(s, msg, PUSH_ID_NONE, 0, NULL);
        push_session_unref(s);
    }
    push_msg_unref(msg);
}

static int compare(const void *a, const void *b)
{
    int64_t left = *(const int64_t *)a, right = *(const int64_t *)b;
    return (left > right) - (left < right);
}

struct latency {
    double median, p99; /* one way, microseconds */
};

static struct latency measure(push_nats *n, push_client *c)
{
    static int64_t ns[ROUNDS];
    long rounds = ROUNDS / scale;
    push_msg *msg;
    for (long i = -WARM_UP; i < rounds; i++) {
        int64_t begin = now_ns();
        send_to(n, ping, SIZE);
        check(push_client_pull(c, &msg, 20000) >= 0, "push_client_pull");
        push_msg_unref(msg);
        if (i >= 0)
            ns[i] = now_ns() - begin;
    }
    send_to(n, ping, 0);
    qsort(ns, (size_t)rounds, sizeof ns[0], compare);
    return (struct latency){(double)ns[rounds / 2] / 2e3, (double)ns[rounds * 99 / 100] / 2e3};
}

static void latency(int done_in, int done_out, long unused)
{
    int in, out;
    (void)done_in;
    (void)unused;
    pid_t pid = other(echo, 0, &in, &out);
    push_nats *n = node(NULL);
    push_client *c = client(n, push_id_str(pong), 16);
    hear(in);
    struct latency far = measure(n, c);
    say(out, 0);
    push_nats_close(n, 5000);
    await(pid, in, out);

    pthread_t thread;
    push_client *here = push_client_open(push_id_str(ping), push_id_int(1), NULL);
    check(pthread_create(&thread, NULL, echo_thread, here) == 0, "pthread_create");
    struct latency near = measure(NULL, c);
    pthread_join(thread, NULL);
    printf("figure: %s: one way to another node: %.0f us median, %.0f us at 99 %%; between two threads here: %.1f "
           "us, %.1f "
           "us; added: %.0f us\n",
           level_name, far.median, far.p99, near.median, near.p99, far.median - near.median);
    push_client_unref(here);
    push_client_unref(c);
    push_shutdown();
    fflush(stdout);
    say(done_out, 0);
}

/* ---- What a session costs -------------------------------------------------------------------------------- */

static push_id numbered(long i)
{
    static char name[32];
    return push_id_bytes(name, (size_t)snprintf(name, sizeof name, "user-%08ld", i));
}

static double bytes_each(long kilobytes, long count)
{
    return (double)kilobytes * 1024 / (double)count;
}

static void cost(int in, int out, long sessions)
{
    (void)in;
    push_nats *n = node(NULL);
    push_nats_stats stats = {0};
    pid_t self = getpid();
    long start = status_of(self, "VmRSS:");
    for (long i = 0; i < sessions; i++) {
        push_client *c = push_client_open(numbered(i), push_id_int(1), NULL);
        check(c != NULL, "push_client_open");
        push_client_unref(c);
    }
    long opened = status_of(self, "VmRSS:"), server_before = status_of(server, "VmRSS:");
    int64_t begin = now_ns();
    for (long i = 0; i < sessions; i++)
        check(push_nats_join(n, numbered(i), 0) >= 0, "push_nats_join");
    int64_t called = now_ns();
    while (stats.subscriptions < (size_t)sessions) {
        sleep_ms(1);
        push_nats_stat(n, &stats);
    }
    int64_t confirmed = now_ns();
    long joined = status_of(self, "VmRSS:"), server_after = status_of(server, "VmRSS:");
    for (long i = 0; i < sessions; i++) {
        push_msg *msg = push_msg_new("x", 1);
        push_nats_push(n, push_id_int((uint64_t)i), msg, PUSH_ID_NONE, -1, NULL);
        push_msg_unref(msg);
    }
    check(push_nats_flush(n, 120000) == 0, "push_nats_flush");
    long pushed = status_of(self, "VmRSS:");
    printf("figure: %s: %ld sessions joined: %.0f bytes each in libpush, %.0f more in libpush-nats and libnats, "
           "%.0f in "
           "the server; %ld threads\n",
           level_name, sessions, bytes_each(opened - start, sessions), bytes_each(joined - opened, sessions),
           bytes_each(server_after - server_before, sessions), status_of(self, "Threads:"));
    printf("figure: %s: %.0f joins/s called, %.0f/s confirmed by the server; a session pushed to: %.0f bytes\n",
           level_name, (double)sessions / (double)(called - begin) * 1e9,
           (double)sessions / (double)(confirmed - begin) * 1e9, bytes_each(pushed - joined, sessions));
    fflush(stdout);
    begin = now_ns();
    push_nats_close(n, 60000);
    printf("figure: %s: close with %ld sessions joined: %.0f ms\n", level_name, sessions,
           (double)(now_ns() - begin) / 1e6);
    fflush(stdout);
    say(out, 0);
}

/* A node that comes back, in whose absence each of its sessions got a message. */
static void come_back(int in, int out, long sessions)
{
    (void)in;
    push_nats *n = node(position_file);
    push_nats_stats stats = {0};
    int64_t begin = now_ns();
    for (long i = 0; i < sessions; i++)
        check(push_nats_join(n, push_id_int((uint64_t)i + 1), 0) >= 0, "push_nats_join");
    while (stats.caught_up < (uint64_t)sessions) {
        sleep_ms(1);
        push_nats_stat(n, &stats);
    }
    printf("figure: %s: catching up: %.0f sessions/s with a message each\n", level_name,
           (double)sessions / (double)(now_ns() - begin) * 1e9);
    fflush(stdout);
    say(out, 0);
    push_nats_close(n, 60000);
}

/* libnats does not survive a fork: whatever uses it does so in a process of its own. */
static void in_a_process(void (*what)(int in, int out, long n), long n)
{
    int in, out;
    pid_t pid = other(what, n, &in, &out);
    hear(in);
    await(pid, in, out);
}

/* The stream has a message of each session, from what was pushed before; position 1 is that of the first, session
 * 0. */
static void catching_up(long sessions)
{
    int fd = mkstemp(position_file);
    check(fd >= 0 && write(fd, "1\n", 2) == 2, position_file);
    close(fd);
    in_a_process(come_back, sessions);
    unlink(position_file);
}

int main(int argc, char **argv)
{
    if (argc < 4) {
        fprintf(stderr, "usage: bench URL SERVER-PID core|stream [SCALE]\n");
        return 2;
    }
    url = argv[1];
    server = (pid_t)strtol(argv[2], NULL, 10);
    level_name = argv[3];
    level = strcmp(argv[3], "stream") == 0 ? PUSH_NATS_STREAM : PUSH_NATS_CORE;
    if (argc > 4)
        scale = strtol(argv[4], NULL, 10);
    in_a_process(cost, SESSIONS / scale);
    if (level == PUSH_NATS_STREAM)
        catching_up(SESSIONS / scale / 10);
    in_a_process(messages_a_second, 1);
    in_a_process(messages_a_second, 1000);
    in_a_process(latency, 0);
    return 0;
}
