/*
 * Which states of the program were met before. Two executions that come to the same state, in all that anybody will
 * ever look at, and with the same bounds left, go on alike: what follows needs to be explored once. So the explored
 * graph is that of the states, not the tree of the executions, and within the bounds nothing is left out.
 *
 * A state is remembered as 64 bits of a hash (hash compaction: Wolper and Leroy, "Reliable hashing without
 * collision detection", 1993): that two of n states have the same one, so that something is left out, has a
 * probability of less than n * n / 2^65, below 10^-4 for the 10^7 or so of the largest scenario.
 *
 * Sleep sets and dynamic partial-order reduction (Godefroid 1996; Flanagan and Godefroid 2005) would not do here:
 * what they leave out is covered by an equivalent execution that may need more preemptions than the bound allows
 * (Coons, Musuvathi and McKinley, "Bounded partial-order reduction", 2013).
 */
#ifndef EXPLORE_STATE_H
#define EXPLORE_STATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A hash in the making. Bytes go in as words: each piece should be aligned, and is filled up to a word with zeros.
 */
struct digest {
    uint64_t lanes[4];
    size_t words;
};

void digest_begin(struct digest *digest);
void digest_add(struct digest *digest, const void *data, size_t size);
void digest_word(struct digest *digest, uint64_t word);
uint64_t digest_end(const struct digest *digest);

/* A set of states. */
struct states {
    uint64_t *table; /* linear probing; 0: empty */
    size_t cap, len;
    uint64_t sum; /* of all of them: tells sets apart */
};

void states_clear(struct states *states);

/* False where it is there already. Ends the program where memory does. */
bool states_add(struct states *states, uint64_t state);

#endif
