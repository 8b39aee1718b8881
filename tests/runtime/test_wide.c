/* test_wide.c: conversions and CPU kernels compiled for this machine give the bits of the plain ones. */
#include "base/rng.h"
#include "convert_rows.h"
#include "cpu.h"
#include "f16_rows.h"
#include "kernels.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

static const size_t length[] = {1, 2, 7, 8, 9, 15, 16, 17, 31, 33, 255, 1023, 1025, 65535, 65545, 200003};

/* Numbers around fp16's range, and now and then any bits at all. */
static float number(uint64_t key, uint64_t i)
{
    uint64_t u = rng_u64(key, i);
    float    x = (float)(rng_uniform(key, i) - 0.5) * f32_from_bits((uint32_t)(100 + u % 50) << 23);
    return u >> 59 ? x : f32_from_bits((uint32_t)(u >> 7));
}

#ifdef HOST_HAS_AVX2
Test(wide, conversions_and_counts_are_those_of_the_plain_loops)
{
    if (!cpu_avx2())
        return;
    for (size_t l = 0; l < COUNT(length); l++) {
        size_t       n = length[l];
        float       *x = xcalloc(n, 4), *back[2] = {xcalloc(n, 4), xcalloc(n, 4)};
        uint16_t    *y[2] = {xcalloc(n, 2), xcalloc(n, 2)};
        ConvertCount c[2] = {0};
        for (size_t i = 0; i < n; i++)
            x[i] = number(l, i);
        for (int s = 0; s < 2; s++) {
            const ConvertRows *rows = s ? &convert_rows_avx2 : &convert_rows_plain;
            rows->to_f16(x, y[s], n, &c[s]);
        }
        cr_assert(memcmp(y[0], y[1], n * 2) == 0, "%zu", n);
        for (size_t i = 0; i < n; i += 3)
            y[0][i] = (uint16_t)rng_u64(l, i); /* infinities and NaN */
        for (int s = 0; s < 2; s++)
            (s ? &convert_rows_avx2 : &convert_rows_plain)->from_f16(y[0], back[s], n, &c[s]);
        cr_assert(memcmp(back[0], back[1], n * 4) == 0, "%zu", n);
        cr_assert(memcmp(&c[0], &c[1], sizeof *c) == 0, "%zu", n);
        for (int s = 0; s < 2; s++) {
            (s ? &convert_rows_avx2 : &convert_rows_plain)->transposed(x, y[s], 3, n / 3, &c[s]);
            free(back[s]);
        }
        cr_assert(memcmp(y[0], y[1], n / 3 * 6) == 0, "%zu", n);
        free(x);
        free(y[0]);
        free(y[1]);
    }
}
#endif

static bool same(const float *a, const float *b, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (f32_bits(a[i]) != f32_bits(b[i]) && !(a[i] != a[i] && b[i] != b[i]))
            return false;
    return true;
}

static void compare(const Kernel *k, KernelArgs *a)
{
    float *y[2] = {xcalloc(a->numel, 4), xcalloc(a->numel, 4)};
    for (int s = 0; s < 2; s++) {
        a->out = y[s];
        cr_assert((s ? k->wide : k->run)(a), "%s", k->name);
    }
    cr_assert(same(y[0], y[1], a->numel), "%s of %zu elements", k->name, a->numel);
    free(y[0]);
    free(y[1]);
}

Test(wide, kernels_of_one_and_two_operands)
{
    static const char *const one[] = {"neg", "exp", "log", "sqrt", "rsqrt", "tanh", "sigmoid"};
    static const char *const two[] = {"add", "sub", "mul", "div", "max", "min"};
    if (!cpu_avx2())
        return;
    for (size_t l = 0; l < COUNT(length); l++) {
        size_t       n = length[l];
        float       *x = xcalloc(n, 4), *y = xcalloc(n, 4);
        PlanShape    shape[2] = {{.rank = 1, .dim = {(int64_t)n}}, {.rank = 1, .dim = {(int64_t)n}}};
        PlanType     type[2] = {PLAN_F32, PLAN_F32};
        bool         splat[2] = {false, false};
        const void  *in[2] = {x, y};
        StepAttr     none = {0};
        KernelArgs a = {.a = &none,
                        .ins = 2,
                        .in_shape = shape,
                        .in_type = type,
                        .splat = splat,
                        .shape = shape[0],
                        .numel = n,
                        .in = in};
        for (size_t i = 0; i < n; i++) {
            x[i] = number(l + 100, i);
            y[i] = number(l + 200, i);
        }
        for (size_t i = 0; i < COUNT(two); i++)
            compare(kernel_find(two[i]), &a);
        a.ins = 1;
        for (size_t i = 0; i < COUNT(one); i++)
            compare(kernel_find(one[i]), &a);
        free(x);
        free(y);
    }
}

/* Classes along the first axis and along the last, at widths around the steps of the loops. */
Test(wide, softmax_and_cross_entropy)
{
    static const int64_t columns[] = {1, 3, 8, 17, 255, 257, 300};
    if (!cpu_avx2())
        return;
    for (size_t l = 0; l < COUNT(columns); l++) {
        enum { CLASSES = 131 };
        size_t      s = (size_t)columns[l], n = CLASSES * s;
        float      *z = xcalloc(n, 4), *dy = xcalloc(s, 4);
        int32_t    *class = xcalloc(s, 4);
        PlanShape shape[3] = {{.rank = 2, .dim = {CLASSES, columns[l]}},
                              {.rank = 1, .dim = {columns[l]}},
                              {.rank = 1, .dim = {columns[l]}}};
        PlanType    type[3] = {PLAN_F32, PLAN_I32, PLAN_F32};
        bool        splat[3] = {false, false, false};
        const void *in[3] = {z, class, dy};
        StepAttr    attr = {.axis = 0};
        KernelArgs  a = {.a = &attr, .ins = 3, .in_shape = shape, .in_type = type, .splat = splat, .in = in};
        for (size_t i = 0; i < n; i++)
            z[i] = (float)(20 * rng_uniform(l, i) - 10);
        for (size_t i = 0; i < s; i++) {
            dy[i] = (float)rng_uniform(l + 50, i);
            class[i] = (int32_t)(rng_u64(l + 60, i) % CLASSES);
        }
        a.shape = shape[1];
        a.numel = s;
        compare(kernel_find("xent"), &a);
        a.shape = shape[0];
        a.numel = n;
        compare(kernel_find("xent_grad"), &a);
        for (attr.axis = 0; attr.axis < 2; attr.axis++)
            compare(kernel_find("softmax"), &a);
        free(z);
        free(dy);
        free(class);
    }
}
