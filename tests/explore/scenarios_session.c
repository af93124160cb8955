/* Sessions and their clients come and go. */
#include "scenario.h"

static void unref_all(void)
{
    for (int t = 0; t <= MAX_THREADS; t++) {
        push_client_unref(x.opened[t]);
        push_session_unref(x.sessions[t]);
    }
}

static bool is_live(push_session *s)
{
    push_session *found = push_session_find(push_session_id(s));
    push_session_unref(found);
    return found == s;
}

/* ---- A session without clients is deleted while a client joins ---- */

static void empty_session(void)
{
    open_session();
}

static void new_with_client(void)
{
    x.sessions[self->number] = push_session_new(PUSH_ID("session"), PUSH_ID("a"), 4);
    CHECK(x.sessions[self->number]);
}

static void delete_if_empty(void)
{
    x.done[self->number] = push_session_delete_if_empty(PUSH_ID("session"));
}

static void client_is_in_a_live_session(void)
{
    push_session *s = x.sessions[1];
    CHECK(is_live(s) && push_session_len(s) == 1 && (s != x.session) == x.done[2]);
    outcome(x.done[2]);
    unref_all();
}

static void join_b(void)
{
    x.opened[self->number] = join("b", NULL);
    CHECK(x.opened[self->number] || errno == EPIPE);
}

static void joined_or_empty(void)
{
    CHECK(x.done[2] == (x.opened[1] == NULL) && is_live(x.session) == !x.done[2]);
    outcome(x.done[2]);
    unref_all();
}

/* ---- Transient sessions ---- */

static push_client *open_transient(const char *client)
{
    push_client *c = push_client_open(PUSH_ID("transient"), PUSH_ID(client), NULL);
    CHECK(c);
    return c;
}

static void transient(void)
{
    x.a = open_transient("a");
}

static void delete_a(void)
{
    x.done[self->number] = push_client_delete(x.a);
}

static void open_client_b(void)
{
    x.opened[self->number] = open_transient("b");
}

static void b_is_in_a_live_session(void)
{
    push_session *s = push_client_session(x.opened[2]);
    CHECK(x.done[1] && is_live(s) && push_session_len(s) == 1);
    outcome(s != push_client_session(x.a));
    CHECK(push_client_delete(x.opened[2]) && !is_live(s) && !push_session_exists(PUSH_ID("transient")));
    unref_all();
}

static void name_it(void)
{
    x.sessions[self->number] = push_session_new(PUSH_ID("transient"), PUSH_ID_NONE, 0);
}

static void named_one_is_live(void)
{
    CHECK(is_live(x.sessions[2]) && push_session_len(x.sessions[2]) == 0);
    outcome(x.sessions[2] != push_client_session(x.a));
    unref_all();
}

static void name_it_with_client(void)
{
    x.sessions[self->number] = push_session_new(PUSH_ID("transient"), PUSH_ID("b"), 4);
}

static void named_one_has_b(void)
{
    CHECK(is_live(x.sessions[2]) && push_session_len(x.sessions[2]) == 1);
    outcome(x.sessions[2] != push_client_session(x.a));
    unref_all();
}

static void blocked_transient(void)
{
    transient();
    x.session = push_session_ref(push_client_session(x.a));
    for (int n = 1; n <= 10; n++) {
        push_msg *msg = message(n, NUMBER_SIZE);
        CHECK(push_client_send(x.a, msg, 0, NULL) == 1);
        push_msg_unref(msg);
    }
}

static void push_11(void)
{
    x.rc[self->number] = push_number(11, -1);
}

static void pushed_to_nobody(void)
{
    CHECK(x.rc[1] == -EPIPE && x.done[2] && !is_live(x.session));
}

/* ---- Creating the same twice ---- */

static void no_session(void) {}

static void one_session_one_client(void)
{
    CHECK(x.sessions[1] == x.sessions[2] && is_live(x.sessions[1]) && push_session_len(x.sessions[1]) == 1);
    unref_all();
}

static void open_a_transient(void)
{
    x.opened[self->number] = open_transient("a");
}

static void both_share(void)
{
    CHECK(x.opened[1] == x.opened[2]);
    unref_all();
}

/* ---- A session is deleted ---- */

static void delete_session(void)
{
    x.done[self->number] = push_session_delete(PUSH_ID("session"));
}

static void joined_and_closed(void)
{
    CHECK(x.done[2] && !is_live(x.session) && push_session_len(x.session) == 0);
    outcome(x.opened[1] != NULL);
    if (x.opened[1])
        CHECK(pull_number(x.opened[1], -1) == -EPIPE);
    unref_all();
}

static void session_with_a(void)
{
    open_session();
    open_a(2, PUSH_BLOCK);
}

static void push_1(void)
{
    x.rc[self->number] = push_number(1, 0);
}

static void pull_a(void)
{
    x.rc[self->number] = pull_number(x.a, -1);
}

static void delivered_or_deleted(void)
{
    CHECK(x.rc[1] == 1 || x.rc[1] == -EPIPE);
    CHECK(x.rc[2] == 1 || x.rc[2] == -EPIPE);
    drain(x.a);
    CHECK(times_got(1) == (x.rc[1] == 1));
    outcome(x.rc[1] == 1);
}

static void delete_client_a(void)
{
    x.done[self->number] = push_session_delete_client(x.session, PUSH_ID("a"));
}

/* Whoever deleted it: once the call has returned, nothing is delivered. */
static void delete_a_then_send(void)
{
    delete_a();
    CHECK(send_number(x.a, 1, 0) == -EPIPE);
}

static void deleted_once(void)
{
    CHECK(x.done[1] + x.done[2] == 1);
    outcome(x.done[1]);
    CHECK(pull_number(x.a, -1) == -EPIPE && push_session_len(x.session) == 0);
}

static void two_deletes_of_the_session(void)
{
    CHECK(x.done[1] + x.done[2] == 1 && !is_live(x.session));
}

static void anew(void)
{
    x.sessions[self->number] = push_session_new(PUSH_ID("session"), PUSH_ID("a"), 4);
}

static void anew_or_the_old(void)
{
    bool fresh = x.sessions[1] != x.session;
    CHECK(is_live(x.sessions[1]) == fresh && x.done[2]);
    outcome(fresh);
    unref_all();
}

/* ---- Shutdown ---- */

static void one_full(void)
{
    open_session();
    open_a(1, PUSH_BLOCK);
    CHECK(push_number(1, 0) == 1);
    push_client_unref(join("b", NULL));
}

static void push_2(void)
{
    x.rc[self->number] = push_number(2, -1);
}

static void pull_b(void)
{
    x.rc[self->number] = pull_number_by_id("b", -1);
}

static void shut_down(void)
{
    push_shutdown();
}

static void all_returned(void)
{
    CHECK(x.rc[1] == -EPIPE || x.rc[1] == 1);
    CHECK(x.rc[2] == 2 || x.rc[2] == -EPIPE || x.rc[2] == -ENOENT);
    CHECK(!is_live(x.session));
    outcome(x.rc[2] == 2 ? 0 : x.rc[2] == -EPIPE ? 1 : 2);
}

/* ---- Lists ---- */

static void two_clients(void)
{
    open_session();
    open_a(2, PUSH_BLOCK);
    open_b(2, PUSH_BLOCK);
}

static void list_clients(void)
{
    size_t count;
    push_id *ids = push_session_clients(x.session, &count);
    CHECK(ids && count >= 1 && count <= 2);
    for (size_t i = 0; i < count; i++)
        CHECK(push_id_equal(ids[i], PUSH_ID("a")) || push_id_equal(ids[i], PUSH_ID("b")));
    CHECK(count == 1 || !push_id_equal(ids[0], ids[1]));
    CHECK(push_id_equal(ids[count], PUSH_ID_NONE));
    push_ids_free(ids);
    outcome(count - 1);
}

static void list_is_of_one_time(void)
{
    CHECK(push_session_len(x.session) == 1);
}

static void join_b_shared(void)
{
    x.b = join("b", NULL);
}

static void a_and_b(void)
{
    CHECK(push_session_len(x.session) == 2);
}

const struct scenario session_scenarios[] = {
    {.name = "session-new-delete-if-empty",
     .least = 43,
     .set_up = empty_session,
     .threads = {new_with_client, delete_if_empty},
     .finish = client_is_in_a_live_session,
     .outcomes = {"it joins first", "it is deleted first"}},
    {.name = "client-new-delete-if-empty",
     .least = 33,
     .set_up = empty_session,
     .threads = {join_b, delete_if_empty},
     .finish = joined_or_empty,
     .outcomes = {"it joins first", "it is deleted first"}},
    {.name = "transient-open-delete-last",
     .least = 120,
     .set_up = transient,
     .threads = {delete_a, open_client_b},
     .finish = b_is_in_a_live_session,
     .outcomes = {"the session stays", "it is made anew"}},
    {.name = "transient-named-delete-last",
     .least = 96,
     .set_up = transient,
     .threads = {delete_a, name_it},
     .finish = named_one_is_live,
     .outcomes = {"the session stays", "it is made anew"}},
    {.name = "transient-named-with-client-delete-last",
     .least = 160,
     .set_up = transient,
     .threads = {delete_a, name_it_with_client},
     .finish = named_one_has_b,
     .outcomes = {"the session stays", "it is made anew"}},
    {.name = "transient-blocked-push-delete-last",
     .least = 670,
     .set_up = blocked_transient,
     .threads = {push_11, delete_a},
     .finish = pushed_to_nobody},
    {.name = "session-new-twice",
     .least = 31,
     .set_up = no_session,
     .threads = {new_with_client, new_with_client},
     .finish = one_session_one_client},
    {.name = "client-open-twice",
     .least = 21,
     .set_up = no_session,
     .threads = {open_a_transient, open_a_transient},
     .finish = both_share},
    {.name = "client-new-session-delete",
     .least = 38,
     .set_up = empty_session,
     .threads = {join_b, delete_session},
     .finish = joined_and_closed,
     .outcomes = {"it is deleted first", "it joins first"}},
    {.name = "push-pull-session-delete",
     .least = 13000,
     .set_up = session_with_a,
     .threads = {push_1, pull_a, delete_session},
     .finish = delivered_or_deleted,
     .outcomes = {"it is deleted first", "it is pushed first"}},
    {.name = "delete-by-id-and-handle",
     .least = 66,
     .set_up = session_with_a,
     .threads = {delete_client_a, delete_a_then_send},
     .finish = deleted_once,
     .outcomes = {"the handle is first", "the id is first"}},
    {.name = "session-delete-twice",
     .least = 43,
     .set_up = session_with_a,
     .threads = {delete_session, delete_session},
     .finish = two_deletes_of_the_session},
    {.name = "session-new-delete",
     .least = 59,
     .set_up = empty_session,
     .threads = {anew, delete_session},
     .finish = anew_or_the_old,
     .outcomes = {"it is deleted last", "it is made anew"}},
    {.name = "shutdown-blocked-push-pull",
     .least = 6400,
     .set_up = one_full,
     .threads = {push_2, pull_b, shut_down},
     .finish = all_returned,
     .outcomes = {"the pull gets the message", "the pull waits", "the pull comes too late"},
     .fewer_preemptions = 1}, /* a lock for each shard */
    {.name = "list-clients-delete",
     .least = 33,
     .set_up = two_clients,
     .threads = {list_clients, delete_a},
     .finish = list_is_of_one_time,
     .outcomes = {"after the delete", "before the delete"}},
    {.name = "list-clients-join",
     .least = 16,
     .set_up = session_with_a,
     .threads = {list_clients, join_b_shared},
     .finish = a_and_b,
     .outcomes = {"before the join", "after the join"}},
    {0},
};
