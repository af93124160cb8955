/* What GET /stats tells. */
#include "connection.h"
#include "hub.h"

enum { SLOWEST = 10 };

struct reading {
    struct device *device;
    push_client_stats stats;
};

struct survey {
    size_t queued, queued_bytes;
    struct reading slowest[SLOWEST]; /* most queued first */
    size_t count;
};

static void rank(struct survey *s, const struct reading *r)
{
    size_t i = s->count;

    while (i > 0 && s->slowest[i - 1].stats.queued < r->stats.queued)
        i--;
    if (i == SLOWEST)
        return;
    if (s->count < SLOWEST)
        s->count++;
    memmove(&s->slowest[i + 1], &s->slowest[i], (s->count - 1 - i) * sizeof *r);
    s->slowest[i] = *r;
}

static void survey(struct hub *hub, struct survey *s)
{
    lws_start_foreach_dll(struct lws_dll2 *, p, lws_dll2_get_head(&hub->devices))
    {
        struct reading r = {.device = lws_container_of(p, struct device, in_all)};
        push_client_stat(r.device->client, &r.stats);
        s->queued += r.stats.queued;
        s->queued_bytes += r.stats.queued_bytes;
        rank(s, &r);
    }
    lws_end_foreach_dll(p);
}

static json_t *slowest(const struct survey *s)
{
    json_t *list = json_array();

    for (size_t i = 0; i < s->count; i++) {
        const struct reading *r = &s->slowest[i];
        json_array_append_new(
            list, json_pack("{s:s, s:s, s:I, s:I, s:I, s:I, s:b}", "user", r->device->user->name, "device",
                            r->device->name, "queued", (json_int_t)r->stats.queued, "queued_bytes",
                            (json_int_t)r->stats.queued_bytes, "high_water", (json_int_t)r->stats.high_water,
                            "dropped", (json_int_t)r->stats.dropped, "connected", r->device->connection != NULL));
    }
    return list;
}

json_t *hub_stats(struct hub *hub)
{
    struct survey s = {0};

    survey(hub, &s);
    pthread_mutex_lock(&hub->push_lock);
    uint64_t pushed = hub->last_id;
    pthread_mutex_unlock(&hub->push_lock);
    json_t *stats = json_pack(
        "{s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:o}", "boot", hub->boot, "uptime",
        (json_int_t)((lws_now_usecs() - hub->started) / LWS_US_PER_SEC), "sessions", (json_int_t)hub->user_count,
        "clients", (json_int_t)hub->devices.count, "connected", (json_int_t)hub->connected, "queued",
        (json_int_t)s.queued, "queued_bytes", (json_int_t)s.queued_bytes, "pushed", (json_int_t)pushed, "delivered",
        (json_int_t)atomic_load(&hub->delivered), "dropped", (json_int_t)atomic_load(&hub->dropped), "disconnected",
        (json_int_t)atomic_load(&hub->disconnected), "slowest", slowest(&s));
    if (hub->cluster != NULL)
        json_object_set_new(stats, "cluster", cluster_stats(hub->cluster));
    return stats;
}
