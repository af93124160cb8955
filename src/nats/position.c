/* Where this node stands in the stream, in a file: a number, and a newline. */
#include "node.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

uint64_t push__nats_position_read(const char *file)
{
    uint64_t position = 0;
    FILE *stream = fopen(file, "re");
    if (!stream)
        return 0;
    if (fscanf(stream, "%" SCNu64, &position) != 1)
        position = 0;
    fclose(stream);
    return position;
}

/* Whole or not at all: a new file takes the old one's place. */
int push__nats_position_write(const char *file, uint64_t position)
{
    char *fresh;
    if (asprintf(&fresh, "%s.new", file) < 0)
        return -ENOMEM;
    int rc = 0;
    FILE *stream = fopen(fresh, "we");
    if (!stream) {
        rc = -errno;
    } else {
        bool written = fprintf(stream, "%" PRIu64 "\n", position) > 0;
        if (fclose(stream) != 0 || !written || rename(fresh, file) != 0) {
            rc = errno != 0 ? -errno : -EIO;
            unlink(fresh);
        }
    }
    free(fresh);
    return rc;
}
