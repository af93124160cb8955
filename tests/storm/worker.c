/* The random calls of one thread. Cancellation is on only while it waits in one of the library, or in poll(2). */
#include "storm.h"

#include <poll.h>

static uint32_t rnd(struct worker *w, uint32_t n)
{
    return random_next(&w->random) % n;
}

static push_id session_id(struct worker *w)
{
    return push_id_int(rnd(w, climate.sessions));
}

static push_id client_id(struct worker *w)
{
    static const char *const names[IDS] = {"phone", "desk", "pad", "watch"};
    return push_id_str(names[rnd(w, climate.ids)]);
}

static int timeout_of(struct worker *w)
{
    if (atomic_load(&lull))
        return -1;
    switch (rnd(w, 4)) {
    case 0:
    case 1:
        return 0;
    case 2:
        return 1 + (int)rnd(w, 4);
    default:
        return w->number < STEADY ? 1 : -1;
    }
}

/* ---- Handles ---------------------------------------------------------------------------------------------- */

static void keep_client(struct worker *w, push_client *c)
{
    uint32_t hand = rnd(w, HANDS);
    push_client_unref(w->clients[hand]);
    w->clients[hand] = c;
}

static void keep_session(struct worker *w, push_session *s)
{
    uint32_t hand = rnd(w, HANDS);
    push_session_unref(w->sessions[hand]);
    w->sessions[hand] = s;
}

static push_client_options options_of(struct worker *w)
{
    static const size_t capacities[] = {0, 1, 2, 3, 8, 50};
    push_client_options options = {.max_buffer = capacities[rnd(w, COUNT(capacities))],
                                   .max_bytes = rnd(w, 4) ? 0 : 1 + rnd(w, 100),
                                   .overflow = (push_overflow)rnd(w, 4),
                                   .duplicate = (push_duplicate)rnd(w, 4)};
    if (climate.calm && rnd(w, 8))
        options.duplicate = PUSH_SHARE;
    if (options.max_buffer == 0)
        options.overflow = PUSH_BLOCK;
    return options;
}

/* A client by any way there is; NULL where that led to none. */
static push_client *some_client(struct worker *w)
{
    push_client_options options = options_of(w);
    push_client *c;
    if (rnd(w, 2)) {
        c = push_client_open(session_id(w), client_id(w), &options);
        EXPECT(c || (errno == EEXIST && options.duplicate == PUSH_REFUSE));
    } else if (w->sessions[0]) {
        c = push_client_new(w->sessions[0], client_id(w), rnd(w, 4) ? &options : NULL);
        EXPECT(c || errno == EPIPE || (errno == EEXIST && options.duplicate == PUSH_REFUSE));
    } else {
        return NULL;
    }
    if (c)
        push_client_set_data(c, w);
    return c;
}

static push_client *a_client(struct worker *w)
{
    uint32_t hand = rnd(w, HANDS);
    if (!w->clients[hand] || rnd(w, 4) == 0) {
        push_client *c = some_client(w);
        if (c) {
            push_client_unref(w->clients[hand]);
            w->clients[hand] = c;
        }
    }
    return w->clients[hand];
}

static push_session *a_session(struct worker *w)
{
    uint32_t hand = rnd(w, HANDS);
    if (!w->sessions[hand] || rnd(w, 4) == 0) {
        push_session *s = NULL;
        push_client *c = w->clients[hand];
        switch (rnd(w, 3)) {
        case 0:
            s = push_session_new(session_id(w), rnd(w, 2) ? client_id(w) : PUSH_ID_NONE, rnd(w, 4));
            EXPECT(s != NULL);
            break;
        case 1:
            s = push_session_find(session_id(w));
            EXPECT(s || errno == ENOENT);
            break;
        default:
            s = c ? push_session_ref(push_client_session(c)) : NULL;
            break;
        }
        if (s) {
            push_session_unref(w->sessions[hand]);
            w->sessions[hand] = s;
        }
    }
    return w->sessions[hand];
}

/* ---- Calls that wait -------------------------------------------------------------------------------------- */

/* Waits begin and end with these two. */
static int64_t begin(struct worker *w, enum wait_kind kind, struct wait wait, int timeout_ms)
{
    int64_t began = now_ns();
    wait.deadline = timeout_ms < 0 ? INT64_MAX : began + timeout_ms * MILLISECOND;
    watch_begin(w, kind, wait);
    pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, NULL);
    return began;
}

static void end(struct worker *w)
{
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
    watch_end(w);
}

/* What a wait may say when it got nothing; -EPIPE and -ENOENT are for the caller to judge. */
static void judge(int rc, int64_t began, int timeout_ms)
{
    EXPECT(rc != -EAGAIN || timeout_ms == 0);
    EXPECT(rc != -ETIMEDOUT || (timeout_ms > 0 && now_ns() >= began + timeout_ms * MILLISECOND));
    if (rc == -ETIMEDOUT)
        atomic_fetch_add(&counts.timeouts, 1);
    if (rc == -EPIPE)
        atomic_fetch_add(&counts.closed_waits, 1);
}

/* Consumes the reference either way. */
static void put_back(push_client *c, push_msg *msg)
{
    mail_returned(msg);
    int rc = push_client_unpull(c, msg);
    EXPECT(rc == 0 || rc == -EPIPE || rc == -EINVAL);
    if (rc < 0) {
        mail_taken(msg);
        push_msg_unref(msg);
    }
}

/* Pulled from c: now and then it is put back, at once or when others sleep again. */
static void take(struct worker *w, push_client *c, push_msg *msg)
{
    if (!EXPECT(msg != NULL))
        return;
    mail_taken(msg);
    uint32_t what = c ? rnd(w, 4) : 2;
    if (what == 0) {
        put_back(c, msg);
    } else if (what == 1 && !w->pocket) {
        w->pocket = msg;
        w->pocket_from = push_client_ref(c);
    } else {
        push_msg_unref(msg);
    }
}

static void empty_pocket(struct worker *w)
{
    if (!w->pocket)
        return;
    put_back(w->pocket_from, w->pocket);
    push_client_unref(w->pocket_from);
    w->pocket = NULL;
    w->pocket_from = NULL;
}

static void pull(struct worker *w)
{
    push_client *c = a_client(w);
    if (!c)
        return;
    push_msg *msg = NULL;
    int timeout_ms = timeout_of(w);
    int64_t began = begin(w, WAIT_PULL, (struct wait){.c = c}, timeout_ms);
    int rc = push_client_pull(c, &msg, timeout_ms);
    end(w);
    judge(rc, began, timeout_ms);
    if (rc >= 0)
        take(w, c, msg);
    else
        EXPECT(!msg && (rc == -EAGAIN || rc == -ETIMEDOUT || rc == -EPIPE));
}

static void pull_many(struct worker *w)
{
    push_client *c = a_client(w);
    if (!c)
        return;
    push_msg *msgs[5];
    size_t lost = 0;
    int timeout_ms = timeout_of(w);
    int64_t began = begin(w, WAIT_PULL_MANY, (struct wait){.c = c}, timeout_ms);
    int rc = push_client_pull_many(c, msgs, COUNT(msgs), rnd(w, 2) ? &lost : NULL, timeout_ms);
    end(w);
    judge(rc, began, timeout_ms);
    EXPECT((rc > 0 && rc <= (int)COUNT(msgs)) || rc == -EAGAIN || rc == -ETIMEDOUT || rc == -EPIPE);
    /* What is put back goes last-pulled first. */
    for (int i = rc; i > 0; i--)
        take(w, c, msgs[i - 1]);
}

static void pull_by_id(struct worker *w)
{
    push_session *s = a_session(w);
    if (!s)
        return;
    push_msg *msg = NULL;
    push_id id = client_id(w);
    int timeout_ms = timeout_of(w);
    int64_t began = begin(w, WAIT_PULL_BY_ID, (struct wait){.s = s}, timeout_ms);
    int rc = push_session_pull(s, id, &msg, timeout_ms);
    end(w);
    judge(rc, began, timeout_ms);
    if (rc >= 0)
        take(w, NULL, msg);
    else
        EXPECT(!msg && (rc == -EAGAIN || rc == -ETIMEDOUT || rc == -EPIPE || rc == -ENOENT));
}

/* A shortage that is there now, or was since `before` was read. */
static bool shortage_since(unsigned before)
{
    return before % 2 == 1 || atomic_load(&shortage) != before;
}

/* Only a shortage is a reason to get no descriptor, and when it is over, there is one to be had. */
static bool got_descriptor(int fd, unsigned before)
{
    if (fd >= 0)
        return true;
    EXPECT(fd == -EMFILE && shortage_since(before));
    atomic_fetch_add(&counts.refused, 1);
    return false;
}

static void poll_and_pull(struct worker *w)
{
    push_client *c = a_client(w);
    if (!c)
        return;
    unsigned before = atomic_load(&shortage);
    struct pollfd p = {.fd = push_client_fd(c), .events = POLLIN};
    if (!got_descriptor(p.fd, before))
        return;
    int timeout_ms = timeout_of(w);
    begin(w, WAIT_POLL, (struct wait){.c = c}, timeout_ms);
    int n;
    do {
        n = poll(&p, 1, timeout_ms);
    } while (n < 0 && errno == EINTR);
    end(w);
    EXPECT(n >= 0 && (n == 0 || p.revents == POLLIN));
    if (n == 1) {
        push_msg *msg;
        int rc = push_client_pull(c, &msg, 0);
        EXPECT(rc >= 0 || rc == -EAGAIN || rc == -EPIPE);
        if (rc >= 0)
            take(w, c, msg);
    }
}

static bool new_mail(struct worker *w)
{
    w->msg = mail_new(&w->mail);
    return w->msg != NULL;
}

static void mail_sent(struct worker *w, int rc, const push_report *report)
{
    EXPECT(rc >= 0 || rc == -EPIPE);
    EXPECT(report->delivered == (size_t)(rc < 0 ? 0 : rc));
    mail_delivered(w->mail, rc < 0 ? 0 : rc);
    if (rc == -EPIPE)
        atomic_fetch_add(&counts.closed_waits, 1);
    push_msg_unref(w->msg);
    w->msg = NULL;
}

static void send_to_one(struct worker *w)
{
    push_client *c = a_client(w);
    if (!c || !new_mail(w))
        return;
    push_report report;
    int timeout_ms = timeout_of(w);
    int64_t began = begin(w, WAIT_SEND, (struct wait){.c = c}, timeout_ms);
    int rc = push_client_send(c, w->msg, timeout_ms, &report);
    end(w);
    EXPECT(rc <= 1);
    EXPECT(report.timed_out == 0 || (timeout_ms >= 0 && now_ns() >= began + timeout_ms * MILLISECOND));
    mail_sent(w, rc, &report);
}

static void send_to_all(struct worker *w)
{
    push_session *s = a_session(w);
    if (!s || !new_mail(w))
        return;
    push_report report;
    push_id except = rnd(w, 3) ? PUSH_ID_NONE : client_id(w);
    int timeout_ms = timeout_of(w);
    int64_t began = begin(w, WAIT_SEND_ALL, (struct wait){.s = s}, timeout_ms);
    int rc = push_session_send(s, w->msg, except, timeout_ms, &report);
    end(w);
    EXPECT(rc <= IDS);
    EXPECT(report.timed_out == 0 || (timeout_ms >= 0 && now_ns() >= began + timeout_ms * MILLISECOND));
    mail_sent(w, rc, &report);
}

static void push_to_all(struct worker *w)
{
    push_session *s = a_session(w);
    if (!s || (w->number < STEADY && !atomic_load(&lull)))
        return;
    begin(w, WAIT_PUSH, (struct wait){.s = s}, -1);
    int rc = push_session_push(s, "hello", 5);
    end(w);
    EXPECT((rc >= 0 && rc <= IDS) || rc == -EPIPE);
}

/* ---- Pollers ---------------------------------------------------------------------------------------------- */

/* Where the client is in that poller's list; the lock is held. */
static size_t member(const struct spot *spot, const push_client *c)
{
    size_t i = 0;
    while (i < MEMBERS && spot->members[i] != c)
        i++;
    return i;
}

static void spot_remove_locked(struct spot *spot, size_t i)
{
    EXPECT(push_poller_remove(spot->p, spot->members[i]) == 0);
    push_client_unref(spot->members[i]);
    spot->members[i] = NULL;
}

void spot_clear(struct spot *spot)
{
    for (size_t i = 0; i < MEMBERS; i++) {
        if (spot->members[i])
            spot_remove_locked(spot, i);
    }
}

static void spot_add(struct worker *w)
{
    struct spot *spot = &spots[rnd(w, POLLERS)];
    push_client *c = a_client(w);
    if (!c)
        return;
    pthread_rwlock_wrlock(&spot->lock);
    size_t place = member(spot, NULL);
    if (place == MEMBERS) {
        place = rnd(w, MEMBERS);
        spot_remove_locked(spot, place);
    }
    bool here = member(spot, c) < MEMBERS;
    int rc = push_poller_add(spot->p, c, c);
    if (rc == 0)
        spot->members[place] = push_client_ref(c);
    EXPECT(here ? rc == -EEXIST : rc == 0 || rc == -EBUSY);
    pthread_rwlock_unlock(&spot->lock);
}

static void spot_remove(struct worker *w)
{
    struct spot *spot = &spots[rnd(w, POLLERS)];
    pthread_rwlock_wrlock(&spot->lock);
    size_t place = rnd(w, MEMBERS);
    push_client *c = a_client(w);
    if (spot->members[place])
        spot_remove_locked(spot, place);
    else if (c && member(spot, c) == MEMBERS)
        EXPECT(push_poller_remove(spot->p, c) == -ENOENT);
    pthread_rwlock_unlock(&spot->lock);
}

static void spot_pause_or_resume(struct worker *w)
{
    struct spot *spot = &spots[rnd(w, POLLERS)];
    pthread_rwlock_rdlock(&spot->lock);
    push_client *c = spot->members[rnd(w, MEMBERS)];
    if (c)
        EXPECT((rnd(w, 3) ? push_poller_resume : push_poller_pause)(spot->p, c) == 0);
    pthread_rwlock_unlock(&spot->lock);
}

/* A handle of our own of a client that was reported; NULL where it has been removed meanwhile. */
static push_client *reported(struct spot *spot, const push_client *c)
{
    pthread_rwlock_rdlock(&spot->lock);
    size_t i = member(spot, c);
    push_client *own = i < MEMBERS ? push_client_ref(spot->members[i]) : NULL;
    pthread_rwlock_unlock(&spot->lock);
    return own;
}

static void handle_event(struct worker *w, struct spot *spot, const push_event *event)
{
    EXPECT(event->client && event->data == event->client);
    push_client *c = reported(spot, event->client);
    if (!c)
        return;
    /* To the last one: it was told to nobody else. */
    push_msg *msg;
    int rc;
    while ((rc = push_client_pull(c, &msg, 0)) >= 0)
        take(w, NULL, msg);
    EXPECT(rc == -EAGAIN || rc == -EPIPE);
    if (rc == -EPIPE) {
        pthread_rwlock_wrlock(&spot->lock);
        size_t i = member(spot, c);
        if (i < MEMBERS)
            spot_remove_locked(spot, i);
        pthread_rwlock_unlock(&spot->lock);
    }
    push_client_unref(c);
}

static void spot_wait(struct worker *w)
{
    struct spot *spot = &spots[rnd(w, POLLERS)];
    push_event events[3];
    int timeout_ms = timeout_of(w);
    int max = 1 + (int)rnd(w, COUNT(events));
    int64_t began = begin(w, WAIT_POLLER, (struct wait){.spot = spot}, timeout_ms);
    int rc = push_poller_wait(spot->p, events, max, timeout_ms);
    end(w);
    atomic_fetch_add(&spot->served, 1);
    judge(rc, began, timeout_ms);
    EXPECT((rc >= 0 && rc <= max) || rc == -EAGAIN || rc == -ETIMEDOUT);
    for (int i = 0; i < rc; i++)
        handle_event(w, spot, &events[i]);
}

static void spot_fd(struct worker *w)
{
    struct spot *spot = &spots[rnd(w, POLLERS)];
    unsigned before = atomic_load(&shortage);
    int fd = push_poller_fd(spot->p);
    if (got_descriptor(fd, before)) {
        int known = atomic_exchange(&spot->fd, fd);
        EXPECT(known == -1 || known == fd);
    }
}

/* A poller of one's own, from its making to its end. */
static void short_lived_poller(struct worker *w)
{
    push_client *c = a_client(w);
    push_poller *p = push_poller_new();
    if (!EXPECT(p != NULL))
        return;
    if (c) {
        int rc = push_poller_add(p, c, w);
        EXPECT(rc == 0 || rc == -EBUSY);
        unsigned before = atomic_load(&shortage);
        got_descriptor(push_poller_fd(p), before);
        push_event event;
        rc = push_poller_wait(p, &event, 1, (int)rnd(w, 2));
        EXPECT(rc == 1 || rc == -EAGAIN || rc == -ETIMEDOUT);
        EXPECT(rc != 1 || (event.client == c && event.data == w));
        push_poller_wake(p);
        EXPECT(push_poller_wait(p, &event, 1, -1) == 0);
    }
    push_poller_free(p);
}

/* ---- Calls that do not wait ------------------------------------------------------------------------------- */

static void look_around(struct worker *w)
{
    push_client *c = a_client(w);
    push_session *s = a_session(w);
    push_client_stats stats;
    if (c) {
        EXPECT(push_client_stat(c, &stats) == 0);
        EXPECT(stats.pushed >= stats.queued + stats.pulled);
        EXPECT(stats.pushed - stats.queued - stats.pulled <= stats.dropped);
        EXPECT(stats.high_water >= stats.queued);
        push_client_data(c);
    }
    if (s) {
        size_t n;
        push_id *ids = push_session_clients(s, &n);
        EXPECT(ids && n <= IDS);
        for (size_t i = 0; i < n; i++)
            push_client_unref(push_client_find(s, ids[i]));
        push_ids_free(ids);
        EXPECT(push_session_len(s) <= IDS);
        unsigned before = atomic_load(&shortage);
        int fd = push_session_pull_fd(s, client_id(w));
        EXPECT(fd >= 0 || fd == -ENOENT || (fd == -EMFILE && shortage_since(before)));
    }
    size_t n;
    push_id *ids = push_sessions(&n);
    EXPECT(ids && n <= SESSIONS);
    push_ids_free(ids);
}

static void end_something(struct worker *w)
{
    push_session *s = a_session(w);
    push_client *c = a_client(w);
    if (climate.calm && rnd(w, 8))
        return;
    switch (rnd(w, 16)) {
    case 0:
        push_session_delete(session_id(w));
        break;
    case 1:
        push_session_delete_if_empty(session_id(w));
        break;
    case 2:
        push_shutdown();
        break;
    case 3:
    case 4:
    case 5:
        if (s)
            push_session_delete_client(s, client_id(w));
        break;
    case 6:
    case 7:
        for (int i = 0; i < POLLERS; i++)
            push_poller_wake(spots[i].p);
        break;
    default:
        if (c) {
            push_client_delete(c);
            EXPECT(!push_client_delete(c));
        }
        break;
    }
}

static void let_go(struct worker *w)
{
    if (rnd(w, 2))
        keep_client(w, NULL);
    else
        keep_session(w, NULL);
}

static const struct kind {
    void (*call)(struct worker *w);
    uint32_t weight;
} kinds[] = {
    /* Those that wait, and what others may wait for, come first. */
    {pull, 10},        {pull_many, 6},    {pull_by_id, 6},         {poll_and_pull, 6},
    {send_to_one, 10}, {send_to_all, 12}, {push_to_all, 4},        {spot_wait, 8},
    {empty_pocket, 6}, {spot_add, 5},     {spot_remove, 2},        {spot_pause_or_resume, 2},
    {spot_fd, 1},      {look_around, 3},  {short_lived_poller, 2}, {end_something, 6},
    {let_go, 3},
};
enum { WAITING_CALLS = 9 };

static void (*some_call(struct worker *w))(struct worker *)
{
    size_t n = atomic_load(&lull) ? WAITING_CALLS : COUNT(kinds);
    uint32_t sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += kinds[i].weight;
    uint32_t at = rnd(w, sum);
    size_t i = 0;
    while (at >= kinds[i].weight)
        at -= kinds[i++].weight;
    return kinds[i].call;
}

void *worker_main(void *arg)
{
    struct worker *w = arg;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
    while (!atomic_load(&over)) {
        some_call(w)(w);
        atomic_fetch_add(&w->calls, 1);
        atomic_fetch_add(&counts.calls, 1);
    }
    atomic_store(&w->finished, true);
    return NULL;
}

void worker_tidy(struct worker *w)
{
    watch_end(w);
    if (w->msg) {
        mail_unsure(w->mail);
        push_msg_unref(w->msg);
        w->msg = NULL;
    }
}

void worker_drop_handles(struct worker *w)
{
    push_msg_unref(w->pocket);
    push_client_unref(w->pocket_from);
    for (size_t i = 0; i < HANDS; i++) {
        push_client_unref(w->clients[i]);
        push_session_unref(w->sessions[i]);
        w->clients[i] = NULL;
        w->sessions[i] = NULL;
    }
}
