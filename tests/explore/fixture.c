#include "fixture.h"

#include <string.h>

#include "mailbox.h"
#include "scenario.h"
#include "session.h"
#include "trace.h"

struct fixture x;

/* ---- What the scenarios are made of ---- */

void open_session(void)
{
    x.session = push_session_new(PUSH_ID("session"), PUSH_ID_NONE, 0);
    trace_call(&x.session->push_lock.mutex, "push lock");
    trace_call(&x.session->clients_lock.mutex, "clients lock");
    trace_call(&x.session->flags, "session flags");
    trace_call(&x.session->refs, "session refs");
}

push_client *join(const char *name, const push_client_options *options)
{
    return push_client_new(x.session, PUSH_ID(name), options);
}

void open_a(size_t max_buffer, push_overflow overflow)
{
    x.a = join("a", &(push_client_options){.max_buffer = max_buffer, .overflow = overflow});
    trace_call(&x.a->lock.mutex, "mailbox a");
    trace_call(&x.a->word, "word of a");
    trace_call(&x.a->refs, "refs of a");
}

void two_slots(void)
{
    open_session();
    open_a(2, PUSH_BLOCK);
}

void two_slots_polled(void)
{
    two_slots();
    x.poller = push_poller_new();
    CHECK(push_poller_add(x.poller, x.a, NULL) == 0);
}

void open_b(size_t max_buffer, push_overflow overflow)
{
    x.b = join("b", &(push_client_options){.max_buffer = max_buffer, .overflow = overflow});
    trace_call(&x.b->lock.mutex, "mailbox b");
    trace_call(&x.b->word, "word of b");
    trace_call(&x.b->refs, "refs of b");
}

push_msg *message(int number, size_t size)
{
    unsigned char data[64] = {0};
    memcpy(data, &number, sizeof(number));
    return push_msg_new(data, size);
}

int number_of(push_msg *msg)
{
    int number;
    CHECK(push_msg_size(msg) >= sizeof(number));
    memcpy(&number, push_msg_data(msg), sizeof(number));
    CHECK(number > 0);
    return number;
}

static void unref_message(void *msg)
{
    push_msg_unref(msg);
}

int push_sized(int number, size_t size, int timeout_ms)
{
    int rc;
    push_msg *msg = message(number, size);
    pthread_cleanup_push(unref_message, msg);
    rc = push_session_send(x.session, msg, PUSH_ID_NONE, timeout_ms, &x.report[self->number]);
    pthread_cleanup_pop(1);
    return rc;
}

int push_number(int number, int timeout_ms)
{
    return push_sized(number, NUMBER_SIZE, timeout_ms);
}

int send_number(push_client *c, int number, int timeout_ms)
{
    int rc;
    push_msg *msg = message(number, NUMBER_SIZE);
    pthread_cleanup_push(unref_message, msg);
    rc = push_client_send(c, msg, timeout_ms, &x.report[self->number]);
    pthread_cleanup_pop(1);
    return rc;
}

static int keep(int rc, push_msg *msg)
{
    if (rc < 0) {
        CHECK(!msg);
        return rc;
    }
    x.lost[self->number] += rc;
    struct numbers *got = &x.got[self->number];
    CHECK(got->len < MAX_NUMBERS);
    int number = number_of(msg);
    got->list[got->len++] = number;
    push_msg_unref(msg);
    return number;
}

int pull_number(push_client *c, int timeout_ms)
{
    push_msg *msg;
    int rc = push_client_pull(c, &msg, timeout_ms);
    return keep(rc, msg);
}

int pull_number_by_id(const char *client, int timeout_ms)
{
    push_msg *msg;
    int rc = push_session_pull(x.session, PUSH_ID(client), &msg, timeout_ms);
    return keep(rc, msg);
}

void wait_in_poller(void)
{
    push_event event;
    x.rc[self->number] = push_poller_wait(x.poller, &event, 1, -1);
}

void drain(push_client *c)
{
    int rc;
    while ((rc = pull_number(c, 0)) > 0)
        continue;
    CHECK(rc == -EAGAIN || rc == -EPIPE);
}

int times_got(int number)
{
    int times = 0;
    for (int t = 0; t <= MAX_THREADS; t++) {
        for (size_t i = 0; i < x.got[t].len; i++)
            times += x.got[t].list[i] == number;
    }
    return times;
}

size_t all_got(void)
{
    size_t n = 0;
    for (int t = 0; t <= MAX_THREADS; t++)
        n += x.got[t].len;
    return n;
}

bool got_in_order(int thread)
{
    for (size_t i = 1; i < x.got[thread].len; i++) {
        if (x.got[thread].list[i] < x.got[thread].list[i - 1])
            return false;
    }
    return true;
}

/* ---- What always holds ---- */

/* Whatever anybody is doing: a message that waits in a mailbox whose lock is free has made the descriptor readable,
 * and there are not more than may be. */
static void check_mailbox(push_client *c)
{
    if (!c || c->lock.mutex.owner)
        return;
    uint64_t word = atomic_load_explicit(&c->word, memory_order_acquire);
    size_t len = c->pull_ring ? (size_t)ring_len(c->pull_ring, word >> WORD_SHIFT) : 0;
    size_t returned = c->extra ? c->extra->returned_len : 0;
    if (c->extra && waker_is_open(&c->extra->waker)) {
        CHECK(explore_readable(c->extra->waker.read_fd) == c->extra->waker.raised);
        if (word & WORD_CLOSED || len + returned > 0 || c->waiting_pushes)
            CHECK(c->extra->waker.raised);
    }
    if (c->extra && c->extra->watch.set && !c->extra->watch.set->lock.mutex.owner) {
        const struct watch *watch = &c->extra->watch;
        CHECK(!(word & WORD_CLOSED) || watch->closed);
        CHECK((len + returned == 0 && !c->waiting_pushes) || watch->signalled || watch->closed);
        CHECK((watch->ready.next != NULL) == (watch->closed || (watch->signalled && !watch->paused)));
    }
    if (c->max_buffer > 0)
        CHECK(len <= c->max_buffer);
    if (c->session->push_lock.mutex.owner == NULL)
        CHECK(push__mailbox_check(c));
}

/* A poller's descriptor is readable while there is something to report. */
static void check_poller(void)
{
    if (!x.poller)
        return;
    const struct readyset *set = (const struct readyset *)x.poller;
    if (set->lock.mutex.owner || !waker_is_open(&set->waker))
        return;
    CHECK(explore_readable(set->waker.read_fd) == set->waker.raised);
    CHECK(set->waker.raised || (set->wakes == 0 && set->ready.next == &set->ready));
}

void fixture_check(void)
{
    check_mailbox(x.a);
    check_mailbox(x.b);
    check_poller();
}

void fixture_close(void)
{
    push_poller_free(x.poller);
    push_client_unref(x.a);
    push_client_unref(x.b);
    push_session_unref(x.session);
}
