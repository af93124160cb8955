/* Entry points for clients: arguments are checked, references let go. */
#include <errno.h>

#include "alloc.h"
#include "api.h"
#include "fanout.h"
#include "mailbox.h"
#include "registry.h"

static const push_client_options default_options = {.max_buffer = 10};

static bool options_valid(const push_client_options *o)
{
    if ((unsigned)o->overflow > PUSH_DISCONNECT || (unsigned)o->duplicate > PUSH_REFUSE)
        return false;
    return o->max_buffer > 0 || o->overflow == PUSH_BLOCK;
}

push_client *push_client_new(push_session *s, push_id id, const push_client_options *options)
{
    if (!options)
        options = &default_options;
    if (!s || !id_valid(id) || !options_valid(options))
        return fail(-EINVAL);
    push_client *c;
    int rc = push__roster_join(s, id, options, &c);
    return rc < 0 ? fail(rc) : c;
}

push_client *push_client_open(push_id session, push_id client, const push_client_options *options)
{
    if (!options)
        options = &default_options;
    if (!id_valid(session) || !id_valid(client) || !options_valid(options))
        return fail(-EINVAL);
    push_session *s;
    push_client *c;
    int rc = push__registry_open(session, false, client, options, &s, &c);
    if (rc < 0)
        return fail(rc);
    push__session_unref(s);
    return c;
}

push_client *push_client_find(push_session *s, push_id id)
{
    if (!s || !id_valid(id))
        return fail(-EINVAL);
    struct name name = name_of(id);
    push_client *c = push__roster_find(s, &name);
    return c ? c : fail(-ENOENT);
}

push_client *push_client_ref(push_client *c)
{
    return c ? client_ref(c) : fail(-EINVAL);
}

void push_client_unref(push_client *c)
{
    if (c)
        push__client_unref(c);
}

push_id push_client_id(const push_client *c)
{
    return c ? key_id(&c->key) : PUSH_ID_NONE;
}

push_session *push_client_session(const push_client *c)
{
    return c ? c->session : NULL;
}

void push_client_set_data(push_client *c, void *data)
{
    if (c)
        atomic_store_explicit(&c->data, data, memory_order_release);
}

void *push_client_data(const push_client *c)
{
    return c ? atomic_load_explicit(&c->data, memory_order_acquire) : NULL;
}

int push_client_send(push_client *c, push_msg *msg, int timeout_ms, push_report *report)
{
    if (!c || !msg) {
        if (report)
            *report = (push_report){0};
        return -EINVAL;
    }
    return push__fanout_client(c, msg, timeout_ms, report);
}

int push_client_pull(push_client *c, push_msg **msg, int timeout_ms)
{
    if (msg)
        *msg = NULL;
    if (!c || !msg)
        return -EINVAL;
    size_t gap = 0;
    int rc = push__mailbox_pull(c, msg, 1, &gap, timeout_ms);
    return rc < 0 ? rc : gap_result(gap);
}

int push_client_pull_many(push_client *c, push_msg **msgs, size_t max, size_t *lost, int timeout_ms)
{
    if (lost)
        *lost = 0;
    if (!c || !msgs || max == 0)
        return -EINVAL;
    size_t gap = 0;
    int rc = push__mailbox_pull(c, msgs, max, &gap, timeout_ms);
    if (lost && rc > 0)
        *lost = gap;
    return rc;
}

int push_client_unpull(push_client *c, push_msg *msg)
{
    if (!c || !msg)
        return -EINVAL;
    int rc = push__mailbox_may_unpull(c);
    if (rc == 0)
        rc = push__client_need_extra(c);
    if (rc < 0)
        return rc;
    struct returned *node = push__malloc(sizeof(*node));
    if (!node)
        return -ENOMEM;
    node->msg = msg;
    push_session *s = c->session;
    struct wakeups wakeups = {0};
    lock_acquire(&s->push_lock);
    rc = push__mailbox_unpull(c, &node, &wakeups);
    if (rc == 0 && s->snapshot)
        s->snapshot->room = 0;
    lock_release(&s->push_lock);
    push__wakeups_send(&wakeups);
    push__free(node);
    return rc;
}

int push_client_fd(push_client *c)
{
    return c ? push__mailbox_fd(c) : -EINVAL;
}

bool push_client_delete(push_client *c)
{
    if (!c)
        return false;
    struct name name = key_name(&c->key);
    bool deleted = push__registry_delete_client(c->session, &name, c);
    /* Whoever took it out of the session may still be about to close it: who closes it has deleted it. */
    return push__mailbox_close(c) || deleted;
}

int push_client_stat(push_client *c, push_client_stats *out)
{
    if (!c || !out)
        return -EINVAL;
    lock_acquire(&c->session->push_lock);
    push__mailbox_stat(c, out);
    lock_release(&c->session->push_lock);
    return 0;
}
