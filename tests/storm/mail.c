#include "storm.h"

enum { POOL = 1 << 15 };

struct mail {
    atomic_bool used;
    atomic_int delivered, taken;
    atomic_bool unsure;
    struct letter {
        uint32_t number;
        uint32_t check;
        char padding[56];
    } letter;
};

static struct mail pool[POOL];
static atomic_uint next;
static atomic_long alive;

/* Called with no lock of the library held: it may be called back. */
static void mail_free(void *data, void *arg)
{
    struct mail *mail = arg;
    EXPECT(data == &mail->letter);
    int taken = atomic_load(&mail->taken);
    EXPECT(taken >= 0);
    EXPECT(taken <= atomic_load(&mail->delivered) || atomic_load(&mail->unsure));
    push_session_exists(push_id_int(0));
    atomic_fetch_sub(&alive, 1);
    EXPECT(atomic_exchange(&mail->used, false));
}

push_msg *mail_new(struct mail **result)
{
    for (int tries = 0; tries < 64; tries++) {
        unsigned i = atomic_fetch_add(&next, 1) % POOL;
        struct mail *mail = &pool[i];
        if (atomic_exchange(&mail->used, true))
            continue;
        atomic_store(&mail->delivered, 0);
        atomic_store(&mail->taken, 0);
        atomic_store(&mail->unsure, false);
        mail->letter = (struct letter){.number = i, .check = ~i};
        size_t size = offsetof(struct letter, padding) + i % sizeof(mail->letter.padding);
        push_msg *msg = push_msg_wrap(&mail->letter, size, mail_free, mail);
        if (!EXPECT(msg != NULL))
            return NULL;
        atomic_fetch_add(&alive, 1);
        *result = mail;
        return msg;
    }
    return NULL;
}

void mail_delivered(struct mail *mail, int count)
{
    atomic_fetch_add(&mail->delivered, count);
}

void mail_unsure(struct mail *mail)
{
    atomic_store(&mail->unsure, true);
}

/* NULL for what push_session_push copied, which counts nothing. */
static struct mail *mail_of(const push_msg *msg)
{
    struct letter letter;
    size_t head = offsetof(struct letter, padding);
    if (push_msg_size(msg) < head)
        return NULL;
    memcpy(&letter, push_msg_data(msg), head);
    if (!EXPECT(letter.number < POOL && letter.check == ~letter.number))
        return NULL;
    struct mail *mail = &pool[letter.number];
    EXPECT(atomic_load(&mail->used));
    return mail;
}

void mail_taken(const push_msg *msg)
{
    struct mail *mail = mail_of(msg);
    if (mail)
        atomic_fetch_add(&mail->taken, 1);
}

void mail_returned(const push_msg *msg)
{
    struct mail *mail = mail_of(msg);
    if (mail)
        atomic_fetch_sub(&mail->taken, 1);
}

long mail_alive(void)
{
    return atomic_load(&alive);
}
