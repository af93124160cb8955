/*
 * The rounds of the storm. Each has its seed: STORM_SEED names the first one's, STORM_ROUNDS how many there are.
 * The same seed makes the same choices; what threads do at the same time is the machine's.
 */
#include "storm.h"

#include <sched.h>

#include "clock.h"

struct worker workers[WORKERS];
struct spot spots[POLLERS];
struct climate climate;
atomic_bool lull;
atomic_bool over;
_Atomic unsigned shortage;
struct counts counts;

static uint64_t first_seed = 1;
static uint64_t rounds = 20;
static const char *program = "storm";
static char again[256];

/* ---- How it ends ------------------------------------------------------------------------------------------ */

/* Everything that anybody can wait for, in one of several ways. */
static void end_all(uint32_t way)
{
    size_t n, m;
    push_id *sessions = push_sessions(&n);
    for (size_t i = 0; sessions && i < n && way < 2; i++) {
        if (way == 0) {
            push_session_delete(sessions[i]);
            continue;
        }
        push_session *s = push_session_find(sessions[i]);
        push_id *ids = s ? push_session_clients(s, &m) : NULL;
        for (size_t k = 0; ids && k < m; k++)
            push_session_delete_client(s, ids[k]);
        push_ids_free(ids);
        push_session_unref(s);
    }
    push_ids_free(sessions);
    if (way == 2)
        push_shutdown();
}

static bool all_finished(void)
{
    for (size_t i = 0; i < WORKERS; i++) {
        if (!atomic_load(&workers[i].finished))
            return false;
    }
    return true;
}

/* Nobody is left who could help another out of a wait that he should have come out of himself. Calls go on for a
 * while, but sooner or later each runs into a wait that nothing ends. Who misses a wake-up now is found by the
 * watchdog. */
static void quieten(uint64_t *random)
{
    enum { EVENTS = 8 };
    atomic_store(&lull, true);
    watch_settle();
    for (int i = 0; i < EVENTS; i++)
        weather_at_rest(random);
}

/* Who has only just made a session anew is found the next time round; wakes are counted, so one for each will do.
 */
static void end_round(uint32_t way)
{
    atomic_store(&over, true);
    for (size_t i = 0; i < WORKERS; i++) {
        for (size_t k = 0; k < POLLERS; k++)
            push_poller_wake(spots[k].p);
    }
    while (!all_finished()) {
        end_all(way);
        pause_briefly();
    }
}

/* ---- Rounds ----------------------------------------------------------------------------------------------- */

static void begin_round(uint64_t seed)
{
    climate.calm = seed % 2 == 0;
    climate.sessions = climate.calm ? 1 : SESSIONS;
    climate.ids = climate.calm ? 2 : IDS;
    atomic_store(&lull, false);
    atomic_store(&over, false);
    for (size_t i = 0; i < POLLERS; i++) {
        spots[i] = (struct spot){.p = push_poller_new(), .fd = -1};
        assert_non_null(spots[i].p);
        /* With a descriptor from the start, the watchdog can see what a wait should have seen. */
        if (seed % 4 < 2)
            atomic_store(&spots[i].fd, push_poller_fd(spots[i].p));
        assert_int_equal(pthread_rwlock_init(&spots[i].lock, NULL), 0);
    }
    for (unsigned i = 0; i < WORKERS; i++) {
        workers[i] = (struct worker){.number = i, .random = seed * 1000 + i};
        assert_int_equal(pthread_mutex_init(&workers[i].wait.lock, NULL), 0);
    }
    watch_start(again);
    for (unsigned i = 0; i < WORKERS; i++)
        assert_int_equal(pthread_create(&workers[i].thread, NULL, worker_main, &workers[i]), 0);
}

static void clear_up(void)
{
    for (size_t i = 0; i < WORKERS; i++)
        assert_int_equal(pthread_join(workers[i].thread, NULL), 0);
    watch_stop();
    for (size_t i = 0; i < WORKERS; i++) {
        worker_tidy(&workers[i]);
        worker_drop_handles(&workers[i]);
        pthread_mutex_destroy(&workers[i].wait.lock);
    }
    weather_clear();
    for (size_t i = 0; i < POLLERS; i++) {
        spot_clear(&spots[i]);
        push_poller_free(spots[i].p);
        pthread_rwlock_destroy(&spots[i].lock);
    }
    push_shutdown();
}

static bool steady_ones_are_through(void)
{
    for (size_t i = 0; i < STEADY; i++) {
        if (atomic_load(&workers[i].calls) < SCALED(3000))
            return false;
    }
    return true;
}

static void run_round(uint64_t seed)
{
    snprintf(again, sizeof(again), "STORM_SEED=%llu STORM_ROUNDS=1 %s", (unsigned long long)seed, program);
    watchdog(again, 300);
    long blocks = blocks_held();
    int descriptors = count_descriptors();
    uint64_t random = seed;
    begin_round(seed);
    while (!steady_ones_are_through()) {
        weather(&random);
        for (uint32_t i = random_next(&random) % 10; i > 0; i--)
            pause_briefly();
    }
    quieten(&random);
    end_round(random_next(&random) % 3);
    clear_up();
    assert_expectations();
    assert_int_equal(mail_alive(), 0);
    assert_int_equal(blocks_held(), blocks);
    assert_int_equal(count_descriptors(), descriptors);
}

static void a_storm_of_everything(void **state)
{
    (void)state;
    for (uint64_t i = 0; i < rounds; i++)
        run_round(first_seed + i);
}

/* ---- What was counted ------------------------------------------------------------------------------------- */

static void figure(const char *what, uint64_t n)
{
    printf("figure: %s: %llu\n", what, (unsigned long long)n);
}

static uint64_t all_waits(void)
{
    uint64_t n = 0;
    for (size_t i = 0; i < WAIT_KINDS; i++)
        n += atomic_load(&counts.waits[i]);
    return n;
}

/* A storm in which something never came to pass has shown nothing about it. */
static void everything_came_to_pass(void **state)
{
    (void)state;
    figure("rounds of the storm", rounds);
    figure("times that everybody waited, and for a reason", atomic_load(&counts.rests));
    figure("calls in it", atomic_load(&counts.calls));
    figure("calls that may wait", all_waits());
    figure("waits ended by a delete", atomic_load(&counts.closed_waits));
    figure("waits ended by a deadline", atomic_load(&counts.timeouts));
    figure("waits ended by cancellation", atomic_load(&counts.cancelled));
    figure("signals handled", atomic_load(&counts.signals));
    figure("forks", atomic_load(&counts.forks));
    figure("shortages of descriptors", atomic_load(&counts.shortages));
    figure("descriptors refused in them", atomic_load(&counts.refused));
    figure("settings of the realtime clock", atomic_load(&counts.clock_steps));
    figure("jumps of the monotonic clock", atomic_load(&counts.clock_jumps));
    figure("most milliseconds that a wait outlasted its reason", atomic_load(&counts.longest));
    if (rounds < 5)
        return;
    for (size_t i = WAIT_NONE + 1; i < WAIT_KINDS; i++)
        assert_true(atomic_load(&counts.waits[i]) > 0);
    assert_true(atomic_load(&counts.rests) > 0);
    assert_true(atomic_load(&counts.closed_waits) > 0);
    assert_true(atomic_load(&counts.timeouts) > 0);
    assert_true(atomic_load(&counts.cancelled) > 0);
    assert_true(atomic_load(&counts.signals) > 0);
    assert_true(atomic_load(&counts.forks) > 0);
    assert_true(atomic_load(&counts.refused) > 0);
    assert_true(atomic_load(&counts.clock_steps) > 0);
    assert_true(atomic_load(&counts.clock_jumps) > 0);
}

static uint64_t number_from(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);
    return text && *text ? strtoull(text, NULL, 0) : otherwise;
}

int main(int argc, char **argv)
{
    (void)argc;
    program = argv[0];
    first_seed = number_from("STORM_SEED", first_seed);
    rounds = number_from("STORM_ROUNDS", rounds);
    printf("seeds %llu to %llu\n", (unsigned long long)first_seed, (unsigned long long)(first_seed + rounds - 1));
    fflush(stdout);
    const struct CMUnitTest tests[] = {TEST(a_storm_of_everything), TEST(everything_came_to_pass)};
    helpers_init();
    int rc = cmocka_run_group_tests(tests, NULL, NULL);
    if (rc != 0)
        printf("again: %s\n", again);
    return rc;
}
