#include <errno.h>

#include <push/push.h>

const char *push_version(void)
{
    return PUSH_VERSION_STRING;
}

const char *push_strerror(int rc)
{
    switch (rc > 0 ? -rc : rc) {
    case 0:
        return "push: success";
    case -EAGAIN:
        return "push: nothing there now";
    case -ETIMEDOUT:
        return "push: timed out";
    case -ENOENT:
        return "push: no such client";
    case -EPIPE:
        return "push: client closed";
    case -EEXIST:
        return "push: already there";
    case -EBUSY:
        return "push: in use";
    case -EINVAL:
        return "push: invalid argument";
    case -ENOMEM:
        return "push: out of memory";
    case -EMFILE:
        return "push: too many open descriptors in this process";
    case -ENFILE:
        return "push: too many open descriptors in the system";
    default:
        return "push: system error";
    }
}
