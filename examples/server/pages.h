/* The pages: files of the folder --www, without folders in it. */
#ifndef SERVER_PAGES_H
#define SERVER_PAGES_H

#include <libwebsockets.h>

/* Answers with the page of a path, and returns what lws's callback is to return. */
int pages_serve(struct lws *wsi, const char *path, int method);

#endif
