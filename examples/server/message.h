/* What the hub pushes: the JSON text that all devices are sent, made once, and its id for the server's own use. */
#ifndef SERVER_MESSAGE_H
#define SERVER_MESSAGE_H

#include <jansson.h>
#include <push/push.h>
#include <stdint.h>

enum { BOOT_SIZE = 17, CURSOR_SIZE = BOOT_SIZE + 21 };

struct message {
    uint64_t id;
    char json[]; /* {"id":..,"boot":"..","time":..,"text":".."}, without a NUL */
};

/* `text` is a JSON string. NULL where there is no memory. */
push_msg *message_new(uint64_t id, const char *boot, json_t *text);

/* The most bytes of JSON that a text of so many bytes may become. */
size_t message_max_size(size_t text_size);

uint64_t message_id(const push_msg *msg);
const char *message_json(const push_msg *msg, size_t *size);

/* A cursor names a message across restarts of the server: "BOOT-ID". Reading one, an id alone will do. Returns 0;
 * -ESTALE: it is of another run of the server; -EINVAL. */
void cursor_write(char out[CURSOR_SIZE], const char *boot, uint64_t id);
int cursor_read(const char *text, const char *boot, uint64_t *id);

#endif
