/*
 * What travels: subjects and headers. An id is never put into a subject as it is (its bytes could be wildcards, or
 * lines of the protocol, and libnats does not look), but encoded, kind included:
 *
 *     i42           the integer 42
 *     bYWxpY2U      bytes, base64url without padding
 *     h47DEQpj8...  bytes, more than TOKEN_BYTES_MAX of them: base64url of their SHA-256
 *
 * A server takes no subject of much more than 4000 characters, so long ids are hashed; who receives knows which id
 * he subscribed to. Headers have no such limit: an id there is never hashed.
 */
#ifndef PUSH_SRC_NATS_WIRE_H
#define PUSH_SRC_NATS_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <push/push.h>

#define TOKEN_BYTES_MAX 96
#define TOKEN_SIZE (1 + (TOKEN_BYTES_MAX + 2) / 3 * 4 + 1) /* the longest token, NUL included */

#define CLUSTER_MAX 32

/* Every subject of a cluster: push.v1.CLUSTER.TOKEN; what a stream hands on: push.v1.CLUSTER.live.TOKEN. */
#define SUBJECT_PREFIX "push.v1."
#define SUBJECT_SIZE (sizeof(SUBJECT_PREFIX) + CLUSTER_MAX + sizeof(".live.") + TOKEN_SIZE)

#define HEADER_ID "Nats-Msg-Id" /* PUBLISHER.STREAM.COUNT in hex; a stream drops what has an id it saw already */
#define HEADER_EXCEPT "Push-Except"          /* the encoded id of a client */
#define HEADER_SEQUENCE "Nats-Sequence"      /* by the stream: the message's own number */
#define HEADER_PREVIOUS "Nats-Last-Sequence" /* ... and that of the message before it on the same subject */

/* Where a message comes from: its publisher counts the messages of each session; `run` names the run of a count. */
struct origin {
    uint64_t publisher; /* 0: not one of us */
    uint64_t run;
    uint64_t count; /* 1, 2, 3, ... within the run */
};
#define ORIGIN_SIZE (3 * 17)

bool push__nats_id_valid(push_id id);
bool push__nats_cluster_valid(const char *cluster);

/* Writes the token of a valid id. Returns 0 or -EIO (no SHA-256 in this system's OpenSSL). */
int push__nats_token(push_id id, char token[TOKEN_SIZE]);

/* The length that push__nats_encode writes for a valid id, NUL included. */
size_t push__nats_encoded_size(push_id id);
void push__nats_encode(push_id id, char *text);

/* The id that the text encodes; its bytes are put into `bytes`, which has room for strlen(text). PUSH_ID_NONE where
 * the text encodes nothing. */
push_id push__nats_decode(const char *text, void *bytes);

void push__nats_origin_format(const struct origin *origin, char text[ORIGIN_SIZE]);
/* publisher 0 where the text (or NULL) is not of that form. */
struct origin push__nats_origin_parse(const char *text);

#endif
