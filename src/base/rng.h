/* rng.h: counter-based random numbers: a pure function of (key, index), so any element can be drawn in any order, on
 * any machine, and adding a consumer changes nothing for the others.
 *
 * The mixer is SplitMix64's finaliser (Steele, Lea, Flood 2014) applied to key and counter; it passes through two
 * rounds because neighbouring counters must not show in the result. */
#ifndef ANEL_BASE_RNG_H
#define ANEL_BASE_RNG_H

#include <math.h>
#include <stdint.h>

static inline uint64_t rng_mix(uint64_t z)
{
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static inline uint64_t rng_u64(uint64_t key, uint64_t index)
{
    return rng_mix(rng_mix(key + 0x9e3779b97f4a7c15u) ^ (index * 0x9e3779b97f4a7c15u));
}

/* A key for a named stream, e.g. rng_key(seed, "layers.0.wq.weight"). */
static inline uint64_t rng_key(uint64_t seed, const char *name)
{
    uint64_t h = 0xcbf29ce484222325u;
    for (; *name; name++)
        h = (h ^ (unsigned char)*name) * 0x100000001b3u; /* FNV-1a */
    return rng_mix(seed * 0x9e3779b97f4a7c15u + h);
}

/* Uniform in [0, 1), 53 bits. */
static inline double rng_uniform(uint64_t key, uint64_t index)
{
    return (double)(rng_u64(key, index) >> 11) * 0x1p-53;
}

/* Standard normal by Box and Muller; uses the counters 2*index and 2*index+1. */
static inline double rng_normal(uint64_t key, uint64_t index)
{
    double u = 1.0 - rng_uniform(key, 2 * index), v = rng_uniform(key, 2 * index + 1);
    return sqrt(-2.0 * log(u)) * cos(6.283185307179586476925287 * v);
}

#endif
