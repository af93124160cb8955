#include "schedule.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "heap.h"
#include "trace.h"

enum {
    MAX_CHOICES = 1 << 16,
    FAIR_YIELDS = 100,     /* after so many in a row another thread gets its turn, at no cost */
    ENDLESS_YIELDS = 10000 /* so many lead nowhere */
};

struct thread threads[1 + MAX_THREADS];
int threads_len = 1;
struct thread *self = &threads[0];

static const char *scenario_name;
static struct bounds bounds, used;
static void (*invariant_fn)(void);

/* The choices of this execution that had more than one alternative; the first `given` are not free any more. */
static struct choice {
    unsigned char taken, count;
} choices[MAX_CHOICES];
static size_t choices_len, given;
static bool replaying;

/* Merging of executions: see state.h. */
static void (*digest_fn)(struct digest *digest);
static struct states known;
static bool merged; /* this execution has come to a known state: no choice in it is free any more */

/* ---- Failing ---- */

void schedule_print(void)
{
    fflush(stdout);
    fprintf(stderr, "What happened:\n");
    trace_print();
    for (int i = 1; i < threads_len; i++) {
        static const char *const states[] = {"can run", "waits for lock", "sleeps on", "is over"};
        const struct thread *t = &threads[i];
        const void *object = t->state == THREAD_LOCKING    ? (const void *)t->mutex
                             : t->state == THREAD_SLEEPING ? (const void *)t->cond
                                                           : NULL;
        fprintf(stderr, "  thread %d %s %s\n", i, states[t->state], object ? trace_name(object) : "");
    }
    fprintf(stderr, "Replay: EXPLORE_PREEMPTIONS=%d EXPLORE_TIMEOUTS=%d EXPLORE_SPURIOUS=%d explore %s ",
            bounds.preemptions, bounds.timeouts, bounds.spurious, scenario_name);
    const char *comma = "";
    for (size_t i = 0; i < choices_len; i++) {
        if (choices[i].taken > 0) {
            fprintf(stderr, "%s%zu:%d", comma, i, choices[i].taken);
            comma = ",";
        }
    }
    fprintf(stderr, "%s\n", *comma ? "" : "-");
}

void schedule_fail(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fflush(stdout);
    fprintf(stderr, "explore: %s: ", scenario_name);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    schedule_print();
    _exit(1);
}

/* ---- Choosing ---- */

size_t schedule_choose(size_t count)
{
    if (count < 2 || merged)
        return 0;
    if (choices_len == MAX_CHOICES)
        schedule_fail("no end in sight");
    struct choice *choice = &choices[choices_len];
    if (choices_len >= given)
        choice->taken = 0;
    else if (!replaying && choice->count != count)
        schedule_fail("the same choices led elsewhere: something is not deterministic");
    else if (choice->taken >= count)
        schedule_fail("this schedule does not belong to this program");
    choice->count = (unsigned char)count;
    choices_len++;
    return choice->taken;
}

/* An alternative at a scheduling point: a thread goes on, or its sleep ends without a signal. */
struct alternative {
    struct thread *thread;
    enum wake wake; /* WAKE_SIGNAL: it just goes on */
    bool forced;    /* costs nothing */
};

enum { MAX_ALTERNATIVES = 3 * MAX_THREADS };

static bool can_run(const struct thread *t)
{
    return t->state == THREAD_READY || (t->state == THREAD_LOCKING && !t->mutex->owner);
}

static bool others_can_run(void)
{
    for (int i = 1; i < threads_len; i++) {
        if (&threads[i] != self && can_run(&threads[i]))
            return true;
    }
    return false;
}

static uint64_t first_deadline(void)
{
    uint64_t first = UINT64_MAX;
    for (int i = 1; i < threads_len; i++) {
        if (threads[i].state == THREAD_SLEEPING && threads[i].deadline < first)
            first = threads[i].deadline;
    }
    return first;
}

/* The running thread first, if it can go on: then the choice 0 means that nothing special happens. */
static size_t find_alternatives(struct alternative *found)
{
    size_t len = 0;
    bool must_stop = !can_run(self) || (self->yields >= FAIR_YIELDS && others_can_run());
    bool may_stop = must_stop || used.preemptions < bounds.preemptions;
    if (!must_stop)
        found[len++] = (struct alternative){self, WAKE_SIGNAL, false};
    for (int i = 1; i < threads_len; i++) {
        if (&threads[i] != self && can_run(&threads[i]) && may_stop)
            found[len++] = (struct alternative){&threads[i], WAKE_SIGNAL, false};
    }
    /* Where nobody can run, time passes; a spurious wake-up must not hide that none would come. */
    uint64_t first = len == 0 ? first_deadline() : UINT64_MAX;
    if (len == 0 && first == UINT64_MAX)
        return 0;
    for (int i = 1; i < threads_len; i++) {
        struct thread *t = &threads[i];
        if (t->state != THREAD_SLEEPING || t->deadline == UINT64_MAX)
            continue;
        if (t->deadline == first || (len > 0 && may_stop && used.timeouts < bounds.timeouts))
            found[len++] = (struct alternative){t, WAKE_TIMEOUT, t->deadline == first};
    }
    for (int i = 1; i < threads_len; i++) {
        if (threads[i].state == THREAD_SLEEPING && may_stop && used.spurious < bounds.spurious)
            found[len++] = (struct alternative){&threads[i], WAKE_SPURIOUS, false};
    }
    return len;
}

/* ---- States ---- */

/* All that what follows depends on. Where a thread stands is in its stack: see go_on. */
static uint64_t state_now(void)
{
    struct digest digest;
    digest_begin(&digest);
    digest_add(&digest, &used, sizeof(used));
    digest_word(&digest, (uint64_t)self->number);
    for (const struct thread *t = &threads[1]; t < &threads[threads_len]; t++) {
        digest_word(&digest, t->state | (uint64_t)t->wake << 8 | (uint64_t)t->in_wait << 16 |
                                 (uint64_t)t->cancel_off << 17 | (uint64_t)t->cancel_pending << 18 |
                                 (uint64_t)t->cancelled << 19);
        if (t->state == THREAD_OVER)
            continue;
        digest_word(&digest, (uint64_t)t->locks << 32 | (uint64_t)t->yields);
        digest_word(&digest, (uintptr_t)t->mutex);
        digest_word(&digest, (uintptr_t)t->cond);
        digest_word(&digest, t->deadline);
        digest_word(&digest, (uintptr_t)t->cleanups);
        digest_word(&digest, (uintptr_t)t->low);
        if (t->low)
            digest_add(&digest, t->low, (size_t)(t->coroutine.stack + t->coroutine.stack_size - t->low));
    }
    heap_digest(&digest);
    explore_digest(&digest);
    digest_fn(&digest);
    return digest_end(&digest);
}

/* Before a choice that is free: where the state is known, all that can follow is, or will be, explored from there.
 */
static void merge_if_known(size_t alternatives)
{
    if (digest_fn && alternatives > 1 && !merged && choices_len >= given)
        merged = !states_add(&known, state_now());
}

static bool all_over(void)
{
    for (int i = 1; i < threads_len; i++) {
        if (threads[i].state != THREAD_OVER)
            return false;
    }
    return true;
}

/* Who goes on. */
static struct thread *next_thread(void)
{
    for (;;) {
        struct alternative found[MAX_ALTERNATIVES];
        size_t len = find_alternatives(found);
        if (len == 0) {
            if (all_over())
                return &threads[0];
            schedule_fail("nobody can run, and not all are over: a lost wake-up, or a deadlock");
        }
        merge_if_known(len);
        const struct alternative *taken = &found[schedule_choose(len)];
        if (found[0].thread == self && can_run(self) && taken != found)
            used.preemptions++;
        if (taken->wake == WAKE_TIMEOUT && !taken->forced)
            used.timeouts++;
        if (taken->wake == WAKE_SPURIOUS)
            used.spurious++;
        if (taken->wake != WAKE_SIGNAL)
            schedule_wake(taken->thread, taken->wake);
        if (can_run(taken->thread))
            return taken->thread;
    }
}

/* ---- Switching ---- */

static void switch_to(struct thread *next)
{
    struct thread *from = self;
    if (next == from)
        return;
    self = next;
    next->state = THREAD_READY;
    coroutine_switch(&from->coroutine, &next->coroutine, from->state == THREAD_OVER);
}

#define NOT_INLINED __attribute__((noinline))

static NOT_INLINED const char *frame_below(void)
{
    return __builtin_frame_address(0);
}

/* What deeper calls left on the stack depends on what the scheduler had to do: it must not become part of the state
 * as the part of a later frame that is never written. */
static NOT_INLINED void wipe_below(void)
{
    char used_before[2048];
    memset(used_before, 0, sizeof(used_before));
    __asm__ volatile("" : : "r"(used_before) : "memory");
}

/* Another thread may run. One that wanted a lock has it free before it when this returns. All registers that the
 * callers may need are saved in this frame, and so belong to the stack from `low` on. */
static NOT_INLINED void go_on(void)
{
    __builtin_unwind_init();
    self->low = frame_below();
    switch_to(next_thread());
    self->state = THREAD_READY;
    wipe_below();
}

/* By the program's own thread, for which there are no scheduling points. */
static void check_invariant(void)
{
    struct thread *running = self;
    self = &threads[0];
    invariant_fn();
    self = running;
}

static bool is_explored(void)
{
    return self != &threads[0];
}

void schedule_point(const char *what, const volatile void *object, const void *code)
{
    if (!is_explored())
        return;
    trace_add(self->number, what, object, code);
    check_invariant();
    go_on();
}

void schedule_yield(const void *code)
{
    if (!is_explored())
        return;
    trace_add(self->number, "yields", NULL, code);
    if (++self->yields > ENDLESS_YIELDS)
        schedule_fail("thread %d yields for ever", self->number);
    go_on();
}

void schedule_block(const char *what, const volatile void *object, const void *code)
{
    if (!is_explored())
        schedule_fail("set-up, finish or invariant would wait for ever");
    trace_add(self->number, what, object, code);
    check_invariant();
    go_on();
}

void schedule_trace(const char *what, const volatile void *object, const void *code)
{
    if (is_explored())
        trace_add(self->number, what, object, code);
}

void schedule_wake(struct thread *thread, enum wake wake)
{
    static const char *const what[] = {"is woken", "times out", "wakes up spuriously", "is cancelled"};
    trace_add(thread->number, what[wake], thread->cond, NULL);
    thread->state = THREAD_LOCKING;
    thread->cond = NULL;
    thread->wake = wake;
    if (wake == WAKE_TIMEOUT)
        explore_time_passes(thread->deadline);
}

void schedule_exit(void)
{
    if (self->locks > 0)
        schedule_fail("thread %d ends with a lock held", self->number);
    if (self->cleanups)
        schedule_fail("thread %d ends with a cleanup handler", self->number);
    trace_add(self->number, self->cancelled ? "is over, cancelled" : "is over", NULL, NULL);
    self->state = THREAD_OVER;
    switch_to(next_thread());
    abort();
}

static void thread_main(void)
{
    coroutine_entered();
    self->run();
    schedule_exit();
}

/* ---- Executions ---- */

static bool read_schedule(const char *text)
{
    memset(choices, 0, sizeof(choices));
    given = 0;
    if (strcmp(text, "-") == 0)
        return true;
    for (;;) {
        char *end;
        unsigned long at = strtoul(text, &end, 10);
        if (end == text || *end != ':' || at < given || at >= MAX_CHOICES)
            return false;
        unsigned long taken = strtoul(text = end + 1, &end, 10);
        if (end == text || taken > MAX_ALTERNATIVES)
            return false;
        choices[at].taken = (unsigned char)taken;
        given = at + 1;
        if (*end == '\0')
            return true;
        if (*end != ',')
            return false;
        text = end + 1;
    }
}

bool schedule_begin(const char *scenario, const struct bounds *new_bounds, const char *schedule,
                    void (*digest)(struct digest *digest))
{
    digest_fn = digest;
    states_clear(&known);
    scenario_name = scenario;
    bounds = *new_bounds;
    given = 0;
    replaying = schedule != NULL;
    return !schedule || read_schedule(schedule);
}

void schedule_run(void (*const *runs)(void), void (*invariant)(void))
{
    invariant_fn = invariant;
    used = (struct bounds){0};
    choices_len = 0;
    merged = false;
    for (threads_len = 1; threads_len <= MAX_THREADS && runs[threads_len - 1]; threads_len++) {
        struct thread *t = &threads[threads_len];
        struct coroutine coroutine = t->coroutine;
        *t = (struct thread){.coroutine = coroutine, .run = runs[threads_len - 1], .number = threads_len};
        coroutine_start(&t->coroutine, thread_main);
    }
    threads[0].state = THREAD_OVER;
    struct thread *first = next_thread();
    self = first;
    coroutine_switch(&threads[0].coroutine, &first->coroutine, 0);
    threads[0].state = THREAD_READY;
    for (int i = 1; i < threads_len; i++)
        coroutine_wipe(&threads[i].coroutine);
}

size_t schedule_states(void)
{
    return known.len;
}

bool schedule_next(void)
{
    if (replaying)
        return false;
    while (choices_len > 0 && choices[choices_len - 1].taken + 1 == choices[choices_len - 1].count)
        choices_len--;
    if (choices_len == 0)
        return false;
    choices[choices_len - 1].taken++;
    given = choices_len;
    return true;
}
