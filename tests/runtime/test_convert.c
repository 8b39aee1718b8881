/* test_convert.c: values on their way to fp16 and back. */
#include "base/f16.h"
#include "convert.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>

Test(convert, what_fp16_cannot_hold_is_clamped_and_counted)
{
    static const float x[] = {1,      65504,     65519.996f, 65520, -65520, 1e30f, INFINITY, -INFINITY,
                              NAN,    -65503,    6e-8f,      0,     -0.0f,  2e-8f, 100000,   65505};
    enum { N = sizeof x / sizeof *x };
    uint16_t     h[N];
    float        back[N];
    ConvertCount c = {0};
    convert(x, STORE_F32, h, STORE_F16, N, &c);
    cr_assert_eq(c.clamped, 6);
    cr_assert_eq(c.nonfinite, 1);
    c = (ConvertCount){0};
    convert(h, STORE_F16, back, STORE_F32, N, &c);
    cr_assert_eq(c.nonfinite, 1);
    cr_assert_eq(back[3], 65504.0f);
    cr_assert_eq(back[4], -65504.0f);
    cr_assert_eq(back[7], -65504.0f);
    cr_assert(isnan(back[8]));
    cr_assert_eq(back[2], 65504.0f);
    cr_assert_eq(back[10], 0x1p-24f);
    cr_assert(back[12] == 0.0f && signbit(back[12]));
    static const uint16_t bad[] = {0x7c00, 0xfc00, 0x7e01, 0x3c00};
    c = (ConvertCount){0};
    convert(bad, STORE_F16, back, STORE_F32, 4, &c);
    cr_assert_eq(c.nonfinite, 3);
    cr_assert_eq(c.edge, 0);
}

/* In vectors and in what is left over, read back or left as it is. */
Test(convert, what_a_clamping_device_writes_is_counted)
{
    enum { N = 1024 + 35 };
    static uint16_t h[N];
    static float    x[N];
    for (size_t at = 0; at < N; at++) {
        ConvertCount back = {0}, kept = {0};
        h[at] = at % 2 ? 0x7bff : 0xfbff;                 /* +-65504 */
        h[(at + 1) % N] = 0x7bfe;                         /* the next smaller one is a number like others */
        h[(at + 50) % N] = at % 3 ? 0 : 0xfc00;
        convert(h, STORE_F16, x, STORE_F32, N, &back);
        convert_examine(h, N, &kept);
        cr_assert(back.edge == 1 && kept.edge == 1, "at %zu", at);
        cr_assert(back.nonfinite == (at % 3 == 0) && kept.nonfinite == back.nonfinite && !back.clamped, "at %zu", at);
        cr_assert_eq(x[at], at % 2 ? 65504.0f : -65504.0f);
        h[at] = h[(at + 1) % N] = h[(at + 50) % N] = 0;
    }
}

Test(convert, every_half_survives_the_way_there_and_back)
{
    uint16_t    *h = malloc(65536 * sizeof *h), *g = malloc(65536 * sizeof *g);
    float       *x = malloc(65536 * sizeof *x);
    double      *d = malloc(65536 * sizeof *d);
    ConvertCount c = {0};
    for (uint32_t i = 0; i < 65536; i++)
        h[i] = (uint16_t)i;
    convert(h, STORE_F16, x, STORE_F32, 65536, &c);
    convert(x, STORE_F32, g, STORE_F16, 65536, &c);
    for (uint32_t i = 0; i < 65536; i++)
        if ((i & 0x7c00) != 0x7c00)
            cr_assert_eq(h[i], g[i]);
    convert(h, STORE_F16, d, STORE_F64, 65536, &c); /* through fp32, in pieces */
    convert(d, STORE_F64, g, STORE_F16, 65536, &c);
    for (uint32_t i = 0; i < 65536; i++)
        if ((i & 0x7c00) != 0x7c00)
            cr_assert_eq(h[i], g[i]);
    free(h);
    free(g);
    free(x);
    free(d);
}

Test(convert, transposing_rounds_like_converting)
{
    enum { R = 67, C = 41 };
    static float x[R][C];
    uint16_t     y[C][R], one;
    ConvertCount c = {0};
    for (int i = 0; i < R; i++)
        for (int j = 0; j < C; j++)
            x[i][j] = (float)(i * 0.37 - j * 1.91);
    x[3][4] = 1e9f;
    convert_transposed_f16(x[0], y[0], R, C, &c);
    cr_assert_eq(c.clamped, 1);
    for (int i = 0; i < R; i++)
        for (int j = 0; j < C; j++) {
            convert(&x[i][j], STORE_F32, &one, STORE_F16, 1, &c);
            cr_assert_eq(y[j][i], one);
        }
}

Test(convert, filling_takes_every_type)
{
    float        f[3];
    double       d[3];
    int32_t      i[3];
    uint16_t     h[3];
    ConvertCount c = {0};
    convert_fill(0.1, f, STORE_F32, 3, &c);
    convert_fill(0.1, d, STORE_F64, 3, &c);
    convert_fill(-7.0, i, STORE_I32, 3, &c);
    convert_fill(-INFINITY, h, STORE_F16, 3, &c);
    cr_assert_eq(f[2], 0.1f);
    cr_assert_eq(d[2], 0.1);
    cr_assert_eq(i[2], -7);
    cr_assert_eq(h[2], 0xfbff);
    cr_assert_eq(c.clamped, 3);
}
