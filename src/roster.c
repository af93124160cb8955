#include "roster.h"

#include <errno.h>

#include "alloc.h"
#include "mailbox.h"
#include "stripes.h"

/* ---- Looking up ---- */

/* Pulls by id that take the clients lock before they take stripes instead. */
#ifndef PUSH_LOOKUPS_MAX
#define PUSH_LOOKUPS_MAX 32
#endif

/* The lock under which the map can be looked at. */
static struct lock *lookup_lock(push_session *s, const struct name *name)
{
    return session_has(s, SESSION_STRIPED) ? push__stripe_here(s->key.hash, name->hash) : &s->clients_lock;
}

static void count_lookup_locked(push_session *s)
{
    if (s->lookups == PUSH_LOOKUPS_MAX)
        session_set(s, SESSION_STRIPED);
    else
        s->lookups++;
}

void push__roster_lock(push_session *s)
{
    lock_acquire(&s->clients_lock);
    if (session_has(s, SESSION_STRIPED))
        push__stripes_acquire_all(s->key.hash);
}

void push__roster_unlock(push_session *s)
{
    if (session_has(s, SESSION_STRIPED))
        push__stripes_release_all(s->key.hash);
    lock_release(&s->clients_lock);
}

push_client *push__roster_find(push_session *s, const struct name *name)
{
    struct lock *lock = lookup_lock(s, name);
    lock_acquire(lock);
    struct key *key = push__map_get(&s->clients, name);
    push_client *c = key ? client_ref(client_of_key(key)) : NULL;
    lock_release(lock);
    return c;
}

push_client *push__roster_find_locked(push_session *s, const struct name *name)
{
    struct lock *lock = lookup_lock(s, name);
    lock_acquire(lock);
    if (lock == &s->clients_lock)
        count_lookup_locked(s);
    struct key *key = push__map_get(&s->clients, name);
    push_client *c = key ? client_of_key(key) : NULL;
    if (c)
        lock_acquire(&c->lock);
    lock_release(lock);
    return c;
}

void push__roster_found(push_session *s, push_client *c)
{
    push__map_add(&s->clients, &c->key);
    session_set(s, SESSION_STALE);
}

/* ---- Joining ---- */

/* What a join may need, made before any lock is taken, and what it leaves to be freed after. */
struct join {
    push_client *fresh; /* in: the new client; NULL once it is in the map */
    struct key **table; /* in: a larger table; out: the old one */
    uint32_t table_cap;
    push_client *displaced; /* out: the map's reference to the client that had the id */
    struct wakeups wakeups; /* out: of that client's pulls */
};

/* A client of that id is there, and open. Under the clients lock, and for a take-over the push lock. */
static int meet_locked(push_session *s, push_client *there, push_duplicate duplicate, struct join *join,
                       push_client **out)
{
    switch (duplicate) { /* GCOVR_EXCL_BR_LINE: each value has a case, no other occurs */
    case PUSH_SHARE:
        *out = client_ref(there);
        return 0;
    case PUSH_REFUSE:
        return -EEXIST;
    case PUSH_TAKEOVER:
        push__mailbox_move(there, join->fresh, &join->wakeups);
        atomic_store_explicit(&join->fresh->data, atomic_load_explicit(&there->data, memory_order_acquire),
                              memory_order_release);
        break;
    case PUSH_REPLACE:
        break;
    }
    push__map_replace(&s->clients, &there->key, &join->fresh->key);
    join->displaced = there;
    return 1;
}

/* 0: *out is a client with a reference for the caller. 1: the map must grow first: join->table_cap says to what. */
static int join_locked(push_session *s, const struct name *name, push_duplicate duplicate, struct join *join,
                       push_client **out)
{
    if (session_has(s, SESSION_CLOSED))
        return -EPIPE;
    struct key *key = push__map_get(&s->clients, name);
    if (key && client_is_closed(client_of_key(key))) {
        /* A push has just disconnected it, and will not find it here any more when it comes to unlink it. */
        join->displaced = client_of_key(key);
        push__map_replace(&s->clients, key, &join->fresh->key);
    } else if (key) {
        int rc = meet_locked(s, client_of_key(key), duplicate, join, out);
        if (rc <= 0)
            return rc;
    } else {
        uint32_t needs = push__map_needs(&s->clients);
        if (needs > 0) {
            if (!join->table || join->table_cap != needs) {
                join->table_cap = needs;
                return 1;
            }
            join->table = push__map_install(&s->clients, join->table, needs);
            join->table_cap = 0;
        }
        push__map_add(&s->clients, &join->fresh->key);
    }
    *out = client_ref(join->fresh);
    join->fresh = NULL;
    session_set(s, SESSION_STALE);
    return 0;
}

/* Drops the snapshot if it is not the map any more. No lock is held. One that is made from now on has nobody in it
 * who left before. */
static void drop_stale_snapshot(push_session *s)
{
    if (!session_has(s, SESSION_PUSHED))
        return;
    struct snapshot *old = NULL;
    lock_acquire(&s->push_lock);
    if (session_has(s, SESSION_STALE | SESSION_CLOSED)) {
        old = s->snapshot;
        s->snapshot = NULL;
    }
    lock_release(&s->push_lock);
    push__snapshot_unref(old);
}

int push__roster_join(push_session *s, push_id id, const push_client_options *options, push_client **out)
{
    struct name name = name_of(id);
    bool takes_over = options->duplicate == PUSH_TAKEOVER;
    if (options->duplicate == PUSH_SHARE && (*out = push__roster_find(s, &name)) != NULL) {
        if (!client_is_closed(*out))
            return 0;
        push__client_unref(*out);
    }
    *out = NULL;
    int rc;
    struct join join = {.fresh = push__client_create(s, &name, options, &rc)};
    if (!join.fresh)
        return rc;
    rc = takes_over ? push__client_need_extra(join.fresh) : 0;
    while (rc == 0) {
        if (takes_over)
            lock_acquire(&s->push_lock);
        push__roster_lock(s);
        rc = join_locked(s, &name, options->duplicate, &join, out);
        push__roster_unlock(s);
        if (takes_over)
            lock_release(&s->push_lock);
        if (rc != 1)
            break;
        push__free(join.table);
        join.table = push__map_table(join.table_cap);
        rc = join.table ? 0 : -ENOMEM;
    }
    push__wakeups_send(&join.wakeups);
    push__free(join.table);
    if (join.fresh)
        push__client_unref(join.fresh);
    if (join.displaced)
        push__roster_left(s, join.displaced);
    return rc;
}

/* ---- Leaving ---- */

push_client *push__roster_take_locked(push_session *s, const struct name *name, const push_client *exact)
{
    struct key *key = push__map_get(&s->clients, name);
    if (!key || (exact && key != &exact->key))
        return NULL;
    push__map_remove(&s->clients, key);
    session_set(s, SESSION_STALE);
    return client_of_key(key);
}

bool push__roster_left(push_session *s, push_client *c)
{
    bool closed = push__mailbox_close(c);
    drop_stale_snapshot(s);
    push__client_unref(c);
    return closed;
}

bool push__roster_close(push_session *s, bool only_empty, struct map *clients)
{
    push__roster_lock(s);
    bool closes = !only_empty || s->clients.len == 0;
    if (closes) {
        session_set(s, SESSION_CLOSED);
        *clients = s->clients;
        s->clients = (struct map){0};
    }
    push__roster_unlock(s);
    return closes;
}

void push__roster_dismiss(push_session *s, struct map *clients)
{
    struct key *key;
    for (uint32_t at = 0; (key = push__map_next(clients, &at)) != NULL;)
        push__mailbox_close(client_of_key(key));
    drop_stale_snapshot(s);
    for (uint32_t at = 0; (key = push__map_next(clients, &at)) != NULL;)
        push__client_unref(client_of_key(key));
    if (clients->cap > 0)
        push__free(clients->u.table);
}

/* ---- The snapshot ---- */

/* Whether a push may have to wait there though the ring has room: a rendezvous, or max_bytes. Those have WORD_SLOW
 * for good. */
static bool is_special(const push_client *c)
{
    return c->overflow == PUSH_BLOCK && (atomic_load_explicit(&c->word, memory_order_acquire) & WORD_SLOW);
}

static struct snapshot *snapshot_new(size_t len)
{
    /* No overflow: so many clients are there, each larger than a pointer. */
    struct snapshot *snapshot = push__malloc(sizeof(*snapshot) + len * sizeof(push_client *));
    if (snapshot) {
        atomic_init(&snapshot->refs, 1);
        snapshot->room = 0;
        snapshot->special = 0;
        snapshot->len = 0;
    }
    return snapshot;
}

static void snapshot_add(struct snapshot *snapshot, push_client *c)
{
    size_t at = snapshot->len++;
    if (is_special(c)) {
        size_t first_plain = snapshot->special++;
        if (first_plain < at)
            snapshot->clients[at] = snapshot->clients[first_plain];
        at = first_plain;
    }
    snapshot->clients[at] = client_ref(c);
}

int push__snapshot_refresh(push_session *s, struct snapshot **old)
{
    *old = NULL;
    if (s->snapshot && !session_has(s, SESSION_STALE | SESSION_CLOSED))
        return 0;
    struct snapshot *snapshot = NULL;
    size_t cap = 0;
    for (;;) {
        lock_acquire(&s->clients_lock);
        bool closed = session_has(s, SESSION_CLOSED);
        if (!closed)
            session_set(s, SESSION_PUSHED);
        size_t len = s->clients.len;
        if (!closed && snapshot && len <= cap) {
            struct key *key;
            for (uint32_t at = 0; (key = push__map_next(&s->clients, &at)) != NULL;)
                snapshot_add(snapshot, client_of_key(key));
            session_clear(s, SESSION_STALE);
            lock_release(&s->clients_lock);
            *old = s->snapshot;
            s->snapshot = snapshot;
            return 0;
        }
        lock_release(&s->clients_lock);
        push__free(snapshot);
        if (closed)
            return -EPIPE;
        cap = len;
        snapshot = snapshot_new(cap);
        if (!snapshot)
            return -ENOMEM;
    }
}

void push__snapshot_unref(struct snapshot *snapshot)
{
    if (!snapshot || atomic_fetch_sub_explicit(&snapshot->refs, 1, memory_order_acq_rel) != 1)
        return;
    for (size_t i = 0; i < snapshot->len; i++)
        push__client_unref(snapshot->clients[i]);
    push__free(snapshot);
}
