/* Pollers. */
#include "waiting.h"

static struct world_poller *pick_poller(void)
{
    return &w.pollers[input_below(POLLERS)];
}

static int number_of(const struct world_poller *p)
{
    return (int)(p - w.pollers);
}

static void take_out(struct world_client *c)
{
    c->poller = NULL;
    client_let_go(c);
}

static void call_new_or_free(void)
{
    struct world_poller *p = pick_poller();
    if (!p->real) {
        trace_call(waiting_depth(), "p%d = push_poller_new()", number_of(p));
        *p = (struct world_poller){.real = push_poller_new(), .fd = -1};
        REQUIRE(p->real);
    } else if (p->waits == 0 && input_below(4) == 3) {
        trace_call(waiting_depth(), "push_poller_free(p%d)", number_of(p));
        push_poller_free(p->real);
        p->real = NULL;
        for (size_t i = 0; i < w.clients_len; i++) {
            if (w.clients[i].refs > 0 && w.clients[i].poller == p)
                take_out(&w.clients[i]);
        }
    }
}

static void call_add(void)
{
    struct world_poller *p = pick_poller();
    int handle = pick_client();
    struct world_client *c = client_in(handle);
    if (!p->real || !c)
        return;
    void *data = &w.more[input_below(MESSAGES)];
    trace_call(waiting_depth(), "push_poller_add(p%d, c%d, ...)", number_of(p), handle);
    int rc = push_poller_add(p->real, c->real, data);
    trace_result(waiting_depth(), rc);
    if (c->poller) {
        REQUIRE(rc == (c->poller == p ? -EEXIST : -EBUSY));
        return;
    }
    REQUIRE(rc == 0);
    c->poller = p;
    c->poller_data = data;
    c->paused = false;
    c->due = model_has_message(&c->mailbox) ? DUE_YES : DUE_NO;
    c->served = 0;
    client_hold(c);
    if (poller_must_report(p, c))
        p->quiet = false;
}

static void call_remove(void)
{
    struct world_poller *p = pick_poller();
    int handle = pick_client();
    struct world_client *c = client_in(handle);
    if (!p->real || !c)
        return;
    trace_call(waiting_depth(), "push_poller_remove(p%d, c%d)", number_of(p), handle);
    int rc = push_poller_remove(p->real, c->real);
    REQUIRE(rc == (c->poller == p ? 0 : -ENOENT));
    if (rc == 0)
        take_out(c);
}

static void call_pause_or_resume(void)
{
    struct world_poller *p = pick_poller();
    int handle = pick_client();
    bool pause = input_below(2) == 0;
    struct world_client *c = client_in(handle);
    if (!p->real || !c)
        return;
    trace_call(waiting_depth(), pause ? "push_poller_pause(p%d, c%d)" : "push_poller_resume(p%d, c%d)",
               number_of(p), handle);
    int rc = (pause ? push_poller_pause : push_poller_resume)(p->real, c->real);
    REQUIRE(rc == (c->poller == p ? 0 : -ENOENT));
    if (rc < 0)
        return;
    if (c->paused && !pause) {
        c->served = 0;
        if (c->due != DUE_NO)
            p->quiet = false;
    }
    c->paused = pause;
}

static void call_wake(void)
{
    struct world_poller *p = pick_poller();
    if (!p->real)
        return;
    trace_call(waiting_depth(), "push_poller_wake(p%d)", number_of(p));
    push_poller_wake(p->real);
    p->wakes++;
    p->quiet = false;
}

static void call_fd(void)
{
    struct world_poller *p = pick_poller();
    if (!p->real)
        return;
    trace_call(waiting_depth(), "push_poller_fd(p%d)", number_of(p));
    int fd = push_poller_fd(p->real);
    REQUIRE(fd >= 0 && (p->fd < 0 || p->fd == fd));
    p->fd = fd;
}

/* Ready clients are served in turn: none twice while another that is ready is not. */
static void count_turns(struct world_poller *p, uint64_t reported)
{
    for (size_t i = 0; i < w.clients_len; i++) {
        struct world_client *c = &w.clients[i];
        if (reported & UINT64_C(1) << i) {
            c->served = 0;
        } else if (poller_must_report(p, c)) {
            REQUIRE((c->served & reported) == 0);
            c->served |= reported;
        }
    }
}

static void check_events(struct world_poller *p, const push_event *events, int n, int max)
{
    uint64_t reported = 0;
    for (int i = 0; i < n; i++) {
        struct world_client *c = client_of(events[i].client);
        REQUIRE(c && c->poller == p && events[i].data == c->poller_data);
        REQUIRE(c->mailbox.closed || (c->due != DUE_NO && !c->paused));
        uint64_t bit = UINT64_C(1) << (c - w.clients);
        REQUIRE(!(reported & bit));
        reported |= bit;
    }
    for (size_t i = 0; i < w.clients_len; i++)
        REQUIRE(n == max || !poller_must_report(p, &w.clients[i]) || (reported & UINT64_C(1) << i));
    count_turns(p, reported);
}

static void call_wait(void)
{
    enum { EVENTS = 4 };
    struct world_poller *p = pick_poller();
    int max = 1 + (int)input_below(EVENTS);
    int timeout_ms = pick_timeout();
    if (!p->real)
        return;
    int depth = waiting_depth();
    push_event events[EVENTS];
    trace_call(depth, "push_poller_wait(p%d, events, %d, %d)", number_of(p), max, timeout_ms);
    struct waiting waiting = {.poll = p};
    bool waits = timeout_ms != 0 && !poller_has_report(p);
    p->waits++;
    if (waits)
        waiting_begin(&waiting, timeout_ms);
    int rc = push_poller_wait(p->real, events, max, timeout_ms);
    if (waits)
        waiting_end(&waiting);
    p->waits--;
    trace_result(depth, rc);
    if (p->wakes > 0) {
        REQUIRE(rc == 0);
        p->wakes--;
        return;
    }
    if (rc > 0) {
        check_events(p, events, rc, max);
        return;
    }
    REQUIRE(!poller_has_report(p));
    REQUIRE(timeout_ms >= 0 && rc == (timeout_ms == 0 ? -EAGAIN : -ETIMEDOUT));
    p->quiet = true;
}

void call_poller(void)
{
    static void (*const calls[])(void) = {call_wait, call_wait,           call_add,
                                          call_add,  call_new_or_free,    call_remove,
                                          call_fd,   call_wake,           call_pause_or_resume,
                                          call_wait, call_pause_or_resume};
    calls[input_below(COUNT(calls))]();
}
