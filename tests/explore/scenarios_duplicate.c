/* A client id that is taken: the old client is replaced, or its mailbox taken over, while others use it. The new
 * client is x.b. */
#include "scenario.h"

static push_client *join_as(push_duplicate duplicate)
{
    return join("a", &(push_client_options){.max_buffer = 3, .duplicate = duplicate});
}

static void replace_a(void)
{
    x.b = join_as(PUSH_REPLACE);
    CHECK(x.b && x.b != x.a);
}

static void take_over_a(void)
{
    x.b = join_as(PUSH_TAKEOVER);
    CHECK(x.b && x.b != x.a);
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

static void push_2_timed(void)
{
    x.rc[self->number] = push_number(2, 1000);
}

static void push_3(void)
{
    x.rc[self->number] = push_number(3, -1);
}

static void pull_a(void)
{
    x.rc[self->number] = pull_number(x.a, -1);
}

static void drain_both(void)
{
    drain(x.a);
    drain(x.b);
}

static push_client_stats stats_of(push_client *c)
{
    push_client_stats stats;
    CHECK(push_client_stat(c, &stats) == 0);
    return stats;
}

/* ---- Under a pull ---- */

static void pulled_or_closed(void)
{
    CHECK(x.rc[1] == 1 || x.rc[1] == -EPIPE);
    CHECK(stats_of(x.a).closed && !stats_of(x.b).closed);
    drain_both();
    CHECK(times_got(1) == x.rc[3]);
    outcome(x.rc[1] == 1);
    CHECK(push_number(2, 0) == 1 && pull_number(x.b, 0) == 2);
}

static void replaced(void)
{
    CHECK(stats_of(x.b).max_buffer == 3);
    pulled_or_closed();
    outcome(x.rc[3] == 0 ? 2 : 3);
}

static void taken_over(void)
{
    CHECK(x.rc[3] == 1 && stats_of(x.b).max_buffer == 2);
    pulled_or_closed();
}

/* ---- Under a blocked push ---- */

static void try_new(void)
{
    take_over_a();
    pull_number(x.b, 0);
}

static void delivered_or_timed_out(void)
{
    CHECK(x.report[1].delivered + x.report[1].timed_out == 1);
    outcome((size_t)x.rc[1]);
    drain_both();
    CHECK(x.got[1].len == 0 && times_got(1) == 1 && times_got(2) == x.rc[1]);
    CHECK(push_number(9, 0) == 1);
}

static void replaced_under_push(void)
{
    CHECK(x.rc[1] == 0 || x.rc[1] == 1);
    outcome((size_t)x.rc[1]);
    drain_both();
    CHECK(times_got(1) == 1 && times_got(2) == x.rc[1]);
}

static void take_over_and_pull_two(void)
{
    take_over_a();
    pull_number(x.b, -1);
    pull_number(x.b, -1);
}

static void all_delivered_or_timed_out(void)
{
    CHECK(x.rc[2] == 1 && (x.rc[1] == 1 || x.report[1].timed_out == 1));
    drain_both();
    CHECK(times_got(1) == 1 && times_got(2) == x.rc[1] && times_got(3) == 1);
    outcome((size_t)x.rc[1]);
}

/* Bytes decide: once the big message gives up, the small one behind it fits. */
static void half_full_by_bytes(void)
{
    open_session();
    x.a = join("a", &(push_client_options){.max_buffer = 4, .max_bytes = (size_t)2 * NUMBER_SIZE});
    CHECK(push_number(1, 0) == 1);
}

static void push_big_2_timed(void)
{
    x.rc[self->number] = push_sized(2, (size_t)2 * NUMBER_SIZE, 1000);
}

static void small_one_moved_up(void)
{
    CHECK(x.rc[1] == 0 && x.rc[2] == 1);
    drain_both();
    CHECK(times_got(1) == 1 && times_got(2) == 0 && times_got(3) == 1);
}

/* ---- Against others who end the old client ---- */

static void delete_a(void)
{
    x.done[self->number] = push_client_delete(x.a);
}

static void delete_a_and_push_2(void)
{
    delete_a();
    x.rc[self->number] = push_number(2, 0);
}

static void new_one_is_not_deleted(void)
{
    drain_both();
    CHECK(times_got(1) == 1 && times_got(2) == x.rc[1]);
    CHECK(!stats_of(x.b).closed && stats_of(x.a).closed);
    outcome(x.done[1]);
}

static void take_over_again(void)
{
    push_client *c = join_as(PUSH_TAKEOVER);
    pull_number(c, 0);
    push_client_unref(c);
}

static void last_one_has_it(void)
{
    push_client *last = push_client_find(x.session, PUSH_ID("a"));
    outcome(last == x.b);
    if (last != x.b)
        drain(last);
    push_client_unref(last);
    drain_both();
    CHECK(x.rc[3] == 1 && times_got(1) == 1 && times_got(2) == 1);
    CHECK(push_session_len(x.session) == 1);
}

static void push_2(void)
{
    x.rc[self->number] = push_number(2, 0);
}

static void three_with_one(void)
{
    open_session();
    open_a(3, PUSH_BLOCK);
    CHECK(push_number(1, 0) == 1);
}

static void put_back(void)
{
    push_msg *msg;
    x.rc[1] = push_client_pull(x.a, &msg, 0);
    if (x.rc[1] < 0)
        return;
    x.rc[1] = push_client_unpull(x.a, msg);
    if (x.rc[1] == -EPIPE) {
        x.got[1].list[x.got[1].len++] = number_of(msg);
        push_msg_unref(msg);
    }
}

static void put_back_or_kept(void)
{
    CHECK(x.rc[1] == 0 || x.rc[1] == -EPIPE);
    outcome(x.rc[1] == 0);
    if (x.got[1].len > 0)
        outcome(2);
    drain_both();
    CHECK(times_got(1) == 1);
}

const struct scenario duplicate_scenarios[] = {
    {.name = "replace-pull-push",
     .least = 15000,
     .set_up = two_slots,
     .threads = {pull_a, replace_a, push_1},
     .finish = replaced,
     .outcomes = {"the pull is closed", "it gets the message", "the push meets the old client just closed",
                  "the push delivers"}},
    {.name = "takeover-pull-push",
     .least = 15000,
     .set_up = two_slots,
     .threads = {pull_a, take_over_a, push_1},
     .finish = taken_over,
     .outcomes = {"the pull is closed", "it gets the message"}},
    {.name = "replace-blocked-push",
     .least = 910,
     .set_up = one_full,
     .threads = {push_2_timed, replace_a},
     .finish = replaced_under_push,
     .outcomes = {"it is closed, or times out", "it goes to the new client"}},
    {.name = "takeover-blocked-push",
     .least = 3400,
     .set_up = one_full,
     .threads = {push_2_timed, try_new},
     .finish = delivered_or_timed_out,
     .outcomes = {"it times out", "it is delivered"}},
    {.name = "takeover-two-blocked-pushes",
     .least = 310000,
     .set_up = one_full,
     .threads = {push_2_timed, push_3, take_over_and_pull_two},
     .finish = all_delivered_or_timed_out,
     .outcomes = {"it times out", "it is delivered"}},
    {.name = "takeover-moves-up",
     .least = 140000,
     .set_up = half_full_by_bytes,
     .threads = {push_big_2_timed, push_3, take_over_a},
     .finish = small_one_moved_up},
    {.name = "takeover-delete",
     .least = 220,
     .set_up = three_with_one,
     .threads = {delete_a_and_push_2, take_over_a},
     .finish = new_one_is_not_deleted,
     .outcomes = {"the take-over is first", "the delete is first"}},
    {.name = "takeover-takeover-push",
     .least = 6900,
     .set_up = three_with_one,
     .threads = {take_over_again, take_over_a, push_2},
     .finish = last_one_has_it,
     .outcomes = {"the one that pulls is last", "the other is last"}},
    {.name = "takeover-unpull",
     .least = 140,
     .set_up = three_with_one,
     .threads = {put_back, take_over_a},
     .finish = put_back_or_kept,
     .outcomes = {"the take-over is first", "it is put back", "it is taken over while pulled"}},
    {0},
};
