/* Pushes: to a session, to one client, with and without waiting. */
#include "waiting.h"

static size_t pick_size(void)
{
    static const size_t sizes[] = {0, 1, 4, 9, 10, 11, 39, 40, 41, SIZE_LARGEST};
    return sizes[input_below(COUNT(sizes))];
}

/* Wrapped: the size is what the caller says, and nobody reads the data. One of them in a sequence is as large as
 * together with all others can be counted. */
static size_t pick_wrapped_size(void)
{
    if (input_below(16) < 15 || w.huge)
        return pick_size();
    w.huge = true;
    return SIZE_MAX - ALL_OTHERS;
}

/* What happens to the model when the message reaches one client. */
static void send_to(struct sending *sending, struct world_client *c, int message, bool waits)
{
    size_t delivered = sending->report.delivered;
    struct model_push *push = &sending->pushes[sending->len];
    push->message = message;
    if (waits && model_park(&c->mailbox, push, &sending->report)) {
        sending->clients[sending->len++] = c;
        /* At a rendezvous, a push that waits counts as a message. */
        if (c->mailbox.max_buffer == 0)
            client_arrived(c);
        return;
    }
    if (!waits)
        model_send(&c->mailbox, message, &sending->report);
    /* What was handed to a pull that waits at a rendezvous is not there to be pulled. */
    if (sending->report.delivered > delivered && model_has_message(&c->mailbox))
        client_arrived(c);
    if (c->mailbox.closed)
        client_leave(c);
}

/* The mailbox it waits in now: a take-over may have moved it. */
static struct model *mailbox_of(const struct model_push *push)
{
    for (size_t i = 0; i < w.clients_len; i++) {
        struct model *m = &w.clients[i].mailbox;
        for (size_t j = 0; j < m->waiting_len; j++) {
            if (m->waiting[j] == push)
                return m;
        }
    }
    return NULL;
}

/* The call has returned: what became of the pushes that waited. */
static void settle(struct sending *sending, bool for_ever)
{
    for (size_t i = 0; i < sending->len; i++) {
        struct model_push *push = &sending->pushes[i];
        switch (push->state) {
        case MODEL_DELIVERED:
            sending->report.delivered++;
            break;
        case MODEL_CLOSED_UNDER_IT:
            sending->closed = true;
            break;
        default:
            REQUIRE(!for_ever);
            model_withdraw(mailbox_of(push), push);
            sending->report.timed_out++;
            break;
        }
    }
}

static void check_result(const struct sending *sending, int rc, const push_report *report)
{
    push_report expected = sending->closed ? (push_report){0} : sending->report;
    REQUIRE(rc == (sending->closed ? -EPIPE : (int)expected.delivered));
    if (!report)
        return;
    REQUIRE(report->delivered == expected.delivered);
    REQUIRE(report->dropped == expected.dropped);
    REQUIRE(report->disconnected == expected.disconnected);
    REQUIRE(report->timed_out == expected.timed_out);
}

static void call_send(void)
{
    int handle = pick_client();
    int timeout_ms = pick_timeout();
    bool wrapped = input_below(2) == 0;
    size_t size = wrapped ? pick_wrapped_size() : pick_size();
    struct world_client *c = client_in(handle);
    int message = c ? message_new(size, wrapped) : -1;
    if (message < 0)
        return;
    int depth = waiting_depth();
    trace_call(depth, "push_client_send(c%d, m%d of %z bytes, %d)", handle, message, size, timeout_ms);
    push_msg *msg = message_make(message);
    push_report report = {9, 9, 9, 9};
    struct sending sending = {.closed = c->mailbox.closed};
    if (!sending.closed)
        send_to(&sending, c, message, timeout_ms != 0);
    struct waiting waiting = {.push = &sending};
    w.client_handles[handle].pins++;
    if (sending.len > 0)
        waiting_begin(&waiting, timeout_ms);
    int rc = push_client_send(c->real, msg, timeout_ms, &report);
    if (sending.len > 0)
        waiting_end(&waiting);
    w.client_handles[handle].pins--;
    trace_result(depth, rc);
    settle(&sending, timeout_ms < 0);
    check_result(&sending, rc, &report);
    w.more[message].borrowed = false;
    push_msg_unref(msg);
}

/* To all clients of a session: push_session_push, where there is no message of the caller's; or push_session_send.
 */
static void send_to_session(int handle, int message, push_msg *msg, int except, int timeout_ms)
{
    struct world_session *s = session_in(handle);
    int depth = waiting_depth();
    push_report report = {9, 9, 9, 9};
    struct sending sending = {.closed = !s->live};
    for (int i = 0; i < IDS; i++) {
        if (s->members[i] && i != except)
            send_to(&sending, s->members[i], message, timeout_ms != 0);
    }
    struct waiting waiting = {.push = &sending};
    w.session_handles[handle].pins++;
    if (sending.len > 0)
        waiting_begin(&waiting, timeout_ms);
    int rc = msg ? push_session_send(s->real, msg, id_of(except), timeout_ms, &report)
                 : push_session_push(s->real, message_bytes(message), message_size(message));
    if (sending.len > 0)
        waiting_end(&waiting);
    w.session_handles[handle].pins--;
    trace_result(depth, rc);
    settle(&sending, timeout_ms < 0);
    /* What was delivered before the session was deleted counts. */
    if (sending.len > 0)
        sending.closed = sending.closed && !s->live && sending.report.delivered == 0;
    check_result(&sending, rc, msg ? &report : NULL);
}

static void call_session_send(void)
{
    int handle = pick_session();
    int except = pick_id_or_none();
    int timeout_ms = pick_timeout();
    bool wrapped = input_below(2) == 0;
    size_t size = wrapped ? pick_wrapped_size() : pick_size();
    if (!session_in(handle) || (except != NO_ID && !id_good(except)))
        return;
    int message = message_new(size, wrapped);
    if (message < 0)
        return;
    trace_call(waiting_depth(), "push_session_send(s%d, m%d of %z bytes, %s, %d)", handle, message, size,
               id_name(except), timeout_ms);
    push_msg *msg = message_make(message);
    send_to_session(handle, message, msg, except, timeout_ms);
    w.more[message].borrowed = false;
    push_msg_unref(msg);
}

static void call_session_push(void)
{
    int handle = pick_session();
    size_t size = pick_size();
    int message = session_in(handle) ? message_new(size, false) : -1;
    if (message < 0)
        return;
    trace_call(waiting_depth(), "push_session_push(s%d, m%d of %z bytes)", handle, message, size);
    send_to_session(handle, message, NULL, NO_ID, -1);
}

void call_push(void)
{
    static void (*const calls[])(void) = {call_send, call_session_send, call_session_push};
    calls[input_below(COUNT(calls))]();
}
