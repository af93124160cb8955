/* Locks in stripes, and the look-ups by id that get some. */
#include "helpers.h"

#include <limits.h>

#include "session.h"

static struct stripes *new_stripes(void)
{
    struct stripes *stripes = push__stripes_new(RANK_LOOKUP);
    assert_non_null(stripes);
    return stripes;
}

int __real_pthread_mutex_init(pthread_mutex_t *mutex, const pthread_mutexattr_t *attr);
int __wrap_pthread_mutex_init(pthread_mutex_t *mutex, const pthread_mutexattr_t *attr);

static atomic_int locks_left = INT_MAX;

int __wrap_pthread_mutex_init(pthread_mutex_t *mutex, const pthread_mutexattr_t *attr)
{
    return atomic_fetch_sub(&locks_left, 1) > 0 ? __real_pthread_mutex_init(mutex, attr) : EAGAIN;
}

/* ---- The locks ---- */

struct attempt {
    struct stripes *stripes;
    uint64_t hash;
    bool taken;
};

static void try_stripe(void *arg)
{
    struct attempt *a = arg;
    struct lock *lock = push__stripe_of(a->stripes, a->hash);
    a->taken = lock_try(lock);
    if (a->taken)
        lock_release(lock);
}

/* Whether another thread could take the stripe of this hash. */
static bool is_free(struct stripes *stripes, uint64_t hash)
{
    struct attempt a = {stripes, hash, false};
    crew_run(1, try_stripe, &a, sizeof(a));
    return a.taken;
}

static void test_a_stripe_excludes_its_own(void **state)
{
    (void)state;
    struct stripes *stripes = new_stripes();
    lock_acquire(push__stripe_of(stripes, 5));
    assert_false(is_free(stripes, 5));
    assert_true(is_free(stripes, 6));
    lock_release(push__stripe_of(stripes, 5));
    assert_true(is_free(stripes, 5));
    push__stripes_free(stripes);
}

static void test_all_exclude_everybody(void **state)
{
    (void)state;
    struct stripes *stripes = new_stripes();
    push__stripes_acquire_all(stripes);
    for (uint64_t hash = 0; hash < 64; hash++)
        assert_false(is_free(stripes, hash));
    push__stripes_release_all(stripes);
    for (uint64_t hash = 0; hash < 64; hash++)
        assert_true(is_free(stripes, hash));
    push__stripes_free(stripes);
}

static void test_no_memory_no_stripes(void **state)
{
    (void)state;
    fail_allocations_after(0);
    assert_null(push__stripes_new(RANK_LOOKUP));
    push__stripes_free(NULL);
}

static void test_all_locks_or_none(void **state)
{
    (void)state;
    for (int locks = 0; locks < 3; locks++) {
        atomic_store(&locks_left, locks);
        assert_null(push__stripes_new(RANK_LOOKUP));
    }
    atomic_store(&locks_left, INT_MAX);
    push__stripes_free(new_stripes());
}

/* ---- Look-ups ---- */

/* A look-up that finds the clients lock taken, when many have before. */
static void look_up_once_too_often(push_session *s)
{
    atomic_store(&s->contended, UINT8_MAX);
    lock_acquire(&s->clients_lock);
    struct call *call = begin_pull_by_id(s, PUSH_ID("phone"), 0);
    assert_asleep(call);
    lock_release(&s->clients_lock);
    assert_int_equal(finish(call).rc, -EAGAIN);
}

static void test_look_ups_that_meet_get_locks(void **state)
{
    (void)state;
    push_session *s = session("alice");
    push_client *phone = client(s, "phone", 2);
    look_up_once_too_often(s);
    assert_non_null(atomic_load(&s->lookups));

    /* From now on they do not need the clients lock, and who changes the map excludes them. */
    lock_acquire(&s->clients_lock);
    struct call *call = begin_pull_by_id(s, PUSH_ID("phone"), 0);
    assert_int_equal(finish(call).rc, -EAGAIN);
    push__stripes_acquire_all(atomic_load(&s->lookups));
    call = begin_pull_by_id(s, PUSH_ID("phone"), 0);
    assert_asleep(call);
    push__stripes_release_all(atomic_load(&s->lookups));
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

/* Two are about to make them at the same time: one set stays. */
static void test_look_ups_get_one_set(void **state)
{
    (void)state;
    push_session *s = session("alice");
    push_client *phone = client(s, "phone", 2);
    long blocks = blocks_held();
    atomic_store(&s->contended, UINT8_MAX - 1);
    lock_acquire(&s->clients_lock);
    struct call *first = begin_pull_by_id(s, PUSH_ID("phone"), 0);
    assert_asleep(first);
    atomic_store(&s->contended, UINT8_MAX - 1);
    struct call *second = begin_pull_by_id(s, PUSH_ID("phone"), 0);
    assert_asleep(second);
    assert_int_equal(blocks_held(), blocks + 2);
    lock_release(&s->clients_lock);
    assert_int_equal(finish(first).rc, -EAGAIN);
    assert_int_equal(finish(second).rc, -EAGAIN);
    assert_int_equal(blocks_held(), blocks + 1);
    push_client_unref(phone);
    push_session_unref(s);
}

static void test_look_ups_do_without(void **state)
{
    (void)state;
    push_session *s = session("alice");
    push_client *phone = client(s, "phone", 2);
    fail_allocations_after(0);
    look_up_once_too_often(s);
    assert_int_equal(allocations_failed(), 1);
    fail_allocations_after(-1);
    assert_null(atomic_load(&s->lookups));
    assert_in_range(atomic_load(&s->contended), 0, 1); /* they do not try again at once */
    push_client_unref(phone);
    push_session_unref(s);
}

static const struct CMUnitTest tests[] = {TEST(test_a_stripe_excludes_its_own),    TEST(test_all_exclude_everybody),
                                          TEST(test_no_memory_no_stripes),         TEST(test_all_locks_or_none),
                                          TEST(test_look_ups_that_meet_get_locks), TEST(test_look_ups_get_one_set),
                                          TEST(test_look_ups_do_without)};

TEST_MAIN(tests)
