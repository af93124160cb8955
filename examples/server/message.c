#include "message.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { BOOT_DIGITS = BOOT_SIZE - 1, HEAD_SIZE = 64 /* holds the id and the boot */ };

static const char id_key[] = "{\"id\":", boot_key[] = ",\"boot\":\"", lost_key[] = "{\"lost\":";

static json_int_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return (json_int_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void free_json(void *json, void *arg)
{
    (void)arg;
    free(json);
}

push_msg *message_new(uint64_t id, const char *boot, json_t *text)
{
    json_t *object =
        json_pack("{s:I, s:s, s:I, s:O}", "id", (json_int_t)id, "boot", boot, "time", now_ms(), "text", text);
    char *json = json_dumps(object, JSON_COMPACT);
    push_msg *msg = json == NULL ? NULL : push_msg_wrap(json, strlen(json), free_json, NULL);

    if (msg == NULL)
        free(json);
    json_decref(object);
    return msg;
}

size_t message_max_size(size_t text_size)
{
    return 6 * text_size + 128; /* \u0001, and the rest of the object */
}

const char *message_json(const push_msg *msg, size_t *size)
{
    *size = push_msg_size(msg);
    return push_msg_data(msg);
}

/* ---- What is in a message -------------------------------------------------------------------------------- */

/* Its beginning, as a string. */
static void copy_head(const push_msg *msg, char head[HEAD_SIZE])
{
    size_t size = push_msg_size(msg);

    if (size > HEAD_SIZE - 1)
        size = HEAD_SIZE - 1;
    memcpy(head, push_msg_data(msg), size);
    head[size] = '\0';
}

/* A key, and a number after it that begins with a digit; moves *at behind them. */
static bool read_number(const char **at, const char *key, int base, uint64_t *out)
{
    size_t size = strlen(key);
    char *end;

    if (strncmp(*at, key, size) != 0 || strspn(*at + size, "0123456789abcdef") == 0)
        return false;
    *out = strtoull(*at + size, &end, base);
    *at = end;
    return true;
}

int message_cursor(const push_msg *msg, struct cursor *out)
{
    char head[HEAD_SIZE];
    const char *at = head;

    copy_head(msg, head);
    return read_number(&at, id_key, 10, &out->id) && read_number(&at, boot_key, 16, &out->boot) && *at == '"'
               ? 0
               : -EINVAL;
}

bool message_is_whole(const push_msg *msg)
{
    const char *boot;
    json_int_t id, time;
    json_t *text;
    json_t *object =
        json_loadb(push_msg_data(msg), push_msg_size(msg), JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, NULL);
    bool whole =
        json_unpack(object, "{s:I, s:s, s:I, s:o!}", "id", &id, "boot", &boot, "time", &time, "text", &text) == 0 &&
        strlen(boot) == BOOT_DIGITS && json_is_string(text) &&
        memchr(push_msg_data(msg), '\n', push_msg_size(msg)) == NULL &&
        memchr(push_msg_data(msg), '\r', push_msg_size(msg)) == NULL;

    json_decref(object);
    return whole;
}

push_msg *message_new_lost(uint64_t count)
{
    char json[HEAD_SIZE];
    int size = snprintf(json, sizeof json, "%s%" PRIu64 "}", lost_key, count);

    return push_msg_new(json, (size_t)size);
}

size_t message_lost(const push_msg *msg)
{
    char head[HEAD_SIZE];
    const char *at = head;
    uint64_t count;

    copy_head(msg, head);
    return read_number(&at, lost_key, 10, &count) && strcmp(at, "}") == 0 ? (size_t)count : 1;
}

/* ---- Cursors --------------------------------------------------------------------------------------------- */

bool cursor_equal(const struct cursor *a, const struct cursor *b)
{
    return a->boot == b->boot && a->id == b->id;
}

void cursor_write(char out[CURSOR_SIZE], const struct cursor *cursor)
{
    snprintf(out, CURSOR_SIZE, "%016" PRIx64 "-%" PRIu64, cursor->boot, cursor->id);
}

int cursor_read(const char *text, const char *boot, struct cursor *out)
{
    const char *digits = text;
    char *end;

    if (strspn(text, "0123456789abcdef") == BOOT_DIGITS && text[BOOT_DIGITS] == '-') {
        boot = text;
        digits += BOOT_DIGITS + 1;
    }
    out->boot = strtoull(boot, NULL, 16);
    errno = 0;
    out->id = strtoull(digits, &end, 10);
    return *digits < '0' || *digits > '9' || *end != '\0' || errno != 0 ? -EINVAL : 0;
}
