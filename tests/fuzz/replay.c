/*
 * The same sequences without libFuzzer:
 *
 *     fuzz_replay [-v] FILE|FOLDER...   runs each input; -v prints its calls as they are made
 *     fuzz_replay -r COUNT SEED         runs random inputs; a failing one is the last, number SEED + n
 */
#include "fuzz.h"

#include <dirent.h>
#include <sys/stat.h>

enum { SIZE_LIMIT = 65536 };

static uint8_t bytes[SIZE_LIMIT];
static unsigned long runs;

static void run_file(const char *path)
{
    FILE *f = fopen(path, "rbe");
    if (!f) {
        fprintf(stderr, "fuzz_replay: %s: %s\n", path, strerror(errno));
        exit(2);
    }
    size_t size = fread(bytes, 1, sizeof(bytes), f);
    fclose(f);
    char what[96];
    snprintf(what, sizeof(what), "fuzz_replay %s", path);
    watchdog(what, 60);
    fuzz_run(bytes, size);
    runs++;
}

static void run_folder(const char *path, DIR *dir)
{
    const struct dirent *entry;
    while ((entry = readdir(dir)) != NULL) {
        char file[4096];
        struct stat st;
        if ((size_t)snprintf(file, sizeof(file), "%s/%s", path, entry->d_name) < sizeof(file) &&
            stat(file, &st) == 0 && S_ISREG(st.st_mode))
            run_file(file);
    }
}

static void run_path(const char *path)
{
    DIR *dir = opendir(path);
    if (!dir) {
        run_file(path);
        return;
    }
    /* fuzz_run counts descriptors before and after: this one is there both times. */
    run_folder(path, dir);
    closedir(dir);
}

static void run_random(unsigned long count, uint64_t seed)
{
    for (unsigned long i = 0; i < count; i++) {
        uint64_t random = seed + i + 1;
        size_t size = 1 + random_next(&random) % 1500;
        for (size_t at = 0; at < size; at++)
            bytes[at] = (uint8_t)(random_next(&random) >> 8);
        char what[64];
        snprintf(what, sizeof(what), "fuzz_replay -r 1 %llu", (unsigned long long)(seed + i));
        watchdog(what, 60);
        fprintf(stderr, "%s", "");
        fuzz_run(bytes, size);
        runs++;
    }
}

int main(int argc, char **argv)
{
    helpers_init();
    if (argc == 4 && strcmp(argv[1], "-r") == 0) {
        run_random(strtoul(argv[2], NULL, 10), strtoull(argv[3], NULL, 10));
    } else {
        int first = argc > 1 && strcmp(argv[1], "-v") == 0 ? 2 : 1;
        if (first == 2)
            trace_live();
        for (int i = first; i < argc; i++)
            run_path(argv[i]);
    }
    if (runs == 0) {
        fprintf(stderr, "usage: fuzz_replay [-v] FILE|FOLDER... | -r COUNT SEED\n");
        return 2;
    }
    printf("%lu sequences\n", runs);
    return 0;
}
