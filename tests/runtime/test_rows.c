/* test_rows.c: rows of fp16 and fp32 numbers, in every build of the conversions that this machine can run (plain, AVX2,
 * AVX-512, NEON), bit by bit beside the functions for one element, and these beside arithmetic in fp64.
 *
 * Every fp16 pattern and every upper half of an fp32 pattern next to every tie take part: infinities, NaN with payloads,
 * subnormals of both formats. Lengths go over all remainders of a vector, memory starts at odd addresses, and what lies
 * behind a row stays. */
#include "base/f16.h"
#include "base/rng.h"
#include "convert_rows.h"
#include "cpu.h"
#include "host/half.h"
#include "rows.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    const char        *name;
    const ConvertRows *convert;
    const HalfKernels *half;
} Rows;

enum { BUILDS = 4, LONGEST = 70 };

/* The builds there are; the plain one first. */
static int builds(Rows *out)
{
    int n = 0;
    out[n++] = (Rows){"plain", &convert_rows_plain, &half_kernels_ane};
#ifdef HOST_HAS_AVX2
    if (cpu_avx2())
        out[n++] = (Rows){"AVX2", &convert_rows_avx2, &half_kernels_avx2};
#endif
#ifdef HOST_HAS_AVX512
    if (cpu_avx512())
        out[n++] = (Rows){"AVX-512", &convert_rows_avx512, &half_kernels_avx512};
#endif
#ifdef HOST_HAS_NEON
    if (cpu_neon())
        out[n++] = (Rows){"NEON", &convert_rows_neon, &half_kernels_neon};
#endif
    return n;
}

/* fp32 patterns with upper half `high` that lie on ties of fp16, beside them, and between. */
static const uint32_t low[] = {0,      1,      0x0800, 0xfff,  0x1000, 0x1001, 0x1fff, 0x2000, 0x3000,
                               0x5000, 0x7fff, 0x8000, 0x9000, 0xb000, 0xefff, 0xf000, 0xf001, 0xffff};

static void ties(uint32_t at, float *x)
{
    for (uint32_t i = 0; i < 65536; i++)
        x[i] = f32_from_bits(i << 16 | low[at]);
}

/* The nearest fp16 number, ties to even, in fp64: what is representable lies on multiples of a power of two. */
static double nearest(double x)
{
    int e;
    frexp(x, &e);
    double step = ldexp(1, (e < -13 ? -13 : e) - 11), r = nearbyint(x / step) * step;
    return fabs(r) >= 65520 ? copysign(INFINITY, x) : r;
}

Test(rows, one_element_rounds_as_fp64_says)
{
    static float x[65536];
    for (uint32_t l = 0; l < COUNT(low); l++) {
        ties(l, x);
        for (uint32_t i = 0; i < 65536; i++) {
            uint16_t h = f16_from_f32(x[i]);
            double   back = (double)f16_to_f32(h);
            if (isnan(x[i]))
                cr_assert((h & 0x7fff) == 0x7e00 && h >> 15 == i >> 15, "%08x became %04x", i << 16 | low[l], h);
            else
                cr_assert(back == nearest((double)x[i]) && h >> 15 == i >> 15, "%a became %a", (double)x[i], back);
        }
    }
}

Test(rows, every_float_near_a_tie_narrows_and_rounds_alike)
{
    static float    x[65536], r[65536];
    static uint16_t y[65536];
    Rows            rows[BUILDS];
    int             n = builds(rows);
    for (uint32_t l = 0; l < COUNT(low); l++)
        for (int b = 0; b <= n; b++) {
            ties(l, x);
            memcpy(r, x, sizeof r);
            if (b == n)
                rows_narrow(x, y, 65536); /* what the machine gets */
            else
                rows[b].half->narrow(x, y, 65536);
            rows[b % n].half->round(r, 65536);
            for (uint32_t i = 0; i < 65536; i++) {
                cr_assert_eq(y[i], f16_from_f32(x[i]), "%s: %08x", b < n ? rows[b].name : "chosen", f32_bits(x[i]));
                cr_assert_eq(f32_bits(r[i]), f32_bits(f16_round(x[i])), "%s: %08x", rows[b % n].name, f32_bits(x[i]));
            }
        }
}

Test(rows, every_half_widens_alike_at_any_address)
{
    static unsigned char memory[2 * 65536 + 8];
    static float         y[65536];
    Rows                 rows[BUILDS];
    int                  n = builds(rows);
    for (size_t at = 0; at < 4; at++) {
        for (uint32_t i = 0; i < 65536; i++) { /* mixed up, so that NaN lie among numbers */
            uint16_t h = (uint16_t)(i * 40503u);
            memcpy(memory + at + 2 * i, &h, 2);
        }
        for (int b = 0; b <= n; b++) {
            if (b == n && at % 2 == 0)
                rows_widen((const uint16_t *)(const void *)(memory + at), y, 65536);
            else
                rows[b % n].half->widen((const uint16_t *)(const void *)(memory + at), y, 65536);
            for (uint32_t i = 0; i < 65536; i++) {
                uint16_t h = (uint16_t)(i * 40503u);
                cr_assert_eq(f32_bits(y[i]), f32_bits(f16_to_f32(h)), "%s: %04x", rows[b % n].name, h);
                int e = (h >> 10) & 31, m = h & 1023;
                double want = e ? ldexp(1024 + m, e - 25) : ldexp(m, -24);
                if (e < 31)
                    cr_assert((double)fabsf(y[i]) == want && f32_bits(y[i]) >> 31 == (uint32_t)h >> 15, "%04x", h);
            }
        }
    }
}

/* Numbers of every size, and often those that are clamped or no numbers. */
static float number(uint64_t key, uint64_t i)
{
    static const uint32_t edge[] = {0x477fe000, 0x477fefff, 0x477ff000, 0xc77ff000, 0x7f800000, 0xff800000,
                                    0x7fc00001, 0xff812345, 0x80000000, 0x33000000, 0x33000001, 0x00000001};
    uint64_t u = rng_u64(key, i);
    return u % 5 == 0 ? f32_from_bits(edge[u / 5 % COUNT(edge)])
                      : f32_from_bits((uint32_t)(u >> 63) << 31 | (uint32_t)(0x60 + u % 48) << 23 | (uint32_t)(u >> 20 & 0x7fffff));
}

/* What convert() promises, one element at a time. */
static uint16_t converted(float x, ConvertCount *count)
{
    if (isnan(x)) {
        count->nonfinite++;
        return f16_from_f32(x);
    }
    if (fabs((double)x) >= 65520) {
        count->clamped++;
        return signbit(x) ? 0xfbff : 0x7bff;
    }
    return f16_from_f32(x);
}

Test(rows, conversions_of_every_length_clamp_count_and_stop_at_the_end)
{
    Rows rows[BUILDS];
    int  n = builds(rows);
    for (size_t len = 0; len <= LONGEST; len++)
        for (int b = 0; b < n; b++)
            for (int how = 0; how < 4; how++) { /* as it is, times numbers, times one number, and back */
                float        x[LONGEST + 1], g[LONGEST + 1], back[LONGEST + 1];
                uint16_t     y[LONGEST + 1];
                ConvertCount want = {0}, got = {0};
                const ConvertRows *c = rows[b].convert;
                for (size_t i = 0; i <= len; i++) {
                    x[i] = number(len, i);
                    g[i] = how == 1 ? (float)(rng_uniform(len + 1000, i) * 4 - 2) : how == 2 ? 0.37f : 1;
                    y[i] = 0x5a5a;
                    back[i] = 77;
                }
                if (how == 0)
                    c->to_f16(x, y, len, &got);
                else if (how < 3)
                    c->scaled(x, how == 1 ? g : NULL, 0.37f, y, len, &got);
                for (size_t i = 0; how < 3 && i < len; i++) {
                    uint16_t h = converted(how ? x[i] * g[i] : x[i], &want);
                    cr_assert(y[i] == h, "%s, %d: %a times %a became %04x, not %04x", rows[b].name, how, (double)x[i],
                              (double)g[i], y[i], h);
                }
                cr_assert_eq(y[len], 0x5a5a);
                if (how == 3) {
                    for (size_t i = 0; i < len; i++) {
                        y[i] = (uint16_t)(rng_u64(len, i) % 3 ? rng_u64(len, i) >> 8 : 0x7bff | (i & 1) << 15);
                        want.nonfinite += (y[i] & 0x7c00) == 0x7c00;
                        want.edge += (y[i] & 0x7fff) == 0x7bff;
                    }
                    c->from_f16(y, back, len, &got);
                    for (size_t i = 0; i < len; i++)
                        cr_assert_eq(f32_bits(back[i]), f32_bits(f16_to_f32(y[i])), "%s: %04x", rows[b].name, y[i]);
                    cr_assert(back[len] == 77);
                }
                cr_assert(memcmp(&want, &got, sizeof want) == 0, "%s, %d: %zu elements are counted otherwise",
                          rows[b].name, how, len);
            }
}

Test(rows, rows_and_columns_change_places_whatever_their_number)
{
    enum { MOST = 41, STRIDE = 48 };
    static float    x[MOST * MOST];
    static uint16_t in[MOST * STRIDE], y[MOST * STRIDE], turned[MOST * STRIDE];
    Rows            builds_of[BUILDS];
    int             n = builds(builds_of);
    for (size_t i = 0; i < COUNT(x); i++)
        x[i] = number(7, i);
    for (size_t i = 0; i < COUNT(in); i++)
        in[i] = (uint16_t)rng_u64(8, i);
    for (size_t r = 1; r <= MOST; r++)
        for (size_t c = 1; c <= MOST; c += c < 18 ? 1 : 5)
            for (int b = 0; b < n; b++) {
                ConvertCount want = {0}, got = {0};
                memset(turned, 0x5a, sizeof turned);
                y[r * c] = 0x5a5a;
                builds_of[b].convert->transposed(x, y, r, c, &got);
                builds_of[b].convert->turn(in, STRIDE, turned, STRIDE, r, c);
                for (size_t i = 0; i < r; i++)
                    for (size_t j = 0; j < c; j++)
                        cr_assert(y[j * r + i] == converted(x[i * c + j], &want) &&
                                      turned[j * STRIDE + i] == in[i * STRIDE + j],
                                  "%s: row %zu, column %zu of %zu x %zu", builds_of[b].name, i, j, r, c);
                for (size_t j = 0; j < c; j++)
                    cr_assert_eq(turned[j * STRIDE + r], 0x5a5a, "%s wrote beyond row %zu", builds_of[b].name, j);
                cr_assert_eq(y[r * c], 0x5a5a);
                cr_assert(memcmp(&want, &got, sizeof want) == 0, "%s: %zu x %zu", builds_of[b].name, r, c);
            }
}

/* One row of a matrix product: sums in fp32, in order of depth, rounded once. */
Test(rows, a_product_with_one_row_adds_in_order)
{
    enum { DEPTH = 37 };
    static uint16_t a[DEPTH], m[DEPTH * HALF_COLUMNS];
    Rows            rows[BUILDS];
    int             n = builds(rows);
    for (int k = 0; k < DEPTH; k++)
        a[k] = f16_from_f32((float)rng_uniform(3, (uint64_t)k) - 0.5f);
    for (int i = 0; i < DEPTH * HALF_COLUMNS; i++)
        m[i] = f16_from_f32((float)rng_uniform(4, (uint64_t)i) * 8 - 4);
    for (int64_t cols = 1; cols <= HALF_COLUMNS; cols += cols < 20 ? 1 : 9)
        for (int b = 0; b < n; b++) {
            uint16_t out[HALF_COLUMNS + 1];
            out[cols] = 0x5a5a;
            rows[b].half->row_product(a, 1, m, HALF_COLUMNS, DEPTH, cols, out);
            for (int64_t c = 0; c < cols; c++) {
                float  sum = 0;
                double exact = 0, size = 0;
                for (int k = 0; k < DEPTH; k++) {
                    float p = f16_to_f32(a[k]) * f16_to_f32(m[k * HALF_COLUMNS + c]); /* exact */
                    sum += p;
                    exact += (double)p;
                    size += fabs((double)p);
                }
                cr_assert_eq(out[c], f16_from_f32(sum), "%s: column %d", rows[b].name, (int)c);
                cr_assert(fabs((double)f16_to_f32(out[c]) - exact) <= size * DEPTH * 0x1p-24 + fabs(exact) * 0x1p-11 + 0x1p-25,
                          "%s: column %d", rows[b].name, (int)c);
            }
            cr_assert_eq(out[cols], 0x5a5a);
        }
}
