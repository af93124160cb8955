/* Sessions: made, found, let go, deleted, listed. */
#include "waiting.h"

static bool room_for_more(void)
{
    return w.sessions_len < SESSIONS && w.clients_len < CLIENTS;
}

static struct world_session *find(int id)
{
    return id_good(id) ? w.registry[id] : NULL;
}

static void hold(int handle, struct world_session *s, push_session *real)
{
    REQUIRE(!s->real || s->real == real);
    REQUIRE(push_id_equal(push_session_id(real), id_of(s->id)));
    s->real = real;
    w.session_handles[handle].object = s;
}

static int unused_handle(void)
{
    for (int i = 0; i < SESSION_HANDLES; i++) {
        if (!session_in(i))
            return i;
    }
    return -1;
}

static void call_new(void)
{
    static const size_t buffers[] = {0, 1, 2, 5, SIZE_MAX};
    int handle = unused_handle();
    if (handle < 0 || !room_for_more())
        return;
    int id = pick_id();
    int client = pick_id_or_none();
    push_client_options options = {.max_buffer = buffers[input_below(COUNT(buffers))]};
    trace_call(waiting_depth(), "s%d = push_session_new(%s, %s, %z)", handle, id_name(id), id_name(client),
               options.max_buffer);
    errno = 0;
    push_session *real = push_session_new(id_of(id), id_of(client), options.max_buffer);
    /* For a client, PUSH_ID_NONE is good here whoever made it. */
    bool no_client = id_of(client).kind == 0;
    if (!id_good(id) || (!no_client && !id_good(client))) {
        REQUIRE(!real && errno == EINVAL);
        return;
    }
    struct world_session *s = find(id);
    if (!s)
        s = session_create(id, true);
    s->named = true;
    struct world_client *c = no_client ? NULL : client_join(s, client, &options, NULL);
    REQUIRE(real);
    hold(handle, s, real);
    if (c && !c->real) {
        c->real = push_client_find(real, id_of(client));
        REQUIRE(c->real);
        push_client_unref(c->real);
    }
}

static void call_find(void)
{
    int handle = unused_handle();
    int id = pick_id();
    if (handle < 0)
        return;
    trace_call(waiting_depth(), "s%d = push_session_find(%s)", handle, id_name(id));
    errno = 0;
    push_session *real = push_session_find(id_of(id));
    struct world_session *s = find(id);
    REQUIRE((real != NULL) == (s != NULL));
    if (s)
        hold(handle, s, real);
    else
        REQUIRE(errno == (id_good(id) ? ENOENT : EINVAL));
}

static void call_ref(void)
{
    int from = pick_session();
    int handle = unused_handle();
    if (handle < 0 || !session_in(from))
        return;
    trace_call(waiting_depth(), "s%d = push_session_ref(s%d)", handle, from);
    REQUIRE(push_session_ref(session_in(from)->real) == session_in(from)->real);
    hold(handle, session_in(from), session_in(from)->real);
}

static void call_unref(void)
{
    int handle = pick_session();
    struct world_session *s = session_in(handle);
    if (!s || w.session_handles[handle].pins > 0)
        return;
    trace_call(waiting_depth(), "push_session_unref(s%d)", handle);
    push_session_unref(s->real);
    w.session_handles[handle].object = NULL;
}

static void call_delete(void)
{
    int id = pick_id();
    struct world_session *s = find(id);
    trace_call(waiting_depth(), "push_session_delete(%s)", id_name(id));
    bool deleted = push_session_delete(id_of(id));
    if (s)
        session_end(s);
    REQUIRE(deleted == (s != NULL));
}

static void call_delete_if_empty(void)
{
    int id = pick_id();
    struct world_session *s = find(id);
    trace_call(waiting_depth(), "push_session_delete_if_empty(%s)", id_name(id));
    bool deleted = push_session_delete_if_empty(id_of(id));
    bool goes = s && session_len(s) == 0;
    if (goes)
        session_end(s);
    REQUIRE(deleted == goes);
}

static void call_exists(void)
{
    int id = pick_id();
    trace_call(waiting_depth(), "push_session_exists(%s)", id_name(id));
    REQUIRE(push_session_exists(id_of(id)) == (find(id) != NULL));
}

/* The list has exactly the ids that are expected: bit i for id i. */
static void check_list(push_id *ids, size_t count, unsigned expected)
{
    REQUIRE(ids);
    unsigned seen = 0;
    for (size_t i = 0; i < count; i++) {
        int id = id_find(ids[i]);
        REQUIRE(id != NO_ID && !(seen & 1U << id));
        seen |= 1U << id;
    }
    REQUIRE(seen == expected);
    REQUIRE(push_id_equal(ids[count], PUSH_ID_NONE));
    push_ids_free(ids);
}

static void call_sessions(void)
{
    size_t count = 99;
    unsigned expected = 0;
    for (int i = 0; i < IDS; i++)
        expected |= w.registry[i] ? 1U << i : 0;
    trace_call(waiting_depth(), "push_sessions()");
    push_id *ids = push_sessions(&count);
    check_list(ids, count, expected);
}

static void call_clients(void)
{
    int handle = pick_session();
    struct world_session *s = session_in(handle);
    if (!s)
        return;
    size_t count = 99;
    unsigned expected = 0;
    for (int i = 0; i < IDS; i++)
        expected |= s->members[i] ? 1U << i : 0;
    trace_call(waiting_depth(), "push_session_clients(s%d)", handle);
    push_id *ids = push_session_clients(s->real, &count);
    check_list(ids, count, expected);
}

static void call_delete_client(void)
{
    int handle = pick_session();
    int id = pick_id();
    struct world_session *s = session_in(handle);
    if (!s)
        return;
    trace_call(waiting_depth(), "push_session_delete_client(s%d, %s)", handle, id_name(id));
    bool deleted = push_session_delete_client(s->real, id_of(id));
    struct world_client *c = id_good(id) ? s->members[id] : NULL;
    if (c)
        client_leave(c);
    REQUIRE(deleted == (c != NULL));
}

static void call_shutdown(void)
{
    if (!input_rarely())
        return;
    trace_call(waiting_depth(), "push_shutdown()");
    push_shutdown();
    for (int i = 0; i < IDS; i++) {
        if (w.registry[i])
            session_end(w.registry[i]);
    }
}

void call_session(void)
{
    static void (*const calls[])(void) = {
        call_new,      call_new,           call_new,          call_find,     call_ref,     call_unref,
        call_unref,    call_delete,        call_exists,       call_sessions, call_clients, call_delete_if_empty,
        call_shutdown, call_delete_client, call_delete_client};
    calls[input_below(COUNT(calls))]();
}
