/* The error that pthread_atfork is to say, 0 for none; NULL: none ever. */
#ifndef PUSH_TESTS_WRAP_ATFORK_H
#define PUSH_TESTS_WRAP_ATFORK_H

extern int (*atfork_error)(void);

#endif
