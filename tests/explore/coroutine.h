/* Coroutines on stacks of their own, with what the address sanitizer must be told about them. */
#ifndef EXPLORE_COROUTINE_H
#define EXPLORE_COROUTINE_H

#include <stdbool.h>
#include <stddef.h>
#include <ucontext.h>

#if defined(__SANITIZE_ADDRESS__)
#define EXPLORE_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define EXPLORE_SANITIZED 1
#endif
#endif

struct coroutine {
    ucontext_t context;
    /* Where it starts: taken once, so that the registers it starts with, which end up on its stack, are always the
     * same. */
    ucontext_t first;
    bool begun;
    char *stack; /* NULL: the program's own */
    size_t stack_size;
    void *fake_stack; /* the sanitizer's */
};

/* Makes it start in entry, which must not return. The stack is kept for the next time. */
void coroutine_start(struct coroutine *coroutine, void (*entry)(void));

/* To be called first in entry. */
void coroutine_entered(void);

/* Goes on where `to` stands; returns once somebody switches back. `last`: nobody will. */
void coroutine_switch(struct coroutine *from, struct coroutine *to, int last);

/* Overwrites the stack of a coroutine that is over, so that who still uses what lay there is noticed. */
void coroutine_wipe(struct coroutine *coroutine);

#endif
