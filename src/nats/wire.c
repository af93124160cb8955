#include "wire.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>

enum { KIND_NONE = 0, KIND_INT = 1, KIND_BYTES = 2 };

#define INTEGER_SIZE 22 /* i, 20 digits, NUL */

static const char base64url[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

bool push__nats_id_valid(push_id id)
{
    return id.kind == KIND_INT || (id.kind == KIND_BYTES && id.data && id.value <= PUSH_ID_MAX);
}

bool push__nats_cluster_valid(const char *cluster)
{
    size_t length = strlen(cluster);
    return length >= 1 && length <= CLUSTER_MAX && strspn(cluster, base64url) == length;
}

static size_t base64url_length(size_t size)
{
    return (size * 8 + 5) / 6;
}

static void base64url_encode(const unsigned char *data, size_t size, char *text)
{
    uint32_t bits = 0;
    int held = 0;

    for (size_t i = 0; i < size; i++) {
        bits = bits << 8 | data[i];
        for (held += 8; held >= 6; held -= 6)
            *text++ = base64url[bits >> (held - 6) & 63];
    }
    if (held > 0)
        *text++ = base64url[bits << (6 - held) & 63];
    *text = '\0';
}

/* Returns the number of bytes, or -1 where the text is no base64url. */
static ptrdiff_t base64url_decode(const char *text, unsigned char *data)
{
    uint32_t bits = 0;
    int held = 0;
    unsigned char *at = data;

    for (; *text != '\0'; text++) {
        const char *digit = strchr(base64url, *text);
        if (!digit)
            return -1;
        bits = bits << 6 | (uint32_t)(digit - base64url);
        held += 6;
        if (held >= 8) {
            held -= 8;
            *at++ = (unsigned char)(bits >> held);
        }
    }
    return at - data;
}

int push__nats_token(push_id id, char token[TOKEN_SIZE])
{
    if (id.kind == KIND_INT || id.value <= TOKEN_BYTES_MAX) {
        push__nats_encode(id, token);
        return 0;
    }
    unsigned char hash[EVP_MAX_MD_SIZE];
    unsigned size = 0;
    if (EVP_Digest(id.data, (size_t)id.value, hash, &size, EVP_sha256(), NULL) != 1)
        return -EIO;
    token[0] = 'h';
    base64url_encode(hash, size, token + 1);
    return 0;
}

size_t push__nats_encoded_size(push_id id)
{
    return id.kind == KIND_INT ? INTEGER_SIZE : 1 + base64url_length((size_t)id.value) + 1;
}

void push__nats_encode(push_id id, char *text)
{
    if (id.kind == KIND_INT) {
        snprintf(text, INTEGER_SIZE, "i%" PRIu64, id.value);
    } else {
        text[0] = 'b';
        base64url_encode(id.data, (size_t)id.value, text + 1);
    }
}

push_id push__nats_decode(const char *text, void *bytes)
{
    if (text[0] == 'i' && text[1] >= '0' && text[1] <= '9') {
        char *end;
        errno = 0;
        uint64_t n = strtoull(text + 1, &end, 10);
        return *end == '\0' && errno == 0 ? push_id_int(n) : PUSH_ID_NONE;
    }
    if (text[0] != 'b')
        return PUSH_ID_NONE;
    ptrdiff_t size = base64url_decode(text + 1, bytes);
    return size >= 0 ? push_id_bytes(bytes, (size_t)size) : PUSH_ID_NONE;
}

void push__nats_origin_format(const struct origin *origin, char text[ORIGIN_SIZE])
{
    snprintf(text, ORIGIN_SIZE, "%016" PRIx64 ".%" PRIx64 ".%" PRIx64, origin->publisher, origin->run,
             origin->count);
}

/* A number in hex at *text, which ends with `end`. Moves *text behind it. */
static bool parse_hex(const char **text, char end, uint64_t *n)
{
    char *rest;
    if (!isxdigit((unsigned char)**text))
        return false;
    *n = strtoull(*text, &rest, 16);
    if (*rest != end)
        return false;
    *text = rest + 1;
    return true;
}

struct origin push__nats_origin_parse(const char *text)
{
    struct origin origin = {0};
    if (!text || !parse_hex(&text, '.', &origin.publisher) || !parse_hex(&text, '.', &origin.run) ||
        !parse_hex(&text, '\0', &origin.count) || origin.count == 0)
        origin.publisher = 0;
    return origin;
}
