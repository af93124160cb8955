#include "coroutine.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#ifdef EXPLORE_SANITIZED
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
enum { STACK_SIZE = 256 * 1024 };
#else
enum { STACK_SIZE = 32 * 1024 };
#endif

enum { GUARD_SIZE = 64 * 1024, WIPED = 0xd6 };

static char *stack_new(void)
{
    char *block = mmap(NULL, GUARD_SIZE + STACK_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (block == MAP_FAILED || mprotect(block, GUARD_SIZE, PROT_NONE) < 0) {
        perror("explore: a stack");
        exit(2);
    }
    return block + GUARD_SIZE;
}

void coroutine_start(struct coroutine *coroutine, void (*entry)(void))
{
    if (!coroutine->stack) {
        coroutine->stack = stack_new();
        coroutine->stack_size = STACK_SIZE;
        getcontext(&coroutine->first);
    }
#ifdef EXPLORE_SANITIZED
    /* What the frames of a cancelled thread left there. */
    ASAN_UNPOISON_MEMORY_REGION(coroutine->stack, coroutine->stack_size);
#endif
    coroutine->fake_stack = NULL;
    coroutine->begun = false;
    coroutine->first.uc_stack.ss_sp = coroutine->stack;
    coroutine->first.uc_stack.ss_size = coroutine->stack_size;
    coroutine->first.uc_link = NULL;
    makecontext(&coroutine->first, entry, 0);
}

static void swap(struct coroutine *from, struct coroutine *to)
{
    bool begins = to->stack && !to->begun;
    to->begun = true;
    swapcontext(&from->context, begins ? &to->first : &to->context);
}

#ifdef EXPLORE_SANITIZED
/* The sanitizer does not tell where the program's own stack lies before one leaves it. */
static const void *own_stack;
static size_t own_stack_size;

static void left_own_stack(void *fake_stack)
{
    const void *bottom;
    size_t size;
    __sanitizer_finish_switch_fiber(fake_stack, &bottom, &size);
    if (!own_stack) {
        own_stack = bottom;
        own_stack_size = size;
    }
}

void coroutine_entered(void)
{
    left_own_stack(NULL);
}

void coroutine_switch(struct coroutine *from, struct coroutine *to, int last)
{
    __sanitizer_start_switch_fiber(last ? NULL : &from->fake_stack, to->stack ? to->stack : own_stack,
                                   to->stack ? to->stack_size : own_stack_size);
    swap(from, to);
    left_own_stack(from->fake_stack);
}

void coroutine_wipe(struct coroutine *coroutine)
{
    ASAN_UNPOISON_MEMORY_REGION(coroutine->stack, coroutine->stack_size);
    memset(coroutine->stack, WIPED, coroutine->stack_size);
}
#else
void coroutine_entered(void) {}

void coroutine_switch(struct coroutine *from, struct coroutine *to, int last)
{
    (void)last;
    swap(from, to);
}

/* Not less than what deep calls use; the rest is not worth the time. */
void coroutine_wipe(struct coroutine *coroutine)
{
    enum { USED = 8 * 1024 };
    memset(coroutine->stack + coroutine->stack_size - USED, WIPED, USED);
}
#endif
