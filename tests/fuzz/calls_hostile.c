/* What nobody should call, and what says so: bad arguments, bad ids, impossible sizes. And the functions that are
 * of no object. Each must leave everything as it was: world_check() looks. */
#include <limits.h>

#include "waiting.h"

static void call_null_session(void)
{
    push_report report = {9, 9, 9, 9};
    push_msg *msg = (push_msg *)&report;
    size_t count = 99;
    trace_call(waiting_depth(), "(a NULL session)");
    REQUIRE(push_session_send(NULL, NULL, id_of(pick_id()), -1, &report) == -EINVAL && report.timed_out == 0);
    REQUIRE(push_session_push(NULL, "x", 1) == -EINVAL);
    REQUIRE(push_session_pull(NULL, id_of(pick_id()), &msg, -1) == -EINVAL && !msg);
    REQUIRE(push_session_pull_fd(NULL, id_of(pick_id())) == -EINVAL);
    REQUIRE(!push_session_delete_client(NULL, id_of(pick_id())));
    REQUIRE(push_session_len(NULL) == 0);
    REQUIRE(!push_session_clients(NULL, &count) && errno == EINVAL && count == 0);
    REQUIRE(!push_session_ref(NULL) && errno == EINVAL);
    REQUIRE(push_session_id(NULL).kind == 0);
    REQUIRE(!push_client_new(NULL, id_of(pick_id()), NULL) && errno == EINVAL);
    REQUIRE(!push_client_find(NULL, id_of(pick_id())) && errno == EINVAL);
    push_session_unref(NULL);
}

static void call_null_client(void)
{
    push_report report = {9, 9, 9, 9};
    push_msg *msg = (push_msg *)&report;
    push_client_stats stats;
    size_t lost = 99;
    struct world_poller *p = &w.pollers[input_below(POLLERS)];
    trace_call(waiting_depth(), "(a NULL client)");
    REQUIRE(push_client_send(NULL, NULL, -1, &report) == -EINVAL && report.delivered == 0);
    REQUIRE(push_client_pull(NULL, &msg, -1) == -EINVAL && !msg);
    REQUIRE(push_client_pull_many(NULL, &msg, 1, &lost, -1) == -EINVAL && lost == 0);
    REQUIRE(push_client_unpull(NULL, NULL) == -EINVAL);
    REQUIRE(push_client_fd(NULL) == -EINVAL);
    REQUIRE(!push_client_delete(NULL));
    REQUIRE(push_client_stat(NULL, &stats) == -EINVAL);
    REQUIRE(!push_client_ref(NULL) && errno == EINVAL);
    REQUIRE(push_client_id(NULL).kind == 0 && !push_client_session(NULL) && !push_client_data(NULL));
    push_client_set_data(NULL, &msg);
    push_client_unref(NULL);
    if (p->real) {
        REQUIRE(push_poller_add(p->real, NULL, NULL) == -EINVAL);
        REQUIRE(push_poller_remove(p->real, NULL) == -EINVAL);
        REQUIRE(push_poller_pause(p->real, NULL) == -EINVAL);
        REQUIRE(push_poller_resume(p->real, NULL) == -EINVAL);
    }
}

static void call_null_rest(void)
{
    push_event event;
    struct world_poller *p = &w.pollers[input_below(POLLERS)];
    trace_call(waiting_depth(), "(a NULL poller, a NULL message)");
    REQUIRE(push_poller_wait(NULL, &event, 1, -1) == -EINVAL);
    REQUIRE(push_poller_fd(NULL) == -EINVAL);
    push_poller_wake(NULL);
    push_poller_free(NULL);
    if (p->real) {
        REQUIRE(push_poller_wait(p->real, NULL, 1, -1) == -EINVAL);
        REQUIRE(push_poller_wait(p->real, &event, 0, -1) == -EINVAL);
        REQUIRE(push_poller_wait(p->real, &event, INT_MIN, -1) == -EINVAL);
    }
    REQUIRE(!push_msg_ref(NULL) && errno == EINVAL);
    REQUIRE(!push_msg_data(NULL) && push_msg_size(NULL) == 0);
    push_msg_unref(NULL);
    push_ids_free(NULL);
}

static void call_with_a_client(void)
{
    int handle = pick_client();
    struct world_client *c = client_in(handle);
    if (!c)
        return;
    push_msg *msg = NULL;
    size_t lost = 99;
    trace_call(waiting_depth(), "(bad arguments with c%d)", handle);
    REQUIRE(push_client_send(c->real, NULL, -1, NULL) == -EINVAL);
    REQUIRE(push_client_pull(c->real, NULL, -1) == -EINVAL);
    REQUIRE(push_client_pull_many(c->real, &msg, 0, &lost, -1) == -EINVAL && lost == 0);
    REQUIRE(push_client_pull_many(c->real, NULL, 1, &lost, -1) == -EINVAL);
    REQUIRE(push_client_unpull(c->real, NULL) == -EINVAL);
    REQUIRE(push_client_stat(c->real, NULL) == -EINVAL);
    REQUIRE(push_poller_add(NULL, c->real, NULL) == -EINVAL);
    REQUIRE(push_poller_remove(NULL, c->real) == -EINVAL);
    REQUIRE(push_poller_pause(NULL, c->real) == -EINVAL);
    REQUIRE(push_poller_resume(NULL, c->real) == -EINVAL);
}

static void call_with_a_session(void)
{
    int handle = pick_session();
    int bad = IDS + (int)input_below(BAD_IDS);
    struct world_session *s = session_in(handle);
    if (!s)
        return;
    push_report report = {9, 9, 9, 9};
    push_msg *msg = (push_msg *)&report;
    trace_call(waiting_depth(), "(bad arguments with s%d, and the id %s)", handle, id_name(bad));
    REQUIRE(push_session_send(s->real, NULL, PUSH_ID_NONE, -1, &report) == -EINVAL && report.dropped == 0);
    REQUIRE(push_session_push(s->real, NULL, 1) == -EINVAL);
    REQUIRE(push_session_pull(s->real, id_of(bad), &msg, -1) == -EINVAL && !msg);
    REQUIRE(push_session_pull(s->real, id_of(pick_id()), NULL, -1) == -EINVAL);
    REQUIRE(push_session_pull_fd(s->real, id_of(bad)) == -EINVAL);
    if (id_of(bad).kind != 0) {
        msg = push_msg_new("x", 1);
        REQUIRE(push_session_send(s->real, msg, id_of(bad), -1, &report) == -EINVAL && report.delivered == 0);
        push_msg_unref(msg);
    }
}

/* More than any process can have: nothing is read, nothing is changed. */
static void call_with_a_large_size(void)
{
    static const size_t sizes[] = {SIZE_MAX,      SIZE_MAX - 1,  SIZE_MAX - 15,
                                   SIZE_MAX - 16, SIZE_MAX - 64, SIZE_MAX / 2};
    size_t size = sizes[input_below(COUNT(sizes))];
    int handle = pick_session();
    trace_call(waiting_depth(), "(a copy of %z bytes, with s%d)", size, handle);
    errno = 0;
    REQUIRE(!push_msg_new("x", size) && errno == ENOMEM);
    if (session_in(handle))
        REQUIRE(push_session_push(session_in(handle)->real, "x", size) == -ENOMEM);
    REQUIRE(!push_msg_new(NULL, size) && errno == EINVAL);
    REQUIRE(!push_msg_wrap(NULL, size, NULL, NULL) && errno == EINVAL);
}

static void call_id_functions(void)
{
    int a = pick_id_or_none();
    int b = pick_id_or_none();
    char text[4 * 16 + 1];
    size_t size = input_below(sizeof(text) + 1);
    trace_call(waiting_depth(), "push_id_equal(%s, %s), push_id_format(..., %z)", id_name(a), id_name(b), size);
    bool good = id_good(a) || id_of(a).kind == 0;
    if (good && (id_good(b) || id_of(b).kind == 0))
        REQUIRE(push_id_equal(id_of(a), id_of(b)) == (id_good(a) ? a == b : !id_good(b)));
    memset(text, '#', sizeof(text));
    int length = push_id_format(id_of(a), size > 0 ? text : NULL, size);
    REQUIRE(good ? length > 0 || id_of(a).value == 0 : length == -EINVAL);
    REQUIRE(push_id_format(id_of(a), NULL, 1) == -EINVAL);
    if (!good || size == 0)
        return;
    size_t end = (size_t)length < size ? (size_t)length : size - 1;
    REQUIRE(text[end] == '\0' && strlen(text) == end);
    for (size_t i = end + 1; i < sizeof(text); i++)
        REQUIRE(text[i] == '#');
}

static void call_the_process(void)
{
    int code = (int)(input_below(65536) << 16 | input_below(65536));
    trace_call(waiting_depth(), "push_strerror(%d), push_version(), push_set_allocator(...)", code);
    REQUIRE(strncmp(push_strerror(code), "push: ", 6) == 0);
    REQUIRE(strcmp(push_version(), PUSH_VERSION_STRING) == 0);
    REQUIRE(push_set_allocator(malloc, realloc, free) == -EBUSY);
    REQUIRE(push_set_allocator(NULL, realloc, free) == -EINVAL);
}

void call_hostile(void)
{
    static void (*const calls[])(void) = {call_null_session,  call_null_client,    call_null_rest,
                                          call_with_a_client, call_with_a_session, call_with_a_large_size,
                                          call_id_functions,  call_the_process};
    calls[input_below(COUNT(calls))]();
}
