/*
 * Who belongs to a session: joining, leaving, and the snapshot that pushes walk. L2.
 *
 * Joining and leaving only mark the snapshot stale: the next push builds it anew, so that a storm of joins costs
 * nothing extra. Leaving drops it as well, or it would hold on to clients that are gone.
 */
#ifndef PUSH_SRC_ROSTER_H
#define PUSH_SRC_ROSTER_H

#include "client.h"
#include "session.h"

/* The clients of a session at one time. Its array never changes. */
struct snapshot {
    _Atomic uint32_t refs;
    size_t room;    /* [p] pushes for which every plain mailbox has room in its ring as it is: no need to reserve */
    size_t special; /* I the first clients, which must be looked at before every push: see is_special in roster.c */
    size_t len;     /* I */
    push_client *clients[]; /* I a reference each */
};

/* To change the client map: the clients lock, and the look-ups' locks where there are some. */
void push__roster_lock(push_session *s);
void push__roster_unlock(push_session *s);

/* The client of that name, with a reference; NULL. */
push_client *push__roster_find(push_session *s, const struct name *name);

/* The same, with its mailbox lock held instead of a reference: enough to keep it, because whoever takes a client
 * out of the map closes it, under that lock, before he lets its reference go. */
push_client *push__roster_find_locked(push_session *s, const struct name *name);

/* Finds, makes, or replaces a client as options->duplicate says: one reference in *out. The options are valid.
 * Returns 0; -EPIPE: the session is closed; -EEXIST, -ENOMEM, or what making a lock said. */
int push__roster_join(push_session *s, push_id id, const push_client_options *options, push_client **out);

/* The first client of a session that nobody knows yet: needs no lock, cannot fail. Takes over the reference. */
void push__roster_found(push_session *s, push_client *c);

/* Takes a client out of the map: the one of that name, or, with `exact`, this very one. Under push__roster_lock.
 * The caller gets the map's reference, and calls push__roster_left with it once no lock is held; that returns false
 * where a push had disconnected it already. NULL: it is not there. */
push_client *push__roster_take_locked(push_session *s, const struct name *name, const push_client *exact);
bool push__roster_left(push_session *s, push_client *c);

/* Closes the session, and hands its clients over, to be dismissed. False: it has some, and is to go only when
 * empty.
 */
bool push__roster_close(push_session *s, bool only_empty, struct map *clients);

/* Closes the clients of a closed session, and lets them go. No lock is held. */
void push__roster_dismiss(push_session *s, struct map *clients);

/* Brings s->snapshot up to date. Under the push lock. Returns 0, -EPIPE, -ENOMEM. An old snapshot goes to *old, for
 * push__snapshot_unref once no lock is held. */
int push__snapshot_refresh(push_session *s, struct snapshot **old);
void push__snapshot_unref(struct snapshot *snapshot);

static inline struct snapshot *snapshot_ref(struct snapshot *snapshot)
{
    atomic_fetch_add_explicit(&snapshot->refs, 1, memory_order_relaxed);
    return snapshot;
}

#endif
