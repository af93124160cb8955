/* What all entry points share. L5. */
#ifndef PUSH_SRC_API_H
#define PUSH_SRC_API_H

#include <errno.h>
#include <limits.h>
#include <stddef.h>

/* The failure of a function that returns a pointer: rc is a negative errno value. */
static inline void *fail(int rc)
{
    errno = -rc;
    return NULL;
}

/* What a pull of one message returns: how many were lost just before it. */
static inline int gap_result(size_t gap)
{
    return gap <= INT_MAX ? (int)gap : INT_MAX;
}

#endif
