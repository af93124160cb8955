/*
 * Included before everything else in the library's sources, and in the scenarios, when they are compiled for the
 * explorer: their locks, atomics and system calls become those of model.h.
 *
 * Atomic operations are plain ones here: one thread runs at a time. So what is explored is sequential consistency;
 * weak memory orders are for the thread sanitizer to judge.
 */
#ifndef EXPLORE_SHIM_H
#define EXPLORE_SHIM_H

#include <sched.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <unistd.h>

#include "model.h"

/* ---- pthreads ---- */

#define pthread_mutex_t struct explore_mutex
#undef PTHREAD_MUTEX_INITIALIZER
#define PTHREAD_MUTEX_INITIALIZER                                                                                  \
    {                                                                                                              \
        EXPLORE_LIVE, NULL                                                                                         \
    }
#define pthread_mutex_init explore_mutex_init
#define pthread_mutex_destroy explore_mutex_destroy
#define pthread_mutex_lock explore_mutex_lock
#define pthread_mutex_unlock explore_mutex_unlock

#define pthread_cond_t struct explore_cond
#define pthread_cond_init explore_cond_init
#define pthread_cond_destroy explore_cond_destroy
#define pthread_cond_wait explore_cond_wait
#define pthread_cond_timedwait explore_cond_timedwait
#define pthread_cond_signal explore_cond_signal

#undef pthread_cleanup_push
#undef pthread_cleanup_pop
#define pthread_cleanup_push(cleanup_fn, cleanup_arg)                                                              \
    do {                                                                                                           \
        struct explore_cleanup explore_handler = {NULL, (cleanup_fn), (cleanup_arg)};                              \
    explore_cleanup_push(&explore_handler)
#define pthread_cleanup_pop(execute)                                                                               \
    explore_cleanup_pop(execute);                                                                                  \
    }                                                                                                              \
    while (0)
#define pthread_setcancelstate explore_setcancelstate
#define pthread_atfork(prepare, parent, child) ((void)(prepare), (void)(parent), (void)(child), 0)

/* What has no model must not slip through to the real thing, which would block the one thread that all run in. */
#pragma GCC poison pthread_mutex_timedlock pthread_cond_clockwait pthread_cond_broadcast
#pragma GCC poison pthread_rwlock_rdlock pthread_rwlock_wrlock pthread_spin_lock pthread_once pthread_create
#pragma GCC poison nanosleep usleep poll epoll_wait
#undef atomic_load
#undef atomic_store
#undef atomic_exchange
#undef atomic_fetch_add
#undef atomic_fetch_sub
#undef atomic_fetch_or
#undef atomic_fetch_and
#undef atomic_compare_exchange_strong
#undef atomic_compare_exchange_weak
#undef atomic_flag_test_and_set
#undef atomic_thread_fence
#pragma GCC poison atomic_load atomic_store atomic_exchange atomic_fetch_add atomic_fetch_sub atomic_fetch_or
#pragma GCC poison atomic_fetch_and atomic_compare_exchange_strong atomic_compare_exchange_weak
#pragma GCC poison atomic_flag_test_and_set atomic_thread_fence

/* ---- The system ---- */

#define sched_yield explore_sched_yield
#define clock_gettime explore_clock_gettime
#define getrandom explore_getrandom
#define eventfd explore_eventfd
#define read(fd, data, size) explore_read(fd, data, size)
#define write(fd, data, size) explore_write(fd, data, size)
#define close(fd) explore_close(fd)

/* ---- Atomics ---- */

/* The comma takes _Atomic and const off. */
#define EXPLORE_TYPE(object) __typeof__((void)0, *(object))

#define EXPLORE_UPDATE(object, kind, order, value)                                                                 \
    __extension__({                                                                                                \
        EXPLORE_TYPE(object) explore_old = *(object);                                                              \
        *(object) = (EXPLORE_TYPE(object))(value);                                                                 \
        explore_atomic(kind, order, object);                                                                       \
        explore_old;                                                                                               \
    })

/* Nobody else knows the object yet. */
#undef atomic_init
#define atomic_init(object, value) ((void)(*(object) = (value)))

#undef atomic_load_explicit
#define atomic_load_explicit(object, order)                                                                        \
    __extension__({                                                                                                \
        EXPLORE_TYPE(object) explore_value = *(object);                                                            \
        explore_atomic(ATOMIC_LOAD, order, object);                                                                \
        explore_value;                                                                                             \
    })

#undef atomic_store_explicit
#define atomic_store_explicit(object, value, order) ((void)EXPLORE_UPDATE(object, ATOMIC_STORE, order, value))

#undef atomic_exchange_explicit
#define atomic_exchange_explicit(object, value, order) EXPLORE_UPDATE(object, ATOMIC_SWAP, order, value)

#undef atomic_fetch_add_explicit
#define atomic_fetch_add_explicit(object, operand, order)                                                          \
    EXPLORE_UPDATE(object, ATOMIC_ADD, order, explore_old + (operand))

#undef atomic_fetch_sub_explicit
#define atomic_fetch_sub_explicit(object, operand, order)                                                          \
    EXPLORE_UPDATE(object, ATOMIC_SUB, order, explore_old - (operand))

#undef atomic_fetch_or_explicit
#define atomic_fetch_or_explicit(object, operand, order)                                                           \
    EXPLORE_UPDATE(object, ATOMIC_BITS, order, explore_old | (operand))

#undef atomic_fetch_and_explicit
#define atomic_fetch_and_explicit(object, operand, order)                                                          \
    EXPLORE_UPDATE(object, ATOMIC_BITS, order, explore_old &(operand))

#undef atomic_compare_exchange_strong_explicit
#define atomic_compare_exchange_strong_explicit(object, expected, desired, success, failure)                       \
    __extension__({                                                                                                \
        EXPLORE_TYPE(object) explore_seen = *(object);                                                             \
        bool explore_same = explore_seen == *(expected);                                                           \
        if (explore_same)                                                                                          \
            *(object) = (desired);                                                                                 \
        else                                                                                                       \
            *(expected) = explore_seen;                                                                            \
        explore_atomic(ATOMIC_SWAP, explore_same ? (success) : (failure), object);                                 \
        explore_same;                                                                                              \
    })
#undef atomic_compare_exchange_weak_explicit
#define atomic_compare_exchange_weak_explicit atomic_compare_exchange_strong_explicit

/* ---- Patience ---- */

/* Yielding 32 times in a row before each sleep would only repeat what yielding twice explores. */
#include "sync.h"
#define PATIENCE_MAX 1

#endif
