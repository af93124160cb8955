#include "counts.h"

#include <errno.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"

struct count {
    uint64_t run;
    uint64_t n;
    char subject[];
};

static int compare(const void *a, const void *b)
{
    const struct count *left = (const struct count *)a, *right = (const struct count *)b;
    return strcmp(left->subject, right->subject);
}

/* A subject as a key for compare: of a struct count only the subject is looked at. */
union probe {
    struct count count;
    char bytes[sizeof(struct count) + SUBJECT_SIZE];
};

static void *find(void **tree, const char *subject)
{
    union probe probe;
    strcpy(probe.bytes + offsetof(struct count, subject), subject);
    return tfind(&probe, tree, compare);
}

void push__nats_counts_init(struct counts *counts, uint64_t publisher)
{
    *counts = (struct counts){.publisher = publisher, .turn = clock_ms() + COUNTS_IDLE_MS};
}

/* From the young generation, or moved there from the old one, or new. */
static struct count *get(struct counts *counts, const char *subject)
{
    struct count **node = find(&counts->young, subject);
    if (node)
        return *node;

    struct count **aged = find(&counts->old, subject);
    struct count *count = aged ? *aged : NULL;
    if (!count) {
        count = malloc(sizeof *count + strlen(subject) + 1);
        if (!count)
            return NULL;
        *count = (struct count){.run = counts->runs + 1};
        strcpy(count->subject, subject);
    }
    if (!tsearch(count, &counts->young, compare)) {
        if (!aged)
            free(count);
        return NULL;
    }
    if (aged)
        tdelete(count, &counts->old, compare);
    else
        counts->runs++;
    return count;
}

int push__nats_counts_next(struct counts *counts, const char *subject, struct origin *origin)
{
    struct count *count = get(counts, subject);
    if (!count)
        return -ENOMEM;
    *origin = (struct origin){.publisher = counts->publisher, .run = count->run, .count = ++count->n};
    return 0;
}

void *push__nats_counts_turn(struct counts *counts, int64_t now)
{
    if (now < counts->turn)
        return NULL;
    void *gone = counts->old;
    counts->old = counts->young;
    counts->young = NULL;
    counts->turn = now + COUNTS_IDLE_MS;
    return gone;
}

void push__nats_counts_free(void *generation)
{
    if (generation)
        tdestroy(generation, free);
}
