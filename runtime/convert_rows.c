/* convert_rows.c: rows to fp16, clamped and counted, and back. Compiled once for each kind of machine; see
 * convert_rows.h. The plain loops have no branches, so that compilers vectorise them for any machine. With F16C or NEON
 * eight elements at a time are converted, unless one of them is NaN: those, and the end of a row, take the plain way. */
#include "convert_rows.h"

#include "f16_rows.h"

#include <stdbool.h>

#ifdef __SSE2__
#include <emmintrin.h>
#endif
#if defined __AVX512F__ && defined __AVX512BW__ && defined __AVX512VL__ && defined __AVX512DQ__
#include <immintrin.h>
#endif

/* Counters of a short run are 32 bits wide, which keeps the vectors of one width. */
enum { RUN = 1 << 16, TILE = 32 };

static void to_f16_plain(const float *x, uint16_t *y, size_t n, ConvertCount *count)
{
    uint32_t clamped = 0, nan = 0;
    for (size_t i = 0; i < n; i++) {
        uint32_t u = f32_bits(x[i]), sign = u & 0x80000000u, mag = u ^ sign;
        uint32_t over = mag >= 0x477ff000u && mag <= 0x7f800000u; /* 65520 and more round beyond 65504 */
        clamped += over;
        nan += mag > 0x7f800000u;
        mag = over ? 0x477fe000u : mag;
        y[i] = f16_from_f32(f32_from_bits(sign | mag));
    }
    count->clamped += clamped;
    count->nonfinite += nan;
}

static void from_f16_plain(const uint16_t *x, float *y, size_t n, ConvertCount *count)
{
    uint32_t bad = 0, edge = 0;
    for (size_t i = 0; i < n; i++) {
        bad += (x[i] & 0x7c00u) == 0x7c00u;
        edge += (x[i] & 0x7fffu) == 0x7bffu;
        y[i] = f16_to_f32(x[i]);
    }
    count->nonfinite += bad;
    count->edge += edge;
}

/* Products with a vector or a number, to fp16, a piece that stays in the first cache at a time. */
enum { PIECE = 256 };

static void scaled_plain(const float *x, const float *g, float one, uint16_t *y, size_t n, ConvertCount *count)
{
    float product[PIECE];
    for (size_t at = 0; at < n; at += PIECE) {
        size_t m = n - at < PIECE ? n - at : PIECE;
        if (g)
            for (size_t i = 0; i < m; i++)
                product[i] = x[at + i] * g[at + i];
        else
            for (size_t i = 0; i < m; i++)
                product[i] = x[at + i] * one;
        to_f16_plain(product, y + at, m, count);
    }
}

#if defined __AVX512F__ && defined __AVX512BW__ && defined __AVX512VL__ && defined __AVX512DQ__

/* What is clamped to +-65504 rounds to it, so the bound may come before the rounding. */
static inline void scaled_wide(const float *x, const float *g, float one, bool scales, uint16_t *y, size_t n,
                               ConvertCount *count)
{
    const __m512 most = _mm512_set1_ps(65504), over = _mm512_set1_ps(65520), sign = _mm512_set1_ps(-0.0f);
    const __m512 all = _mm512_set1_ps(one);
    uint32_t     clamped = 0;
    size_t       i = 0;
    for (; i + 16 <= n; i += 16) {
        __m512 v = _mm512_loadu_ps(x + i);
        if (scales)
            v = _mm512_mul_ps(v, g ? _mm512_loadu_ps(g + i) : all);
        __m512    mag = _mm512_andnot_ps(sign, v);
        __mmask16 beyond = _mm512_cmp_ps_mask(mag, over, _CMP_NLT_UQ);
        if (beyond) { /* rare: clamped, or NaN */
            if (_mm512_cmp_ps_mask(v, v, _CMP_UNORD_Q)) {
                float lane[16];
                _mm512_storeu_ps(lane, v);
                to_f16_plain(lane, y + i, 16, count);
                continue;
            }
            clamped += (uint32_t)__builtin_popcount(beyond);
        }
        v = _mm512_or_ps(_mm512_min_ps(mag, most), _mm512_and_ps(sign, v));
        _mm256_storeu_si256((__m256i *)(y + i), _mm512_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT));
    }
    count->clamped += clamped;
    if (scales)
        scaled_plain(x + i, g ? g + i : NULL, one, y + i, n - i, count);
    else
        to_f16_plain(x + i, y + i, n - i, count);
}

static void from_f16_run(const uint16_t *x, float *y, size_t n, ConvertCount *count)
{
    const __m512 most = _mm512_set1_ps(65504), sign = _mm512_set1_ps(-0.0f);
    size_t       i = 0;
    for (; i + 16 <= n; i += 16) {
        __m512 v = _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(x + i)));
        if (_mm512_cmp_ps_mask(_mm512_andnot_ps(sign, v), most, _CMP_NLT_UQ))
            from_f16_plain(x + i, y + i, 16, count);
        else
            _mm512_storeu_ps(y + i, v);
    }
    from_f16_plain(x + i, y + i, n - i, count);
}

#define ROWS convert_rows_avx512
#elif defined __F16C__ && defined __AVX2__

static inline void scaled_wide(const float *x, const float *g, float one, bool scales, uint16_t *y, size_t n,
                               ConvertCount *count)
{
    const __m256 most = _mm256_set1_ps(65504), over = _mm256_set1_ps(65520), sign = _mm256_set1_ps(-0.0f);
    const __m256 all = _mm256_set1_ps(one);
    uint32_t     clamped = 0;
    size_t       i = 0;
    for (; i + 8 <= n; i += 8) {
        __m256 v = _mm256_loadu_ps(x + i);
        if (scales)
            v = _mm256_mul_ps(v, g ? _mm256_loadu_ps(g + i) : all);
        __m256 mag = _mm256_andnot_ps(sign, v);
        int    beyond = _mm256_movemask_ps(_mm256_cmp_ps(mag, over, _CMP_NLT_UQ));
        if (beyond) {
            if (f16_rows_nan(v)) {
                float lane[8];
                _mm256_storeu_ps(lane, v);
                to_f16_plain(lane, y + i, 8, count);
                continue;
            }
            clamped += (uint32_t)__builtin_popcount((unsigned)beyond);
        }
        v = _mm256_or_ps(_mm256_min_ps(mag, most), _mm256_and_ps(sign, v));
        _mm_storeu_si128((__m128i *)(y + i), _mm256_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT));
    }
    count->clamped += clamped;
    if (scales)
        scaled_plain(x + i, g ? g + i : NULL, one, y + i, n - i, count);
    else
        to_f16_plain(x + i, y + i, n - i, count);
}

static void from_f16_run(const uint16_t *x, float *y, size_t n, ConvertCount *count)
{
    const __m256 most = _mm256_set1_ps(65504), sign = _mm256_set1_ps(-0.0f);
    size_t       i = 0;
    for (; i + 8 <= n; i += 8) {
        __m256 v = _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(x + i)));
        if (_mm256_movemask_ps(_mm256_cmp_ps(_mm256_andnot_ps(sign, v), most, _CMP_NLT_UQ)))
            from_f16_plain(x + i, y + i, 8, count);
        else
            _mm256_storeu_ps(y + i, v);
    }
    from_f16_plain(x + i, y + i, n - i, count);
}

#define ROWS convert_rows_avx2
#elif defined F16_ROWS_NEON

/* Is an element not less than `bound`? NaN counts. */
static inline bool any_beyond(F16Wide v, float bound, uint32x4_t beyond[2])
{
    for (int i = 0; i < 2; i++)
        beyond[i] = vmvnq_u32(vcaltq_f32(v.val[i], vdupq_n_f32(bound)));
    return vmaxvq_u32(vorrq_u32(beyond[0], beyond[1])) != 0;
}

static inline void scaled_wide(const float *x, const float *g, float one, bool scales, uint16_t *y, size_t n,
                               ConvertCount *count)
{
    const float32x4_t most = vdupq_n_f32(65504), least = vdupq_n_f32(-65504), all = vdupq_n_f32(one);
    uint32_t          clamped = 0;
    size_t            i = 0;
    for (; i + 8 <= n; i += 8) {
        uint32x4_t beyond[2];
        F16Wide    v = f16_load(x + i), by = {{all, all}};
        if (scales && g)
            by = f16_load(g + i);
        for (int k = 0; scales && k < 2; k++)
            v.val[k] = vmulq_f32(v.val[k], by.val[k]);
        if (any_beyond(v, 65520, beyond)) {
            if (f16_nan(v)) {
                float lane[8];
                f16_store(lane, v);
                to_f16_plain(lane, y + i, 8, count);
                continue;
            }
            clamped += vaddvq_u32(vaddq_u32(vshrq_n_u32(beyond[0], 31), vshrq_n_u32(beyond[1], 31)));
        }
        for (int k = 0; k < 2; k++)
            v.val[k] = vmaxq_f32(vminq_f32(v.val[k], most), least);
        f16_store_half(y + i, f16_to_narrow(v));
    }
    count->clamped += clamped;
    if (scales)
        scaled_plain(x + i, g ? g + i : NULL, one, y + i, n - i, count);
    else
        to_f16_plain(x + i, y + i, n - i, count);
}

static void from_f16_run(const uint16_t *x, float *y, size_t n, ConvertCount *count)
{
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        uint32x4_t beyond[2];
        F16Wide    v = f16_to_wide(f16_load_half(x + i));
        if (any_beyond(v, 65504, beyond))
            from_f16_plain(x + i, y + i, 8, count);
        else
            f16_store(y + i, v);
    }
    from_f16_plain(x + i, y + i, n - i, count);
}

#define ROWS convert_rows_neon
#else

static inline void scaled_wide(const float *x, const float *g, float one, bool scales, uint16_t *y, size_t n,
                               ConvertCount *count)
{
    if (scales)
        scaled_plain(x, g, one, y, n, count);
    else
        to_f16_plain(x, y, n, count);
}

#define from_f16_run from_f16_plain
#define ROWS convert_rows_plain
#endif

static void to_f16_run(const float *x, uint16_t *y, size_t n, ConvertCount *count)
{
    scaled_wide(x, NULL, 1, false, y, n, count);
}

static void scaled(const float *x, const float *g, float one, uint16_t *y, size_t n, ConvertCount *count)
{
    if (g)
        scaled_wide(x, g, 1, true, y, n, count);
    else
        scaled_wide(x, NULL, one, true, y, n, count);
}

static void to_f16(const float *x, uint16_t *y, size_t n, ConvertCount *count)
{
    for (size_t at = 0; at < n; at += RUN)
        to_f16_run(x + at, y + at, n - at < RUN ? n - at : RUN, count);
}

static void from_f16(const uint16_t *x, float *y, size_t n, ConvertCount *count)
{
    for (size_t at = 0; at < n; at += RUN)
        from_f16_run(x + at, y + at, n - at < RUN ? n - at : RUN, count);
}

/* Eight rows of eight, in registers. */
static void turn_8x8(const uint16_t *x, size_t xs, uint16_t *y, size_t ys)
{
#if defined __SSE2__
    __m128i r[8], a[8];
    for (int i = 0; i < 8; i++)
        r[i] = _mm_loadu_si128((const __m128i *)(x + (size_t)i * xs));
    for (int i = 0; i < 4; i++) {
        a[2 * i] = _mm_unpacklo_epi16(r[2 * i], r[2 * i + 1]);
        a[2 * i + 1] = _mm_unpackhi_epi16(r[2 * i], r[2 * i + 1]);
    }
    for (int i = 0; i < 2; i++)
        for (int h = 0; h < 2; h++) {
            r[4 * i + 2 * h] = _mm_unpacklo_epi32(a[4 * i + h], a[4 * i + 2 + h]);
            r[4 * i + 2 * h + 1] = _mm_unpackhi_epi32(a[4 * i + h], a[4 * i + 2 + h]);
        }
    for (int i = 0; i < 4; i++) {
        _mm_storeu_si128((__m128i *)(y + (size_t)(2 * i) * ys), _mm_unpacklo_epi64(r[i], r[4 + i]));
        _mm_storeu_si128((__m128i *)(y + (size_t)(2 * i + 1) * ys), _mm_unpackhi_epi64(r[i], r[4 + i]));
    }
#elif defined F16_ROWS_NEON
    uint16x8_t r[8];
    uint32x4_t a[8];
    uint64x2_t b[8];
    for (int i = 0; i < 8; i++)
        r[i] = vld1q_u16(x + (size_t)i * xs);
    for (int i = 0; i < 4; i++) {
        a[2 * i] = vreinterpretq_u32_u16(vzip1q_u16(r[2 * i], r[2 * i + 1]));
        a[2 * i + 1] = vreinterpretq_u32_u16(vzip2q_u16(r[2 * i], r[2 * i + 1]));
    }
    for (int i = 0; i < 2; i++)
        for (int h = 0; h < 2; h++) {
            b[4 * i + 2 * h] = vreinterpretq_u64_u32(vzip1q_u32(a[4 * i + h], a[4 * i + 2 + h]));
            b[4 * i + 2 * h + 1] = vreinterpretq_u64_u32(vzip2q_u32(a[4 * i + h], a[4 * i + 2 + h]));
        }
    for (int i = 0; i < 4; i++) {
        vst1q_u16(y + (size_t)(2 * i) * ys, vreinterpretq_u16_u64(vzip1q_u64(b[i], b[4 + i])));
        vst1q_u16(y + (size_t)(2 * i + 1) * ys, vreinterpretq_u16_u64(vzip2q_u64(b[i], b[4 + i])));
    }
#else
    for (size_t c = 0; c < 8; c++)
        for (size_t r = 0; r < 8; r++)
            y[c * ys + r] = x[r * xs + c];
#endif
}

static void turn(const uint16_t *x, size_t xs, uint16_t *y, size_t ys, size_t rows, size_t columns)
{
    size_t whole_rows = rows / 8 * 8, whole = columns / 8 * 8;
    for (size_t c = 0; c < whole; c += 8) /* rows of the result in order */
        for (size_t r = 0; r < whole_rows; r += 8)
            turn_8x8(x + r * xs + c, xs, y + c * ys + r, ys);
    for (size_t c = 0; c < columns; c++)
        for (size_t r = c < whole ? whole_rows : 0; r < rows; r++)
            y[c * ys + r] = x[r * xs + c];
}

/* Thirty-two rows: a column of them is a cache line of the result, written at once and past the caches. A vector holds
 * eight columns of rows i, 8 + i, 16 + i, 24 + i, so that turning 8 x 8 in each quarter gives eight whole lines. */
#if defined __AVX512F__ && defined __AVX512BW__ && defined __AVX512VL__ && defined __AVX512DQ__
static void turn_32x8(const uint16_t *x, size_t xs, uint16_t *y, size_t ys)
{
    __m512i r[8], a[8];
    for (size_t i = 0; i < 8; i++) {
        const uint16_t *from = x + i * xs;
        __m512i         v = _mm512_castsi128_si512(_mm_loadu_si128((const __m128i *)from));
        v = _mm512_mask_broadcast_i32x4(v, 0x00f0, _mm_loadu_si128((const __m128i *)(from + 8 * xs)));
        v = _mm512_mask_broadcast_i32x4(v, 0x0f00, _mm_loadu_si128((const __m128i *)(from + 16 * xs)));
        r[i] = _mm512_mask_broadcast_i32x4(v, 0xf000, _mm_loadu_si128((const __m128i *)(from + 24 * xs)));
    }
    for (int i = 0; i < 4; i++) {
        a[2 * i] = _mm512_unpacklo_epi16(r[2 * i], r[2 * i + 1]);
        a[2 * i + 1] = _mm512_unpackhi_epi16(r[2 * i], r[2 * i + 1]);
    }
    for (int i = 0; i < 2; i++)
        for (int h = 0; h < 2; h++) {
            r[4 * i + 2 * h] = _mm512_unpacklo_epi32(a[4 * i + h], a[4 * i + 2 + h]);
            r[4 * i + 2 * h + 1] = _mm512_unpackhi_epi32(a[4 * i + h], a[4 * i + 2 + h]);
        }
    for (int i = 0; i < 4; i++) {
        _mm512_stream_si512((void *)(y + (size_t)(2 * i) * ys), _mm512_unpacklo_epi64(r[i], r[4 + i]));
        _mm512_stream_si512((void *)(y + (size_t)(2 * i + 1) * ys), _mm512_unpackhi_epi64(r[i], r[4 + i]));
    }
}

static bool turn_away(const uint16_t *x, size_t xs, uint16_t *y, size_t ys, size_t rows, size_t columns)
{
    if (rows != 32 || columns % 8 != 0 || (uintptr_t)y % 64 != 0 || ys % 32 != 0)
        return false;
    for (size_t c = 0; c < columns; c += 8)
        turn_32x8(x + c, xs, y + c * ys, ys);
    return true;
}
#else
static bool turn_away(const uint16_t *x, size_t xs, uint16_t *y, size_t ys, size_t rows, size_t columns)
{
    (void)x, (void)xs, (void)y, (void)ys, (void)rows, (void)columns;
    return false;
}
#endif

/* Past the caches: a line that is written whole need not be read first. */
static void away(const uint16_t *x, uint16_t *y, size_t n)
{
    size_t i = 0;
#if defined __SSE2__
    for (; i < n && (uintptr_t)(y + i) % 64 != 0; i++)
        y[i] = x[i];
    for (; i + 32 <= n; i += 32)
        for (size_t k = 0; k < 32; k += 8)
            _mm_stream_si128((__m128i *)(y + i + k), _mm_loadu_si128((const __m128i *)(x + i + k)));
#endif
    for (; i < n; i++)
        y[i] = x[i];
}

/* Rounded in tiles first: then only half as many bytes change places. */
static void transposed(const float *x, uint16_t *y, size_t rows, size_t columns, ConvertCount *count)
{
    uint16_t half[TILE][TILE];
    for (size_t r0 = 0; r0 < rows; r0 += TILE)
        for (size_t c0 = 0; c0 < columns; c0 += TILE) {
            size_t h = rows - r0 < TILE ? rows - r0 : TILE, w = columns - c0 < TILE ? columns - c0 : TILE;
            for (size_t r = 0; r < h; r++)
                to_f16_run(x + (r0 + r) * columns + c0, half[r], w, count);
            turn(half[0], TILE, y + c0 * rows + r0, rows, h, w);
        }
}

static void scale(const float *x, const float *g, float *y, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] = x[i] * g[i];
}

static void scale_one(const float *x, float g, float *y, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] = x[i] * g;
}

const ConvertRows ROWS = {to_f16, from_f16, transposed, scale, scale_one, scaled, turn, turn_away, away};
