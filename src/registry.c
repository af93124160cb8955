#include "registry.h"

#include <errno.h>

#include "alloc.h"
#include "mailbox.h"
#include "stripes.h"

enum { SHARD_BITS = 8, SHARDS = 1 << SHARD_BITS };

struct shard {
    _Alignas(CACHE_LINE) struct lock lock;
    struct map sessions; /* [lock] struct push_session by key; a reference each */
};

/* Static, so that a look-up never races with its end. `ready` is set under init_lock once the shards' locks and the
 * secret of the hash are there, with release; who reads it acquires. */
static struct shard shards[SHARDS];
static _Atomic bool ready;
static struct lock init_lock = LOCK_INITIALIZER(RANK_INIT);

/* The parent's tables in a forked child: out of use, but not lost. */
static struct map abandoned[SHARDS];

/* ---- Making it, and fork ---- */

static void before_fork(void)
{
    lock_acquire(&init_lock);
}

static void after_fork_parent(void)
{
    lock_release(&init_lock);
}

/* The parent's other threads may have been at work on a session: nothing of it is touched. The locks of the shards
 * and the stripes are made anew with the registry. */
static void after_fork_child(void)
{
    for (size_t i = 0; i < SHARDS; i++) {
        abandoned[i] = shards[i].sessions;
        shards[i].sessions = (struct map){0};
    }
    atomic_store_explicit(&ready, false, memory_order_relaxed);
    lock_release(&init_lock);
}

static int init_locked(void)
{
    static bool handles_fork;
    if (!handles_fork) {
        int rc = pthread_atfork(before_fork, after_fork_parent, after_fork_child);
        if (rc != 0)
            return -rc;
        handles_fork = true;
    }
    int rc = push__id_secret_init();
    if (rc == 0)
        rc = push__stripes_init();
    if (rc < 0)
        return rc;
    for (size_t i = 0; i < SHARDS; i++) {
        rc = push__lock_init(&shards[i].lock, RANK_REGISTRY);
        if (rc < 0) {
            while (i-- > 0)
                push__lock_destroy(&shards[i].lock);
            push__stripes_destroy();
            return rc;
        }
    }
    return 0;
}

static bool is_ready(void)
{
    return atomic_load_explicit(&ready, memory_order_acquire);
}

static int need_registry(void)
{
    if (is_ready())
        return 0;
    push__alloc_settle();
    int rc = 0;
    lock_acquire(&init_lock);
    if (!is_ready()) {
        rc = init_locked();
        if (rc == 0)
            atomic_store_explicit(&ready, true, memory_order_release);
    }
    lock_release(&init_lock);
    return rc;
}

/* The upper bits of the stored hash name the shard, the lower ones the slot in it. */
static struct shard *shard_of(uint32_t hash)
{
    return &shards[hash >> (32 - SHARD_BITS)];
}

/* ---- Finding and opening ---- */

static push_session *find_locked(const struct shard *shard, const struct name *name)
{
    struct key *key = push__map_get(&shard->sessions, name);
    return key ? session_of_key(key) : NULL;
}

static push_session *find(const struct name *name)
{
    struct shard *shard = shard_of(name->hash);
    lock_acquire(&shard->lock);
    push_session *s = find_locked(shard, name);
    if (s)
        session_ref(s);
    lock_release(&shard->lock);
    return s;
}

push_session *push__registry_find(push_id id)
{
    push__alloc_settle();
    if (!is_ready())
        return NULL;
    struct name name = name_of(id);
    return find(&name);
}

/* From now on the session stays when its last client goes. False: it has gone already. */
static bool name_it(push_session *s)
{
    if (session_has(s, SESSION_NAMED))
        return true;
    struct shard *shard = shard_of(s->key.hash);
    lock_acquire(&shard->lock);
    bool there = !session_has(s, SESSION_CLOSED);
    if (there)
        session_set(s, SESSION_NAMED);
    lock_release(&shard->lock);
    return there;
}

/* Adds a session under an id that is not taken, and takes over a reference. Returns 0, -EEXIST, -ENOMEM. */
static int insert(push_session *s)
{
    struct name name = key_name(&s->key);
    struct shard *shard = shard_of(name.hash);
    struct key **table = NULL;
    uint32_t cap = 0;
    for (;;) {
        int rc = 0;
        lock_acquire(&shard->lock);
        uint32_t needs = push__map_needs(&shard->sessions);
        if (find_locked(shard, &name)) {
            rc = -EEXIST;
        } else if (needs == 0 || (table && cap == needs)) {
            if (needs > 0)
                table = push__map_install(&shard->sessions, table, needs);
            push__map_add(&shard->sessions, &s->key);
            needs = 0;
        }
        lock_release(&shard->lock);
        push__free(table);
        if (rc < 0 || needs == 0)
            return rc;
        cap = needs;
        table = push__map_table(cap);
        if (!table)
            return -ENOMEM;
    }
}

/* Ends a session that is in no shard, and lets go of the shard's reference. */
static void end_session(push_session *s)
{
    struct map clients;
    push__roster_close(s, false, &clients);
    push__roster_dismiss(s, &clients);
    push__session_unref(s);
}

/* A new session, its first client in it before anybody can find it. Returns as insert. */
static int create(const struct name *session, bool named, push_id client, const push_client_options *options,
                  push_session **s, push_client **c)
{
    int rc;
    push_session *fresh = push__session_create(session, &rc);
    if (!fresh)
        return rc;
    if (named)
        session_set(fresh, SESSION_NAMED);
    if (options) {
        struct name name = name_of(client);
        push_client *first = push__client_create(fresh, &name, options, &rc);
        if (!first) {
            push__session_unref(fresh);
            return rc;
        }
        push__roster_found(fresh, first);
        *c = client_ref(first);
    }
    session_ref(fresh); /* the caller's; the first one goes to the registry */
    rc = insert(fresh);
    if (rc < 0) {
        if (options)
            push__client_unref(*c);
        push__session_unref(fresh);
        end_session(fresh);
        return rc;
    }
    *s = fresh;
    return 0;
}

int push__registry_open(push_id session, bool named, push_id client, const push_client_options *options,
                        push_session **s, push_client **c)
{
    int rc = need_registry();
    if (rc < 0)
        return rc;
    struct name name = name_of(session);
    for (;;) {
        push_session *found = find(&name);
        if (!found) {
            rc = create(&name, named, client, options, s, c);
            if (rc == -EEXIST)
                continue; /* somebody was quicker */
            return rc;
        }
        rc = options ? push__roster_join(found, client, options, c) : 0;
        if (rc == 0 && (!named || name_it(found))) {
            *s = found;
            return 0;
        }
        if (rc == 0 && options)
            push__client_unref(*c);
        push__session_unref(found);
        if (rc < 0 && rc != -EPIPE)
            return rc;
        /* It was deleted meanwhile: once more, with a new one. */
    }
}

/* ---- Deleting ---- */

/* Takes the session out of its shard: the caller gets the registry's reference, and *table to free. False: a
 * shutdown has taken it. */
static bool remove_locked(struct shard *shard, push_session *s, struct key ***table)
{
    bool removed = push__map_remove(&shard->sessions, &s->key);
    *table = push__map_release(&shard->sessions);
    return removed;
}

bool push__registry_delete_client(push_session *s, const struct name *name, const push_client *exact)
{
    struct shard *shard = shard_of(s->key.hash);
    struct key **table = NULL;
    bool last = false;
    /* Once named, always named: then the session stays, and the shard is none of our business. */
    bool named = session_has(s, SESSION_NAMED);
    if (!named)
        lock_acquire(&shard->lock);
    push__roster_lock(s);
    push_client *c = push__roster_take_locked(s, name, exact);
    if (c && s->clients.len == 0 && !session_has(s, SESSION_NAMED | SESSION_CLOSED)) {
        last = remove_locked(shard, s, &table);
        if (last)
            session_set(s, SESSION_CLOSED);
    }
    struct key **clients_table = c ? push__map_release(&s->clients) : NULL;
    push__roster_unlock(s);
    if (!named)
        lock_release(&shard->lock);

    push__free(table);
    push__free(clients_table);
    bool closed = c && push__roster_left(s, c);
    /* It has no client and, since it left, no snapshot: closing it took nothing more than the flag. */
    if (last)
        push__session_unref(s);
    return closed;
}

bool push__registry_delete(push_id id, bool only_empty)
{
    if (!is_ready())
        return false;
    struct name name = name_of(id);
    struct shard *shard = shard_of(name.hash);
    struct key **table = NULL;
    struct map clients;
    lock_acquire(&shard->lock);
    push_session *s = find_locked(shard, &name);
    bool goes = s && push__roster_close(s, only_empty, &clients);
    if (goes)
        remove_locked(shard, s, &table);
    lock_release(&shard->lock);
    push__free(table);
    if (goes) {
        push__roster_dismiss(s, &clients);
        push__session_unref(s);
    }
    return goes;
}

void push__registry_shutdown(void)
{
    if (!is_ready())
        return;
    for (size_t i = 0; i < SHARDS; i++) {
        lock_acquire(&shards[i].lock);
        struct map sessions = shards[i].sessions;
        shards[i].sessions = (struct map){0};
        lock_release(&shards[i].lock);
        struct key *key;
        for (uint32_t at = 0; (key = push__map_next(&sessions, &at)) != NULL;)
            end_session(session_of_key(key));
        if (sessions.cap > 0)
            push__free(sessions.u.table);
    }
}

int push__registry_list(struct idlist *list)
{
    for (size_t i = 0; i < SHARDS && is_ready(); i++) {
        int rc = push__idlist_add_map(list, &shards[i].lock, &shards[i].sessions);
        if (rc < 0)
            return rc;
    }
    return 0;
}
