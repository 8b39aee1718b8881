/* f16.h: IEEE 754 binary16 in plain C, the same bits on every compiler and machine.
 *
 * All conversions round to nearest, ties to even, keep subnormals, and overflow to infinity from 65520 on. The engine's
 * rounding mode is assumed to be this one (nobody has shown otherwise). */
#ifndef ANEL_BASE_F16_H
#define ANEL_BASE_F16_H

#include <stdint.h>
#include <string.h>

static inline uint32_t f32_bits(float x)
{
    uint32_t u;
    memcpy(&u, &x, sizeof u);
    return u;
}

static inline float f32_from_bits(uint32_t u)
{
    float x;
    memcpy(&x, &u, sizeof x);
    return x;
}

/* `x` rounded to the nearest binary16 value, kept as float. Branch-free, so that loops over it vectorise. */
static inline float f16_round(float x)
{
    uint32_t u = f32_bits(x), sign = u & 0x80000000u, mag = u ^ sign;
    /* Normal results: add half of the last kept bit (minus one, plus the odd bit) and clear the 13 bits below. */
    uint32_t normal = (mag + 0x0fffu + ((mag >> 13) & 1u)) & ~0x1fffu;
    normal = normal >= 0x47800000u ? 0x7f800000u : normal; /* 2^16 and above */
    /* Below 2^-14 the step is 2^-24: adding 0.5 makes the hardware round there (0.5 has that ulp in binary32). */
    uint32_t small = f32_bits(f32_from_bits(mag) + 0.5f);
    uint32_t sub = f32_bits(f32_from_bits(small) - 0.5f);
    uint32_t r = mag < 0x38800000u ? sub : normal;
    r = mag > 0x7f800000u ? 0x7fc00000u : r; /* NaN */
    return f32_from_bits(r | sign);
}

static inline uint16_t f16_from_f32(float x)
{
    uint32_t u = f32_bits(f16_round(x)), sign = (u >> 16) & 0x8000u, mag = u & 0x7fffffffu;
    uint32_t normal = (mag - 0x38000000u) >> 13;
    uint32_t sub = f32_bits(f32_from_bits(mag) + 0.5f) & 0x3ffu;
    uint32_t r = mag < 0x38800000u ? sub : normal;
    r = mag == 0x7f800000u ? 0x7c00u : r;
    r = mag > 0x7f800000u ? 0x7e00u : r;
    return (uint16_t)(r | sign);
}

static inline float f16_to_f32(uint16_t h)
{
    uint32_t sign = (uint32_t)(h & 0x8000u) << 16, mag = h & 0x7fffu;
    uint32_t normal = (mag << 13) + 0x38000000u;
    uint32_t sub = f32_bits((float)(int32_t)mag * 0x1p-24f);
    uint32_t r = mag < 0x0400u ? sub : normal;
    r = mag >= 0x7c00u ? (mag << 13) | 0x7f800000u : r;
    return f32_from_bits(r | sign);
}

/* From double without rounding twice: the float in between is rounded to odd, which the second rounding cannot see. */
static inline float f32_round_to_odd(double x)
{
    float  f = (float)x;
    double back = (double)f;
    if (back == x || x != x)
        return f;
    uint32_t u = f32_bits(f);
    if (u & 1u)
        return f;
    int away = (back < 0 ? -back : back) < (x < 0 ? -x : x);
    if ((u & 0x7fffffffu) == 0x7f800000u) /* rounded up to infinity */
        return f32_from_bits(u - 1);
    if ((u & 0x7fffffffu) == 0)
        return f32_from_bits((x < 0 ? 0x80000000u : 0u) | 1u);
    return f32_from_bits(away ? u + 1 : u - 1);
}

static inline uint16_t f16_from_f64(double x)
{
    return f16_from_f32(f32_round_to_odd(x));
}

/* What fp16 cannot hold becomes its largest number: a mask of -1e9 must not turn into an infinity. */
static inline double f16_clamp(double x)
{
    return x > 65504 ? 65504 : x < -65504 ? -65504 : x;
}

static inline double f16_round_f64(double x)
{
    return (double)f16_round(f32_round_to_odd(x));
}

#endif
