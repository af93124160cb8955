/*
 * One epoll loop that serves several clients, each with a socket to its device.
 *
 * A client's descriptor is level-triggered: readable as long as there is something to pull. A loop that watched it
 * while the device's socket is full would be woken again and again, and burn a core. So EPOLLONESHOT disarms what
 * was reported, and once the connection was served, only the side that holds it up is armed again.
 */
#include <err.h>
#include <errno.h>
#include <pthread.h>
#include <push/push.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { DEVICES = 3, MESSAGES = 2000, MESSAGE_SIZE = 512 };

struct connection {
    push_client *client; /* the handle keeps the descriptor open; NULL: disconnected */
    int socket;
    push_msg *msg; /* what the socket did not take in whole; NULL while it keeps up */
    size_t written;
};

static int epoll, held_back; /* how often a socket was full */

static void check(int rc)
{
    if (rc < 0)
        errx(1, "%s", push_strerror(rc));
}

static int watch(struct connection *c, int op, int fd, uint32_t events)
{
    struct epoll_event event = {.events = events | EPOLLONESHOT, .data.ptr = c};
    return epoll_ctl(epoll, op, fd, &event) == 0 ? 0 : -errno;
}

static int connect_client(struct connection *c, push_session *s, const char *name)
{
    push_client_options options = {.max_buffer = MESSAGES};

    c->client = push_client_new(s, PUSH_ID(name), &options);
    if (c->client == NULL)
        return -errno;
    int fd = push_client_fd(c->client);
    int rc = fd < 0 ? fd : watch(c, EPOLL_CTL_ADD, fd, EPOLLIN);
    return rc < 0
               ? rc
               : watch(c, EPOLL_CTL_ADD, c->socket, 0); /* the two that are always reported: EPOLLHUP, EPOLLERR */
}

static void disconnect(struct connection *c)
{
    epoll_ctl(epoll, EPOLL_CTL_DEL, push_client_fd(c->client), NULL); /* while the handle keeps it open */
    push_client_delete(c->client);                                    /* no push waits for it any more */
    push_client_unref(c->client);
    c->client = NULL;
    push_msg_unref(c->msg);
    close(c->socket);
}

/* Writes until one side holds it up, and arms that one. A failure means that the client, or the device, is gone. */
static int serve(struct connection *c)
{
    for (;;) {
        if (c->msg == NULL) {
            int rc = push_client_pull(c->client, &c->msg, 0);
            if (rc == -EAGAIN)
                return watch(c, EPOLL_CTL_MOD, push_client_fd(c->client), EPOLLIN);
            if (rc < 0) /* -EPIPE: deleted, and drained */
                return rc;
            c->written = 0;
        }
        const char *data = push_msg_data(c->msg);
        size_t left = push_msg_size(c->msg) - c->written;
        ssize_t n = send(c->socket, data + c->written, left, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n < 0 && errno == EAGAIN) {
            held_back++;
            return watch(c, EPOLL_CTL_MOD, c->socket, EPOLLOUT);
        }
        if (n < 0)
            return -errno;
        c->written += (size_t)n;
        if ((size_t)n == left) {
            push_msg_unref(c->msg);
            c->msg = NULL;
        }
    }
}

static void *run_loop(void *arg)
{
    int connected = DEVICES;

    while (connected > 0) {
        struct epoll_event events[16];
        int n = epoll_wait(epoll, events, 16, -1);
        check(n < 0 && errno != EINTR ? -errno : 0);
        for (int i = 0; i < n; i++) {
            struct connection *c = events[i].data.ptr;
            if (c->client == NULL) /* an earlier event of these ended it */
                continue;
            if ((events[i].events & (EPOLLHUP | EPOLLERR)) != 0 || serve(c) < 0) {
                disconnect(c);
                connected--;
            }
        }
    }
    return arg;
}

/* A device: reads until the end, and counts the messages that came whole and in order. */
static int read_messages(int socket)
{
    int received = 0, number;

    FILE *in = fdopen(socket, "r");
    check(in == NULL ? -errno : 0);
    while (fscanf(in, "message %d ", &number) == 1 && number == received)
        received++;
    fclose(in);
    return received;
}

/* The rest of the program: it pushes, and then is one device after the other. */
int main(void)
{
    const char *names[DEVICES] = {"phone", "laptop", "watch"};
    struct connection connections[DEVICES] = {0};
    int sockets[DEVICES][2];
    pthread_t loop;

    epoll = epoll_create1(EPOLL_CLOEXEC);
    check(epoll < 0 ? -errno : 0);
    push_session *user = push_session_new(PUSH_ID("alice"), PUSH_ID_NONE, 0);
    check(user == NULL ? -errno : 0);
    for (int i = 0; i < DEVICES; i++) {
        check(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets[i]) < 0 ? -errno : 0);
        connections[i].socket = sockets[i][0];
        check(connect_client(&connections[i], user, names[i]));
    }
    check(-pthread_create(&loop, NULL, run_loop, NULL));

    for (int i = 0; i < MESSAGES; i++) {
        char line[MESSAGE_SIZE + 1];
        snprintf(line, sizeof line, "message %-*d\n", MESSAGE_SIZE - 9, i);
        check(push_session_push(user, line, MESSAGE_SIZE));
    }
    push_session_delete(PUSH_ID("alice")); /* the clients can still be drained */
    for (int i = 0; i < DEVICES; i++)
        printf("%s received %d messages\n", names[i], read_messages(sockets[i][1]));
    pthread_join(loop, NULL);
    printf("a socket was full %d times\n", held_back);

    push_session_unref(user);
    push_shutdown();
    close(epoll);
    return 0;
}
