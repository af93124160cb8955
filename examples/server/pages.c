#include "pages.h"

#include "answer.h"
#include "server.h"

#include <string.h>
#include <unistd.h>

static const struct file_type {
    const char *suffix, *type;
} file_types[] = {
    {".html", "text/html; charset=utf-8"},
    {".js", "text/javascript; charset=utf-8"},
    {".css", "text/css; charset=utf-8"},
    {".svg", "image/svg+xml"},
    {".png", "image/png"},
};

static bool is_plain(const char *name, const char *suffix)
{
    size_t stem = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_-");
    return stem > 0 && strcmp(name + stem, suffix) == 0;
}

/* The type of a file of the pages; NULL where it cannot be one. */
static const char *type_of(const char *name)
{
    for (size_t i = 0; i < LWS_ARRAY_SIZE(file_types); i++)
        if (is_plain(name, file_types[i].suffix))
            return file_types[i].type;
    return NULL;
}

int pages_serve(struct lws *wsi, const char *path, int method)
{
    static const struct refusal not_found = {404, "there is nothing here"}, bad_method = {405, "GET only"};
    const char *name = strcmp(path, "/") == 0        ? "index.html"
                       : strcmp(path, "/admin") == 0 ? "admin.html"
                                                     : path + 1;
    const char *type = type_of(name);
    char file[4096];

    if (type == NULL)
        return http_refuse(wsi, &not_found);
    if (method != LWSHUMETH_GET && method != LWSHUMETH_HEAD)
        return http_write_refusal(wsi, &bad_method, "GET, HEAD") < 0 ? -1 : http_complete(wsi);
    lws_snprintf(file, sizeof file, "%s/%s", server_of(wsi)->options.www, name);
    if (access(file, R_OK) != 0)
        return http_refuse(wsi, &not_found);
    int rc = lws_serve_http_file(wsi, file, type, NULL, 0);
    return rc < 0 || (rc > 0 && http_complete(wsi) < 0) ? -1 : 0;
}
