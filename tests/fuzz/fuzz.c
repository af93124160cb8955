#include "waiting.h"

enum { CALLS_MAX = 400 };

void call_one(void)
{
    static void (*const groups[])(void) = {
        call_push,   call_push,   call_push,   call_pull,   call_pull,   call_pull,    call_pull,    call_client,
        call_client, call_client, call_poller, call_poller, call_poller, call_session, call_session, call_hostile};
    if (++w.calls > CALLS_MAX)
        return;
    groups[input_below(COUNT(groups))]();
    world_check(waiting_depth() > 0);
}

/* Everything is given back, by the handles that are left. What was queued in deleted clients goes with them. */
static void world_end(void)
{
    trace_call(0, "(the end: push_shutdown(), and all handles go)");
    push_shutdown();
    for (int i = 0; i < IDS; i++) {
        if (w.registry[i])
            session_end(w.registry[i]);
    }
    world_check(false);
    for (int i = 0; i < CLIENT_HANDLES; i++) {
        if (client_in(i)) {
            push_client_unref(client_in(i)->real);
            client_let_go(client_in(i));
        }
    }
    for (int i = 0; i < SESSION_HANDLES; i++) {
        if (session_in(i))
            push_session_unref(session_in(i)->real);
        w.session_handles[i].object = NULL;
    }
    for (int i = 0; i < POLLERS; i++) {
        push_poller_free(w.pollers[i].real);
        for (size_t j = 0; j < w.clients_len && w.pollers[i].real; j++) {
            if (w.clients[j].refs > 0 && w.clients[j].poller == &w.pollers[i])
                client_let_go(&w.clients[j]);
        }
        w.pollers[i].real = NULL;
    }
    for (; w.held_len > 0; w.held_len--) {
        push_msg_unref(w.held[w.held_len - 1].msg);
        w.messages[w.held[w.held_len - 1].message].refs--;
    }
    world_check(false);
    for (size_t i = 0; i < w.clients_len; i++)
        REQUIRE(w.clients[i].refs == 0);
}

void fuzz_run(const uint8_t *data, size_t size)
{
    long blocks = blocks_held();
    int descriptors = count_descriptors();
    trace_clear();
    input_set(data, size);
    world_begin();
    while (input_left() && w.calls < CALLS_MAX)
        call_one();
    input_set(NULL, 0);
    world_end();
    REQUIRE(blocks_held() == blocks);
    REQUIRE(count_descriptors() == descriptors);
}
