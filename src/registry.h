/*
 * The registry: which session has which id. A hash map in shards, each with a lock of its own, so that one that
 * grows stalls only itself. All calls that must see a session and its clients at one instant are here too, because
 * they hold a shard's lock and a session's clients lock together. L3.
 */
#ifndef PUSH_SRC_REGISTRY_H
#define PUSH_SRC_REGISTRY_H

#include "idlist.h"
#include "roster.h"

/* The session of that id, with a reference; NULL. */
push_session *push__registry_find(push_id id);

/* Finds or creates the session, and in it, unless options is NULL, the client as push__roster_join; all of it, or
 * nothing. `named`: the session stays when its last client goes. References in *s, and in *c where there are
 * options. Returns 0 or a negative errno value. */
int push__registry_open(push_id session, bool named, push_id client, const push_client_options *options,
                        push_session **s, push_client **c);

/* Deletes the client of that name, or with `exact` this very one, and with the last one a session that was not
 * named. False: there was none. */
bool push__registry_delete_client(push_session *s, const struct name *name, const push_client *exact);

/* Deletes a session; with `only_empty`, only one without clients. False: there was none. */
bool push__registry_delete(push_id id, bool only_empty);

/* Adds the ids of all sessions, a shard at a time. Returns 0 or -ENOMEM. */
int push__registry_list(struct idlist *list);

/* Deletes every session and frees the tables. */
void push__registry_shutdown(void);

#endif
