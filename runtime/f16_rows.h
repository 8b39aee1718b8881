/* f16_rows.h: whole rows to fp16 and back, the same bits as the functions of base/f16.h element by element.
 *
 * A file compiled for AVX-512 or F16C, or with F16_ROWS_NEON for 64-bit ARM (runtime/meson.build), uses the conversion
 * instructions, so many elements at a time; they round like f16_round() and differ for NaN only, whose payloads they keep.
 * Elements with a NaN among them, and what is left at the end of a row, therefore take the plain way. */
#ifndef ANEL_RUNTIME_F16_ROWS_H
#define ANEL_RUNTIME_F16_ROWS_H

#include "base/f16.h"

#include <stddef.h>

/* Moving the bits up and multiplying by 2^112 rebiases the exponent and normalises subnormals in one step. */
static inline float f16_widen(uint16_t h)
{
    uint32_t sign = (uint32_t)(h & 0x8000u) << 16;
    float    x = f32_from_bits((uint32_t)(h & 0x7fffu) << 13) * 0x1p112f;
    uint32_t special = (uint32_t)((h & 0x7c00u) == 0x7c00u) * 0x7f800000u; /* infinity, NaN */
    return f32_from_bits(f32_bits(x) | special | sign);
}

/* A vector of F16_LANES floats, and of as many fp16 numbers. */
#if defined __AVX512F__ && defined __AVX512BW__ && defined __AVX512VL__
#include <immintrin.h>
#define F16_LANES 16
typedef __m512  F16Wide;
typedef __m256i F16Narrow;
#define f16_nan(v) _mm512_cmp_ps_mask(v, v, _CMP_UNORD_Q)
#define f16_load(p) _mm512_loadu_ps(p)
#define f16_store(p, v) _mm512_storeu_ps(p, v)
#define f16_load_half(p) _mm256_loadu_si256((const __m256i *)(p))
#define f16_store_half(p, h) _mm256_storeu_si256((__m256i *)(p), h)
#define f16_to_wide(h) _mm512_cvtph_ps(h)
#define f16_to_narrow(v) _mm512_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT)
#elif defined __F16C__ && defined __AVX__
#include <immintrin.h>
#define F16_LANES 8
typedef __m256  F16Wide;
typedef __m128i F16Narrow;
static inline int f16_rows_nan(__m256 v)
{
    return _mm256_movemask_ps(_mm256_cmp_ps(v, v, _CMP_UNORD_Q));
}
#define f16_nan(v) f16_rows_nan(v)
#define f16_load(p) _mm256_loadu_ps(p)
#define f16_store(p, v) _mm256_storeu_ps(p, v)
#define f16_load_half(p) _mm_loadu_si128((const __m128i *)(p))
#define f16_store_half(p, h) _mm_storeu_si128((__m128i *)(p), h)
#define f16_to_wide(h) _mm256_cvtph_ps(h)
#define f16_to_narrow(v) _mm256_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT)
#elif defined F16_ROWS_NEON
#include <arm_neon.h>
#define F16_LANES 8 /* two vectors: asking for NaN costs as much for both as for one */
typedef float32x4x2_t F16Wide;
typedef uint16x8_t    F16Narrow;
static inline int f16_nan(F16Wide v)
{
    uint32x4_t ordered = vandq_u32(vceqq_f32(v.val[0], v.val[0]), vceqq_f32(v.val[1], v.val[1]));
    return vminvq_u32(ordered) == 0;
}
static inline F16Wide f16_load(const float *p)
{
    return (F16Wide){{vld1q_f32(p), vld1q_f32(p + 4)}};
}
static inline void f16_store(float *p, F16Wide v)
{
    vst1q_f32(p, v.val[0]);
    vst1q_f32(p + 4, v.val[1]);
}
static inline F16Narrow f16_load_half(const void *p)
{
    return vreinterpretq_u16_u8(vld1q_u8(p)); /* by bytes: at any address */
}
static inline void f16_store_half(void *p, F16Narrow h)
{
    vst1q_u8(p, vreinterpretq_u8_u16(h));
}
static inline F16Wide f16_to_wide(F16Narrow h)
{
    float16x8_t x = vreinterpretq_f16_u16(h);
    return (F16Wide){{vcvt_f32_f16(vget_low_f16(x)), vcvt_high_f32_f16(x)}};
}
static inline F16Narrow f16_to_narrow(F16Wide v)
{
    return vreinterpretq_u16_f16(vcvt_high_f16_f32(vcvt_f16_f32(v.val[0]), v.val[1]));
}
#endif

/* Round `n` elements in place. */
static inline void f16_round_row(float *x, size_t n)
{
    size_t i = 0;
#ifdef F16_LANES
    for (; i + F16_LANES <= n; i += F16_LANES) {
        F16Wide v = f16_load(x + i);
        if (f16_nan(v))
            for (size_t k = i; k < i + F16_LANES; k++)
                x[k] = f16_round(x[k]);
        else
            f16_store(x + i, f16_to_wide(f16_to_narrow(v)));
    }
#endif
    for (; i < n; i++)
        x[i] = f16_round(x[i]);
}

static inline void f16_narrow_row(const float *in, uint16_t *out, size_t n)
{
    size_t i = 0;
#ifdef F16_LANES
    for (; i + F16_LANES <= n; i += F16_LANES) {
        F16Wide v = f16_load(in + i);
        if (f16_nan(v))
            for (size_t k = i; k < i + F16_LANES; k++)
                out[k] = f16_from_f32(in[k]);
        else
            f16_store_half(out + i, f16_to_narrow(v));
    }
#endif
    for (; i < n; i++)
        out[i] = f16_from_f32(in[i]);
}

/* `in` need not be aligned: it may lie in a blob file. */
static inline void f16_widen_row(const void *in, float *out, size_t n)
{
    const unsigned char *s = in;
    size_t               i = 0;
#ifdef F16_LANES
    for (; i + F16_LANES <= n; i += F16_LANES) {
        F16Wide v = f16_to_wide(f16_load_half(s + 2 * i));
        if (f16_nan(v))
            break; /* rare enough to leave the rest to the plain loop */
        f16_store(out + i, v);
    }
#endif
    for (; i < n; i++) {
        uint16_t h;
        memcpy(&h, s + 2 * i, sizeof h);
        out[i] = f16_widen(h);
    }
}

#endif
