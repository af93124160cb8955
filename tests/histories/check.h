/*
 * Whether a history can be explained.
 *
 * A mailbox's: by calling mailbox_model.h, one call after the other, in an order in which none comes before another
 * that had returned when it began (linearizability). The search is that of J. M. Wing and C. Gong, "Testing and
 * verifying concurrent objects" (Journal of Parallel and Distributed Computing 17, 1993): take any call that may be
 * next, see whether it fits, go on, and come back where it does not. With G. Lowe's addition, "Testing for
 * linearizability" (Concurrency and Computation: Practice and Experience 29, 2017): a set of calls made with the
 * state it led to is looked at once.
 *
 * Where a push waits, it takes effect when its message comes into the mailbox. A batch is so many pulls in a row,
 * between which messages may come. At a rendezvous, a push that delivers and the pull that takes its message from
 * it are one step: each had begun, and none had returned.
 *
 * A session's: each message is with as many clients as its push said, nobody has one twice, any two clients have
 * those they share in the same order, and a push that ended before another began comes first.
 *
 * And no wait gives up before its time.
 */
#ifndef PUSH_TESTS_HISTORIES_CHECK_H
#define PUSH_TESTS_HISTORIES_CHECK_H

#include "history.h"

/* False: it cannot; why is written to f. */
bool history_check(const struct history *h, FILE *f);

#endif
