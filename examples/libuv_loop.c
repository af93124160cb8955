/*
 * Clients in a libuv loop: a uv_poll_t watches the one descriptor of a poller, however many clients there are.
 *
 * Messages go to the devices' streams without being copied: a write holds its message until it is done. A stream
 * whose write queue grows too long pauses its client in the poller; when the queue is empty the client is resumed.
 *
 *     cc libuv_loop.c $(pkg-config --cflags --libs push libuv) -o libuv_loop
 *     ./libuv_loop
 */
#include <err.h>
#include <errno.h>
#include <push/push.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <uv.h>

enum { DEVICES = 3, MESSAGES = 2000, MESSAGE_SIZE = 512, AT_ONCE = 16, QUEUE_LIMIT = 64 * 1024 };

struct connection {
    push_client *client; /* NULL: disconnected */
    uv_pipe_t stream;    /* to the device */
    uv_shutdown_t end;
    bool paused; /* until the stream's write queue is empty */
};

static push_poller *poller;
static uv_poll_t ready;
static int connected, pauses;

static void check(int rc)
{
    if (rc < 0)
        errx(1, "%s", push_strerror(rc));
}

static void on_shutdown(uv_shutdown_t *request, int status)
{
    (void)status;
    uv_close((uv_handle_t *)request->handle, NULL);
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
    if (uv_shutdown(&c->end, (uv_stream_t *)&c->stream, on_shutdown) < 0)
        uv_close((uv_handle_t *)&c->stream, NULL);
    if (--connected == 0)
        uv_close((uv_handle_t *)&ready, NULL);
}

static void on_written(uv_write_t *request, int status)
{
    struct connection *c = request->handle->data;
    int rc = status;

    if (rc == 0 && c->client != NULL && c->paused && uv_stream_get_write_queue_size(request->handle) == 0) {
        c->paused = false;
        rc = push_poller_resume(poller, c->client);
        if (rc == -ENOENT) /* closed in the meantime: see serve() */
            rc = push_poller_add(poller, c->client, c);
    }
    if (rc < 0)
        disconnect(c);
    push_msg_unref(request->data);
    free(request);
}

/* Takes over the reference to the message. */
static int write_message(struct connection *c, push_msg *msg)
{
    uv_buf_t bytes = uv_buf_init((char *)push_msg_data(msg), (unsigned)push_msg_size(msg));
    uv_write_t *request = malloc(sizeof *request);
    int rc = request == NULL ? UV_ENOMEM : uv_write(request, (uv_stream_t *)&c->stream, &bytes, 1, on_written);
    if (rc == 0) {
        request->data = msg;
        return 0;
    }
    free(request);
    push_msg_unref(msg);
    return rc;
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
        if (rc < 0 || (rc = write_message(c, msg)) < 0) /* -EPIPE: deleted, and drained */
            return rc;
        if (uv_stream_get_write_queue_size((uv_stream_t *)&c->stream) > QUEUE_LIMIT) {
            pauses++;
            c->paused = true;
            return push_poller_pause(poller, c->client);
        }
    }
    return 0;
}

/* Level-triggered: libuv calls it again while there are ready clients. */
static void on_ready(uv_poll_t *handle, int status, int events)
{
    push_event event[AT_ONCE];

    (void)handle;
    (void)events;
    int n = status < 0 ? status : push_poller_wait(poller, event, AT_ONCE, 0);
    for (int i = 0; i < n; i++)
        if (serve(event[i].data) < 0)
            disconnect(event[i].data);
}

static void run_loop(void *loop)
{
    uv_run(loop, UV_RUN_DEFAULT); /* until every handle is closed */
}

/* The rest of the program: it pushes, and then is one device after the other. */
int main(void)
{
    const char *names[DEVICES] = {"phone", "laptop", "watch"};
    push_client_options options = {.max_buffer = MESSAGES};
    struct connection connections[DEVICES] = {0};
    uv_loop_t *loop = uv_default_loop();
    uv_os_sock_t sockets[DEVICES][2];
    uv_thread_t thread;

    signal(SIGPIPE, SIG_IGN);
    push_session *user = push_session_new(PUSH_ID("alice"), PUSH_ID_NONE, 0);
    poller = push_poller_new();
    int fd = user == NULL || poller == NULL ? -errno : push_poller_fd(poller);
    check(fd < 0 ? fd : uv_poll_init(loop, &ready, fd));
    check(uv_poll_start(&ready, UV_READABLE, on_ready));
    for (; connected < DEVICES; connected++) {
        struct connection *c = &connections[connected];
        check(uv_socketpair(SOCK_STREAM, 0, sockets[connected], UV_NONBLOCK_PIPE, 0));
        check(uv_pipe_init(loop, &c->stream, 0));
        check(uv_pipe_open(&c->stream, sockets[connected][0]));
        c->stream.data = c;
        c->client = push_client_new(user, PUSH_ID(names[connected]), &options);
        check(c->client == NULL ? -errno : push_poller_add(poller, c->client, c));
    }
    check(uv_thread_create(&thread, run_loop, loop));

    for (int i = 0; i < MESSAGES; i++) {
        char line[MESSAGE_SIZE + 1];
        snprintf(line, sizeof line, "message %-*d\n", MESSAGE_SIZE - 9, i);
        check(push_session_push(user, line, MESSAGE_SIZE));
    }
    push_session_delete(PUSH_ID("alice")); /* the clients can still be drained */
    for (int i = 0; i < DEVICES; i++) {
        int received = 0, number;
        FILE *in = fdopen(sockets[i][1], "r");
        check(in == NULL ? -errno : 0);
        while (fscanf(in, "message %d ", &number) == 1 && number == received)
            received++; /* it came whole, and in order */
        printf("%s received %d messages\n", names[i], received);
        fclose(in);
    }
    uv_thread_join(&thread);
    printf("a stream was full %d times\n", pauses);

    push_poller_free(poller);
    push_session_unref(user);
    push_shutdown();
    return uv_loop_close(loop) == 0 ? 0 : 1;
}
