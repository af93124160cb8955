/*
 * A process of a cluster, for the tests: commands on standard input, one a line, and an answer to each on standard
 * output. Ids are encoded as in subjects, but never hashed (i42, bYWxpY2U). At the end of the input the process
 * ends.
 *
 *     connect URLS [cluster=C] [stream] [linger=MS] [max_queued=N] [max_age=MS] [max_pending=N] [history=N]
 * [history_ms=MS] [position=FILE] [user=NAME] 0, or the error wait MS | flush MS | close MS      what the call
 * returned open SESSION CLIENT ROOM POLICY MS 1: confirmed, 0: not yet, or the error (POLICY: block, newest,
 * oldest, disconnect) shut SESSION CLIENT                push_nats_client_close join SESSION MS | leave SESSION
 * what the call returned push SESSION EXCEPT MS TEXT        RC QUEUED DELIVERED TIMED_OUT many SESSION FIRST COUNT
 * MS PAUSE_EVERY pushes FIRST, FIRST + 1, ...: how many the outbox took burst SESSION FIRST COUNT          the same
 * on a thread of its own; `burst` waits for it and answers as many pull SESSION CLIENT MS             RC TEXT count
 * SESSION CLIENT MS pulls numbers until MS pass without one: COUNT LAST LOST DISORDER until SESSION CLIENT LAST MS
 * the same, until LAST has come, or MS have passed stat                               NAME=VALUE ... lost | refused
 * | unpublished       sums of what the callbacks were told fill PREFIX FIRST COUNT            opens a client each
 * in sessions PREFIXn, without waiting: COUNT
 */
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <nats/nats.h>
#include <push/nats.h>

#include "../../src/nats/wire.h"

static push_nats *node;
static atomic_ullong told_lost, told_refused, told_unpublished;

/* ---- Callbacks ------------------------------------------------------------------------------------------- */

static push_msg *on_lost(void *arg, push_id session, uint64_t count)
{
    char text[40];
    (void)arg;
    (void)session;
    atomic_fetch_add(&told_lost, count);
    return push_msg_new(text, (size_t)snprintf(text, sizeof text, "lost %" PRIu64, count));
}

static void on_refused(void *arg, push_id session, push_msg *msg, const push_report *report)
{
    (void)arg;
    (void)session;
    (void)msg;
    atomic_fetch_add(&told_refused, report->timed_out);
}

static void on_unpublished(void *arg, push_id session, push_msg *msg, int error)
{
    (void)arg;
    (void)session;
    (void)msg;
    if (error < 0)
        atomic_fetch_add(&told_unpublished, 1);
}

/* ---- Words of a command ---------------------------------------------------------------------------------- */

static char *rest;

static const char *word(void)
{
    const char *next = strtok_r(NULL, " ", &rest);
    return next ? next : "";
}

static long number(void)
{
    return strtol(word(), NULL, 10);
}

/* Ids stay readable until the next command. */
static push_id id(void)
{
    static char *kept[4];
    static int turn;
    const char *text = word();
    turn = (turn + 1) % 4;
    free(kept[turn]);
    kept[turn] = malloc(strlen(text) + 1);
    return push__nats_decode(text, kept[turn]);
}

static void answer(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    putchar('\n');
    fflush(stdout);
}

static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* ---- Clients --------------------------------------------------------------------------------------------- */

static push_client *client(void)
{
    push_id session = id(), name = id();
    push_session *s = push_session_find(session);
    push_client *c = s ? push_client_find(s, name) : NULL;
    push_session_unref(s);
    return c;
}

static void open_client(void)
{
    push_id session = id(), name = id();
    push_client_options options = {.max_buffer = (size_t)number()};
    const char *policy = word();
    options.overflow = strcmp(policy, "newest") == 0       ? PUSH_DROP_NEWEST
                       : strcmp(policy, "oldest") == 0     ? PUSH_DROP_OLDEST
                       : strcmp(policy, "disconnect") == 0 ? PUSH_DISCONNECT
                                                           : PUSH_BLOCK;
    push_client *c = push_nats_client_open(node, session, name, &options, 0);
    if (!c) {
        answer("%d", -errno);
        return;
    }
    push_client_unref(c); /* it stays, and is found by its id */
    int rc = push_nats_join(node, session, (int)number());
    if (rc >= 0)
        push_nats_leave(node, session);
    answer("%d", rc);
}

static void shut_client(void)
{
    push_client *c = client();
    answer("%d", c ? push_nats_client_close(node, c) : -ENOENT);
}

static void fill(void)
{
    const char *prefix = word();
    long first = number(), count = number();
    push_client_options options = {.max_buffer = 16, .overflow = PUSH_DROP_OLDEST};
    for (long i = first; i < first + count; i++) {
        char name[80];
        snprintf(name, sizeof name, "%s%ld", prefix, i);
        push_client *c = push_nats_client_open(node, push_id_str(name), push_id_int(1), &options, 0);
        if (!c) {
            answer("%d", -errno);
            return;
        }
        push_client_unref(c);
    }
    answer("%ld", count);
}

/* ---- Pulling --------------------------------------------------------------------------------------------- */

static void pull(void)
{
    push_client *c = client();
    push_msg *msg = NULL;
    int rc = c ? push_client_pull(c, &msg, (int)number()) : -ENOENT;
    answer("%d %.*s", rc, (int)push_msg_size(msg), msg ? (const char *)push_msg_data(msg) : "");
    push_msg_unref(msg);
    push_client_unref(c);
}

struct sum {
    long count, last, lost, disorder;
};

static void add(struct sum *sum, const push_msg *msg)
{
    char text[64];
    snprintf(text, sizeof text, "%.*s", (int)push_msg_size(msg), (const char *)push_msg_data(msg));
    if (strncmp(text, "lost ", 5) == 0) {
        sum->lost += strtol(text + 5, NULL, 10);
        return;
    }
    long n = strtol(text, NULL, 10);
    sum->disorder += sum->count > 0 && n <= sum->last;
    sum->last = n;
    sum->count++;
}

/* until: pulls until that number has come, at most `ms` in all; else, until nothing comes for `ms`. */
static void count(bool until)
{
    push_client *c = client();
    long last = until ? number() : -1;
    int64_t ms = number(), deadline = now_ms() + ms;
    struct sum sum = {.last = -1};
    push_msg *msg;
    int rc = 0;

    while (c && rc >= 0 && (!until || sum.last < last)) {
        int64_t left = until ? deadline - now_ms() : ms;
        rc = push_client_pull(c, &msg, left > 0 ? (int)left : 0);
        if (rc < 0)
            break;
        sum.lost += rc;
        add(&sum, msg);
        push_msg_unref(msg);
    }
    push_client_unref(c);
    answer("%ld %ld %ld %ld", sum.count, sum.last, sum.lost, sum.disorder);
}

/* ---- Pushing --------------------------------------------------------------------------------------------- */

static void push(void)
{
    push_id session = id(), except = id();
    int timeout_ms = (int)number();
    push_msg *msg = push_msg_new(rest, strlen(rest));
    push_nats_report report;
    int rc = push_nats_push(node, session, msg, except, timeout_ms, &report);
    push_msg_unref(msg);
    answer("%d %d %zu %zu", rc, report.queued, report.local.delivered, report.local.timed_out);
}

static struct burst {
    pthread_t thread;
    bool running;
    char session[200];
    long first, count, queued;
    int timeout_ms;
    long pause_every;
} burst;

static void *push_numbers(void *arg)
{
    struct burst *b = arg;
    char bytes[200];
    push_id session = push__nats_decode(b->session, bytes);
    for (long i = b->first; i < b->first + b->count; i++) {
        char text[24];
        push_nats_report report;
        push_msg *msg = push_msg_new(text, (size_t)snprintf(text, sizeof text, "%ld", i));
        push_nats_push(node, session, msg, PUSH_ID_NONE, b->timeout_ms, &report);
        b->queued += report.queued;
        push_msg_unref(msg);
        if (b->pause_every > 0 && i % b->pause_every == 0)
            nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL); /* a rate, not a wait for anything */
    }
    return NULL;
}

static void read_burst(void)
{
    burst.queued = 0;
    snprintf(burst.session, sizeof burst.session, "%s", word());
    burst.first = number();
    burst.count = number();
    burst.timeout_ms = (int)number();
    burst.pause_every = number();
}

static void many(void)
{
    read_burst();
    push_numbers(&burst);
    answer("%ld", burst.queued);
}

static void begin_or_join_burst(void)
{
    if (burst.running) {
        pthread_join(burst.thread, NULL);
        burst.running = false;
        answer("%ld", burst.queued);
        return;
    }
    read_burst();
    burst.running = true;
    answer("%d", pthread_create(&burst.thread, NULL, push_numbers, &burst));
}

/* ---- Churn ----------------------------------------------------------------------------------------------- */

enum { CHURNERS = 3, CHURN_SESSIONS = 8 };

struct churner {
    pthread_t thread;
    uint64_t seed;
    long rounds, pushed, pulled, failed;
};

static uint32_t dice(uint64_t *seed)
{
    *seed = *seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*seed >> 33);
}

/* A device that comes, under a name that others may have too, listens a little, and goes. */
static void come_and_go(struct churner *churner, push_id session)
{
    push_client_options options = {.max_buffer = 4, .overflow = PUSH_DROP_OLDEST, .duplicate = PUSH_TAKEOVER};
    if (dice(&churner->seed) % 4 == 0) /* a subscription that waits to be confirmed, and may be left before it is */
        options.duplicate = PUSH_REPLACE;
    push_client *c = push_nats_client_open(node, session, push_id_int(dice(&churner->seed) % 3), &options,
                                           (int)(dice(&churner->seed) % 3) * 5);
    if (!c) {
        churner->failed++;
        return;
    }
    push_msg *msg;
    while (push_client_pull(c, &msg, 0) >= 0) {
        churner->pulled++;
        push_msg_unref(msg);
    }
    churner->failed += push_nats_client_close(node, c) < 0;
}

static void *churn_thread(void *arg)
{
    struct churner *churner = arg;
    for (long i = 0; i < churner->rounds; i++) {
        push_id session = push_id_int(dice(&churner->seed) % CHURN_SESSIONS);
        come_and_go(churner, session);
        push_msg *msg = push_msg_new("churn", 5);
        push_nats_report report;
        push_nats_push(node, push_id_int(dice(&churner->seed) % CHURN_SESSIONS), msg, PUSH_ID_NONE, 0, &report);
        push_msg_unref(msg);
        churner->pushed += report.queued;
    }
    return NULL;
}

static void churn(void)
{
    struct churner churners[CHURNERS];
    long rounds = number(), pushed = 0, pulled = 0, failed = 0;
    for (uint64_t i = 0; i < CHURNERS; i++) {
        churners[i] = (struct churner){.seed = i + (uint64_t)getpid(), .rounds = rounds};
        pthread_create(&churners[i].thread, NULL, churn_thread, &churners[i]);
    }
    for (int i = 0; i < CHURNERS; i++) {
        pthread_join(churners[i].thread, NULL);
        pushed += churners[i].pushed;
        pulled += churners[i].pulled;
        failed += churners[i].failed;
    }
    answer("%ld %ld %ld", pushed, pulled, failed);
}

/* ---- The node -------------------------------------------------------------------------------------------- */

static void connect_node(void)
{
    push_nats_options options = {.on_lost = on_lost, .on_refused = on_refused, .on_unpublished = on_unpublished};
    const char *urls = word();

    for (const char *option = word(); option[0] != '\0'; option = word()) {
        const char *value = strchr(option, '=') ? strchr(option, '=') + 1 : "";
        int n = (int)strtol(value, NULL, 10);
        if (strncmp(option, "cluster=", 8) == 0)
            options.cluster = value;
        else if (strcmp(option, "stream") == 0)
            options.level = PUSH_NATS_STREAM;
        else if (strncmp(option, "linger=", 7) == 0)
            options.linger_ms = n;
        else if (strncmp(option, "max_queued=", 11) == 0)
            options.max_queued = (size_t)n;
        else if (strncmp(option, "max_age=", 8) == 0)
            options.max_age_ms = n;
        else if (strncmp(option, "max_pending=", 12) == 0)
            options.max_pending = n;
        else if (strncmp(option, "history=", 8) == 0)
            options.history = (size_t)n;
        else if (strncmp(option, "history_ms=", 11) == 0)
            options.history_ms = n;
        else if (strncmp(option, "user=", 5) == 0)
            options.user = options.password = value;
        else if (strncmp(option, "position=", 9) == 0)
            options.position_file = value;
    }
    node = push_nats_connect(urls, &options);
    answer("%d", node ? 0 : -errno);
}

static void stat_node(void)
{
    push_nats_stats s;
    push_nats_stat(node, &s);
    answer("connected=%d ready=%d reconnects=%" PRIu64 " published=%" PRIu64 " resent=%" PRIu64
           " unpublished=%" PRIu64 " queued=%zu received=%" PRIu64 " caught_up=%" PRIu64 " duplicates=%" PRIu64
           " lost=%" PRIu64 " refused=%" PRIu64 " dropped=%" PRIu64 " sessions=%zu subscriptions=%zu error=%s",
           s.connected, s.ready, s.reconnects, s.published, s.resent, s.unpublished, s.queued, s.received,
           s.caught_up, s.duplicates, s.lost, s.refused, s.dropped, s.sessions, s.subscriptions, s.error);
}

static void close_node(void)
{
    answer("%d", push_nats_close(node, (int)number()));
    node = NULL;
}

static void obey(const char *command)
{
    if (strcmp(command, "connect") == 0)
        connect_node();
    else if (strcmp(command, "wait") == 0)
        answer("%d", push_nats_wait(node, (int)number()));
    else if (strcmp(command, "flush") == 0)
        answer("%d", push_nats_flush(node, (int)number()));
    else if (strcmp(command, "close") == 0)
        close_node();
    else if (strcmp(command, "open") == 0)
        open_client();
    else if (strcmp(command, "shut") == 0)
        shut_client();
    else if (strcmp(command, "join") == 0) {
        push_id session = id();
        answer("%d", push_nats_join(node, session, (int)number()));
    } else if (strcmp(command, "leave") == 0)
        answer("%d", push_nats_leave(node, id()));
    else if (strcmp(command, "push") == 0)
        push();
    else if (strcmp(command, "many") == 0)
        many();
    else if (strcmp(command, "burst") == 0)
        begin_or_join_burst();
    else if (strcmp(command, "pull") == 0)
        pull();
    else if (strcmp(command, "count") == 0)
        count(false);
    else if (strcmp(command, "until") == 0)
        count(true);
    else if (strcmp(command, "stat") == 0)
        stat_node();
    else if (strcmp(command, "lost") == 0)
        answer("%llu", atomic_load(&told_lost));
    else if (strcmp(command, "refused") == 0)
        answer("%llu", atomic_load(&told_refused));
    else if (strcmp(command, "unpublished") == 0)
        answer("%llu", atomic_load(&told_unpublished));
    else if (strcmp(command, "churn") == 0)
        churn();
    else if (strcmp(command, "fill") == 0)
        fill();
    else
        answer("what?");
}

int main(void)
{
    char *line = NULL;
    size_t capacity = 0;
    ssize_t size;

    while ((size = getline(&line, &capacity, stdin)) > 0) {
        if (line[size - 1] == '\n')
            line[size - 1] = '\0';
        obey(strtok_r(line, " ", &rest));
    }
    free(line);
    if (node)
        push_nats_close(node, 0);
    push_shutdown();
    nats_CloseAndWait(5000);
    return 0;
}
