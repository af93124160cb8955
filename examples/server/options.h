/* The command line. */
#ifndef SERVER_OPTIONS_H
#define SERVER_OPTIONS_H

#include <push/push.h>
#include <stdbool.h>

struct options {
    const char *listen;
    int port;
    const char *www;
    const char *token; /* NULL: anybody may push */
    push_overflow overflow;
    size_t max_buffer, max_bytes; /* of a mailbox */
    size_t max_message;           /* bytes of a pushed text */
    size_t max_devices;           /* of a user */
    size_t max_users;
    size_t max_connections; /* 0: as many as the system allows, within reason */
    size_t window;          /* messages sent that a device has not acknowledged yet */
    size_t send_buffer;     /* of a socket, in the kernel; 0: as the kernel likes */
    unsigned grace, ping;   /* seconds */
    char *nats;             /* URLs with commas between; NULL: this server is alone */
    const char *cluster;
    bool jetstream;
    const char *position_file; /* NULL: none */
    bool verbose;
};

/* Fills *o. Returns 0; 1 where --help was asked for and printed; -1 where it said on standard error what is wrong.
 */
int options_parse(struct options *o, int argc, char **argv);

#endif
