#include <push/push.h>
#include <stdio.h>

int main(void)
{
    const char *devices[] = {"phone", "laptop"};
    int received = 0;

    push_session *alice = push_session_new(PUSH_ID("alice"), PUSH_ID_NONE, 0);
    for (int i = 0; i < 2; i++)
        push_client_unref(push_client_new(alice, PUSH_ID(devices[i]), NULL)); /* the device stays */

    int taken = push_session_push(alice, "hello", 5);
    printf("%d devices took the message\n", taken);

    for (int i = 0; i < 2; i++) {
        push_msg *msg;
        int rc = push_session_pull(alice, PUSH_ID(devices[i]), &msg, 0);
        if (rc < 0) {
            fprintf(stderr, "%s: %s\n", devices[i], push_strerror(rc));
            continue;
        }
        printf("%s received: %.*s\n", devices[i], (int)push_msg_size(msg), (const char *)push_msg_data(msg));
        push_msg_unref(msg);
        received++;
    }

    push_session_unref(alice);
    push_shutdown();
    return received == 2 ? 0 : 1;
}
