#include "poller.h"

#include <errno.h>

#include "alloc.h"
#include "api.h"
#include "mailbox.h"

push_poller *push_poller_new(void)
{
    push_poller *p = push__malloc(sizeof(*p));
    int rc = p ? push__readyset_init(&p->set) : -ENOMEM;
    if (rc < 0) {
        push__free(p);
        return fail(rc);
    }
    return p;
}

void push_poller_free(push_poller *p)
{
    if (!p)
        return;
    push_client *c;
    while ((c = push__readyset_first(&p->set)) != NULL)
        push_poller_remove(p, c);
    push__readyset_destroy(&p->set);
    push__free(p);
}

int push_poller_add(push_poller *p, push_client *c, void *data)
{
    if (!p || !c)
        return -EINVAL;
    int rc = push__client_need_extra(c);
    if (rc == 0) {
        client_ref(c);
        rc = push__mailbox_watch(c, &p->set, data);
        if (rc < 0)
            push__client_unref(c);
    }
    return rc;
}

int push_poller_remove(push_poller *p, push_client *c)
{
    if (!p || !c)
        return -EINVAL;
    int rc = push__mailbox_unwatch(c, &p->set);
    if (rc == 0)
        push__client_unref(c);
    return rc;
}

int push_poller_wait(push_poller *p, push_event *events, int max, int timeout_ms)
{
    if (!p || !events || max < 1)
        return -EINVAL;
    return push__readyset_wait(&p->set, events, max, timeout_ms);
}

int push_poller_fd(push_poller *p)
{
    return p ? push__readyset_fd(&p->set) : -EINVAL;
}

int push_poller_pause(push_poller *p, push_client *c)
{
    return p && c ? push__mailbox_pause(c, &p->set, true) : -EINVAL;
}

int push_poller_resume(push_poller *p, push_client *c)
{
    return p && c ? push__mailbox_pause(c, &p->set, false) : -EINVAL;
}

void push_poller_wake(push_poller *p)
{
    if (p)
        push__readyset_wake(&p->set);
}
