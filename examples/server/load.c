/*
 * A load for push-server: load PORT PID CLIENTS MESSAGES SIZE
 *
 * CLIENTS WebSocket clients, all of them devices of one user, and every other one with acknowledgements. MESSAGES
 * texts of SIZE bytes are pushed, some ahead of the slowest, and each client has to get each of them, once and in
 * order. One more client does not read until all others are done, and must be told of exactly what it lost. PID is
 * the server's, whose memory is looked at: it may not grow with the number of messages.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
    CONNECT_AT_ONCE = 100,
    AHEAD = 8,      /* messages pushed that not all have got: less than the server's mailboxes hold */
    ACK_EVERY = 4,  /* messages: less than the server's window */
    ENVELOPE = 512, /* what a frame holds besides the text */
    EVENTS = 256,
    OWN_DESCRIPTORS = 16,
    PATIENCE_MS = 30000,
};

enum state { HANDSHAKE, OPEN };

struct client {
    int fd;
    enum state state;
    bool acks, greeted;
    unsigned long received, lost, last_id;
    size_t have; /* bytes in the buffer */
    unsigned char *buffer;
};

struct load {
    struct sockaddr_in server;
    long pid;
    unsigned long clients, messages, size;
    size_t buffer_size;
    int epoll, push_socket;
    struct client *client; /* one more than clients: the last does not read */
    unsigned long greeted, pushed;
    unsigned long *reached; /* how many clients have got so many messages */
    unsigned long slowest;  /* what all have got */
};

static void fail(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    fputs("load: ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    exit(1);
}

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* A line of the server's /proc/PID/status, in KiB. */
static long server_memory(const struct load *l, const char *name)
{
    char path[64], line[256];
    long kib = -1;

    snprintf(path, sizeof path, "/proc/%ld/status", l->pid);
    FILE *f = fopen(path, "r");
    if (f == NULL)
        fail("the server has gone");
    while (kib < 0 && fgets(line, sizeof line, f) != NULL)
        if (strncmp(line, name, strlen(name)) == 0)
            kib = strtol(line + strlen(name), NULL, 10);
    fclose(f);
    return kib;
}

/* ---- Sockets --------------------------------------------------------------------------------------------- */

static int connect_socket(const struct load *l, int receive_buffer)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;

    if (fd < 0)
        fail("socket: %s", strerror(errno));
    if (receive_buffer > 0)
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof receive_buffer);
    if (connect(fd, (const struct sockaddr *)&l->server, sizeof l->server) != 0)
        fail("connect: %s", strerror(errno));
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return fd;
}

static void send_all(int fd, const void *data, size_t size)
{
    if (send(fd, data, size, MSG_NOSIGNAL) != (ssize_t)size)
        fail("send: %s", strerror(errno));
}

static void watch(struct load *l, struct client *c)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
    if (epoll_ctl(l->epoll, EPOLL_CTL_ADD, c->fd, &event) != 0)
        fail("epoll: %s", strerror(errno));
}

static void open_client(struct load *l, unsigned long i)
{
    struct client *c = &l->client[i];
    char request[512];
    bool reads = i < l->clients;

    *c = (struct client){.fd = connect_socket(l, reads ? 0 : 4096), .acks = reads && i % 2 == 1};
    c->buffer = malloc(l->buffer_size);
    if (c->buffer == NULL)
        fail("no memory");
    int n = snprintf(request, sizeof request,
                     "GET /ws?user=load&device=%lu%s HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\n"
                     "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                     "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
                     i, c->acks ? "&ack=1" : "");
    send_all(c->fd, request, (size_t)n);
    watch(l, c);
}

/* ---- Frames ---------------------------------------------------------------------------------------------- */

/* A frame of up to 125 bytes, masked, as a client's must be, with zeros. */
static void send_frame(struct client *c, unsigned opcode, const void *data, size_t size)
{
    unsigned char frame[6 + 125] = {(unsigned char)(0x80 | opcode), (unsigned char)(0x80 | size)};

    memcpy(frame + 6, data, size);
    send_all(c->fd, frame, 6 + size);
}

static void acknowledge(struct client *c)
{
    char text[64];
    int n = snprintf(text, sizeof text, "{\"ack\":%lu}", c->last_id);
    send_frame(c, 1, text, (size_t)n);
}

static void count_message(struct load *l, struct client *c, unsigned long id, unsigned long lost)
{
    unsigned long device = (unsigned long)(c - l->client);

    if (c->last_id != 0 && id != c->last_id + lost + 1)
        fail("client %lu: message %lu after %lu, and %lu said to be lost", device, id, c->last_id, lost);
    if (device < l->clients && lost > 0)
        fail("client %lu lost %lu messages", device, lost);
    c->last_id = id;
    c->lost += lost;
    c->received++;
    if (device < l->clients)
        l->reached[c->received]++;
    while (l->slowest < l->messages && l->reached[l->slowest + 1] == l->clients)
        l->slowest++;
    if (c->acks && c->received % ACK_EVERY == 0)
        acknowledge(c);
}

static void take_text(struct load *l, struct client *c, const unsigned char *text, size_t size)
{
    char head[128];
    unsigned long id, lost;

    snprintf(head, sizeof head, "%.*s", (int)size, (const char *)text);
    if (strncmp(head, "{\"type\":\"hello\"", 15) == 0 && !c->greeted) {
        c->greeted = true;
        l->greeted++;
    } else if (sscanf(head, "{\"type\":\"message\",\"lost\":%lu,\"message\":{\"id\":%lu,", &lost, &id) == 2) {
        if (size < l->size)
            fail("a message of %zu bytes", size);
        count_message(l, c, id, lost);
    } else {
        fail("got %s", head);
    }
}

static void take_frame(struct load *l, struct client *c, unsigned opcode, const unsigned char *data, size_t size)
{
    switch (opcode) {
    case 1:
        take_text(l, c, data, size);
        break;
    case 9:
        send_frame(c, 10, data, size);
        break;
    default:
        fail("client %ld: a frame of kind %u: %.*s", (long)(c - l->client), opcode, (int)(size < 2 ? 0 : size - 2),
             (const char *)data + 2);
    }
}

/* Takes one frame off the buffer; false where it is not whole. */
static bool next_frame(struct load *l, struct client *c, size_t *at)
{
    const unsigned char *p = c->buffer + *at;
    size_t have = c->have - *at, head = 2, size;

    if (have < 2)
        return false;
    size = p[1] & 0x7f;
    if (size == 126) {
        head = 4;
        size = have < head ? 0 : (size_t)p[2] << 8 | p[3];
    } else if (size == 127) {
        fail("a frame too large");
    }
    if (have < head || have - head < size)
        return false;
    take_frame(l, c, p[0] & 0x0f, p + head, size);
    *at += head + size;
    return true;
}

static void take_handshake(struct client *c, size_t *at)
{
    const unsigned char *end = memmem(c->buffer, c->have, "\r\n\r\n", 4);

    if (end == NULL)
        return;
    if (strncmp((const char *)c->buffer, "HTTP/1.1 101 ", 13) != 0)
        fail("no WebSocket: %.*s", (int)c->have, (const char *)c->buffer);
    *at = (size_t)(end + 4 - c->buffer);
    c->state = OPEN;
}

static void receive(struct load *l, struct client *c)
{
    size_t at = 0;
    ssize_t n = recv(c->fd, c->buffer + c->have, l->buffer_size - c->have, MSG_DONTWAIT);

    if (n <= 0) {
        if (n < 0 && errno == EAGAIN)
            return;
        fail("client %ld: %s", (long)(c - l->client), n == 0 ? "the server hung up" : strerror(errno));
    }
    c->have += (size_t)n;
    if (c->state == HANDSHAKE)
        take_handshake(c, &at);
    if (c->state == OPEN)
        while (next_frame(l, c, &at))
            continue;
    c->have -= at;
    memmove(c->buffer, c->buffer + at, c->have);
}

static void serve(struct load *l)
{
    struct epoll_event events[EVENTS];
    int n = epoll_wait(l->epoll, events, EVENTS, PATIENCE_MS);

    if (n == 0)
        fail("nothing came: %lu greeted, %lu pushed, all have got %lu", l->greeted, l->pushed, l->slowest);
    for (int i = 0; i < n; i++)
        receive(l, events[i].data.ptr);
}

/* ---- The steps ------------------------------------------------------------------------------------------- */

static void connect_all(struct load *l)
{
    double start = now();

    for (unsigned long i = 0; i <= l->clients; i++) {
        open_client(l, i);
        while (i >= l->greeted + CONNECT_AT_ONCE)
            serve(l);
    }
    while (l->greeted <= l->clients)
        serve(l);
    printf("connected: %lu in %.1f s\n", l->greeted, now() - start);
}

/* Waits for the answer: the server serves all others meanwhile. */
static void push(struct load *l, const char *request, size_t size)
{
    char answer[2048];
    size_t have = 0;
    unsigned long delivered = 0;
    const char *body = NULL;

    send_all(l->push_socket, request, size);
    while (body == NULL || strchr(body, '\n') == NULL) {
        ssize_t n = recv(l->push_socket, answer + have, sizeof answer - 1 - have, 0);
        if (n <= 0)
            fail("push: no answer");
        have += (size_t)n;
        answer[have] = '\0';
        body = strstr(answer, "\r\n\r\n");
        body = body == NULL ? NULL : body + 4;
    }
    const char *count = strstr(body, "\"delivered\":");
    if (count == NULL || (delivered = strtoul(count + 12, NULL, 10)) != l->clients + 1)
        fail("push: %s", body);
    l->pushed++;
}

static void push_all(struct load *l)
{
    size_t capacity = l->size + 256;
    char *request = malloc(capacity);
    double start = now();
    long half = 0;

    if (request == NULL)
        fail("no memory");
    int head = snprintf(request, capacity,
                        "POST /push?user=load HTTP/1.1\r\nHost: localhost\r\nContent-Length: %lu\r\n\r\n", l->size);
    memset(request + head, 'x', l->size);
    while (l->slowest < l->messages) {
        while (l->pushed < l->messages && l->pushed < l->slowest + AHEAD)
            push(l, request, (size_t)head + l->size);
        serve(l);
        if (half == 0 && l->slowest >= l->messages / 2)
            half = server_memory(l, "VmRSS:");
    }
    free(request);
    double seconds = now() - start;
    long end = server_memory(l, "VmRSS:");
    printf("deliveries: %lu in %.1f s, %.0f/s\n", l->clients * l->messages, seconds,
           (double)(l->clients * l->messages) / seconds);
    printf("server memory after half of the messages: %ld KiB, after all: %ld KiB, at most: %ld KiB\n", half, end,
           server_memory(l, "VmHWM:"));
    if (end > half + half / 20)
        fail("the server grows with the messages");
}

/* The client that did not read. */
static void read_at_last(struct load *l)
{
    struct client *c = &l->client[l->clients];

    watch(l, c);
    while (c->received + c->lost < l->messages)
        serve(l);
    printf("the client that did not read: %lu received, %lu lost\n", c->received, c->lost);
    if (c->received + c->lost != l->messages)
        fail("that is not what was pushed");
    if (c->lost == 0)
        fail("it lost nothing: too few messages to show anything");
}

static void finish(struct load *l)
{
    for (unsigned long i = 0; i <= l->clients; i++) {
        close(l->client[i].fd);
        free(l->client[i].buffer);
    }
    free(l->client);
    free(l->reached);
    close(l->push_socket);
    close(l->epoll);
}

static void allow_descriptors(unsigned long count)
{
    struct rlimit limit;

    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = count;
    if (limit.rlim_max < count)
        limit.rlim_max = count; /* for root */
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
        fail("%lu descriptors: %s", count, strerror(errno));
}

int main(int argc, char **argv)
{
    struct load l = {.server = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)}};

    if (argc != 6) {
        fputs("usage: load PORT PID CLIENTS MESSAGES SIZE\n", stderr);
        return 2;
    }
    l.server.sin_port = htons((uint16_t)strtoul(argv[1], NULL, 10));
    l.pid = strtol(argv[2], NULL, 10);
    l.clients = strtoul(argv[3], NULL, 10);
    l.messages = strtoul(argv[4], NULL, 10);
    l.size = strtoul(argv[5], NULL, 10);
    l.buffer_size = 2 * (l.size + ENVELOPE);
    l.client = calloc(l.clients + 1, sizeof *l.client);
    l.reached = calloc(l.messages + 2, sizeof *l.reached);
    l.epoll = epoll_create1(EPOLL_CLOEXEC);
    allow_descriptors(l.clients + OWN_DESCRIPTORS);
    if (l.client == NULL || l.reached == NULL || l.epoll < 0 || l.clients == 0 || l.messages == 0)
        fail("cannot begin");

    connect_all(&l);
    printf("server memory with them idle: %ld KiB\n", server_memory(&l, "VmRSS:"));
    epoll_ctl(l.epoll, EPOLL_CTL_DEL, l.client[l.clients].fd, NULL); /* it does not read from now on */
    l.push_socket = connect_socket(&l, 0);
    push_all(&l);
    read_at_last(&l);
    finish(&l);
    return 0;
}
