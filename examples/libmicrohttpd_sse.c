/*
 * Server-Sent Events with libmicrohttpd: each response is a stream, which is suspended while there is nothing to
 * send.
 *
 * One thread serves all streams: it waits for the daemon's epoll descriptor and for a poller's. A response that
 * finds nothing to pull suspends its connection; from then on the poller tells when there is something. No wake-up
 * is lost between the two, because the poller reports a client as long as there is something to pull, whenever it
 * came; and none is made in vain, because a client is paused in the poller while its connection runs.
 *
 *     cc libmicrohttpd_sse.c $(pkg-config --cflags --libs push libmicrohttpd) -pthread -o libmicrohttpd_sse
 *     ./libmicrohttpd_sse [PORT]                each line of standard input goes to alice's devices
 *     curl -N http://127.0.0.1:8080/phone       one of them
 */
#define _GNU_SOURCE /* asprintf */
#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <microhttpd.h>
#include <poll.h>
#include <pthread.h>
#include <push/push.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { AT_ONCE = 64, BLOCK_SIZE = 16 * 1024, DRAIN_MS = 2000 };

struct stream {
    struct MHD_Connection *connection;
    push_client *client;
    char *text; /* what is being sent; NULL: nothing */
    size_t size, sent;
    bool suspended;
};

static push_session *user;
static push_poller *poller;
static int streams;
static bool ending; /* the input ended, and the session is deleted */

static void check(int rc)
{
    if (rc < 0)
        errx(1, "%s", push_strerror(rc));
}

/* A message is a line: one that may have several would need a "data: " for each. */
static bool write_event(struct stream *s, push_msg *msg, int lost)
{
    char gap[64] = "";

    if (lost > 0)
        snprintf(gap, sizeof gap, "event: lost\ndata: %d\n\n", lost);
    int n = asprintf(&s->text, "%sdata: %.*s\n\n", gap, (int)push_msg_size(msg), (const char *)push_msg_data(msg));
    if (n < 0)
        s->text = NULL;
    s->size = n < 0 ? 0 : (size_t)n;
    s->sent = 0;
    return n >= 0;
}

/* What libmicrohttpd sends next. 0 only after the connection was suspended: else it would ask again at once. */
static ssize_t read_stream(void *arg, uint64_t position, char *buffer, size_t max)
{
    struct stream *s = arg;

    (void)position;
    if (s->text == NULL) {
        push_msg *msg;
        int rc = push_client_pull(s->client, &msg, 0);
        if (rc == -EAGAIN) {
            s->suspended = true;
            MHD_suspend_connection(s->connection);
            push_poller_resume(poller, s->client); /* reports what came since the pull at once */
            return 0;
        }
        if (rc < 0) /* -EPIPE: deleted, and drained */
            return MHD_CONTENT_READER_END_OF_STREAM;
        bool written = write_event(s, msg, rc);
        push_msg_unref(msg);
        if (!written)
            return MHD_CONTENT_READER_END_WITH_ERROR;
    }
    size_t n = s->size - s->sent < max ? s->size - s->sent : max;
    memcpy(buffer, s->text + s->sent, n);
    s->sent += n;
    if (s->sent == s->size) {
        free(s->text);
        s->text = NULL;
    }
    return (ssize_t)n;
}

/* The response is not needed any more: it ended, or the device went away, which is noticed when it is written to.
 */
static void free_stream(void *arg)
{
    struct stream *s = arg;

    if (s->client != NULL) {
        push_poller_remove(poller, s->client);
        push_client_delete(s->client);
        push_client_unref(s->client);
    }
    free(s->text);
    free(s);
    streams--;
}

static void serve_ready(void)
{
    push_event events[AT_ONCE];

    int n = push_poller_wait(poller, events, AT_ONCE, 0);
    ending = ending || n == 0; /* woken */
    for (int i = 0; i < n; i++) {
        struct stream *s = events[i].data;
        if (s->suspended) {
            s->suspended = false;
            push_poller_pause(poller, s->client);
            MHD_resume_connection(s->connection);
        } else { /* closed, which is reported also of the paused, until they are removed */
            push_poller_remove(poller, s->client);
        }
    }
}

static enum MHD_Result on_request(void *arg, struct MHD_Connection *connection, const char *url, const char *method,
                                  const char *version, const char *body, size_t *size, void **state)
{
    push_client_options options = {.max_buffer = 1000, .overflow = PUSH_DROP_OLDEST, .duplicate = PUSH_REPLACE};
    enum MHD_Result queued = MHD_NO; /* closes the connection */

    (void)arg, (void)version, (void)body, (void)size, (void)state;
    if (strcmp(method, MHD_HTTP_METHOD_GET) != 0 || url[1] == '\0')
        return MHD_NO;
    struct stream *s = calloc(1, sizeof *s);
    if (s == NULL)
        return MHD_NO;
    struct MHD_Response *response =
        MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, BLOCK_SIZE, read_stream, s, free_stream);
    if (response == NULL) {
        free(s);
        return MHD_NO;
    }
    streams++;
    s->connection = connection;
    s->client = push_client_new(user, PUSH_ID(url + 1), &options);
    if (s->client != NULL && push_poller_add(poller, s->client, s) == 0) {
        push_poller_pause(poller, s->client); /* until the connection is suspended */
        MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, "text/event-stream");
        MHD_add_response_header(response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
        queued = MHD_queue_response(connection, MHD_HTTP_OK, response);
    }
    MHD_destroy_response(response); /* and the stream, where it was not queued */
    return queued;
}

/* At the end, the streams send what they have; devices that do not read are cut off when nothing moves any more.
 * All clients are closed then, so that the poller has every stream resumed: MHD_stop_daemon aborts where one is
 * suspended. */
static void serve(struct MHD_Daemon *daemon)
{
    struct pollfd fds[] = {
        {.fd = MHD_get_daemon_info(daemon, MHD_DAEMON_INFO_EPOLL_FD)->epoll_fd, .events = POLLIN},
        {.fd = push_poller_fd(poller), .events = POLLIN}};

    while (!ending || streams > 0) {
        MHD_UNSIGNED_LONG_LONG ms;
        bool busy = MHD_get_timeout(daemon, &ms) == MHD_YES; /* what was resumed goes on at once */
        int n = poll(fds, 2, busy ? (int)ms : ending ? DRAIN_MS : -1);
        check(n < 0 && errno != EINTR ? -errno : 0);
        if (n == 0 && !busy && ending)
            break;
        if (n > 0 && fds[1].revents != 0)
            serve_ready();
        MHD_run(daemon);
    }
}

static void *push_lines(void *arg)
{
    char *line = NULL;
    size_t capacity = 0;

    while (getline(&line, &capacity, stdin) >= 0) {
        int devices = push_session_push(user, line, strcspn(line, "\r\n"));
        check(devices);
        printf("%d devices\n", devices);
    }
    free(line);
    push_session_delete(PUSH_ID("alice")); /* the streams can still be drained */
    push_poller_wake(poller);
    return arg;
}

int main(int argc, char **argv)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    pthread_t pusher;

    setlinebuf(stdout);
    address.sin_port = htons((uint16_t)(argc > 1 ? atoi(argv[1]) : 8080));
    user = push_session_new(PUSH_ID("alice"), PUSH_ID_NONE, 0);
    poller = push_poller_new();
    check(user == NULL || poller == NULL ? -errno : push_poller_fd(poller));
    struct MHD_Daemon *daemon = MHD_start_daemon(MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME, 0, NULL, NULL,
                                                 on_request, NULL, MHD_OPTION_SOCK_ADDR, &address, MHD_OPTION_END);
    if (daemon == NULL)
        errx(1, "cannot listen on port %d", ntohs(address.sin_port));
    printf("http://127.0.0.1:%d/phone\n", MHD_get_daemon_info(daemon, MHD_DAEMON_INFO_BIND_PORT)->port);
    check(-pthread_create(&pusher, NULL, push_lines, NULL));

    serve(daemon);
    pthread_join(pusher, NULL);
    MHD_stop_daemon(daemon);
    push_poller_free(poller);
    push_session_unref(user);
    push_shutdown();
    return 0;
}
