/* Mailboxes without room: a push completes when a pull takes the message. */
#include "scenario.h"

static void no_room(void)
{
    open_session();
    open_a(0, PUSH_BLOCK);
}

static void pull_a(void)
{
    x.rc[self->number] = pull_number(x.a, -1);
}

static void push_1(void)
{
    x.rc[self->number] = push_number(1, -1);
}

static void push_2(void)
{
    x.rc[self->number] = push_number(2, -1);
}

/* What was delivered is what was pulled by now: nothing is left in the mailbox. */
static void all_met(int delivered)
{
    CHECK((int)all_got() == delivered);
    push_client_stats stats;
    CHECK(push_client_stat(x.a, &stats) == 0);
    CHECK(stats.queued == 0 && stats.pushed == (uint64_t)delivered && stats.pulled == (uint64_t)delivered);
    drain(x.a);
    CHECK((int)all_got() == delivered);
}

/* ---- One push, one pull ---- */

static void try_then_push_1(void)
{
    x.rc[1] = push_number(1, 0);
    outcome((size_t)x.rc[1]);
    if (x.rc[1] == 0)
        push_1();
}

static void met(void)
{
    CHECK(x.rc[1] == 1 && x.rc[2] == 1);
    all_met(1);
}

static void push_1_timed(void)
{
    x.rc[self->number] = push_number(1, 1000);
}

static void push_2_timed(void)
{
    x.rc[self->number] = push_number(2, 1000);
}

static void pull_a_timed(void)
{
    x.rc[self->number] = pull_number(x.a, 1000);
}

static void met_or_not(void)
{
    CHECK(x.rc[1] == 1 || (x.rc[1] == 0 && x.report[1].timed_out == 1));
    CHECK(x.rc[2] == (x.rc[1] ? 1 : -ETIMEDOUT));
    outcome((size_t)x.rc[1]);
    all_met(x.rc[1]);
}

/* What was delivered is with the pull that waited: not there for another. */
static void push_1_then_look(void)
{
    push_1();
    CHECK(pull_number(x.a, 0) == -EAGAIN);
}

/* ---- More of them ---- */

static void one_of_two_met(void)
{
    CHECK(x.rc[3] > 0);
    CHECK(x.rc[1] + x.rc[2] == 1);
    outcome((size_t)x.rc[3] - 1);
    all_met(1);
}

static void push_1_and_2(void)
{
    push_1();
    push_2();
}

static void each_got_one(void)
{
    CHECK(x.got[2].len == 1 && x.got[3].len == 1 && times_got(1) == 1 && times_got(2) == 1);
    outcome((size_t)x.rc[2] - 1);
    all_met(2);
}

static void push_1_timed_try_2(void)
{
    x.rc[1] = push_number(1, 1000) + push_number(2, 0);
}

static void pull_two_from_a(void)
{
    push_msg *msgs[2];
    x.rc[self->number] = push_client_pull_many(x.a, msgs, 2, NULL, -1);
    for (int i = 0; i < x.rc[self->number]; i++) {
        x.got[self->number].list[x.got[self->number].len++] = number_of(msgs[i]);
        push_msg_unref(msgs[i]);
    }
}

static void pulled_what_was_delivered(void)
{
    CHECK(x.rc[1] + x.rc[2] == x.rc[3]);
    outcome((size_t)x.rc[3] - 1);
    all_met(x.rc[3]);
}

static void two_pulls_may_miss(void)
{
    all_met(x.rc[1]);
    outcome((size_t)x.rc[1]);
}

static void two_without_room(void)
{
    no_room();
    open_b(0, PUSH_BLOCK);
}

static void pull_b(void)
{
    x.rc[self->number] = pull_number(x.b, -1);
}

static void both_met(void)
{
    CHECK(x.rc[1] == 2 && x.rc[2] == 1 && x.rc[3] == 1);
}

/* ---- What else ends the wait ---- */

static void delete_a(void)
{
    push_client_delete(x.a);
}

static void met_or_deleted(void)
{
    CHECK(x.rc[1] == 1 ? x.rc[2] == 1 : x.rc[1] == 0 && x.rc[2] == -EPIPE);
    outcome((size_t)x.rc[1]);
    all_met(x.rc[1]);
}

static void try_1(void)
{
    x.rc[self->number] = push_number(1, 0);
}

static void take_over_a(void)
{
    x.b = join("a", &(push_client_options){.duplicate = PUSH_TAKEOVER});
    CHECK(x.b && x.b != x.a);
}

/* What the old handle's pull was handed has been pulled, or goes with the mailbox. */
static void met_or_taken_over(void)
{
    CHECK(x.rc[2] == 1 || x.rc[2] == -EPIPE);
    CHECK(x.rc[2] == -EPIPE || x.rc[1] == 1);
    outcome(x.rc[2] == 1 ? 0 : x.rc[1] == 1 ? 1 : 2);
    drain(x.b);
    CHECK(times_got(1) == x.rc[1]);
}

/* ---- A push that waits is something to pull ---- */

static void no_room_polled(void)
{
    no_room();
    x.poller = push_poller_new();
    CHECK(push_poller_add(x.poller, x.a, NULL) == 0);
    x.fd = push_client_fd(x.a);
}

static void poll_then_pull(void)
{
    push_event event;
    CHECK(push_poller_wait(x.poller, &event, 1, -1) == 1 && event.client == x.a);
    CHECK(explore_readable(x.fd));
    x.rc[2] = pull_number(x.a, 0);
}

const struct scenario rendezvous_scenarios[] = {
    {.name = "rendezvous-try-waiting-pull",
     .least = 1100,
     .set_up = no_room,
     .threads = {try_then_push_1, pull_a},
     .finish = met,
     .outcomes = {"nobody waits yet", "the pull waits already"}},
    {.name = "rendezvous-look-behind",
     .least = 980,
     .set_up = no_room,
     .threads = {push_1_then_look, pull_a},
     .finish = met},
    {.name = "rendezvous-takeover",
     .least = 23000,
     .set_up = no_room,
     .threads = {try_1, pull_a, take_over_a},
     .finish = met_or_taken_over,
     .outcomes = {"they meet", "the message goes with the mailbox", "nobody waits"}},
    {.name = "rendezvous-timed",
     .least = 2700,
     .set_up = no_room,
     .threads = {push_1_timed, pull_a_timed},
     .finish = met_or_not,
     .outcomes = {"both time out", "they meet"}},
    {.name = "rendezvous-two-pushes",
     .least = 240000,
     .set_up = no_room,
     .threads = {push_1_timed, push_2_timed, pull_a},
     .finish = one_of_two_met,
     .outcomes = {"1 is taken", "2 is taken"}},
    {.name = "rendezvous-two-pulls",
     .least = 130000,
     .set_up = no_room,
     .threads = {push_1_and_2, pull_a, pull_a},
     .finish = each_got_one,
     .outcomes = {"1 goes to one", "1 goes to the other"}},
    {.name = "rendezvous-two-timed-pulls",
     .least = 380000,
     .set_up = no_room,
     .threads = {push_1_timed_try_2, pull_a_timed, pull_a_timed},
     .finish = two_pulls_may_miss,
     .outcomes = {"none meet", "one meets", "both meet"}},
    {.name = "rendezvous-batch",
     .least = 260000,
     .set_up = no_room,
     .threads = {push_1_timed, push_2_timed, pull_two_from_a},
     .finish = pulled_what_was_delivered,
     .outcomes = {"one is taken", "both are taken"}},
    {.name = "rendezvous-two-clients",
     .least = 130000,
     .set_up = two_without_room,
     .threads = {push_1, pull_a, pull_b},
     .finish = both_met},
    {.name = "rendezvous-delete",
     .least = 31000,
     .set_up = no_room,
     .threads = {push_1, pull_a, delete_a},
     .finish = met_or_deleted,
     .outcomes = {"the client is deleted first", "they meet"}},
    {.name = "rendezvous-poller",
     .least = 1100,
     .set_up = no_room_polled,
     .threads = {push_1, poll_then_pull},
     .finish = met},
    {0},
};
