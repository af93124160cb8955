/* A poller: a ready set of clients, to each of which it holds a reference. L4. */
#ifndef PUSH_SRC_POLLER_H
#define PUSH_SRC_POLLER_H

#include "readyset.h"

struct push_poller {
    struct readyset set;
};

#endif
