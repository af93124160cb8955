/*
 * Server-Sent Events with libmicrohttpd: each response is a stream, which is suspended while there is nothing to
 * send.
 *
 * One thread runs everything: it waits for the daemon's epoll descriptor and for a poller's. A response that finds
 * nothing to pull suspends its connection; from then on the poller tells when there is something. No wake-up is
 * lost between the two, because the poller reports a client as long as there is something to pull, whenever it
 * came; and none is made in vain, because a client is paused in the poller while its connection runs.
 *
 *     cc libmicrohttpd_sse.c $(pkg-config --cflags --libs push libmicrohttpd) -o libmicrohttpd_sse
 *     ./libmicrohttpd_sse [PORT [PUSHES]]       ends after so many pushes, or by SIGINT or SIGTERM
 *     curl -N 'http://127.0.0.1:8080/events?user=alice&device=phone'
 *     curl -d hello 'http://127.0.0.1:8080/push?user=alice'
 */
#define _GNU_SOURCE /* ppoll */
#include <arpa/inet.h>
#include <errno.h>
#include <microhttpd.h>
#include <poll.h>
#include <push/push.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { AT_ONCE = 64, HEARTBEAT_MS = 15000, BODY_MAX = 64 * 1024, BLOCK_SIZE = 16 * 1024, DRAIN_MS = 2000 };

struct stream {
    struct MHD_Connection *connection;
    push_client *client;
    char *text; /* what is being sent; NULL: nothing */
    size_t size, sent;
    bool suspended;
    bool reported; /* it is in the poller */
    struct stream *next, **link;
};

static push_poller *poller;
static struct stream *streams;
static long pushes_left = -1; /* negative: no end */
static volatile sig_atomic_t interrupted;

/* ---- Streams: the part to copy --------------------------------------------------------------------------- */

static void resume(struct stream *s)
{
    if (!s->suspended)
        return;
    s->suspended = false;
    if (s->reported)
        push_poller_pause(poller, s->client);
    MHD_resume_connection(s->connection);
}

static void suspend(struct stream *s)
{
    s->suspended = true;
    MHD_suspend_connection(s->connection);
    push_poller_resume(poller, s->client); /* reports what came since the pull at once */
}

/* An event for each message, its lines marked as the format wants it. */
static bool write_event(struct stream *s, const char *data, size_t size, int lost)
{
    FILE *out = open_memstream(&s->text, &s->size);
    if (out == NULL)
        return false;
    if (lost > 0)
        fprintf(out, "event: lost\ndata: %d\n\n", lost);
    fputs("data: ", out);
    for (size_t i = 0; i < size; i++) {
        if (data[i] == '\n')
            fputs("\ndata: ", out);
        else if (data[i] != '\r')
            fputc(data[i], out);
    }
    fputs("\n\n", out);
    s->sent = 0;
    if (fclose(out) == 0)
        return true;
    free(s->text);
    s->text = NULL;
    return false;
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
            suspend(s);
            return 0;
        }
        if (rc < 0) /* -EPIPE: deleted, and drained */
            return MHD_CONTENT_READER_END_OF_STREAM;
        bool written = write_event(s, push_msg_data(msg), push_msg_size(msg), rc);
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

/* The response is not needed any more: it ended, or the device went away. */
static void free_stream(void *arg)
{
    struct stream *s = arg;

    if (s->client != NULL) {
        if (s->reported)
            push_poller_remove(poller, s->client);
        push_client_delete(s->client);
        push_client_unref(s->client);
    }
    *s->link = s->next;
    if (s->next != NULL)
        s->next->link = s->link;
    free(s->text);
    free(s);
}

static struct stream *new_stream(struct MHD_Connection *connection, const char *user, const char *device)
{
    push_client_options options = {.max_buffer = 1000, .overflow = PUSH_DROP_OLDEST, .duplicate = PUSH_REPLACE};

    struct stream *s = calloc(1, sizeof *s);
    if (s == NULL)
        return NULL;
    s->connection = connection;
    s->next = streams;
    s->link = &streams;
    if (streams != NULL)
        streams->link = &s->next;
    streams = s;

    s->client = push_client_open(PUSH_ID(user), PUSH_ID(device), &options);
    if (s->client != NULL && push_poller_add(poller, s->client, s) == 0) {
        s->reported = true;
        push_poller_pause(poller, s->client); /* until the connection is suspended */
        return s;
    }
    free_stream(s);
    return NULL;
}

static void serve_ready(void)
{
    push_event events[AT_ONCE];

    int n = push_poller_wait(poller, events, AT_ONCE, 0);
    for (int i = 0; i < n; i++) {
        struct stream *s = events[i].data;
        if (s->suspended) {
            resume(s);
        } else { /* closed, which is reported also of the paused, until it is removed */
            push_poller_remove(poller, s->client);
            s->reported = false;
        }
    }
}

/* A comment, which the format allows for: a device that is gone is noticed when it is written to. */
static void heartbeat(void)
{
    for (struct stream *s = streams; s != NULL; s = s->next) {
        if (!s->suspended)
            continue;
        s->text = strdup(":\n\n");
        s->size = s->text == NULL ? 0 : 3;
        s->sent = 0;
        resume(s);
    }
}

/* ---- Requests -------------------------------------------------------------------------------------------- */

static enum MHD_Result answer(struct MHD_Connection *connection, unsigned status, const char *text)
{
    struct MHD_Response *response =
        MHD_create_response_from_buffer(strlen(text), (void *)text, MHD_RESPMEM_MUST_COPY);
    enum MHD_Result queued = MHD_queue_response(connection, status, response);
    MHD_destroy_response(response);
    return queued;
}

static enum MHD_Result open_stream(struct MHD_Connection *connection, const char *user, const char *device)
{
    if (device == NULL)
        return answer(connection, MHD_HTTP_BAD_REQUEST, "device is missing\n");
    struct stream *s = new_stream(connection, user, device);
    if (s == NULL)
        return answer(connection, MHD_HTTP_SERVICE_UNAVAILABLE, "no room for another stream\n");
    struct MHD_Response *response =
        MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, BLOCK_SIZE, read_stream, s, free_stream);
    if (response == NULL) {
        free_stream(s);
        return MHD_NO;
    }
    MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, "text/event-stream");
    MHD_add_response_header(response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
    enum MHD_Result queued = MHD_queue_response(connection, MHD_HTTP_OK, response);
    MHD_destroy_response(response);
    return queued;
}

struct body {
    bool too_large;
    size_t size;
    char bytes[BODY_MAX];
};

/* Nothing may wait in this thread: timeout 0. */
static enum MHD_Result push_body(struct MHD_Connection *connection, const char *user, const struct body *body)
{
    char text[64];
    push_report report = {0};

    if (body->too_large)
        return answer(connection, MHD_HTTP_CONTENT_TOO_LARGE, "too large\n");
    push_session *s = push_session_find(PUSH_ID(user));
    push_msg *msg = push_msg_new(body->bytes, body->size);
    int rc = s == NULL ? -ENOENT : push_session_send(s, msg, PUSH_ID_NONE, 0, &report);
    push_msg_unref(msg);
    push_session_unref(s);
    if (rc < 0 && rc != -ENOENT && rc != -EPIPE)
        return answer(connection, MHD_HTTP_SERVICE_UNAVAILABLE, push_strerror(rc));
    if (pushes_left > 0)
        pushes_left--;
    snprintf(text, sizeof text, "{\"delivered\": %zu, \"dropped\": %zu}\n", report.delivered, report.dropped);
    return answer(connection, MHD_HTTP_OK, text);
}

/* Called when the header is there, then for each part of the body, then at its end. */
static enum MHD_Result on_request(void *arg, struct MHD_Connection *connection, const char *url, const char *method,
                                  const char *version, const char *part, size_t *size, void **state)
{
    const char *user = MHD_lookup_connection_value(connection, MHD_GET_ARGUMENT_KIND, "user");
    bool pushing = strcmp(method, MHD_HTTP_METHOD_POST) == 0 && strcmp(url, "/push") == 0;

    (void)arg;
    (void)version;
    if (*state == NULL) {
        *state = calloc(1, sizeof(struct body));
        return *state != NULL ? MHD_YES : MHD_NO;
    }
    if (pushing && *size > 0) {
        struct body *body = *state;
        body->too_large = body->too_large || *size > sizeof body->bytes - body->size;
        if (!body->too_large) {
            memcpy(body->bytes + body->size, part, *size);
            body->size += *size;
        }
        *size = 0;
        return MHD_YES;
    }
    if (user == NULL)
        return answer(connection, MHD_HTTP_BAD_REQUEST, "user is missing\n");
    if (pushing)
        return push_body(connection, user, *state);
    if (strcmp(method, MHD_HTTP_METHOD_GET) != 0 || strcmp(url, "/events") != 0)
        return answer(connection, MHD_HTTP_NOT_FOUND, "GET /events or POST /push\n");
    return open_stream(connection, user, MHD_lookup_connection_value(connection, MHD_GET_ARGUMENT_KIND, "device"));
}

static void on_completed(void *arg, struct MHD_Connection *connection, void **state,
                         enum MHD_RequestTerminationCode why)
{
    (void)arg;
    (void)connection;
    (void)why;
    free(*state);
    *state = NULL;
}

/* ---- The loop -------------------------------------------------------------------------------------------- */

static void on_signal(int number)
{
    (void)number;
    interrupted = 1;
}

/* One wait, and what came of it. Signals are handled while it waits, and at no other time. */
static int run_once(struct MHD_Daemon *daemon, int limit_ms)
{
    MHD_UNSIGNED_LONG_LONG ms;
    sigset_t none;
    struct pollfd fds[] = {
        {.fd = MHD_get_daemon_info(daemon, MHD_DAEMON_INFO_EPOLL_FD)->epoll_fd, .events = POLLIN},
        {.fd = push_poller_fd(poller), .events = POLLIN}};

    sigemptyset(&none);
    if (MHD_get_timeout(daemon, &ms) == MHD_YES && ms < (MHD_UNSIGNED_LONG_LONG)limit_ms)
        limit_ms = (int)ms;
    struct timespec limit = {.tv_sec = limit_ms / 1000, .tv_nsec = limit_ms % 1000 * 1000000L};
    int n = ppoll(fds, 2, &limit, &none);
    if (n < 0 && errno != EINTR)
        return -errno;
    if (n > 0 && fds[1].revents != 0)
        serve_ready();
    return MHD_run(daemon) == MHD_YES ? 0 : -EIO; /* continues what was resumed, too */
}

static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int serve(struct MHD_Daemon *daemon)
{
    int64_t beat = now_ms() + HEARTBEAT_MS;
    int rc = 0;

    while (rc == 0 && !interrupted && pushes_left != 0) {
        int64_t left = beat - now_ms();
        if (left <= 0) {
            heartbeat();
            beat = now_ms() + HEARTBEAT_MS;
            left = HEARTBEAT_MS;
        }
        rc = run_once(daemon, (int)left);
    }
    return rc;
}

/* Streams send what they have, and end; those of devices that do not read are cut off. */
static void stop(struct MHD_Daemon *daemon)
{
    int64_t end = now_ms() + DRAIN_MS;

    push_shutdown();
    for (int64_t left; streams != NULL && (left = end - now_ms()) > 0;)
        if (run_once(daemon, (int)left) != 0)
            break;
    for (struct stream *s = streams; s != NULL; s = s->next)
        resume(s); /* the daemon must not be stopped while one is suspended */
    MHD_stop_daemon(daemon);
}

int main(int argc, char **argv)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct sigaction action = {.sa_handler = on_signal};
    sigset_t signals;

    address.sin_port = htons((uint16_t)(argc > 1 ? atoi(argv[1]) : 8080));
    if (argc > 2)
        pushes_left = atol(argv[2]);
    sigemptyset(&signals);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGTERM);
    sigprocmask(SIG_BLOCK, &signals, NULL);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);

    poller = push_poller_new();
    int rc = poller == NULL ? -errno : push_poller_fd(poller);
    if (rc < 0) {
        fprintf(stderr, "libmicrohttpd_sse: %s\n", push_strerror(rc));
        return 1;
    }
    struct MHD_Daemon *daemon = MHD_start_daemon(MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME, 0, NULL, NULL,
                                                 on_request, NULL, MHD_OPTION_SOCK_ADDR, &address,
                                                 MHD_OPTION_NOTIFY_COMPLETED, on_completed, NULL, MHD_OPTION_END);
    if (daemon == NULL) {
        fprintf(stderr, "libmicrohttpd_sse: cannot listen on port %d\n", ntohs(address.sin_port));
        return 1;
    }
    printf("http://127.0.0.1:%d/events?user=alice&device=phone\n",
           MHD_get_daemon_info(daemon, MHD_DAEMON_INFO_BIND_PORT)->port);
    fflush(stdout);

    rc = serve(daemon);
    stop(daemon);
    if (rc < 0)
        fprintf(stderr, "libmicrohttpd_sse: %s\n", push_strerror(rc));
    push_poller_free(poller);
    return rc == 0 ? 0 : 1;
}
