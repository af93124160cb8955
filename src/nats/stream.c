/*
 * JetStream. One stream a cluster keeps the last messages of each session's subject, and hands each on, once it is
 * stored, to push.v1.CLUSTER.live.TOKEN with its sequence and that of the message before it on the same subject. So
 * a node needs a plain subscription for each session, and no consumer; it sees by two numbers whether it missed
 * something; and what it missed it fetches, message by message, from the stream.
 */
#include "node.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define REQUEST_MS 2000
#define DUPLICATES_NS (INT64_C(120) * 1000 * 1000 * 1000) /* how long the stream knows the ids of messages */

#define STREAM_SIZE (sizeof("PUSH_") + CLUSTER_MAX)

static void stream_name(const struct push_nats *n, char name[STREAM_SIZE])
{
    snprintf(name, STREAM_SIZE, "PUSH_%s", n->settings.cluster);
}

static natsStatus add_stream(struct push_nats *n)
{
    const struct settings *settings = &n->settings;
    char subject[SUBJECT_SIZE], live[SUBJECT_SIZE + sizeof("{{wildcard(1)}}")];
    snprintf(subject, sizeof subject, SUBJECT_PREFIX "%s.*", settings->cluster);
    snprintf(live, sizeof live, SUBJECT_PREFIX "%s.live.{{wildcard(1)}}", settings->cluster);

    jsRePublish republish;
    jsRePublish_Init(&republish);
    republish.Source = subject;
    republish.Destination = live;

    char name[STREAM_SIZE];
    stream_name(n, name);
    jsStreamConfig config;
    jsStreamConfig_Init(&config);
    const char *subjects[] = {subject};
    config.Name = name;
    config.Subjects = subjects;
    config.SubjectsLen = 1;
    config.MaxMsgsPerSubject = (int64_t)settings->history;
    config.MaxAge = settings->history_ms * 1000000;
    config.Duplicates = config.MaxAge > 0 && config.MaxAge < DUPLICATES_NS ? config.MaxAge : DUPLICATES_NS;
    config.Storage = settings->in_memory ? js_MemoryStorage : js_FileStorage;
    config.Replicas = settings->replicas;
    config.Discard = js_DiscardOld;
    config.AllowDirect = true;
    config.RePublish = &republish;
    jsErrCode code = 0;
    jsOptions options;
    jsOptions_Init(&options);
    options.Wait = REQUEST_MS;
    return js_AddStream(NULL, n->stream, &config, &options, &code);
}

/* subject: NULL, or the one whose messages are counted as well. */
static natsStatus stream_info(struct push_nats *n, jsStreamInfo **info, const char *subject)
{
    char name[STREAM_SIZE];
    jsErrCode code = 0;
    jsOptions options;
    jsOptions_Init(&options);
    options.Wait = REQUEST_MS;
    options.Stream.Info.SubjectsFilter = subject;
    stream_name(n, name);
    return js_GetStreamInfo(info, n->stream, name, &options, &code);
}

natsStatus push__nats_stream_ensure(struct push_nats *n)
{
    jsStreamInfo *info = NULL;
    natsStatus status = stream_info(n, &info, NULL);
    jsStreamInfo_Destroy(info);
    return status == NATS_NOT_FOUND ? add_stream(n) : status;
}

natsStatus push__nats_stream_bounds(struct push_nats *n, uint64_t *first, uint64_t *last)
{
    jsStreamInfo *info = NULL;
    natsStatus status = stream_info(n, &info, NULL);
    if (status == NATS_OK) {
        *first = info->State.FirstSeq;
        *last = info->State.LastSeq;
    }
    jsStreamInfo_Destroy(info);
    return status;
}

/* The oldest go first, of a subject as of the whole stream: so they did if it begins behind `since`, or the subject
 * has as many as it may. */
natsStatus push__nats_stream_evicted(struct push_nats *n, const char *subject, uint64_t since, bool *evicted)
{
    jsStreamInfo *info = NULL;
    natsStatus status = stream_info(n, &info, subject);
    if (status == NATS_OK) {
        const jsStreamStateSubjects *subjects = info->State.Subjects;
        uint64_t kept = subjects && subjects->Count > 0 ? subjects->List[0].Msgs : 0;
        *evicted = info->State.FirstSeq > since + 1 ||
                   (info->Config->MaxMsgsPerSubject > 0 && kept >= (uint64_t)info->Config->MaxMsgsPerSubject);
    }
    jsStreamInfo_Destroy(info);
    return status;
}

natsStatus push__nats_stream_next(struct push_nats *n, const char *subject, uint64_t from, natsMsg **msg)
{
    char name[STREAM_SIZE];
    jsDirectGetMsgOptions which;
    jsOptions options;
    jsOptions_Init(&options);
    options.Wait = REQUEST_MS;
    jsDirectGetMsgOptions_Init(&which);
    which.Sequence = from;
    which.NextBySubject = subject;
    stream_name(n, name);
    return js_DirectGetMsg(msg, n->stream, name, &options, &which);
}

/* ---- Acknowledgements ------------------------------------------------------------------------------------ */

/* {"stream":"PUSH_x","seq":7}, {"error":{"code":400,...},...}, or no data and the status 503: no stream answers. */
static enum answer answer_of(natsMsg *msg)
{
    const char *data = natsMsg_GetData(msg);
    size_t size = (size_t)natsMsg_GetDataLength(msg);
    static const char error[] = "\"error\"", code[] = "\"code\":";

    if (!data || size == 0)
        return ANSWER_AGAIN;
    if (!memmem(data, size, error, sizeof error - 1))
        return ANSWER_TAKEN;
    const char *at = memmem(data, size, code, sizeof code - 1);
    /* What is wrong with the message stays wrong (4xx); what is wrong with the servers does not (5xx). */
    return at && at[sizeof code - 1] == '4' ? ANSWER_REFUSED : ANSWER_AGAIN;
}

void push__nats_on_acknowledgement(natsConnection *connection, natsSubscription *subscription, natsMsg *msg,
                                   void *closure)
{
    struct push_nats *n = closure;
    const char *dot = strrchr(natsMsg_GetSubject(msg), '.');
    (void)connection;
    (void)subscription;

    if (dot)
        push__nats_outbox_acknowledge(&n->outbox, strtoull(dot + 1, NULL, 10), answer_of(msg));
    natsMsg_Destroy(msg);
}
