/*
 * Notifications for a user with several devices: notify [FILE]
 *
 * Worker threads read messages from FILE (standard input for "-", or without one), one a line, and push them to
 * the user. Some of the user's devices have a thread each, which waits for messages; the others share one epoll
 * loop. Every device gets every message, and all of them in the same order. At the end of the input, what each
 * device received is printed.
 */
#include <errno.h>
#include <pthread.h>
#include <push/push.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

enum { WORKERS = 4, THREAD_DEVICES = 2, LOOP_DEVICES = 3, DEVICES = THREAD_DEVICES + LOOP_DEVICES };

static const char *const device_names[DEVICES] = {"phone", "tablet", "laptop", "watch", "car"};

/* ---- Devices --------------------------------------------------------------------------------------------- */

struct device {
    push_client *client;
    push_msg **received; /* references: the devices share the messages */
    size_t count, capacity;
    int error;
};

static int keep(struct device *d, push_msg *msg)
{
    if (d->count == d->capacity) {
        size_t capacity = d->capacity == 0 ? 16 : 2 * d->capacity;
        push_msg **received = realloc(d->received, capacity * sizeof *received);
        if (received == NULL)
            return -ENOMEM;
        d->received = received;
        d->capacity = capacity;
    }
    d->received[d->count++] = msg;
    return 0;
}

/* Pulls until nothing comes within the timeout, or until the client is deleted and drained: -EPIPE. */
static int receive(struct device *d, int timeout_ms)
{
    push_msg *msg;
    int rc;

    while ((rc = push_client_pull(d->client, &msg, timeout_ms)) >= 0) {
        rc = keep(d, msg);
        if (rc < 0) {
            push_msg_unref(msg);
            break;
        }
    }
    return rc;
}

/* A device that failed must not hold up the pushes: its client goes. */
static void finish(struct device *d, int rc)
{
    d->error = rc == -EPIPE ? 0 : rc;
    push_client_delete(d->client);
}

/* A device with a thread of its own. */
static void *device_thread(void *arg)
{
    struct device *d = arg;
    finish(d, receive(d, -1));
    return NULL;
}

/* The devices that share a loop. */
struct loop {
    int epoll;
    struct device *devices;
};

static int add_to_loop(struct loop *loop, struct device *d)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = d};
    int fd = push_client_fd(d->client);
    if (fd < 0)
        return fd;
    return epoll_ctl(loop->epoll, EPOLL_CTL_ADD, fd, &event) == 0 ? 0 : -errno;
}

static void *loop_thread(void *arg)
{
    struct loop *loop = arg;
    int open = LOOP_DEVICES;

    while (open > 0) {
        struct epoll_event events[LOOP_DEVICES];
        int n = epoll_wait(loop->epoll, events, LOOP_DEVICES, -1);
        if (n < 0 && errno != EINTR) {
            int rc = -errno;
            for (int i = 0; i < LOOP_DEVICES; i++)
                finish(&loop->devices[i], rc);
            break;
        }
        for (int i = 0; i < n; i++) {
            struct device *d = events[i].data.ptr;
            int rc = receive(d, 0);
            if (rc != -EAGAIN) {
                epoll_ctl(loop->epoll, EPOLL_CTL_DEL, push_client_fd(d->client), NULL);
                finish(d, rc);
                open--;
            }
        }
    }
    return NULL;
}

/* ---- Workers --------------------------------------------------------------------------------------------- */

struct worker {
    pthread_t thread;
    push_session *user;
    FILE *input; /* all workers read from it, a line at a time */
    int error;
};

static void *push_lines(void *arg)
{
    struct worker *w = arg;
    char *line = NULL;
    size_t capacity = 0;
    ssize_t size;

    while ((size = getline(&line, &capacity, w->input)) >= 0) {
        if (size > 0 && line[size - 1] == '\n')
            size--;
        int rc = push_session_push(w->user, line, (size_t)size); /* waits where a device's mailbox is full */
        if (rc < 0) {
            w->error = rc;
            break;
        }
    }
    if (size < 0 && !feof(w->input))
        w->error = errno;
    free(line);
    return NULL;
}

/* Pushes the whole input. */
static int run_workers(push_session *user, FILE *input)
{
    struct worker workers[WORKERS];
    int started = 0, error = 0;

    while (started < WORKERS && error == 0) {
        struct worker *w = &workers[started];
        *w = (struct worker){.user = user, .input = input};
        error = pthread_create(&w->thread, NULL, push_lines, w);
        started += error == 0;
    }
    for (int i = 0; i < started; i++) {
        pthread_join(workers[i].thread, NULL);
        if (workers[i].error != 0)
            error = workers[i].error;
    }
    return error;
}

/* ---- The program ----------------------------------------------------------------------------------------- */

static int print_received(const struct device *devices)
{
    bool same = true;

    for (int i = 0; i < DEVICES; i++) {
        const struct device *d = &devices[i];
        printf("%s (%s) received %zu messages:\n", device_names[i],
               i < THREAD_DEVICES ? "its own thread" : "the epoll loop", d->count);
        for (size_t j = 0; j < d->count; j++)
            printf("    %.*s\n", (int)push_msg_size(d->received[j]), (const char *)push_msg_data(d->received[j]));
        same = same && d->count == devices[0].count &&
               (d->count == 0 || memcmp(d->received, devices[0].received, d->count * sizeof *d->received) == 0);
    }
    printf("%s\n", same ? "All devices received the same messages in the same order."
                        : "The devices did not receive the same messages in the same order!");
    if (fflush(stdout) != 0)
        return errno;
    return same ? 0 : EPROTO;
}

static int notify(FILE *input)
{
    struct device devices[DEVICES] = {0};
    struct loop loop = {.devices = &devices[THREAD_DEVICES]};
    pthread_t threads[THREAD_DEVICES + 1];
    int started = 0, error = 0;

    loop.epoll = epoll_create1(EPOLL_CLOEXEC);
    if (loop.epoll < 0)
        return errno;
    push_session *user = push_session_new(PUSH_ID("alice"), PUSH_ID_NONE, 0);
    if (user == NULL)
        error = errno;

    for (int i = 0; i < DEVICES && error == 0; i++) {
        struct device *d = &devices[i];
        d->client = push_client_new(user, PUSH_ID(device_names[i]), NULL);
        if (d->client == NULL)
            error = errno;
        else if (i >= THREAD_DEVICES)
            error = add_to_loop(&loop, d);
    }
    while (started <= THREAD_DEVICES && error == 0) {
        if (started < THREAD_DEVICES)
            error = pthread_create(&threads[started], NULL, device_thread, &devices[started]);
        else
            error = pthread_create(&threads[started], NULL, loop_thread, &loop);
        started += error == 0;
    }

    if (error == 0)
        error = run_workers(user, input);
    push_session_delete(PUSH_ID("alice")); /* the devices pull what is left, then end */
    for (int i = 0; i < started; i++)
        pthread_join(threads[i], NULL);
    for (int i = 0; i < DEVICES; i++)
        if (error == 0)
            error = devices[i].error;
    if (error == 0)
        error = print_received(devices);

    for (int i = 0; i < DEVICES; i++) {
        for (size_t j = 0; j < devices[i].count; j++)
            push_msg_unref(devices[i].received[j]);
        free(devices[i].received);
        push_client_unref(devices[i].client);
    }
    push_session_unref(user);
    push_shutdown();
    close(loop.epoll);
    return error;
}

int main(int argc, char **argv)
{
    const char *path = argc > 1 ? argv[1] : "-";
    FILE *input = strcmp(path, "-") == 0 ? stdin : fopen(path, "r");
    if (input == NULL) {
        fprintf(stderr, "notify: %s: %s\n", path, strerror(errno));
        return 1;
    }
    int error = notify(input);
    if (error != 0)
        fprintf(stderr, "notify: %s\n", error < 0 ? push_strerror(error) : strerror(error));
    if (input != stdin)
        fclose(input);
    return error == 0 ? 0 : 1;
}
