/*
 * A notification server: devices receive what is pushed to their user, by WebSocket, Server-Sent Events or polls.
 * libwebsockets serves the connections on one thread, libpush has the mailboxes. README.md tells of both.
 */
#include "http.h"
#include "server.h"
#include "session.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

enum { ANSWER_SIZE = 8192 /* bytes of headers, and of statistics */ };
enum { CONNECTIONS_DEFAULT = 15000, OWN_DESCRIPTORS = 64, HANGUP_AFTER_PINGS = 2, KEEPALIVE_SECONDS = 60 };

/* ---- What lws watches besides sockets -------------------------------------------------------------------- */

static int poller_callback(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in, size_t len)
{
    (void)user, (void)in, (void)len;
    if (reason == LWS_CALLBACK_RAW_RX_FILE)
        hub_serve(&server_of(wsi)->hub);
    return 0;
}

static int signal_callback(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in, size_t len)
{
    (void)user, (void)in, (void)len;
    if (reason != LWS_CALLBACK_RAW_RX_FILE)
        return 0;
    struct server *server = server_of(wsi);
    struct signalfd_siginfo info;
    if (read(server->signals, &info, sizeof info) != sizeof info)
        return 0;
    if (server->signals_seen++ == 0)
        hub_end_all(&server->hub, &farewell_going_away);
    return 0;
}

static const struct lws_protocols protocols[] = {
    {.name = "push", .callback = http_callback, .per_session_data_size = sizeof(struct session)},
    {.name = "poller", .callback = poller_callback},
    {.name = "signals", .callback = signal_callback},
    {0},
};

/* All requests are the protocol's. Without a mount lws would not read from a connection until its request is
 * answered: it would not see it go, and be woken for it again and again. */
static const struct lws_http_mount mount = {
    .mountpoint = "/",
    .mountpoint_len = 1,
    .origin = "push",
    .origin_protocol = LWSMPRO_CALLBACK,
};

/* lws closes what it watches, and these belong to others: so it gets a duplicate. */
static int watch(struct server *server, int fd, const char *protocol)
{
    lws_sock_file_fd_type copy = {.filefd = fd < 0 ? fd : dup(fd)};
    if (copy.filefd < 0)
        return -1;
    return lws_adopt_descriptor_vhost(server->vhost, LWS_ADOPT_RAW_FILE_DESC, copy, protocol, NULL) == NULL ? -1
                                                                                                            : 0;
}

/* ---- Starting -------------------------------------------------------------------------------------------- */

/* A descriptor for each connection; without a wish for so many, as many as the system allows, within reason. */
static int allow_connections(struct options *o)
{
    struct rlimit limit;

    getrlimit(RLIMIT_NOFILE, &limit);
    if (o->max_connections == 0)
        o->max_connections = limit.rlim_max < CONNECTIONS_DEFAULT + OWN_DESCRIPTORS
                                 ? limit.rlim_max - OWN_DESCRIPTORS
                                 : CONNECTIONS_DEFAULT;
    limit.rlim_cur = o->max_connections + OWN_DESCRIPTORS;
    if (limit.rlim_cur > limit.rlim_max)
        limit.rlim_max = limit.rlim_cur; /* for root */
    if (setrlimit(RLIMIT_NOFILE, &limit) == 0)
        return 0;
    fprintf(stderr, "push-server: --max-connections %zu: %s; ulimit -Hn tells how many descriptors are allowed\n",
            o->max_connections, strerror(errno));
    return -1;
}

static int catch_signals(struct server *server)
{
    sigset_t set;

    signal(SIGPIPE, SIG_IGN);
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    sigprocmask(SIG_BLOCK, &set, NULL);
    server->signals = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    return server->signals < 0 ? -1 : 0;
}

static int create_context(struct server *server)
{
    static lws_retry_bo_t pings;
    const struct options *o = &server->options;
    struct lws_context_creation_info info = {
        .port = o->port,
        .iface = o->listen,
        .protocols = protocols,
        .mounts = &mount,
        .user = server,
        .options = LWS_SERVER_OPTION_HTTP_HEADERS_SECURITY_BEST_PRACTICES_ENFORCE |
                   LWS_SERVER_OPTION_VALIDATE_UTF8 | LWS_SERVER_OPTION_FAIL_UPON_UNABLE_TO_BIND,
        .max_http_header_data = REQUEST_HEADER_MAX,
        .keepalive_timeout = KEEPALIVE_SECONDS,
        .retry_and_idle_policy = &pings,
        .server_string = "push-server",
    };

    pings.secs_since_valid_ping = (uint16_t)o->ping;
    pings.secs_since_valid_hangup = (uint16_t)(HANGUP_AFTER_PINGS * o->ping);
    if (strchr(o->listen, ':') == NULL)
        info.options |= LWS_SERVER_OPTION_DISABLE_IPV6;
    if (strcmp(o->listen, "0.0.0.0") == 0 || strcmp(o->listen, "::") == 0)
        info.iface = NULL;
    lws_set_log_level(o->verbose ? LLL_ERR | LLL_WARN | LLL_NOTICE : 0, NULL);
    server->lws = lws_create_context(&info);
    if (server->lws == NULL)
        return -1;
    server->vhost = lws_get_vhost_by_name(server->lws, "default");
    return 0;
}

static int fail(const char *what)
{
    fprintf(stderr, "push-server: %s\n", what);
    return -1;
}

static int join_cluster(struct server *server)
{
    if (server->options.nats == NULL)
        return 0;
    server->hub.cluster = cluster_open(&server->options);
    if (server->hub.cluster != NULL)
        return 0;
    switch (errno) {
    case ENOTSUP:
        return fail("--nats: this server was built without libpush-nats (cmake -DPUSH_BUILD_NATS=ON)");
    case EINVAL:
        return fail("--nats takes URLs like nats://127.0.0.1:4222, --cluster 1 to 32 of A-Z a-z 0-9 - _");
    default:
        return fail(strerror(errno));
    }
}

static int start(struct server *server)
{
    struct options *o = &server->options;

    server->buffer_size = message_max_size(o->max_message) + ANSWER_SIZE;
    server->buffer = malloc(LWS_PRE + server->buffer_size);
    if (server->buffer == NULL)
        return fail("no memory");
    if (allow_connections(o) < 0)
        return -1;
    if (catch_signals(server) < 0)
        return fail("no descriptor for signals");
    if (create_context(server) < 0)
        return fail("cannot listen: is the port taken, or the address not of this machine? --verbose tells more");
    int rc = hub_init(&server->hub, o, server->lws);
    if (rc < 0)
        return fail(push_strerror(rc));
    if (join_cluster(server) < 0)
        return -1;
    if (watch(server, push_poller_fd(server->hub.poller), "poller") < 0 ||
        watch(server, server->signals, "signals") < 0)
        return fail("lws does not watch the poller");
    server->watched = server->connections;
    printf(strchr(o->listen, ':') == NULL ? "listening on http://%s:%d/\n" : "listening on http://[%s]:%d/\n",
           o->listen, lws_get_vhost_listen_port(server->vhost));
    return fflush(stdout) == 0 ? 0 : fail("standard output is closed");
}

/* ---- Running, and ending --------------------------------------------------------------------------------- */

/* Until a signal came, and all connections have ended. */
static int run(struct server *server)
{
    while (server->signals_seen == 0 || (server->signals_seen == 1 && server->ending > 0))
        if (lws_service(server->lws, 0) < 0)
            return fail("lws fails");
    return 0;
}

static void stop(struct server *server)
{
    hub_destroy(&server->hub);
    if (server->lws != NULL)
        lws_context_destroy(server->lws);
    if (server->signals >= 0)
        close(server->signals);
    free(server->buffer);
    free(server->options.nats);
    push_shutdown();
}

int main(int argc, char **argv)
{
    static struct server server = {.signals = -1};
    int rc = options_parse(&server.options, argc, argv);
    if (rc != 0)
        return rc < 0 ? 2 : 0;

    rc = start(&server);
    if (rc == 0)
        rc = run(&server);
    stop(&server);
    return rc == 0 ? 0 : 1;
}
