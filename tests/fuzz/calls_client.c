/* Clients: made, found, let go, deleted; their data. */
#include "waiting.h"

static int unused_handle(void)
{
    for (int i = 0; i < CLIENT_HANDLES; i++) {
        if (!client_in(i))
            return i;
    }
    return -1;
}

static void hold(int handle, struct world_client *c, push_client *real)
{
    REQUIRE(!c->real || c->real == real);
    REQUIRE(c->real || !client_of(real));
    REQUIRE(push_id_equal(push_client_id(real), id_of(c->id)));
    c->real = real;
    if (!c->session->real)
        c->session->real = push_client_session(real);
    w.client_handles[handle].object = c;
    client_hold(c);
}

static push_client_options pick_options(void)
{
    static const size_t buffers[] = {1, 0, 2, 3, 5, 8, 17, SIZE_MAX};
    static const size_t bytes[] = {0, 0, 1, 10, 40, SIZE_MAX};
    push_client_options o = {.max_buffer = buffers[input_below(COUNT(buffers))],
                             .max_bytes = bytes[input_below(COUNT(bytes))],
                             .overflow = (push_overflow)input_below(4),
                             .duplicate = (push_duplicate)input_below(4)};
    if (input_rarely())
        o.overflow = (push_overflow)(input_below(2) ? 4 : -1);
    if (input_rarely())
        o.duplicate = (push_duplicate)(input_below(2) ? 4 : -1);
    return o;
}

static bool options_good(const push_client_options *o)
{
    return (int)o->overflow >= 0 && (int)o->overflow <= PUSH_DISCONNECT && (int)o->duplicate >= 0 &&
           (int)o->duplicate <= PUSH_REFUSE && (o->max_buffer > 0 || o->overflow == PUSH_BLOCK);
}

static const char *overflow_name(push_overflow overflow)
{
    static const char *const names[] = {"PUSH_BLOCK", "PUSH_DROP_NEWEST", "PUSH_DROP_OLDEST", "PUSH_DISCONNECT"};
    return (unsigned)overflow < COUNT(names) ? names[overflow] : "(bad)";
}

static const char *duplicate_name(push_duplicate duplicate)
{
    static const char *const names[] = {"PUSH_SHARE", "PUSH_TAKEOVER", "PUSH_REPLACE", "PUSH_REFUSE"};
    return (unsigned)duplicate < COUNT(names) ? names[duplicate] : "(bad)";
}

static void call_new(void)
{
    int from = pick_session();
    int handle = unused_handle();
    int id = pick_id();
    push_client_options o = pick_options();
    struct world_session *s = session_in(from);
    if (!s || handle < 0 || w.clients_len == CLIENTS)
        return;
    trace_call(waiting_depth(), "c%d = push_client_new(s%d, %s, {%z, %z, %s, %s})", handle, from, id_name(id),
               o.max_buffer, o.max_bytes, overflow_name(o.overflow), duplicate_name(o.duplicate));
    bool by_default = input_rarely();
    errno = 0;
    push_client *real = push_client_new(s->real, id_of(id), by_default ? NULL : &o);
    if (by_default)
        o = (push_client_options){.max_buffer = 10};
    int error = !id_good(id) || !options_good(&o) ? EINVAL : s->live ? 0 : EPIPE;
    struct world_client *c = error ? NULL : client_join(s, id, &o, &error);
    REQUIRE((real != NULL) == (c != NULL));
    if (c)
        hold(handle, c, real);
    else
        REQUIRE(errno == error);
}

static void call_open(void)
{
    int handle = unused_handle();
    int session = pick_id();
    int id = pick_id();
    push_client_options o = pick_options();
    if (handle < 0 || w.clients_len == CLIENTS || w.sessions_len == SESSIONS)
        return;
    trace_call(waiting_depth(), "c%d = push_client_open(%s, %s, {%z, %z, %s, %s})", handle, id_name(session),
               id_name(id), o.max_buffer, o.max_bytes, overflow_name(o.overflow), duplicate_name(o.duplicate));
    errno = 0;
    push_client *real = push_client_open(id_of(session), id_of(id), &o);
    int error = EINVAL;
    struct world_client *c = NULL;
    if (id_good(session) && id_good(id) && options_good(&o)) {
        struct world_session *s = w.registry[session];
        if (!s)
            s = session_create(session, false);
        c = client_join(s, id, &o, &error);
    }
    REQUIRE((real != NULL) == (c != NULL));
    if (c)
        hold(handle, c, real);
    else
        REQUIRE(errno == error);
}

static void call_find(void)
{
    int from = pick_session();
    int handle = unused_handle();
    int id = pick_id();
    struct world_session *s = session_in(from);
    if (!s || handle < 0)
        return;
    trace_call(waiting_depth(), "c%d = push_client_find(s%d, %s)", handle, from, id_name(id));
    errno = 0;
    push_client *real = push_client_find(s->real, id_of(id));
    struct world_client *c = id_good(id) ? s->members[id] : NULL;
    REQUIRE((real != NULL) == (c != NULL));
    if (c)
        hold(handle, c, real);
    else
        REQUIRE(errno == (id_good(id) ? ENOENT : EINVAL));
}

static void call_ref(void)
{
    int from = pick_client();
    int handle = unused_handle();
    struct world_client *c = client_in(from);
    if (!c || handle < 0)
        return;
    trace_call(waiting_depth(), "c%d = push_client_ref(c%d)", handle, from);
    REQUIRE(push_client_ref(c->real) == c->real);
    hold(handle, c, c->real);
}

static void call_unref(void)
{
    int handle = pick_client();
    struct world_client *c = client_in(handle);
    if (!c || w.client_handles[handle].pins > 0)
        return;
    trace_call(waiting_depth(), "push_client_unref(c%d)", handle);
    push_client_unref(c->real);
    w.client_handles[handle].object = NULL;
    client_let_go(c);
}

static void call_delete(void)
{
    int handle = pick_client();
    struct world_client *c = client_in(handle);
    if (!c)
        return;
    trace_call(waiting_depth(), "push_client_delete(c%d)", handle);
    bool was = client_is_member(c);
    bool deleted = push_client_delete(c->real);
    client_leave(c);
    REQUIRE(deleted == was);
}

static void call_data(void)
{
    int handle = pick_client();
    struct world_client *c = client_in(handle);
    if (!c)
        return;
    trace_call(waiting_depth(), "push_client_set_data(c%d, ...)", handle);
    c->data = &w.more[input_below(MESSAGES)];
    push_client_set_data(c->real, c->data);
}

/* By handle, or by id. */
static void call_fd(void)
{
    int handle = pick_client();
    struct world_client *c = client_in(handle);
    if (!c)
        return;
    int fd;
    if (input_below(2) == 0) {
        trace_call(waiting_depth(), "push_client_fd(c%d)", handle);
        fd = push_client_fd(c->real);
    } else {
        trace_call(waiting_depth(), "push_session_pull_fd(push_client_session(c%d), %s)", handle, id_name(c->id));
        fd = push_session_pull_fd(c->session->real, id_of(c->id));
        c = c->session->members[c->id];
    }
    if (!c) {
        REQUIRE(fd == -ENOENT);
        return;
    }
    REQUIRE(fd >= 0 && (c->fd < 0 || c->fd == fd));
    if (c->fd < 0)
        c->fd_quiet = !c->mailbox.closed && !model_has_message(&c->mailbox);
    c->fd = fd;
}

void call_client(void)
{
    static void (*const calls[])(void) = {call_new, call_new,    call_new, call_open,  call_open,
                                          call_new, call_find,   call_ref, call_unref, call_unref,
                                          call_fd,  call_delete, call_data};
    calls[input_below(COUNT(calls))]();
}
