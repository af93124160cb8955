/* Pushes to plain mailboxes. */
#include "scenario.h"

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

static void push_2_timed(void)
{
    x.rc[self->number] = push_number(2, 1000);
}

static void push_2_and_3(void)
{
    push_2();
    push_3();
}

static void pull_a(void)
{
    pull_number(x.a, -1);
}

static void pull_a_twice(void)
{
    pull_a();
    pull_a();
}

/* A mailbox for one message, with message 1 in it. */
static void one_full(void)
{
    open_session();
    open_a(1, PUSH_BLOCK);
    CHECK(push_number(1, 0) == 1);
}

/* ---- A push meets a pull ---- */

static void got_1(void)
{
    CHECK(x.rc[1] == 1 && times_got(1) == 1);
}

static void got_1_then_2(void)
{
    CHECK(x.rc[1] == 1);
    CHECK(all_got() == 2 && times_got(1) == 1 && times_got(2) == 1 && got_in_order(2));
}

/* ---- Several pushes wait at one mailbox ---- */

static void pull_a_four_times(void)
{
    pull_a_twice();
    pull_a_twice();
}

static void push_4(void)
{
    x.rc[self->number] = push_number(4, -1);
}

static void got_1_to_4(void)
{
    CHECK(x.rc[1] == 1 && x.rc[2] == 1 && all_got() == 4);
    size_t at[5] = {0};
    for (size_t i = 0; i < 4; i++)
        at[x.got[3].list[i]] = i + 1;
    CHECK(at[1] == 1 && at[2] > 0 && at[2] < at[3] && at[4] > 0);
    if (at[4] < at[2])
        outcome(0);
    if (at[4] > at[3])
        outcome(1);
}

static void try_push_3(void)
{
    x.rc[self->number] = push_number(3, 0);
}

/* Whatever was delivered is pulled, by the threads or now. */
static void delivered_is_got(void)
{
    drain(x.a);
    CHECK(times_got(1) == 1);
    CHECK(times_got(2) == (x.rc[1] > 0 ? x.rc[1] : 0));
    CHECK(times_got(3) == (x.rc[2] > 0 ? x.rc[2] : 0));
}

static void try_delivered_is_got(void)
{
    CHECK(x.rc[1] == 1);
    CHECK(x.report[2].timed_out == (size_t)(1 - x.rc[2]));
    outcome((size_t)x.rc[2]);
    delivered_is_got();
}

/* ---- A push that waits, and what ends the wait ---- */

static void delete_a(void)
{
    CHECK(push_client_delete(x.a));
    x.done[self->number] = true;
}

static void delete_session(void)
{
    CHECK(push_session_delete(PUSH_ID("session")));
}

static void a_is_closed(void)
{
    drain(x.a);
    CHECK(pull_number(x.a, -1) == -EPIPE);
    CHECK(send_number(x.a, 9, 0) == -EPIPE);
}

static void delivered_or_client_deleted(void)
{
    CHECK(x.rc[1] == 0 || x.rc[1] == 1);
    outcome((size_t)x.rc[1]);
    delivered_is_got();
    a_is_closed();
    CHECK(push_number(9, -1) == 0);
}

static void delivered_or_session_deleted(void)
{
    CHECK(x.rc[1] == -EPIPE || x.rc[1] == 1);
    outcome(x.rc[1] == 1);
    delivered_is_got();
    a_is_closed();
    CHECK(push_number(9, -1) == -EPIPE);
}

static void send_2_to_a(void)
{
    x.rc[self->number] = send_number(x.a, 2, -1);
}

static void sent_or_client_deleted(void)
{
    CHECK(x.rc[1] == -EPIPE || x.rc[1] == 1);
    outcome(x.rc[1] == 1);
    delivered_is_got();
    a_is_closed();
}

static void delivered_or_timed_out(void)
{
    CHECK(x.report[1].delivered + x.report[1].timed_out == 1 && x.rc[1] == (int)x.report[1].delivered);
    outcome((size_t)x.rc[1]);
    delivered_is_got();
    CHECK(push_number(9, 0) == 1);
}

/* ---- A push that gives up lets a smaller one behind it in ---- */

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

static void big_one_timed_out(void)
{
    CHECK(x.rc[1] == 0 && x.report[1].timed_out == 1);
    CHECK(x.rc[2] == 1);
    delivered_is_got();
}

/* ---- Two clients ---- */

static void two_singles(void)
{
    open_session();
    open_a(1, PUSH_BLOCK);
    open_b(1, PUSH_BLOCK);
}

static void pull_a_b_a_b(void)
{
    for (int i = 0; i < 2; i++) {
        pull_number(x.a, -1);
        pull_number(x.b, -1);
    }
}

static void same_order(void)
{
    const int *got = x.got[3].list;
    CHECK(x.rc[1] == 2 && x.rc[2] == 2 && all_got() == 4);
    CHECK(times_got(1) == 2 && times_got(2) == 2);
    CHECK(got[0] == got[1] && got[2] == got[3]);
    outcome((size_t)got[0] - 1);
}

static void a_full_b_free(void)
{
    two_singles();
    CHECK(send_number(x.a, 1, 0) == 1);
}

static void pull_b_then_a(void)
{
    CHECK(pull_number(x.b, -1) == 2);
    CHECK(pull_number(x.a, -1) == 1);
    CHECK(pull_number(x.a, -1) == 2);
}

static void both_delivered(void)
{
    CHECK(x.rc[1] == 2);
}

/* A small message fits where a big one waits, and must not overtake it. */
static void half_full_by_bytes_and_b(void)
{
    half_full_by_bytes();
    open_b(4, PUSH_BLOCK);
}

static void push_big_2(void)
{
    x.rc[self->number] = push_sized(2, (size_t)2 * NUMBER_SIZE, -1);
}

static void pull_a_three_times(void)
{
    pull_a_twice();
    pull_a();
}

static void b_has_same_order(void)
{
    const int *got = x.got[3].list;
    CHECK(x.rc[1] == 2 && x.rc[2] == 2 && x.got[3].len == 3 && got[0] == 1);
    drain(x.b);
    CHECK(x.got[0].len == 2 && x.got[0].list[0] == got[1] && x.got[0].list[1] == got[2]);
    outcome(got[1] == 3);
}

/* ---- Policies that do not wait ---- */

static void dropping_oldest(void)
{
    open_session();
    open_a(1, PUSH_DROP_OLDEST);
    CHECK(push_number(1, 0) == 1);
}

static void dropping_newest(void)
{
    open_session();
    open_a(1, PUSH_DROP_NEWEST);
    CHECK(push_number(1, 0) == 1);
}

static void pull_a_then_try(void)
{
    pull_a();
    pull_number(x.a, 0);
}

/* Numbers 1 to `last` were pushed to a: each was got or lost, and the gaps were told of where they were. */
static void got_or_lost(int last)
{
    int at = 0;
    for (int t = MAX_THREADS; t >= 0; t--) {
        for (size_t i = 0; i < x.got[t].len; i++) {
            CHECK(x.got[t].list[i] > at);
            at = x.got[t].list[i];
        }
    }
    int lost = x.lost[0] + x.lost[2];
    push_client_stats stats;
    CHECK(push_client_stat(x.a, &stats) == 0);
    CHECK((int)all_got() + lost == last && stats.dropped == (uint64_t)lost);
    CHECK(stats.pulled == all_got() && stats.queued == 0);
    outcome((size_t)lost);
}

static void oldest_lost(void)
{
    drain(x.a);
    CHECK(times_got(3) == 1);
    got_or_lost(3);
}

static void newest_lost(void)
{
    drain(x.a);
    CHECK(times_got(1) == 1);
    CHECK(push_number(4, 0) == 1);
    drain(x.a);
    got_or_lost(4);
}

static void disconnecting_a(void)
{
    open_session();
    open_a(1, PUSH_DISCONNECT);
    open_b(4, PUSH_BLOCK);
    CHECK(push_number(1, 0) == 2);
}

/* Message 3 must not follow a lost 2. */
static void pull_a_to_the_end(void)
{
    while (pull_number(x.a, 0) > 0)
        continue;
}

static void disconnected_at_the_gap(void)
{
    drain(x.b);
    bool gone = x.report[1].disconnected > 0;
    drain(x.a);
    int got_by_a[4] = {0};
    for (int n = 1; n <= 3; n++)
        got_by_a[n] = times_got(n) - 1;
    CHECK(got_by_a[1] == 1 && got_by_a[2] >= got_by_a[3]);
    CHECK(push_session_len(x.session) == (gone || !got_by_a[3] ? 1 : 2));
    outcome((size_t)(got_by_a[2] + got_by_a[3]));
}

static void delete_a_by_handle(void)
{
    x.done[self->number] = push_client_delete(x.a);
}

static void delete_a_by_id(void)
{
    x.done[self->number] = push_session_delete_client(x.session, PUSH_ID("a"));
}

/* Disconnecting is deleting: one of the three has done it. */
static void deleted_once(void)
{
    size_t deletes = (size_t)x.done[2] + (size_t)x.done[3];
    CHECK(x.report[1].disconnected + deletes == 1);
    CHECK(push_session_len(x.session) == 1);
    outcome(deletes);
}

static bool is_closed(push_client *c)
{
    push_client_stats stats;
    CHECK(push_client_stat(c, &stats) == 0);
    return stats.closed;
}

static void join_a_again(void)
{
    bool closed = is_closed(x.a);
    push_client *c = join("a", &(push_client_options){.max_buffer = 4, .duplicate = PUSH_REFUSE});
    CHECK(c || (errno == EEXIST && !closed));
    x.done[self->number] = c != NULL;
    if (c) {
        CHECK(c != x.a);
        pull_number(c, 0);
    }
    push_client_unref(c);
}

static void share_a(void)
{
    bool closed = is_closed(x.a);
    push_client *c = join("a", NULL);
    CHECK(c && (c != x.a || !closed));
    x.done[self->number] = c != x.a;
    push_client_unref(c);
}

static void joined_once_disconnected(void)
{
    CHECK(x.rc[1] == 1 + (x.report[1].disconnected == 0));
    CHECK(push_session_len(x.session) == (x.report[1].disconnected == 0 || x.done[3] ? 2 : 1));
    outcome(x.done[3]);
    if (x.report[1].disconnected == 0)
        outcome(2);
}

static void shared_until_disconnected(void)
{
    CHECK(x.rc[1] == 1 && x.report[1].disconnected == 1);
    CHECK(push_session_len(x.session) == 1 + (size_t)x.done[2]);
    outcome(x.done[2]);
}

/* ---- Nobody holds the client that a push waits at, and gives up ---- */

static void full_and_unheld(void)
{
    open_session();
    push_client *a = join("a", &(push_client_options){.max_buffer = 1});
    CHECK(push_number(1, 0) == 1);
    push_client_unref(a);
}

static void gave_up_or_closed(void)
{
    CHECK(x.rc[1] == 0 && x.done[2]);
    CHECK(push_session_len(x.session) == 0);
    outcome(x.report[1].timed_out);
}

/* ---- Growing ---- */

static void four_of_eight(void)
{
    open_session();
    open_a(8, PUSH_BLOCK);
    for (int n = 1; n <= 4; n++)
        CHECK(push_number(n, 0) == 1);
}

static void push_5_and_6(void)
{
    CHECK(push_number(5, 0) == 1);
    CHECK(push_number(6, 0) == 1);
}

static void got_1_to_6(void)
{
    drain(x.a);
    CHECK(all_got() == 6 && x.got[2].len == 3);
    for (int n = 1; n <= 6; n++)
        CHECK(x.got[n <= 3 ? 2 : 0].list[(n - 1) % 3] == n);
}

/* ---- Looking on ---- */

static void look_at_a(void)
{
    push_client_stats stats;
    CHECK(push_client_stat(x.a, &stats) == 0);
    CHECK(stats.pushed == stats.queued + stats.pulled);
    CHECK(stats.queued <= stats.max_buffer && stats.high_water <= stats.max_buffer);
    CHECK(stats.queued_bytes == stats.queued * NUMBER_SIZE);
    outcome(stats.pushed > 0);
}

/* ---- What frees a message holds no lock, and may use the library ---- */

static int freed_number = 1;

static void on_free(void *data, void *arg)
{
    (void)arg;
    CHECK(self->locks == 0);
    CHECK(data == &freed_number);
    CHECK(!x.done[0]);
    x.done[0] = true;
    CHECK(push_session_len(x.session) <= 1);
    push_client_unref(push_client_find(x.session, PUSH_ID("a")));
}

static void full_of_wrapped(void)
{
    open_session();
    open_a(1, PUSH_DROP_OLDEST);
    push_msg *msg = push_msg_wrap(&freed_number, NUMBER_SIZE, on_free, NULL);
    CHECK(push_session_send(x.session, msg, PUSH_ID_NONE, 0, NULL) == 1);
    push_msg_unref(msg);
}

static void pushed_over_it(void)
{
    drain(x.a);
    CHECK(x.done[0] && x.rc[1] == 1 && times_got(2) == 1);
    outcome(times_got(1) == 1);
}

/* ---- A deleted client that nobody holds goes at once: the session keeps nothing of it for its pushes ---- */

static void unheld_with_wrapped(void)
{
    open_session();
    push_client_unref(join("a", NULL));
    push_msg *msg = push_msg_wrap(&freed_number, NUMBER_SIZE, on_free, NULL);
    CHECK(push_session_send(x.session, msg, PUSH_ID_NONE, 0, NULL) == 1);
    push_msg_unref(msg);
}

static void delete_by_id(void)
{
    CHECK(push_session_delete_client(x.session, PUSH_ID("a")));
}

static void gone_at_once(void)
{
    CHECK(x.done[0]);
    outcome((size_t)x.rc[1]);
}

const struct scenario push_scenarios[] = {
    {.name = "push-pull-empty", .least = 420, .set_up = two_slots, .threads = {push_1, pull_a}, .finish = got_1},
    {.name = "push-pull-full",
     .least = 550,
     .set_up = one_full,
     .threads = {push_2, pull_a_twice},
     .finish = got_1_then_2},
    {.name = "push-push-pull-full",
     .least = 400000,
     .set_up = one_full,
     .threads = {push_2_and_3, push_4, pull_a_four_times},
     .finish = got_1_to_4,
     .outcomes = {"4 comes first", "4 comes last"}},
    {.name = "blocked-push-and-try",
     .least = 23000,
     .set_up = one_full,
     .threads = {push_2, try_push_3, pull_a_twice},
     .finish = try_delivered_is_got,
     .outcomes = {"the try fails", "the try succeeds"}},
    {.name = "blocked-push-delete-client",
     .least = 9300,
     .set_up = one_full,
     .threads = {push_2, pull_a, delete_a},
     .finish = delivered_or_client_deleted,
     .outcomes = {"the client is deleted first", "the message is delivered first"}},
    {.name = "blocked-push-delete-session",
     .least = 8700,
     .set_up = one_full,
     .threads = {push_2, pull_a, delete_session},
     .finish = delivered_or_session_deleted,
     .outcomes = {"the session is deleted first", "the message is delivered first"}},
    {.name = "blocked-send-delete-client",
     .least = 9400,
     .set_up = one_full,
     .threads = {send_2_to_a, pull_a, delete_a},
     .finish = sent_or_client_deleted,
     .outcomes = {"the client is deleted first", "the message is delivered first"}},
    {.name = "blocked-push-timeout-pull",
     .least = 570,
     .set_up = one_full,
     .threads = {push_2_timed, pull_a},
     .finish = delivered_or_timed_out,
     .outcomes = {"it times out", "it is delivered"}},
    {.name = "blocked-push-timeout-push-pull",
     .least = 120000,
     .set_up = one_full,
     .threads = {push_2_timed, push_3, pull_a_twice},
     .finish = delivered_is_got},
    {.name = "blocked-push-timeout-moves-up",
     .least = 2300,
     .set_up = half_full_by_bytes,
     .threads = {push_big_2_timed, push_3},
     .finish = big_one_timed_out},
    {.name = "fan-out-one-order",
     .least = 78000,
     .set_up = two_singles,
     .threads = {push_1, push_2, pull_a_b_a_b},
     .finish = same_order,
     .outcomes = {"1 comes first", "2 comes first"}},
    {.name = "fan-out-one-order-bytes",
     .least = 170000,
     .set_up = half_full_by_bytes_and_b,
     .threads = {push_big_2, push_3, pull_a_three_times},
     .finish = b_has_same_order,
     .outcomes = {"the big one comes first", "the small one comes first"}},
    {.name = "fan-out-full-delays-nobody",
     .least = 2400,
     .set_up = a_full_b_free,
     .threads = {push_2, pull_b_then_a},
     .finish = both_delivered},
    {.name = "drop-oldest-pull",
     .least = 230,
     .set_up = dropping_oldest,
     .threads = {push_2_and_3, pull_a_then_try},
     .finish = oldest_lost,
     .outcomes = {"nothing is lost", "one is lost", "two are lost"}},
    {.name = "drop-newest-pull",
     .least = 160,
     .set_up = dropping_newest,
     .threads = {push_2_and_3, pull_a_then_try},
     .finish = newest_lost,
     .outcomes = {"nothing is lost", "one is lost", "two are lost"}},
    {.name = "disconnect-pull",
     .least = 340,
     .set_up = disconnecting_a,
     .threads = {push_2_and_3, pull_a_to_the_end},
     .finish = disconnected_at_the_gap,
     .outcomes = {"2 is lost", "3 is lost", "nothing is lost"}},
    {.name = "disconnect-delete-delete",
     .least = 11000,
     .set_up = disconnecting_a,
     .threads = {push_2, delete_a_by_handle, delete_a_by_id},
     .finish = deleted_once,
     .outcomes = {"the push deletes it", "a delete does"}},
    {.name = "disconnect-join",
     .least = 5000,
     .set_up = disconnecting_a,
     .threads = {push_2, pull_a, join_a_again},
     .finish = joined_once_disconnected,
     .outcomes = {"it joins too early", "it joins", "a is not disconnected"}},
    {.name = "disconnect-share",
     .least = 420,
     .set_up = disconnecting_a,
     .threads = {push_2, share_a},
     .finish = shared_until_disconnected,
     .outcomes = {"it is shared, and then disconnected", "it is disconnected, and made anew"}},
    {.name = "blocked-push-timeout-delete-unheld",
     .least = 1100,
     .set_up = full_and_unheld,
     .threads = {push_2_timed, delete_a_by_id},
     .finish = gave_up_or_closed,
     .outcomes = {"the client was deleted first", "the push gave up first"}},
    {.name = "grow-pull",
     .least = 190,
     .set_up = four_of_eight,
     .threads = {push_5_and_6, pull_a_three_times},
     .finish = got_1_to_6},
    {.name = "stat-push-pull",
     .least = 9000,
     .set_up = two_slots,
     .threads = {push_1, pull_a, look_at_a},
     .finish = got_1,
     .outcomes = {"nothing came yet", "something came"}},
    {.name = "free-without-locks",
     .least = 100,
     .set_up = full_of_wrapped,
     .threads = {push_2, pull_a},
     .finish = pushed_over_it,
     .outcomes = {"the message is evicted", "the message is pulled"}},
    {.name = "deleted-client-goes-at-once",
     .least = 120,
     .set_up = unheld_with_wrapped,
     .threads = {push_2, delete_by_id},
     .finish = gone_at_once,
     .outcomes = {"it is deleted first", "it is pushed to first"}},
    {0},
};
