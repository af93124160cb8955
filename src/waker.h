/* A descriptor that is readable or not, as its owner says: an eventfd, or a pipe where there is none. The owner's
 * lock guards it. No call is a cancellation point. L0. */
#ifndef PUSH_SRC_WAKER_H
#define PUSH_SRC_WAKER_H

#include <stdbool.h>

struct waker {
    int read_fd, write_fd; /* the same for an eventfd; -1: not open */
    bool raised;
};

#define WAKER_CLOSED                                                                                               \
    {                                                                                                              \
        -1, -1, false                                                                                              \
    }

static inline bool waker_is_open(const struct waker *waker)
{
    return waker->read_fd >= 0;
}

/* Opens it, not readable. Returns 0 or a negative errno value. */
int push__waker_open(struct waker *waker);
void push__waker_close(struct waker *waker);

/* Makes it readable, or not. Nothing where it is so already, or is not open. */
void push__waker_raise(struct waker *waker);
void push__waker_clear(struct waker *waker);

#endif
