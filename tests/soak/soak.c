/*
 * Many deliveries, and what is left of them: nothing. Every message is numbered, for each pusher and session, and
 * every reader knows which number comes next. Work comes in epochs; at the end of each, all mailboxes are empty and
 * no thread but this one is left, and what the library holds then must be, to the byte, what it held at the end of
 * the first.
 *
 *     soak DELIVERIES SEED
 *
 * In each of the sessions whose clients all block: a client read by pull, one by pull_many, one by poll(2) and
 * pull, one by a poller that all sessions share, and a visitor, who comes and goes, or takes over from himself.
 * Every one of them must see every number once, in order. In each of those that drop: two clients that lose the
 * oldest or the newest, and are told how many, and a visitor who is disconnected.
 */
#include "../helpers.h"

#include <fcntl.h>
#include <malloc.h>
#include <poll.h>
#include <unistd.h>

enum {
    BLOCKING = 3, /* sessions */
    DROPPING = 2, /* the first of them has one pusher, so that each gap is known at its place */
    SESSIONS = BLOCKING + DROPPING,
    READERS = 4, /* clients that stay, in a blocking session; two in a dropping one */
    CLIENTS = BLOCKING * READERS + DROPPING * 2,
    PUSHERS = 2,
    CAPACITY = 512,
    BATCH = 32,
    EACH = 20000, /* messages of a pusher to each session, in an epoch */
    THREADS = PUSHERS + SESSIONS + CLIENTS,
    ARENAS = 2
};

struct parcel {
    uint32_t pusher;
    uint32_t last; /* of the epoch */
    uint64_t number;
};

/* ---- Memory: every byte that the library holds ------------------------------------------------------------ */

static atomic_long bytes;
static atomic_long blocks;

union header {
    size_t size;
    max_align_t align;
};

static void *count_block(union header *block, size_t size, long before)
{
    if (!block)
        return NULL;
    block->size = size;
    atomic_fetch_add_explicit(&bytes, (long)size - before, memory_order_relaxed);
    return block + 1;
}

static void *soak_malloc(size_t size)
{
    void *p = count_block(malloc(sizeof(union header) + size), size, 0);
    if (p)
        atomic_fetch_add_explicit(&blocks, 1, memory_order_relaxed);
    return p;
}

static void *soak_realloc(void *p, size_t size)
{
    if (!p)
        return soak_malloc(size);
    union header *old = (union header *)p - 1;
    long before = (long)old->size;
    return count_block(realloc(old, sizeof(union header) + size), size, before);
}

static void soak_free(void *p)
{
    if (!p)
        return;
    union header *block = (union header *)p - 1;
    atomic_fetch_sub_explicit(&bytes, (long)block->size, memory_order_relaxed);
    atomic_fetch_sub_explicit(&blocks, 1, memory_order_relaxed);
    free(block);
}

static long resident_bytes(void)
{
    long pages = 0;
    FILE *f = fopen("/proc/self/statm", "re");
    if (!f || fscanf(f, "%*d %ld", &pages) != 1)
        pages = -1;
    if (f)
        fclose(f);
    return pages * sysconf(_SC_PAGESIZE);
}

/* ---- Who reads, and what he has seen ---------------------------------------------------------------------- */

struct reader {
    push_client *c;
    bool drops;
    bool one_pusher;
    uint64_t next[PUSHERS];
    bool over[PUSHERS];
    uint64_t received, lost, missing;
};

/* A reader's client has been so long that all its numbers count from 0; a visitor's count from the first that he
 * sees. */
enum { UNKNOWN = -1 };

static void reader_take(struct reader *r, push_msg *msg, size_t lost)
{
    struct parcel parcel = {.pusher = PUSHERS};
    if (EXPECT(push_msg_size(msg) == sizeof(parcel)))
        memcpy(&parcel, push_msg_data(msg), sizeof(parcel));
    push_msg_unref(msg);
    if (!EXPECT(parcel.pusher < PUSHERS))
        return;
    uint64_t *next = &r->next[parcel.pusher];
    if (*next == (uint64_t)UNKNOWN)
        *next = parcel.number;
    if (r->drops)
        EXPECT(parcel.number >= *next);
    else
        EXPECT(parcel.number == *next && lost == 0);
    if (r->drops && r->one_pusher)
        EXPECT(parcel.number - *next == lost);
    r->missing += parcel.number - *next;
    r->lost += lost;
    *next = parcel.number + 1;
    r->over[parcel.pusher] = parcel.last;
    r->received++;
}

static bool reader_is_through(const struct reader *r)
{
    for (size_t i = 0; i < PUSHERS; i++) {
        if (!r->over[i])
            return false;
    }
    return true;
}

static struct reader readers[CLIENTS];
static struct reader *blocking[BLOCKING], *dropping[DROPPING];
static push_session *sessions[SESSIONS];
static push_poller *poller;

static void read_one_by_one(struct reader *r)
{
    while (!reader_is_through(r)) {
        push_msg *msg;
        int rc = push_client_pull(r->c, &msg, -1);
        if (!EXPECT(rc >= 0))
            return;
        reader_take(r, msg, (size_t)rc);
    }
}

/* Without waiting, or up to the first: false where there was none. */
static bool read_batch(struct reader *r, int timeout_ms)
{
    push_msg *msgs[BATCH];
    size_t lost;
    int n = push_client_pull_many(r->c, msgs, BATCH, &lost, timeout_ms);
    EXPECT(n > 0 || n == -EAGAIN);
    for (int i = 0; i < n; i++)
        reader_take(r, msgs[i], i == 0 ? lost : 0);
    return n > 0;
}

static void read_by_poll(struct reader *r)
{
    struct pollfd p = {.fd = push_client_fd(r->c), .events = POLLIN};
    EXPECT(p.fd >= 0);
    while (!reader_is_through(r)) {
        EXPECT(poll(&p, 1, -1) == 1);
        while (read_batch(r, 0))
            continue;
    }
}

static void read_by_poller(void)
{
    size_t through = 0;
    while (through < BLOCKING) {
        push_event events[BLOCKING];
        int n = push_poller_wait(poller, events, BLOCKING, -1);
        EXPECT(n > 0);
        for (int i = 0; i < n; i++) {
            struct reader *r = events[i].data;
            bool was_through = reader_is_through(r);
            read_batch(r, 0);
            through += reader_is_through(r) && !was_through;
        }
    }
}

/* One thread each: a role is its place in the list of clients. */
static void read_in_a_way(void *arg)
{
    size_t i = (size_t)((struct reader *)arg - readers);
    struct reader *r = arg;
    size_t way = i < BLOCKING * READERS ? i % READERS : i % 2;
    if (way == 0) {
        read_one_by_one(r);
    } else if (way == 1) {
        while (!reader_is_through(r))
            read_batch(r, -1);
    } else if (way == 2) {
        read_by_poll(r);
    } else if (i == READERS - 1) {
        read_by_poller(); /* the first session's thread serves those of the others, too */
    }
}

/* ---- Visitors --------------------------------------------------------------------------------------------- */

static atomic_bool visits_over;
static _Atomic uint64_t visitors_received, visits;

struct visitor {
    size_t session;
    uint64_t random;
};

static void begin_visit(struct reader *r)
{
    for (size_t i = 0; i < PUSHERS; i++)
        r->next[i] = (uint64_t)UNKNOWN;
}

/* Some messages; false where the client was closed and is drained. */
static bool read_some(struct reader *r, int many)
{
    for (int i = 0; i < many; i++) {
        push_msg *msg;
        int rc = push_client_pull(r->c, &msg, 1);
        if (rc >= 0)
            reader_take(r, msg, (size_t)rc);
        else if (rc == -EPIPE)
            return false;
        else if (!EXPECT(rc == -ETIMEDOUT) || atomic_load(&visits_over))
            return true;
    }
    return true;
}

/* Everything that got into the mailbox came out of it. */
static void end_visit(struct reader *r)
{
    push_client_stats stats;
    push_client_delete(r->c);
    while (read_some(r, BATCH))
        continue;
    EXPECT(push_client_stat(r->c, &stats) == 0);
    EXPECT(stats.pushed == r->received && stats.pulled == r->received && stats.queued == 0);
    push_client_unref(r->c);
    atomic_fetch_add(&visitors_received, r->received);
    atomic_fetch_add(&visits, 1);
}

static void visit(void *arg)
{
    struct visitor *v = arg;
    bool drops = v->session >= BLOCKING;
    push_client_options options = {.max_buffer = drops ? 4 : CAPACITY,
                                   .overflow = drops ? PUSH_DISCONNECT : PUSH_BLOCK,
                                   .duplicate = PUSH_REFUSE};
    while (!atomic_load(&visits_over)) {
        struct reader r = {.c = push_client_new(sessions[v->session], PUSH_ID("visitor"), &options)};
        if (!EXPECT(r.c != NULL))
            return;
        begin_visit(&r);
        bool open = read_some(&r, 1 + (int)(random_next(&v->random) % 2000));
        /* He comes back by another connection: what the mailbox holds goes on where he was. */
        if (open && !drops && random_next(&v->random) % 2) {
            push_client_options again = options;
            again.duplicate = PUSH_TAKEOVER;
            push_client *old = r.c;
            r.c = push_client_new(sessions[v->session], PUSH_ID("visitor"), &again);
            push_client_unref(old);
            if (!EXPECT(r.c != NULL))
                return;
            read_some(&r, 1 + (int)(random_next(&v->random) % 2000));
        }
        end_visit(&r);
    }
}

/* ---- Pushers ---------------------------------------------------------------------------------------------- */

struct pusher {
    uint32_t me;
    uint64_t random;
    uint64_t numbers[SESSIONS];
};
static struct pusher pushers[PUSHERS];

static void push_next(struct pusher *p, size_t s, bool last)
{
    struct parcel parcel = {.pusher = p->me, .last = last, .number = p->numbers[s]++};
    int rc;
    if (parcel.number % 2) {
        rc = push_session_push(sessions[s], &parcel, sizeof(parcel));
    } else {
        push_msg *msg = push_msg_new(&parcel, sizeof(parcel));
        rc = msg ? push_session_send(sessions[s], msg, PUSH_ID_NONE, -1, NULL) : -ENOMEM;
        push_msg_unref(msg);
    }
    EXPECT(rc >= (s < BLOCKING ? READERS : 1));
}

static void push_everywhere(void *arg)
{
    struct pusher *p = arg;
    size_t left[SESSIONS];
    size_t open = 0;
    for (size_t s = 0; s < SESSIONS; s++) {
        left[s] = s == BLOCKING && p->me > 0 ? 0 : EACH;
        open += left[s] > 0;
    }
    while (open > 0) {
        size_t s = random_next(&p->random) % SESSIONS;
        for (uint32_t n = 1 + random_next(&p->random) % 50; left[s] > 0 && n > 0; n--) {
            push_next(p, s, false);
            open -= --left[s] == 0;
        }
    }
}

/* The last message of each pusher, which nobody may drop. */
static void end_epoch(void)
{
    for (size_t s = 0; s < SESSIONS; s++) {
        push_client_stats stats;
        for (size_t k = 0; s >= BLOCKING && k < 2; k++)
            assert_eventually(push_client_stat(dropping[s - BLOCKING][k].c, &stats) == 0 && stats.queued == 0);
        for (size_t i = 0; i < PUSHERS; i++)
            push_next(&pushers[i], s, true);
    }
}

/* ---- The soak --------------------------------------------------------------------------------------------- */

/* Every ring gets as large as it can be, so that no epoch will find it smaller. */
static void fill_and_drain(struct reader *r)
{
    push_msg *msg = push_msg_new("", 0);
    push_msg *got;
    for (int i = 0; i < CAPACITY; i++)
        assert_int_equal(push_client_send(r->c, msg, 0, NULL), 1);
    for (int i = 0; i < CAPACITY; i++) {
        assert_int_equal(push_client_pull(r->c, &got, 0), 0);
        push_msg_unref(got);
    }
    push_msg_unref(msg);
}

static void set_up(void)
{
    char name[16];
    size_t n = 0;
    poller = push_poller_new();
    assert_non_null(poller);
    for (size_t s = 0; s < SESSIONS; s++) {
        bool drops = s >= BLOCKING;
        snprintf(name, sizeof(name), "%s %zu", drops ? "dropping" : "blocking", s);
        sessions[s] = session(name);
        *(drops ? &dropping[s - BLOCKING] : &blocking[s]) = &readers[n];
        for (size_t k = 0; k < (drops ? 2 : READERS); k++) {
            struct reader *r = &readers[n++];
            push_overflow overflow = !drops ? PUSH_BLOCK : k == 0 ? PUSH_DROP_OLDEST : PUSH_DROP_NEWEST;
            snprintf(name, sizeof(name), "client %zu", k);
            *r = (struct reader){.c = client_with(sessions[s], name, CAPACITY, overflow),
                                 .drops = drops,
                                 .one_pusher = s == BLOCKING};
            fill_and_drain(r);
            if (!drops && k == 2)
                assert_true(push_client_fd(r->c) >= 0);
            if (!drops && k == 3)
                assert_int_equal(push_poller_add(poller, r->c, r), 0);
        }
    }
    assert_int_equal(n, CLIENTS);
}

static void run_epoch(uint64_t seed)
{
    struct visitor visitors[SESSIONS];
    for (size_t i = 0; i < CLIENTS; i++)
        memset(readers[i].over, 0, sizeof(readers[i].over));
    for (size_t s = 0; s < SESSIONS; s++)
        visitors[s] = (struct visitor){.session = s, .random = seed + s};
    atomic_store(&visits_over, false);
    struct crew *reading = crew_start(CLIENTS, read_in_a_way, readers, sizeof(readers[0]));
    struct crew *visiting = crew_start(SESSIONS, visit, visitors, sizeof(visitors[0]));
    crew_run(PUSHERS, push_everywhere, pushers, sizeof(pushers[0]));
    atomic_store(&visits_over, true);
    crew_join(visiting);
    end_epoch();
    crew_join(reading);
    assert_expectations();
}

static uint64_t deliveries(void)
{
    uint64_t n = atomic_load(&visitors_received);
    for (size_t i = 0; i < CLIENTS; i++)
        n += readers[i].received;
    return n;
}

/* What each client saw adds up to what was pushed, and to what its statistics say. */
static void check_accounts(void)
{
    for (size_t i = 0; i < CLIENTS; i++) {
        struct reader *r = &readers[i];
        size_t s = i < BLOCKING * READERS ? i / READERS : BLOCKING + (i - BLOCKING * READERS) / 2;
        uint64_t pushed = 0;
        for (size_t k = 0; k < PUSHERS; k++) {
            assert_int_equal(r->next[k], pushers[k].numbers[s]);
            pushed += pushers[k].numbers[s];
        }
        assert_int_equal(r->received + r->lost, pushed);
        assert_int_equal(r->missing, r->lost);
        push_client_stats stats = stats_of(r->c);
        assert_int_equal(stats.pulled, r->received + CAPACITY);
        assert_int_equal(stats.dropped, r->lost);
        assert_int_equal(stats.queued, 0);
        assert_true(stats.high_water <= CAPACITY);
    }
}

/* What may be resident beyond what was after the first epoch. In each of the arenas of the C library, free, what
 * can be alive at once: a full mailbox of each client, and a batch in the hands of each thread, in blocks of less
 * than 128 bytes. And for each thread, by then in another place than before: the pages of its stack that it
 * touches, and what its cache of free blocks holds, together not more than 16 pages. */
static long tolerance(void)
{
    const long alive = ((CLIENTS + SESSIONS) * CAPACITY + THREADS * BATCH) * 128L;
    return ARENAS * alive + THREADS * 16 * sysconf(_SC_PAGESIZE);
}

static uint64_t target;
static uint64_t first_seed;

static void figure(const char *what, long long n)
{
    printf("figure: %s: %lld\n", what, n);
}

static void soak(void **state)
{
    (void)state;
    watchdog("the soak", 900);
    set_up();
    for (uint32_t i = 0; i < PUSHERS; i++)
        pushers[i] = (struct pusher){.me = i, .random = first_seed * 1000 + i};
    int64_t began = now_ns();
    long held = 0, resident = 0, most = 0;
    uint64_t epochs = 0;
    /* Never less than a few: one is no comparison. */
    while (deliveries() < target || epochs < 5) {
        watchdog("an epoch of the soak", 300);
        run_epoch(first_seed + epochs++);
        check_accounts();
        long now = resident_bytes();
        if (epochs == 1) {
            held = atomic_load(&bytes);
            resident = now;
        }
        most = now > most ? now : most;
        assert_int_equal(atomic_load(&bytes), held);
        assert_true(now <= resident + tolerance());
    }
    int64_t took = now_ns() - began;
    uint64_t lost = 0;
    for (size_t i = 0; i < CLIENTS; i++)
        lost += readers[i].lost;
    figure("deliveries", (long long)deliveries());
    figure("deliveries a second, each checked", (long long)((double)deliveries() * 1e9 / (double)took));
    figure("messages dropped, and told of as gaps", (long long)lost);
    figure("clients that came and went", (long long)atomic_load(&visits));
    figure("epochs", (long long)epochs);
    figure("bytes held at the end of each epoch", held);
    figure("kilobytes resident after the first epoch", resident / 1024);
    figure("kilobytes resident at most after a later one, beyond that", (most - resident) / 1024);
    figure("kilobytes that would be tolerated", tolerance() / 1024);
    assert_true(lost > 0);
    assert_true(atomic_load(&visits) > 0);

    for (size_t i = 0; i < CLIENTS; i++)
        push_client_unref(readers[i].c);
    push_poller_free(poller);
    push_shutdown();
    for (size_t s = 0; s < SESSIONS; s++)
        push_session_unref(sessions[s]);
    assert_int_equal(atomic_load(&bytes), 0);
    assert_int_equal(atomic_load(&blocks), 0);
}

int main(int argc, char **argv)
{
    target = argc > 1 ? strtoull(argv[1], NULL, 10) : 20000000;
    first_seed = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
    if (push_set_allocator(soak_malloc, soak_realloc, soak_free) < 0)
        return 1;
#ifdef __GLIBC__
    mallopt(M_ARENA_MAX, ARENAS);
#endif
    const struct CMUnitTest tests[] = {cmocka_unit_test(soak)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
