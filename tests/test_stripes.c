/* Locks in stripes, and the look-ups by id that take them. */
#include "helpers.h"

#include <limits.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "session.h"
#include "stripes.h"

int __real_pthread_mutex_init(pthread_mutex_t *mutex, const pthread_mutexattr_t *attr);
int __wrap_pthread_mutex_init(pthread_mutex_t *mutex, const pthread_mutexattr_t *attr);

static atomic_int locks_left = INT_MAX;

int __wrap_pthread_mutex_init(pthread_mutex_t *mutex, const pthread_mutexattr_t *attr)
{
    return atomic_fetch_sub(&locks_left, 1) > 0 ? __real_pthread_mutex_init(mutex, attr) : EAGAIN;
}

/* ---- The locks: those of the registry, which is made with the first session ---- */

static void make_registry(void)
{
    push_session *s = session("somebody");
    assert_true(push_session_delete(PUSH_ID("somebody")));
    push_session_unref(s);
}

struct attempt {
    uint32_t group;
    uint32_t stripe;
    bool taken;
};

static void try_stripe(void *arg)
{
    struct attempt *a = arg;
    struct lock *lock = push__stripe_of(a->group, a->stripe);
    a->taken = pthread_mutex_trylock(&lock->mutex) == 0;
    if (a->taken)
        pthread_mutex_unlock(&lock->mutex);
}

/* Whether another thread could take this stripe. */
static bool is_free(uint32_t group, uint32_t stripe)
{
    struct attempt a = {group, stripe, false};
    crew_run(1, try_stripe, &a, sizeof(a));
    return a.taken;
}

static void test_a_stripe_excludes_its_own(void **state)
{
    (void)state;
    make_registry();
    lock_acquire(push__stripe_of(1, 5));
    assert_false(is_free(1, 5));
    assert_true(is_free(1, 6));
    assert_true(is_free(2, 5));
    lock_release(push__stripe_of(1, 5));
    assert_true(is_free(1, 5));
}

static void test_all_exclude_everybody(void **state)
{
    (void)state;
    make_registry();
    push__stripes_acquire_all(3);
    for (uint32_t stripe = 0; stripe < 64; stripe++) {
        assert_false(is_free(3, stripe));
        assert_true(is_free(4, stripe));
    }
    push__stripes_release_all(3);
    for (uint32_t stripe = 0; stripe < 64; stripe++)
        assert_true(is_free(3, stripe));
}

/* ---- Look-ups ---- */

struct place {
    size_t cpu;
    bool own_stripe;
};

static void look_from(void *arg)
{
    struct place *place = arg;
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(place->cpu, &set);
    EXPECT(sched_setaffinity(0, sizeof(set), &set) == 0);
    place->own_stripe = push__stripe_here(3, 5) == push__stripe_of(3, (uint32_t)sched_getcpu());
}

static void test_a_look_up_takes_the_stripe_of_its_processor(void **state)
{
    (void)state;
    cpu_set_t allowed;
    assert_int_equal(sched_getaffinity(0, sizeof(allowed), &allowed), 0);
    for (size_t cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (!CPU_ISSET(cpu, &allowed))
            continue;
        struct place place = {.cpu = cpu};
        crew_run(1, look_from, &place, sizeof(place));
        assert_true(place.own_stripe);
    }
    assert_expectations();
}

/* Pulls by id, one after the other. */
static void pull_by_id(push_session *s, int times)
{
    push_msg *msg;
    while (times-- > 0)
        assert_int_equal(push_session_pull(s, PUSH_ID("phone"), &msg, 0), -EAGAIN);
}

enum { BEFORE_STRIPES = 32 };

static void test_after_some_pulls_by_id_they_take_stripes(void **state)
{
    (void)state;
    push_session *s = session("alice");
    push_client *phone = client(s, "phone", 2);
    pull_by_id(s, BEFORE_STRIPES);
    assert_false(session_has(s, SESSION_STRIPED));
    pull_by_id(s, 1);
    assert_true(session_has(s, SESSION_STRIPED));

    /* From now on they do not need the clients lock, and who changes the map excludes them. */
    lock_acquire(&s->clients_lock);
    struct call *call = begin_pull_by_id(s, PUSH_ID("phone"), 0);
    assert_int_equal(finish(call).rc, -EAGAIN);
    push__stripes_acquire_all(s->key.hash);
    call = begin_pull_by_id(s, PUSH_ID("phone"), 0);
    assert_asleep(call);
    push__stripes_release_all(s->key.hash);
    lock_release(&s->clients_lock);
    assert_int_equal(finish(call).rc, -EAGAIN);

    push_client *pc = client(s, "pc", 2);
    assert_int_equal(push_session_push(s, "x", 1), 2);
    push_msg *msg;
    assert_int_equal(push_session_pull(s, PUSH_ID("pc"), &msg, 0), 0);
    push_msg_unref(msg);
    assert_true(push_client_delete(pc));
    assert_int_equal(push_session_pull(s, PUSH_ID("pc"), &msg, 0), -ENOENT);
    assert_int_equal(push_session_pull(s, PUSH_ID("phone"), &msg, 0), 0);
    push_msg_unref(msg);
    push_client_unref(pc);
    push_client_unref(phone);
    push_session_unref(s);
}

struct change {
    push_session *s;
    _Atomic pid_t tid;
    atomic_bool done;
};

static void join_and_leave(void *arg)
{
    struct change *change = arg;
    atomic_store(&change->tid, (pid_t)syscall(SYS_gettid));
    push_client_unref(client(change->s, "pc", 2));
    EXPECT(push_session_delete_client(change->s, PUSH_ID("pc")));
    atomic_store(&change->done, true);
}

/* As long as anybody looks, whatever for, who changes the map waits. */
static void test_who_changes_the_map_waits_for_look_ups(void **state)
{
    (void)state;
    push_session *s = session("alice");
    push_client *phone = client(s, "phone", 2);
    pull_by_id(s, BEFORE_STRIPES + 1);
    for (uint32_t stripe = 0; stripe < 16; stripe++) {
        struct change change = {.s = s};
        lock_acquire(push__stripe_of(s->key.hash, stripe));
        struct crew *crew = crew_start(1, join_and_leave, &change, sizeof(change));
        pid_t tid = 0;
        AWAIT(atomic_load(&change.done) || ((tid = atomic_load(&change.tid)) != 0 && thread_settled(tid)));
        assert_false(atomic_load(&change.done));
        lock_release(push__stripe_of(s->key.hash, stripe));
        crew_join(crew);
        assert_true(atomic_load(&change.done));
    }
    assert_expectations();
    push_client_unref(phone);
    push_session_unref(s);
}

/* Nor do other look-ups ask for it. */
static void test_a_few_pulls_change_nothing(void **state)
{
    (void)state;
    push_session *s = session("alice");
    push_client *phone = client(s, "phone", 2);
    pull_by_id(s, 1);
    for (int i = 0; i < 2 * BEFORE_STRIPES; i++)
        push_client_unref(push_client_find(s, PUSH_ID("phone")));
    assert_false(session_has(s, SESSION_STRIPED));
    lock_acquire(&s->clients_lock);
    struct call *call = begin_pull_by_id(s, PUSH_ID("phone"), 0);
    assert_asleep(call);
    lock_release(&s->clients_lock);
    assert_int_equal(finish(call).rc, -EAGAIN);
    push_client_unref(phone);
    push_session_unref(s);
}

/* All locks are there, or none: a process that could not make one can try again. */
static void test_all_locks_or_none(void **state)
{
    (void)state;
    push__stripes_destroy();
    for (int locks = 0; locks < 20; locks++) {
        atomic_store(&locks_left, locks);
        assert_int_equal(push__stripes_init(), -EAGAIN);
    }
    atomic_store(&locks_left, INT_MAX);
    assert_int_equal(push__stripes_init(), 0);
    test_all_exclude_everybody(state);
}

static const struct CMUnitTest tests[] = {
    TEST(test_a_stripe_excludes_its_own),
    TEST(test_all_exclude_everybody),
    TEST(test_a_look_up_takes_the_stripe_of_its_processor),
    TEST(test_after_some_pulls_by_id_they_take_stripes),
    TEST(test_who_changes_the_map_waits_for_look_ups),
    TEST(test_a_few_pulls_change_nothing),
    TEST(test_all_locks_or_none),
};

TEST_MAIN(tests)
