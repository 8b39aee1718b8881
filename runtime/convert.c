/* convert.c: see convert.h. The loops to and from fp16 have no branches, so that compilers vectorise them. */
#include "convert.h"

#include "base/f16.h"

#include <math.h>
#include <string.h>

const uint8_t store_bytes[STORE_COUNT] = {[STORE_F32] = 4, [STORE_F16] = 2, [STORE_F64] = 8, [STORE_I32] = 4};

/* Counters of a short run are 32 bits wide, which keeps the vectors of one width. */
enum { RUN = 1 << 16 };

static void to_f16(const float *x, uint16_t *y, size_t n, ConvertCount *count)
{
    for (size_t at = 0; at < n; at += RUN) {
        size_t   end = n - at < RUN ? n : at + RUN;
        uint32_t clamped = 0, nan = 0;
        for (size_t i = at; i < end; i++) {
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
}

static void from_f16(const uint16_t *x, float *y, size_t n, ConvertCount *count)
{
    for (size_t at = 0; at < n; at += RUN) {
        size_t   end = n - at < RUN ? n : at + RUN;
        uint32_t bad = 0;
        for (size_t i = at; i < end; i++) {
            bad += (x[i] & 0x7c00u) == 0x7c00u;
            y[i] = f16_to_f32(x[i]);
        }
        count->nonfinite += bad;
    }
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
        to_f16(x, y, n, count);
    else if (from == STORE_F16 && to == STORE_F32)
        from_f16(x, y, n, count);
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
    case STORE_I32: one.i = v >= 2147483647.0 ? INT32_MAX : v <= -2147483648.0 ? INT32_MIN : v == v ? (int32_t)v : 0; break;
    default: to_f16(&f, &one.h, 1, &c); break;
    }
    count->clamped += c.clamped * n;
    count->nonfinite += c.nonfinite * n;
    for (size_t i = 0; i < n; i++)
        memcpy((char *)y + i * store_bytes[to], &one, store_bytes[to]);
}

void convert_transposed_f16(const float *x, uint16_t *y, size_t rows, size_t columns, ConvertCount *count)
{
    enum { TILE = 32 };
    float    turned[TILE];
    uint16_t half[TILE];
    for (size_t r0 = 0; r0 < rows; r0 += TILE)
        for (size_t c = 0; c < columns; c++) {
            size_t n = rows - r0 < TILE ? rows - r0 : TILE;
            for (size_t r = 0; r < n; r++)
                turned[r] = x[(r0 + r) * columns + c];
            to_f16(turned, half, n, count);
            memcpy(y + c * rows + r0, half, n * sizeof *half);
        }
}
