/* data_shuffle.h: a random order of n things that is computed, not stored: a Feistel network is a permutation of a power of
 * four whatever its round function is (Luby, Rackoff 1988); from a number that is n or more one goes on until one below n
 * comes (Black, Rogaway 2002), on average at most four times. */
#ifndef ANEL_TRAIN_DATA_SHUFFLE_H
#define ANEL_TRAIN_DATA_SHUFFLE_H

#include "base/rng.h"

/* The i-th of the numbers 0 .. n-1 in the order that `key` gives; i < n. */
static inline uint64_t shuffled(uint64_t key, uint64_t i, uint64_t n)
{
    enum { ROUNDS = 6 };
    uint32_t half = 1;
    while (half < 32 && (n - 1) >> (2 * half))
        half++;
    uint64_t mask = ((uint64_t)1 << half) - 1;
    do {
        uint64_t left = i >> half, right = i & mask;
        for (uint64_t round = 0; round < ROUNDS; round++) {
            uint64_t next = left ^ (rng_u64(key, round << 32 | right) & mask);
            left = right;
            right = next;
        }
        i = left << half | right;
    } while (i >= n);
    return i;
}

#endif
