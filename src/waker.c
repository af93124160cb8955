#if !defined(_GNU_SOURCE)
#define _GNU_SOURCE /* pipe2 */
#endif
#include "waker.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <unistd.h>

#include "sync.h"

/* PUSH_USE_PIPE makes the build for systems without eventfd testable on those with it. */
#if defined(__linux__) && !defined(PUSH_USE_PIPE)
#include <sys/eventfd.h>
#endif

static int open_pair(struct waker *waker)
{
#if defined(__linux__) && !defined(PUSH_USE_PIPE)
    waker->read_fd = waker->write_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    return waker->read_fd < 0 ? -errno : 0;
#else
    int fds[2];
    if (pipe2(fds, O_NONBLOCK | O_CLOEXEC) < 0)
        return -errno;
    waker->read_fd = fds[0];
    waker->write_fd = fds[1];
    return 0;
#endif
}

int push__waker_open(struct waker *waker)
{
    waker->raised = false;
    int rc = open_pair(waker);
    if (rc < 0)
        waker->read_fd = waker->write_fd = -1;
    return rc;
}

void push__waker_close(struct waker *waker)
{
    if (!waker_is_open(waker))
        return;
    int state = push__cancel_off();
    if (waker->write_fd != waker->read_fd)
        close(waker->write_fd);
    close(waker->read_fd);
    push__cancel_restore(state);
    waker->read_fd = waker->write_fd = -1;
}

/* At most one token is ever in the descriptor, so that it can neither be full nor need more than one read. */
void push__waker_raise(struct waker *waker)
{
    if (!waker_is_open(waker) || waker->raised)
        return;
    uint64_t token = 1;
    int state = push__cancel_off();
    while (write(waker->write_fd, &token, sizeof(token)) < 0 && errno == EINTR)
        continue;
    push__cancel_restore(state);
    waker->raised = true;
}

void push__waker_clear(struct waker *waker)
{
    if (!waker_is_open(waker) || !waker->raised)
        return;
    uint64_t token;
    int state = push__cancel_off();
    while (read(waker->read_fd, &token, sizeof(token)) < 0 && errno == EINTR)
        continue;
    push__cancel_restore(state);
    waker->raised = false;
}
