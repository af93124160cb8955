/*
 * Clients in a libuv loop: a uv_poll_t watches the one descriptor of a poller, however many clients there are.
 *
 * Messages go to the devices' streams without being copied: a write holds its message until it is done. A stream
 * whose write queue grows too long pauses its client in the poller; when the queue is empty the client is resumed.
 * The device "watch" shows it: it reads nothing until the others have everything.
 *
 *     cc libuv_loop.c $(pkg-config --cflags --libs push libuv) -o libuv_loop
 *     ./libuv_loop
 */
#include <errno.h>
#include <push/push.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <uv.h>

enum { DEVICES = 3, MESSAGES = 2000, MESSAGE_SIZE = 512, AT_ONCE = 16, QUEUE_LIMIT = 64 * 1024 };

struct connection {
    push_client *client; /* NULL: ended */
    uv_pipe_t stream;    /* to the device */
    bool paused;         /* until the stream's write queue is empty */
    bool reported;       /* it is in the poller */
    int pauses;
};

static push_poller *poller;
static uv_poll_t ready;
static int connected;

/* ---- The loop: the part to copy -------------------------------------------------------------------------- */

static void on_shutdown(uv_shutdown_t *request, int status)
{
    (void)status;
    uv_close((uv_handle_t *)request->handle, NULL);
    free(request);
}

/* Ends the stream once its writes are done. */
static void disconnect(struct connection *c)
{
    if (c->client == NULL)
        return;
    push_poller_remove(poller, c->client);
    push_client_delete(c->client); /* no push waits for it any more */
    push_client_unref(c->client);
    c->client = NULL;

    uv_shutdown_t *request = malloc(sizeof *request);
    if (request == NULL || uv_shutdown(request, (uv_stream_t *)&c->stream, on_shutdown) != 0) {
        free(request);
        uv_close((uv_handle_t *)&c->stream, NULL);
    }
    if (--connected == 0)
        uv_close((uv_handle_t *)&ready, NULL);
}

static void on_written(uv_write_t *request, int status)
{
    struct connection *c = request->handle->data;

    push_msg_unref(request->data);
    free(request);
    if (status < 0)
        disconnect(c);
    else if (c->client != NULL && c->paused && uv_stream_get_write_queue_size((uv_stream_t *)&c->stream) == 0) {
        c->paused = false;
        int rc = c->reported ? push_poller_resume(poller, c->client) : push_poller_add(poller, c->client, c);
        c->reported = true;
        if (rc < 0)
            disconnect(c);
    }
}

/* Takes over the reference to the message. */
static int write_message(struct connection *c, push_msg *msg)
{
    uv_buf_t bytes = uv_buf_init((char *)push_msg_data(msg), (unsigned)push_msg_size(msg));
    uv_write_t *request = malloc(sizeof *request);
    int rc = request == NULL ? UV_ENOMEM : uv_write(request, (uv_stream_t *)&c->stream, &bytes, 1, on_written);
    if (rc < 0) {
        free(request);
        push_msg_unref(msg);
        return rc;
    }
    request->data = msg;
    return 0;
}

static void serve(struct connection *c)
{
    if (c->paused) { /* reported all the same: it was closed, and would be reported until it is removed */
        push_poller_remove(poller, c->client);
        c->reported = false;
        return;
    }
    for (int i = 0; i < AT_ONCE; i++) { /* where there is more, it is reported again, after the others */
        push_msg *msg;
        int rc = push_client_pull(c->client, &msg, 0);
        if (rc == -EAGAIN)
            return;
        if (rc < 0 || write_message(c, msg) < 0) { /* -EPIPE: deleted, and drained */
            disconnect(c);
            return;
        }
        if (uv_stream_get_write_queue_size((uv_stream_t *)&c->stream) > QUEUE_LIMIT) {
            c->paused = true;
            c->pauses++;
            push_poller_pause(poller, c->client);
            return;
        }
    }
}

/* Level-triggered: libuv calls it again while there are ready clients. */
static void on_ready(uv_poll_t *handle, int status, int events)
{
    push_event event[AT_ONCE];

    (void)handle;
    (void)events;
    int n = status < 0 ? status : push_poller_wait(poller, event, AT_ONCE, 0);
    for (int i = 0; i < n; i++)
        serve(event[i].data);
}

static int connect_client(uv_loop_t *loop, struct connection *c, push_session *s, const char *name, int socket)
{
    push_client_options options = {.max_buffer = MESSAGES};

    c->stream.data = c;
    int rc = uv_pipe_init(loop, &c->stream, 0);
    if (rc == 0)
        rc = uv_pipe_open(&c->stream, socket);
    if (rc < 0)
        return rc;
    c->client = push_client_new(s, PUSH_ID(name), &options);
    if (c->client == NULL)
        return -errno;
    connected++;
    c->reported = true;
    return push_poller_add(poller, c->client, c);
}

/* ---- The devices, at the other ends of the streams, in the same loop -------------------------------------- */

struct device {
    const char *name;
    bool slow;
    uv_pipe_t stream;
    size_t received;
};

static struct connection connections[DEVICES];
static struct device devices[DEVICES] = {{.name = "phone"}, {.name = "laptop"}, {.name = "watch", .slow = true}};
static int reading;

static void on_allocate(uv_handle_t *handle, size_t size, uv_buf_t *buffer)
{
    static char bytes[64 * 1024];

    (void)handle;
    (void)size;
    *buffer = uv_buf_init(bytes, sizeof bytes);
}

static void read_devices(bool slow);

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buffer)
{
    struct device *d = stream->data;

    (void)buffer;
    if (n >= 0) {
        d->received += (size_t)n;
        return;
    }
    uv_close((uv_handle_t *)stream, NULL);
    if (--reading == 0 && !d->slow)
        read_devices(true);
}

static void read_devices(bool slow)
{
    for (int i = 0; i < DEVICES; i++)
        if (devices[i].slow == slow && uv_read_start((uv_stream_t *)&devices[i].stream, on_allocate, on_read) == 0)
            reading++;
}

static int start_device(uv_loop_t *loop, int i, push_session *s)
{
    uv_os_sock_t sockets[2];
    struct device *d = &devices[i];

    int rc = uv_socketpair(SOCK_STREAM, 0, sockets, UV_NONBLOCK_PIPE, UV_NONBLOCK_PIPE);
    if (rc == 0)
        rc = uv_pipe_init(loop, &d->stream, 0);
    if (rc == 0)
        rc = uv_pipe_open(&d->stream, sockets[1]);
    d->stream.data = d;
    return rc == 0 ? connect_client(loop, &connections[i], s, d->name, sockets[0]) : rc;
}

/* ---- The pusher: any thread of the program --------------------------------------------------------------- */

static void push_messages(void *arg)
{
    char line[MESSAGE_SIZE + 1];

    for (int i = 0; i < MESSAGES; i++) {
        snprintf(line, sizeof line, "message %-*d\n", MESSAGE_SIZE - 9, i);
        if (push_session_push(arg, line, MESSAGE_SIZE) < 0)
            break;
    }
    push_session_delete(push_session_id(arg)); /* the clients can still be drained */
}

int main(void)
{
    uv_loop_t *loop = uv_default_loop();
    uv_thread_t pusher;

    push_session *user = push_session_new(PUSH_ID("alice"), PUSH_ID_NONE, 0);
    poller = push_poller_new();
    int rc = user == NULL || poller == NULL ? -errno : push_poller_fd(poller);
    if (rc >= 0)
        rc = uv_poll_init(loop, &ready, rc);
    if (rc == 0)
        rc = uv_poll_start(&ready, UV_READABLE, on_ready);
    for (int i = 0; rc == 0 && i < DEVICES; i++)
        rc = start_device(loop, i, user);
    if (rc == 0)
        rc = uv_thread_create(&pusher, push_messages, user);
    if (rc < 0) {
        fprintf(stderr, "libuv_loop: %s\n", push_strerror(rc));
        return 1;
    }

    read_devices(false);
    uv_run(loop, UV_RUN_DEFAULT); /* until every handle is closed */
    uv_thread_join(&pusher);
    for (int i = 0; i < DEVICES; i++)
        printf("%s received %zu messages, its stream was full %d times\n", devices[i].name,
               devices[i].received / MESSAGE_SIZE, connections[i].pauses);

    push_poller_free(poller);
    push_session_unref(user);
    push_shutdown();
    return uv_loop_close(loop) == 0 ? 0 : 1;
}
