/*
 * Thousands of clients on one thread: a poller tells which of them have something to pull.
 *
 * A client whose consumer cannot write is paused, so that the poller does not report it again and again, and
 * resumed when the consumer can write. Here all consumers are /dev/null, which always can, but one: a pipe that is
 * read when everything was pushed.
 */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <push/push.h>
#include <signal.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <unistd.h>

enum { ROOMS = 100, MEMBERS = 50, CLIENTS = ROOMS * MEMBERS, MESSAGES = 40, MESSAGE_SIZE = 4096 };
enum { BATCH = 64, AT_ONCE = 16 };

struct connection {
    push_client *client;
    int fd; /* its messages are written to it, each whole or not at all */
    bool paused;
};

static int epoll; /* waits for the poller's descriptor, and for those of paused connections */
static push_poller *poller;
static int null_fd, connected, written, pauses;

static void check(int rc)
{
    if (rc < 0)
        errx(1, "%s", push_strerror(rc));
}

static int watch(int fd, uint32_t events, struct connection *c)
{
    struct epoll_event event = {.events = events, .data.ptr = c};
    return epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) == 0 ? 0 : -errno;
}

static void disconnect(struct connection *c)
{
    push_poller_remove(poller, c->client);
    push_client_delete(c->client); /* no push waits for it any more */
    push_client_unref(c->client);
    if (c->fd != null_fd)
        close(c->fd);
    connected--;
}

/* The consumer cannot write now: the poller is told to be quiet, and the message goes back to the front. */
static int pause_connection(struct connection *c, push_msg *msg)
{
    pauses++;
    c->paused = true;
    push_poller_pause(poller, c->client);
    int rc = watch(c->fd, EPOLLOUT, c);
    return rc == 0 ? push_client_unpull(c->client, msg) : rc;
}

static int resume_connection(struct connection *c)
{
    c->paused = false;
    epoll_ctl(epoll, EPOLL_CTL_DEL, c->fd, NULL);
    int rc = push_poller_resume(poller, c->client);
    return rc == -ENOENT ? push_poller_add(poller, c->client, c) : rc; /* closed in the meantime: see serve() */
}

static int serve(struct connection *c)
{
    if (c->paused) /* it was closed, which is reported of the paused, too, until they are removed */
        return push_poller_remove(poller, c->client);
    for (int i = 0; i < AT_ONCE; i++) { /* where there is more, it is reported again, after the others */
        push_msg *msg;
        int rc = push_client_pull(c->client, &msg, 0);
        if (rc == -EAGAIN)
            return 0;
        if (rc < 0) /* -EPIPE: deleted, and drained */
            return rc;
        rc = write(c->fd, push_msg_data(msg), push_msg_size(msg)) < 0 ? -errno : 0;
        if (rc == -EAGAIN && pause_connection(c, msg) == 0)
            return 0;
        push_msg_unref(msg);
        if (rc < 0)
            return rc;
        written++;
    }
    return 0;
}

static void serve_ready(void)
{
    push_event events[BATCH];

    int n = push_poller_wait(poller, events, BATCH, 0);
    for (int i = 0; i < n; i++)
        if (serve(events[i].data) < 0)
            disconnect(events[i].data);
}

static void *run_loop(void *arg)
{
    while (connected > 0) {
        struct epoll_event events[BATCH];
        int n = epoll_wait(epoll, events, BATCH, -1);
        check(n < 0 && errno != EINTR ? -errno : 0);
        for (int i = 0; i < n; i++) {
            struct connection *c = events[i].data.ptr; /* NULL for the poller */
            if (c == NULL)
                serve_ready();
            else if (resume_connection(c) < 0)
                disconnect(c);
        }
    }
    return arg;
}

int main(void)
{
    static struct connection connections[CLIENTS];
    push_client_options options = {.max_buffer = MESSAGES};
    pthread_t loop;
    int slow[2], received = 0, number;

    signal(SIGPIPE, SIG_IGN);
    epoll = epoll_create1(EPOLL_CLOEXEC);
    null_fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
    check(epoll < 0 || null_fd < 0 || pipe(slow) < 0 || fcntl(slow[1], F_SETFL, O_NONBLOCK) < 0 ? -errno : 0);
    poller = push_poller_new();
    int fd = poller == NULL ? -errno : push_poller_fd(poller);
    check(fd < 0 ? fd : watch(fd, EPOLLIN, NULL));
    for (; connected < CLIENTS; connected++) {
        struct connection *c = &connections[connected];
        c->fd = connected == 0 ? slow[1] : null_fd;
        c->client = push_client_open(PUSH_ID(connected / MEMBERS), PUSH_ID(connected % MEMBERS), &options);
        check(c->client == NULL ? -errno : push_poller_add(poller, c->client, c));
    }
    check(-pthread_create(&loop, NULL, run_loop, NULL));

    for (int i = 0; i < MESSAGES * ROOMS; i++) {
        char line[MESSAGE_SIZE + 1];
        snprintf(line, sizeof line, "message %-*d\n", MESSAGE_SIZE - 9, i / ROOMS);
        push_session *room = push_session_find(PUSH_ID(i % ROOMS));
        check(room == NULL ? -errno : push_session_push(room, line, MESSAGE_SIZE));
        push_session_unref(room);
    }
    for (int i = 0; i < ROOMS; i++)
        push_session_delete(PUSH_ID(i)); /* the clients can still be drained */
    FILE *in = fdopen(slow[0], "r");
    check(in == NULL ? -errno : 0);
    while (fscanf(in, "message %d ", &number) == 1 && number == received)
        received++; /* it came whole, and in order */
    fclose(in);
    pthread_join(loop, NULL);
    printf("one thread wrote %d messages of %d clients\n"
           "the slow client was paused %d times and got %d messages\n",
           written, CLIENTS, pauses, received);

    push_poller_free(poller);
    push_shutdown();
    close(epoll);
    close(null_fd);
    return 0;
}
