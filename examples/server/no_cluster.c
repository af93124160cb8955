/* In the place of cluster.c where the server is built without libpush-nats: nothing but cluster_open is called. */
#include "cluster.h"

#include <errno.h>
#include <stddef.h>

struct cluster *cluster_open(const struct options *options)
{
    (void)options;
    errno = ENOTSUP;
    return NULL;
}

void cluster_close(struct cluster *cluster)
{
    (void)cluster;
}

int cluster_join(struct cluster *cluster, const char *user)
{
    (void)cluster, (void)user;
    return -ENOTSUP;
}

void cluster_leave(struct cluster *cluster, const char *user)
{
    (void)cluster, (void)user;
}

int cluster_push(struct cluster *cluster, const char *user, push_msg *msg, const char *except,
                 struct cluster_report *report)
{
    (void)cluster, (void)user, (void)msg, (void)except, (void)report;
    return -ENOTSUP;
}

json_t *cluster_stats(struct cluster *cluster)
{
    (void)cluster;
    return NULL;
}
