/* test_f16.c: the conversions of f16.h against arithmetic in double, for every half and around every rounding edge. */
#include "base/f16.h"

#include <criterion/criterion.h>
#include <math.h>

/* The value of a half, from the definition of the format. */
static double value_of(uint16_t h)
{
    int    e = (h >> 10) & 31, m = h & 1023;
    double v = e == 0 ? ldexp(m, -24) : e == 31 ? (m ? NAN : INFINITY) : ldexp(1024 + m, e - 25);
    return h & 0x8000 ? -v : v;
}

Test(f16, every_half_converts_exactly_both_ways)
{
    for (uint32_t h = 0; h < 0x10000; h++) {
        double v = value_of((uint16_t)h);
        float  f = f16_to_f32((uint16_t)h);
        if (isnan(v)) {
            cr_assert(isnan(f));
            continue;
        }
        cr_assert((double)f == v && !signbit(f) == !signbit(v), "half %04x reads as %a, is %a", h, (double)f, v);
        cr_assert_eq(f16_from_f32(f), h);
        cr_assert_eq(f16_from_f64(v), h);
        cr_assert_eq(f32_bits(f16_round(f)), f32_bits(f));
    }
}

Test(f16, rounding_is_to_nearest_even_between_all_neighbours)
{
    for (uint32_t h = 0; h < 0x7c00; h++) {
        double lo = value_of((uint16_t)h), hi = h == 0x7bff ? 65536.0 : value_of((uint16_t)(h + 1)),
               mid = (lo + hi) / 2;
        uint16_t even = (uint16_t)(h & 1 ? h + 1 : h);
        cr_assert_eq(f16_from_f64(mid), even);
        cr_assert_eq(f16_from_f64(nextafter(mid, 0)), h);
        cr_assert_eq(f16_from_f64(nextafter(mid, 1e9)), h + 1);
        cr_assert_eq(f16_from_f64(-mid), even | 0x8000);
        cr_assert_eq(f16_from_f32((float)mid), even);
        cr_assert_eq(f16_from_f32(nextafterf((float)mid, 0)), h);
        cr_assert_eq(f16_from_f32(nextafterf((float)mid, 1e9f)), h + 1);
    }
}

Test(f16, overflow_starts_at_65520)
{
    cr_assert(isinf(f16_round(65520.0f)));
    cr_assert_eq(f16_round(65519.0f), 65504.0f);
    cr_assert_eq(f16_round(-65519.0f), -65504.0f);
    cr_assert_eq(f16_from_f64(1e300), 0x7c00);
    cr_assert_eq(f16_from_f64(-1e-300), 0x8000);
    cr_assert(isnan(f16_round(NAN)));
}
