/*
 * history_check FILE...: says of each history whether it can be explained. With -n, each must not: for histories
 * that are wrong on purpose. Exit status 1 where one is not as it should be.
 */
#include "check.h"

static struct history h;

/* Returns whether it could be explained; ends the program where it is none. */
static bool check_file(const char *path, FILE *f)
{
    FILE *in = fopen(path, "re");
    if (!in) {
        fprintf(stderr, "history_check: %s: %s\n", path, strerror(errno));
        exit(2);
    }
    int line = history_read(&h, in);
    fclose(in);
    if (line > 0) {
        fprintf(stderr, "history_check: %s:%d: not a history's line\n", path, line);
        exit(2);
    }
    return history_check(&h, f);
}

int main(int argc, char **argv)
{
    int first = argc > 1 && strcmp(argv[1], "-n") == 0 ? 2 : 1;
    bool expected = first == 1;
    int wrong = 0;
    if (first == argc) {
        fprintf(stderr, "usage: history_check [-n] FILE...\n");
        return 2;
    }
    for (int i = first; i < argc; i++) {
        bool good = check_file(argv[i], stdout);
        printf("%s: %s\n", argv[i], good ? "good" : "bad");
        wrong += good != expected;
    }
    return wrong > 0;
}
