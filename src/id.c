#include "id.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/random.h>

#include "siphash.h"
#include "sync.h"

/* Written by push__id_secret_init only, which the registry calls before anything can be hashed: once a process, and
 * once more in each forked child. */
static uint64_t secret[2];
static unsigned secrets; /* had so far, those of its parents included */

static int read_random(unsigned char *p, size_t left)
{
    while (left > 0) {
        ssize_t n = getrandom(p, left, 0);
        if (n < 0 && errno != EINTR)
            return -errno;
        if (n > 0) {
            p += n;
            left -= (size_t)n;
        }
    }
    return 0;
}

int push__id_secret_init(void)
{
    int state = push__cancel_off();
    int rc = read_random((unsigned char *)secret, sizeof(secret));
    push__cancel_restore(state);
    secrets++;
    return rc;
}

uint64_t push__id_hash(push_id id)
{
    if (id.kind == ID_INT)
        return siphash(secret, &id.value, sizeof(id.value), 1, 3);
    return siphash(secret, id.data, (size_t)id.value, 1, 3);
}

static bool are_equal(const push_id *a, const push_id *b)
{
    if (a->kind != b->kind)
        return false;
    if (a->kind != ID_BYTES)
        return a->kind == ID_NONE || a->value == b->value;
    return a->value == b->value && (a->data == b->data || memcmp(a->data, b->data, (size_t)a->value) == 0);
}

/* ---- What a thread named last ---- */

enum { REMEMBERED = 40 }; /* bytes: a UUID as text, and some */

/* Reached without a call, where the C library keeps a few bytes free for libraries that are loaded late. */
#if defined(__GLIBC__)
__attribute__((tls_model("initial-exec")))
#endif
static _Thread_local struct {
    unsigned secret; /* the one it was hashed under; 0: nothing is remembered */
    struct name name;
    unsigned char bytes[REMEMBERED]; /* the id's */
} named_last;

/* False: the id is too long, and its bytes are the caller's. */
static bool keep_bytes(push_id *id)
{
    if (id->kind != ID_BYTES)
        return true;
    if (id->value > sizeof(named_last.bytes))
        return false;
    if (id->value > 0)
        memcpy(named_last.bytes, id->data, (size_t)id->value);
    id->data = named_last.bytes;
    return true;
}

const struct name *push__name_again(push_id id)
{
    if (named_last.secret == secrets && are_equal(&named_last.name.id, &id))
        return &named_last.name;
    named_last.name = name_of(id);
    named_last.secret = keep_bytes(&named_last.name.id) ? secrets : 0;
    return &named_last.name;
}

/* ---- Ids ---- */

push_id push_id_str(const char *s)
{
    return push_id_bytes(s, s ? strlen(s) : 0);
}

push_id push_id_bytes(const void *data, size_t size)
{
    push_id id = PUSH_ID_NONE;
    if (data) {
        id.data = data;
        id.value = size;
        id.kind = ID_BYTES;
    }
    return id;
}

push_id push_id_int(uint64_t n)
{
    push_id id = PUSH_ID_NONE;
    id.value = n;
    id.kind = ID_INT;
    return id;
}

bool push_id_equal(push_id a, push_id b)
{
    return are_equal(&a, &b);
}

/* snprintf's bookkeeping: `length` counts all text, only what fits is written. */
struct text {
    char *buf;
    size_t size;
    size_t length;
};

static void text_char(struct text *text, char ch)
{
    if (text->length + 1 < text->size)
        text->buf[text->length] = ch;
    text->length++;
}

static void text_byte(struct text *text, unsigned char byte)
{
    static const char hex[] = "0123456789abcdef";
    if (byte == '\\') {
        text_char(text, '\\');
        text_char(text, '\\');
    } else if (byte >= 0x20 && byte < 0x7f) {
        text_char(text, (char)byte);
    } else {
        text_char(text, '\\');
        text_char(text, 'x');
        text_char(text, hex[byte >> 4]);
        text_char(text, hex[byte & 0xf]);
    }
}

int push_id_format(push_id id, char *buf, size_t size)
{
    if ((!buf && size > 0) || !id_valid_or_none(id))
        return -EINVAL;
    if (id.kind == ID_NONE)
        return snprintf(buf, size, "(none)");
    if (id.kind == ID_INT)
        return snprintf(buf, size, "%llu", (unsigned long long)id.value);
    struct text text = {buf, size, 0};
    for (size_t i = 0; i < id.value; i++)
        text_byte(&text, ((const unsigned char *)id.data)[i]);
    if (size > 0)
        buf[text.length < size ? text.length : size - 1] = '\0';
    return (int)text.length;
}
