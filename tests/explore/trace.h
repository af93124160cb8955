/* What happened in this execution, for people to read. */
#ifndef EXPLORE_TRACE_H
#define EXPLORE_TRACE_H

void trace_clear(void);

/* Strings are not copied. */
void trace_add(int thread, const char *what, const volatile void *object, const void *code);

/* From now on the object is called so. */
void trace_call(const volatile void *object, const char *name);

/* Its name, or its address. In static storage, until the next call. */
const char *trace_name(const volatile void *object);

void trace_print(void);

#endif
