/* The first use of the allocator against its being set: alloc.c itself, so that its state can be had at any moment.
 */
#include "helpers.h"

#include "../src/alloc.c"

static int yields;
static int state_after_yield;

int __wrap_sched_yield(void);
int __wrap_sched_yield(void)
{
    yields++;
    atomic_store(&allocator_state, state_after_yield);
    return 0;
}

static void settle(int after_yield)
{
    yields = 0;
    state_after_yield = after_yield;
    atomic_store(&allocator_state, SETTING);
    push__alloc_settle();
    assert_int_equal(atomic_load(&allocator_state), USED);
    assert_int_equal(yields, 1);
}

static void the_first_use_waits_until_it_is_set(void **unused)
{
    (void)unused;
    settle(FRESH);
}

static void another_thread_was_the_first(void **unused)
{
    (void)unused;
    settle(USED);
}

static void nobody_else_sets_it_meanwhile(void **unused)
{
    (void)unused;
    atomic_store(&allocator_state, SETTING);
    assert_int_equal(push_set_allocator(malloc, realloc, free), -EBUSY);
    assert_int_equal(atomic_load(&allocator_state), SETTING);
    atomic_store(&allocator_state, USED);
    assert_int_equal(push_set_allocator(malloc, realloc, free), -EBUSY);
    assert_int_equal(atomic_load(&allocator_state), USED);
}

static void set_often(void *unused)
{
    (void)unused;
    for (int i = 0; i < SCALED(300000); i++) {
        int rc = push_set_allocator(malloc, realloc, free);
        EXPECT(rc == 0 || rc == -EBUSY);
    }
}

/* That they do not meet is for the thread sanitizer to see. */
static void two_threads_set_it(void **unused)
{
    (void)unused;
    atomic_store(&allocator_state, FRESH);
    crew_run(2, set_often, NULL, 0);
    assert_int_equal(atomic_load(&allocator_state), FRESH);
    assert_int_equal(push_set_allocator(malloc, realloc, free), 0);
    atomic_store(&allocator_state, USED);
}

static const struct CMUnitTest tests[] = {TEST(the_first_use_waits_until_it_is_set),
                                          TEST(another_thread_was_the_first), TEST(nobody_else_sets_it_meanwhile),
                                          TEST(two_threads_set_it)};

TEST_MAIN(tests)
