/* Pulls, put-backs and the client's descriptor. */
#include "scenario.h"

static void one_slot(void)
{
    open_session();
    open_a(1, PUSH_BLOCK);
}

static void push_1(void)
{
    x.rc[self->number] = push_number(1, -1);
}

static void push_2(void)
{
    x.rc[self->number] = push_number(2, -1);
}

static void push_1_and_2(void)
{
    push_1();
    push_2();
}

static void pull_a(void)
{
    x.rc[self->number] = pull_number(x.a, -1);
}

static void pull_a_timed(void)
{
    x.rc[self->number] = pull_number(x.a, 1000);
}

static void try_a(void)
{
    x.rc[self->number] = pull_number(x.a, 0);
}

/* ---- Waiting for messages ---- */

static void each_got_one(void)
{
    CHECK(times_got(1) == 1 && times_got(2) == 1 && x.got[1].len == 1 && x.got[2].len == 1);
    outcome((size_t)x.rc[1] - 1);
}

static void got_or_timed_out(void)
{
    CHECK(x.rc[1] == 1 || x.rc[1] == -ETIMEDOUT);
    outcome(x.rc[1] == 1);
    drain(x.a);
    CHECK(times_got(1) == 1);
}

static void pull_many(void)
{
    push_msg *msgs[4];
    size_t lost;
    int n = push_client_pull_many(x.a, msgs, 4, &lost, -1);
    CHECK(n >= 1 && n <= 2 && lost == 0);
    for (int i = 0; i < n; i++) {
        x.got[1].list[x.got[1].len++] = number_of(msgs[i]);
        push_msg_unref(msgs[i]);
    }
    outcome((size_t)n - 1);
}

static void got_1_then_2(void)
{
    drain(x.a);
    CHECK(all_got() == 2 && times_got(1) == 1 && times_got(2) == 1 && x.got[1].list[0] == 1 && got_in_order(1));
}

/* ---- Deleting ---- */

static void delete_a(void)
{
    CHECK(push_client_delete(x.a));
}

static void got_or_deleted(void)
{
    CHECK(x.rc[1] == -EPIPE || x.rc[1] == 1);
    outcome(x.rc[1] == 1);
    drain(x.a);
    CHECK(times_got(1) == x.rc[2]);
    CHECK(pull_number(x.a, -1) == -EPIPE);
}

/* Nobody holds the client but the pull by id. */
static void unheld_client(void)
{
    open_session();
    push_client_unref(join("a", NULL));
}

static void pull_by_id(void)
{
    x.rc[self->number] = pull_number_by_id("a", -1);
}

static void delete_by_id(void)
{
    CHECK(push_session_delete_client(x.session, PUSH_ID("a")));
}

static void unknown_or_deleted(void)
{
    CHECK(x.rc[1] == -ENOENT || x.rc[1] == -EPIPE);
    outcome(x.rc[1] == -EPIPE);
}

/* ---- Putting back ---- */

static void one_full(void)
{
    open_session();
    open_a(1, PUSH_BLOCK);
    CHECK(push_number(1, 0) == 1);
}

/* Pulls what is there, and puts it back. */
static void put_back(void)
{
    push_msg *msg;
    if (push_client_pull(x.a, &msg, 0) < 0)
        return;
    x.rc[1] = number_of(msg);
    CHECK(push_client_unpull(x.a, msg) == 0);
}

static void put_back_is_not_lost(void)
{
    drain(x.a);
    CHECK(times_got(1) == 1 && times_got(2) == 1);
    outcome((size_t)x.rc[1]);
    if (x.rc[2] == 2)
        outcome(3);
    CHECK(push_number(3, 0) == 1);
}

static void two_there(void)
{
    open_session();
    open_a(2, PUSH_BLOCK);
    CHECK(push_number(1, 0) == 1 && push_number(2, 0) == 1);
}

static void pull_a_twice(void)
{
    CHECK(pull_number(x.a, -1) > 0);
    CHECK(pull_number(x.a, -1) > 0);
}

static void got_both(void)
{
    CHECK(times_got(1) == 1 && times_got(2) == 1);
    outcome((size_t)x.rc[1]);
}

/* ---- The descriptor ---- */

static void two_slots_with_fd(void)
{
    two_slots();
    x.fd = push_client_fd(x.a);
    CHECK(!explore_readable(x.fd));
}

/* Then not readable, once a pull has found nothing. */
static void readable_while_there(void)
{
    size_t got = all_got();
    CHECK(got == 1 || explore_readable(x.fd));
    outcome(got);
    drain(x.a);
    CHECK(times_got(1) == 1 && !explore_readable(x.fd));
    CHECK(push_number(2, 0) == 1 && explore_readable(x.fd));
}

/* The descriptor is still readable, for a message that was pulled: no pull has found the mailbox empty yet. So
 * pushes need not look at it, and may come while a pull is about to clear it. */
static void readable_and_empty(void)
{
    two_slots_with_fd();
    CHECK(push_number(3, 0) == 1 && pull_number(x.a, 0) == 3 && explore_readable(x.fd));
}

static void readable_or_all_three_got(void)
{
    size_t got = all_got();
    CHECK(got == 3 || explore_readable(x.fd));
    drain(x.a);
    CHECK(all_got() == 3 && times_got(1) == 1 && times_got(2) == 1 && !explore_readable(x.fd));
    outcome(x.rc[1] > 0);
}

static void open_fd(void)
{
    x.fd = push_client_fd(x.a);
}

static void wait_and_try(void)
{
    pull_a_timed();
    try_a();
}

static void readable_or_all_got(void)
{
    size_t got = all_got();
    CHECK(got == 2 || explore_readable(x.fd));
    drain(x.a);
    CHECK(all_got() == 2 && !explore_readable(x.fd));
    outcome(got == 2);
}

static void readable_once_closed(void)
{
    CHECK(explore_readable(x.fd));
    drain(x.a);
    CHECK(explore_readable(x.fd));
}

const struct scenario pull_scenarios[] = {
    {.name = "pull-pull-push",
     .least = 42000,
     .set_up = two_slots,
     .threads = {pull_a, pull_a, push_1_and_2},
     .finish = each_got_one,
     .outcomes = {"1 goes to one", "1 goes to the other"}},
    {.name = "pull-pull-push-full",
     .least = 100000,
     .set_up = one_slot,
     .threads = {pull_a, pull_a, push_1_and_2},
     .finish = each_got_one,
     .outcomes = {"1 goes to one", "1 goes to the other"}},
    {.name = "pull-timeout-push",
     .least = 1100,
     .set_up = two_slots,
     .threads = {pull_a_timed, push_1},
     .finish = got_or_timed_out,
     .outcomes = {"it times out", "it gets the message"}},
    {.name = "pull-many-push",
     .least = 680,
     .set_up = two_slots,
     .threads = {pull_many, push_1_and_2},
     .finish = got_1_then_2,
     .outcomes = {"it gets one", "it gets both"}},
    {.name = "pull-push-delete",
     .least = 14000,
     .set_up = two_slots,
     .threads = {pull_a, push_1, delete_a},
     .finish = got_or_deleted,
     .outcomes = {"the client is deleted first", "it gets the message"}},
    {.name = "pull-by-id-delete",
     .least = 160,
     .set_up = unheld_client,
     .threads = {pull_by_id, delete_by_id},
     .finish = unknown_or_deleted,
     .outcomes = {"the client is deleted first", "the pull is first"}},
    {.name = "unpull-pull-push",
     .least = 10000,
     .set_up = one_full,
     .threads = {put_back, pull_a, push_2},
     .finish = put_back_is_not_lost,
     .outcomes = {"nothing is put back", "1 is put back", "2 is put back", "2 is pulled before 1 is put back"}},
    {.name = "unpull-pull",
     .least = 110,
     .set_up = two_there,
     .threads = {put_back, pull_a_twice},
     .finish = got_both,
     .outcomes = {"nothing is put back", "1 is put back", "2 is put back"}},
    {.name = "fd-two-pulls-push",
     .least = 1700,
     .set_up = two_slots_with_fd,
     .threads = {try_a, try_a, push_1},
     .finish = readable_while_there,
     .outcomes = {"both are early", "one gets it"}},
    {.name = "fd-opened-pull-push",
     .least = 1200,
     .set_up = two_slots,
     .threads = {open_fd, try_a, push_1},
     .finish = readable_while_there,
     .outcomes = {"the pull is early", "it gets the message"}},
    {.name = "fd-waiting-pull-pushes",
     .least = 36000,
     .set_up = two_slots_with_fd,
     .threads = {wait_and_try, push_1, push_2},
     .finish = readable_or_all_got,
     .outcomes = {"something is left", "all is got"}},
    {.name = "fd-cleared-pull-pushes",
     .least = 77,
     .set_up = readable_and_empty,
     .threads = {try_a, push_1_and_2},
     .finish = readable_or_all_three_got,
     .outcomes = {"the pull is early", "it gets a message"}},
    {.name = "fd-pull-delete",
     .least = 3200,
     .set_up = two_slots_with_fd,
     .threads = {try_a, push_1, delete_a},
     .finish = readable_once_closed},
    {0},
};
