/* pthread_atfork for test_failure.c. A file of its own, built without the thread sanitizer: clang's runtime, which
 * is linked into the program, calls pthread_atfork itself before it can run instrumented code. */
#include "wrap_atfork.h"

#include <stddef.h>

int (*atfork_error)(void);

int __real_pthread_atfork(void (*prepare)(void), void (*parent)(void), void (*child)(void));
int __wrap_pthread_atfork(void (*prepare)(void), void (*parent)(void), void (*child)(void));

int __wrap_pthread_atfork(void (*prepare)(void), void (*parent)(void), void (*child)(void))
{
    int rc = atfork_error != NULL ? atfork_error() : 0;
    return rc != 0 ? rc : __real_pthread_atfork(prepare, parent, child);
}
