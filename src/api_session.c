/* Entry points for sessions: arguments are checked, ids looked up, references let go. */
#include <errno.h>

#include "alloc.h"
#include "api.h"
#include "fanout.h"
#include "idlist.h"
#include "mailbox.h"
#include "registry.h"

push_session *push_session_new(push_id session, push_id client, size_t max_buffer)
{
    if (!id_valid(session) || !id_valid_or_none(client))
        return fail(-EINVAL);
    push_client_options options = {.max_buffer = max_buffer};
    bool with_client = !id_is_none(client);
    push_session *s;
    push_client *c = NULL;
    int rc = push__registry_open(session, true, client, with_client ? &options : NULL, &s, &c);
    if (rc < 0)
        return fail(rc);
    if (c)
        push__client_unref(c);
    return s;
}

push_session *push_session_find(push_id session)
{
    if (!id_valid(session))
        return fail(-EINVAL);
    push_session *s = push__registry_find(session);
    return s ? s : fail(-ENOENT);
}

push_session *push_session_ref(push_session *s)
{
    return s ? session_ref(s) : fail(-EINVAL);
}

void push_session_unref(push_session *s)
{
    if (s)
        push__session_unref(s);
}

push_id push_session_id(const push_session *s)
{
    return s ? key_id(&s->key) : PUSH_ID_NONE;
}

int push_session_push(push_session *s, const void *data, size_t size)
{
    if (!s || (!data && size > 0))
        return -EINVAL;
    push_msg *msg = push_msg_new(data, size);
    if (!msg)
        return -errno;
    return push__fanout_session(s, msg, PUSH_ID_NONE, -1, NULL, true);
}

int push_session_send(push_session *s, push_msg *msg, push_id except, int timeout_ms, push_report *report)
{
    if (!s || !msg || !id_valid_or_none(except)) {
        if (report)
            *report = (push_report){0};
        return -EINVAL;
    }
    return push__fanout_session(s, msg, except, timeout_ms, report, false);
}

static void unref_client(void *c)
{
    push__client_unref(c);
}

int push_session_pull(push_session *s, push_id client, push_msg **msg, int timeout_ms)
{
    if (msg)
        *msg = NULL;
    if (!s || !msg || !id_valid(client))
        return -EINVAL;
    push_client *c = push__roster_find_locked(s, push__name_again(client));
    if (!c)
        return -ENOENT;
    size_t gap = 0;
    if (push__mailbox_take_locked(c, msg, &gap))
        return gap_result(gap);
    client_ref(c);
    lock_release(&c->lock);
    int rc;
    pthread_cleanup_push(unref_client, c);
    rc = push_client_pull(c, msg, timeout_ms);
    pthread_cleanup_pop(1);
    return rc;
}

int push_session_pull_fd(push_session *s, push_id client)
{
    if (!s || !id_valid(client))
        return -EINVAL;
    struct name name = name_of(client);
    push_client *c = push__roster_find(s, &name);
    if (!c)
        return -ENOENT;
    int rc = push__mailbox_fd(c);
    push__client_unref(c);
    return rc;
}

bool push_session_delete_client(push_session *s, push_id client)
{
    if (!s || !id_valid(client))
        return false;
    struct name name = name_of(client);
    return push__registry_delete_client(s, &name, NULL);
}

size_t push_session_len(push_session *s)
{
    if (!s)
        return 0;
    lock_acquire(&s->clients_lock);
    size_t len = s->clients.len;
    lock_release(&s->clients_lock);
    return len;
}

/* The list as the caller gets it. */
static push_id *hand_out(struct idlist *list, int rc, size_t *count)
{
    size_t len = list->len;
    push_id *ids = rc == 0 ? push__idlist_finish(list) : NULL;
    push__idlist_free(list);
    if (count)
        *count = ids ? len : 0;
    return ids ? ids : fail(-ENOMEM);
}

push_id *push_session_clients(push_session *s, size_t *count)
{
    if (!s) {
        if (count)
            *count = 0;
        return fail(-EINVAL);
    }
    struct idlist list = {0};
    int rc = push__idlist_add_map(&list, &s->clients_lock, &s->clients);
    return hand_out(&list, rc, count);
}

push_id *push_sessions(size_t *count)
{
    struct idlist list = {0};
    int rc = push__registry_list(&list);
    return hand_out(&list, rc, count);
}

void push_ids_free(push_id *ids)
{
    push__free(ids);
}

bool push_session_exists(push_id session)
{
    push_session *s = id_valid(session) ? push__registry_find(session) : NULL;
    if (s)
        push__session_unref(s);
    return s != NULL;
}

bool push_session_delete(push_id session)
{
    return id_valid(session) && push__registry_delete(session, false);
}

bool push_session_delete_if_empty(push_id session)
{
    return id_valid(session) && push__registry_delete(session, true);
}

void push_shutdown(void)
{
    push__registry_shutdown();
}
