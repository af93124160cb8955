/* Pollers. */
#include "scenario.h"

static void polled(void)
{
    open_session();
    open_a(2, PUSH_BLOCK);
    x.poller = push_poller_new();
    CHECK(push_poller_add(x.poller, x.a, &x) == 0);
    x.fd = push_poller_fd(x.poller);
}

static void two_polled(void)
{
    polled();
    open_b(2, PUSH_BLOCK);
    CHECK(push_poller_add(x.poller, x.b, &x) == 0);
}

static void push_1(void)
{
    x.rc[self->number] = push_number(1, -1);
}

static void push_1_and_2(void)
{
    CHECK(push_number(1, -1) == 1);
    CHECK(push_number(2, -1) == 1);
}

static int wait_for_event(int timeout_ms)
{
    push_event event;
    int rc = push_poller_wait(x.poller, &event, 1, timeout_ms);
    if (rc == 1)
        CHECK((event.client == x.a || event.client == x.b) && event.data == &x);
    return rc;
}

static void wait(void)
{
    x.rc[self->number] = wait_for_event(-1);
}

static void wait_timed(void)
{
    x.rc[self->number] = wait_for_event(1000);
}

static void try_wait(void)
{
    x.rc[self->number] = wait_for_event(0);
}

static void delete_a(void)
{
    CHECK(push_client_delete(x.a));
}

/* ---- One waits ---- */

static void wait_and_pull(void)
{
    wait();
    CHECK(pull_number(x.a, 0) == 1);
}

static void got_1(void)
{
    CHECK(times_got(1) == 1);
    CHECK(pull_number(x.a, 0) == -EAGAIN && wait_for_event(0) == -EAGAIN && !explore_readable(x.fd));
}

/* As an event loop does. */
static void wait_and_pull_until_2(void)
{
    while (x.got[1].len < 2) {
        CHECK(wait_for_event(-1) == 1);
        while (pull_number(x.a, 0) > 0)
            continue;
    }
}

static void got_1_and_2(void)
{
    CHECK(times_got(1) == 1 && times_got(2) == 1 && got_in_order(1));
}

static void seen_or_too_late(void)
{
    CHECK(x.rc[1] == 1 || x.rc[1] == -ETIMEDOUT);
    outcome(x.rc[1] == 1);
    CHECK(wait_for_event(0) == 1);
}

static void closed_is_reported(void)
{
    CHECK(x.rc[1] == 1);
    drain(x.a);
    CHECK(wait_for_event(0) == 1 && explore_readable(x.fd));
}

/* ---- The set of clients changes ---- */

static void remove_a(void)
{
    CHECK(push_poller_remove(x.poller, x.a) == 0);
    x.done[self->number] = true;
}

static void wait_unless_removed(void)
{
    bool removed = x.done[3];
    wait_timed();
    CHECK(x.rc[1] == -ETIMEDOUT || (x.rc[1] == 1 && !removed));
}

static void removed(void)
{
    outcome(x.rc[1] == 1);
    CHECK(wait_for_event(0) == -EAGAIN);
    CHECK(push_poller_add(x.poller, x.a, &x) == 0 && wait_for_event(0) == 1);
}

static void not_polled_yet(void)
{
    open_session();
    open_a(2, PUSH_BLOCK);
    x.poller = push_poller_new();
}

static void add_a_and_wait(void)
{
    CHECK(push_poller_add(x.poller, x.a, &x) == 0);
    wait();
}

static void reported(void)
{
    CHECK(x.rc[1] == 1);
}

static void free_poller(void)
{
    push_poller *p = x.poller;
    x.poller = NULL;
    push_poller_free(p);
}

static void poller_freed(void)
{
    drain(x.a);
    CHECK(times_got(1) == x.rc[1]);
    push_poller *other = push_poller_new();
    CHECK(push_poller_add(other, x.a, NULL) == 0);
    push_poller_free(other);
}

static void pause_and_resume_a(void)
{
    CHECK(push_poller_pause(x.poller, x.a) == 0);
    CHECK(push_poller_resume(x.poller, x.a) == 0);
}

static void paused_and_there(void)
{
    polled();
    CHECK(push_poller_pause(x.poller, x.a) == 0);
}

static void resume_a(void)
{
    CHECK(push_poller_resume(x.poller, x.a) == 0);
}

static void paused_client_may_close(void)
{
    outcome(x.rc[1] == 1);
    CHECK(wait_for_event(0) == 1);
}

/* ---- Two wait ---- */

static void wake_twice(void)
{
    push_poller_wake(x.poller);
    push_poller_wake(x.poller);
}

static void both_woken(void)
{
    CHECK(x.rc[1] == 0 && x.rc[2] == 0);
    CHECK(wait_for_event(0) == -EAGAIN && !explore_readable(x.fd));
}

static void wake_and_push_1(void)
{
    push_poller_wake(x.poller);
    CHECK(push_number(1, 0) == 1);
}

static void one_woken_one_told(void)
{
    CHECK(x.rc[1] + x.rc[2] == 1);
    outcome((size_t)x.rc[1]);
    CHECK(wait_for_event(0) == 1);
}

static void push_to_both(void)
{
    CHECK(push_number(1, 0) == 2);
}

static void both_told(void)
{
    CHECK(x.rc[1] == 1 && x.rc[2] == 1);
}

/* One that got nothing by the end passes the turn on. */
static void wait_pull_wake(void)
{
    wait();
    pull_number(x.a, 0);
    push_poller_wake(x.poller);
}

static void one_got_it(void)
{
    CHECK(times_got(1) == 1);
    CHECK(x.rc[1] + x.rc[2] >= 1);
}

static void resume_after_events(void)
{
    CHECK(x.rc[1] == -EAGAIN || x.rc[1] == 1);
    outcome(x.rc[1] == 1);
    drain(x.a);
    CHECK(times_got(1) == 1);
    CHECK(wait_for_event(0) == -EAGAIN);
}

/* ---- A client that ran empty, and is looked after for a while before it is armed ---- */

static void resting(void)
{
    polled();
    CHECK(push_number(7, 0) == 1);
    CHECK(wait_for_event(0) == 1 && pull_number(x.a, 0) == 7 && pull_number(x.a, 0) == -EAGAIN);
}

static void drain_a(void)
{
    while (pull_number(x.a, 0) > 0)
        continue;
}

/* Who got the second message wakes the other, who may sleep; but for him, a message alone must. */
static void wait_and_drain(void)
{
    wait();
    drain_a();
    if (x.got[1].len + x.got[2].len >= 2)
        push_poller_wake(x.poller);
}

static void pushed_1_and_2(void)
{
    drain(x.a);
    CHECK(times_got(1) == 1 && times_got(2) == 1);
}

/* As an event loop of its own does: until there is nothing, and then the descriptor tells. */
static void try_and_drain(void)
{
    while (wait_for_event(0) == 1)
        drain_a();
}

static void readable_if_there(void)
{
    int got = times_got(1);
    outcome((size_t)got);
    CHECK(got == 1 || explore_readable(x.fd));
    CHECK(wait_for_event(0) == (got == 1 ? -EAGAIN : 1));
}

static void wait_for_close(void)
{
    do {
        CHECK(wait_for_event(-1) == 1);
        drain_a();
    } while (pull_number(x.a, 0) == -EAGAIN);
}

/* The push may have come too late. */
static void all_told(void)
{
    CHECK(times_got(1) == (x.rc[2] == 1));
    CHECK(wait_for_event(0) == 1 && explore_readable(x.fd));
}

static void told_and_there(void)
{
    CHECK(x.rc[1] == 1);
    drain(x.a);
    CHECK(times_got(1) == 1 && wait_for_event(0) == -EAGAIN);
}

static void pull_1(void)
{
    CHECK(pull_number(x.a, -1) == 1);
}

static void not_there(void)
{
    outcome(x.rc[1] == 1);
    CHECK(times_got(1) == 1 && pull_number(x.a, 0) == -EAGAIN);
    CHECK(wait_for_event(0) == -EAGAIN && !explore_readable(x.fd));
}

const struct scenario poller_scenarios[] = {
    {.name = "poller-resting-wait-push",
     .least = 250,
     .set_up = resting,
     .threads = {wait, push_1},
     .finish = told_and_there},
    {.name = "poller-resting-two-waits-pushes",
     .least = 40000,
     .set_up = resting,
     .threads = {wait_and_drain, wait_and_drain, push_1_and_2},
     .finish = pushed_1_and_2},
    {.name = "poller-resting-try-push",
     .least = 90,
     .set_up = resting,
     .threads = {try_and_drain, push_1},
     .finish = readable_if_there,
     .outcomes = {"it looks too early", "it is told"}},
    {.name = "poller-resting-push-delete",
     .least = 28000,
     .set_up = resting,
     .threads = {wait_for_close, push_1, delete_a},
     .finish = all_told},
    {.name = "poller-resting-pause-resume-push",
     .least = 5500,
     .set_up = resting,
     .threads = {wait, pause_and_resume_a, push_1},
     .finish = told_and_there},
    {.name = "poller-resting-remove-push",
     .least = 11000,
     .set_up = resting,
     .threads = {wait_unless_removed, push_1, remove_a},
     .finish = removed,
     .outcomes = {"it is removed first", "it is told first"}},
    {.name = "poller-resting-wait-pull-push",
     .least = 1,
     .set_up = resting,
     .threads = {wait_timed, pull_1, push_1},
     .finish = not_there,
     .outcomes = {"it is not told", "it is told"}},

    {.name = "poller-wait-push",
     .least = 330,
     .set_up = polled,
     .threads = {wait_and_pull, push_1},
     .finish = got_1},
    {.name = "poller-loop-pushes",
     .least = 1000,
     .set_up = polled,
     .threads = {wait_and_pull_until_2, push_1_and_2},
     .finish = got_1_and_2},
    {.name = "poller-timeout-push",
     .least = 680,
     .set_up = polled,
     .threads = {wait_timed, push_1},
     .finish = seen_or_too_late,
     .outcomes = {"it times out", "it is told"}},
    {.name = "poller-wait-delete",
     .least = 150,
     .set_up = polled,
     .threads = {wait, delete_a},
     .finish = closed_is_reported},
    {.name = "poller-wait-push-remove",
     .least = 13000,
     .set_up = polled,
     .threads = {wait_unless_removed, push_1, remove_a},
     .finish = removed,
     .outcomes = {"it is removed first", "it is told first"}},
    {.name = "poller-add-push",
     .least = 440,
     .set_up = not_polled_yet,
     .threads = {add_a_and_wait, push_1},
     .finish = reported},
    {.name = "poller-free-push-delete",
     .least = 3700,
     .set_up = polled,
     .threads = {push_1, free_poller, delete_a},
     .finish = poller_freed},
    {.name = "poller-pause-resume-push-wait",
     .least = 5700,
     .set_up = polled,
     .threads = {wait, pause_and_resume_a, push_1},
     .finish = reported},
    {.name = "poller-resume-push-wait",
     .least = 4200,
     .set_up = paused_and_there,
     .threads = {wait, resume_a, push_1},
     .finish = reported},
    {.name = "poller-paused-delete-wait",
     .least = 2100,
     .set_up = paused_and_there,
     .threads = {try_wait, push_1, delete_a},
     .finish = paused_client_may_close,
     .outcomes = {"it looks too early", "it is told"}},
    {.name = "poller-two-waits-two-wakes",
     .least = 740,
     .set_up = polled,
     .threads = {wait, wait, wake_twice},
     .finish = both_woken},
    {.name = "poller-two-waits-wake-push",
     .least = 9400,
     .set_up = polled,
     .threads = {wait, wait, wake_and_push_1},
     .finish = one_woken_one_told,
     .outcomes = {"one is woken", "the other is woken"}},
    {.name = "poller-two-waits-two-clients",
     .least = 26000,
     .set_up = two_polled,
     .threads = {wait, wait, push_to_both},
     .finish = both_told},
    {.name = "poller-two-waits-one-message",
     .least = 12000,
     .set_up = polled,
     .threads = {wait_pull_wake, wait_pull_wake, push_1},
     .finish = one_got_it},
    {.name = "poller-fd-try-pull-push",
     .least = 38,
     .set_up = polled,
     .threads = {try_wait, push_1},
     .finish = resume_after_events,
     .outcomes = {"it looks too early", "it is told"}},
    {0},
};
