/*
 * histories mailbox|session COUNT SEED: records COUNT histories, from SEED on, and checks each. One that cannot be
 * explained is printed, and written to history-SEED in the working directory, for history_check.
 */
#include "check.h"
#include "record.h"

static struct history h;

/* How many pairs of calls were made at the same time. */
static unsigned long overlaps(void)
{
    unsigned long n = 0;
    for (size_t i = 0; i < h.len; i++) {
        for (size_t j = 0; j < i; j++)
            n += h.calls[i].thread != h.calls[j].thread && h.calls[i].began < h.calls[j].returned &&
                 h.calls[j].began < h.calls[i].returned;
    }
    return n;
}

static void keep(uint64_t seed)
{
    char path[64];
    snprintf(path, sizeof(path), "history-%llu", (unsigned long long)seed);
    FILE *f = fopen(path, "we");
    printf("history %llu:\n", (unsigned long long)seed);
    history_print(&h, stdout);
    if (!f)
        return;
    history_print(&h, f);
    fclose(f);
    printf("again: history_check %s; another like it: with seed %llu\n", path, (unsigned long long)seed);
}

int main(int argc, char **argv)
{
    bool of_session = argc == 4 && strcmp(argv[1], "session") == 0;
    if (!of_session && (argc != 4 || strcmp(argv[1], "mailbox") != 0)) {
        fprintf(stderr, "usage: histories mailbox|session COUNT SEED\n");
        return 2;
    }
    unsigned long count = strtoul(argv[2], NULL, 10);
    uint64_t first = strtoull(argv[3], NULL, 10);
    unsigned long calls = 0;
    unsigned long pairs = 0;
    helpers_init();
    for (uint64_t seed = first; seed < first + count; seed++) {
        char what[64];
        snprintf(what, sizeof(what), "histories %s 1 %llu", argv[1], (unsigned long long)seed);
        watchdog(what, 60);
        (of_session ? record_session : record_mailbox)(&h, seed);
        calls += h.len;
        pairs += overlaps();
        if (!history_check(&h, stdout)) {
            keep(seed);
            return 1;
        }
    }
    assert_expectations();
    push_shutdown();
    if (blocks_held() != 0) {
        printf("%ld blocks are left\n", blocks_held());
        return 1;
    }
    printf("figure: %s histories: %lu\n", argv[1], count);
    printf("figure: calls in %s histories: %lu\n", argv[1], calls);
    printf("figure: pairs of calls made at once in %s histories: %lu\n", argv[1], pairs);
    return count == 0;
}
