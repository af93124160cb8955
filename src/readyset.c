#include "readyset.h"

#include <errno.h>
#include <stddef.h>

/* Waits that may look at an idle watch in vain before it is armed. */
enum { LOOKS_MAX = 8 };

static void list_init(struct watch_link *head)
{
    head->next = head->prev = head;
}

static bool list_empty(const struct watch_link *head)
{
    return head->next == head;
}

static void list_append(struct watch_link *head, struct watch_link *link)
{
    link->next = head;
    link->prev = head->prev;
    link->prev->next = link;
    head->prev = link;
}

static void list_remove(struct watch_link *link)
{
    link->next->prev = link->prev;
    link->prev->next = link->next;
    link->next = link->prev = NULL;
}

static struct watch *watch_of_ready(struct watch_link *link)
{
    return (struct watch *)(void *)((char *)link - offsetof(struct watch, ready));
}

static struct watch *watch_of_all(struct watch_link *link)
{
    return (struct watch *)(void *)((char *)link - offsetof(struct watch, all));
}

int push__readyset_init(struct readyset *set)
{
    *set = (struct readyset){.waker = WAKER_CLOSED, .patience = PATIENCE_MAX};
    list_init(&set->ready);
    list_init(&set->all);
    return push__lock_init(&set->lock, RANK_READY);
}

void push__readyset_destroy(struct readyset *set)
{
    push__waker_close(&set->waker);
    push__lock_destroy(&set->lock);
}

/* Something to report came: one waiter is chosen, and the descriptor told. */
static void announce_locked(struct readyset *set, struct wakeups *wakeups)
{
    push__waitq_wake(&set->waiters, wakeups);
    push__waker_raise(&set->waker);
}

/* Puts the watch into the ready list, or takes it out, as its state says. */
static void place_locked(struct watch *watch, struct wakeups *wakeups)
{
    bool ready = watch->closed || (watch_is_signalled(watch) && !watch->paused);
    bool listed = watch->ready.next != NULL;
    if (ready && !listed) {
        list_append(&watch->set->ready, &watch->ready);
        announce_locked(watch->set, wakeups);
    } else if (!ready && listed) {
        list_remove(&watch->ready);
    }
}

void push__readyset_add(struct readyset *set, struct watch *watch)
{
    lock_acquire(&set->lock);
    watch->set = set;
    watch->ready.next = NULL;
    atomic_store_explicit(&watch->signalled, false, memory_order_relaxed);
    watch->idle = watch->paused = watch->closed = false;
    list_append(&set->all, &watch->all);
    lock_release(&set->lock);
}

void push__readyset_remove(struct watch *watch)
{
    struct readyset *set = watch->set;
    lock_acquire(&set->lock);
    if (watch->ready.next)
        list_remove(&watch->ready);
    list_remove(&watch->all);
    watch->set = NULL;
    lock_release(&set->lock);
}

push_client *push__readyset_first(struct readyset *set)
{
    lock_acquire(&set->lock);
    push_client *client = list_empty(&set->all) ? NULL : watch_of_all(set->all.next)->client;
    lock_release(&set->lock);
    return client;
}

void push__watch_signal(struct watch *watch, struct wakeups *wakeups)
{
    struct readyset *set = watch->set;
    lock_acquire(&set->lock);
    atomic_store_explicit(&watch->signalled, true, memory_order_relaxed);
    watch->idle = false;
    place_locked(watch, wakeups);
    lock_release(&set->lock);
}

void push__watch_clear(struct watch *watch)
{
    struct readyset *set = watch->set;
    lock_acquire(&set->lock);
    atomic_store_explicit(&watch->signalled, false, memory_order_relaxed);
    watch->idle = false;
    if (watch->ready.next && !watch->closed)
        list_remove(&watch->ready);
    lock_release(&set->lock);
}

/* An idle watch is told of the next put, and leaves the list; or there is something new. A pull that is about to
 * wait may have armed it already: that is nothing new. */
static void arm_locked(struct watch *watch)
{
    uint64_t expected = watch->idle_word;
    watch->idle = false;
    atomic_store_explicit(&watch->signalled, false, memory_order_relaxed);
    if (atomic_compare_exchange_strong_explicit(watch->word, &expected, watch->armed_word, memory_order_acq_rel,
                                                memory_order_acquire) ||
        expected == watch->armed_word)
        list_remove(&watch->ready);
    else
        atomic_store_explicit(&watch->signalled, true, memory_order_relaxed);
}

bool push__watch_rest(struct watch *watch, uint64_t word, uint64_t armed)
{
    struct readyset *set = watch->set;
    lock_acquire(&set->lock);
    bool rests = watch->ready.next && waitq_empty(&set->waiters); /* listed: signalled, not paused */
    if (rests) {
        watch->idle = true;
        watch->looks = 0;
        watch->idle_word = word;
        watch->armed_word = armed;
    }
    lock_release(&set->lock);
    return rests;
}

void push__watch_close(struct watch *watch, struct wakeups *wakeups)
{
    struct readyset *set = watch->set;
    lock_acquire(&set->lock);
    watch->closed = true;
    place_locked(watch, wakeups);
    lock_release(&set->lock);
}

void push__watch_pause(struct watch *watch, bool paused, struct wakeups *wakeups)
{
    struct readyset *set = watch->set;
    lock_acquire(&set->lock);
    if (paused && watch->idle)
        arm_locked(watch); /* no wait looks at it any more */
    watch->paused = paused;
    place_locked(watch, wakeups);
    lock_release(&set->lock);
}

/* Nobody looks after the idle watches from here on. */
static void arm_all_locked(struct readyset *set)
{
    for (struct watch_link *link = set->ready.next, *next; link != &set->ready; link = next) {
        next = link->next;
        if (watch_of_ready(link)->idle)
            arm_locked(watch_of_ready(link));
    }
}

/* What waits found at watches that rested. */
struct harvest {
    unsigned watches;
    uint64_t messages;
};

/* Whether this listed watch is to be reported. One that was looked at in vain too often may leave the list. */
static bool is_due_locked(struct watch *watch, struct harvest *harvest)
{
    if (!watch->idle || watch->closed)
        return true;
    uint64_t word = atomic_load_explicit(watch->word, memory_order_acquire);
    if (word == watch->idle_word || word == watch->armed_word) {
        if (++watch->looks < LOOKS_MAX)
            return false;
        arm_locked(watch);
        return watch->ready.next != NULL;
    }
    watch->idle = false;
    harvest->watches++;
    harvest->messages += (word - watch->idle_word) / WATCH_ONE;
    return true;
}

/* In a stream, a visit for a message or two costs more than they do, on both sides: the mailbox's cache lines come
 * and go. So where several had come since the last visit, the next wait lets more of them gather, for some
 * microseconds at most; where there were few, or none, it does not wait for them. (As network cards moderate their
 * interrupts.) */
static void learn_to_gather_locked(struct readyset *set, const struct harvest *harvest)
{
    enum { SEVERAL = 2, ENOUGH = 32, FIRST = 16, MOST = 256 };
    uint64_t each = harvest->watches > 0 ? harvest->messages / harvest->watches : 0;
    if (each < SEVERAL || each > 2 * ENOUGH)
        set->gather /= 2;
    else if (each < ENOUGH && set->gather < MOST)
        set->gather = set->gather > 0 ? set->gather * 2 : FIRST;
}

unsigned push__readyset_gathers(const struct readyset *set)
{
    if (set->wakes > 0 || list_empty(&set->ready) || !watch_of_ready(set->ready.next)->idle)
        return 0;
    return set->gather;
}

static void gather_unlocked(struct readyset *set)
{
    unsigned spins = push__readyset_gathers(set);
    if (spins == 0)
        return;
    lock_release(&set->lock);
    push__pause(spins);
    lock_acquire(&set->lock);
}

/* What there is to report now: 0 for a wake, the number of events, or -EAGAIN. */
static int report_locked(struct readyset *set, push_event *events, int max)
{
    if (set->wakes > 0) {
        set->wakes--;
        return 0;
    }
    int n = 0;
    struct harvest harvest = {0};
    struct watch_link *stop = set->ready.prev;
    for (bool last = list_empty(&set->ready); n < max && !last;) {
        struct watch_link *link = set->ready.next;
        struct watch *watch = watch_of_ready(link);
        last = link == stop;
        if (is_due_locked(watch, &harvest)) {
            events[n].client = watch->client;
            events[n].data = watch->data;
            n++;
        }
        if (link->next) {
            list_remove(link);
            list_append(&set->ready, link);
        }
    }
    learn_to_gather_locked(set, &harvest);
    return n > 0 ? n : -EAGAIN;
}

/* The cancelled thread was chosen to see what came: another takes its place. */
static void wait_cancelled(void *arg, bool woken, struct wakeups *wakeups)
{
    struct readyset *set = arg;
    if (woken)
        push__waitq_wake(&set->waiters, wakeups);
}

static void yield_unlocked(struct readyset *set)
{
    lock_release(&set->lock);
    push__yield();
    lock_acquire(&set->lock);
}

static int renew_unlocked(struct readyset *set, struct sleeper **sleeper)
{
    lock_release(&set->lock);
    int rc = push__sleeper_renew(sleeper);
    lock_acquire(&set->lock);
    return rc;
}

/* Sleeps until told, in a sleeper that is free. Returns 0 to look again, or -ETIMEDOUT. */
static int sleep_locked(struct readyset *set, const struct deadline *deadline, struct sleeper **sleeper)
{
    arm_all_locked(set);
    if (!list_empty(&set->ready))
        return 0;
    push__waker_clear(&set->waker);
    uint64_t start = push__now();
    int rc = push__waitq_sleep(&set->waiters, &set->lock, deadline, sleeper, wait_cancelled, set);
    set->patience = patience_after_sleep(set->patience, push__now() - start);
    return rc;
}

int push__readyset_wait(struct readyset *set, push_event *events, int max, int timeout_ms)
{
    struct deadline deadline = {.never = true};
    struct sleeper *sleeper = NULL;
    lock_acquire(&set->lock);
    gather_unlocked(set);
    int rc = report_locked(set, events, max);
    if (rc == -EAGAIN && timeout_ms > 0)
        deadline = push__deadline_in(timeout_ms);
    unsigned yields = patience_yields(set->patience);
    int slept = timeout_ms == 0 ? -ETIMEDOUT : 0;
    while (rc == -EAGAIN && slept == 0) {
        if (yields > 0 && !push__deadline_passed(&deadline)) {
            yields--;
            yield_unlocked(set);
        } else if (!push__sleeper_is_free(sleeper)) {
            slept = renew_unlocked(set, &sleeper);
        } else {
            slept = sleep_locked(set, &deadline, &sleeper);
            yields = patience_yields(set->patience);
        }
        rc = report_locked(set, events, max);
    }
    if (rc == -EAGAIN) {
        arm_all_locked(set);
        rc = report_locked(set, events, max);
    }
    if (rc == -EAGAIN) {
        push__waker_clear(&set->waker);
        rc = slept != -ETIMEDOUT ? slept : timeout_ms == 0 ? -EAGAIN : -ETIMEDOUT;
    }
    lock_release(&set->lock);
    push__sleeper_unref(sleeper);
    return rc;
}

int push__readyset_fd(struct readyset *set)
{
    lock_acquire(&set->lock);
    int rc = 0;
    if (!waker_is_open(&set->waker)) {
        arm_all_locked(set);
        rc = push__waker_open(&set->waker);
        if (rc == 0 && (set->wakes > 0 || !list_empty(&set->ready)))
            push__waker_raise(&set->waker);
    }
    if (rc == 0)
        rc = set->waker.read_fd;
    lock_release(&set->lock);
    return rc;
}

void push__readyset_wake(struct readyset *set)
{
    struct wakeups wakeups = {0};
    lock_acquire(&set->lock);
    set->wakes++;
    announce_locked(set, &wakeups);
    lock_release(&set->lock);
    push__wakeups_send(&wakeups);
}
