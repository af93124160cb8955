/* SipHash-c-d, Aumasson and Bernstein, "SipHash: a fast short-input PRF" (2012). c and d are constants at each
 * call, so that the rounds unroll. L0, no state. */
#ifndef PUSH_SRC_SIPHASH_H
#define PUSH_SRC_SIPHASH_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

static inline uint64_t sip_rotl(uint64_t x, int bits)
{
    return (x << bits) | (x >> (64 - bits));
}

static inline void sip_rounds(uint64_t v[4], int rounds)
{
    for (int i = 0; i < rounds; i++) {
        v[0] += v[1];
        v[2] += v[3];
        v[1] = sip_rotl(v[1], 13) ^ v[0];
        v[3] = sip_rotl(v[3], 16) ^ v[2];
        v[0] = sip_rotl(v[0], 32);
        v[2] += v[1];
        v[0] += v[3];
        v[1] = sip_rotl(v[1], 17) ^ v[2];
        v[3] = sip_rotl(v[3], 21) ^ v[0];
        v[2] = sip_rotl(v[2], 32);
    }
}

/* n <= 8 bytes in little-endian order, on any machine. */
static inline uint64_t sip_load(const unsigned char *p, size_t n)
{
    uint64_t word = 0;
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    if (n == sizeof(word)) {
        memcpy(&word, p, sizeof(word));
        return word;
    }
#endif
    for (size_t i = 0; i < n; i++)
        word |= (uint64_t)p[i] << (8 * i);
    return word;
}

static inline uint64_t siphash(const uint64_t key[2], const void *data, size_t size, int c, int d)
{
    const unsigned char *p = (const unsigned char *)data;
    size_t rest = size % 8;
    uint64_t v[4] = {key[0] ^ 0x736f6d6570736575U, key[1] ^ 0x646f72616e646f6dU, key[0] ^ 0x6c7967656e657261U,
                     key[1] ^ 0x7465646279746573U};
    for (const unsigned char *end = p + (size - rest); p != end; p += 8) {
        uint64_t word = sip_load(p, 8);
        v[3] ^= word;
        sip_rounds(v, c);
        v[0] ^= word;
    }
    uint64_t last = (uint64_t)size << 56 | sip_load(p, rest);
    v[3] ^= last;
    sip_rounds(v, c);
    v[0] ^= last;
    v[2] ^= 0xff;
    sip_rounds(v, d);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

#endif
