/* A program of somebody else's. */
#include <push/nats.h>

int main(void)
{
    push_nats *n = push_nats_connect("nats://127.0.0.1:1", NULL);
    if (!n)
        return 1;
    int confirmed = push_nats_join(n, PUSH_ID("alice"), 0);
    return confirmed == 0 && push_nats_close(n, 0) == 0 ? 0 : 1;
}
