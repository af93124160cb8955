/* What all entry points share. L5. */
#ifndef PUSH_SRC_API_H
#define PUSH_SRC_API_H

#include <errno.h>
#include <stddef.h>

/* The failure of a function that returns a pointer: rc is a negative errno value. */
static inline void *fail(int rc)
{
    errno = -rc;
    return NULL;
}

#endif
