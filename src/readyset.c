#include "readyset.h"

#include <errno.h>
#include <stddef.h>

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

/* Something to report came: one waiter is told, and the descriptor. */
static void announce_locked(struct readyset *set)
{
    push__waitq_wake(&set->waiters);
    push__waker_raise(&set->waker);
}

/* Puts the watch into the ready list, or takes it out, as its state says. */
static void place_locked(struct watch *watch)
{
    bool ready = watch->closed || (watch->signalled && !watch->paused);
    bool listed = watch->ready.next != NULL;
    if (ready && !listed) {
        list_append(&watch->set->ready, &watch->ready);
        announce_locked(watch->set);
    } else if (!ready && listed) {
        list_remove(&watch->ready);
    }
}

void push__readyset_add(struct readyset *set, struct watch *watch)
{
    lock_acquire(&set->lock);
    watch->set = set;
    watch->ready.next = NULL;
    watch->signalled = watch->paused = watch->closed = false;
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

void push__watch_signal(struct watch *watch)
{
    struct readyset *set = watch->set;
    lock_acquire(&set->lock);
    watch->signalled = true;
    place_locked(watch);
    lock_release(&set->lock);
}

void push__watch_clear(struct watch *watch)
{
    struct readyset *set = watch->set;
    lock_acquire(&set->lock);
    watch->signalled = false;
    place_locked(watch);
    lock_release(&set->lock);
}

void push__watch_close(struct watch *watch)
{
    struct readyset *set = watch->set;
    lock_acquire(&set->lock);
    watch->closed = true;
    place_locked(watch);
    lock_release(&set->lock);
}

void push__watch_pause(struct watch *watch, bool paused)
{
    struct readyset *set = watch->set;
    lock_acquire(&set->lock);
    watch->paused = paused;
    place_locked(watch);
    lock_release(&set->lock);
}

/* What there is to report now: 0 for a wake, the number of events, or -EAGAIN. */
static int report_locked(struct readyset *set, push_event *events, int max)
{
    if (set->wakes > 0) {
        set->wakes--;
        return 0;
    }
    if (list_empty(&set->ready))
        return -EAGAIN;
    struct watch_link *stop = set->ready.prev;
    int n = 0;
    for (bool last = false; n < max && !last; n++) {
        struct watch_link *link = set->ready.next;
        struct watch *watch = watch_of_ready(link);
        events[n].client = watch->client;
        events[n].data = watch->data;
        last = link == stop;
        list_remove(link);
        list_append(&set->ready, link);
    }
    return n;
}

/* The cancelled thread was chosen to see what came: another takes its place. */
static void wait_cancelled(void *arg, bool woken)
{
    struct readyset *set = arg;
    if (woken)
        push__waitq_wake(&set->waiters);
}

static void yield_unlocked(struct readyset *set)
{
    lock_release(&set->lock);
    push__yield();
    lock_acquire(&set->lock);
}

int push__readyset_wait(struct readyset *set, push_event *events, int max, int timeout_ms)
{
    struct deadline deadline = {.never = true};
    lock_acquire(&set->lock);
    int rc = report_locked(set, events, max);
    if (rc == -EAGAIN && timeout_ms > 0)
        deadline = push__deadline_in(timeout_ms);
    unsigned yields = set->patience;
    bool passed = timeout_ms == 0;
    while (rc == -EAGAIN && !passed) {
        if (yields > 0) {
            yields--;
            yield_unlocked(set);
            passed = push__deadline_passed(&deadline);
        } else {
            push__waker_clear(&set->waker);
            uint64_t start = push__now();
            int slept = push__waitq_sleep(&set->waiters, &set->lock, &deadline, wait_cancelled, set);
            if (slept < 0 && slept != -ETIMEDOUT) {
                lock_release(&set->lock);
                return slept;
            }
            passed = slept == -ETIMEDOUT;
            yields = set->patience = patience_after_sleep(push__now() - start);
        }
        rc = report_locked(set, events, max);
    }
    if (rc == -EAGAIN) {
        push__waker_clear(&set->waker);
        if (timeout_ms != 0)
            rc = -ETIMEDOUT;
    }
    lock_release(&set->lock);
    return rc;
}

int push__readyset_fd(struct readyset *set)
{
    lock_acquire(&set->lock);
    int rc = 0;
    if (!waker_is_open(&set->waker)) {
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
    lock_acquire(&set->lock);
    set->wakes++;
    announce_locked(set);
    lock_release(&set->lock);
}
