/* What lws keeps of each connection to the server, zeroed for each request: whatever a client may be doing. */
#ifndef SERVER_SESSION_H
#define SERVER_SESSION_H

#include "connection.h"
#include "request.h"

#include <libwebsockets.h>

struct session;

/* How a connection that receives messages writes. The functions return what lws's callback is to return. */
struct transport {
    int (*writeable)(struct session *s);
    int (*timer)(struct session *s);
};

/* A pushed text that is coming in. */
struct push_body {
    char user[NAME_SIZE], except[NAME_SIZE]; /* empty: nobody */
    size_t size, capacity;
    char text[];
};

enum { FRAME_MAX = 256 }; /* bytes that a WebSocket client has to say */

struct session {
    struct connection connection;
    const struct transport *transport; /* NULL: a request like any other */
    struct push_body *push;            /* NULL: none */
    union {
        struct {
            bool greeted, resumed;
            unsigned char frame[FRAME_MAX];
            size_t frame_size;
        } ws;
        struct {
            bool begun, ping_due;
        } sse;
        struct {
            size_t sent; /* messages of the window */
            bool answering, waited;
        } poll;
    };
};

#endif
