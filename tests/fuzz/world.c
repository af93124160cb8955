#include "world.h"

#include "mailbox.h"

struct world w;

/* ---- Ids ---- */

enum { LARGE = PUSH_ID_MAX };
static unsigned char large[2][LARGE + 1];

static const struct {
    const char *name, *bytes;
    size_t size;
    uint64_t number;
} good_ids[IDS] = {{"\"alice\"", "alice", 5, 0},    {"42", NULL, 0, 42},
                   {"\"42\"", "42", 2, 0},          {"\"\"", "", 0, 0},
                   {"\"a\\0b\"", "a\0b", 3, 0},     {"0", NULL, 0, 0},
                   {"2^64-1", NULL, 0, UINT64_MAX}, {"\"the bytes of 42\"", "\x2a\0\0\0\0\0\0\0", 8, 0},
                   {"64 KiB of x", NULL, LARGE, 0}, {"64 KiB of x, y at the end", NULL, LARGE, 1}};

static const char *const bad_names[BAD_IDS] = {"64 KiB and 1", "kind 3",         "kind -1",
                                               "NULL bytes",   "SIZE_MAX bytes", "PUSH_ID_NONE"};

push_id id_of(int id)
{
    if (id == NO_ID)
        return PUSH_ID_NONE;
    if (id < IDS) {
        if (good_ids[id].bytes)
            return push_id_bytes(good_ids[id].bytes, good_ids[id].size);
        if (good_ids[id].size > 0)
            return push_id_bytes(large[good_ids[id].number], LARGE);
        return push_id_int(good_ids[id].number);
    }
    switch (id - IDS) {
    case 0:
        return push_id_bytes(large[0], LARGE + 1);
    case 1:
        return (push_id){"x", 1, 3};
    case 2:
        return (push_id){"x", 1, -1};
    case 3:
        return (push_id){NULL, 5, 2};
    case 4:
        return push_id_bytes("x", SIZE_MAX);
    default:
        return PUSH_ID_NONE;
    }
}

const char *id_name(int id)
{
    return id == NO_ID ? "PUSH_ID_NONE" : id < IDS ? good_ids[id].name : bad_names[id - IDS];
}

bool id_good(int id)
{
    return id >= 0 && id < IDS;
}

int pick_id(void)
{
    enum { SMALL = IDS - 2, LARGE_FROM = 240, BAD_FROM = 248 };
    int value = (int)input_below(256);
    if (value >= BAD_FROM)
        return IDS + (value - BAD_FROM) % BAD_IDS;
    if (value >= LARGE_FROM)
        return SMALL + value % 2;
    /* Fewer make for more meetings. */
    return value < 128 ? value % 3 : value % SMALL;
}

int pick_id_or_none(void)
{
    return input_below(3) == 0 ? NO_ID : pick_id();
}

int id_find(push_id id)
{
    for (int i = 0; i < IDS; i++) {
        if (push_id_equal(id, id_of(i)))
            return i;
    }
    return NO_ID;
}

/* ---- Messages ---- */

enum { BYTES = 2048 };
static unsigned char pattern[MESSAGES + BYTES];

int message_new(size_t size, bool wrapped)
{
    if (w.messages_len == MESSAGES)
        return -1;
    int message = (int)w.messages_len++;
    w.messages[message] = (struct model_message){.size = size};
    w.more[message] = (struct world_message){.wrapped = wrapped};
    return message;
}

const void *message_bytes(int message)
{
    return pattern + message;
}

size_t message_size(int message)
{
    return w.messages[message].size;
}

static void message_freed(void *data, void *arg)
{
    REQUIRE(arg == &w);
    ((struct world_message *)data)->freed++;
}

push_msg *message_make(int message)
{
    struct world_message *more = &w.more[message];
    more->borrowed = true;
    push_msg *msg = more->wrapped ? push_msg_wrap(more, message_size(message), message_freed, &w)
                                  : push_msg_new(message_bytes(message), message_size(message));
    REQUIRE(msg);
    REQUIRE(message_is(message, msg));
    return msg;
}

/* Of a wrapped message: empty ones differ in nothing else. */
static bool is_wrapped(const push_msg *msg)
{
    uintptr_t data = (uintptr_t)push_msg_data(msg);
    return data >= (uintptr_t)w.more && data < (uintptr_t)(w.more + MESSAGES);
}

bool message_is(int message, const push_msg *msg)
{
    const struct world_message *more = &w.more[message];
    if (!msg || push_msg_size(msg) != message_size(message))
        return false;
    if (more->wrapped)
        return push_msg_data(msg) == more && more->freed == 0;
    return !is_wrapped(msg) && (uintptr_t)push_msg_data(msg) % _Alignof(max_align_t) == 0 &&
           memcmp(push_msg_data(msg), message_bytes(message), message_size(message)) == 0;
}

/* ---- Sessions ---- */

int pick_session(void)
{
    return (int)input_below(SESSION_HANDLES);
}

int pick_client(void)
{
    return (int)input_below(CLIENT_HANDLES);
}

void world_begin(void)
{
    if (pattern[1] == 0) {
        uint64_t random = 1;
        for (size_t i = 0; i < sizeof(pattern); i++)
            pattern[i] = (unsigned char)(random_next(&random) >> 16 | 1);
        memset(large, 'x', sizeof(large));
        large[1][LARGE - 1] = 'y';
    }
    /* Not memset: what is beyond the lengths is not looked at, and it is much. */
    w.sessions_len = w.clients_len = w.messages_len = w.held_len = w.calls = 0;
    w.huge = false;
    memset(w.registry, 0, sizeof(w.registry));
    memset(w.pollers, 0, sizeof(w.pollers));
    memset(w.session_handles, 0, sizeof(w.session_handles));
    memset(w.client_handles, 0, sizeof(w.client_handles));
}

struct world_session *session_create(int id, bool named)
{
    struct world_session *s = &w.sessions[w.sessions_len++];
    *s = (struct world_session){.id = id, .live = true, .named = named};
    w.registry[id] = s;
    return s;
}

size_t session_len(const struct world_session *s)
{
    size_t n = 0;
    for (int i = 0; i < IDS; i++)
        n += s->members[i] != NULL;
    return n;
}

void session_end(struct world_session *s)
{
    s->live = false;
    w.registry[s->id] = NULL;
    for (int i = 0; i < IDS; i++) {
        if (s->members[i])
            client_leave(s->members[i]);
    }
}

/* ---- Clients ---- */

static void tell_poller(struct world_client *c)
{
    if (c->poller && poller_must_report(c->poller, c))
        c->poller->quiet = false;
}

bool client_is_member(const struct world_client *c)
{
    return c->session->members[c->id] == c;
}

void client_hold(struct world_client *c)
{
    c->refs++;
}

void client_let_go(struct world_client *c)
{
    if (--c->refs > 0)
        return;
    model_destroy(&c->mailbox);
    c->real = NULL;
}

void client_leave(struct world_client *c)
{
    struct world_session *s = c->session;
    model_close(&c->mailbox);
    c->fd_quiet = false;
    c->served = 0;
    tell_poller(c);
    if (!client_is_member(c))
        return;
    s->members[c->id] = NULL;
    if (!s->named && s->live && session_len(s) == 0)
        session_end(s);
    client_let_go(c);
}

struct world_client *client_join(struct world_session *s, int id, const push_client_options *options, int *error)
{
    struct world_client *old = s->members[id];
    if (old && options->duplicate == PUSH_SHARE)
        return old;
    if (old && options->duplicate == PUSH_REFUSE) {
        *error = EEXIST;
        return NULL;
    }
    struct world_client *c = &w.clients[w.clients_len++];
    *c = (struct world_client){.session = s, .id = id, .fd = -1};
    model_init(&c->mailbox, w.messages, options);
    s->members[id] = c;
    client_hold(c);
    if (old && options->duplicate == PUSH_TAKEOVER) {
        model_take_over(&old->mailbox, &c->mailbox);
        c->data = old->data;
    }
    if (old) {
        client_leave(old);
        client_let_go(old);
    }
    return c;
}

void client_arrived(struct world_client *c)
{
    c->fd_quiet = false;
    if (c->due != DUE_YES)
        c->served = 0;
    c->due = DUE_YES;
    tell_poller(c);
}

void client_found_empty(struct world_client *c)
{
    c->due = DUE_NO;
    c->fd_quiet = true;
}

struct world_client *client_of(const push_client *real)
{
    for (size_t i = 0; i < w.clients_len; i++) {
        if (w.clients[i].real && w.clients[i].real == real)
            return &w.clients[i];
    }
    return NULL;
}

/* ---- Pollers ---- */

bool poller_must_report(const struct world_poller *p, const struct world_client *c)
{
    return c->refs > 0 && c->poller == p && (c->mailbox.closed || (c->due == DUE_YES && !c->paused));
}

bool poller_has_report(const struct world_poller *p)
{
    if (p->wakes > 0)
        return true;
    for (size_t i = 0; i < w.clients_len; i++) {
        if (poller_must_report(p, &w.clients[i]))
            return true;
    }
    return false;
}

/* ---- Checks ---- */

static void check_stats(const struct world_client *c)
{
    push_client_stats expected = model_stats(&c->mailbox);
    push_client_stats stats;
    REQUIRE(push_client_stat(c->real, &stats) == 0);
    REQUIRE(stats.queued == expected.queued);
    REQUIRE(stats.queued_bytes == expected.queued_bytes);
    REQUIRE(stats.max_buffer == expected.max_buffer);
    REQUIRE(stats.high_water == expected.high_water);
    REQUIRE(stats.pushed == expected.pushed);
    REQUIRE(stats.pulled == expected.pulled);
    REQUIRE(stats.dropped == expected.dropped);
    REQUIRE(stats.closed == expected.closed);
}

static void check_client(const struct world_client *c)
{
    REQUIRE(push__mailbox_check(c->real));
    check_stats(c);
    REQUIRE(push_client_session(c->real) == c->session->real);
    if (!c->mailbox.taken_over)
        REQUIRE(push_client_data(c->real) == c->data);
    if (c->fd >= 0) {
        bool is = readable(c->fd);
        bool must = c->mailbox.closed || model_has_message(&c->mailbox);
        REQUIRE(is || !must);
        REQUIRE(!is || !c->fd_quiet);
    }
}

static void check_poller(const struct world_poller *p)
{
    if (p->fd < 0)
        return;
    bool is = readable(p->fd);
    REQUIRE(is || !poller_has_report(p));
    REQUIRE(!is || !p->quiet);
}

static void check_messages(bool call_waits)
{
    for (size_t i = 0; i < w.messages_len; i++) {
        const struct world_message *more = &w.more[i];
        bool unused = w.messages[i].refs == 0 && !more->borrowed;
        if (!more->wrapped)
            continue;
        REQUIRE(more->freed <= unused);
        /* A push that waits lets go of what it evicted elsewhere when it returns. */
        REQUIRE(more->freed == unused || call_waits);
    }
}

/* Its descriptor was closed with it; looked at once, as the number may come again. */
static void check_gone(struct world_client *c)
{
    if (c->fd >= 0)
        REQUIRE(!descriptor_open(c->fd));
    c->fd = -1;
}

void world_check(bool call_waits)
{
    for (size_t i = 0; i < w.clients_len; i++) {
        if (w.clients[i].refs > 0)
            check_client(&w.clients[i]);
        else
            check_gone(&w.clients[i]);
    }
    for (int i = 0; i < POLLERS; i++) {
        if (w.pollers[i].real)
            check_poller(&w.pollers[i]);
    }
    for (int i = 0; i < SESSION_HANDLES; i++) {
        if (session_in(i))
            REQUIRE(push_session_len(session_in(i)->real) == session_len(session_in(i)));
    }
    check_messages(call_waits);
}
