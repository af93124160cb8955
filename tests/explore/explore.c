/*
 * explore [SCENARIO [SCHEDULE]]: runs every interleaving of the scenarios' threads within the bounds, through the
 * library's own code; with a schedule as a failure prints it, just that one. The bounds can be set in the
 * environment: EXPLORE_PREEMPTIONS (2), EXPLORE_TIMEOUTS (1), EXPLORE_SPURIOUS (1).
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "fixture.h"
#include "heap.h"
#include "scenario.h"

#ifdef EXPLORE_SANITIZED
#include <sanitizer/common_interface_defs.h>
#endif

static const struct bounds default_bounds = {.preemptions = 2, .timeouts = 1, .spurious = 1};

static const struct scenario *const groups[] = {push_scenarios,      rendezvous_scenarios, pull_scenarios,
                                                duplicate_scenarios, poller_scenarios,     session_scenarios,
                                                cancel_scenarios};
enum { GROUPS = sizeof(groups) / sizeof(*groups) };

static const struct scenario *current;
static bool outcomes_seen[MAX_OUTCOMES];

void outcome(size_t n)
{
    CHECK(n < MAX_OUTCOMES && current->outcomes[n]);
    outcomes_seen[n] = true;
}

/* ---- Executions ---- */

/* From nothing to nothing. */
static void execute(const struct scenario *scenario)
{
    x = (struct fixture){0};
    current = scenario;
    scenario->set_up();
    schedule_run(scenario->threads, fixture_check);
    fixture_check();
    scenario->finish();
    fixture_close();
    push_shutdown();
    if (heap_blocks() > 0)
        schedule_fail("%zu blocks of memory are left", heap_blocks());
    if (explore_open_descriptors() > 0)
        schedule_fail("%d descriptors are left", explore_open_descriptors());
    const char *fault = heap_check();
    if (fault)
        schedule_fail("%s", fault);
}

static bool within(const struct bounds *a, const struct bounds *b)
{
    return a->preemptions <= b->preemptions && a->timeouts <= b->timeouts && a->spurious <= b->spurious;
}

/* Explores a scenario that holds. Returns the number of executions. */
static unsigned long explore(const struct scenario *scenario, const struct bounds *bounds)
{
    unsigned long executions = 0;
    struct bounds own = *bounds;
    own.preemptions -= scenario->fewer_preemptions;
    memset(outcomes_seen, 0, sizeof(outcomes_seen));
    schedule_begin(scenario->name, &own, NULL);
    do {
        execute(scenario);
        executions++;
    } while (schedule_next());
    printf("%-44s %9lu executions\n", scenario->name, executions);
    fflush(stdout);
    if (!within(&default_bounds, bounds))
        return executions;
    for (size_t i = 0; i < MAX_OUTCOMES && scenario->outcomes[i]; i++) {
        if (!outcomes_seen[i]) {
            fprintf(stderr, "explore: %s: no execution in which %s\n", scenario->name, scenario->outcomes[i]);
            exit(1);
        }
    }
    if (executions < scenario->least) {
        fprintf(stderr, "explore: %s: fewer executions than the %lu that there were\n", scenario->name,
                scenario->least);
        exit(1);
    }
    return executions;
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

static int bound(const char *name, int otherwise)
{
    const char *text = getenv(name);
    if (!text)
        return otherwise;
    char *end;
    long value = strtol(text, &end, 10);
    if (end == text || *end || value < 0 || value > 100) {
        fprintf(stderr, "explore: %s=%s is no number from 0 to 100\n", name, text);
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
    if (!schedule_begin(scenario->name, bounds, schedule)) {
        fprintf(stderr, "explore: %s is no schedule\n", schedule);
        return 2;
    }
    execute(scenario);
    schedule_print();
    puts("It holds in this execution.");
    return 0;
}

static int explore_all(const struct bounds *bounds)
{
    unsigned long executions = 0, scenarios = 0;
    for (size_t i = 0; i < GROUPS; i++) {
        for (const struct scenario *scenario = groups[i]; scenario->name; scenario++, scenarios++)
            executions += explore(scenario, bounds);
    }
    struct timespec used;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
    printf("%lu scenarios exhausted in %lu executions: up to %d preemptions, %d timeouts, %d spurious wake-ups; "
           "%ld s\n",
           scenarios, executions, bounds->preemptions, bounds->timeouts, bounds->spurious, (long)used.tv_sec);
    return 0;
}

int main(int argc, char **argv)
{
    const struct bounds bounds = {
        .preemptions = bound("EXPLORE_PREEMPTIONS", default_bounds.preemptions),
        .timeouts = bound("EXPLORE_TIMEOUTS", default_bounds.timeouts),
        .spurious = bound("EXPLORE_SPURIOUS", default_bounds.spurious),
    };
    watch_for_crashes();
    if (push_set_allocator(heap_malloc, heap_realloc, heap_free) < 0)
        return 2;
    /* The first use makes what stays. */
    schedule_begin("first use", &bounds, NULL);
    push_session_unref(push_session_new(PUSH_ID("session"), PUSH_ID_NONE, 0));
    push_shutdown();

    if (argc == 1)
        return explore_all(&bounds);
    if (argc == 2)
        return explore(find(argv[1]), &bounds) == 0;
    if (argc == 3)
        return replay(find(argv[1]), &bounds, argv[2]);
    fprintf(stderr, "usage: explore [SCENARIO [SCHEDULE]]\n");
    return 2;
}
