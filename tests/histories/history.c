#include "history.h"

static const char *const policies[] = {
    [PUSH_BLOCK] = "block",
    [PUSH_DROP_NEWEST] = "drop-newest",
    [PUSH_DROP_OLDEST] = "drop-oldest",
    [PUSH_DISCONNECT] = "disconnect",
};

void history_add(struct history *h, const struct made_call *call)
{
    if (h->len == CALLS_MAX) {
        fprintf(stderr, "more than %d calls in a history\n", CALLS_MAX);
        exit(2);
    }
    h->calls[h->len++] = *call;
}

/* ---- Writing ---- */

void history_print_call(const struct made_call *call, FILE *f)
{
    static const char *const names[] = {"push", "pull", "unpull", "delete"};
    fprintf(f, "%s %d %lld %lld", names[call->kind], call->thread, (long long)call->began,
            (long long)call->returned);
    switch (call->kind) {
    case KIND_PUSH:
        fprintf(f, " %d %d %d %d %d", call->timeout_ms, call->message, call->result, call->dropped,
                call->disconnected);
        break;
    case KIND_PULL:
        fprintf(f, " %d %d %d %d", call->timeout_ms, call->message, call->result, call->first);
        break;
    case KIND_UNPULL:
        fprintf(f, " %d %d", call->message, call->result);
        break;
    case KIND_DELETE:
        fprintf(f, " %d", call->result);
        break;
    }
    fputc('\n', f);
}

void history_print(const struct history *h, FILE *f)
{
    if (h->of_session)
        fprintf(f, "session %zu\n", h->clients);
    else
        fprintf(f, "mailbox %zu %s\n", h->capacity, policies[h->policy]);
    for (size_t i = 0; i < h->len; i++)
        history_print_call(&h->calls[i], f);
    for (size_t i = 0; i < h->clients; i++) {
        for (size_t j = 0; j < h->got_len[i]; j++)
            fprintf(f, "got %zu %d\n", i, h->got[i][j]);
    }
}

/* ---- Reading ---- */

static bool read_head(struct history *h, const char *line)
{
    char policy[16];
    if (sscanf(line, "session %zu", &h->clients) == 1) {
        h->of_session = true;
        return h->clients <= CLIENTS_MAX;
    }
    if (sscanf(line, "mailbox %zu %15s", &h->capacity, policy) != 2)
        return false;
    for (size_t i = 0; i < COUNT(policies); i++) {
        if (strcmp(policy, policies[i]) == 0) {
            h->policy = (push_overflow)i;
            return true;
        }
    }
    return false;
}

static bool read_got(struct history *h, const char *line)
{
    size_t client;
    int message;
    if (sscanf(line, "got %zu %d", &client, &message) != 2 || client >= h->clients || message < 1 ||
        message >= MESSAGES_MAX || h->got_len[client] == MESSAGES_MAX)
        return false;
    h->got[client][h->got_len[client]++] = message;
    return true;
}

static bool read_call(struct history *h, const char *line)
{
    struct made_call call = {.first = true};
    char name[8];
    int used = 0;
    int first = 1;
    long long began;
    long long returned;
    if (sscanf(line, "%7s %d %lld %lld%n", name, &call.thread, &began, &returned, &used) != 4)
        return false;
    const char *rest = line + used;
    bool good = false;
    if (strcmp(name, "push") == 0) {
        call.kind = KIND_PUSH;
        good = sscanf(rest, "%d %d %d %d %d", &call.timeout_ms, &call.message, &call.result, &call.dropped,
                      &call.disconnected) == 5;
    } else if (strcmp(name, "pull") == 0) {
        call.kind = KIND_PULL;
        good = sscanf(rest, "%d %d %d %d", &call.timeout_ms, &call.message, &call.result, &first) == 4;
    } else if (strcmp(name, "unpull") == 0) {
        call.kind = KIND_UNPULL;
        good = sscanf(rest, "%d %d", &call.message, &call.result) == 2;
    } else if (strcmp(name, "delete") == 0) {
        call.kind = KIND_DELETE;
        good = sscanf(rest, "%d", &call.result) == 1;
    }
    call.first = first != 0;
    call.began = began;
    call.returned = returned;
    good = good && began <= returned && call.message >= 0 && call.message < MESSAGES_MAX && h->len < CALLS_MAX &&
           (call.first || h->len > 0);
    if (good)
        history_add(h, &call);
    return good;
}

int history_read(struct history *h, FILE *f)
{
    char line[256];
    bool begun = false;
    memset(h, 0, sizeof(*h));
    for (int number = 1; fgets(line, sizeof(line), f); number++) {
        if (line[0] == '#' || line[0] == '\n')
            continue;
        bool good = !begun                          ? read_head(h, line)
                    : strncmp(line, "got ", 4) == 0 ? read_got(h, line)
                                                    : read_call(h, line);
        if (!good)
            return number;
        begun = true;
    }
    return begun ? 0 : 1;
}
