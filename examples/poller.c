/*
 * Thousands of clients on one thread: a poller tells which of them have something to pull.
 *
 * A client whose consumer cannot write is paused, so that the poller does not report it again and again, and
 * resumed when the consumer can write. Here all consumers are /dev/null, which always can, but one: a pipe whose
 * reader starts when everybody else has everything.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <push/push.h>
#include <semaphore.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <unistd.h>

enum { ROOMS = 100, MEMBERS = 50, CLIENTS = ROOMS * MEMBERS, MESSAGES = 40, MESSAGE_SIZE = 4096 };
enum { BATCH = 64, AT_ONCE = 16 };

struct connection {
    push_client *client;
    int fd;        /* what its messages are written to, each whole or not at all; -1: finished */
    bool paused;   /* waits in epoll for fd to become writable */
    bool reported; /* it is in the poller */
};

struct server {
    int epoll; /* the poller's descriptor, and those of paused connections */
    push_poller *poller;
    struct connection connections[CLIENTS];
    int open;
    int null_fd;
    sem_t one_left;
    unsigned long written, pauses;
    int error;
};

/* ---- The loop: the part to copy -------------------------------------------------------------------------- */

static int watch(struct server *sv, int fd, uint32_t events, struct connection *c)
{
    struct epoll_event event = {.events = events, .data.ptr = c};
    return epoll_ctl(sv->epoll, EPOLL_CTL_ADD, fd, &event) == 0 ? 0 : -errno;
}

static void finish(struct server *sv, struct connection *c)
{
    if (c->client != NULL) {
        push_poller_remove(sv->poller, c->client);
        push_client_delete(c->client); /* where it is open still: no push waits for it any more */
        push_client_unref(c->client);
    }
    if (c->fd != sv->null_fd)
        close(c->fd);
    c->fd = -1;
    if (--sv->open == 1)
        sem_post(&sv->one_left);
}

/* The consumer cannot write now: the message goes back to the front, and the poller is told to be quiet. */
static int pause_connection(struct server *sv, struct connection *c, push_msg *msg)
{
    int rc = push_client_unpull(c->client, msg);
    if (rc < 0) {
        push_msg_unref(msg);
        return rc;
    }
    sv->pauses++;
    c->paused = true;
    push_poller_pause(sv->poller, c->client);
    return watch(sv, c->fd, EPOLLOUT, c);
}

/* The consumer can write again. */
static int resume_connection(struct server *sv, struct connection *c)
{
    c->paused = false;
    epoll_ctl(sv->epoll, EPOLL_CTL_DEL, c->fd, NULL);
    if (c->reported)
        return push_poller_resume(sv->poller, c->client);
    c->reported = true;
    return push_poller_add(sv->poller, c->client, c);
}

static int serve(struct server *sv, struct connection *c)
{
    if (c->paused) { /* reported all the same: it was closed, and would be reported until it is removed */
        c->reported = false;
        return push_poller_remove(sv->poller, c->client);
    }
    for (int i = 0; i < AT_ONCE; i++) { /* where there is more, it is reported again, after the others */
        push_msg *msg;
        int rc = push_client_pull(c->client, &msg, 0);
        if (rc == -EAGAIN)
            return 0;
        if (rc < 0) { /* -EPIPE: deleted, and drained */
            finish(sv, c);
            return 0;
        }
        if (write(c->fd, push_msg_data(msg), push_msg_size(msg)) < 0) {
            if (errno == EAGAIN)
                return pause_connection(sv, c, msg);
            push_msg_unref(msg);
            finish(sv, c);
            return 0;
        }
        push_msg_unref(msg);
        sv->written++;
    }
    return 0;
}

static int serve_ready(struct server *sv)
{
    push_event events[BATCH];
    int n = push_poller_wait(sv->poller, events, BATCH, 0);
    if (n < 0)
        return n == -EAGAIN ? 0 : n;
    int rc = 0;
    for (int i = 0; i < n && rc == 0; i++)
        rc = serve(sv, events[i].data);
    return rc;
}

static int run_loop(struct server *sv)
{
    while (sv->open > 0) {
        struct epoll_event events[BATCH];
        int n = epoll_wait(sv->epoll, events, BATCH, -1);
        if (n < 0 && errno != EINTR)
            return -errno;
        for (int i = 0; i < n; i++) {
            struct connection *c = events[i].data.ptr; /* NULL for the poller */
            int rc = c == NULL ? serve_ready(sv) : resume_connection(sv, c);
            if (rc < 0)
                return rc;
        }
    }
    return 0;
}

static void finish_all(struct server *sv)
{
    for (int i = 0; i < CLIENTS; i++)
        if (sv->connections[i].fd >= 0)
            finish(sv, &sv->connections[i]);
}

static void *serve_clients(void *arg)
{
    struct server *sv = arg;

    sv->error = run_loop(sv);
    finish_all(sv); /* where the loop failed */
    return NULL;
}

/* ---- The rest of the program ----------------------------------------------------------------------------- */

static int open_clients(struct server *sv, int slow_fd)
{
    push_client_options options = {.max_buffer = MESSAGES};

    sv->epoll = epoll_create1(EPOLL_CLOEXEC);
    sv->null_fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
    sv->poller = push_poller_new();
    int rc = sv->epoll < 0 || sv->null_fd < 0 || sv->poller == NULL ? -errno : push_poller_fd(sv->poller);
    if (rc >= 0)
        rc = watch(sv, rc, EPOLLIN, NULL);

    for (int i = 0; i < CLIENTS; i++) {
        struct connection *c = &sv->connections[i];
        c->fd = i == 0 ? slow_fd : sv->null_fd;
        if (rc < 0)
            continue;
        c->client = push_client_open(PUSH_ID(i / MEMBERS), PUSH_ID(i % MEMBERS), &options);
        rc = c->client == NULL ? -errno : push_poller_add(sv->poller, c->client, c);
        c->reported = true;
    }
    return rc;
}

static int push_to_all_rooms(void)
{
    static const char body[MESSAGE_SIZE];
    int rc = 0;

    push_msg *msg = push_msg_new(body, sizeof body);
    if (msg == NULL)
        return -errno;
    for (int i = 0; i < MESSAGES * ROOMS && rc >= 0; i++) {
        push_session *room = push_session_find(PUSH_ID(i % ROOMS));
        rc = room == NULL ? -errno : push_session_send(room, msg, PUSH_ID_NONE, -1, NULL);
        push_session_unref(room);
    }
    push_msg_unref(msg);
    return rc;
}

static size_t read_all(int fd)
{
    char buffer[MESSAGE_SIZE];
    size_t size = 0;
    ssize_t n;

    while ((n = read(fd, buffer, sizeof buffer)) > 0)
        size += (size_t)n;
    return size;
}

int main(void)
{
    static struct server server = {.open = CLIENTS};
    size_t received = 0;
    pthread_t thread;
    int fds[2];

    if (pipe(fds) != 0 || fcntl(fds[1], F_SETFL, O_NONBLOCK) != 0) {
        perror("pipe");
        return 1;
    }
    sem_init(&server.one_left, 0, 0);
    int rc = open_clients(&server, fds[1]);
    if (rc >= 0)
        rc = -pthread_create(&thread, NULL, serve_clients, &server);
    if (rc >= 0) {
        rc = push_to_all_rooms();
        for (int i = 0; i < ROOMS; i++)
            push_session_delete(PUSH_ID(i)); /* the clients can still be drained */
        while (sem_wait(&server.one_left) != 0)
            continue;
        received = read_all(fds[0]);
        pthread_join(thread, NULL);
        if (server.error < 0)
            rc = server.error;
    } else {
        finish_all(&server);
    }

    if (rc >= 0)
        printf("one thread wrote %lu messages of %d clients\n"
               "the slow client was paused %lu times and got %zu messages\n",
               server.written, CLIENTS, server.pauses, received / MESSAGE_SIZE);
    else
        fprintf(stderr, "poller: %s\n", push_strerror(rc));

    push_poller_free(server.poller);
    push_shutdown();
    sem_destroy(&server.one_left);
    close(server.epoll);
    close(server.null_fd);
    close(fds[0]);
    return rc >= 0 ? 0 : 1;
}
