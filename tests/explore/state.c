#include "state.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- Hashing: the folded product of wyhash ---- */

static const uint64_t secrets[4] = {0xa0761d6478bd642f, 0xe7037ed1a0b428db, 0x8ebc6af09c88c6e3, 0x589965cc75374cc3};

static uint64_t fold(uint64_t a, uint64_t b)
{
    __extension__ typedef unsigned __int128 wide;
    wide product = (wide)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

void digest_begin(struct digest *digest)
{
    memcpy(digest->lanes, secrets, sizeof(digest->lanes));
    digest->words = 0;
}

void digest_word(struct digest *digest, uint64_t word)
{
    /* The lanes do not wait for each other. */
    uint64_t *lane = &digest->lanes[digest->words++ % 4];
    *lane = fold(*lane ^ word, secrets[1]) + secrets[0];
}

void digest_add(struct digest *digest, const void *data, size_t size)
{
    const unsigned char *p = data;
    uint64_t word;
    for (; size >= sizeof(word); p += sizeof(word), size -= sizeof(word)) {
        memcpy(&word, p, sizeof(word));
        digest_word(digest, word);
    }
    word = 0;
    memcpy(&word, p, size);
    digest_word(digest, word);
}

uint64_t digest_end(const struct digest *digest)
{
    uint64_t hash = digest->words;
    for (int i = 0; i < 4; i++)
        hash = fold(hash ^ digest->lanes[i], secrets[2]) + secrets[3];
    return hash;
}

/* ---- The set ---- */

enum { FIRST_CAP = 1 << 16 };

void states_clear(struct states *states)
{
    free(states->table);
    *states = (struct states){0};
}

static uint64_t *slot_of(const struct states *states, uint64_t state)
{
    size_t at = (size_t)state & (states->cap - 1);
    while (states->table[at] && states->table[at] != state)
        at = (at + 1) & (states->cap - 1);
    return &states->table[at];
}

static void grow(struct states *states)
{
    struct states old = *states;
    states->cap = old.cap ? old.cap * 2 : FIRST_CAP;
    states->table = calloc(states->cap, sizeof(*states->table));
    if (!states->table) {
        fprintf(stderr, "explore: no memory for more than %zu states\n", old.len);
        exit(2);
    }
    for (size_t i = 0; i < old.cap; i++) {
        if (old.table[i])
            *slot_of(states, old.table[i]) = old.table[i];
    }
    free(old.table);
}

bool states_add(struct states *states, uint64_t state)
{
    if (states->len >= states->cap / 2)
        grow(states);
    state += state == 0;
    uint64_t *slot = slot_of(states, state);
    if (*slot)
        return false;
    *slot = state;
    states->len++;
    states->sum += state;
    return true;
}
