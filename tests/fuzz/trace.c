#include "fuzz.h"

enum { CALLS_MAX = 4096, ARGUMENTS_MAX = 8 };

/* Formatting each call would take longer than making it: that is left until somebody wants to read it. */
static struct traced {
    const char *format; /* NULL: a result */
    int depth;
    union {
        long long number;
        const char *text;
    } args[ARGUMENTS_MAX];
} calls[CALLS_MAX];
static size_t len;
static bool live;

static void print_call(const struct traced *call)
{
    fprintf(stderr, "%*s", call->depth * 4, "");
    if (!call->format) {
        fprintf(stderr, "  -> %lld\n", call->args[0].number);
        return;
    }
    int n = 0;
    for (const char *ch = call->format; *ch; ch++) {
        if (*ch != '%')
            fputc(*ch, stderr);
        else if (*++ch == 's')
            fputs(call->args[n++].text, stderr);
        else if (*ch == 'z')
            fprintf(stderr, "%llu", (unsigned long long)call->args[n++].number);
        else
            fprintf(stderr, "%lld", call->args[n++].number);
    }
    fputc('\n', stderr);
}

static struct traced *next_call(int depth)
{
    REQUIRE(len < CALLS_MAX);
    struct traced *call = &calls[len++];
    call->depth = depth;
    return call;
}

void trace_call(int depth, const char *format, ...)
{
    struct traced *call = next_call(depth);
    call->format = format;
    va_list args;
    va_start(args, format);
    int n = 0;
    for (const char *ch = strchr(format, '%'); ch; ch = strchr(ch + 2, '%'), n++) {
        REQUIRE(n < ARGUMENTS_MAX);
        if (ch[1] == 's')
            call->args[n].text = va_arg(args, const char *);
        else if (ch[1] == 'z')
            call->args[n].number = (long long)va_arg(args, size_t);
        else
            call->args[n].number = va_arg(args, int);
    }
    va_end(args);
    if (live)
        print_call(call);
}

void trace_result(int depth, long long result)
{
    struct traced *call = next_call(depth);
    call->format = NULL;
    call->args[0].number = result;
    if (live)
        print_call(call);
}

void trace_clear(void)
{
    len = 0;
}

void trace_live(void)
{
    live = true;
}

void diverge(const char *text, const char *file, int line)
{
    fprintf(stderr, "\nThe calls (s: session handles, c: client handles, p: pollers, m: messages):\n");
    for (size_t i = 0; i < len; i++)
        print_call(&calls[i]);
    fprintf(stderr, "%s:%d: the library and the model differ: not so: %s\n", file, line, text);
    abort();
}
