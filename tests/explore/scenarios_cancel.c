/* Threads are cancelled while they wait: thread 1, always. */
#include "scenario.h"

static void cancel_1(void)
{
    explore_cancel(1);
}

static void one_full(void)
{
    open_session();
    open_a(1, PUSH_BLOCK);
    CHECK(push_number(1, 0) == 1);
}

static void push_1(void)
{
    x.rc[self->number] = push_number(1, -1);
}

static void push_2(void)
{
    x.rc[self->number] = push_number(2, -1);
}

static void push_3(void)
{
    x.rc[self->number] = push_number(3, -1);
}

static void pull_a(void)
{
    x.rc[self->number] = pull_number(x.a, -1);
}

static void end_of_1(void)
{
    outcome(explore_cancelled(1));
}

/* ---- A pull ---- */

static void got_or_left(void)
{
    end_of_1();
    CHECK(explore_cancelled(1) ? x.got[1].len == 0 : x.rc[1] == 1);
    drain(x.a);
    CHECK(x.rc[2] == 1 && times_got(1) == 1);
}

/* What it gets goes back, so that the other must get it in any case. */
static void pull_and_return(void)
{
    push_msg *msg;
    CHECK(push_client_pull(x.a, &msg, -1) == 0);
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
    CHECK(push_client_send(x.a, msg, -1, NULL) == 1);
    push_msg_unref(msg);
}

static void push_1_and_cancel(void)
{
    push_1();
    cancel_1();
}

static void other_got_it(void)
{
    end_of_1();
    CHECK(x.rc[2] == 1 && times_got(1) == 1);
    CHECK(pull_number(x.a, 0) == -EAGAIN);
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

static void cancelled_or_deleted(void)
{
    end_of_1();
    CHECK(explore_cancelled(1) || x.rc[1] == -EPIPE || x.rc[1] == -ENOENT);
}

/* ---- A rendezvous ---- */

static void no_room(void)
{
    open_session();
    open_a(0, PUSH_BLOCK);
}

static void push_1_timed(void)
{
    x.rc[self->number] = push_number(1, 1000);
}

static void met_or_put_back(void)
{
    end_of_1();
    drain(x.a);
    CHECK(times_got(1) == x.rc[2]);
    CHECK(explore_cancelled(1) || x.got[1].len == (size_t)x.rc[2]);
    CHECK(push_number(2, 0) == 0);
}

static void two_pulls_one_met(void)
{
    end_of_1();
    CHECK(x.rc[2] == 1 && times_got(1) == 1);
}

static void pull_a_timed(void)
{
    x.rc[self->number] = pull_number(x.a, 1000);
}

static void push_1_cancel_push_2(void)
{
    push_1();
    cancel_1();
    if (explore_cancelled(1))
        x.rc[0] = push_number(2, 0);
}

/* What the cancelled one was handed comes first, whoever gets it. */
static void in_order_though_cancelled(void)
{
    end_of_1();
    drain(x.a);
    if (explore_cancelled(1) && x.got[1].len == 0 && x.got[2].len > 0)
        CHECK(x.got[2].list[0] == 1);
    CHECK(times_got(1) == 1 && times_got(2) == x.rc[0]);
}

/* ---- A push ---- */

static void pushed_or_not(void)
{
    end_of_1();
    drain(x.a);
    CHECK(times_got(1) == 1 && times_got(2) <= 1);
    CHECK(explore_cancelled(1) || (x.rc[1] == 1 && times_got(2) == 1));
    CHECK(push_number(9, 0) == 1);
}

static void a_full_b_free(void)
{
    open_session();
    open_a(1, PUSH_BLOCK);
    open_b(2, PUSH_BLOCK);
    CHECK(send_number(x.a, 1, 0) == 1);
}

static void push_copy_2(void)
{
    int number = 2;
    x.rc[self->number] = push_session_push(x.session, &number, sizeof(number));
}

static void b_got_it(void)
{
    end_of_1();
    drain(x.a);
    int by_a = times_got(2);
    CHECK(pull_number(x.b, 0) == 2 && by_a <= 1);
    CHECK(explore_cancelled(1) || (x.rc[1] == 2 && by_a == 1));
}

static void half_full_by_bytes(void)
{
    open_session();
    x.a = join("a", &(push_client_options){.max_buffer = 4, .max_bytes = (size_t)2 * NUMBER_SIZE});
    CHECK(push_number(1, 0) == 1);
}

/* Twice the size: it cannot be taken. */
static void push_big(void)
{
    int big[2] = {2, 0};
    x.rc[self->number] = push_session_push(x.session, big, sizeof(big));
}

static void small_one_moved_up(void)
{
    CHECK(explore_cancelled(1) && x.rc[2] == 1);
    drain(x.a);
    CHECK(times_got(1) == 1 && times_got(2) == 0 && times_got(3) == 1);
}

static void take_over_a(void)
{
    x.b = join("a", &(push_client_options){.max_buffer = 3, .duplicate = PUSH_TAKEOVER});
}

static void take_over_and_pull(void)
{
    take_over_a();
    CHECK(pull_number(x.b, 0) == 1);
}

static void pushed_to_new_or_not(void)
{
    end_of_1();
    drain(x.b);
    CHECK(times_got(1) == 1 && times_got(2) <= 1);
    CHECK(explore_cancelled(1) || times_got(2) == 1);
    CHECK(push_number(9, 0) == 1);
}

/* ---- A poller ---- */

/* The other must be told in any case. */
static void wait_and_wake(void)
{
    wait_in_poller();
    push_poller_wake(x.poller);
}

static void other_was_told(void)
{
    end_of_1();
    CHECK(explore_cancelled(1) ? x.rc[2] == 1 : x.rc[1] == 1);
}

const struct scenario cancel_scenarios[] = {
    {.name = "cancel-pull-push",
     .least = 4400,
     .set_up = two_slots,
     .threads = {pull_a, push_1, cancel_1},
     .finish = got_or_left,
     .outcomes = {"it gets the message", "it is cancelled"}},
    {.name = "cancel-pull-of-two",
     .least = 38000,
     .set_up = two_slots,
     .threads = {pull_and_return, pull_a, push_1_and_cancel},
     .finish = other_got_it,
     .outcomes = {"it gets the message", "it is cancelled"}},
    {.name = "cancel-pull-by-id-delete",
     .least = 1700,
     .set_up = unheld_client,
     .threads = {pull_by_id, delete_by_id, cancel_1},
     .finish = cancelled_or_deleted,
     .outcomes = {"it is deleted", "it is cancelled"}},
    {.name = "cancel-rendezvous-pull",
     .least = 16000,
     .set_up = no_room,
     .threads = {pull_a, push_1_timed, cancel_1},
     .finish = met_or_put_back,
     .outcomes = {"it gets the message", "it is cancelled"}},
    {.name = "cancel-rendezvous-pull-of-two",
     .least = 100000,
     .set_up = no_room,
     .threads = {pull_and_return, pull_a, push_1_and_cancel},
     .finish = two_pulls_one_met,
     .outcomes = {"it gets the message", "it is cancelled"}},
    {.name = "cancel-rendezvous-pull-two-pushes",
     .least = 320000,
     .set_up = no_room,
     .threads = {pull_a, pull_a_timed, push_1_cancel_push_2},
     .finish = in_order_though_cancelled,
     .outcomes = {"it gets the message", "it is cancelled"}},
    {.name = "cancel-blocked-push-pull",
     .least = 2900,
     .set_up = one_full,
     .threads = {push_2, pull_a, cancel_1},
     .finish = pushed_or_not,
     .outcomes = {"it is pushed", "it is cancelled"}},
    {.name = "cancel-blocked-push-of-two",
     .least = 3700,
     .set_up = a_full_b_free,
     .threads = {push_copy_2, pull_a, cancel_1},
     .finish = b_got_it,
     .outcomes = {"it is pushed", "it is cancelled"}},
    {.name = "cancel-blocked-push-moves-up",
     .least = 7400,
     .set_up = half_full_by_bytes,
     .threads = {push_big, push_3, cancel_1},
     .finish = small_one_moved_up},
    {.name = "cancel-blocked-push-takeover",
     .least = 12000,
     .set_up = one_full,
     .threads = {push_2, take_over_and_pull, cancel_1},
     .finish = pushed_to_new_or_not,
     .outcomes = {"it is pushed", "it is cancelled"}},
    {.name = "cancel-poller-wait-of-two",
     .least = 14000,
     .set_up = two_slots_polled,
     .threads = {wait_and_wake, wait_in_poller, push_1_and_cancel},
     .finish = other_was_told,
     .outcomes = {"it is told", "it is cancelled"}},
    {0},
};
