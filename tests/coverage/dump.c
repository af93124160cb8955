/*
 * Writes the counters of a process that ends with _exit(2) or abort(3), as forked children do: the compilers'
 * runtimes write them in exit(3) alone. Linked into programs and into the shared library, each of which has
 * counters of its own: the program's function calls the library's, and that one the C library's.
 *
 * WRITE_COUNTERS: the runtime's function, __gcov_dump or __llvm_profile_write_file.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int WRITE_COUNTERS(void);

/* Stores the next definition of that name. */
static void find_next(const char *name, void *function, size_t size)
{
    void *symbol = dlsym(RTLD_NEXT, name);
    memcpy(function, &symbol, size);
}

__attribute__((visibility("default"))) _Noreturn void _exit(int status)
{
    void (*next)(int);
    WRITE_COUNTERS();
    find_next("_exit", &next, sizeof(next));
    next(status);
    __builtin_unreachable();
}

__attribute__((visibility("default"))) _Noreturn void abort(void)
{
    void (*next)(void);
    WRITE_COUNTERS();
    find_next("abort", &next, sizeof(next));
    next();
    __builtin_unreachable();
}
