/* convert.c: see convert.h. The loops to and from fp16 are in convert_rows.c. */
#include "convert_rows.h"
#include "cpu.h"

#include <math.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif
#include <string.h>

const uint8_t store_bytes[STORE_COUNT] = {[STORE_F32] = 4, [STORE_F16] = 2, [STORE_F64] = 8, [STORE_I32] = 4};

static const ConvertRows *rows(void)
{
#ifdef HOST_HAS_AVX512
    if (cpu_avx512())
        return &convert_rows_avx512;
#endif
#ifdef HOST_HAS_AVX2
    if (cpu_avx2())
        return &convert_rows_avx2;
#endif
#ifdef HOST_HAS_NEON
    if (cpu_neon())
        return &convert_rows_neon;
#endif
    return &convert_rows_plain;
}

static void from_f64(const double *x, float *y, size_t n, ConvertCount *count)
{
    for (size_t i = 0; i < n; i++) {
        count->nonfinite += !(fabs(x[i]) <= 1.7976931348623157e308);
        y[i] = (float)x[i];
    }
}

void convert(const void *x, Store from, void *y, Store to, size_t n, ConvertCount *count)
{
    if (from == to)
        memcpy(y, x, n * store_bytes[to]);
    else if (from == STORE_F32 && to == STORE_F16)
        rows()->to_f16(x, y, n, count);
    else if (from == STORE_F16 && to == STORE_F32)
        rows()->from_f16(x, y, n, count);
    else if (from == STORE_F64 && to == STORE_F32)
        from_f64(x, y, n, count);
    else if (from == STORE_F32 && to == STORE_F64)
        for (size_t i = 0; i < n; i++)
            ((double *)y)[i] = ((const float *)x)[i];
    else { /* fp64 and fp16: through fp32, a piece at a time */
        float piece[1024];
        for (size_t at = 0; at < n; at += 1024) {
            size_t m = n - at < 1024 ? n - at : 1024;
            convert((const char *)x + at * store_bytes[from], from, piece, STORE_F32, m, count);
            convert(piece, STORE_F32, (char *)y + at * store_bytes[to], to, m, count);
        }
    }
}

void convert_examine(const uint16_t *x, size_t n, ConvertCount *count)
{
    enum { PIECE = 1024 };
    for (size_t at = 0; at < n; at += PIECE) { /* it is enough to know the largest, as a rule */
        size_t   m = n - at < PIECE ? n - at : PIECE;
        uint16_t most = 0;
        for (size_t i = at; i < at + m; i++) {
            uint16_t mag = x[i] & 0x7fff;
            most = mag > most ? mag : most;
        }
        for (size_t i = at; most >= 0x7bff && i < at + m; i++) {
            count->edge += (x[i] & 0x7fff) == 0x7bff;
            count->nonfinite += (x[i] & 0x7c00) == 0x7c00;
        }
    }
}

void convert_fill(double v, void *y, Store to, size_t n, ConvertCount *count)
{
    union {
        float    f;
        uint16_t h;
        double   d;
        int32_t  i;
    } one;
    float        f = (float)v;
    ConvertCount c = {0};
    switch (to) {
    case STORE_F32: one.f = f; break;
    case STORE_F64: one.d = v; break;
    case STORE_I32:
        one.i = v >= 2147483647.0 ? INT32_MAX : v <= -2147483648.0 ? INT32_MIN : v == v ? (int32_t)v : 0;
        break;
    default: rows()->to_f16(&f, &one.h, 1, &c); break;
    }
    count->clamped += c.clamped * n;
    count->nonfinite += c.nonfinite * n;
    for (size_t i = 0; i < n; i++)
        memcpy((char *)y + i * store_bytes[to], &one, store_bytes[to]);
}

void convert_transposed_f16(const float *x, uint16_t *y, size_t n_rows, size_t columns, ConvertCount *count)
{
    rows()->transposed(x, y, n_rows, columns, count);
}

void convert_scale(const float *x, const float *g, float *y, size_t n)
{
    rows()->scale(x, g, y, n);
}

void convert_scale_one(const float *x, float g, float *y, size_t n)
{
    rows()->scale_one(x, g, y, n);
}

void convert_turn(const uint16_t *x, size_t xs, uint16_t *y, size_t ys, size_t n_rows, size_t columns)
{
    rows()->turn(x, xs, y, ys, n_rows, columns);
}

bool convert_turn_away(const uint16_t *x, size_t xs, uint16_t *y, size_t ys, size_t n_rows, size_t columns)
{
    return rows()->turn_away(x, xs, y, ys, n_rows, columns);
}

void convert_scaled(const float *x, const float *g, float one, uint16_t *y, size_t n, ConvertCount *count)
{
    rows()->scaled(x, g, one, y, n, count);
}

void convert_away(const uint16_t *x, uint16_t *y, size_t n)
{
    rows()->away(x, y, n);
}

void convert_published(void)
{
#ifdef __SSE2__
    _mm_sfence();
#endif
}
