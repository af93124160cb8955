#include "cluster.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../src/nats/wire.h"

extern char **environ;

#define ANSWER_MS 60000

/* ---- What must end with the test ------------------------------------------------------------------------- */

struct node {
    pid_t pid;
    FILE *to, *from;
    char *line;
    size_t capacity;
};

static struct server servers[8];
static size_t server_count;
static struct node nodes[8];
static size_t node_count;

static void reap(pid_t *pid, int signal)
{
    if (*pid > 0) {
        kill(*pid, SIGCONT);
        kill(*pid, signal);
        waitpid(*pid, NULL, 0);
    }
    *pid = 0;
}

static void forget_node(struct node *node)
{
    if (node->to)
        fclose(node->to);
    if (node->from)
        fclose(node->from);
    free(node->line);
    *node = (struct node){0};
}

static void remove_folder(const char *folder)
{
    char *argv[] = {"rm", "-rf", "--", (char *)(uintptr_t)folder, NULL};
    pid_t pid;
    if (folder[0] == '/' && posix_spawnp(&pid, "rm", NULL, NULL, argv, environ) == 0)
        waitpid(pid, NULL, 0);
}

int cluster_end(void **state)
{
    for (size_t i = 0; i < node_count; i++) {
        reap(&nodes[i].pid, SIGKILL);
        forget_node(&nodes[i]);
    }
    for (size_t i = 0; i < server_count; i++) {
        reap(&servers[i].pid, SIGKILL);
        remove_folder(servers[i].folder);
    }
    node_count = server_count = 0;
    return test_end(state);
}

/* ---- Servers --------------------------------------------------------------------------------------------- */

static int free_port(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &size), 0);
    close(fd);
    return ntohs(address.sin_port);
}

static bool listens(int port)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool yes = connect(fd, (struct sockaddr *)&address, sizeof address) == 0;
    close(fd);
    return yes;
}

static const char *server_program(void)
{
    static const char *const places[] = {"/usr/sbin/nats-server", "/usr/bin/nats-server",
                                         "/usr/local/bin/nats-server"};
    const char *named = getenv("NATS_SERVER");
    if (named)
        return named;
    for (size_t i = 0; i < COUNT(places); i++)
        if (access(places[i], X_OK) == 0)
            return places[i];
    print_message("there is no nats-server on this system (or, not where NATS_SERVER says)\n");
    skip();
    return NULL;
}

struct server *reserve_server(void)
{
    server_program();
    assert_true(server_count < COUNT(servers));
    struct server *server = &servers[server_count];
    *server = (struct server){.port = free_port(), .routes = ""};
    snprintf(server->url, sizeof server->url, "nats://127.0.0.1:%d", server->port);
    strcpy(server->folder, "/tmp/push-nats-XXXXXX");
    assert_non_null(mkdtemp(server->folder));
    server_count++;
    return server;
}

void start_reserved(struct server *server)
{
    char port[16], cluster[64], log[96], store[96];
    const char *argv[20];
    size_t n = 0;
    snprintf(port, sizeof port, "%d", server->port);
    snprintf(cluster, sizeof cluster, "nats://127.0.0.1:%d", server->cluster_port);
    snprintf(log, sizeof log, "%s/log", server->folder);
    snprintf(store, sizeof store, "%s/store", server->folder);
    argv[n++] = server_program();
    argv[n++] = "-a";
    argv[n++] = "127.0.0.1";
    argv[n++] = "-p";
    argv[n++] = port;
    argv[n++] = "-l";
    argv[n++] = log;
    if (server->stream) {
        argv[n++] = "-js";
        argv[n++] = "-sd";
        argv[n++] = store;
    }
    if (server->cluster_port > 0) {
        argv[n++] = "--cluster_name";
        argv[n++] = "tests";
        argv[n++] = "--cluster";
        argv[n++] = cluster;
        argv[n++] = "--routes";
        argv[n++] = server->routes;
    }
    if (server->user) {
        argv[n++] = "--user";
        argv[n++] = server->user;
        argv[n++] = "--pass";
        argv[n++] = server->user;
    }
    argv[n] = NULL;
    assert_int_equal(posix_spawn(&server->pid, argv[0], NULL, NULL, (char *const *)(uintptr_t)argv, environ), 0);
    assert_eventually(listens(server->port));
}

struct server *start_server(void)
{
    struct server *server = reserve_server();
    start_reserved(server);
    return server;
}

struct server *start_stream_server(void)
{
    struct server *server = reserve_server();
    server->stream = true;
    start_reserved(server);
    return server;
}

void start_two_servers(struct server **a, struct server **b)
{
    static char route[40];
    *a = reserve_server();
    *b = reserve_server();
    (*a)->cluster_port = free_port();
    (*b)->cluster_port = free_port();
    snprintf(route, sizeof route, "nats://127.0.0.1:%d", (*a)->cluster_port);
    (*a)->routes = route;
    (*b)->routes = route;
    start_reserved(*a);
    start_reserved(*b);
}

void kill_server(struct server *server)
{
    reap(&server->pid, SIGKILL);
}

void restart_server(struct server *server)
{
    reap(&server->pid, SIGKILL);
    start_reserved(server);
}

/* Returns once it stands still. */
static void stop(pid_t pid)
{
    int status;
    kill(pid, SIGSTOP);
    assert_int_equal(waitpid(pid, &status, WUNTRACED), pid);
    assert_true(WIFSTOPPED(status));
}

void stop_server(struct server *server)
{
    stop(server->pid);
}

void continue_server(struct server *server)
{
    kill(server->pid, SIGCONT);
}

/* ---- Nodes ----------------------------------------------------------------------------------------------- */

/* The program lies beside this one. */
static void node_program(char *path, size_t size)
{
    ssize_t length = readlink("/proc/self/exe", path, size - 1);
    assert_true(length > 0);
    path[length] = '\0';
    char *slash = strrchr(path, '/');
    snprintf(slash, size - (size_t)(slash - path), "/nats_node");
}

struct node *start_node(void)
{
    char path[1024];
    int to[2], from[2];
    posix_spawn_file_actions_t actions;

    node_program(path, sizeof path);
    assert_true(node_count < COUNT(nodes));
    struct node *node = &nodes[node_count++];
    *node = (struct node){0};
    assert_int_equal(pipe2(to, O_CLOEXEC), 0);
    assert_int_equal(pipe2(from, O_CLOEXEC), 0);
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, to[0], 0);
    posix_spawn_file_actions_adddup2(&actions, from[1], 1);
    char *argv[] = {path, NULL};
    int rc = posix_spawn(&node->pid, path, &actions, NULL, argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    close(to[0]);
    close(from[1]);
    node->to = fdopen(to[1], "w");
    node->from = fdopen(from[0], "r");
    assert_int_equal(rc, 0);
    return node;
}

struct node *connected_node(const struct server *server, const char *options)
{
    struct node *node = start_node();
    assert_answer(node, "0", "connect %s %s", server->url, options);
    assert_answer(node, "0", "wait 20000");
    return node;
}

void kill_node(struct node *node)
{
    reap(&node->pid, SIGKILL);
    forget_node(node);
}

void end_node(struct node *node)
{
    int status;
    fclose(node->to);
    node->to = NULL;
    assert_int_equal(waitpid(node->pid, &status, 0), node->pid);
    node->pid = 0;
    forget_node(node);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

void stop_node(struct node *node)
{
    stop(node->pid);
}

void continue_node(struct node *node)
{
    kill(node->pid, SIGCONT);
}

int node_threads(struct node *node)
{
    char path[40];
    int threads = 0;
    snprintf(path, sizeof path, "/proc/%d/task", (int)node->pid);
    DIR *folder = opendir(path);
    assert_non_null(folder);
    for (struct dirent *entry; (entry = readdir(folder)) != NULL;)
        threads += entry->d_name[0] != '.';
    closedir(folder);
    return threads;
}

static void vtell(struct node *node, const char *format, va_list args)
{
    vfprintf(node->to, format, args);
    putc('\n', node->to);
    assert_int_equal(fflush(node->to), 0);
}

const char *answer(struct node *node)
{
    struct pollfd ready = {.fd = fileno(node->from), .events = POLLIN};
    assert_int_equal(poll(&ready, 1, ANSWER_MS), 1);
    ssize_t size = getline(&node->line, &node->capacity, node->from);
    assert_true(size > 0);
    node->line[size - 1] = '\0';
    return node->line;
}

void tell(struct node *node, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vtell(node, format, args);
    va_end(args);
}

const char *ask(struct node *node, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vtell(node, format, args);
    va_end(args);
    return answer(node);
}

long ask_number(struct node *node, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vtell(node, format, args);
    va_end(args);
    return strtol(answer(node), NULL, 10);
}

long stat_of(struct node *node, const char *name)
{
    char key[40];
    snprintf(key, sizeof key, "%s=", name);
    const char *at = strstr(ask(node, "stat"), key);
    while (at && at > node->line && at[-1] != ' ')
        at = strstr(at + 1, key);
    assert_non_null(at);
    return strtol(at + strlen(key), NULL, 10);
}

static struct counted counted(const char *text)
{
    struct counted c;
    assert_int_equal(sscanf(text, "%ld %ld %ld %ld", &c.count, &c.last, &c.lost, &c.disorder), 4);
    return c;
}

struct counted count_messages(struct node *node, const char *session, const char *client, int quiet_ms)
{
    return counted(ask(node, "count %s %s %d", session, client, quiet_ms));
}

struct counted count_until(struct node *node, const char *session, const char *client, long last, int ms)
{
    return counted(ask(node, "until %s %s %ld %d", session, client, last, ms));
}

/* ---- Ids ------------------------------------------------------------------------------------------------- */

const char *encoded(push_id id)
{
    static char *texts[8];
    static size_t turn;
    turn = (turn + 1) % COUNT(texts);
    free(texts[turn]);
    texts[turn] = malloc(push__nats_encoded_size(id));
    push__nats_encode(id, texts[turn]);
    return texts[turn];
}

const char *E(const char *text)
{
    return encoded(push_id_str(text));
}
