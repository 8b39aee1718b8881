/* vmath.h: elementary functions in fp32 that compilers can vectorise and that give the same bits everywhere.
 *
 * No calls, no branches: only arithmetic and selections. Polynomials are those of Cephes (S. Moshier); the errors
 * stated were measured against fp64 over the whole range, and test_kernels checks them. */
#ifndef ANEL_RUNTIME_VMATH_H
#define ANEL_RUNTIME_VMATH_H

#include "base/f16.h"

/* e^x: relative error below 2e-7; 0 below -104, infinity above 88.73; subnormal results are right. */
static inline float exp_f32(float x)
{
    const float magic = 12582912.0f; /* 1.5 * 2^23: adding it rounds to an integer */
    float       y = x < -104.0f ? -104.0f : x;
    y = y > 89.0f ? 89.0f : y;
    float t = y * 1.44269504088896341f + magic, n = t - magic;
    float r = (y - n * 0.693359375f) - n * -2.12194440e-4f; /* ln 2 in two parts */
    float p = 1.9875691500e-4f;
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * (r * r) + r + 1.0f;
    /* times 2^n in two steps, because 2^n alone may leave the range */
    int32_t k = (int32_t)(f32_bits(t) - f32_bits(magic)), half = k >> 1, rest = k - half;
    float   a = f32_from_bits((uint32_t)(half + 127) << 23), b = f32_from_bits((uint32_t)(rest + 127) << 23);
    return p * a * b;
}

static inline float sigmoid_f32(float x)
{
    return 1.0f / (1.0f + exp_f32(-x));
}

/* Relative error below 4e-7. */
static inline float tanh_f32(float x)
{
    float z = x * x;
    float p = -5.70498872745e-3f; /* for |x| < 0.625 */
    p = p * z + 2.06390887954e-2f;
    p = p * z - 5.37397155531e-2f;
    p = p * z + 1.33314422036e-1f;
    p = p * z - 3.33332819422e-1f;
    p = p * z * x + x;
    float e = exp_f32(2.0f * x), big = 1.0f - 2.0f / (e + 1.0f);
    return z < 0.390625f ? p : big;
}

#endif
