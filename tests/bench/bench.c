/*
 * The harness of the drivers in C: bench_PEER PEER WORKLOAD N COUNT [PUSHERS]
 *
 *     threads  N threads, each blocked on its own mailbox; COUNT messages streamed to all   deliveries/s
 *     drain    one thread serves all N mailboxes; COUNT messages streamed to all            deliveries/s
 *     hot      COUNT round trips between two threads                                        ns a round trip
 *     cold     the same, each message after 1 ms of silence                                 ns, median
 *     idle     N blocked threads for COUNT ms                                               CPU us a second
 *     slow     N blocked threads, COUNT messages at 1000 a second                           CPU ns a delivery
 *     memory   COUNT groups of one receiver with room for N messages                        heap bytes each
 *
 * and what the peer adds. Prints lines of `workload peer n value unit`, with a `-` for a value where the peer
 * cannot do it. Every message is checked at every receiver: a driver that prints a value has delivered
 * everything (or, if it is lossy, has counted what it lost).
 *
 * SPDX-License-Identifier: MIT
 */
#include "bench.h"

#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

enum { CAPACITY = 128, STACK = 128 * 1024, SILENCE_NS = 1000000 };

void die(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    exit(1);
}

void must(bool ok, const char *what)
{
    if (!ok)
        die("%s: %s", what, strerror(errno));
}

void must_zero(int rc, const char *what)
{
    if (rc != 0)
        die("%s: %s", what, strerror(rc));
}

void *must_alloc(size_t count, size_t size)
{
    void *p = calloc(count, size);
    must(p != NULL, "calloc");
    return p;
}

uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

void sleep_until(uint64_t ns)
{
    struct timespec t = {.tv_sec = (time_t)(ns / 1000000000), .tv_nsec = (long)(ns % 1000000000)};
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL) == EINTR)
        continue;
}

double heap_bytes(void)
{
    struct mallinfo2 m = mallinfo2();
    return (double)(m.uordblks + m.hblkhd);
}

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

double median(uint64_t *values, size_t count)
{
    qsort(values, count, sizeof values[0], compare);
    return count % 2 ? (double)values[count / 2] : (double)(values[count / 2 - 1] + values[count / 2]) / 2;
}

void result(const char *workload, const char *peer, size_t n, double value, const char *unit)
{
    printf("%s %s %zu %.6g %s\n", workload, peer, n, value, unit);
}

static void cannot(const char *workload, const char *peer, size_t n, const char *why)
{
    printf("%s %s %zu - %s\n", workload, peer, n, why);
}

struct message *message_new(const struct payload *p, size_t refs)
{
    struct message *m = malloc(sizeof *m);
    must(m != NULL, "malloc");
    atomic_init(&m->refs, refs);
    m->payload = *p;
    return m;
}

void message_take(struct message *m, struct payload *p)
{
    *p = m->payload;
    if (atomic_fetch_sub_explicit(&m->refs, 1, memory_order_acq_rel) == 1)
        free(m);
}

bool receive(struct receiver *r, uint64_t want, bool lossy, const struct payload *p)
{
    if (lossy && p->seq == BENCH_END) {
        if (r->next[0] == BENCH_END)
            return false; /* the end comes until everybody has seen it */
        r->next[0] = BENCH_END;
        return true;
    }
    if (p->tag >= BENCH_PUSHERS)
        die("torn message: seq %llu, tag %llu", (unsigned long long)p->seq, (unsigned long long)p->tag);
    uint64_t next = r->next[p->tag];
    if (lossy ? p->seq < next : p->seq != next)
        die("pusher %llu: message %llu where %llu was due", (unsigned long long)p->tag, (unsigned long long)p->seq,
            (unsigned long long)next);
    r->next[p->tag] = p->seq + 1;
    r->received++;
    return !lossy && r->received == want;
}

/* ---- Streaming ------------------------------------------------------------------------------------------- */

struct stream {
    const struct peer *peer;
    struct group *group;
    size_t receivers;
    size_t pushers;
    uint64_t count; /* messages of each pusher */
    uint64_t gap;   /* ns from one message to the next; 0: as fast as it goes */
    pthread_barrier_t start;
    atomic_size_t waiting;      /* receivers that are about to wait for their first message */
    atomic_size_t unfinished;   /* receivers that miss messages */
    atomic_uint_fast64_t total; /* messages received, by all */
    uint64_t ended;
};

struct task {
    struct stream *stream;
    size_t index;
    pthread_t thread;
};

static void spawn(pthread_t *thread, void *(*run)(void *), void *arg)
{
    pthread_attr_t attr;
    must_zero(pthread_attr_init(&attr), "pthread_attr_init");
    must_zero(pthread_attr_setstacksize(&attr, STACK), "pthread_attr_setstacksize");
    must_zero(pthread_create(thread, &attr, run, arg), "pthread_create");
    pthread_attr_destroy(&attr);
}

static void finish(struct stream *s, uint64_t received, size_t receivers)
{
    uint64_t now = now_ns();
    atomic_fetch_add(&s->total, received);
    if (atomic_fetch_sub(&s->unfinished, receivers) == receivers)
        s->ended = now; /* the last to finish */
}

static void *pull_all(void *arg)
{
    struct task *t = arg;
    struct stream *s = t->stream;
    struct receiver r = {0};
    struct payload p;
    atomic_fetch_add(&s->waiting, 1);
    do {
        s->peer->pull(s->group, t->index, &p);
    } while (!receive(&r, s->count * s->pushers, s->peer->lossy, &p));
    finish(s, r.received, 1);
    return NULL;
}

static void *drain_all(void *arg)
{
    struct stream *s = ((struct task *)arg)->stream;
    struct delivery d = {.receivers = must_alloc(s->receivers, sizeof *d.receivers),
                         .open = s->receivers,
                         .want = s->count * s->pushers,
                         .lossy = s->peer->lossy};
    atomic_fetch_add(&s->waiting, 1);
    s->peer->drain(s->group, &d);
    uint64_t received = 0;
    for (size_t i = 0; i < s->receivers; i++)
        received += d.receivers[i].received;
    free(d.receivers);
    finish(s, received, s->receivers);
    return NULL;
}

static void *push_all(void *arg)
{
    struct task *t = arg;
    struct stream *s = t->stream;
    pthread_barrier_wait(&s->start);
    uint64_t due = now_ns();
    for (uint64_t i = 0; i < s->count; i++) {
        if (s->gap > 0)
            sleep_until(due += s->gap);
        s->peer->push(s->group, t->index, &(struct payload){.seq = i, .tag = t->index});
    }
    return NULL;
}

static uint64_t cpu_ns(void)
{
    struct rusage u;
    must(getrusage(RUSAGE_SELF, &u) == 0, "getrusage");
    return ((uint64_t)u.ru_utime.tv_sec + (uint64_t)u.ru_stime.tv_sec) * 1000000000 +
           ((uint64_t)u.ru_utime.tv_usec + (uint64_t)u.ru_stime.tv_usec) * 1000;
}

struct outcome {
    uint64_t elapsed; /* ns from the start of the pushers until everybody has everything */
    uint64_t cpu;     /* ns of the process in that time */
    uint64_t idle;    /* ns of CPU in the silence before it */
    uint64_t total;   /* messages received */
};

/* Runs the receivers (`tasks` threads of `run`), lets them be idle for `silence` ns, and the pushers. */
static struct outcome stream(struct stream *s, void *(*run)(void *), size_t tasks, uint64_t silence)
{
    struct task *pull = must_alloc(tasks, sizeof *pull), *push = must_alloc(s->pushers, sizeof *push);
    struct outcome out = {0};
    s->group = s->peer->open(s->receivers, CAPACITY, s->pushers);
    atomic_store(&s->unfinished, s->receivers);
    must_zero(pthread_barrier_init(&s->start, NULL, (unsigned)s->pushers + 1), "pthread_barrier_init");

    for (size_t i = 0; i < tasks; i++) {
        pull[i] = (struct task){.stream = s, .index = i};
        spawn(&pull[i].thread, run, &pull[i]);
    }
    for (size_t i = 0; i < s->pushers; i++) {
        push[i] = (struct task){.stream = s, .index = i};
        spawn(&push[i].thread, push_all, &push[i]);
    }
    while (atomic_load(&s->waiting) < tasks)
        sleep_until(now_ns() + SILENCE_NS);
    if (silence > 0) {
        sleep_until(now_ns() + silence / 4); /* the threads' start is not what is measured */
        out.idle = cpu_ns();
        sleep_until(now_ns() + silence);
        out.idle = cpu_ns() - out.idle;
    }

    out.cpu = cpu_ns();
    out.elapsed = now_ns();
    pthread_barrier_wait(&s->start);
    for (size_t i = 0; i < s->pushers; i++)
        must_zero(pthread_join(push[i].thread, NULL), "pthread_join");
    while (s->peer->lossy && atomic_load(&s->unfinished) > 0) {
        s->peer->push(s->group, 0, &(struct payload){.seq = BENCH_END});
        sleep_until(now_ns() + SILENCE_NS);
    }
    for (size_t i = 0; i < tasks; i++)
        must_zero(pthread_join(pull[i].thread, NULL), "pthread_join");
    out.elapsed = s->ended - out.elapsed;
    out.cpu = cpu_ns() - out.cpu;
    out.total = atomic_load(&s->total);

    pthread_barrier_destroy(&s->start);
    s->peer->close(s->group);
    free(pull);
    free(push);
    return out;
}

static void run_stream(const struct peer *peer, const char *workload, size_t n, uint64_t count, size_t pushers)
{
    bool threads = strcmp(workload, "threads") == 0;
    struct stream s = {.peer = peer, .receivers = n, .pushers = pushers, .count = count / pushers};
    struct outcome o = stream(&s, threads ? pull_all : drain_all, threads ? n : 1, 0);
    result(workload, peer->name, n, (double)o.total * 1e9 / (double)o.elapsed, "deliveries/s");
    if (peer->lossy)
        result("lost", peer->name, n, 100 * (1 - (double)o.total / (double)(s.count * pushers * n)), "%");
}

static void run_idle(const struct peer *peer, size_t n, uint64_t count)
{
    uint64_t silence = count * SILENCE_NS;
    struct stream s = {.peer = peer, .receivers = n, .pushers = 1, .count = 1};
    struct outcome o = stream(&s, pull_all, n, silence);
    result("idle", peer->name, n, (double)o.idle * 1e6 / (double)silence, "us/s");
}

static void run_slow(const struct peer *peer, size_t n, uint64_t count)
{
    struct stream s = {.peer = peer, .receivers = n, .pushers = 1, .count = count, .gap = SILENCE_NS};
    struct outcome o = stream(&s, pull_all, n, SILENCE_NS);
    result("slow", peer->name, n, (double)o.cpu / (double)o.total, "ns");
}

/* ---- Round trips ----------------------------------------------------------------------------------------- */

struct trip {
    const struct peer *peer;
    struct group *ping, *pong;
    uint64_t count;
    uint64_t silence;
    uint64_t *there, *back; /* ns of each way, where there is a silence before each message */
};

/* Waits for message i; returns how long it was on its way. */
static uint64_t trip_pull(struct trip *t, struct group *g, uint64_t i)
{
    struct payload p;
    t->peer->pull(g, 0, &p);
    if (p.seq != i)
        die("round trip: message %llu where %llu was due", (unsigned long long)p.seq, (unsigned long long)i);
    return t->silence > 0 ? now_ns() - p.tag : 0;
}

static void trip_push(struct trip *t, struct group *g, uint64_t i)
{
    struct payload p = {.seq = i};
    if (t->silence > 0) {
        sleep_until(now_ns() + t->silence);
        p.tag = now_ns();
    }
    t->peer->push(g, 0, &p);
}

static void *trip_echo(void *arg)
{
    struct trip *t = arg;
    for (uint64_t i = 0; i < t->count; i++) {
        t->there[i] = trip_pull(t, t->ping, i);
        trip_push(t, t->pong, i);
    }
    return NULL;
}

static void run_trip(const struct peer *peer, const char *workload, uint64_t count)
{
    struct trip t = {.peer = peer,
                     .ping = peer->open(1, CAPACITY, 1),
                     .pong = peer->open(1, CAPACITY, 1),
                     .count = count,
                     .silence = strcmp(workload, "cold") == 0 ? SILENCE_NS : 0,
                     .there = must_alloc(count, sizeof(uint64_t)),
                     .back = must_alloc(count, sizeof(uint64_t))};
    pthread_t echo;
    spawn(&echo, trip_echo, &t);
    uint64_t start = now_ns();
    for (uint64_t i = 0; i < count; i++) {
        trip_push(&t, t.ping, i);
        t.back[i] = trip_pull(&t, t.pong, i);
    }
    uint64_t elapsed = now_ns() - start;
    must_zero(pthread_join(echo, NULL), "pthread_join");
    for (uint64_t i = 0; i < count; i++)
        t.there[i] += t.back[i];
    result(workload, peer->name, 1, t.silence > 0 ? median(t.there, count) : (double)elapsed / (double)count, "ns");
    peer->close(t.ping);
    peer->close(t.pong);
    free(t.there);
    free(t.back);
}

/* ---- Memory ---------------------------------------------------------------------------------------------- */

static void run_memory(const struct peer *peer, size_t n, uint64_t count)
{
    struct group **groups = must_alloc(count, sizeof *groups);
    peer->close(peer->open(1, n, 1)); /* what is allocated once in a process does not count */
    double before = heap_bytes();
    for (uint64_t i = 0; i < count; i++)
        groups[i] = peer->open(1, n, 1);
    result("memory", peer->name, n, (heap_bytes() - before) / (double)count, "bytes");
    for (uint64_t i = 0; i < count; i++)
        peer->close(groups[i]);
    free(groups);
}

/* ---- Main ------------------------------------------------------------------------------------------------ */

static uint64_t number(const char *text)
{
    char *end;
    errno = 0;
    unsigned long long n = strtoull(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0' || n == 0)
        die("not a number above 0: %s", text);
    return n;
}

/* As many descriptors as the system lets us have; returns how many that is. */
static size_t descriptor_limit(void)
{
    struct rlimit l = {.rlim_cur = 65536, .rlim_max = 65536};
    if (setrlimit(RLIMIT_NOFILE, &l) != 0) {
        must(getrlimit(RLIMIT_NOFILE, &l) == 0, "getrlimit");
        l.rlim_cur = l.rlim_max;
        must(setrlimit(RLIMIT_NOFILE, &l) == 0, "setrlimit");
    }
    return l.rlim_cur;
}

int main(int argc, char **argv)
{
    if (argc < 5 || argc > 6)
        die("usage: %s PEER WORKLOAD N COUNT [PUSHERS]", argv[0]);
    const struct peer *peer = peers;
    while (peer->name != NULL && strcmp(peer->name, argv[1]) != 0)
        peer++;
    if (peer->name == NULL)
        die("no peer %s here", argv[1]);
    const char *workload = argv[2];
    size_t n = number(argv[3]);
    uint64_t count = number(argv[4]);
    size_t pushers = argc > 5 ? number(argv[5]) : 1;
    if (pushers > BENCH_PUSHERS || count < pushers)
        die("at most %d pushers, with a message each", BENCH_PUSHERS);
    size_t descriptors = descriptor_limit() - 64; /* the program's own */
    bool threads = strcmp(workload, "threads") == 0, drain = strcmp(workload, "drain") == 0;
    bool idle = strcmp(workload, "idle") == 0, slow = strcmp(workload, "slow") == 0;
    bool trip = strcmp(workload, "hot") == 0 || strcmp(workload, "cold") == 0;

    if (peer->run != NULL && peer->run(peer, workload, n, count))
        return 0;
    if ((threads || idle || slow || trip) && peer->pull == NULL)
        cannot(workload, peer->name, n, "no waiting for one mailbox");
    else if (drain && peer->drain == NULL)
        cannot(workload, peer->name, n, "no waiting for several mailboxes");
    else if ((threads || drain) && peer->descriptors * n > descriptors)
        cannot(workload, peer->name, n, "more descriptors than a process may have");
    else if (threads || drain)
        run_stream(peer, workload, n, count, pushers);
    else if (idle)
        run_idle(peer, n, count);
    else if (slow)
        run_slow(peer, n, count);
    else if (trip)
        run_trip(peer, workload, count);
    else if (strcmp(workload, "memory") == 0)
        run_memory(peer, n, count);
    else
        die("no workload %s", workload);
    return 0;
}
