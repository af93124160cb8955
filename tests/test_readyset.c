/* The ready set of a poller, driven through its watches as mailboxes do, against a plain list of what is ready. */
#include "helpers.h"

#include "poller.h"

enum { WATCHES = 7 };

static struct watch *watch_at(struct watch_link *link)
{
    return (struct watch *)(void *)((char *)link - offsetof(struct watch, ready));
}

/* A poller, watches, and what should be the case. A watch's client and data are never looked at: any pointers do.
 */
struct bench {
    push_poller *p;
    struct readyset *set;
    struct watch watches[WATCHES];
    int fd; /* -1: not asked for */

    bool in[WATCHES], signalled[WATCHES], paused[WATCHES], closed[WATCHES];
    int ready[WATCHES]; /* in turn */
    int len;
    size_t wakes;
};

static push_client *client_of(struct bench *b, int i)
{
    return (push_client *)(void *)&b->watches[i];
}

static void bench_init(struct bench *b)
{
    *b = (struct bench){.fd = -1};
    b->p = push_poller_new();
    assert_non_null(b->p);
    b->set = &b->p->set;
    for (int i = 0; i < WATCHES; i++) {
        b->watches[i].client = client_of(b, i);
        b->watches[i].data = &b->in[i];
    }
}

static void place(struct bench *b, int i)
{
    bool should = b->in[i] && (b->closed[i] || (b->signalled[i] && !b->paused[i]));
    int at = 0;
    while (at < b->len && b->ready[at] != i)
        at++;
    if (should && at == b->len) {
        b->ready[b->len++] = i;
    } else if (!should && at < b->len) {
        b->len--;
        memmove(&b->ready[at], &b->ready[at + 1], (size_t)(b->len - at) * sizeof(b->ready[0]));
    }
}

static void add(struct bench *b, int i)
{
    if (b->in[i])
        return;
    push__readyset_add(b->set, &b->watches[i]);
    b->in[i] = true;
    b->signalled[i] = b->paused[i] = b->closed[i] = false;
}

static void take_out(struct bench *b, int i)
{
    if (!b->in[i])
        return;
    push__readyset_remove(&b->watches[i]);
    assert_null(b->watches[i].set);
    b->in[i] = false;
    place(b, i);
}

static void signal_watch(struct bench *b, int i)
{
    if (!b->in[i])
        return;
    struct wakeups wakeups = {0};
    push__watch_signal(&b->watches[i], &wakeups);
    push__wakeups_send(&wakeups);
    b->signalled[i] = true;
    place(b, i);
}

static void clear_watch(struct bench *b, int i)
{
    if (!b->in[i])
        return;
    push__watch_clear(&b->watches[i]);
    b->signalled[i] = false;
    place(b, i);
}

static void close_watch(struct bench *b, int i)
{
    if (!b->in[i])
        return;
    struct wakeups wakeups = {0};
    push__watch_close(&b->watches[i], &wakeups);
    push__wakeups_send(&wakeups);
    b->closed[i] = true;
    place(b, i);
}

static void pause_watch(struct bench *b, int i, bool paused)
{
    if (!b->in[i])
        return;
    struct wakeups wakeups = {0};
    push__watch_pause(&b->watches[i], paused, &wakeups);
    push__wakeups_send(&wakeups);
    b->paused[i] = paused;
    place(b, i);
}

static void wake(struct bench *b)
{
    push_poller_wake(b->p);
    b->wakes++;
}

/* Who was served goes behind those who were not. */
static void rotate(struct bench *b, int n)
{
    int served[WATCHES];
    memcpy(served, b->ready, (size_t)n * sizeof(served[0]));
    memmove(b->ready, b->ready + n, (size_t)(b->len - n) * sizeof(served[0]));
    memcpy(b->ready + b->len - n, served, (size_t)n * sizeof(served[0]));
}

static void wait_now(struct bench *b, int max, int timeout_ms)
{
    push_event events[WATCHES + 1];
    memset(events, 0, sizeof(events));
    int rc = push_poller_wait(b->p, events, max, timeout_ms);
    if (b->wakes > 0) {
        b->wakes--;
        assert_int_equal(rc, 0);
        return;
    }
    if (b->len == 0) {
        assert_int_equal(rc, timeout_ms == 0 ? -EAGAIN : -ETIMEDOUT);
        assert_true(b->fd < 0 || !readable(b->fd));
        return;
    }
    int n = max < b->len ? max : b->len;
    assert_int_equal(rc, n);
    for (int i = 0; i < n; i++) {
        assert_ptr_equal(events[i].client, client_of(b, b->ready[i]));
        assert_ptr_equal(events[i].data, &b->in[b->ready[i]]);
    }
    assert_null(events[n].client);
    rotate(b, n);
}

static void check(struct bench *b)
{
    int at = 0;
    for (struct watch_link *link = b->set->ready.next; link != &b->set->ready; link = link->next, at++) {
        assert_true(at < b->len);
        assert_ptr_equal(watch_at(link), &b->watches[b->ready[at]]);
        assert_ptr_equal(link->next->prev, link);
    }
    assert_int_equal(at, b->len);
    assert_int_equal(b->set->wakes, b->wakes);
    if (b->fd >= 0) {
        assert_int_equal(push_poller_fd(b->p), b->fd);
        if (b->len > 0 || b->wakes > 0)
            assert_true(readable(b->fd));
    }
}

static void bench_destroy(struct bench *b)
{
    for (int i = 0; i < WATCHES; i++)
        take_out(b, i);
    assert_null(push__readyset_first(b->set));
    push_poller_free(b->p);
}

/* ---- One thread ------------------------------------------------------------------------------------------ */

static void test_random_operations(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < SCALED(200); seed++) {
        uint64_t random = seed;
        struct bench b;
        bench_init(&b);
        for (int step = 0; step < 400; step++) {
            int i = (int)(random_next(&random) % WATCHES);
            switch (random_next(&random) % 14) {
            case 0:
            case 1:
            case 2:
                add(&b, i);
                break;
            case 3:
                take_out(&b, i);
                break;
            case 4:
            case 5:
            case 6:
                signal_watch(&b, i);
                break;
            case 7:
                clear_watch(&b, i);
                break;
            case 8:
                if (random_next(&random) % 4 == 0)
                    close_watch(&b, i);
                break;
            case 9:
                pause_watch(&b, i, true);
                break;
            case 10:
                pause_watch(&b, i, false);
                break;
            case 11:
                if (random_next(&random) % 4 == 0)
                    wake(&b);
                break;
            case 12:
                if (random_next(&random) % 64 == 0) {
                    b.fd = push_poller_fd(b.p);
                    assert_true(b.fd >= 0);
                }
                break;
            default:
                wait_now(&b, 1 + (int)(random_next(&random) % WATCHES), 0);
                break;
            }
            check(&b);
        }
        bench_destroy(&b);
    }
}

static void test_served_in_turn(void **state)
{
    (void)state;
    struct bench b;
    bench_init(&b);
    for (int i = 0; i < WATCHES; i++) {
        add(&b, i);
        signal_watch(&b, i);
    }
    /* The first is always busy; the others still have their turn, once in each round. */
    for (int round = 0; round < 3; round++) {
        int served[WATCHES] = {0};
        for (int i = 0; i < WATCHES; i++) {
            push_event event;
            signal_watch(&b, 0);
            assert_int_equal(push_poller_wait(b.p, &event, 1, 0), 1);
            served[(bool *)event.data - b.in]++;
            rotate(&b, 1);
        }
        for (int i = 0; i < WATCHES; i++)
            assert_int_equal(served[i], 1);
    }
    check(&b);
    bench_destroy(&b);
}

static void test_the_descriptor_begins_as_the_set_is(void **state)
{
    (void)state;
    for (int what = 0; what < 4; what++) {
        struct bench b;
        bench_init(&b);
        add(&b, 0);
        if (what == 1)
            signal_watch(&b, 0);
        else if (what == 2)
            close_watch(&b, 0);
        else if (what == 3)
            wake(&b);
        b.fd = push_poller_fd(b.p);
        assert_true(b.fd >= 0);
        assert_true(readable(b.fd) == (what > 0));
        check(&b);
        bench_destroy(&b);
    }
}

static void test_members_can_be_emptied_out(void **state)
{
    (void)state;
    struct bench b;
    bench_init(&b);
    for (int i = 0; i < WATCHES; i++)
        add(&b, i);
    for (int n = WATCHES; n > 0; n--) {
        push_client *first = push__readyset_first(b.set);
        int i = (int)((struct watch *)(void *)first - b.watches);
        assert_in_range(i, 0, WATCHES - 1);
        assert_true(b.in[i]);
        take_out(&b, i);
    }
    bench_destroy(&b);
}

/* ---- Threads --------------------------------------------------------------------------------------------- */

enum { WAITERS = 4 };

static int count_done(struct call **calls)
{
    int n = 0;
    for (int i = 0; i < WAITERS; i++)
        n += calls[i] && call_done(calls[i]);
    return n;
}

/* Begins the missing ones, and sees all of them asleep. */
static void let_them_wait(struct bench *b, struct call **calls)
{
    for (int i = 0; i < WAITERS; i++) {
        if (!calls[i])
            calls[i] = begin_wait(b->p, -1);
        assert_asleep(calls[i]);
    }
}

/* Exactly one came back; the others sleep on. */
static struct result finish_the_one(struct call **calls)
{
    struct result r = {0};
    assert_eventually(count_done(calls) > 0);
    int finished = -1;
    for (int i = 0; i < WAITERS; i++) {
        if (call_done(calls[i])) {
            assert_int_equal(finished, -1);
            finished = i;
        } else {
            assert_asleep(calls[i]);
        }
    }
    assert_int_equal(count_done(calls), 1);
    r = finish(calls[finished]);
    calls[finished] = NULL;
    return r;
}

static void release_all(struct bench *b, struct call **calls)
{
    for (int i = 0; i < WAITERS; i++) {
        if (calls[i])
            push_poller_wake(b->p);
    }
    for (int i = 0; i < WAITERS; i++) {
        if (calls[i])
            assert_int_equal(finish(calls[i]).rc, 0);
        calls[i] = NULL;
    }
}

static void test_one_arrival_wakes_one(void **state)
{
    (void)state;
    struct bench b;
    struct call *calls[WAITERS] = {0};
    bench_init(&b);
    for (int i = 0; i < 4; i++)
        add(&b, i);

    let_them_wait(&b, calls);
    signal_watch(&b, 2);
    struct result r = finish_the_one(calls);
    assert_int_equal(r.rc, 1);
    assert_ptr_equal(r.events[0].client, client_of(&b, 2));
    clear_watch(&b, 2);

    let_them_wait(&b, calls);
    close_watch(&b, 1);
    r = finish_the_one(calls);
    assert_int_equal(r.rc, 1);
    assert_ptr_equal(r.events[0].client, client_of(&b, 1));
    take_out(&b, 1);

    /* Nothing for a paused one, until it is resumed. */
    let_them_wait(&b, calls);
    pause_watch(&b, 3, true);
    signal_watch(&b, 3);
    let_them_wait(&b, calls);
    pause_watch(&b, 3, false);
    r = finish_the_one(calls);
    assert_int_equal(r.rc, 1);
    assert_ptr_equal(r.events[0].client, client_of(&b, 3));
    clear_watch(&b, 3);

    let_them_wait(&b, calls);
    push_poller_wake(b.p);
    assert_int_equal(finish_the_one(calls).rc, 0);

    release_all(&b, calls);
    bench_destroy(&b);
}

/* Two arrivals, a wake and an arrival: two come back, with what is there. */
static void test_each_arrival_wakes_another(void **state)
{
    (void)state;
    struct bench b;
    struct call *calls[WAITERS] = {0};
    bench_init(&b);
    add(&b, 0);
    let_them_wait(&b, calls);
    push_poller_wake(b.p);
    signal_watch(&b, 0);
    assert_eventually(count_done(calls) == 2);
    int zeros = 0;
    int ones = 0;
    for (int i = 0; i < WAITERS; i++) {
        if (!call_done(calls[i]))
            continue;
        int rc = finish(calls[i]).rc;
        zeros += rc == 0;
        ones += rc == 1;
        calls[i] = NULL;
    }
    assert_int_equal(zeros, 1);
    assert_int_equal(ones, 1);
    clear_watch(&b, 0);
    release_all(&b, calls);
    bench_destroy(&b);
}

static void test_wakes_are_counted(void **state)
{
    (void)state;
    struct bench b;
    bench_init(&b);
    add(&b, 0);
    signal_watch(&b, 0);
    for (int i = 0; i < 3; i++)
        wake(&b);
    for (int i = 0; i < 3; i++)
        wait_now(&b, 1, -1);
    wait_now(&b, 1, -1);
    clear_watch(&b, 0);
    wait_now(&b, 1, 0);
    assert_int_equal(b.wakes, 0);
    bench_destroy(&b);
}

static void test_deadline(void **state)
{
    (void)state;
    struct bench b;
    bench_init(&b);
    add(&b, 0);
    int64_t begin = now_ns();
    wait_now(&b, 1, 20);
    assert_true(now_ns() - begin >= 20 * MILLISECOND);
    signal_watch(&b, 0);
    wait_now(&b, 1, 20);
    bench_destroy(&b);
}

/* The waiter that an arrival has woken is cancelled before it runs on: another is told. */
static void test_a_cancelled_waiter_hands_on(void **state)
{
    (void)state;
    struct bench b;
    bench_init(&b);
    add(&b, 0);
    int handed_on = 0;
    for (int round = 0; round < 100 && handed_on == 0; round++) {
        struct call *first = begin_wait(b.p, -1);
        assert_asleep(first);
        struct call *second = begin_wait(b.p, -1);
        assert_asleep(second);
        /* Both under the set's lock, so that the thread cannot run on between them. */
        struct wakeups wakeups = {0};
        lock_acquire(&b.set->lock);
        pthread_cancel(call_thread(first));
        b.set->wakes++;
        push__waitq_wake(&b.set->waiters, &wakeups);
        lock_release(&b.set->lock);
        bool cancelled = finish_cancelled(first);
        push__wakeups_send(&wakeups); /* told before, it might come back and not be cancelled */
        if (!cancelled)
            push_poller_wake(b.p);
        assert_int_equal(finish(second).rc, 0);
        handed_on += cancelled;
    }
    assert_int_equal(handed_on, 1);
    bench_destroy(&b);
}

static void test_a_cancelled_waiter_leaves(void **state)
{
    (void)state;
    struct bench b;
    bench_init(&b);
    add(&b, 0);
    struct call *first = begin_wait(b.p, -1);
    assert_asleep(first);
    struct call *second = begin_wait(b.p, -1);
    assert_asleep(second);
    pthread_cancel(call_thread(first));
    assert_true(finish_cancelled(first));
    assert_asleep(second);
    signal_watch(&b, 0);
    assert_int_equal(finish(second).rc, 1);
    bench_destroy(&b);
}

/* ---- Rest: a watch whose mailbox ran empty stays listed, and is looked at ---- */

enum { EMPTY = 8, ARMED = 12, FULL = 16 };

/* Watch 0, signalled and found empty. */
static _Atomic uint64_t *bench_with_rest(struct bench *b)
{
    static _Atomic uint64_t word;
    bench_init(b);
    atomic_store(&word, EMPTY);
    b->watches[0].word = &word;
    add(b, 0);
    signal_watch(b, 0);
    assert_true(push__watch_rest(&b->watches[0], EMPTY, ARMED));
    return &word;
}

static struct wakeups nobody;

static int events_now(struct bench *b)
{
    assert_null(nobody.first);
    push_event event;
    int n = push_poller_wait(b->p, &event, 1, 0);
    if (n == 1)
        assert_ptr_equal(event.client, client_of(b, 0));
    return n;
}

static void test_a_change_ends_the_rest(void **state)
{
    (void)state;
    struct bench b;
    _Atomic uint64_t *word = bench_with_rest(&b);
    atomic_store(word, FULL);
    assert_int_equal(events_now(&b), 1);
    assert_int_equal(events_now(&b), 1); /* until it is found empty again */
    assert_int_equal(atomic_load(word), FULL);
    take_out(&b, 0);
    push_poller_free(b.p);
}

/* A wait that ends with nothing leaves no watch unarmed. */
static void test_rest_ends_with_the_wait(void **state)
{
    (void)state;
    struct bench b;
    _Atomic uint64_t *word = bench_with_rest(&b);
    assert_int_equal(events_now(&b), -EAGAIN);
    assert_int_equal(atomic_load(word), ARMED);
    assert_false(push__watch_rest(&b.watches[0], ARMED, ARMED)); /* it is not signalled */
    atomic_store(word, FULL);
    assert_int_equal(events_now(&b), -EAGAIN); /* nobody looks at it any more: it must be told */
    push__watch_signal(&b.watches[0], &nobody);
    assert_int_equal(events_now(&b), 1);
    take_out(&b, 0);
    push_poller_free(b.p);
}

/* One that is looked at in vain for long is armed, though others keep the waits short. */
static void test_rest_is_bounded(void **state)
{
    (void)state;
    struct bench b;
    _Atomic uint64_t *word = bench_with_rest(&b);
    add(&b, 1);
    signal_watch(&b, 1);
    int waits = 0;
    for (push_event event; atomic_load(word) == EMPTY && waits < 1000; waits++) {
        assert_int_equal(push_poller_wait(b.p, &event, 1, 0), 1);
        assert_ptr_equal(event.client, client_of(&b, 1));
    }
    assert_int_equal(atomic_load(word), ARMED);
    assert_in_range(waits, 2, 100);
    take_out(&b, 0);
    take_out(&b, 1);
    push_poller_free(b.p);
}

static void test_who_rests_is_no_longer_ready_for_the_descriptor(void **state)
{
    (void)state;
    struct bench b;
    _Atomic uint64_t *word = bench_with_rest(&b);
    int fd = push_poller_fd(b.p);
    assert_true(fd >= 0);
    assert_false(readable(fd));
    assert_int_equal(atomic_load(word), ARMED);
    take_out(&b, 0);
    push_poller_free(b.p);
}

static void test_closing_ends_the_rest(void **state)
{
    (void)state;
    struct bench b;
    bench_with_rest(&b);
    push__watch_close(&b.watches[0], &nobody);
    assert_int_equal(events_now(&b), 1);
    assert_int_equal(events_now(&b), 1);
    take_out(&b, 0);
    push_poller_free(b.p);
}

/* Nobody looks at a paused watch: the next put must tell. What came before the pause is reported after it. */
static void test_pausing_ends_the_rest(void **state)
{
    (void)state;
    for (int came = 0; came <= 1; came++) {
        struct bench b;
        _Atomic uint64_t *word = bench_with_rest(&b);
        if (came)
            atomic_store(word, FULL);
        push__watch_pause(&b.watches[0], true, &nobody);
        assert_int_equal(atomic_load(word), came ? FULL : ARMED);
        assert_int_equal(events_now(&b), -EAGAIN);
        assert_false(push__watch_rest(&b.watches[0], EMPTY, ARMED));
        push__watch_pause(&b.watches[0], false, &nobody);
        assert_int_equal(events_now(&b), came ? 1 : -EAGAIN);
        signal_watch(&b, 0);
        assert_int_equal(events_now(&b), 1);
        take_out(&b, 0);
        push_poller_free(b.p);
    }
}

/* While somebody sleeps, whoever finds a mailbox empty arms it. */
static void test_no_rest_while_somebody_sleeps(void **state)
{
    (void)state;
    struct bench b;
    _Atomic uint64_t *word = bench_with_rest(&b);
    struct call *call = begin_wait(b.p, -1);
    assert_asleep(call);
    assert_int_equal(atomic_load(word), ARMED);
    add(&b, 1);
    b.watches[1].word = word;
    push__watch_pause(&b.watches[1], true, &nobody); /* so that its signal wakes nobody */
    push__watch_signal(&b.watches[1], &nobody);
    assert_false(push__watch_rest(&b.watches[1], ARMED, ARMED));
    push_poller_wake(b.p);
    assert_int_equal(finish(call).rc, 0);
    take_out(&b, 0);
    take_out(&b, 1);
    push_poller_free(b.p);
}

/* ---- Gathering ------------------------------------------------------------------------------------------- */

/* So many messages come while it rests, and are pulled: how long the wait let them gather. */
static unsigned pause_for(struct bench *b, _Atomic uint64_t *word, uint64_t messages)
{
    uint64_t seen = atomic_load(word);
    assert_true(push__watch_rest(&b->watches[0], seen, seen | (ARMED ^ EMPTY)));
    atomic_store(word, seen + messages * WATCH_ONE);
    unsigned gathers = push__readyset_gathers(b->set);
    assert_int_equal(events_now(b), 1);
    return gathers;
}

static void test_several_messages_make_the_next_wait_gather(void **state)
{
    (void)state;
    struct bench b;
    _Atomic uint64_t *word = bench_with_rest(&b);
    assert_int_equal(pause_for(&b, word, 1), 0);
    assert_int_equal(pause_for(&b, word, 2), 0);
    unsigned last = 0;
    for (int i = 0; i < 10; i++) {
        unsigned now = pause_for(&b, word, 31);
        assert_in_range(now, last > 0 ? last : 1, 1000);
        last = now;
    }
    assert_int_equal(pause_for(&b, word, 31), last); /* there is an end to it */
    pause_for(&b, word, 32);                         /* enough */
    pause_for(&b, word, 64);
    assert_int_equal(pause_for(&b, word, 65), last); /* more than enough */
    assert_int_equal(pause_for(&b, word, 1), last / 2);
    assert_int_equal(pause_for(&b, word, 1), last / 4);
    for (int i = 0; i < 10; i++)
        pause_for(&b, word, 1);
    assert_int_equal(pause_for(&b, word, 1), 0);
    take_out(&b, 0);
    push_poller_free(b.p);
}

/* Only what rests is let gather: a wake, and what was told of, is reported at once. */
static void test_nothing_else_waits_for_messages_to_gather(void **state)
{
    (void)state;
    struct bench b;
    _Atomic uint64_t *word = bench_with_rest(&b);
    pause_for(&b, word, 2);
    assert_true(pause_for(&b, word, 2) > 0);
    assert_int_equal(push__readyset_gathers(b.set), 0); /* it does not rest */
    uint64_t seen = atomic_load(word);
    assert_true(push__watch_rest(&b.watches[0], seen, seen | (ARMED ^ EMPTY)));
    assert_true(push__readyset_gathers(b.set) > 0);
    push_poller_wake(b.p);
    assert_int_equal(push__readyset_gathers(b.set), 0);
    assert_int_equal(events_now(&b), 0);
    clear_watch(&b, 0);
    assert_int_equal(push__readyset_gathers(b.set), 0); /* nothing is listed */
    take_out(&b, 0);
    push_poller_free(b.p);
}

static const struct CMUnitTest tests[] = {TEST(test_several_messages_make_the_next_wait_gather),
                                          TEST(test_nothing_else_waits_for_messages_to_gather),
                                          TEST(test_a_change_ends_the_rest),
                                          TEST(test_rest_ends_with_the_wait),
                                          TEST(test_rest_is_bounded),
                                          TEST(test_who_rests_is_no_longer_ready_for_the_descriptor),
                                          TEST(test_closing_ends_the_rest),
                                          TEST(test_pausing_ends_the_rest),
                                          TEST(test_no_rest_while_somebody_sleeps),
                                          TEST(test_random_operations),
                                          TEST(test_served_in_turn),
                                          TEST(test_the_descriptor_begins_as_the_set_is),
                                          TEST(test_members_can_be_emptied_out),
                                          TEST(test_one_arrival_wakes_one),
                                          TEST(test_each_arrival_wakes_another),
                                          TEST(test_wakes_are_counted),
                                          TEST(test_deadline),
                                          TEST(test_a_cancelled_waiter_hands_on),
                                          TEST(test_a_cancelled_waiter_leaves)};

TEST_MAIN(tests)
