/* What the program does for every scenario. */
#ifndef EXPLORE_FIXTURE_H
#define EXPLORE_FIXTURE_H

/* Checks what always holds, whatever the threads are doing. */
void fixture_check(void);

/* Lets go of all handles. */
void fixture_close(void);

#endif
