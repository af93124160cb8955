#include "cluster.h"

#include "message.h"

#include <errno.h>
#include <push/nats.h>
#include <stdlib.h>

enum { CLOSE_MS = 2000 };

struct cluster {
    push_nats *node;
    const struct options *options;
};

/* Runs on a thread of libpush-nats: all that it touches is its arguments. */
static push_msg *on_lost(void *arg, push_id user, uint64_t count)
{
    (void)arg, (void)user;
    return message_new_lost(count);
}

struct cluster *cluster_open(const struct options *options)
{
    push_nats_options nats = {
        .cluster = options->cluster,
        .name = "push-server",
        .level = options->jetstream ? PUSH_NATS_STREAM : PUSH_NATS_CORE,
        .position_file = options->position_file,
        .on_lost = on_lost,
    };
    struct cluster *cluster = malloc(sizeof *cluster);

    if (cluster == NULL)
        return NULL;
    *cluster = (struct cluster){push_nats_connect(options->nats, &nats), options};
    if (cluster->node == NULL) {
        free(cluster);
        return NULL;
    }
    return cluster;
}

void cluster_close(struct cluster *cluster)
{
    if (cluster == NULL)
        return;
    push_nats_close(cluster->node, CLOSE_MS);
    free(cluster);
}

int cluster_join(struct cluster *cluster, const char *user)
{
    int rc = push_nats_join(cluster->node, push_id_str(user), 0);
    return rc < 0 ? rc : 0;
}

void cluster_leave(struct cluster *cluster, const char *user)
{
    push_nats_leave(cluster->node, push_id_str(user));
}

int cluster_push(struct cluster *cluster, const char *user, push_msg *msg, const char *except,
                 struct cluster_report *report)
{
    push_nats_report pushed;
    push_nats_stats stats;
    int rc = push_nats_push(cluster->node, push_id_str(user), msg, push_id_str(except), 0, &pushed);

    push_nats_stat(cluster->node, &stats);
    *report = (struct cluster_report){pushed.local, pushed.queued, pushed.queued && stats.ready};
    return rc < 0 ? rc : 0;
}

json_t *cluster_stats(struct cluster *cluster)
{
    push_nats_stats s;

    push_nats_stat(cluster->node, &s);
    return json_pack("{s:s, s:s, s:b, s:b, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:s}", "name",
                     cluster->options->cluster, "level", cluster->options->jetstream ? "stream" : "core",
                     "connected", s.connected, "ready", s.ready, "reconnects", (json_int_t)s.reconnects,
                     "published", (json_int_t)s.published, "unpublished", (json_int_t)s.unpublished, "queued",
                     (json_int_t)s.queued, "received", (json_int_t)s.received, "caught_up", (json_int_t)s.caught_up,
                     "lost", (json_int_t)s.lost, "dropped", (json_int_t)s.dropped, "sessions",
                     (json_int_t)s.sessions, "subscriptions", (json_int_t)s.subscriptions, "error", s.error);
}
