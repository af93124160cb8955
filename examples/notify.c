/*
 * Notifications for a user with several devices: notify [FILE]
 *
 * Worker threads read messages from FILE (standard input for "-", or without one), one a line, and push them to
 * the user. Some of the user's devices have a thread each, which waits for messages; the others share one epoll
 * loop. Every device gets every message, and all of them in the same order. At the end of the input, what each
 * device received is printed.
 */
#include <err.h>
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

static void check(int rc)
{
    if (rc < 0)
        errx(1, "%s", push_strerror(rc));
}

/* ---- Devices --------------------------------------------------------------------------------------------- */

struct device {
    push_client *client;
    FILE *text;     /* what it received, a line for each message, */
    char *received; /* and where it is then */
    size_t size, count;
};

/* Pulls until nothing comes within the timeout, or until the client is deleted and drained: -EPIPE. */
static int receive(struct device *d, int timeout_ms)
{
    push_msg *msg;
    int rc;

    while ((rc = push_client_pull(d->client, &msg, timeout_ms)) >= 0) {
        fputs("    ", d->text);
        fwrite(push_msg_data(msg), 1, push_msg_size(msg), d->text);
        fputc('\n', d->text);
        push_msg_unref(msg);
        d->count++;
    }
    return rc;
}

static void finish(struct device *d, int rc)
{
    check(rc == -EPIPE ? 0 : rc);
    check(fflush(d->text) != 0 || ferror(d->text) ? -ENOMEM : 0);
}

/* A device with a thread of its own. */
static void *device_thread(void *arg)
{
    struct device *d = arg;
    finish(d, receive(d, -1));
    return NULL;
}

/* Devices that share a thread, and an epoll loop in it. */
static int add_to_loop(int epoll, struct device *d)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = d};
    int fd = push_client_fd(d->client);
    if (fd < 0)
        return fd;
    return epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) == 0 ? 0 : -errno;
}

static void *loop_thread(void *arg)
{
    int epoll = *(int *)arg, open = LOOP_DEVICES;

    while (open > 0) {
        struct epoll_event events[LOOP_DEVICES];
        int n = epoll_wait(epoll, events, LOOP_DEVICES, -1);
        check(n < 0 && errno != EINTR ? -errno : 0);
        for (int i = 0; i < n; i++) {
            struct device *d = events[i].data.ptr;
            int rc = receive(d, 0);
            if (rc != -EAGAIN) {
                epoll_ctl(epoll, EPOLL_CTL_DEL, push_client_fd(d->client), NULL);
                finish(d, rc);
                open--;
            }
        }
    }
    return NULL;
}

/* ---- Workers --------------------------------------------------------------------------------------------- */

struct work {
    push_session *user;
    FILE *input; /* all workers read from it, a line at a time */
};

static void *push_lines(void *arg)
{
    struct work *w = arg;
    char *line = NULL;
    size_t capacity = 0;
    ssize_t size;

    while ((size = getline(&line, &capacity, w->input)) >= 0) {
        if (size > 0 && line[size - 1] == '\n')
            size--;
        check(push_session_push(w->user, line, (size_t)size)); /* waits where a device's mailbox is full */
    }
    check(feof(w->input) ? 0 : -errno);
    free(line);
    return NULL;
}

/* ---- The program ----------------------------------------------------------------------------------------- */

/* Says whether all devices received the same. */
static bool print_received(const struct device *devices)
{
    bool same = true;

    for (int i = 0; i < DEVICES; i++) {
        const struct device *d = &devices[i];
        printf("%s (%s) received %zu messages:\n", device_names[i],
               i < THREAD_DEVICES ? "its own thread" : "the epoll loop", d->count);
        fwrite(d->received, 1, d->size, stdout);
        same = same && d->size == devices[0].size && memcmp(d->received, devices[0].received, d->size) == 0;
    }
    printf("%s\n", same ? "All devices received the same messages in the same order."
                        : "The devices did not receive the same messages in the same order!");
    return same;
}

int main(int argc, char **argv)
{
    struct device devices[DEVICES] = {0};
    pthread_t threads[THREAD_DEVICES + 1], workers[WORKERS];

    const char *path = argc > 1 ? argv[1] : "-";
    struct work work = {.input = strcmp(path, "-") == 0 ? stdin : fopen(path, "r")};
    if (work.input == NULL)
        err(1, "%s", path);
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    check(epoll < 0 ? -errno : 0);
    work.user = push_session_new(PUSH_ID("alice"), PUSH_ID_NONE, 0);
    check(work.user == NULL ? -errno : 0);

    for (int i = 0; i < DEVICES; i++) {
        struct device *d = &devices[i];
        d->text = open_memstream(&d->received, &d->size);
        d->client = d->text == NULL ? NULL : push_client_new(work.user, PUSH_ID(device_names[i]), NULL);
        check(d->client == NULL ? -errno : 0);
        check(i < THREAD_DEVICES ? -pthread_create(&threads[i], NULL, device_thread, d) : add_to_loop(epoll, d));
    }
    check(-pthread_create(&threads[THREAD_DEVICES], NULL, loop_thread, &epoll));
    for (int i = 0; i < WORKERS; i++)
        check(-pthread_create(&workers[i], NULL, push_lines, &work));

    for (int i = 0; i < WORKERS; i++)
        pthread_join(workers[i], NULL);
    push_session_delete(PUSH_ID("alice")); /* the devices pull what is left, then end */
    for (int i = 0; i <= THREAD_DEVICES; i++)
        pthread_join(threads[i], NULL);
    bool same = print_received(devices);
    check(fflush(stdout) != 0 || ferror(stdout) ? -EIO : 0);

    for (int i = 0; i < DEVICES; i++) {
        push_client_unref(devices[i].client);
        fclose(devices[i].text);
        free(devices[i].received);
    }
    push_session_unref(work.user);
    push_shutdown();
    close(epoll);
    if (work.input != stdin)
        fclose(work.input);
    return same ? 0 : 1;
}
