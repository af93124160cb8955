#include "mailbox_model.h"

#include <errno.h>
#include <string.h>

#include "helpers.h"

void model_init(struct model *m, struct model_message *messages, const push_client_options *options)
{
    *m = (struct model){.messages = messages,
                        .max_buffer = options->max_buffer,
                        .max_bytes = options->max_bytes,
                        .overflow = options->overflow};
}

static size_t size_of(const struct model *m, int message)
{
    return m->messages[message].size;
}

static size_t bytes_queued(const struct model *m)
{
    size_t bytes = 0;
    for (size_t i = 0; i < m->len; i++)
        bytes += size_of(m, m->queue[i].message);
    return bytes;
}

/* A pull that waits at a rendezvous and was handed nothing yet. */
static bool has_receiver(const struct model *m)
{
    return m->max_buffer == 0 && !m->closed && m->handed_len < m->waiting_pulls;
}

/* Whoever waits already is not looked at. */
static bool fits(const struct model *m, size_t size)
{
    if (m->max_buffer == 0)
        return has_receiver(m);
    if (m->len >= m->max_buffer)
        return false;
    if (m->max_bytes == 0 || m->len == 0)
        return true;
    size_t bytes = bytes_queued(m);
    return bytes <= m->max_bytes && size <= m->max_bytes - bytes;
}

static bool is_full(const struct model *m, size_t size)
{
    return m->waiting_len > 0 || !fits(m, size);
}

static void mark(struct model *m)
{
    if (m->len > m->high_water)
        m->high_water = m->len;
}

static void append(struct model *m, int message, size_t gap)
{
    assert_true(m->len < MODEL_QUEUE);
    m->queue[m->len++] = (struct model_entry){message, gap};
    m->pushed++;
}

static void take_reference(struct model *m, int message)
{
    m->messages[message].refs++;
}

static void drop_reference(struct model *m, int message)
{
    m->messages[message].refs--;
}

static struct model_entry remove_first(struct model *m)
{
    struct model_entry first = m->queue[0];
    m->len--;
    memmove(m->queue, m->queue + 1, m->len * sizeof(m->queue[0]));
    return first;
}

static void evict(struct model *m)
{
    struct model_entry oldest = remove_first(m);
    size_t *gap = m->len > 0 ? &m->queue[0].gap : &m->pending_gap;
    *gap += oldest.gap + 1;
    drop_reference(m, oldest.message);
    m->dropped++;
}

static void hand_over(struct model *m, int message)
{
    assert_true(m->handed_len < MODEL_QUEUE);
    m->handed[m->handed_len++] = message;
    m->pulled++;
}

static int take(struct model *m, int message, push_report *report)
{
    if (has_receiver(m)) {
        hand_over(m, message);
        m->pushed++;
    } else {
        append(m, message, m->pending_gap);
        m->pending_gap = 0;
        mark(m);
    }
    take_reference(m, message);
    report->delivered++;
    return 1;
}

int model_send(struct model *m, int message, push_report *report)
{
    size_t size = size_of(m, message);
    if (m->closed)
        return -EPIPE;
    if (!is_full(m, size))
        return take(m, message, report);
    switch (m->overflow) {
    case PUSH_BLOCK:
        report->timed_out++;
        break;
    case PUSH_DROP_NEWEST:
        m->pending_gap++;
        m->dropped++;
        report->dropped++;
        break;
    case PUSH_DROP_OLDEST:
        while (!fits(m, size))
            evict(m);
        report->dropped++;
        return take(m, message, report);
    case PUSH_DISCONNECT:
        model_close(m);
        report->disconnected++;
        break;
    }
    return 0;
}

static void remove_waiting(struct model *m, size_t at)
{
    m->waiting_len--;
    memmove(m->waiting + at, m->waiting + at + 1, (m->waiting_len - at) * sizeof(m->waiting[0]));
}

static void deliver_first(struct model *m)
{
    struct model_push *push = m->waiting[0];
    remove_waiting(m, 0);
    push->state = MODEL_DELIVERED;
    append(m, push->message, 0);
    /* A rendezvous has no queue for it to be in: the pull that asked has it. */
    if (m->max_buffer > 0)
        mark(m);
}

static void move_up(struct model *m)
{
    while (m->waiting_len > 0 && fits(m, size_of(m, m->waiting[0]->message)))
        deliver_first(m);
}

bool model_would_wait(const struct model *m, int message)
{
    return !m->closed && m->overflow == PUSH_BLOCK && is_full(m, size_of(m, message));
}

bool model_park(struct model *m, struct model_push *push, push_report *report)
{
    if (!model_would_wait(m, push->message)) {
        model_send(m, push->message, report);
        return false;
    }
    assert_true(m->waiting_len < MODEL_WAITING);
    push->state = MODEL_WAITS;
    m->waiting[m->waiting_len++] = push;
    take_reference(m, push->message);
    return true;
}

void model_withdraw(struct model *m, struct model_push *push)
{
    for (size_t i = 0; i < m->waiting_len; i++) {
        if (m->waiting[i] == push) {
            remove_waiting(m, i);
            push->state = MODEL_WITHDRAWN;
            drop_reference(m, push->message);
            move_up(m);
            return;
        }
    }
    fail_msg("no such push waits");
}

int model_pull(struct model *m, int *messages, size_t max, size_t *lost)
{
    int n = 0;
    *lost = 0;
    while ((size_t)n < max) {
        if (m->len == 0 && m->waiting_len > 0)
            deliver_first(m);
        if (m->len == 0 || (n > 0 && m->queue[0].gap > 0))
            break;
        struct model_entry first = remove_first(m);
        if (n == 0)
            *lost = first.gap;
        messages[n++] = first.message;
        m->pulled++;
        move_up(m);
    }
    if (n > 0)
        return n;
    return m->closed ? -EPIPE : -EAGAIN;
}

static void put_in_front(struct model *m, int message)
{
    assert_true(m->len < MODEL_QUEUE);
    memmove(m->queue + 1, m->queue, m->len * sizeof(m->queue[0]));
    m->queue[0] = (struct model_entry){message, 0};
    m->len++;
    mark(m);
}

int model_unpull(struct model *m, int message)
{
    if (m->taken_over)
        return -EPIPE;
    if (m->pulled == 0)
        return -EINVAL;
    m->pulled--;
    if (has_receiver(m))
        hand_over(m, message);
    else
        put_in_front(m, message);
    return 0;
}

bool model_receive(struct model *m, int message)
{
    for (size_t i = 0; i < m->handed_len; i++) {
        if (m->handed[i] == message) {
            m->handed_len--;
            memmove(m->handed + i, m->handed + i + 1, (m->handed_len - i) * sizeof(m->handed[0]));
            return true;
        }
    }
    return false;
}

void model_close(struct model *m)
{
    m->closed = true;
    while (m->waiting_len > 0) {
        struct model_push *push = m->waiting[0];
        remove_waiting(m, 0);
        push->state = MODEL_CLOSED_UNDER_IT;
        drop_reference(m, push->message);
    }
}

void model_take_over(struct model *from, struct model *to)
{
    size_t waiting_pulls = from->waiting_pulls;
    *to = *from;
    to->waiting_pulls = 0;
    while (to->handed_len > 0) {
        put_in_front(to, to->handed[--to->handed_len]);
        to->pulled--;
    }
    *from = (struct model){.messages = to->messages,
                           .max_buffer = to->max_buffer,
                           .overflow = to->overflow,
                           .waiting_pulls = waiting_pulls,
                           .closed = true,
                           .taken_over = true};
}

void model_destroy(struct model *m)
{
    model_close(m);
    while (m->len > 0)
        drop_reference(m, remove_first(m).message);
}

bool model_has_message(const struct model *m)
{
    return m->len > 0 || m->waiting_len > 0;
}

push_client_stats model_stats(const struct model *m)
{
    return (push_client_stats){.queued = m->len,
                               .queued_bytes = bytes_queued(m),
                               .max_buffer = m->max_buffer,
                               .high_water = m->high_water,
                               .pushed = m->pushed,
                               .pulled = m->pulled,
                               .dropped = m->dropped,
                               .closed = m->closed};
}
