/*
 * libpush:
 *
 *     push      pushes to a session, pulls by client handle; several clients are served through a poller
 *     push-id   pulls by session handle and client id
 *     push-fd   several clients are served by an epoll loop on their descriptors
 *
 * and workloads of its own:
 *
 *     registry  N sessions of one client: created, found in random order by one and by two threads, deleted
 *     memory    COUNT sessions of one client with room for N messages
 *     push1     COUNT pushes to one client that nobody waits for, and their pulls, all by one thread
 *
 * with, beside them, the bare mechanisms that they cannot do without
 *
 * SPDX-License-Identifier: MIT
 */
#include "bench.h"

#include "../../src/siphash.h"

#include <errno.h>
#include <pthread.h>
#include <push/push.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

enum { EVENTS = 256, BATCH = 128, FINDERS = 2, ID_SIZE = 32 };

struct group {
    uint64_t id;
    size_t receivers;
    push_session *session;
    push_client *clients[];
};

static void check(int rc, const char *what)
{
    if (rc < 0)
        die("%s: %s", what, push_strerror(rc));
}

static struct group *open_group(size_t receivers, size_t capacity, size_t pushers)
{
    (void)pushers;
    static uint64_t groups;
    struct group *g = must_alloc(1, sizeof *g + receivers * sizeof g->clients[0]);
    push_client_options options = {.max_buffer = capacity};
    g->id = groups++;
    g->receivers = receivers;
    g->session = push_session_new(push_id_int(g->id), PUSH_ID_NONE, 0);
    must(g->session != NULL, "push_session_new");
    for (size_t i = 0; i < receivers; i++) {
        g->clients[i] = push_client_new(g->session, push_id_int(i), &options);
        must(g->clients[i] != NULL, "push_client_new");
    }
    return g;
}

static void close_group(struct group *g)
{
    if (!push_session_delete(push_id_int(g->id)))
        die("session %llu had gone", (unsigned long long)g->id);
    for (size_t i = 0; i < g->receivers; i++)
        push_client_unref(g->clients[i]);
    push_session_unref(g->session);
    free(g);
}

static void push(struct group *g, size_t pusher, const struct payload *p)
{
    (void)pusher;
    int rc = push_session_push(g->session, p, sizeof *p);
    check(rc, "push_session_push");
    if ((size_t)rc != g->receivers)
        die("%d of %zu clients took a message", rc, g->receivers);
}

static void take(push_msg *msg, struct payload *p)
{
    if (push_msg_size(msg) != sizeof *p)
        die("a message of %zu bytes", push_msg_size(msg));
    memcpy(p, push_msg_data(msg), sizeof *p);
    push_msg_unref(msg);
}

static void pull(struct group *g, size_t receiver, struct payload *p)
{
    push_msg *msg;
    check(push_client_pull(g->clients[receiver], &msg, -1), "push_client_pull");
    take(msg, p);
}

static void pull_by_id(struct group *g, size_t receiver, struct payload *p)
{
    push_msg *msg;
    check(push_session_pull(g->session, push_id_int(receiver), &msg, -1), "push_session_pull");
    take(msg, p);
}

/* Takes all there is; returns how many. */
static size_t take_all(struct group *g, size_t receiver, struct delivery *d)
{
    push_msg *msgs[BATCH];
    size_t total = 0;
    int count;
    while ((count = push_client_pull_many(g->clients[receiver], msgs, BATCH, NULL, 0)) > 0) {
        for (int i = 0; i < count; i++) {
            struct payload p;
            take(msgs[i], &p);
            deliver(d, receiver, &p);
        }
        total += (size_t)count;
    }
    if (count != -EAGAIN)
        check(count, "push_client_pull_many");
    return total;
}

static void drain_poller(struct group *g, struct delivery *d)
{
    push_event events[EVENTS];
    push_poller *poller = push_poller_new();
    must(poller != NULL, "push_poller_new");
    for (size_t i = 0; i < g->receivers; i++)
        check(push_poller_add(poller, g->clients[i], (void *)i), "push_poller_add");
    while (d->open > 0) {
        int ready = push_poller_wait(poller, events, EVENTS, -1);
        check(ready, "push_poller_wait");
        for (int i = 0; i < ready; i++)
            take_all(g, (size_t)events[i].data, d);
    }
    push_poller_free(poller);
}

static void drain_fds(struct group *g, struct delivery *d)
{
    struct epoll_event events[EVENTS];
    size_t batches = 0, empty = 0;
    int loop = epoll_create1(EPOLL_CLOEXEC);
    must(loop >= 0, "epoll_create1");
    for (size_t i = 0; i < g->receivers; i++) {
        struct epoll_event e = {.events = EPOLLIN, .data.u64 = i};
        int fd = push_client_fd(g->clients[i]);
        check(fd, "push_client_fd");
        must(epoll_ctl(loop, EPOLL_CTL_ADD, fd, &e) == 0, "epoll_ctl");
    }
    while (d->open > 0) {
        int ready = epoll_wait(loop, events, EVENTS, -1);
        must(ready >= 0 || errno == EINTR, "epoll_wait");
        for (int i = 0; i < ready; i++) {
            if (take_all(g, events[i].data.u64, d) > 0)
                batches++;
            else
                empty++;
        }
    }
    close(loop);
    result("batches", "push-fd", g->receivers, (double)batches, "count");
    result("empty", "push-fd", g->receivers, (double)empty, "count");
}

/* ---- The registry ---------------------------------------------------------------------------------------- */

static char (*session_ids(size_t count))[ID_SIZE]
{
    char(*ids)[ID_SIZE] = must_alloc(count, sizeof *ids);
    for (size_t i = 0; i < count; i++)
        snprintf(ids[i], sizeof ids[i], "user-%09zu", i);
    return ids;
}

static void create_all(char (*ids)[ID_SIZE], size_t count, size_t max_buffer)
{
    for (size_t i = 0; i < count; i++) {
        push_session *s = push_session_new(push_id_str(ids[i]), push_id_str("phone"), max_buffer);
        must(s != NULL, "push_session_new");
        push_session_unref(s);
    }
}

static void delete_all(char (*ids)[ID_SIZE], size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (!push_session_delete(push_id_str(ids[i])))
            die("session %s had gone", ids[i]);
}

struct finder {
    pthread_t thread;
    char (*ids)[ID_SIZE]; /* in the order of the look-ups */
    size_t count;
    pthread_barrier_t *start;
};

static void *find(void *arg)
{
    struct finder *f = arg;
    pthread_barrier_wait(f->start);
    for (size_t i = 0; i < f->count; i++) {
        push_id id = push_id_str(f->ids[i]);
        push_session *s = push_session_find(id);
        if (s == NULL || !push_id_equal(push_session_id(s), id))
            die("session %s is not there", f->ids[i]);
        push_session_unref(s);
    }
    return NULL;
}

/* A copy in random order: an id comes fresh from a request, and is in the cache. */
static char (*shuffled(char (*ids)[ID_SIZE], size_t count, uint64_t seed))[ID_SIZE]
{
    char(*copy)[ID_SIZE] = must_alloc(count, sizeof *copy);
    for (size_t i = 0; i < count; i++) {
        seed = seed * 6364136223846793005 + 1442695040888963407;
        size_t j = (size_t)(seed >> 33) % (i + 1);
        memcpy(copy[i], copy[j], sizeof copy[i]);
        memcpy(copy[j], ids[i], sizeof copy[j]);
    }
    return copy;
}

/* ns a look-up, all threads together */
static double time_finds(char (*ids)[ID_SIZE], size_t count, size_t threads)
{
    struct finder finders[FINDERS];
    pthread_barrier_t start;
    must_zero(pthread_barrier_init(&start, NULL, (unsigned)threads + 1), "pthread_barrier_init");
    for (size_t i = 0; i < threads; i++) {
        finders[i] = (struct finder){.ids = shuffled(ids, count, i + 1), .count = count, .start = &start};
        must_zero(pthread_create(&finders[i].thread, NULL, find, &finders[i]), "pthread_create");
    }
    uint64_t begin = now_ns();
    pthread_barrier_wait(&start);
    for (size_t i = 0; i < threads; i++)
        must_zero(pthread_join(finders[i].thread, NULL), "pthread_join");
    uint64_t elapsed = now_ns() - begin;
    for (size_t i = 0; i < threads; i++)
        free(finders[i].ids);
    pthread_barrier_destroy(&start);
    return (double)elapsed / (double)(count * threads);
}

/* The bare mechanism of a look-up: a table and, depending on it, one of as many objects, both larger than the
 * cache; each look-up depends on the one before, as the locks of a real one see to. ns a look-up. */
static double time_reads(size_t count)
{
    enum { OBJECT = 288 };
    size_t **table = must_alloc(count, sizeof(size_t *));
    for (size_t i = 0; i < count; i++) {
        table[i] = must_alloc(1, OBJECT);
        table[i][0] = 0;
    }
    uint64_t seed = 1;
    for (size_t i = 0; i < count; i++) {
        seed = seed * 6364136223846793005 + 1442695040888963407;
        size_t j = (size_t)(seed >> 33) % (i + 1);
        size_t *object = table[i];
        table[i] = table[j];
        table[j] = object;
    }
    uint64_t begin = now_ns();
    for (size_t i = 0; i < count; i++) {
        seed = seed * 6364136223846793005 + 1442695040888963407;
        seed += table[(seed >> 33) % count][0]++;
    }
    double ns = (double)(now_ns() - begin) / (double)count;
    for (size_t i = 0; i < count; i++)
        free(table[i]);
    free(table);
    return ns;
}

/* What deleting leaves to the allocator: two blocks a session, of about those sizes, in the order in which they
 * were made. ns a session. */
static double time_frees(size_t count)
{
    enum { BLOCK = 136 };
    void **blocks = must_alloc(2 * count, sizeof *blocks);
    for (size_t i = 0; i < 2 * count; i++)
        blocks[i] = must_alloc(1, BLOCK);
    uint64_t begin = now_ns();
    for (size_t i = 0; i < 2 * count; i++)
        free(blocks[i]);
    double ns = (double)(now_ns() - begin) / (double)count;
    free(blocks);
    return ns;
}

static void run_registry(const char *name, size_t n)
{
    char(*ids)[ID_SIZE] = session_ids(n);
    uint64_t begin = now_ns();
    create_all(ids, n, 10);
    result("create", name, n, (double)(now_ns() - begin) / (double)n, "ns");
    result("find", name, n, time_finds(ids, n, 1), "ns");
    result("find2", name, n, time_finds(ids, n, 2), "ns");
    result("reads", name, n, time_reads(n), "ns");
    result("frees", name, n, time_frees(n), "ns");
    begin = now_ns();
    delete_all(ids, n);
    result("delete", name, n, (double)(now_ns() - begin) / (double)n, "ns");
    if (push_session_exists(push_id_str(ids[0])))
        die("session %s is left", ids[0]);
    free(ids);
}

static void run_memory(const char *name, size_t n, uint64_t count)
{
    char(*ids)[ID_SIZE] = session_ids(count);
    double before = heap_bytes();
    create_all(ids, count, n);
    result("memory", name, n, (heap_bytes() - before) / (double)count, "bytes");
    delete_all(ids, count);
    free(ids);
}

/* ---- What a look-up by id has to do: ns ------------------------------------------------------------------- */

static double time_hash(size_t count)
{
    const uint64_t secret[2] = {1, 2};
    uint64_t id = 0;
    uint64_t begin = now_ns();
    for (size_t i = 0; i < count; i++)
        id = siphash(secret, &id, sizeof id, 1, 3);
    double ns = (double)(now_ns() - begin) / (double)count;
    if (id == 0)
        die("an unlikely hash");
    return ns;
}

static double time_lock(size_t count)
{
    pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    uint64_t begin = now_ns();
    for (size_t i = 0; i < count; i++) {
        pthread_mutex_lock(&lock);
        pthread_mutex_unlock(&lock);
    }
    return (double)(now_ns() - begin) / (double)count;
}

/* ---- One push -------------------------------------------------------------------------------------------- */

static void run_push1(const struct peer *peer, uint64_t count)
{
    struct group *g = peer->open(1, BATCH, 1);
    size_t rounds = (size_t)count / BATCH;
    uint64_t *pushes = must_alloc(rounds, sizeof *pushes), *pulls = must_alloc(rounds, sizeof *pulls);
    uint64_t *mallocs = must_alloc(rounds, sizeof *mallocs), seq = 0, want = 0;
    void *blocks[BATCH];
    for (size_t r = 0; r < rounds; r++) {
        uint64_t begin = now_ns();
        for (int i = 0; i < BATCH; i++)
            push(g, 0, &(struct payload){.seq = seq++});
        uint64_t pushed = now_ns();
        for (int i = 0; i < BATCH; i++) {
            struct payload p;
            peer->pull(g, 0, &p);
            if (p.seq != want++)
                die("message %llu is not the one that was due", (unsigned long long)p.seq);
        }
        uint64_t pulled = now_ns();
        for (int i = 0; i < BATCH; i++)
            must((blocks[i] = malloc(2 * sizeof(struct payload))) != NULL, "malloc");
        uint64_t allocated = now_ns();
        for (int i = 0; i < BATCH; i++)
            free(blocks[i]);
        pushes[r] = pushed - begin;
        pulls[r] = pulled - pushed;
        mallocs[r] = allocated - pulled;
    }
    result("push1", peer->name, 1, median(pushes, rounds) / BATCH, "ns");
    result("pull1", peer->name, 1, median(pulls, rounds) / BATCH, "ns");
    result("malloc", peer->name, 1, median(mallocs, rounds) / BATCH, "ns");
    result("hash", peer->name, 1, time_hash(count), "ns");
    result("lock", peer->name, 1, time_lock(count), "ns");
    free(pushes);
    free(pulls);
    free(mallocs);
    peer->close(g);
}

static bool run(const struct peer *peer, const char *workload, size_t n, uint64_t count)
{
    if (strcmp(workload, "registry") == 0)
        run_registry(peer->name, n);
    else if (strcmp(workload, "memory") == 0)
        run_memory(peer->name, n, count);
    else if (strcmp(workload, "push1") == 0 && count >= BATCH)
        run_push1(peer, count);
    else
        return false;
    return true;
}

const struct peer peers[] = {
    {.name = "push",
     .open = open_group,
     .close = close_group,
     .push = push,
     .pull = pull,
     .drain = drain_poller,
     .run = run},
    {.name = "push-id", .open = open_group, .close = close_group, .push = push, .pull = pull_by_id, .run = run},
    {.name = "push-fd",
     .descriptors = 1,
     .open = open_group,
     .close = close_group,
     .push = push,
     .drain = drain_fds},
    {.name = NULL},
};
