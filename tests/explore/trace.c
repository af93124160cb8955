#include "trace.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { MAX_STEPS = 4096, MAX_NAMES = 32 };

static struct step {
    int thread;
    const char *what;
    const volatile void *object;
    const void *code;
} steps[MAX_STEPS]; /* the last ones, round */
static size_t steps_len;

static struct name {
    const volatile void *object;
    const char *name;
} names[MAX_NAMES];
static size_t names_len;

void trace_clear(void)
{
    steps_len = 0;
}

void trace_add(int thread, const char *what, const volatile void *object, const void *code)
{
    steps[steps_len++ % MAX_STEPS] = (struct step){thread, what, object, code};
}

void trace_call(const volatile void *object, const char *name)
{
    size_t at = 0;
    while (at < names_len && strcmp(names[at].name, name) != 0)
        at++;
    if (at == MAX_NAMES)
        return;
    names[at] = (struct name){object, name};
    if (at == names_len)
        names_len++;
}

const char *trace_name(const volatile void *object)
{
    static char address[32];
    for (size_t i = 0; i < names_len; i++) {
        if (names[i].object == object)
            return names[i].name;
    }
    snprintf(address, sizeof(address), "%p", (const void *)(const char *)(size_t)object);
    return address;
}

static size_t first_step(void)
{
    return steps_len > MAX_STEPS ? steps_len - MAX_STEPS : 0;
}

/* addr2line(1), asked for all steps at once: each answers with its address, then lines of which the first that is
 * not in sync.h, the inlined part, tells where we are. NULL: it is not installed. */
static FILE *locations_open(void)
{
    static char command[64 + MAX_STEPS * 20];
    size_t len = (size_t)snprintf(command, sizeof(command), "addr2line -a -f -s -i -p -e /proc/%d/exe", getpid());
    for (size_t i = first_step(); i < steps_len; i++) {
        /* The call, not what it returns to. */
        const char *code = steps[i % MAX_STEPS].code;
        len += (size_t)snprintf(command + len, sizeof(command) - len, " %zx", code ? (size_t)code - 1 : 0);
    }
    snprintf(command + len, sizeof(command) - len, " 0 2>&1");
    return popen(command, "r");
}

/* Reads the lines of one step into `text`. They end where the next address begins, which is kept in `ahead`. */
static void locations_read(FILE *in, char *ahead, size_t ahead_size, char *text, size_t size)
{
    *text = '\0';
    bool found = false;
    if (!*ahead && !fgets(ahead, (int)ahead_size, in))
        return;
    do {
        const char *line = strstr(ahead, strncmp(ahead, "0x", 2) == 0 ? ": " : "by) ");
        line = line ? strchr(line, ' ') + 1 : ahead;
        if (!found && !strstr(line, "sync.h") && !strstr(line, "??")) {
            snprintf(text, size, "%.*s", (int)strcspn(line, "\n("), line);
            found = true;
        }
        if (!fgets(ahead, (int)ahead_size, in))
            *ahead = '\0';
    } while (*ahead && strncmp(ahead, "0x", 2) != 0);
}

void trace_print(void)
{
    FILE *in = locations_open();
    char ahead[512] = "";
    int last = -1;
    for (size_t i = first_step(); i < steps_len; i++) {
        const struct step *step = &steps[i % MAX_STEPS];
        char where[512] = "";
        if (in)
            locations_read(in, ahead, sizeof(ahead), where, sizeof(where));
        if (step->thread != last)
            fprintf(stderr, "  thread %d\n", step->thread);
        last = step->thread;
        fprintf(stderr, "    %-22s %-18s %s\n", step->what, step->object ? trace_name(step->object) : "", where);
    }
    if (in)
        pclose(in);
}
