/* What the hub pushes: the JSON text that devices are sent, made once, here or on another server of the cluster. */
#ifndef SERVER_MESSAGE_H
#define SERVER_MESSAGE_H

#include <jansson.h>
#include <push/push.h>
#include <stdbool.h>
#include <stdint.h>

enum { BOOT_SIZE = 17, CURSOR_SIZE = BOOT_SIZE + 21 };

/* Names a message: the run of a server that took it, and its number there. Cursors are the same or not, no more:
 * what came first is known from the mailbox alone. */
struct cursor {
    uint64_t boot, id;
};

/* {"id":..,"boot":"..","time":..,"text":".."}; `text` is a JSON string. NULL where there is no memory. */
push_msg *message_new(uint64_t id, const char *boot, json_t *text);

/* The most bytes that the message of a text of so many bytes may have. */
size_t message_max_size(size_t text_size);

/* Its text, without a NUL. */
const char *message_json(const push_msg *msg, size_t *size);

/* Reads the name of a message. Returns 0; -EINVAL: it does not begin as message_new has them begin. */
int message_cursor(const push_msg *msg, struct cursor *out);

/* Whether the rest is as message_new makes it, too. */
bool message_is_whole(const push_msg *msg);

/* What stands in the place of messages that the cluster lost; and how many those are, which is 1 for something that
 * is no message at all. */
push_msg *message_new_lost(uint64_t count);
size_t message_lost(const push_msg *msg);

bool cursor_equal(const struct cursor *a, const struct cursor *b);

/* As text it is "BOOT-ID". Reading one, an id alone will do, for one of the run `boot`. Returns 0 or -EINVAL. */
void cursor_write(char out[CURSOR_SIZE], const struct cursor *cursor);
int cursor_read(const char *text, const char *boot, struct cursor *out);

#endif
