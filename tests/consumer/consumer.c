/* A program of somebody else's. */
#include <push/push.h>
#include <stdio.h>
#include <string.h>

/* WANT_STATIC: 0 or 1, where the way of linking promises to say it. */
#if defined(WANT_STATIC) && WANT_STATIC && !defined(PUSH_STATIC)
#error "the static library comes without PUSH_STATIC"
#endif
#if defined(WANT_STATIC) && !WANT_STATIC && defined(PUSH_STATIC)
#error "the shared library comes with PUSH_STATIC"
#endif

int main(void)
{
    push_msg *msg = NULL;
    char version[64];

    push_session *s = push_session_new(PUSH_ID("alice"), PUSH_ID(7), 1);
    bool pulled = push_session_push(s, "hello", 5) == 1 && push_session_pull(s, PUSH_ID(7), &msg, 0) == 0 &&
                  push_msg_size(msg) == 5 && memcmp(push_msg_data(msg), "hello", 5) == 0;
    push_msg_unref(msg);
    push_session_unref(s);
    push_shutdown();

    snprintf(version, sizeof version, "%d.%d.%d", PUSH_VERSION_MAJOR, PUSH_VERSION_MINOR, PUSH_VERSION_PATCH);
    bool versions = strcmp(version, PUSH_VERSION_STRING) == 0 && strcmp(version, push_version()) == 0;
    printf("%s\n", push_version());
    return pulled && versions ? 0 : 1;
}
