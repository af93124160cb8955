#include "message.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static json_int_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return (json_int_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void free_message(void *message, void *arg)
{
    (void)arg;
    free(message);
}

static push_msg *encode(uint64_t id, json_t *object)
{
    size_t size = json_dumpb(object, NULL, 0, JSON_COMPACT);
    struct message *m = size == 0 ? NULL : malloc(sizeof *m + size);
    if (m == NULL)
        return NULL;
    m->id = id;
    json_dumpb(object, m->json, size, JSON_COMPACT);
    push_msg *msg = push_msg_wrap(m, sizeof *m + size, free_message, NULL);
    if (msg == NULL)
        free(m);
    return msg;
}

push_msg *message_new(uint64_t id, const char *boot, json_t *text)
{
    json_t *object =
        json_pack("{s:I, s:s, s:I, s:O}", "id", (json_int_t)id, "boot", boot, "time", now_ms(), "text", text);
    push_msg *msg = object == NULL ? NULL : encode(id, object);
    json_decref(object);
    return msg;
}

size_t message_max_size(size_t text_size)
{
    return 6 * text_size + 128; /* \u0001, and the rest of the object */
}

uint64_t message_id(const push_msg *msg)
{
    const struct message *m = push_msg_data(msg);
    return m->id;
}

const char *message_json(const push_msg *msg, size_t *size)
{
    const struct message *m = push_msg_data(msg);
    *size = push_msg_size(msg) - sizeof *m;
    return m->json;
}

void cursor_write(char out[CURSOR_SIZE], const char *boot, uint64_t id)
{
    snprintf(out, CURSOR_SIZE, "%s-%llu", boot, (unsigned long long)id);
}

int cursor_read(const char *text, const char *boot, uint64_t *id)
{
    const char *dash = strrchr(text, '-');
    const char *digits = dash == NULL ? text : dash + 1;
    char *end;

    errno = 0;
    unsigned long long n = strtoull(digits, &end, 10);
    if (*digits < '0' || *digits > '9' || *end != '\0' || errno != 0 || dash == text)
        return -EINVAL;
    if (dash != NULL && (strlen(boot) != (size_t)(dash - text) || memcmp(text, boot, strlen(boot)) != 0))
        return -ESTALE;
    *id = n;
    return 0;
}
