/* Messages: immutable, reference-counted. L0. */
#ifndef PUSH_SRC_MSG_H
#define PUSH_SRC_MSG_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <push/push.h>

struct push_msg {
    _Atomic uint32_t refs; /* taken relaxed; dropped acq_rel, so that the last drop sees all others */
    uint32_t wrapped;      /* I: 0: the payload follows; 1: struct wrapped_msg */
    union {
        size_t size;    /* I, while there are references */
        push_msg *next; /* link of struct msg_list, once there are none */
    } u;
};

/* Messages whose last reference went under a lock, to be freed outside it. */
struct msg_list {
    push_msg *first;
};

/* Takes n references. */
static inline void msg_ref_many(push_msg *msg, size_t n)
{
    atomic_fetch_add_explicit(&msg->refs, (uint32_t)n, memory_order_relaxed);
}

/* Drops n references; true where they were the last, and the caller must free. */
static inline bool msg_drop(push_msg *msg, size_t n)
{
    /* Who holds all there are is alone with it: nobody else can take another. */
    return atomic_load_explicit(&msg->refs, memory_order_acquire) == (uint32_t)n ||
           atomic_fetch_sub_explicit(&msg->refs, (uint32_t)n, memory_order_acq_rel) == (uint32_t)n;
}

static inline void msg_list_add(struct msg_list *list, push_msg *msg)
{
    msg->u.next = list->first;
    list->first = msg;
}

/* Frees a message without references. May run the caller's free_fn: no lock may be held. */
void push__msg_free(push_msg *msg);

/* Drops n references and frees after the last. No lock may be held. */
static inline void msg_unref_many(push_msg *msg, size_t n)
{
    if (n > 0 && msg_drop(msg, n))
        push__msg_free(msg);
}

void push__msg_list_free(struct msg_list *list);

#endif
