/*
 * Mailboxes and the pushes into them, driven through public calls in random order on one thread, and compared after
 * each step with the model in mailbox_model.h: results, reports, gaps, statistics, what is freed and when,
 * descriptors, pollers. Pushes that wait are left in mailboxes through the inner calls that a push makes, as no
 * thread need sleep for that. Any step may find memory failing, and must then have changed nothing.
 *
 * PUSH_TEST_SEED=n runs one sequence; a failure prints its seed.
 */
#include "helpers.h"

#include <limits.h>

#include "mailbox.h"
#include "mailbox_model.h"
#include "registry.h"
#include "session.h"

enum { NAMES = 4, HANDLES = 14, PUSHES = 24, HELD = 64, STEPS = 700, MESSAGES = STEPS + 1 };

/* A client handle of the test's, and what its mailbox should be. */
struct handle {
    push_client *c; /* NULL: unused */
    int name;
    struct model m;
    void *data;
    int fd; /* -1: not asked for */
    bool polled, paused, signalled;
};

/* A push that waits. */
struct parked {
    bool used;
    struct model_push model;
    struct push_node node;
    struct push_wait wait;
};

/* A message that was pulled. */
struct held {
    int message;
    push_msg *msg;
    push_client *from;
};

static struct world {
    uint64_t seed, random;
    int step;
    const char *operation;
    bool memory_fails;

    push_session *s;
    push_poller *p;
    struct handle handles[HANDLES];
    struct handle *named[NAMES]; /* the session's clients */
    struct parked parked[PUSHES];
    struct held held[HELD];
    int held_len;
    struct model_message messages[MESSAGES];
    int freed[MESSAGES];
    int created;
} w;

static const char session_id[] = "session";
static const char *const names[NAMES] = {"a", "bb", "a name longer than eight bytes", ""};

#define REQUIRE(condition)                                                                                         \
    do {                                                                                                           \
        if (!(condition)) {                                                                                        \
            print_error("PUSH_TEST_SEED=%llu, step %d, %s: not so: %s\n", (unsigned long long)w.seed, w.step,      \
                        w.operation, #condition);                                                                  \
            _fail(__FILE__, __LINE__);                                                                             \
        }                                                                                                          \
    } while (0)

static size_t below(size_t n)
{
    return random_next(&w.random) % n;
}

static bool one_in(size_t n)
{
    return below(n) == 0;
}

static push_id id_of(int name)
{
    return push_id_bytes(names[name], strlen(names[name]));
}

/* ---- Memory that fails ----------------------------------------------------------------------------------- */

static void begin_failing(void)
{
    fail_allocations_after(w.memory_fails && one_in(3) ? (long)below(3) : -1);
}

/* True where the call just made ran out of memory. */
static bool has_failed(void)
{
    bool failed = allocations_failed() > 0;
    fail_allocations_after(-1);
    return failed;
}

/* ---- Messages -------------------------------------------------------------------------------------------- */

static void message_freed(void *data, void *arg)
{
    (void)arg;
    ++*(int *)data;
}

/* The data is a counter of the test's, whatever the size says: nobody reads it. */
static push_msg *new_message(int *message)
{
    static const size_t sizes[] = {0, 1, 4, 10, 11, 39, 40, 41, 1000};
    int i = w.created++;
    REQUIRE(i < MESSAGES);
    w.messages[i] = (struct model_message){.size = sizes[below(COUNT(sizes))]};
    push_msg *msg = push_msg_wrap(&w.freed[i], w.messages[i].size, message_freed, NULL);
    REQUIRE(msg);
    *message = i;
    return msg;
}

static void hold(push_msg *msg, int message, push_client *from)
{
    REQUIRE(w.held_len < HELD);
    REQUIRE(push_msg_data(msg) == &w.freed[message]);
    REQUIRE(push_msg_size(msg) == w.messages[message].size);
    w.held[w.held_len++] = (struct held){message, msg, from};
}

static void forget_held(int i)
{
    w.held[i] = w.held[--w.held_len];
}

static void let_go(int i)
{
    push_msg_unref(w.held[i].msg);
    w.messages[w.held[i].message].refs--;
    forget_held(i);
}

/* ---- Handles --------------------------------------------------------------------------------------------- */

static struct handle *random_handle(void)
{
    struct handle *h = &w.handles[below(HANDLES)];
    return h->c ? h : NULL;
}

static bool in_session(const struct handle *h)
{
    return w.named[h->name] == h;
}

static void left_session(struct handle *h)
{
    if (in_session(h))
        w.named[h->name] = NULL;
}

static struct handle *handle_with(const push_client *c)
{
    for (int i = 0; i < HANDLES; i++) {
        if (w.handles[i].c && w.handles[i].c == c)
            return &w.handles[i];
    }
    return NULL;
}

static struct handle *unused_handle(void)
{
    for (int i = 0; i < HANDLES; i++) {
        if (!w.handles[i].c)
            return &w.handles[i];
    }
    return NULL;
}

/* Lets a closed client go: by the handle, and by the poller, in either order. */
static void drop(struct handle *h)
{
    push_client *c = h->c;
    bool unref_first = one_in(2);
    if (unref_first)
        push_client_unref(c);
    if (h->polled)
        REQUIRE(push_poller_remove(w.p, c) == 0);
    if (!unref_first)
        push_client_unref(c);
    model_destroy(&h->m);
    for (int i = 0; i < w.held_len; i++) {
        if (w.held[i].from == c)
            w.held[i].from = NULL;
    }
    h->c = NULL;
}

/* ---- Joining and leaving --------------------------------------------------------------------------------- */

static push_client_options random_options(void)
{
    static const size_t buffers[] = {0, 1, 1, 2, 3, 5, 8, 17, 100, SIZE_MAX};
    static const size_t bytes[] = {0, 0, 0, 1, 10, 40, SIZE_MAX};
    push_client_options o = {.max_buffer = buffers[below(COUNT(buffers))],
                             .max_bytes = bytes[below(COUNT(bytes))],
                             .overflow = (push_overflow)below(4),
                             .duplicate = (push_duplicate)below(4)};
    if (o.max_buffer == 0 && !one_in(8))
        o.overflow = PUSH_BLOCK;
    return o;
}

static void handle_init(struct handle *h, push_client *c, int name, const push_client_options *o)
{
    memset(h, 0, sizeof(*h));
    h->c = c;
    h->name = name;
    h->fd = -1;
    model_init(&h->m, w.messages, o);
}

static void joined(push_client *c, int name, const push_client_options *o, struct handle *there,
                   struct handle *fresh)
{
    REQUIRE(push_id_equal(push_client_id(c), id_of(name)));
    REQUIRE(push_client_session(c) == w.s);
    if (there && o->duplicate == PUSH_SHARE) {
        REQUIRE(c == there->c);
        push_client_unref(c);
        return;
    }
    REQUIRE(!handle_with(c));
    handle_init(fresh, c, name, o);
    if (there && o->duplicate == PUSH_TAKEOVER) {
        model_take_over(&there->m, &fresh->m);
        fresh->data = there->data;
    } else if (there) {
        model_close(&there->m);
    }
    w.named[name] = fresh;
}

static void op_join(void)
{
    int name = (int)below(NAMES);
    struct handle *there = w.named[name];
    struct handle *fresh = unused_handle();
    push_client_options o = random_options();
    bool invalid = o.max_buffer == 0 && o.overflow != PUSH_BLOCK;
    if (!fresh)
        return;
    bool open = one_in(3);
    begin_failing();
    errno = 0;
    push_client *c =
        open ? push_client_open(push_id_str(session_id), id_of(name), &o) : push_client_new(w.s, id_of(name), &o);
    int error = errno;
    bool failed = has_failed();
    if (invalid) {
        REQUIRE(!c && error == EINVAL && !failed);
    } else if (failed) {
        REQUIRE(!c && error == ENOMEM);
    } else if (there && o.duplicate == PUSH_REFUSE) {
        REQUIRE(!c && error == EEXIST);
    } else {
        REQUIRE(c);
        joined(c, name, &o, there, fresh);
    }
}

static void op_delete(void)
{
    if (one_in(2)) {
        int name = (int)below(NAMES);
        struct handle *h = w.named[name];
        REQUIRE(push_session_delete_client(w.s, id_of(name)) == (h != NULL));
        if (h) {
            model_close(&h->m);
            left_session(h);
        }
        return;
    }
    struct handle *h = random_handle();
    if (!h)
        return;
    REQUIRE(push_client_delete(h->c) == in_session(h));
    model_close(&h->m);
    left_session(h);
}

static void op_drop(void)
{
    struct handle *h = random_handle();
    if (h && !in_session(h))
        drop(h);
}

static void op_data(void)
{
    struct handle *h = random_handle();
    if (!h)
        return;
    h->data = &w.freed[below(MESSAGES)];
    push_client_set_data(h->c, h->data);
}

/* A timeout for a call that the model says need not wait, or for one that must. */
static int random_timeout(bool must_wait)
{
    if (must_wait)
        return one_in(64) ? 1 : 0;
    return one_in(2) ? -1 : (int)below(3);
}

/* ---- Pushing --------------------------------------------------------------------------------------------- */

static void require_report(int rc, const push_report *report, int expected_rc, push_report expected)
{
    REQUIRE(rc == expected_rc);
    if (rc < 0)
        expected = (push_report){0};
    REQUIRE(report->delivered == expected.delivered);
    REQUIRE(report->dropped == expected.dropped);
    REQUIRE(report->disconnected == expected.disconnected);
    REQUIRE(report->timed_out == expected.timed_out);
}

/* Does to the model what a push to one client does, whose deadline passes at once where it waits. */
static int expect_send(struct handle *h, int message, int timeout_ms, push_report *expected)
{
    /* While it waits at a rendezvous it counts as a message. */
    if (timeout_ms > 0 && h->m.max_buffer == 0 && model_would_wait(&h->m, message))
        h->signalled = true;
    int rc = model_send(&h->m, message, expected);
    if (h->m.closed)
        left_session(h);
    return rc;
}

static void op_send_one(void)
{
    struct handle *h = random_handle();
    if (!h)
        return;
    int message;
    push_msg *msg = new_message(&message);
    push_report report = {9, 9, 9, 9};
    push_report expected = {0};
    int timeout_ms = random_timeout(model_would_wait(&h->m, message));
    begin_failing();
    int rc = push_client_send(h->c, msg, timeout_ms, &report);
    int expected_rc = has_failed() ? -ENOMEM : expect_send(h, message, timeout_ms, &expected);
    require_report(rc, &report, expected_rc, expected);
    push_msg_unref(msg);
}

static void op_send_all(void)
{
    int message;
    int except = (int)below(NAMES * 2);
    push_msg *msg = new_message(&message);
    push_report report = {9, 9, 9, 9};
    push_report expected = {0};
    bool waits = false;
    for (int i = 0; i < NAMES; i++)
        waits = waits || (w.named[i] && i != except && model_would_wait(&w.named[i]->m, message));
    int timeout_ms = random_timeout(waits);
    begin_failing();
    int rc = push_session_send(w.s, msg, except < NAMES ? id_of(except) : PUSH_ID_NONE, timeout_ms, &report);
    int expected_rc = -ENOMEM;
    if (!has_failed()) {
        for (int i = 0; i < NAMES; i++) {
            if (w.named[i] && i != except)
                REQUIRE(expect_send(w.named[i], message, timeout_ms, &expected) >= 0);
        }
        expected_rc = (int)expected.delivered;
    }
    require_report(rc, &report, expected_rc, expected);
    push_msg_unref(msg);
}

static struct parked *unused_parked(void)
{
    for (int i = 0; i < PUSHES; i++) {
        if (!w.parked[i].used)
            return &w.parked[i];
    }
    return NULL;
}

/* Takes back what a push that has ended leaves. */
static void parked_end(struct parked *p)
{
    REQUIRE(atomic_load(&p->wait.waiting) == 0);
    if (p->node.state != NODE_DELIVERED)
        push_msg_unref(p->node.msg);
    push__lock_destroy(&p->wait.lock);
    p->used = false;
}

/* As a push with a deadline does it, up to the point where it goes to sleep. */
static int put_or_wait(struct handle *h, struct parked *p, push_msg *msg)
{
    push_session *s = push_client_session(h->c);
    struct deferred deferred = {0};
    lock_acquire(&s->push_lock);
    int rc = push__mailbox_reserve(h->c, &deferred) < 0 ? -ENOMEM : 0;
    if (rc == 0) {
        rc = (int)push__mailbox_put(h->c, push_msg_ref(msg), &p->node, &p->wait, &deferred);
        if (s->snapshot && s->snapshot->room > 0)
            s->snapshot->room--;
    }
    lock_release(&s->push_lock);
    push__deferred_run(&deferred);
    return rc;
}

static void op_park(void)
{
    struct handle *h = random_handle();
    struct parked *p = unused_parked();
    if (!h || !p || h->m.closed || h->m.overflow != PUSH_BLOCK || h->m.waiting_len == MODEL_WAITING)
        return;
    int message;
    push_msg *msg = new_message(&message);
    memset(p, 0, sizeof(*p));
    REQUIRE(push__lock_init(&p->wait.lock, RANK_WAIT) == 0);
    p->model.message = message;
    push_report report = {0};
    begin_failing();
    int rc = put_or_wait(h, p, msg);
    bool waits = !has_failed() && model_park(&h->m, &p->model, &report);
    if (waits) {
        REQUIRE(rc == PUT_WAITS);
        p->used = true;
    } else {
        REQUIRE(rc == (report.delivered ? (int)PUT_TAKEN : -ENOMEM));
        push__lock_destroy(&p->wait.lock);
    }
    push_msg_unref(msg);
}

static struct handle *handle_where_waits(const struct model_push *push)
{
    for (int i = 0; i < HANDLES; i++) {
        struct model *m = &w.handles[i].m;
        for (size_t j = 0; w.handles[i].c && j < m->waiting_len; j++) {
            if (m->waiting[j] == push)
                return &w.handles[i];
        }
    }
    return NULL;
}

static void op_withdraw(void)
{
    struct parked *p = &w.parked[below(PUSHES)];
    if (!p->used)
        return;
    struct handle *h = handle_where_waits(&p->model);
    REQUIRE(h && p->node.client == h->c);
    REQUIRE(push__mailbox_withdraw(&p->node) == NODE_WITHDRAWN);
    model_withdraw(&h->m, &p->model);
    /* Once more finds it withdrawn. */
    REQUIRE(push__mailbox_withdraw(&p->node) == NODE_WITHDRAWN);
}

/* ---- Pulling --------------------------------------------------------------------------------------------- */

static int real_pull(struct handle *h, push_msg **msgs, size_t max, size_t *lost, int timeout_ms)
{
    int rc;
    switch (max > 1 ? 0 : below(3)) {
    case 0:
        return push_client_pull_many(h->c, msgs, max, lost, timeout_ms);
    case 1:
        rc = push_client_pull(h->c, msgs, timeout_ms);
        break;
    default:
        if (in_session(h))
            rc = push_session_pull(w.s, id_of(h->name), msgs, timeout_ms);
        else
            rc = push_client_pull(h->c, msgs, timeout_ms);
        break;
    }
    REQUIRE(rc >= 0 || !msgs[0]);
    *lost = rc > 0 ? (size_t)rc : 0;
    return rc >= 0 ? 1 : rc;
}

static void pull(struct handle *h, size_t max)
{
    push_msg *msgs[HELD] = {NULL};
    int messages[HELD];
    size_t lost = 99;
    size_t expected_lost;
    int timeout_ms = random_timeout(!h->m.closed && !model_has_message(&h->m));
    int rc = real_pull(h, msgs, max, &lost, timeout_ms);
    int expected = model_pull(&h->m, messages, max, &expected_lost);
    if (expected == -EAGAIN && timeout_ms > 0)
        expected = -ETIMEDOUT;
    REQUIRE(rc == expected);
    REQUIRE(lost == expected_lost);
    for (int i = 0; i < rc; i++)
        hold(msgs[i], messages[i], h->c);
    if (rc == -EAGAIN || rc == -ETIMEDOUT) {
        h->signalled = false;
        REQUIRE(h->fd < 0 || !readable(h->fd));
    }
}

static void op_pull(void)
{
    struct handle *h = random_handle();
    size_t max = one_in(3) ? 1 + below(6) : 1;
    if (h && w.held_len + (int)max <= HELD)
        pull(h, max);
}

static void op_let_go(void)
{
    if (w.held_len > 0)
        let_go((int)below((size_t)w.held_len));
}

static void op_unpull(void)
{
    if (w.held_len == 0)
        return;
    int i = one_in(2) ? w.held_len - 1 : (int)below((size_t)w.held_len);
    struct held *held = &w.held[i];
    struct handle *h = one_in(8) ? random_handle() : handle_with(held->from);
    if (!h)
        return;
    begin_failing();
    int rc = push_client_unpull(h->c, held->msg);
    int expected = has_failed() ? -ENOMEM : model_unpull(&h->m, held->message);
    REQUIRE(rc == expected);
    if (rc == 0)
        forget_held(i);
}

/* ---- Descriptors and the poller -------------------------------------------------------------------------- */

static void op_fd(void)
{
    struct handle *h = random_handle();
    if (!h)
        return;
    begin_failing();
    int fd = in_session(h) && one_in(2) ? push_session_pull_fd(w.s, id_of(h->name)) : push_client_fd(h->c);
    if (has_failed()) {
        REQUIRE(h->fd < 0 && fd == -ENOMEM);
        return;
    }
    REQUIRE(fd >= 0 && (h->fd < 0 || fd == h->fd));
    if (h->fd < 0 && !h->m.closed && !model_has_message(&h->m))
        REQUIRE(!readable(fd));
    h->fd = fd;
}

static void op_poll(void)
{
    struct handle *h = random_handle();
    if (!h)
        return;
    if (!h->polled) {
        REQUIRE(push_poller_remove(w.p, h->c) == -ENOENT);
        REQUIRE(push_poller_pause(w.p, h->c) == -ENOENT);
        REQUIRE(push_poller_resume(w.p, h->c) == -ENOENT);
        begin_failing();
        int rc = push_poller_add(w.p, h->c, h);
        h->polled = !has_failed();
        REQUIRE(rc == (h->polled ? 0 : -ENOMEM));
        h->paused = h->signalled = false;
    } else if (one_in(3)) {
        REQUIRE(push_poller_remove(w.p, h->c) == 0);
        h->polled = false;
    } else if (one_in(2)) {
        REQUIRE(push_poller_add(w.p, h->c, NULL) == -EEXIST);
    } else {
        h->paused = !h->paused;
        REQUIRE((h->paused ? push_poller_pause : push_poller_resume)(w.p, h->c) == 0);
    }
}

static bool should_be_reported(const struct handle *h)
{
    return h->c && h->polled && (h->m.closed || (h->signalled && !h->paused));
}

static void op_poller_wait(void)
{
    push_event events[HANDLES + 1];
    int rc = push_poller_wait(w.p, events, HANDLES + 1, 0);
    int expected = 0;
    for (int i = 0; i < HANDLES; i++) {
        struct handle *h = &w.handles[i];
        int times = 0;
        for (int j = 0; j < rc; j++)
            times += events[j].data == h && events[j].client == h->c;
        REQUIRE(times == should_be_reported(h));
        expected += times;
    }
    REQUIRE(rc == (expected > 0 ? expected : -EAGAIN));
}

/* ---- After each step ------------------------------------------------------------------------------------- */

static void check_stats(struct handle *h)
{
    push_client_stats expected = model_stats(&h->m);
    push_client_stats stats;
    REQUIRE(push_client_stat(h->c, &stats) == 0);
    REQUIRE(stats.queued == expected.queued);
    REQUIRE(stats.queued_bytes == expected.queued_bytes);
    REQUIRE(stats.max_buffer == expected.max_buffer);
    REQUIRE(stats.high_water == expected.high_water);
    REQUIRE(stats.pushed == expected.pushed);
    REQUIRE(stats.pulled == expected.pulled);
    REQUIRE(stats.dropped == expected.dropped);
    REQUIRE(stats.closed == expected.closed);
}

static void check_handle(struct handle *h)
{
    REQUIRE(push__mailbox_check(h->c));
    check_stats(h);
    REQUIRE(push_client_data(h->c) == h->data);
    if (model_has_message(&h->m))
        h->signalled = true;
    if (h->fd >= 0 && (h->m.closed || model_has_message(&h->m)))
        REQUIRE(readable(h->fd));
}

static void check_parked(void)
{
    static const enum node_state states[] = {[MODEL_WAITS] = NODE_WAITING,
                                             [MODEL_DELIVERED] = NODE_DELIVERED,
                                             [MODEL_CLOSED_UNDER_IT] = NODE_CLOSED,
                                             [MODEL_WITHDRAWN] = NODE_WITHDRAWN};
    for (int i = 0; i < PUSHES; i++) {
        struct parked *p = &w.parked[i];
        if (!p->used)
            continue;
        REQUIRE(p->node.state == states[p->model.state]);
        if (p->model.state != MODEL_WAITS)
            parked_end(p);
    }
}

static void check_messages(void)
{
    for (int i = 0; i < w.created; i++)
        REQUIRE(w.freed[i] == (w.messages[i].refs == 0));
}

static void check_session(void)
{
    size_t len = 0;
    for (int i = 0; i < NAMES; i++) {
        push_client *c = push_client_find(w.s, id_of(i));
        REQUIRE(c == (w.named[i] ? w.named[i]->c : NULL));
        push_client_unref(c);
        len += w.named[i] != NULL;
    }
    REQUIRE(push_session_len(w.s) == len);
}

static void check(void)
{
    for (int i = 0; i < HANDLES; i++) {
        if (w.handles[i].c)
            check_handle(&w.handles[i]);
    }
    check_parked();
    check_messages();
    check_session();
}

/* ---- The sequences --------------------------------------------------------------------------------------- */

static const struct operation {
    const char *name;
    void (*run)(void);
    int weight;
} operations[] = {{"join", op_join, 8},      {"delete", op_delete, 3},          {"drop", op_drop, 4},
                  {"data", op_data, 1},      {"send to one", op_send_one, 20},  {"send to all", op_send_all, 20},
                  {"park", op_park, 14},     {"withdraw", op_withdraw, 5},      {"pull", op_pull, 40},
                  {"let go", op_let_go, 20}, {"unpull", op_unpull, 12},         {"fd", op_fd, 2},
                  {"poll", op_poll, 4},      {"poller wait", op_poller_wait, 8}};

/* Each world has its own taste, or queues would never grow long nor many pushes wait: some operations are seldom in
 * it, some often. */
static int weights[COUNT(operations)];

static void choose_weights(void)
{
    for (size_t i = 0; i < COUNT(operations); i++)
        weights[i] = 1 + operations[i].weight * (int)below(4);
}

static const struct operation *random_operation(void)
{
    int total = 0;
    for (size_t i = 0; i < COUNT(operations); i++)
        total += weights[i];
    int at = (int)below((size_t)total);
    size_t i = 0;
    while ((at -= weights[i]) >= 0)
        i++;
    return &operations[i];
}

static void begin_world(uint64_t seed)
{
    memset(&w, 0, sizeof(w));
    w.seed = w.random = seed;
    w.operation = "begin";
    w.memory_fails = one_in(2);
    choose_weights();
    w.s = push_session_new(push_id_str(session_id), PUSH_ID_NONE, 0);
    w.p = push_poller_new();
    REQUIRE(w.s && w.p);
}

/* By one of the ways that close everything; what was queued then can be drained, or goes with the handles. */
static void end_world(long blocks)
{
    w.operation = "end";
    if (one_in(2))
        REQUIRE(push_session_delete(push_id_str(session_id)));
    else
        push_shutdown();
    for (int i = 0; i < NAMES; i++) {
        if (w.named[i])
            model_close(&w.named[i]->m);
        w.named[i] = NULL;
    }
    check();
    op_poller_wait();
    while (w.held_len > 0)
        let_go(0);
    for (int i = 0; i < HANDLES; i++) {
        struct handle *h = &w.handles[i];
        while (h->c && one_in(2) && h->m.len > 0) {
            pull(h, 1);
            let_go(0);
        }
        if (h->c)
            drop(h);
    }
    check_messages();
    push_poller_free(w.p);
    push_session_unref(w.s);
    push_shutdown();
    REQUIRE(blocks_held() == blocks);
}

static void run_world(uint64_t seed)
{
    long blocks = blocks_held();
    begin_world(seed);
    for (w.step = 0; w.step < STEPS; w.step++) {
        const struct operation *op = random_operation();
        w.operation = op->name;
        op->run();
        check();
    }
    end_world(blocks);
}

static void test_random_sequences(void **state)
{
    (void)state;
    const char *seed = getenv("PUSH_TEST_SEED");
    if (seed) {
        run_world(strtoull(seed, NULL, 10));
        return;
    }
    for (uint64_t i = 0; i < SCALED(1000); i++)
        run_world(i);
}

/* ---- A rendezvous with pulls that wait ------------------------------------------------------------------- */

/* A pull that sleeps, and does not run when it is woken, until thaw_all(). */
static struct call *begin_frozen_pull(push_client *c)
{
    struct call *call = begin_pull(c, -1);
    assert_asleep(call);
    freeze(call);
    return call;
}

static void assert_counts(push_client *c, size_t queued, uint64_t pushed, uint64_t pulled)
{
    push_client_stats stats = stats_of(c);
    assert_int_equal(stats.queued, queued);
    assert_int_equal(stats.pushed, pushed);
    assert_int_equal(stats.pulled, pulled);
    assert_int_equal(stats.queued_bytes > 0, queued > 0);
    assert_true(push__mailbox_check(c));
}

/* An empty mailbox, of which nothing is left behind anywhere. The last use of the client. */
static void assert_taken_over(push_session *s, push_client *c, uint64_t pushed)
{
    push_client_options o = {.duplicate = PUSH_TAKEOVER};
    push_client *next = push_client_new(s, push_client_id(c), &o);
    assert_non_null(next);
    assert_counts(c, 0, 0, 0);
    assert_counts(next, 0, pushed, pushed);
    assert_empty(next);
    push_client_unref(next);
    push_client_unref(c);
}

static void hand_two_over(push_client *c, uint64_t before)
{
    struct call *first = begin_frozen_pull(c);
    struct call *second = begin_frozen_pull(c);
    assert_put(c, "one");
    assert_counts(c, 0, before + 1, before + 1);
    assert_put(c, "another");
    assert_counts(c, 0, before + 2, before + 2);
    /* No pull waits for a third, and none that comes later gets what others were handed. */
    assert_int_equal(send_text(c, "third", NULL), 0);
    assert_empty(c);
    thaw_all();
    struct result a = finish(first);
    struct result b = finish(second);
    assert_true(a.rc == 0 && b.rc == 0);
    assert_text(a.msg, "one");
    assert_text(b.msg, "another");
    assert_counts(c, 0, before + 2, before + 2);
}

static void test_a_handed_message_counts_as_pulled(void **state)
{
    (void)state;
    push_session *s = session("s");
    push_client *c = client(s, "c", 0);
    /* One between them, so that the two also lie across the ring's end. */
    for (uint64_t n = 0; n < 12; n += 3) {
        hand_two_over(c, n);
        struct call *call = begin_pull(c, -1);
        assert_asleep(call);
        assert_put(c, "between");
        assert_text(finish(call).msg, "between");
    }
    assert_int_equal(stats_of(c).high_water, 0);
    assert_taken_over(s, c, 12);
    push_session_unref(s);
}

/* The pull that has been handed it is told that its handle is closed: the message goes with the mailbox. */
static void test_a_handed_message_is_taken_over(void **state)
{
    (void)state;
    push_session *s = session("s");
    push_client *c = client(s, "c", 0);
    struct call *calls[] = {begin_frozen_pull(c), begin_frozen_pull(c), begin_frozen_pull(c)};
    assert_put(c, "one");
    assert_put(c, "two");
    push_client_options o = {.duplicate = PUSH_TAKEOVER};
    push_client *next = push_client_new(s, push_id_str("c"), &o);
    assert_non_null(next);
    thaw_all();
    for (size_t i = 0; i < COUNT(calls); i++) {
        struct result r = finish(calls[i]);
        assert_int_equal(r.rc, -EPIPE);
        assert_null(r.msg);
    }
    assert_counts(c, 0, 0, 0);
    assert_drained(c);
    assert_counts(next, 2, 2, 0);
    assert_int_equal(stats_of(next).high_water, 2);
    assert_true(readable(push_client_fd(next)));
    assert_int_equal(send_text(next, "three", NULL), 0);
    assert_next(next, 0, "one");
    assert_next(next, 0, "two");
    assert_empty(next);
    assert_counts(next, 0, 2, 2);
    push_client_unref(next);
    push_client_unref(c);
    push_session_unref(s);
}

static void test_a_handed_message_outlives_the_client(void **state)
{
    (void)state;
    push_session *s = session("s");
    push_client *c = client(s, "c", 0);
    struct call *call = begin_frozen_pull(c);
    assert_put(c, "one");
    assert_true(push_client_delete(c));
    assert_drained(c);
    thaw_all();
    struct result r = finish(call);
    assert_int_equal(r.rc, 0);
    assert_text(r.msg, "one");
    assert_drained(c);
    push_client_unref(c);
    push_session_unref(s);
}

/* A cancelled pull that was handed a message puts it back: it is the next one pulled. */
static void test_a_cancelled_pull_puts_back(void **state)
{
    (void)state;
    need_cancellation_to_win();
    push_session *s = session("s");
    push_client *c = client(s, "c", 0);
    int fd = push_client_fd(c);
    struct call *call = begin_frozen_pull(c);
    assert_put(c, "one");
    assert_empty(c);
    assert_false(readable(fd));
    pthread_cancel(call_thread(call));
    thaw_all();
    assert_true(finish_cancelled(call));
    assert_counts(c, 1, 1, 0);
    assert_true(readable(fd));
    assert_int_equal(send_text(c, "two", NULL), 0);

    /* A push that waits now comes after it. */
    call = begin_send(c, "two", -1);
    assert_asleep(call);
    assert_next(c, 0, "one");
    assert_next(c, 0, "two");
    assert_int_equal(finish(call).rc, 1);
    assert_empty(c);
    assert_counts(c, 0, 2, 2);
    assert_taken_over(s, c, 2);
    push_session_unref(s);
}

/* Two pulls sleep. The first is handed a message and woken, and cancelled before it runs: the second gets it. */
static void test_a_cancelled_pull_hands_on(void **state)
{
    (void)state;
    need_cancellation_to_win();
    push_session *s = session("s");
    push_client *c = client(s, "c", 0);
    struct call *first = begin_frozen_pull(c);
    struct call *second = begin_pull(c, -1);
    assert_asleep(second);
    assert_put(c, "one");
    pthread_cancel(call_thread(first));
    thaw_all();
    assert_true(finish_cancelled(first));
    struct result r = finish(second);
    assert_int_equal(r.rc, 0);
    assert_text(r.msg, "one");
    assert_counts(c, 0, 1, 1);
    push_client_unref(c);
    push_session_unref(s);
}

/* More pulls than the ring had slots at first, each handed a message before any of them runs. */
static void test_many_pulls_at_a_rendezvous(void **state)
{
    (void)state;
    static const char *const texts[] = {"a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k"};
    enum { PULLS = COUNT(texts) };
    struct call *calls[PULLS];
    push_session *s = session("s");
    push_client *c = client(s, "c", 0);
    for (int i = 0; i < PULLS; i++) {
        calls[i] = begin_frozen_pull(c);
    }
    for (int i = 0; i < PULLS; i++) {
        assert_put(c, texts[i]);
        assert_counts(c, 0, (uint64_t)i + 1, (uint64_t)i + 1);
    }
    assert_int_equal(send_text(c, "z", NULL), 0);
    thaw_all();
    for (int i = 0; i < PULLS; i++)
        assert_text(finish(calls[i]).msg, texts[i]);
    assert_counts(c, 0, PULLS, PULLS);
    push_client_unref(c);
    push_session_unref(s);
}

/* ---- Pushes that wait ------------------------------------------------------------------------------------ */

/* One large message makes many small ones wait; when it goes, there is room for all of them at once. */
static void test_all_that_wait_move_up_at_once(void **state)
{
    (void)state;
    push_client_options o = {.max_buffer = 1000, .max_bytes = PUSHES};
    push_session *s = session("s");
    push_client *c = push_client_new(s, push_id_str("c"), &o);
    assert_non_null(c);
    struct handle h = {.c = c};
    static struct parked parked[PUSHES];
    memset(parked, 0, sizeof(parked));
    push_msg *small = text_msg("x");
    assert_put(c, "larger than all the small ones together");
    for (size_t i = 0; i < PUSHES; i++) {
        assert_int_equal(push__lock_init(&parked[i].wait.lock, RANK_WAIT), 0);
        assert_int_equal(put_or_wait(&h, &parked[i], small), PUT_WAITS);
        assert_true(push__mailbox_check(c));
    }
    assert_next(c, 0, "larger than all the small ones together");
    assert_true(push__mailbox_check(c));
    for (size_t i = 0; i < PUSHES; i++) {
        assert_int_equal(parked[i].node.state, NODE_DELIVERED);
        parked_end(&parked[i]);
    }
    assert_counts(c, PUSHES, PUSHES + 1, 1);
    for (size_t i = 0; i < PUSHES; i++)
        assert_next(c, 0, "x");
    assert_empty(c);
    push_msg_unref(small);
    push_client_unref(c);
    push_session_unref(s);
}

/* However a push that waits ends, its message is let go as often as it must. */
static void test_the_ends_of_a_push_that_waits(void **state)
{
    (void)state;
    push_session *s = session("s");
    for (int end = 0; end < 4; end++) {
        push_client *c = client(s, "c", 1);
        struct tracked t;
        push_msg *msg = tracked_msg(&t);
        assert_put(c, "first");
        struct call *call = begin_send_msg(c, msg, end == 0 ? 1 : -1);
        push_msg_unref(msg);
        if (end > 0)
            assert_asleep(call);
        if (end == 1)
            assert_next(c, 0, "first");
        else if (end == 2)
            assert_true(push_client_delete(c));
        else if (end == 3)
            pthread_cancel(call_thread(call));
        if (end == 3)
            assert_true(finish_cancelled(call));
        else
            assert_int_equal(finish(call).rc, end == 0 ? 0 : end == 1 ? 1 : -EPIPE);
        if (end == 1)
            assert_next(c, 0, "tracked");
        assert_int_equal(atomic_load(&t.freed), 1);
        assert_true(push__mailbox_check(c));
        push_client_delete(c);
        push_client_unref(c);
    }
    push_session_unref(s);
}

/* ---- Pollers and descriptors together -------------------------------------------------------------------- */

/* Only a pull that finds nothing ends the reports: not a descriptor that is made, nor a second wait point. */
static void test_a_drained_client_stays_reported(void **state)
{
    (void)state;
    push_session *s = session("s");
    push_client *c = client(s, "c", 4);
    push_poller *p = push_poller_new();
    push_event event;
    assert_int_equal(push_poller_add(p, c, NULL), 0);
    assert_put(c, "one");
    assert_next(c, 0, "one");
    assert_int_equal(push_poller_wait(p, &event, 1, 0), 1);
    int fd = push_client_fd(c);
    assert_true(fd >= 0);
    assert_int_equal(push_poller_wait(p, &event, 1, 0), 1);
    assert_empty(c);
    assert_false(readable(fd));
    assert_int_equal(push_poller_wait(p, &event, 1, 0), -EAGAIN);
    assert_put(c, "two");
    assert_true(readable(fd));
    assert_int_equal(push_poller_wait(p, &event, 1, 0), 1);
    push_poller_free(p);
    push_client_unref(c);
    push_session_unref(s);
}

/* ---- Limits, and the check itself ------------------------------------------------------------------------ */

/* More lost than an int can say: the batch's count is exact, the others say INT_MAX. */
static void test_a_gap_beyond_int(void **state)
{
    (void)state;
    push_session *s = session("s");
    push_client *c = client(s, "c", 1);
    static const size_t gaps[] = {INT_MAX, (size_t)INT_MAX + 1, SIZE_MAX};
    for (size_t i = 0; i < COUNT(gaps); i++) {
        for (int way = 0; way < 3; way++) {
            push_msg *msg = NULL;
            size_t lost = 0;
            assert_put(c, "x");
            c->pull_ring->front_gap = gaps[i];
            if (way == 0)
                assert_int_equal(push_client_pull(c, &msg, 0), INT_MAX);
            else if (way == 1)
                assert_int_equal(push_session_pull(s, push_id_str("c"), &msg, 0), INT_MAX);
            else
                assert_int_equal(push_client_pull_many(c, &msg, 1, &lost, 0), 1);
            assert_true(way < 2 || lost == gaps[i]);
            assert_text(msg, "x");
        }
    }
    push_client_unref(c);
    push_session_unref(s);
}

static void flip(push_client *c, uint64_t flag)
{
    atomic_fetch_xor(&c->word, flag);
}

static void test_check_finds_faults(void **state)
{
    (void)state;
    push_session *s = session("s");
    push_client *c = client(s, "c", 2);
    assert_true(push_client_fd(c) >= 0);
    assert_put(c, "x");
    assert_true(push__mailbox_check(c));

#define ASSERT_FOUND(break_it, mend_it)                                                                            \
    do {                                                                                                           \
        break_it;                                                                                                  \
        assert_false(push__mailbox_check(c));                                                                      \
        mend_it;                                                                                                   \
        assert_true(push__mailbox_check(c));                                                                       \
    } while (0)
    struct ring *ring = c->ring;
    struct push_node node = {.next = &node, .prev = &node};
    ASSERT_FOUND(c->pull_ring = NULL, c->pull_ring = ring);
    ASSERT_FOUND(flip(c, WORD_SLOW), flip(c, WORD_SLOW));
    ASSERT_FOUND(c->waiting_pushes = &node, c->waiting_pushes = NULL);
    ASSERT_FOUND(ring->slow = true, ring->slow = false);
    ASSERT_FOUND(ring->cap = 0, ring->cap = ring->take_cap);
    ASSERT_FOUND(ring->most = 0, ring->most = 1);
    ASSERT_FOUND(c->extra->waker.raised = false, c->extra->waker.raised = true);
    flip(c, WORD_CLOSED);
    assert_true(push__mailbox_check(c));
    ASSERT_FOUND(c->waiting_pushes = &node, c->waiting_pushes = NULL);
    flip(c, WORD_CLOSED);
#undef ASSERT_FOUND
    assert_next(c, 0, "x");
    push_client_unref(c);
    push_session_unref(s);
}

static const struct CMUnitTest tests[] = {TEST(test_random_sequences),
                                          TEST(test_a_handed_message_counts_as_pulled),
                                          TEST(test_a_handed_message_is_taken_over),
                                          TEST(test_a_handed_message_outlives_the_client),
                                          TEST(test_a_cancelled_pull_puts_back),
                                          TEST(test_a_cancelled_pull_hands_on),
                                          TEST(test_many_pulls_at_a_rendezvous),
                                          TEST(test_all_that_wait_move_up_at_once),
                                          TEST(test_the_ends_of_a_push_that_waits),
                                          TEST(test_a_drained_client_stays_reported),
                                          TEST(test_a_gap_beyond_int),
                                          TEST(test_check_finds_faults)};

TEST_MAIN(tests)
