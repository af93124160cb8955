/*
 * One call, and another one in the middle of it: before each lock that the first takes, after each that it lets go,
 * and before each look at the clock, in turn, a second thread makes a call of its own, as far as it gets without
 * the first. So each step of a call meets what may have changed since the step before.
 */
#include "helpers.h"

#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "mailbox.h"
#include "session.h"

/* ---- Steps ----------------------------------------------------------------------------------------------- */

static struct {
    long left; /* steps to go until it happens */
    void (*meanwhile)(void);
    bool happened;
    pthread_t thread;
    _Atomic pid_t tid;
    atomic_bool done;
} other;

static _Thread_local bool stepping;

static void *other_main(void *arg)
{
    atomic_store(&other.tid, (pid_t)syscall(SYS_gettid));
    other.meanwhile();
    atomic_store(&other.done, true);
    return arg;
}

/* True where it happened. */
static bool step(void)
{
    if (!stepping || other.left-- > 0)
        return false;
    stepping = false;
    other.happened = EXPECT(pthread_create(&other.thread, NULL, other_main, NULL) == 0);
    if (!other.happened)
        return false;
    pid_t tid;
    AWAIT(atomic_load(&other.done) || ((tid = atomic_load(&other.tid)) != 0 && thread_settled(tid)));
    return true;
}

int __real_pthread_mutex_lock(pthread_mutex_t *mutex);
int __wrap_pthread_mutex_lock(pthread_mutex_t *mutex);
int __wrap_pthread_mutex_lock(pthread_mutex_t *mutex)
{
    step();
    return __real_pthread_mutex_lock(mutex);
}

int __real_pthread_mutex_unlock(pthread_mutex_t *mutex);
int __wrap_pthread_mutex_unlock(pthread_mutex_t *mutex);
int __wrap_pthread_mutex_unlock(pthread_mutex_t *mutex)
{
    int rc = __real_pthread_mutex_unlock(mutex);
    step();
    return rc;
}

enum { SHORT_TIMEOUT = 1 };

/* Where it hurries, a thread finds at each look at the clock that a short timeout has passed since the one before.
 */
static _Thread_local bool hurries;
static _Thread_local int64_t ahead;

int __real_clock_gettime(clockid_t id, struct timespec *now);
int __wrap_clock_gettime(clockid_t id, struct timespec *now);
int __wrap_clock_gettime(clockid_t id, struct timespec *now)
{
    /* It took long enough for a short timeout to pass. */
    if (step()) {
        for (int64_t end = now_ns() + 2 * SHORT_TIMEOUT * MILLISECOND; now_ns() < end;)
            pause_briefly();
    }
    int error = __real_clock_gettime(id, now);
    if (hurries) {
        ahead += 2 * SHORT_TIMEOUT * MILLISECOND;
        int64_t at = now->tv_nsec + ahead;
        now->tv_sec += (time_t)(at / (1000 * MILLISECOND));
        now->tv_nsec = (long)(at % (1000 * MILLISECOND));
    }
    return error;
}

/* The secret of the hash is made once, whoever comes first. */
static atomic_int secrets;

ssize_t __real_getrandom(void *data, size_t size, unsigned flags);
ssize_t __wrap_getrandom(void *data, size_t size, unsigned flags);
ssize_t __wrap_getrandom(void *data, size_t size, unsigned flags)
{
    atomic_fetch_add(&secrets, 1);
    return __real_getrandom(data, size, flags);
}

/* Runs `call`, with `meanwhile` before its k-th step. */
static bool interleave(long k, void (*call)(void), void (*meanwhile)(void))
{
    other.left = k;
    other.meanwhile = meanwhile;
    other.happened = false;
    atomic_store(&other.tid, 0);
    atomic_store(&other.done, false);
    stepping = true;
    call();
    stepping = false;
    if (other.happened)
        assert_int_equal(pthread_join(other.thread, NULL), 0);
    assert_expectations();
    return other.happened;
}

/* The same for each step that there is; `begin` before, `end` after each time. The last time nothing has come
 * between, and `end` finds the call alone. */
static void interleave_all(void (*begin)(void), void (*call)(void), void (*meanwhile)(void), void (*end)(bool both))
{
    bool both = true;
    for (long k = 0; both; k++) {
        begin();
        both = interleave(k, call, meanwhile);
        end(both);
    }
    assert_true(other.left >= 0);
}

/* ---- What the calls work on ------------------------------------------------------------------------------ */

static push_session *s;
static push_client *c;
static push_client *heir;
static push_msg *msg;
static int rc;

static push_client *client_as(push_duplicate duplicate)
{
    push_client_options options = {.max_buffer = 1, .duplicate = duplicate};
    return push_client_new(s, push_id_str("c"), &options);
}

static void begin_client(void)
{
    s = session("s");
    c = client(s, "c", 1);
    heir = NULL;
}

static void end_client(void)
{
    assert_true(push__mailbox_check(c));
    if (heir)
        assert_true(push__mailbox_check(heir));
    push_client_unref(heir);
    push_client_unref(c);
    push_session_unref(s);
    push_shutdown();
}

static void take_over(void)
{
    heir = client_as(PUSH_TAKEOVER);
    EXPECT(heir);
}

/* ---- The first use of the library ------------------------------------------------------------------------ */

static void open_one(void)
{
    s = push_session_new(push_id_str("one"), PUSH_ID_NONE, 0);
}

static void open_other(void)
{
    push_session_unref(push_session_new(push_id_str("other"), PUSH_ID_NONE, 0));
}

/* Must be the first of the tests. */
static void first_uses(void **state)
{
    (void)state;
    assert_true(interleave(0, open_one, open_other));
    assert_non_null(s);
    assert_int_equal(atomic_load(&secrets), 1);
    assert_true(push_session_exists(push_id_str("one")));
    assert_true(push_session_exists(push_id_str("other")));
    push_session_unref(s);
}

/* ---- Sessions that go, and grow -------------------------------------------------------------------------- */

static push_client *first;

static void begin_unnamed(void)
{
    first = push_client_open(push_id_str("s"), push_id_str("first"), NULL);
    assert_non_null(first);
}

static void delete_first(void)
{
    EXPECT(push_client_delete(first));
}

static void name_session(void)
{
    s = push_session_new(push_id_str("s"), PUSH_ID_NONE, 0);
}

/* Whatever happened to the one before, this is a session that is there, and stays. */
static void end_named(bool both)
{
    push_session *found = push_session_find(push_id_str("s"));
    assert_ptr_equal(found, s);
    assert_int_equal(push_session_len(s), both ? 0 : 1);
    assert_int_equal(push_session_push(s, "1", 1), both ? 0 : 1);
    push_session_unref(found);
    push_session_unref(s);
    push_client_unref(first);
    push_shutdown();
}

static void naming_against_the_last_client(void **state)
{
    (void)state;
    interleave_all(begin_unnamed, name_session, delete_first, end_named);
}

static void name_session_with_client(void)
{
    s = push_session_new(push_id_str("s"), push_id_str("c"), 1);
}

static void delete_session(void)
{
    EXPECT(push_session_delete(push_id_str("s")));
}

/* Either session and client came before the delete, and went with it, or after, and are there. */
static void end_named_with_client(bool both)
{
    assert_non_null(s);
    bool there = push_session_exists(push_id_str("s"));
    assert_int_equal(push_session_push(s, "1", 1), !there ? -EPIPE : both ? 1 : 2);
    push_session_unref(s);
    push_client_unref(first);
    push_shutdown();
}

static void naming_against_a_delete(void **state)
{
    (void)state;
    interleave_all(begin_unnamed, name_session_with_client, delete_session, end_named_with_client);
}

/* How many come meanwhile: as many as still fit into a table that the call makes for itself, and one more, so that
 * it needs none any more. */
enum { LATE_MIN = 2, LATE_MAX = 3, NEIGHBOURS = LATE_MAX + 2 };
static size_t late;
static push_id neighbours[NEIGHBOURS];

/* Ids that share a shard of the registry. */
static void begin_neighbours(void)
{
    size_t found = 0;
    for (uint64_t i = 0; found < NEIGHBOURS; i++) {
        push_id id = push_id_int(i);
        if ((uint32_t)push__id_hash(id) >> 24 == 0)
            neighbours[found++] = id;
    }
    push_session_unref(push_session_new(neighbours[0], PUSH_ID_NONE, 0));
}

static void open_last_neighbour(void)
{
    s = push_session_new(neighbours[NEIGHBOURS - 1], PUSH_ID_NONE, 0);
}

static void open_neighbours_between(void)
{
    for (size_t i = 1; i <= late; i++)
        push_session_unref(push_session_new(neighbours[i], PUSH_ID_NONE, 0));
}

static void end_neighbours(bool both)
{
    assert_non_null(s);
    for (size_t i = 0; i < NEIGHBOURS; i++)
        assert_int_equal(push_session_exists(neighbours[i]), i == 0 || i == NEIGHBOURS - 1 || (both && i <= late));
    push_session_unref(s);
    push_shutdown();
}

static void a_table_that_grows_meanwhile(void **state)
{
    (void)state;
    for (late = LATE_MIN; late <= LATE_MAX; late++)
        interleave_all(begin_neighbours, open_last_neighbour, open_neighbours_between, end_neighbours);
}

static void open_last_neighbour_too(void)
{
    push_session *same = push_session_new(neighbours[NEIGHBOURS - 1], PUSH_ID_NONE, 0);
    EXPECT(same);
    push_session_unref(same);
}

static void end_same(bool both)
{
    (void)both;
    push_session *found = push_session_find(neighbours[NEIGHBOURS - 1]);
    assert_non_null(s);
    assert_ptr_equal(found, s);
    push_session_unref(found);
    push_session_unref(s);
    push_shutdown();
}

static void two_that_create_the_same(void **state)
{
    (void)state;
    interleave_all(begin_neighbours, open_last_neighbour, open_last_neighbour_too, end_same);
}

static bool deleted;

static void begin_shutdown(void)
{
    begin_unnamed();
    deleted = false;
}

static void delete_if_there(void)
{
    deleted = push_client_delete(first);
}

static void end_shutdown(bool both)
{
    assert_true(both || !deleted);
    assert_false(push_session_exists(push_id_str("s")));
    assert_drained(first);
    push_client_unref(first);
}

static void shutdown_against_the_last_client(void **state)
{
    (void)state;
    interleave_all(begin_shutdown, push_shutdown, delete_if_there, end_shutdown);
}

/* The same with the clients of a session. */
static void join_last(void)
{
    heir = push_client_new(s, push_id_str("last"), NULL);
}

static void join_between(void)
{
    for (size_t i = 0; i < late; i++)
        push_client_unref(push_client_new(s, push_id_int(i), NULL));
}

static void end_joined(bool both)
{
    assert_non_null(heir);
    assert_int_equal(push_session_len(s), 2 + (both ? late : 0));
    assert_int_equal(push_session_push(s, "1", 1), 2 + (both ? late : 0));
    assert_next(heir, 0, "1");
    end_client();
}

static void a_roster_that_grows_meanwhile(void **state)
{
    (void)state;
    for (late = LATE_MIN; late <= LATE_MAX; late++)
        interleave_all(begin_client, join_last, join_between, end_joined);
}

static push_client *same;

static void begin_session(void)
{
    s = session("s");
    c = same = heir = NULL;
}

static void join_new(void)
{
    c = client_as(PUSH_SHARE);
}

static void join_same(void)
{
    same = client_as(PUSH_SHARE);
}

static void end_shared(bool both)
{
    assert_non_null(c);
    assert_int_equal(push_session_len(s), 1);
    assert_ptr_equal(same, both ? c : NULL);
    push_client_unref(same);
    end_client();
}

static void two_that_share_a_new_client(void **state)
{
    (void)state;
    interleave_all(begin_session, join_new, join_same, end_shared);
}

/* ---- A push, and clients that come and go ---------------------------------------------------------------- */

static void push_one(void)
{
    rc = push_session_push(s, "1", 1);
}

static void end_pushed_or_deleted(bool both)
{
    assert_true(rc == 1 || (both && rc == -EPIPE));
    if (both)
        assert_int_equal(push_session_push(s, "2", 1), -EPIPE);
    if (rc == 1)
        assert_next(c, 0, "1");
    end_client();
}

static void push_against_delete(void **state)
{
    (void)state;
    interleave_all(begin_client, push_one, delete_session, end_pushed_or_deleted);
}

/* The session is there when the table of clients is read for the first time, and gone the next. */
static void begin_disconnected(void)
{
    s = session("s");
    c = client_with(s, "c", 1, PUSH_DISCONNECT);
    heir = NULL;
    assert_put(c, "0");
}

static void end_disconnected(bool both)
{
    assert_true(client_is_closed(c));
    assert_next(c, 0, "0");
    assert_drained(c);
    push_client *there = push_client_find(s, push_id_str("c"));
    if (!both) {
        assert_int_equal(rc, 0);
        assert_null(there);
    } else {
        assert_ptr_equal(there, heir);
        /* Came it before the push was through, it may have got the message, or nothing. */
        assert_in_range(rc, 0, 1);
    }
    push_client_unref(there);
    end_client();
}

static void replace(void)
{
    heir = client_as(PUSH_REPLACE);
    EXPECT(heir);
}

static void disconnect_against_replace(void **state)
{
    (void)state;
    interleave_all(begin_disconnected, push_one, replace, end_disconnected);
}

static void share(void)
{
    heir = client_as(PUSH_SHARE);
    EXPECT(heir);
}

/* Whoever shares the client before the push comes, goes with it. */
static void end_disconnected_or_shared(bool both)
{
    bool is_shared = heir == c;
    assert_int_equal(rc, 0);
    assert_true(client_is_closed(c));
    push_client *there = push_client_find(s, push_id_str("c"));
    assert_ptr_equal(there, both && !is_shared ? heir : NULL);
    push_client_unref(there);
    end_client();
}

static void disconnect_against_share(void **state)
{
    (void)state;
    interleave_all(begin_disconnected, push_one, share, end_disconnected_or_shared);
}

/* ---- Descriptors ----------------------------------------------------------------------------------------- */

static int same_fd;

static void ask_fd(void)
{
    rc = push_client_fd(c);
}

static void ask_same_fd(void)
{
    same_fd = push_client_fd(c);
}

static void end_fd(bool both)
{
    assert_true(rc >= 0);
    if (both)
        assert_int_equal(same_fd, rc);
    assert_false(readable(rc));
    assert_put(c, "1");
    assert_true(readable(rc));
    end_client();
}

static void two_that_ask_for_the_descriptor(void **state)
{
    (void)state;
    interleave_all(begin_client, ask_fd, ask_same_fd, end_fd);
}

/* ---- Put-back -------------------------------------------------------------------------------------------- */

static void begin_pulled(void)
{
    begin_client();
    assert_put(c, "1");
    assert_int_equal(push_client_pull(c, &msg, 0), 0);
}

static void put_back(void)
{
    rc = push_client_unpull(c, msg);
}

static void end_put_back(bool both)
{
    assert_true(rc == 0 || (both && rc == -EPIPE));
    if (rc == 0)
        assert_next(both ? heir : c, 0, "1");
    else
        assert_text(msg, "1");
    end_client();
}

static void put_back_against_take_over(void **state)
{
    (void)state;
    interleave_all(begin_pulled, put_back, take_over, end_put_back);
}

/* ---- A push that gives up -------------------------------------------------------------------------------- */

static struct push_node node;
static struct push_wait wait;
static enum node_state ended;

/* Leaves a push waiting, as its thread does before it sleeps. */
static void begin_waiting(void)
{
    begin_client();
    assert_put(c, "1");
    memset(&wait, 0, sizeof(wait));
    assert_int_equal(push__lock_init(&wait.lock, RANK_WAIT), 0);
    struct deferred deferred = {0};
    lock_acquire(&s->push_lock);
    assert_int_equal(push__mailbox_reserve(c, &deferred), 0);
    assert_int_equal(push__mailbox_put(c, msg = text_msg("2"), &node, &wait, &deferred), PUT_WAITS);
    lock_release(&s->push_lock);
}

static void give_up(void)
{
    ended = push__mailbox_withdraw(&node);
}

static void end_waiting(void)
{
    if (ended != NODE_DELIVERED)
        push_msg_unref(msg);
    push__lock_destroy(&wait.lock);
    end_client();
}

static void end_taken_over(bool both)
{
    assert_int_equal(ended, NODE_WITHDRAWN);
    assert_next(both ? heir : c, 0, "1");
    assert_int_equal(stats_of(both ? heir : c).queued, 0);
    end_waiting();
}

static void giving_up_against_take_over(void **state)
{
    (void)state;
    interleave_all(begin_waiting, give_up, take_over, end_taken_over);
}

static void pull_one(void)
{
    push_msg *pulled = NULL;
    EXPECT(push_client_pull(c, &pulled, 0) == 0 && msg_is(pulled, "1"));
    push_msg_unref(pulled);
}

static void end_pulled(bool both)
{
    assert_true(ended == NODE_WITHDRAWN || (both && ended == NODE_DELIVERED));
    if (!both)
        assert_next(c, 0, "1");
    if (ended == NODE_DELIVERED)
        assert_next(c, 0, "2");
    assert_empty(c);
    end_waiting();
}

static void giving_up_against_pull(void **state)
{
    (void)state;
    interleave_all(begin_waiting, give_up, pull_one, end_pulled);
}

static void begin_full(void)
{
    begin_client();
    assert_put(c, "1");
    msg = text_msg("2");
}

static void send_shortly(void)
{
    rc = push_client_send(c, msg, SHORT_TIMEOUT, NULL);
    push_msg_unref(msg);
}

static void end_sent(bool both)
{
    assert_true(rc == 0 || (both && rc == 1));
    if (!both)
        assert_next(c, 0, "1");
    if (rc == 1)
        assert_next(c, 0, "2");
    assert_empty(c);
    end_client();
}

static void waiting_push_against_pull(void **state)
{
    (void)state;
    interleave_all(begin_full, send_shortly, pull_one, end_sent);
}

/* ---- Pulls and pollers that find nothing, and a push ----------------------------------------------------- */

static push_poller *poller;
static push_event event;

static void put_one(void)
{
    EXPECT(send_text(c, "1", NULL) == 1);
}

static void begin_polled(void)
{
    begin_client();
    poller = push_poller_new();
    assert_non_null(poller);
    assert_int_equal(push_poller_add(poller, c, NULL), 0);
    assert_put(c, "0");
    assert_int_equal(push_poller_wait(poller, &event, 1, 0), 1);
    assert_next(c, 0, "0");
}

/* At rest: it was found empty, and is looked after. */
static void begin_resting(void)
{
    begin_polled();
    assert_empty(c);
}

static void pull_now(void)
{
    rc = push_client_pull(c, &msg, 0);
}

/* What the call did not find, the poller reports. */
static void end_polled(bool found)
{
    if (!found)
        assert_int_equal(push_poller_wait(poller, &event, 1, 0), 1);
    push_poller_free(poller);
    end_client();
}

static void end_pull_now(bool both)
{
    assert_true(rc == -EAGAIN || (both && rc == 0));
    if (rc == 0)
        assert_text(msg, "1");
    end_polled(rc == 0 || !both);
}

static void pull_against_push(void **state)
{
    (void)state;
    interleave_all(begin_polled, pull_now, put_one, end_pull_now);
}

static void pull_shortly(void)
{
    rc = push_client_pull(c, &msg, SHORT_TIMEOUT);
}

static void end_pull_shortly(bool both)
{
    assert_true(rc == -ETIMEDOUT || (both && rc == 0));
    if (rc == 0)
        assert_text(msg, "1");
    else if (both)
        assert_next(c, 0, "1");
    assert_empty(c);
    end_client();
}

static void waiting_pull_against_push(void **state)
{
    (void)state;
    interleave_all(begin_client, pull_shortly, put_one, end_pull_shortly);
}

static void pull_in_a_hurry(void)
{
    hurries = true;
    ahead = 0;
    pull_shortly();
    hurries = false;
}

/* It has all that it needs to sleep, and is about to. */
static void waiting_pull_without_yields_against_push(void **state)
{
    (void)state;
    interleave_all(begin_client, pull_in_a_hurry, put_one, end_pull_shortly);
}

/* Somebody waits in the poller still, so that a mailbox that is found empty is armed, and does not rest. */
static struct call *waits[2];

static void begin_polled_by_others(void)
{
    begin_client();
    poller = push_poller_new();
    assert_non_null(poller);
    assert_int_equal(push_poller_add(poller, c, NULL), 0);
    for (size_t i = 0; i < COUNT(waits); i++) {
        waits[i] = begin_wait(poller, -1);
        assert_asleep(waits[i]);
    }
    assert_put(c, "0");
    assert_int_equal(finish(waits[0]).rc, 1);
    assert_next(c, 0, "0");
}

/* A pull that came back with a message has not found the mailbox empty: it is still reported. */
static void end_polled_by_others(bool both)
{
    assert_true(rc == -EAGAIN || (both && rc == 0));
    if (rc == 0) {
        assert_text(msg, "1");
        assert_int_equal(push_poller_wait(poller, &event, 1, 0), 1);
    }
    /* A push after the pull has woken the other. */
    bool told = both && rc != 0;
    if (!told)
        push_poller_wake(poller);
    assert_int_equal(finish(waits[1]).rc, told ? 1 : 0);
    push_poller_free(poller);
    end_client();
}

static void pull_against_push_while_others_wait(void **state)
{
    (void)state;
    interleave_all(begin_polled_by_others, pull_now, put_one, end_polled_by_others);
}

static void wait_shortly(void)
{
    rc = push_poller_wait(poller, &event, 1, SHORT_TIMEOUT);
}

static void wait_in_a_hurry(void)
{
    hurries = true;
    ahead = 0;
    wait_shortly();
    hurries = false;
}

static void end_wait(bool both)
{
    assert_true(rc == -ETIMEDOUT || (both && rc == 1));
    end_polled(rc == 1 || !both);
}

static void wait_against_push(void **state)
{
    (void)state;
    interleave_all(begin_resting, wait_shortly, put_one, end_wait);
}

/* It has all that it needs to sleep, and is about to. */
static void wait_without_yields_against_push(void **state)
{
    (void)state;
    interleave_all(begin_resting, wait_in_a_hurry, put_one, end_wait);
}

/* ---- A rendezvous that others come to -------------------------------------------------------------------- */

enum { PULLS = 4 }; /* as many as the first ring has slots */
static pthread_t pulls[PULLS];

static void begin_rendezvous(void)
{
    s = session("s");
    c = client(s, "c", 0);
    heir = NULL;
}

static size_t waiting_pulls(void)
{
    lock_acquire(&c->lock);
    size_t n = c->extra->waiting;
    lock_release(&c->lock);
    return n;
}

static void *pull_until_it_comes(void *arg)
{
    push_msg *pulled = NULL;
    EXPECT(push_client_pull(c, &pulled, -1) == 0 && msg_is(pulled, "1"));
    push_msg_unref(pulled);
    return arg;
}

/* It yields, and does not sleep, until all of them wait: who sleeps counts as blocked. */
static void pull_by_four(void)
{
    for (size_t i = 0; i < PULLS; i++)
        EXPECT(pthread_create(&pulls[i], NULL, pull_until_it_comes, NULL) == 0);
    for (int64_t end = now_ns() + PATIENCE; waiting_pulls() < PULLS && now_ns() < end;)
        sched_yield();
}

static void end_rendezvous(bool both)
{
    assert_int_equal(rc, -ETIMEDOUT);
    assert_eventually(waiting_pulls() == (both ? PULLS : 0));
    for (size_t i = 0; both && i < PULLS; i++)
        assert_put(c, "1");
    for (size_t i = 0; both && i < PULLS; i++)
        assert_int_equal(pthread_join(pulls[i], NULL), 0);
    assert_int_equal(send_text(c, "2", NULL), 0);
    end_client();
}

static void pulls_that_come_meanwhile(void **state)
{
    (void)state;
    interleave_all(begin_rendezvous, pull_shortly, pull_by_four, end_rendezvous);
}

/* ---- A descriptor, and a pull that times out ------------------------------------------------------------- */

static struct call *sleeper;
static int fd;
static bool taken;

static void begin_timed_pull(void)
{
    begin_client();
    fd = push_client_fd(c);
    assert_true(fd >= 0);
    sleeper = begin_pull(c, 1000); /* what a busy machine takes to come to the push */
    assert_asleep(sleeper);
    taken = false;
}

static void push_past_it(void)
{
    assert_int_equal(send_text(c, "1", NULL), 1);
}

/* Takes the message that the pull that sleeps has not been woken for yet, and sees that one to its end. */
static void take_it_away(void)
{
    push_msg *got;
    taken = push_client_pull(c, &got, 0) == 0;
    push_msg_unref(got);
    while (taken && !call_done(sleeper))
        sched_yield();
}

/* It found nothing after the last message was taken, and so the descriptor is not readable any more. */
static void end_timed_pull(bool both)
{
    struct result result = finish(sleeper);
    assert_true(both || !taken);
    assert_int_equal(result.rc, taken ? -ETIMEDOUT : 0);
    push_msg_unref(result.msg);
    if (taken)
        assert_false(readable(fd));
    end_client();
}

static void a_timed_out_pull_clears_the_descriptor(void **state)
{
    (void)state;
    interleave_all(begin_timed_pull, push_past_it, take_it_away, end_timed_pull);
}

static const struct CMUnitTest tests[] = {TEST(first_uses),
                                          TEST(naming_against_the_last_client),
                                          TEST(naming_against_a_delete),
                                          TEST(a_table_that_grows_meanwhile),
                                          TEST(two_that_create_the_same),
                                          TEST(shutdown_against_the_last_client),
                                          TEST(a_roster_that_grows_meanwhile),
                                          TEST(two_that_share_a_new_client),
                                          TEST(two_that_ask_for_the_descriptor),
                                          TEST(push_against_delete),
                                          TEST(disconnect_against_replace),
                                          TEST(disconnect_against_share),
                                          TEST(put_back_against_take_over),
                                          TEST(giving_up_against_take_over),
                                          TEST(giving_up_against_pull),
                                          TEST(waiting_push_against_pull),
                                          TEST(pull_against_push),
                                          TEST(waiting_pull_against_push),
                                          TEST(waiting_pull_without_yields_against_push),
                                          TEST(pull_against_push_while_others_wait),
                                          TEST(wait_against_push),
                                          TEST(wait_without_yields_against_push),
                                          TEST(pulls_that_come_meanwhile),
                                          TEST(a_timed_out_pull_clears_the_descriptor)};

TEST_MAIN(tests)
