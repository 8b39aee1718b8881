/* f16_rows.h: whole rows to fp16 and back, the same bits as the functions of base/f16.h element by element.
 *
 * A file compiled for F16C (runtime/meson.build) uses the conversion instructions, eight elements at a time; they round
 * like f16_round() and differ for NaN only, whose payloads they keep. Eight elements with a NaN among them, and what is
 * left at the end of a row, therefore take the plain way. */
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

#if defined __F16C__ && defined __AVX__
#include <immintrin.h>

static inline int f16_rows_nan(__m256 v)
{
    return _mm256_movemask_ps(_mm256_cmp_ps(v, v, _CMP_UNORD_Q));
}
#endif

/* Round `n` elements in place. */
static inline void f16_round_row(float *x, size_t n)
{
    size_t i = 0;
#if defined __F16C__ && defined __AVX__
    for (; i + 8 <= n; i += 8) {
        __m256 v = _mm256_loadu_ps(x + i);
        if (f16_rows_nan(v))
            for (size_t k = i; k < i + 8; k++)
                x[k] = f16_round(x[k]);
        else
            _mm256_storeu_ps(x + i, _mm256_cvtph_ps(_mm256_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT)));
    }
#endif
    for (; i < n; i++)
        x[i] = f16_round(x[i]);
}

static inline void f16_narrow_row(const float *in, uint16_t *out, size_t n)
{
    size_t i = 0;
#if defined __F16C__ && defined __AVX__
    for (; i + 8 <= n; i += 8) {
        __m256 v = _mm256_loadu_ps(in + i);
        if (f16_rows_nan(v))
            for (size_t k = i; k < i + 8; k++)
                out[k] = f16_from_f32(in[k]);
        else
            _mm_storeu_si128((__m128i *)(out + i), _mm256_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT));
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
#if defined __F16C__ && defined __AVX__
    for (; i + 8 <= n; i += 8) {
        __m256 v = _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(s + 2 * i)));
        if (f16_rows_nan(v))
            break; /* rare enough to leave the rest to the plain loop */
        _mm256_storeu_ps(out + i, v);
    }
#endif
    for (; i < n; i++) {
        uint16_t h;
        memcpy(&h, s + 2 * i, sizeof h);
        out[i] = f16_widen(h);
    }
}

#endif
