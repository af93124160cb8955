#include "msg.h"

#include <errno.h>
#include <string.h>

#include "alloc.h"
#include "sync.h"

/* Aligned for any object, so that the payload behind it is. */
struct inline_msg {
    struct push_msg head;
    max_align_t payload[];
};

struct wrapped_msg {
    struct push_msg head;
    void *data;
    void (*free_fn)(void *data, void *arg);
    void *arg;
};

static push_msg *msg_init(push_msg *msg, size_t size, uint32_t wrapped)
{
    atomic_init(&msg->refs, 1);
    msg->wrapped = wrapped;
    msg->u.size = size;
    return msg;
}

push_msg *push_msg_new(const void *data, size_t size)
{
    if (!data && size > 0) {
        errno = EINVAL;
        return NULL;
    }
    struct inline_msg *msg = size <= SIZE_MAX - sizeof(*msg) ? push__malloc(sizeof(*msg) + size) : NULL;
    if (!msg) {
        errno = ENOMEM;
        return NULL;
    }
    if (size > 0)
        memcpy(msg->payload, data, size);
    return msg_init(&msg->head, size, 0);
}

push_msg *push_msg_wrap(void *data, size_t size, void (*free_fn)(void *data, void *arg), void *arg)
{
    if (!data && size > 0) {
        errno = EINVAL;
        return NULL;
    }
    struct wrapped_msg *msg = push__malloc(sizeof(*msg));
    if (!msg) {
        errno = ENOMEM;
        return NULL;
    }
    msg->data = data;
    msg->free_fn = free_fn;
    msg->arg = arg;
    return msg_init(&msg->head, size, 1);
}

push_msg *push_msg_ref(push_msg *msg)
{
    if (!msg) {
        errno = EINVAL;
        return NULL;
    }
    msg_ref_many(msg, 1);
    return msg;
}

void push_msg_unref(push_msg *msg)
{
    if (msg)
        msg_unref_many(msg, 1);
}

const void *push_msg_data(const push_msg *msg)
{
    if (!msg)
        return NULL;
    return msg->wrapped ? ((const struct wrapped_msg *)msg)->data : ((const struct inline_msg *)msg)->payload;
}

size_t push_msg_size(const push_msg *msg)
{
    return msg ? msg->u.size : 0;
}

void push__msg_free(push_msg *msg)
{
    if (msg->wrapped) {
        struct wrapped_msg *wrapped = (struct wrapped_msg *)msg;
        /* The caller's function may hold a cancellation point, but the call it runs in is none. */
        if (wrapped->free_fn) {
            int state = push__cancel_off();
            wrapped->free_fn(wrapped->data, wrapped->arg);
            push__cancel_restore(state);
        }
    }
    push__free(msg);
}

void push__msg_list_free(struct msg_list *list)
{
    while (list->first) {
        push_msg *msg = list->first;
        list->first = msg->u.next;
        push__msg_free(msg);
    }
}
