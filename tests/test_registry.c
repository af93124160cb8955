/*
 * The registry, through the public header: a million sessions and what they weigh, sessions that come and go with
 * their clients in random order against a plain list, threads that meet at one id, fork.
 *
 * PUSH_TEST_SEED=n runs one random sequence; a failure prints its seed.
 */
#include "helpers.h"

#include <malloc.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- Bytes ----------------------------------------------------------------------------------------------- */

static atomic_long bytes_held;

/* What the C library sets aside for a block: its usable part, and its header. */
static long weight(void *p)
{
    return p ? (long)(malloc_usable_size(p) + sizeof(size_t)) : 0;
}

static void *weighing_malloc(size_t size)
{
    void *p = malloc(size);
    atomic_fetch_add(&bytes_held, weight(p));
    return p;
}

static void *weighing_realloc(void *old, size_t size)
{
    long before = weight(old);
    void *p = realloc(old, size);
    if (p)
        atomic_fetch_add(&bytes_held, weight(p) - before);
    return p;
}

static void weighing_free(void *p)
{
    atomic_fetch_sub(&bytes_held, weight(p));
    free(p);
}

static int end_without_a_byte(void **state)
{
    int rc = test_end(state);
    assert_int_equal(atomic_load(&bytes_held), 0);
    return rc;
}

/* ---- A million ------------------------------------------------------------------------------------------- */

enum { MILLION = 1000000 / (SANITIZER_SLOWDOWN > 1 ? 8 * SANITIZER_SLOWDOWN : 1), WEIGHED_FROM = MILLION / 16 };

/* The target for an idle session and its one client together, the registry included. */
enum { MOST_BYTES = 320 };

static void assert_weight(size_t sessions)
{
#if SANITIZER_SLOWDOWN == 1
    double each = (double)atomic_load(&bytes_held) / (double)sessions;
    if (each > (double)MOST_BYTES)
        fail_msg("%zu idle sessions with a client weigh %.1f bytes each", sessions, each);
#else
    (void)sessions;
#endif
}

static void create_all(size_t n, size_t max_buffer)
{
    for (size_t i = 0; i < n; i++) {
        push_session *s = push_session_new(push_id_int(i), push_id_int(i + 1), max_buffer);
        assert_non_null(s);
        push_session_unref(s);
        if ((i + 1) % WEIGHED_FROM == 0)
            assert_weight(i + 1);
    }
}

static void find_all(size_t n, size_t max_buffer)
{
    for (size_t i = 0; i < n; i++) {
        push_session *s = push_session_find(push_id_int(i));
        assert_non_null(s);
        push_client *c = push_client_find(s, push_id_int(i + 1));
        assert_non_null(c);
        assert_int_equal(stats_of(c).max_buffer, max_buffer);
        push_client_unref(c);
        push_session_unref(s);
    }
    assert_null_errno(push_session_find(push_id_int(n)), ENOENT);
    assert_null_errno(push_session_find(push_id_str("0")), ENOENT);
}

/* Each is in the list once. */
static void list_all(size_t n)
{
    size_t count = 0;
    push_id *ids = push_sessions(&count);
    bool *seen = calloc(n, sizeof(*seen));
    assert_non_null(ids);
    assert_non_null(seen);
    assert_int_equal(count, n);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(ids[i].kind, push_id_int(0).kind);
        assert_in_range(ids[i].value, 0, n - 1);
        assert_false(seen[ids[i].value]);
        seen[ids[i].value] = true;
    }
    assert_true(push_id_equal(ids[count], PUSH_ID_NONE));
    free(seen);
    push_ids_free(ids);
}

static void delete_all(size_t n)
{
    for (size_t i = 0; i < n; i++) {
        assert_true(push_session_delete(push_id_int(i)));
        assert_false(push_session_delete(push_id_int(i)));
    }
    assert_int_equal(atomic_load(&bytes_held), 0);
}

static void create_find_list_delete(size_t n, size_t max_buffer)
{
    create_all(n, max_buffer);
#if SANITIZER_SLOWDOWN == 1
    print_message("           max_buffer %zu: %.1f bytes a session with its client\n", max_buffer,
                  (double)atomic_load(&bytes_held) / (double)n);
#endif
    find_all(n, max_buffer);
    list_all(n);
    delete_all(n);
}

static void test_a_million_sessions(void **state)
{
    (void)state;
    create_find_list_delete(MILLION, 1);
}

static void test_sessions_of_usual_size(void **state)
{
    (void)state;
    create_find_list_delete(MILLION / 4, 100);
}

static void test_sessions_without_bounds(void **state)
{
    (void)state;
    create_find_list_delete(MILLION / 4, SIZE_MAX);
}

static void test_shutdown_frees_them_all(void **state)
{
    (void)state;
    create_all(MILLION / 4, 10);
    push_shutdown();
    assert_int_equal(atomic_load(&bytes_held), 0);
}

/* ---- Coming and going ------------------------------------------------------------------------------------ */

enum { IDS = 6, CLIENTS = 3, LIVES = 24, STEPS = 400 };

/* One session from its creation to its end; an id can be used again. */
struct life {
    push_session *s; /* the test's handle; NULL: unused */
    int id;
    bool alive, named;
    bool has[CLIENTS];
};

static struct {
    uint64_t seed, random;
    int step;
    const char *operation;
    struct life lives[LIVES];
    struct life *now[IDS];
} w;

#define REQUIRE(condition)                                                                                         \
    do {                                                                                                           \
        if (!(condition)) {                                                                                        \
            print_error("PUSH_TEST_SEED=%llu, step %d, %s: not so: %s\n", (unsigned long long)w.seed, w.step,      \
                        w.operation, #condition);                                                                  \
            _fail(__FILE__, __LINE__);                                                                             \
        }                                                                                                          \
    } while (0)

static int below(int n)
{
    return (int)(random_next(&w.random) % (unsigned)n);
}

static push_id session_id(int id)
{
    static const char *const names[IDS] = {"alice", "bob", "", "a group with a name that is rather long",
                                           "1",     NULL};
    return names[id] ? push_id_str(names[id]) : push_id_int(1);
}

static push_id client_id(int id)
{
    return id == 0 ? push_id_int(7) : push_id_str(id == 1 ? "7" : "a client with a name that is rather long");
}

static bool is_empty(const struct life *life)
{
    for (int i = 0; i < CLIENTS; i++) {
        if (life->has[i])
            return false;
    }
    return true;
}

static void life_ends(struct life *life)
{
    life->alive = false;
    memset(life->has, 0, sizeof(life->has));
    w.now[life->id] = NULL;
}

static void client_left(struct life *life, int client)
{
    life->has[client] = false;
    if (!life->named && is_empty(life))
        life_ends(life);
}

static struct life *unused_life(void)
{
    for (int i = 0; i < LIVES; i++) {
        if (!w.lives[i].s)
            return &w.lives[i];
    }
    return NULL;
}

static void let_dead_ones_go(void)
{
    for (int i = 0; i < LIVES; i++) {
        if (w.lives[i].s && !w.lives[i].alive) {
            push_session_unref(w.lives[i].s);
            w.lives[i].s = NULL;
        }
    }
}

/* The session of that id as a call should find or make it. The handle is the test's where it is a new one. */
static struct life *life_with(int id, push_session *s)
{
    struct life *life = w.now[id];
    REQUIRE(s);
    if (life) {
        REQUIRE(s == life->s);
        push_session_unref(s);
        return life;
    }
    life = unused_life();
    REQUIRE(life);
    for (int i = 0; i < LIVES; i++)
        REQUIRE(w.lives[i].s != s);
    *life = (struct life){.s = s, .id = id, .alive = true};
    w.now[id] = life;
    return life;
}

static void op_new(void)
{
    int id = below(IDS);
    int client = below(CLIENTS + 1);
    push_session *s = push_session_new(session_id(id), client < CLIENTS ? client_id(client) : PUSH_ID_NONE, 1);
    struct life *life = life_with(id, s);
    life->named = true;
    if (client < CLIENTS)
        life->has[client] = true;
}

static void op_open(void)
{
    int id = below(IDS);
    int client = below(CLIENTS);
    push_client_options o = {.max_buffer = 1, .duplicate = (push_duplicate)below(4)};
    bool there = w.now[id] && w.now[id]->has[client];
    push_client *c = push_client_open(session_id(id), client_id(client), &o);
    if (there && o.duplicate == PUSH_REFUSE) {
        REQUIRE(!c && errno == EEXIST);
        return;
    }
    REQUIRE(c);
    struct life *life = life_with(id, push_session_ref(push_client_session(c)));
    life->has[client] = true;
    push_client_unref(c);
}

static struct life *any_life(void)
{
    struct life *life = &w.lives[below(LIVES)];
    return life->s ? life : NULL;
}

static void op_join(void)
{
    struct life *life = any_life();
    int client = below(CLIENTS);
    if (!life)
        return;
    push_client *c = push_client_new(life->s, client_id(client), NULL);
    if (!life->alive) {
        REQUIRE(!c && errno == EPIPE);
        return;
    }
    REQUIRE(c);
    life->has[client] = true;
    push_client_unref(c);
}

static void op_delete_client(void)
{
    struct life *life = any_life();
    int client = below(CLIENTS);
    if (!life)
        return;
    bool there = life->has[client];
    push_client *c = push_client_find(life->s, client_id(client));
    REQUIRE((c != NULL) == there);
    if (c && below(2))
        REQUIRE(push_client_delete(c));
    else
        REQUIRE(push_session_delete_client(life->s, client_id(client)) == there);
    if (c)
        REQUIRE(!push_client_delete(c));
    push_client_unref(c);
    if (there)
        client_left(life, client);
}

/* One client is replaced by one that a push disconnects. */
static void op_disconnect(void)
{
    struct life *life = any_life();
    int client = below(CLIENTS);
    push_client_options o = {.max_buffer = 1, .overflow = PUSH_DISCONNECT, .duplicate = PUSH_REPLACE};
    if (!life || !life->has[client])
        return;
    push_client *c = push_client_new(life->s, client_id(client), &o);
    REQUIRE(c);
    push_report report;
    push_msg *msg = text_msg("text");
    REQUIRE(push_client_send(c, msg, 0, &report) == 1);
    /* Everybody else is passed over, or gets it now. */
    int rc =
        below(2) ? push_client_send(c, msg, 0, &report) : push_session_send(life->s, msg, PUSH_ID_NONE, 0, &report);
    REQUIRE(rc >= 0 && report.disconnected == 1);
    push_msg_unref(msg);
    push_client_unref(c);
    client_left(life, client);
}

static void op_delete_session(void)
{
    int id = below(IDS);
    struct life *life = w.now[id];
    REQUIRE(push_session_delete(session_id(id)) == (life != NULL));
    if (life)
        life_ends(life);
}

static void op_delete_if_empty(void)
{
    int id = below(IDS);
    struct life *life = w.now[id];
    bool goes = life && is_empty(life);
    REQUIRE(push_session_delete_if_empty(session_id(id)) == goes);
    if (goes)
        life_ends(life);
}

static size_t times_in(const push_id *ids, size_t n, push_id id)
{
    size_t times = 0;
    for (size_t i = 0; i < n; i++)
        times += push_id_equal(ids[i], id);
    return times;
}

static void check_clients(const struct life *life)
{
    size_t expected = 0;
    size_t count = 99;
    push_id *ids = push_session_clients(life->s, &count);
    REQUIRE(ids);
    for (int i = 0; i < CLIENTS; i++) {
        REQUIRE(times_in(ids, count, client_id(i)) == life->has[i]);
        expected += life->has[i];
    }
    REQUIRE(count == expected);
    REQUIRE(push_session_len(life->s) == expected);
    push_ids_free(ids);
    REQUIRE(push_id_equal(push_session_id(life->s), session_id(life->id)));
    if (!life->alive)
        REQUIRE(push_session_push(life->s, "x", 1) == -EPIPE);
}

static void check_world(void)
{
    size_t alive = 0;
    size_t count = 99;
    push_id *ids = push_sessions(&count);
    REQUIRE(ids);
    for (int id = 0; id < IDS; id++) {
        push_session *s = push_session_find(session_id(id));
        REQUIRE(s == (w.now[id] ? w.now[id]->s : NULL));
        push_session_unref(s);
        REQUIRE(push_session_exists(session_id(id)) == (s != NULL));
        REQUIRE(times_in(ids, count, session_id(id)) == (s ? 1 : 0));
        alive += s != NULL;
    }
    REQUIRE(count == alive);
    push_ids_free(ids);
    for (int i = 0; i < LIVES; i++) {
        if (w.lives[i].s)
            check_clients(&w.lives[i]);
    }
}

static const struct {
    const char *name;
    void (*run)(void);
} operations[] = {{"new", op_new},
                  {"open", op_open},
                  {"open", op_open},
                  {"open", op_open},
                  {"join", op_join},
                  {"delete client", op_delete_client},
                  {"delete client", op_delete_client},
                  {"delete client", op_delete_client},
                  {"disconnect", op_disconnect},
                  {"delete session", op_delete_session},
                  {"delete if empty", op_delete_if_empty}};

static void run_world(uint64_t seed)
{
    memset(&w, 0, sizeof(w));
    w.seed = w.random = seed;
    for (w.step = 0; w.step < STEPS; w.step++) {
        if (!unused_life())
            let_dead_ones_go();
        int i = below(COUNT(operations));
        w.operation = operations[i].name;
        operations[i].run();
        check_world();
    }
    w.operation = "end";
    push_shutdown();
    for (int i = 0; i < IDS; i++) {
        if (w.now[i])
            life_ends(w.now[i]);
    }
    check_world();
    let_dead_ones_go();
    REQUIRE(atomic_load(&bytes_held) == 0);
}

static void test_coming_and_going(void **state)
{
    (void)state;
    const char *seed = getenv("PUSH_TEST_SEED");
    if (seed) {
        run_world(strtoull(seed, NULL, 10));
        return;
    }
    for (uint64_t i = 0; i < SCALED(300); i++)
        run_world(i);
}

/* The push that disconnects the last client of a session takes the session with it, and says what it did. */
static void test_the_last_client_is_disconnected(void **state)
{
    (void)state;
    push_client_options o = {.max_buffer = 1, .overflow = PUSH_DISCONNECT};
    push_client *c = push_client_open(push_id_str("s"), push_id_str("c"), &o);
    push_session *s = push_session_ref(push_client_session(c));
    push_report report;
    assert_int_equal(send_all_text(s, "one", &report), 1);
    assert_int_equal(send_all_text(s, "two", &report), 0);
    assert_report(report, 0, 0, 1, 0);
    assert_false(push_session_exists(push_id_str("s")));
    assert_int_equal(send_all_text(s, "three", &report), -EPIPE);
    assert_report(report, 0, 0, 0, 0);
    assert_next(c, 0, "one");
    assert_drained(c);
    push_session_unref(s);
    push_client_unref(c);
}

/* ---- Threads at one id ----------------------------------------------------------------------------------- */

struct visitor {
    int number;
    int rounds;
};

static atomic_int visitors_left;

/* While a client is there, the session is: nobody finds it empty. */
static void visit(void *arg)
{
    struct visitor *v = arg;
    push_msg *msg = push_msg_new("hello", 5);
    for (int i = 0; i < v->rounds; i++) {
        push_client *c = push_client_open(push_id_str("meeting"), push_id_int((uint64_t)v->number), NULL);
        if (!EXPECT(c != NULL))
            break;
        push_msg *got = NULL;
        EXPECT(push_client_send(c, msg, 0, NULL) == 1);
        EXPECT(push_client_pull(c, &got, 0) == 0);
        EXPECT(got == msg);
        push_msg_unref(got);
        push_session *s = push_session_find(push_id_str("meeting"));
        EXPECT(s == push_client_session(c));
        push_session_unref(s);
        EXPECT(push_client_delete(c));
        push_client_unref(c);
    }
    push_msg_unref(msg);
    atomic_fetch_sub(&visitors_left, 1);
}

static void sweep(void *arg)
{
    (void)arg;
    while (atomic_load(&visitors_left) > 0) {
        /* A session that its last client takes along is never seen empty. */
        EXPECT(!push_session_delete_if_empty(push_id_str("meeting")));
        size_t count;
        push_id *ids = push_sessions(&count);
        EXPECT(ids != NULL && count <= 1);
        push_ids_free(ids);
    }
}

static void test_a_session_goes_with_its_last_client_only(void **state)
{
    (void)state;
    enum { VISITORS = 4 };
    struct visitor visitors[VISITORS];
    for (int i = 0; i < VISITORS; i++)
        visitors[i] = (struct visitor){i, SCALED(20000)};
    atomic_store(&visitors_left, VISITORS);
    struct crew *sweeper = crew_start(1, sweep, NULL, 0);
    crew_run(VISITORS, visit, visitors, sizeof(visitors[0]));
    crew_join(sweeper);
    assert_false(push_session_exists(push_id_str("meeting")));
}

/* Deleting and naming anew, from all sides: what was deleted stays closed, what is new is whole. */
static void churn(void *arg)
{
    struct visitor *v = arg;
    uint64_t random = (uint64_t)v->number;
    for (int i = 0; i < v->rounds; i++) {
        push_id id = push_id_int(random_next(&random) % 4);
        push_id client = push_id_int(random_next(&random) % 4);
        if (random_next(&random) % 2) {
            push_session_delete(id);
            continue;
        }
        push_session *s = push_session_new(id, client, 2);
        if (!EXPECT(s != NULL))
            break;
        push_client *c = push_client_find(s, client);
        if (c) {
            push_client_delete(c);
            push_msg *msg;
            push_client_stats stats;
            EXPECT(push_client_stat(c, &stats) == 0 && stats.closed);
            EXPECT(push_client_pull(c, &msg, -1) == -EPIPE);
            push_client_unref(c);
        } else {
            EXPECT(errno == ENOENT);
        }
        push_session_unref(s);
    }
}

static void test_churn(void **state)
{
    (void)state;
    enum { THREADS = 4 };
    struct visitor visitors[THREADS];
    for (int i = 0; i < THREADS; i++)
        visitors[i] = (struct visitor){i, SCALED(30000)};
    crew_run(THREADS, churn, visitors, sizeof(visitors[0]));
    size_t count;
    push_id *ids = push_sessions(&count);
    assert_non_null(ids);
    for (size_t i = 0; i < count; i++) {
        push_session *s = push_session_find(ids[i]);
        assert_non_null(s);
        push_session_unref(s);
        assert_true(push_session_delete(ids[i]));
    }
    push_ids_free(ids);
    assert_int_equal(atomic_load(&bytes_held), 0);
}

/* ---- Fork ------------------------------------------------------------------------------------------------ */

static int in_child(void)
{
    size_t count = 99;
    push_id *ids = push_sessions(&count);
    if (!ids || count != 0 || push_session_exists(push_id_int(1)) || push_session_delete(push_id_int(1)))
        return 1;
    push_ids_free(ids);
    push_session *s = push_session_new(push_id_int(1), push_id_int(2), 1);
    push_msg *msg = NULL;
    if (!s || push_session_push(s, "child", 5) != 1 || push_session_pull(s, push_id_int(2), &msg, -1) != 0)
        return 2;
    if (!msg_is(msg, "child"))
        return 3;
    push_msg_unref(msg);
    push_session_unref(s);
    push_shutdown();
    ids = push_sessions(&count);
    return ids && count == 0 ? 0 : 4;
}

static void test_a_child_begins_with_nothing(void **state)
{
    (void)state;
    for (uint64_t i = 0; i < 1000; i++)
        push_session_unref(push_session_new(push_id_int(i), push_id_int(2), 1));
    push_session *s = push_session_find(push_id_int(1));
    pid_t child = fork();
    if (child == 0) {
        alarm(60);
        _exit(in_child());
    }
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    assert_int_equal(push_session_push(s, "parent", 6), 1);
    push_msg *msg = NULL;
    assert_int_equal(push_session_pull(s, push_id_int(2), &msg, 0), 0);
    assert_text(msg, "parent");
    push_session_unref(s);
    for (uint64_t i = 0; i < 1000; i++)
        assert_true(push_session_delete(push_id_int(i)));
}

static atomic_bool busy;

/* Takes the locks of all shards, over and over. */
static void keep_busy(void *arg)
{
    (void)arg;
    for (uint64_t i = 0; atomic_load(&busy); i++)
        push_session_exists(push_id_int(i));
}

static int status_of_child(void)
{
    int status = -1;
    pid_t child = fork();
    if (child == 0) {
        alarm(20);
        _exit(in_child());
    }
    waitpid(child, &status, 0);
    return status;
}

/* Some lock of the registry is held by another thread at nearly every fork: none of them may matter. */
static void test_a_child_of_a_busy_process(void **state)
{
    (void)state;
    push_session_unref(push_session_new(push_id_int(1), push_id_int(2), 1));
    atomic_store(&busy, true);
    struct crew *crew = crew_start(3, keep_busy, NULL, 0);
    int status = 0;
    for (int i = 0; i < 200 && status == 0; i++)
        status = status_of_child();
    atomic_store(&busy, false);
    crew_join(crew);
    assert_int_equal(status, 0);
    assert_true(push_session_delete(push_id_int(1)));
}

#define REGISTRY_TEST(function)                                                                                    \
    cmocka_unit_test_prestate_setup_teardown(function, test_begin, end_without_a_byte, (void *)#function)

static const struct CMUnitTest tests[] = {REGISTRY_TEST(test_a_million_sessions),
                                          REGISTRY_TEST(test_sessions_of_usual_size),
                                          REGISTRY_TEST(test_sessions_without_bounds),
                                          REGISTRY_TEST(test_shutdown_frees_them_all),
                                          REGISTRY_TEST(test_coming_and_going),
                                          REGISTRY_TEST(test_the_last_client_is_disconnected),
                                          REGISTRY_TEST(test_a_session_goes_with_its_last_client_only),
                                          REGISTRY_TEST(test_churn),
                                          REGISTRY_TEST(test_a_child_begins_with_nothing),
                                          REGISTRY_TEST(test_a_child_of_a_busy_process)};

static void do_nothing(void *arg)
{
    (void)arg;
}

int main(void)
{
    /* A sanitizer starts a thread of its own with the first one: before anybody counts. */
    crew_run(1, do_nothing, NULL, 0);
    int rc = push_set_allocator(weighing_malloc, weighing_realloc, weighing_free);
    if (rc != 0) {
        fprintf(stderr, "push_set_allocator: %s\n", push_strerror(rc));
        return 1;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
