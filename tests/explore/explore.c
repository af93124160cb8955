/*
 * explore [SCENARIO [SCHEDULE]]: runs every interleaving of the scenarios' threads within the bounds, through the
 * library's own code; with a schedule as a failure prints it, just that one. explore --list: the scenarios' names.
 * explore --check SCENARIO: with and without merging (below), the threads must come to the same ends.
 * In the environment: the bounds, EXPLORE_PREEMPTIONS (2), EXPLORE_TIMEOUTS (1), EXPLORE_SPURIOUS (1);
 * EXPLORE_MERGE=1: executions that come to a state that is known are not followed further (state.h);
 * EXPLORE_SECONDS: a scenario that takes longer than that is cut off, and says so (0: none is).
 */
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "fixture.h"
#include "heap.h"
#include "scenario.h"
#include "trace.h"

#ifdef EXPLORE_SANITIZED
#include <sanitizer/common_interface_defs.h>
#endif

static const struct bounds default_bounds = {.preemptions = 2, .timeouts = 1, .spurious = 1};

static const struct scenario *const groups[] = {push_scenarios,      rendezvous_scenarios, pull_scenarios,
                                                duplicate_scenarios, poller_scenarios,     session_scenarios,
                                                cancel_scenarios,    wake_scenarios};
enum { GROUPS = sizeof(groups) / sizeof(*groups) };

static bool merges, keeps_ends;
static struct states ends; /* of the scenario, where they are kept */
static int seconds;

static const struct scenario *current;
static bool outcomes_seen[MAX_OUTCOMES];

void outcome(size_t n)
{
    CHECK(n < MAX_OUTCOMES && current->outcomes[n]);
    outcomes_seen[n] = true;
}

/* ---- Executions ---- */

/* What the threads have besides memory, stacks and what the scheduler knows of them. */
static void digest_fixture(struct digest *digest)
{
    digest_add(digest, &x, sizeof(x));
}

static long now_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (long)now.tv_sec;
}

/* What the threads came to: the same set whether executions are merged or not, or merging leaves something out. */
static void keep_end(void)
{
    struct digest digest;
    digest_begin(&digest);
    heap_digest(&digest);
    explore_digest(&digest);
    digest_fixture(&digest);
    states_add(&ends, digest_end(&digest));
}

/* From nothing to nothing. */
static void execute(const struct scenario *scenario)
{
    int live_objects = explore_live_objects();
    x = (struct fixture){0};
    current = scenario;
    trace_clear();
    explore_begin();
    scenario->set_up();
    schedule_run(scenario->threads, fixture_check);
    if (keeps_ends)
        keep_end();
    fixture_check();
    scenario->finish();
    fixture_close();
    push_shutdown();
    if (heap_blocks() > 0)
        schedule_fail("%zu blocks of memory are left", heap_blocks());
    if (explore_open_descriptors() > 0)
        schedule_fail("%d descriptors are left", explore_open_descriptors());
    if (explore_live_objects() > live_objects)
        schedule_fail("%d mutexes or condition variables are left", explore_live_objects() - live_objects);
    const char *fault = heap_check();
    if (fault)
        schedule_fail("%s", fault);
}

static bool within(const struct bounds *a, const struct bounds *b)
{
    return a->preemptions <= b->preemptions && a->timeouts <= b->timeouts && a->spurious <= b->spurious;
}

static struct {
    unsigned long scenarios, executions, cut_off;
} total;

/* What must be seen of a scenario that was exhausted within the default bounds, or wider ones. */
static void check_outcomes(const struct scenario *scenario)
{
    for (size_t i = 0; i < MAX_OUTCOMES && scenario->outcomes[i]; i++) {
        if (!outcomes_seen[i]) {
            fprintf(stderr, "explore: %s: no execution in which %s\n", scenario->name, scenario->outcomes[i]);
            exit(1);
        }
    }
}

/* Explores a scenario that holds. */
static void explore(const struct scenario *scenario, const struct bounds *bounds)
{
    unsigned long executions = 0;
    long deadline = seconds ? now_s() + seconds : LONG_MAX;
    bool is_cut_off = false;
    struct bounds own = *bounds;
    own.preemptions -= merges && !keeps_ends ? 0 : scenario->fewer_preemptions;
    memset(outcomes_seen, 0, sizeof(outcomes_seen));
    states_clear(&ends);
    schedule_begin(scenario->name, &own, NULL, merges ? digest_fixture : NULL);
    do {
        execute(scenario);
        executions++;
        is_cut_off = executions % 1024 == 0 && now_s() >= deadline;
    } while (!is_cut_off && schedule_next());
    printf("%-44s %9lu executions", scenario->name, executions);
    if (merges)
        printf(", %9zu states", schedule_states());
    if (keeps_ends)
        printf(", %6zu ends", ends.len);
    puts(is_cut_off ? ", cut off" : "");
    fflush(stdout);
    total.scenarios++;
    total.executions += executions;
    total.cut_off += is_cut_off;
    if (is_cut_off || !within(&default_bounds, bounds))
        return;
    check_outcomes(scenario);
    if (!merges && (scenario->least == 0 || executions < scenario->least)) {
        fprintf(stderr, "explore: %s: fewer executions than %lu\n", scenario->name, scenario->least);
        exit(1);
    }
}

/* ---- The program ---- */

static void crashed(int sig)
{
    schedule_fail("signal %d", sig);
}

/* A crash, or a sanitizer's report, comes with the schedule that led to it. */
static void watch_for_crashes(void)
{
#ifdef EXPLORE_SANITIZED
    __sanitizer_set_death_callback(schedule_print);
    (void)crashed;
#else
    static char stack[64 * 1024];
    sigaltstack(&(stack_t){.ss_sp = stack, .ss_size = sizeof(stack)}, NULL);
    struct sigaction action = {.sa_handler = crashed, .sa_flags = SA_ONSTACK | (int)SA_RESETHAND};
    sigaction(SIGSEGV, &action, NULL);
    sigaction(SIGBUS, &action, NULL);
    sigaction(SIGABRT, &action, NULL);
#endif
}

static int setting(const char *name, int otherwise)
{
    const char *text = getenv(name);
    if (!text)
        return otherwise;
    char *end;
    long value = strtol(text, &end, 10);
    if (end == text || *end || value < 0 || value > 10000) {
        fprintf(stderr, "explore: %s=%s is no number from 0 to 10000\n", name, text);
        exit(2);
    }
    return (int)value;
}

static const struct scenario *find(const char *name)
{
    for (size_t i = 0; i < GROUPS; i++) {
        for (const struct scenario *scenario = groups[i]; scenario->name; scenario++) {
            if (strcmp(scenario->name, name) == 0)
                return scenario;
        }
    }
    fprintf(stderr, "explore: no scenario %s\n", name);
    exit(2);
}

static int replay(const struct scenario *scenario, const struct bounds *bounds, const char *schedule)
{
    if (!schedule_begin(scenario->name, bounds, schedule, NULL)) {
        fprintf(stderr, "explore: %s is no schedule\n", schedule);
        return 2;
    }
    execute(scenario);
    schedule_print();
    puts("It holds in this execution.");
    return 0;
}

static int list_all(void)
{
    for (size_t i = 0; i < GROUPS; i++) {
        for (const struct scenario *scenario = groups[i]; scenario->name; scenario++)
            puts(scenario->name);
    }
    return 0;
}

/* Merging leaves nothing out that can be seen at the end. */
static int check_merging(const struct scenario *scenario, const struct bounds *bounds)
{
    keeps_ends = true;
    merges = false;
    explore(scenario, bounds);
    size_t len = ends.len;
    uint64_t sum = ends.sum;
    merges = true;
    explore(scenario, bounds);
    if (len == ends.len && sum == ends.sum)
        return 0;
    fprintf(stderr, "explore: %s: %zu ends without merging, %zu with it, or others\n", scenario->name, len,
            ends.len);
    return 1;
}

static int explore_all(const struct bounds *bounds)
{
    for (size_t i = 0; i < GROUPS; i++) {
        for (const struct scenario *scenario = groups[i]; scenario->name; scenario++)
            explore(scenario, bounds);
    }
    struct timespec used;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
    printf("%lu scenarios exhausted in %lu executions: up to %d preemptions, %d timeouts, %d spurious wake-ups; "
           "%ld s\n",
           total.scenarios - total.cut_off, total.executions, bounds->preemptions, bounds->timeouts,
           bounds->spurious, (long)used.tv_sec);
    return 0;
}

int main(int argc, char **argv)
{
    const struct bounds bounds = {
        .preemptions = setting("EXPLORE_PREEMPTIONS", default_bounds.preemptions),
        .timeouts = setting("EXPLORE_TIMEOUTS", default_bounds.timeouts),
        .spurious = setting("EXPLORE_SPURIOUS", default_bounds.spurious),
    };
    merges = setting("EXPLORE_MERGE", 0) != 0;
    seconds = setting("EXPLORE_SECONDS", 0);
    if (argc == 2 && strcmp(argv[1], "--list") == 0)
        return list_all();
#ifdef EXPLORE_SANITIZED
    if (merges || (argc > 1 && strcmp(argv[1], "--check") == 0)) {
        fprintf(stderr, "explore: no merging in a build with the address sanitizer\n");
        return 2;
    }
#endif
    watch_for_crashes();
    if (push_set_allocator(heap_malloc, heap_realloc, heap_free) < 0)
        return 2;
    /* The first use makes what stays. */
    schedule_begin("first use", &bounds, NULL, NULL);
    push_session_unref(push_session_new(PUSH_ID("session"), PUSH_ID_NONE, 0));
    push_shutdown();
    heap_check();

    if (argc == 1)
        return explore_all(&bounds);
    if (argc == 2) {
        explore(find(argv[1]), &bounds);
        return 0;
    }
    if (argc == 3 && strcmp(argv[1], "--check") == 0)
        return check_merging(find(argv[2]), &bounds);
    if (argc == 3)
        return replay(find(argv[1]), &bounds, argv[2]);
    fprintf(stderr, "usage: explore [SCENARIO [SCHEDULE] | --check SCENARIO | --list]\n");
    return 2;
}
