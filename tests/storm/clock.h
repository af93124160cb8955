/*
 * Clocks that can be stepped, under the library's feet: clock_gettime and pthread_cond_timedwait, wrapped. All of
 * the program sees them, the tests' own calls included.
 */
#ifndef PUSH_TESTS_STORM_CLOCK_H
#define PUSH_TESTS_STORM_CLOCK_H

#include <stdint.h>

/* CLOCK_REALTIME is set, as by an operator or by NTP: anywhere. */
void clock_set_realtime(int64_t offset_ns);

/* CLOCK_MONOTONIC goes on from later on, as after a machine was held; waits notice it within a millisecond.
 * Never back. */
void clock_jump(int64_t ns);

#endif
