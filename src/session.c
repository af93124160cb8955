#include "session.h"

#include <errno.h>
#include <string.h>

#include "alloc.h"

push_session *push__session_create(const struct name *name, int *rc)
{
    push_session *s = push__malloc(sizeof(*s) + key_extra(name->id));
    if (!s) {
        *rc = -ENOMEM;
        return NULL;
    }
    memset(s, 0, sizeof(*s));
    *rc = push__lock_init(&s->push_lock, RANK_PUSH);
    if (*rc < 0)
        goto fail_push_lock;
    *rc = push__lock_init(&s->clients_lock, RANK_CLIENTS);
    if (*rc < 0)
        goto fail_clients_lock;
    atomic_init(&s->flags, 0);
    atomic_init(&s->patience, PATIENCE_MAX);
    atomic_init(&s->refs, 1);
    key_init(&s->key, name);
    return s;

fail_clients_lock:
    push__lock_destroy(&s->push_lock);
fail_push_lock:
    push__free(s);
    return NULL;
}

void push__session_unref(push_session *s)
{
    if (atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel) != 1)
        return;
    push__lock_destroy(&s->clients_lock);
    push__lock_destroy(&s->push_lock);
    push__free(s);
}
