#include "fanout.h"

#include <errno.h>
#include <string.h>

#include "alloc.h"
#include "mailbox.h"
#include "registry.h"

enum { NODES_ON_STACK = 4 };

/* Clients whose word is asked for before it is their turn: it comes from the core that looked at it last. */
enum { AHEAD = 16 };

/* One push on its way. */
struct fanout {
    push_session *session;
    push_client *const *clients;
    size_t len;
    struct snapshot *snapshot; /* a reference, where clients are to be unlinked after the push lock is let go */
    push_msg *msg;
    size_t size;
    struct name except; /* of a client that does not get it; its id may be none */
    int timeout_ms;

    struct deadline deadline;
    struct push_wait wait;   /* made where a push may wait */
    struct push_node *nodes; /* enough for all who may make it wait */
    size_t nodes_len;        /* nodes that wait, or waited */
    bool may_wait;

    push_report report;
    size_t closed; /* clients that were closed before they could take the message */
    size_t refs;   /* references taken and not given to a mailbox yet */
    struct deferred deferred;
    struct push_node on_stack[NODES_ON_STACK];
};

/* Where somebody is excepted. */
static bool is_excepted(const struct fanout *f, const push_client *c)
{
    return key_is(&c->key, &f->except);
}

/* ---- Before: everything that may fail ---- */

/* Reserves in all mailboxes of [from, to). Returns the least room of those that are not full, and counts in *full
 * those where the push may have to wait; or -ENOMEM. */
static ptrdiff_t reserve_range(struct fanout *f, size_t from, size_t to, size_t *full)
{
    ptrdiff_t least = PTRDIFF_MAX;
    for (size_t i = from; i < to; i++) {
        push_client *c = f->clients[i];
        ptrdiff_t room = push__mailbox_reserve(c, &f->deferred);
        if (room < 0)
            return room;
        if (room == 0 && c->overflow == PUSH_BLOCK)
            ++*full;
        if (room < least)
            least = room;
    }
    return least;
}

/* Makes what waiting at up to `full` mailboxes takes. */
static int prepare_wait(struct fanout *f, size_t full)
{
    if (full == 0 || f->timeout_ms == 0)
        return 0;
    f->nodes = f->on_stack;
    if (full > NODES_ON_STACK) {
        /* No overflow: there are as many clients, and a client is larger than a node. */
        _Static_assert(sizeof(push_client) >= sizeof(*f->nodes), "nodes for all clients of a session");
        f->nodes = push__malloc(full * sizeof(*f->nodes));
        if (!f->nodes)
            return -ENOMEM;
    }
    memset(&f->wait, 0, sizeof(f->wait));
    int rc = push__sleeper_renew(&f->wait.sleeper);
    if (rc == 0)
        rc = push__lock_init(&f->wait.lock, RANK_WAIT);
    if (rc < 0) {
        push__sleeper_unref(f->wait.sleeper);
        if (f->nodes != f->on_stack)
            push__free(f->nodes);
        return rc;
    }
    f->deadline = push__deadline_in(f->timeout_ms);
    f->may_wait = true;
    return 0;
}

static void end_wait(struct fanout *f)
{
    push__sleeper_unref(f->wait.sleeper);
    push__lock_destroy(&f->wait.lock);
    if (f->nodes != f->on_stack)
        push__free(f->nodes);
}

/* ---- The fan-out itself: under the push lock, cannot fail ---- */

static void put_slow(struct fanout *f, push_client *c)
{
    struct push_node *node = f->may_wait && c->overflow == PUSH_BLOCK ? &f->nodes[f->nodes_len] : NULL;
    enum put_result how = push__mailbox_put(c, f->msg, node, &f->wait, &f->deferred);
    switch (how) { /* GCOVR_EXCL_BR_LINE: each value has a case, no other occurs */
    case PUT_EVICTED:
        f->report.dropped++;
        /* fall through */
    case PUT_TAKEN:
        f->report.delivered++;
        f->refs--;
        break;
    case PUT_DROPPED:
        f->report.dropped++;
        break;
    case PUT_FULL:
        f->report.timed_out++;
        break;
    case PUT_WAITS:
        f->nodes_len++;
        f->refs--;
        break;
    case PUT_DISCONNECTED:
        f->report.disconnected++;
        break;
    case PUT_CLOSED:
        f->closed++;
        break;
    }
}

static void put_all(struct fanout *f)
{
    push_msg *msg = f->msg;
    size_t size = f->size;
    size_t delivered = 0;
    bool no_exception = id_is_none(f->except.id);
    for (size_t i = 0; i < f->len; i++) {
        push_client *c = f->clients[i];
        if (i + AHEAD < f->len)
            prefetch_for_write(&f->clients[i + AHEAD]->word);
        if (!no_exception && is_excepted(f, c))
            continue;
        if (mailbox_put_fast(c, msg, size))
            delivered++;
        else
            put_slow(f, c);
    }
    f->report.delivered += delivered;
    f->refs -= delivered;
}

/* ---- After: the push lock is let go ---- */

static void unlink_disconnected(struct fanout *f)
{
    for (size_t i = 0; i < f->len; i++) {
        push_client *c = f->clients[i];
        if (c->overflow == PUSH_DISCONNECT && client_is_closed(c)) {
            struct name name = key_name(&c->key);
            push__registry_delete_client(c->session, &name, c);
        }
    }
}

/* Takes back what still waits, and counts how each node ended. */
static void settle_nodes(struct fanout *f)
{
    for (size_t i = 0; i < f->nodes_len; i++) {
        enum node_state end = push__mailbox_withdraw(&f->nodes[i]);
        switch (end) { /* GCOVR_EXCL_BR_LINE: each value has a case, no other occurs */
        case NODE_DELIVERED:
            f->report.delivered++;
            break;
        case NODE_WITHDRAWN:
            f->report.timed_out++;
            f->refs++;
            break;
        case NODE_CLOSED:
        case NODE_WAITING:
            f->closed++;
            f->refs++;
            break;
        }
    }
}

/* Lets go of all that the push holds. */
static void finish(struct fanout *f)
{
    if (f->may_wait) {
        settle_nodes(f);
        end_wait(f);
    }
    msg_unref_many(f->msg, f->refs);
    if (deferred_any(&f->deferred))
        push__deferred_run(&f->deferred);
}

static void fanout_cancelled(void *arg)
{
    finish(arg);
}

/* What a cancelled push leaves is seen to once it has let go of the lock. */
static void wait_cancelled_locked(void *arg, bool woken, struct wakeups *wakeups)
{
    (void)arg, (void)woken, (void)wakeups;
}

static bool is_done(struct fanout *f)
{
    return atomic_load_explicit(&f->wait.waiting, memory_order_acquire) == 0;
}

static patience session_patience(const push_session *s)
{
    return atomic_load_explicit(&s->patience, memory_order_relaxed);
}

static void learn_patience(push_session *s, patience learnt)
{
    atomic_store_explicit(&s->patience, learnt, memory_order_relaxed);
}

static void yield_for_room(struct fanout *f)
{
    patience p = session_patience(f->session);
    unsigned yields = patience_yields(p);
    unsigned yielded = 0;
    for (; yielded < yields && !is_done(f) && !push__deadline_passed(&f->deadline); yielded++)
        push__yield();
    if (yielded > 0 && is_done(f))
        learn_patience(f->session, patience_after_yield(p, yielded));
}

/* Yields, then sleeps, until no node waits any more, or the deadline passes. A cancellation point. */
static void wait_for_room(struct fanout *f)
{
    yield_for_room(f);
    lock_acquire(&f->wait.lock);
    if (!is_done(f)) {
        uint64_t start = push__now();
        pthread_cleanup_push(fanout_cancelled, f);
        push__waitq_sleep(&f->wait.sleepers, &f->wait.lock, &f->deadline, &f->wait.sleeper, wait_cancelled_locked,
                          NULL);
        pthread_cleanup_pop(0);
        learn_patience(f->session, patience_after_sleep(session_patience(f->session), push__now() - start));
    }
    lock_release(&f->wait.lock);
}

/* All that is left to do once the push lock is let go. */
static void complete(struct fanout *f)
{
    if (deferred_any(&f->deferred))
        push__deferred_run(&f->deferred);
    if (f->report.disconnected > 0)
        unlink_disconnected(f);
    push__snapshot_unref(f->snapshot);
    f->snapshot = NULL;
    if (f->nodes_len > 0)
        wait_for_room(f);
    finish(f);
}

static void begin(struct fanout *f, push_session *s, push_msg *msg, push_id except, int timeout_ms)
{
    f->session = s;
    f->snapshot = NULL;
    f->msg = msg;
    f->size = msg->u.size;
    f->except = id_is_none(except) ? (struct name){.id = except} : name_of(except);
    f->timeout_ms = timeout_ms;
    f->nodes = NULL;
    f->nodes_len = 0;
    f->may_wait = false;
    f->report = (push_report){0};
    f->closed = 0;
    f->refs = 0;
    f->deferred = (struct deferred){0};
}

/* The result of a call, and its report. */
static int result(const struct fanout *f, int rc, push_report *report)
{
    if (report)
        *report = rc < 0 ? (push_report){0} : f->report;
    if (rc < 0)
        return rc;
    return (int)f->report.delivered; /* fits: a session's map ends at 2^28 clients */
}

/* ---- To a session ---- */

/* Reserves where it must be: in the special mailboxes for each push, in all once the room found last is used up. */
static int reserve_session(struct fanout *f, struct snapshot *snapshot)
{
    size_t full = 0;
    ptrdiff_t room = reserve_range(f, 0, snapshot->special, &full);
    if (room >= 0 && snapshot->room == 0) {
        room = reserve_range(f, snapshot->special, snapshot->len, &full);
        snapshot->room = room > 0 ? (size_t)room : 0;
    }
    return room < 0 ? (int)room : prepare_wait(f, full);
}

static int fan_out_locked(struct fanout *f, push_session *s, bool consume, struct snapshot **old)
{
    int rc = session_has(s, SESSION_CLOSED) ? -EPIPE : push__snapshot_refresh(s, old);
    if (rc < 0)
        return rc;
    struct snapshot *snapshot = s->snapshot;
    f->clients = snapshot->clients;
    f->len = snapshot->len;
    if (snapshot->room == 0 || snapshot->special > 0) {
        rc = reserve_session(f, snapshot);
        if (rc < 0)
            return rc;
    }
    /* All references at once. A message that is consumed is known to nobody else yet. */
    f->refs = f->len;
    if (consume && f->len > 0)
        atomic_store_explicit(&f->msg->refs, (uint32_t)f->len, memory_order_relaxed);
    else if (consume)
        f->refs = 1;
    else
        msg_ref_many(f->msg, f->len);
    put_all(f);
    if (snapshot->room > 0)
        snapshot->room--;
    if (f->report.disconnected > 0)
        f->snapshot = snapshot_ref(snapshot);
    return 0;
}

int push__fanout_session(push_session *s, push_msg *msg, push_id except, int timeout_ms, push_report *report,
                         bool consume)
{
    struct fanout f;
    struct snapshot *old = NULL;
    begin(&f, s, msg, except, timeout_ms);
    lock_acquire(&s->push_lock);
    int rc = fan_out_locked(&f, s, consume, &old);
    lock_release(&s->push_lock);
    push__wakeups_send(&f.deferred.wakeups); /* freeing calls functions of the caller's, and may take long */
    push__snapshot_unref(old);
    if (rc < 0) {
        f.refs = consume ? 1 : 0;
        finish(&f);
        return result(&f, rc, report);
    }
    complete(&f);
    if (f.report.delivered == 0 && f.closed > 0 && session_has(s, SESSION_CLOSED))
        rc = -EPIPE;
    return result(&f, rc, report);
}

/* ---- To one client ---- */

static int send_locked(struct fanout *f, push_session *s)
{
    size_t full = 0;
    ptrdiff_t room = reserve_range(f, 0, 1, &full);
    int rc = room < 0 ? (int)room : prepare_wait(f, full);
    if (rc < 0)
        return rc;
    f->refs = 1;
    msg_ref_many(f->msg, 1);
    put_all(f);
    if (s->snapshot && s->snapshot->room > 0)
        s->snapshot->room--;
    return 0;
}

int push__fanout_client(push_client *c, push_msg *msg, int timeout_ms, push_report *report)
{
    struct fanout f;
    begin(&f, c->session, msg, PUSH_ID_NONE, timeout_ms);
    f.clients = &c;
    f.len = 1;
    lock_acquire(&f.session->push_lock);
    int rc = send_locked(&f, f.session);
    lock_release(&f.session->push_lock);
    if (rc < 0) {
        finish(&f);
        return result(&f, rc, report);
    }
    complete(&f);
    return result(&f, f.closed > 0 ? -EPIPE : 0, report);
}
