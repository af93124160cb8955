/*
 * Pushing: one message to the clients of a session, or to one. L4, above the registry, which unlinks the clients
 * that a push disconnects.
 */
#ifndef PUSH_SRC_FANOUT_H
#define PUSH_SRC_FANOUT_H

#include <push/push.h>

/* As push_session_send. `consume`: takes over the caller's reference to msg, also on failure. */
int push__fanout_session(push_session *s, push_msg *msg, push_id except, int timeout_ms, push_report *report,
                         bool consume);

/* As push_client_send. */
int push__fanout_client(push_client *c, push_msg *msg, int timeout_ms, push_report *report);

#endif
