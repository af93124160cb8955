/* Between the two steps of a wake-up: a sleeper is chosen, and not told yet. Its deadline, a cancellation or a
 * spurious wake-up brings it back; it may go, or sleep again, before it is told. */
#include "scenario.h"

/* Whoever wakes notes that his call is over, and who sleeps whether it was back before. */
static void has_told(void)
{
    x.done[self->number] = true;
}

static bool is_back_before(int teller)
{
    return !x.done[teller];
}

static void push_1(void)
{
    x.rc[self->number] = push_number(1, -1);
    has_told();
}

static void push_2(void)
{
    x.rc[self->number] = push_number(2, -1);
    has_told();
}

static void pull_a(void)
{
    x.rc[self->number] = pull_number(x.a, -1);
}

static void cancel_1(void)
{
    explore_cancel(1);
}

static void no_room(void)
{
    open_session();
    open_a(0, PUSH_BLOCK);
}

static void one_full(void)
{
    open_session();
    open_a(1, PUSH_BLOCK);
    CHECK(push_number(1, 0) == 1);
}

/* ---- A pull ---- */

static void pull_a_timed(void)
{
    x.rc[1] = pull_number(x.a, 1000);
    x.done[1] = is_back_before(2);
}

static void timed_out_or_got(void)
{
    CHECK(x.rc[1] == 1 || x.rc[1] == -ETIMEDOUT);
    drain(x.a);
    CHECK(x.rc[2] == 1 && times_got(1) == 1);
    if (x.rc[1] < 0)
        outcome(0);
    else if (threads[1].wake == WAKE_TIMEOUT && x.done[1])
        outcome(1);
}

/* The pull that was chosen for 1 may find that it was taken from it, and sleep again; then 2 is for it. */
static void try_a_then_push_2(void)
{
    int rc = pull_number(x.a, 0);
    CHECK(rc == 1 || rc == -EAGAIN);
    push_2();
}

static void slept_again_or_not(void)
{
    outcome(x.got[3].len);
    CHECK(x.rc[1] > 0);
    drain(x.a);
    CHECK(times_got(1) == 1 && times_got(2) == 1);
}

static void pull_a_and_return(void)
{
    push_msg *msg;
    CHECK(push_client_pull(x.a, &msg, -1) == 0);
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
    CHECK(push_client_send(x.a, msg, -1, NULL) == 1);
    push_msg_unref(msg);
}

static void other_got_it(void)
{
    outcome(explore_cancelled(1));
    CHECK(x.rc[2] == 1 && times_got(1) == 1);
    CHECK(pull_number(x.a, 0) == -EAGAIN);
}

static void each_got_one(void)
{
    CHECK(x.got[1].len == 1 && x.got[2].len == 1 && times_got(1) == 1 && times_got(2) == 1);
    outcome((size_t)x.rc[1] - 1);
}

/* The message that one was told of is still there: a new descriptor tells of it once more. */
static void push_open_fd_push(void)
{
    push_1();
    x.fd = push_client_fd(x.a);
    CHECK(x.fd >= 0);
    push_2();
}

/* A push frees what is left of a deleted client, whose message waits in its free function for an answer from the
 * pull that the push has chosen. */
static int freed_number = 9;

static void wait_for_answer(void *data, void *arg)
{
    (void)arg;
    CHECK(data == &freed_number && self->locks == 0);
    push_event event;
    CHECK(push_poller_wait(x.poller, &event, 1, -1) == 0);
    x.done[self->number] = true;
}

static void another_goes(void)
{
    open_session();
    x.poller = push_poller_new();
    push_client_unref(join("another", NULL));
    push_msg *msg = push_msg_wrap(&freed_number, NUMBER_SIZE, wait_for_answer, NULL);
    CHECK(push_session_send(x.session, msg, PUSH_ID_NONE, 0, NULL) == 1);
    push_msg_unref(msg);
    open_a(2, PUSH_BLOCK);
}

static void pull_a_and_answer(void)
{
    pull_a();
    push_poller_wake(x.poller);
}

static void push_1_unnoted(void)
{
    x.rc[self->number] = push_number(1, -1);
}

static void delete_another(void)
{
    CHECK(push_session_delete_client(x.session, PUSH_ID("another")));
}

static void answered(void)
{
    CHECK(x.rc[1] == 1 && x.done[2] + x.done[3] == 1);
    outcome(x.done[2]);
}

/* ---- The client goes ---- */

/* Nobody holds it but the pull by id. */
static void unheld_client(void)
{
    open_session();
    push_client_unref(join("a", NULL));
}

static void pull_by_id(void)
{
    x.rc[self->number] = pull_number_by_id("a", -1);
    x.done[self->number] = is_back_before(2);
}

static void delete_by_id(void)
{
    CHECK(push_session_delete_client(x.session, PUSH_ID("a")));
    has_told();
}

static void gone_or_there(void)
{
    CHECK(x.rc[1] == 1 || x.rc[1] == -EPIPE || x.rc[1] == -ENOENT);
    CHECK(push_session_len(x.session) == 0);
    outcome(x.rc[1] == 1);
    if (x.rc[1] == 1 && x.done[1])
        outcome(2);
}

static void closed_or_unknown(void)
{
    CHECK(x.rc[1] == -EPIPE || x.rc[1] == -ENOENT);
    if (x.rc[1] == -EPIPE)
        outcome(x.done[1]);
}

static void take_over_unheld(void)
{
    x.b = join("a", &(push_client_options){.max_buffer = 3, .duplicate = PUSH_TAKEOVER});
    CHECK(x.b);
    has_told();
    CHECK(push_number(1, 0) == 1);
    CHECK(push_number(2, 0) == 1);
}

/* Those that slept were told that it is closed; those that came later got something from the new one. */
static void both_ended(void)
{
    int closed = 0;
    for (int i = 1; i <= 2; i++) {
        CHECK(x.rc[i] == -EPIPE || x.rc[i] > 0);
        closed += x.rc[i] == -EPIPE;
    }
    drain(x.b);
    CHECK(times_got(1) == 1 && times_got(2) == 1);
    outcome((size_t)closed);
}

static void pull_by_id_of_two(void)
{
    x.rc[self->number] = pull_number_by_id("a", -1);
}

/* ---- A push that waits ---- */

static void push_2_timed(void)
{
    x.rc[1] = push_number(2, 1000);
    x.done[1] = is_back_before(2);
}

static void pull_a_and_tell(void)
{
    pull_a();
    has_told();
}

static void delivered_or_timed_out(void)
{
    CHECK(x.report[1].delivered + x.report[1].timed_out == 1 && x.rc[1] == (int)x.report[1].delivered);
    drain(x.a);
    CHECK(times_got(1) == 1 && times_got(2) == x.rc[1]);
    if (x.rc[1] == 0)
        outcome(0);
    else if (threads[1].wake == WAKE_TIMEOUT && x.done[1])
        outcome(1);
}

static void push_1_timed(void)
{
    x.rc[1] = push_number(1, 1000);
    x.done[1] = is_back_before(2);
}

static void met_or_timed_out(void)
{
    CHECK(x.rc[2] == (x.rc[1] ? 1 : -ETIMEDOUT));
    outcome((size_t)x.rc[1]);
    if (x.rc[1] && x.done[1])
        outcome(2);
}

static void pull_a_timed_and_tell(void)
{
    x.rc[2] = pull_number(x.a, 2000);
    has_told();
}

/* ---- A poller ---- */

static void one_full_not_polled(void)
{
    one_full();
    x.poller = push_poller_new();
}

static void add_a(void)
{
    CHECK(push_poller_add(x.poller, x.a, NULL) == 0);
}

static void told(void)
{
    CHECK(x.rc[1] == 1);
}

static void wait_and_free(void)
{
    wait_in_poller();
    x.done[1] = is_back_before(2);
    push_poller *p = x.poller;
    x.poller = NULL;
    push_poller_free(p);
}

static void wake(void)
{
    push_poller_wake(x.poller);
    has_told();
}

static void told_of_1(void)
{
    CHECK(x.rc[1] == 1 && x.rc[2] == 1);
    CHECK(pull_number(x.a, 0) == 1);
    outcome(x.done[1]);
}

static void woken(void)
{
    CHECK(x.rc[1] == 0);
    outcome(x.done[1]);
}

/* The other must be told in any case. */
static void wait_and_wake(void)
{
    wait_in_poller();
    push_poller_wake(x.poller);
}

static void other_was_told(void)
{
    outcome(explore_cancelled(1));
    CHECK(explore_cancelled(1) ? x.rc[2] == 1 : x.rc[1] == 1);
}

const struct scenario wake_scenarios[] = {
    {.name = "wake-pull-at-its-deadline",
     .least = 1400,
     .set_up = two_slots,
     .threads = {pull_a_timed, push_1},
     .finish = timed_out_or_got,
     .outcomes = {"it times out", "it is back, with the message, before it is told"}},
    {.name = "wake-pull-sleeps-again",
     .least = 22000,
     .set_up = two_slots,
     .threads = {pull_a, push_1, try_a_then_push_2},
     .finish = slept_again_or_not,
     .outcomes = {"nothing is taken from it", "1 is taken from it"}},
    {.name = "wake-pull-cancelled",
     .least = 370000,
     .set_up = two_slots,
     .threads = {pull_a_and_return, pull_a, push_1, cancel_1},
     .finish = other_got_it,
     .outcomes = {"it gets the message", "it is cancelled"}},
    {.name = "wake-two-pulls-two-pushes",
     .least = 17000,
     .set_up = two_slots,
     .threads = {pull_a, pull_a, push_1, push_2},
     .finish = each_got_one,
     .outcomes = {"1 goes to one", "1 goes to the other"},
     .fewer_preemptions = 1},
    {.name = "wake-two-pulls-new-descriptor",
     .least = 67000,
     .set_up = two_slots,
     .threads = {pull_a, pull_a, push_open_fd_push},
     .finish = each_got_one,
     .outcomes = {"1 goes to one", "1 goes to the other"}},
    {.name = "wake-pull-before-freeing",
     .least = 48000,
     .set_up = another_goes,
     .threads = {pull_a_and_answer, push_1_unnoted, delete_another},
     .finish = answered,
     .outcomes = {"the delete frees it", "the push frees it"}},
    {.name = "wake-pull-client-goes",
     .least = 16000,
     .set_up = unheld_client,
     .threads = {pull_by_id, push_1, delete_by_id},
     .finish = gone_or_there,
     .outcomes = {"it is deleted first", "the message comes first", "it is back before it is told"}},
    {.name = "wake-pull-by-delete",
     .least = 230,
     .set_up = unheld_client,
     .threads = {pull_by_id, delete_by_id},
     .finish = closed_or_unknown,
     .outcomes = {"it is told", "it is back, and the client gone, before it is told"}},
    {.name = "wake-pulls-by-takeover",
     .least = 120000,
     .set_up = unheld_client,
     .threads = {pull_by_id_of_two, pull_by_id_of_two, take_over_unheld},
     .finish = both_ended,
     .outcomes = {"both come later", "one sleeps", "both sleep"}},
    {.name = "wake-blocked-push-at-its-deadline",
     .least = 550,
     .set_up = one_full,
     .threads = {push_2_timed, pull_a_and_tell},
     .finish = delivered_or_timed_out,
     .outcomes = {"it times out", "it is back, delivered, before it is told"}},
    {.name = "wake-rendezvous-at-the-deadline",
     .least = 3300,
     .set_up = no_room,
     .threads = {push_1_timed, pull_a_timed_and_tell},
     .finish = met_or_timed_out,
     .outcomes = {"it times out", "they meet", "it is back before it is told"}},
    {.name = "wake-poller-wait-add",
     .least = 98,
     .set_up = one_full_not_polled,
     .threads = {wait_in_poller, add_a},
     .finish = told},
    {.name = "wake-poller-wait-and-free-push",
     .least = 430,
     .set_up = two_slots_polled,
     .threads = {wait_and_free, push_1},
     .finish = told_of_1,
     .outcomes = {"it is told", "it is back, and the poller freed, before it is told"}},
    {.name = "wake-poller-wait-and-free",
     .least = 31,
     .set_up = two_slots_polled,
     .threads = {wait_and_free, wake},
     .finish = woken,
     .outcomes = {"it is told", "it is back, and the poller freed, before it is told"}},
    {.name = "wake-poller-wait-cancelled",
     .least = 190000,
     .set_up = two_slots_polled,
     .threads = {wait_and_wake, wait_in_poller, push_1, cancel_1},
     .finish = other_was_told,
     .outcomes = {"it is told", "it is cancelled"}},
    {0},
};
