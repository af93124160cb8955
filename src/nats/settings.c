/* Options, checked and copied. */
#include "node.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define LINGER_MS 5000
#define HISTORY 100
#define HISTORY_MS 3600000
#define MAX_QUEUED 65536
#define MAX_QUEUED_LIMIT (1 << 28)
#define MAX_QUEUED_BYTES (64 << 20)
#define MAX_AGE_MS 60000

static const push_nats_options none;

/* NULL stays NULL. False: no memory. */
static bool copy(char **to, const char *from)
{
    *to = from ? strdup(from) : NULL;
    return !from || *to;
}

static bool valid(const char *urls, const push_nats_options *options)
{
    return urls && urls[strspn(urls, ", ")] != '\0' &&
           (!options->cluster || push__nats_cluster_valid(options->cluster)) &&
           (options->level == PUSH_NATS_CORE || options->level == PUSH_NATS_STREAM) &&
           options->max_queued <= MAX_QUEUED_LIMIT && options->history <= INT32_MAX && options->replicas >= 0 &&
           options->max_pending >= 0 && options->replicas <= 5 &&
           !options->certificate_file == !options->key_file && (options->password == NULL || options->user != NULL);
}

static bool copy_strings(struct settings *settings, const char *urls, const push_nats_options *options)
{
    return copy(&settings->urls, urls) && copy(&settings->name, options->name) &&
           copy(&settings->user, options->user) && copy(&settings->password, options->password) &&
           copy(&settings->token, options->token) && copy(&settings->credentials_file, options->credentials_file) &&
           copy(&settings->ca_file, options->ca_file) &&
           copy(&settings->certificate_file, options->certificate_file) &&
           copy(&settings->key_file, options->key_file) && copy(&settings->position_file, options->position_file);
}

int push__nats_settings_copy(struct settings *settings, const char *urls, const push_nats_options *options)
{
    if (!options)
        options = &none;
    if (!valid(urls, options))
        return -EINVAL;
    strcpy(settings->cluster, options->cluster ? options->cluster : "default");
    settings->streamed = options->level == PUSH_NATS_STREAM;
    settings->linger_ms = options->linger_ms == 0 ? LINGER_MS : options->linger_ms < 0 ? 0 : options->linger_ms;
    settings->max_pending = options->max_pending;
    settings->history = options->history == 0 ? HISTORY : options->history;
    settings->history_ms = options->history_ms == 0  ? HISTORY_MS
                           : options->history_ms < 0 ? 0
                                                     : options->history_ms;
    settings->replicas = options->replicas == 0 ? 1 : options->replicas;
    settings->in_memory = options->in_memory;
    settings->on_lost = options->on_lost;
    settings->on_refused = options->on_refused;
    settings->on_unpublished = options->on_unpublished;
    settings->arg = options->arg;
    return copy_strings(settings, urls, options) ? 0 : -ENOMEM;
}

void push__nats_settings_free(struct settings *settings)
{
    char *strings[] = {settings->urls,     settings->name,
                       settings->user,     settings->password,
                       settings->token,    settings->credentials_file,
                       settings->ca_file,  settings->certificate_file,
                       settings->key_file, settings->position_file};
    for (size_t i = 0; i < sizeof strings / sizeof strings[0]; i++)
        free(strings[i]);
}

void push__nats_outbox_options(struct outbox *outbox, const push_nats_options *options)
{
    if (!options)
        options = &none;
    outbox->streamed = options->level == PUSH_NATS_STREAM;
    outbox->max_letters = options->max_queued == 0 ? MAX_QUEUED : options->max_queued;
    outbox->max_bytes = options->max_queued_bytes == 0 ? MAX_QUEUED_BYTES : options->max_queued_bytes;
    outbox->max_age_ms = options->max_age_ms == 0 ? MAX_AGE_MS : options->max_age_ms;
}
