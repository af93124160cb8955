/* Delays at random places inside the library: the linker's --wrap leads its calls of the mutex and condition
 * variable functions through here. */
#ifndef PUSH_TESTS_HISTORIES_JITTER_H
#define PUSH_TESTS_HISTORIES_JITTER_H

#include <stdint.h>

/* The calling thread's delays from now on. 0: none. */
void jitter_seed(uint64_t seed);

/* Perhaps a delay. */
void jitter(void);

#endif
