/*
 * One epoll loop that serves several clients, each with a socket to its device.
 *
 * A client's descriptor is level-triggered: readable as long as there is something to pull. While a device's
 * socket is full, the loop takes the client's descriptor out (EPOLL_CTL_MOD, no events) and waits for the socket
 * to become writable instead; else it would be woken again and again and burn a core. The device "watch" shows
 * it: it reads nothing until the others have everything.
 */
#include <errno.h>
#include <pthread.h>
#include <push/push.h>
#include <semaphore.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { DEVICES = 3, MESSAGES = 2000, MESSAGE_SIZE = 512 };

/* ---- The loop: the part to copy -------------------------------------------------------------------------- */

struct connection {
    push_client *client; /* the handle keeps the descriptor open; NULL: not connected */
    int socket;
    push_msg *msg; /* what the socket did not take in whole; NULL while it keeps up */
    size_t written;
    int held_back; /* how often the socket was full */
};

static int watch(int epoll, int op, int fd, uint32_t events, struct connection *c)
{
    struct epoll_event event = {.events = events, .data.ptr = c};
    return epoll_ctl(epoll, op, fd, &event) == 0 ? 0 : -errno;
}

/* Takes over the socket; disconnect whatever it returns. */
static int connect_client(struct connection *c, int socket, int epoll, push_session *s, const char *name)
{
    push_client_options options = {.max_buffer = MESSAGES};

    *c = (struct connection){.client = push_client_new(s, PUSH_ID(name), &options), .socket = socket};
    if (c->client == NULL)
        return -errno;
    int fd = push_client_fd(c->client);
    if (fd < 0)
        return fd;
    int rc = watch(epoll, EPOLL_CTL_ADD, fd, EPOLLIN, c);
    return rc == 0 ? watch(epoll, EPOLL_CTL_ADD, c->socket, 0, c) : rc;
}

static void disconnect(struct connection *c, int epoll)
{
    if (c->client != NULL) {
        epoll_ctl(epoll, EPOLL_CTL_DEL, push_client_fd(c->client), NULL); /* while the handle keeps it open */
        push_client_delete(c->client);                                    /* no push waits for it any more */
        push_client_unref(c->client);
        c->client = NULL;
    }
    push_msg_unref(c->msg);
    c->msg = NULL;
    close(c->socket);
}

/* Writes until there is nothing to pull, or until the socket is full and leaves c->msg in hand: both -EAGAIN. Any
 * other result means that the client, or the device, is gone. */
static int serve(struct connection *c)
{
    for (;;) {
        if (c->msg == NULL) {
            int rc = push_client_pull(c->client, &c->msg, 0);
            if (rc < 0)
                return rc;
            c->written = 0;
        }
        const char *data = push_msg_data(c->msg);
        size_t left = push_msg_size(c->msg) - c->written;
        ssize_t n = send(c->socket, data + c->written, left, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n < 0)
            return -errno;
        c->written += (size_t)n;
        if ((size_t)n == left) {
            push_msg_unref(c->msg);
            c->msg = NULL;
        }
    }
}

/* Serves the connection, then waits for the side that holds it up, and for no other. */
static int serve_and_watch(struct connection *c, int epoll)
{
    int rc = serve(c);
    if (rc != -EAGAIN)
        return rc;
    bool full = c->msg != NULL;
    c->held_back += full;
    rc = watch(epoll, EPOLL_CTL_MOD, push_client_fd(c->client), full ? 0 : EPOLLIN, c);
    return rc == 0 ? watch(epoll, EPOLL_CTL_MOD, c->socket, full ? EPOLLOUT : 0, c) : rc;
}

/* Runs until every client is deleted and drained, or its device is gone. */
static int run_loop(int epoll, int connected)
{
    while (connected > 0) {
        struct epoll_event events[16];
        int n = epoll_wait(epoll, events, 16, -1);
        if (n < 0 && errno != EINTR)
            return -errno;
        for (int i = 0; i < n; i++) {
            struct connection *c = events[i].data.ptr;
            if (c->client != NULL && serve_and_watch(c, epoll) != 0) { /* NULL: an earlier event ended it */
                disconnect(c, epoll);
                connected--;
            }
        }
    }
    return 0;
}

/* ---- The devices, at the other ends of the sockets ------------------------------------------------------- */

struct device {
    const char *name;
    int waits_for; /* how many others are done before it starts to read */
    int socket;
    pthread_t thread;
    int received;
};

static sem_t devices_done;

static void *read_messages(void *arg)
{
    struct device *d = arg;
    char line[MESSAGE_SIZE + 1];
    int number;

    for (int i = 0; i < d->waits_for; i++)
        while (sem_wait(&devices_done) != 0)
            continue;
    FILE *in = fdopen(d->socket, "r");
    while (in != NULL && fgets(line, sizeof line, in) != NULL && sscanf(line, "message %d", &number) == 1 &&
           number == d->received)
        d->received++;
    if (in != NULL)
        fclose(in);
    else
        close(d->socket);
    sem_post(&devices_done);
    return NULL;
}

static int start_device(struct device *d, struct connection *c, int epoll, push_session *s)
{
    int sockets[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets) != 0)
        return -errno;
    d->socket = sockets[1];
    int rc = connect_client(c, sockets[0], epoll, s, d->name);
    if (rc == 0)
        rc = -pthread_create(&d->thread, NULL, read_messages, d);
    if (rc != 0) {
        disconnect(c, epoll);
        close(d->socket);
    }
    return rc;
}

/* ---- The pusher: any thread of the program --------------------------------------------------------------- */

struct pusher {
    pthread_t thread;
    push_session *user;
    int error;
};

static void *push_messages(void *arg)
{
    struct pusher *p = arg;

    for (int i = 0; i < MESSAGES && p->error == 0; i++) {
        char line[MESSAGE_SIZE + 1];
        snprintf(line, sizeof line, "message %-*d\n", MESSAGE_SIZE - 9, i);
        int rc = push_session_push(p->user, line, MESSAGE_SIZE);
        if (rc < 0)
            p->error = rc;
    }
    push_session_delete(push_session_id(p->user)); /* the clients can still be drained */
    return NULL;
}

int main(void)
{
    struct device devices[DEVICES] = {{.name = "phone"}, {.name = "laptop"}, {.name = "watch", .waits_for = 2}};
    struct connection connections[DEVICES];
    struct pusher pusher = {0};
    int started = 0, error = 0;

    sem_init(&devices_done, 0, 0);
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    if (epoll < 0)
        error = errno;
    pusher.user = push_session_new(PUSH_ID("alice"), PUSH_ID_NONE, 0);
    if (pusher.user == NULL)
        error = errno;
    while (error == 0 && started < DEVICES) {
        error = start_device(&devices[started], &connections[started], epoll, pusher.user);
        started += error == 0;
    }

    if (error == 0)
        error = pthread_create(&pusher.thread, NULL, push_messages, &pusher);
    if (error == 0) {
        error = run_loop(epoll, DEVICES);
        push_session_delete(PUSH_ID("alice")); /* where the loop failed: ends the pusher */
        pthread_join(pusher.thread, NULL);
        if (error == 0)
            error = pusher.error;
    }

    for (int i = 0; i < started; i++) {
        if (connections[i].client != NULL)
            disconnect(&connections[i], epoll);
        pthread_join(devices[i].thread, NULL);
        if (error == 0)
            printf("%s received %d messages, its socket was full %d times\n", devices[i].name, devices[i].received,
                   connections[i].held_back);
    }
    if (error != 0)
        fprintf(stderr, "epoll_loop: %s\n", push_strerror(error));

    push_session_unref(pusher.user);
    push_shutdown();
    if (epoll >= 0)
        close(epoll);
    sem_destroy(&devices_done);
    return error == 0 ? 0 : 1;
}
