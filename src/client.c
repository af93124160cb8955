#include "client.h"

#include <errno.h>
#include <string.h>

#include "alloc.h"
#include "session.h"

static struct client_extra *extra_new(void)
{
    struct client_extra *extra = push__malloc(sizeof(*extra));
    if (extra) {
        memset(extra, 0, sizeof(*extra));
        extra->waker = (struct waker)WAKER_CLOSED;
    }
    return extra;
}

push_client *push__client_create(push_session *s, const struct name *name, const push_client_options *options,
                                 int *rc)
{
    push_client *c = push__malloc(sizeof(*c) + key_extra(name->id));
    *rc = -ENOMEM;
    if (!c)
        return NULL;
    memset(c, 0, sizeof(*c));
    bool special = options->max_buffer == 0 || options->max_bytes > 0;
    if (special) {
        c->extra = extra_new();
        if (!c->extra)
            goto fail_extra;
        c->extra->max_bytes = options->max_bytes;
    }
    *rc = push__lock_init(&c->lock, RANK_MAILBOX);
    if (*rc < 0)
        goto fail_lock;
    atomic_init(&c->data, NULL);
    c->session = session_ref(s);
    c->max_buffer = options->max_buffer;
    c->overflow = (uint8_t)options->overflow;
    c->patience = PATIENCE_MAX;
    atomic_init(&c->word, special ? WORD_SLOW : 0);
    atomic_init(&c->refs, 1);
    key_init(&c->key, name);
    return c;

fail_lock:
    push__free(c->extra);
fail_extra:
    push__free(c);
    return NULL;
}

int push__client_need_extra(push_client *c)
{
    lock_acquire(&c->lock);
    bool there = c->extra != NULL;
    lock_release(&c->lock);
    if (there)
        return 0;
    struct client_extra *extra = extra_new();
    if (!extra)
        return -ENOMEM;
    lock_acquire(&c->lock);
    if (!c->extra) {
        c->extra = extra;
        extra = NULL;
    }
    lock_release(&c->lock);
    push__free(extra);
    return 0;
}

static void free_messages(push_client *c)
{
    struct client_extra *extra = c->extra;
    while (extra && extra->returned) {
        struct returned *node = extra->returned;
        extra->returned = node->next;
        msg_unref_many(node->msg, 1);
        push__free(node);
    }
    struct ring *ring = c->pull_ring;
    if (ring) {
        uint64_t tail = atomic_load_explicit(&c->word, memory_order_relaxed) >> WORD_SHIFT;
        for (uint64_t n = ring_len(ring, tail); n > 0; n--)
            msg_unref_many(ring_take(ring), 1);
    }
}

void push__client_unref(push_client *c)
{
    if (atomic_fetch_sub_explicit(&c->refs, 1, memory_order_acq_rel) != 1)
        return;
    free_messages(c);
    push__ring_free(c->ring);
    if (c->extra) {
        push__waker_close(&c->extra->waker);
        push__free(c->extra);
    }
    push__lock_destroy(&c->lock);
    push__session_unref(c->session);
    push__free(c);
}
