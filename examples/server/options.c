#include "options.h"

#include <errno.h>
#include <getopt.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct options defaults = {
    .listen = "127.0.0.1",
    .port = 8080,
    .www = SERVER_WWW,
    .overflow = PUSH_DROP_OLDEST,
    .max_buffer = 256,
    .max_bytes = 1 << 20,
    .max_message = 16 << 10,
    .max_devices = 16,
    .max_users = 100000,
    .window = 64,
    .send_buffer = 64 << 10,
    .grace = 60,
    .ping = 20,
    .cluster = "default",
};

static const char usage[] =
    "usage: push-server [option...]\n"
    "  --listen ADDRESS       of this machine (127.0.0.1; 0.0.0.0 for all)\n"
    "  --port N               0 for any that is free (8080)\n"
    "  --www FOLDER           the pages\n"
    "  --token TOKEN          who pushes or deletes must show it\n"
    "a mailbox:\n"
    "  --max-buffer N         messages (256)\n"
    "  --max-bytes N          their size together, 0 for no such limit (1048576)\n"
    "  --overflow POLICY      drop-oldest, drop-newest or disconnect (drop-oldest)\n"
    "  --grace SECONDS        how long it stays when its device is away (60)\n"
    "  --window N             messages sent that a device has not acknowledged (64)\n"
    "what it takes from outside:\n"
    "  --max-message BYTES    a pushed text (16384)\n"
    "  --max-devices N        devices of a user (16)\n"
    "  --max-users N          users (100000)\n"
    "  --max-connections N    connections (15000, or as many as ulimit -Hn allows)\n"
    "connections:\n"
    "  --send-buffer BYTES    a socket's, in the kernel, 0 for the kernel's own choice (65536)\n"
    "  --ping SECONDS         between pings of a silent connection (20)\n"
    "a cluster:\n"
    "  --nats URL             of a NATS server by which the servers reach each other; more of them with commas, "
    "or\n"
    "                         by more --nats\n"
    "  --cluster NAME         who belongs together (default)\n"
    "  --jetstream[=FILE]     the NATS server keeps messages, for who was cut off; and for who was started anew, "
    "with\n"
    "                         FILE to keep in where it was\n"
    "\n"
    "  --verbose              more on standard error\n"
    "  --help\n";

enum {
    LISTEN = 1,
    PORT,
    WWW,
    TOKEN,
    MAX_BUFFER,
    MAX_BYTES,
    OVERFLOW,
    GRACE,
    WINDOW,
    MAX_MESSAGE,
    MAX_DEVICES,
    MAX_USERS,
    MAX_CONNECTIONS,
    SEND_BUFFER,
    PING,
    NATS,
    CLUSTER,
    JETSTREAM,
    VERBOSE,
    HELP
};

static const struct option names[] = {
    {"listen", required_argument, NULL, LISTEN},
    {"port", required_argument, NULL, PORT},
    {"www", required_argument, NULL, WWW},
    {"token", required_argument, NULL, TOKEN},
    {"max-buffer", required_argument, NULL, MAX_BUFFER},
    {"max-bytes", required_argument, NULL, MAX_BYTES},
    {"overflow", required_argument, NULL, OVERFLOW},
    {"grace", required_argument, NULL, GRACE},
    {"window", required_argument, NULL, WINDOW},
    {"max-message", required_argument, NULL, MAX_MESSAGE},
    {"max-devices", required_argument, NULL, MAX_DEVICES},
    {"max-users", required_argument, NULL, MAX_USERS},
    {"max-connections", required_argument, NULL, MAX_CONNECTIONS},
    {"send-buffer", required_argument, NULL, SEND_BUFFER},
    {"ping", required_argument, NULL, PING},
    {"nats", required_argument, NULL, NATS},
    {"cluster", required_argument, NULL, CLUSTER},
    {"jetstream", optional_argument, NULL, JETSTREAM},
    {"verbose", no_argument, NULL, VERBOSE},
    {"help", no_argument, NULL, HELP},
    {NULL, 0, NULL, 0},
};

/* optarg as a number of min..max; false, and a word about it, where it is none. */
static bool number(int option, size_t min, size_t max, size_t *out)
{
    char *end;

    errno = 0;
    unsigned long long n = strtoull(optarg, &end, 10);
    if (optarg[0] < '0' || optarg[0] > '9' || *end != '\0' || errno != 0 || n < min || n > max) {
        fprintf(stderr, "push-server: --%s takes a number from %zu to %zu, not '%s'\n", names[option - 1].name, min,
                max, optarg);
        return false;
    }
    *out = (size_t)n;
    return true;
}

static bool policy(push_overflow *out)
{
    if (strcmp(optarg, "drop-oldest") == 0)
        *out = PUSH_DROP_OLDEST;
    else if (strcmp(optarg, "drop-newest") == 0)
        *out = PUSH_DROP_NEWEST;
    else if (strcmp(optarg, "disconnect") == 0)
        *out = PUSH_DISCONNECT;
    else {
        fprintf(stderr, "push-server: --overflow takes drop-oldest, drop-newest or disconnect, not '%s'%s\n",
                optarg, strcmp(optarg, "block") == 0 ? ": the one thread that serves all cannot wait for one" : "");
        return false;
    }
    return true;
}

static bool add_url(char **urls)
{
    char *list = NULL;
    int size = *urls == NULL ? asprintf(&list, "%s", optarg) : asprintf(&list, "%s,%s", *urls, optarg);

    free(*urls);
    *urls = size < 0 ? NULL : list;
    return size >= 0;
}

static bool set(struct options *o, int option)
{
    size_t n;

    switch (option) {
    case LISTEN:
        o->listen = optarg;
        return true;
    case PORT:
        if (!number(option, 0, 65535, &n))
            return false;
        o->port = (int)n;
        return true;
    case WWW:
        o->www = optarg;
        return true;
    case TOKEN:
        o->token = optarg;
        return true;
    case MAX_BUFFER:
        return number(option, 1, 1 << 24, &o->max_buffer);
    case MAX_BYTES:
        return number(option, 0, SIZE_MAX, &o->max_bytes);
    case OVERFLOW:
        return policy(&o->overflow);
    case GRACE:
        if (!number(option, 0, 30 * 24 * 3600, &n))
            return false;
        o->grace = (unsigned)n;
        return true;
    case WINDOW:
        return number(option, 1, 4096, &o->window);
    case MAX_MESSAGE:
        return number(option, 1, 16 << 20, &o->max_message);
    case MAX_DEVICES:
        return number(option, 1, 1 << 20, &o->max_devices);
    case MAX_USERS:
        return number(option, 1, SIZE_MAX, &o->max_users);
    case MAX_CONNECTIONS:
        return number(option, 1, 1 << 20, &o->max_connections);
    case SEND_BUFFER:
        return number(option, 0, 1 << 30, &o->send_buffer);
    case PING:
        if (!number(option, 1, 3600, &n))
            return false;
        o->ping = (unsigned)n;
        return true;
    case NATS:
        return add_url(&o->nats);
    case CLUSTER:
        o->cluster = optarg;
        return true;
    case JETSTREAM:
        o->jetstream = true;
        o->position_file = optarg;
        return true;
    default:
        o->verbose = true;
        return true;
    }
}

int options_parse(struct options *o, int argc, char **argv)
{
    int option;

    *o = defaults;
    while ((option = getopt_long(argc, argv, "", names, NULL)) != -1) {
        if (option == HELP) {
            fputs(usage, stdout);
            return 1;
        }
        if (option == '?' || !set(o, option))
            return -1;
    }
    if (optind < argc) {
        fprintf(stderr, "push-server: what is '%s'? --help tells the options\n", argv[optind]);
        return -1;
    }
    if (o->nats == NULL && (o->jetstream || o->cluster != defaults.cluster)) {
        fprintf(stderr, "push-server: %s needs --nats\n", o->jetstream ? "--jetstream" : "--cluster");
        return -1;
    }
    return 0;
}
