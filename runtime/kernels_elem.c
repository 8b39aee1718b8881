/* kernels_elem.c: one element at a time: arithmetic, comparison, choice, casts.
 *
 * All loops run over tiles of KERNEL_TILE elements. An operand that is one number throughout is a tile that stays where
 * it is while the others move on, so the inner loops do not know about it. */
#include "kernels.h"
#include "vmath.h"

#include <math.h>
#include <string.h>

/* Operand k from element `at` on. */
static const void *operand(const KernelArgs *k, uint32_t i, size_t at)
{
    return k->splat[i] ? k->in[i] : (const char *)k->in[i] + at * 4; /* floats and int32_t are four bytes */
}

static size_t tile(const KernelArgs *k, size_t at)
{
    return k->numel - at < KERNEL_TILE ? k->numel - at : KERNEL_TILE;
}

/* ---- two operands ---- */

/* `f` on floats, `i` on integers, which wrap around. */
#define BINARY(name, f, i)                                                                                             \
    bool KERNEL(name)(const KernelArgs *k)                                                                            \
    {                                                                                                                  \
        for (size_t at = 0; at < k->numel; at += KERNEL_TILE) {                                                        \
            size_t n = tile(k, at);                                                                                    \
            if (k->type == PLAN_F32) {                                                                                 \
                const float *xs = operand(k, 0, at), *ys = operand(k, 1, at);                                          \
                float       *out = (float *)k->out + at;                                                               \
                for (size_t e = 0; e < n; e++) {                                                                       \
                    float x = xs[e], y = ys[e];                                                                        \
                    out[e] = (f);                                                                                      \
                }                                                                                                      \
            } else {                                                                                                   \
                const int32_t *xs = operand(k, 0, at), *ys = operand(k, 1, at);                                        \
                int32_t       *out = (int32_t *)k->out + at;                                                           \
                for (size_t e = 0; e < n; e++) {                                                                       \
                    int64_t x = xs[e], y = ys[e];                                                                      \
                    out[e] = (int32_t)(uint32_t)(i);                                                                   \
                }                                                                                                      \
            }                                                                                                          \
        }                                                                                                              \
        return true;                                                                                                   \
    }

BINARY(add, x + y, x + y)
BINARY(sub, x - y, x - y)
BINARY(mul, x *y, x *y)
BINARY(max, x >= y ? x : y, x >= y ? x : y) /* ties go to the first operand */
BINARY(min, x <= y ? x : y, x <= y ? x : y)

bool KERNEL(div)(const KernelArgs *k)
{
    for (size_t at = 0; at < k->numel; at += KERNEL_TILE) {
        size_t n = tile(k, at);
        if (k->type == PLAN_F32) {
            const float *x = operand(k, 0, at), *y = operand(k, 1, at);
            float       *out = (float *)k->out + at;
            for (size_t e = 0; e < n; e++)
                out[e] = x[e] / y[e];
            continue;
        }
        const int32_t *x = operand(k, 0, at), *y = operand(k, 1, at);
        int32_t       *out = (int32_t *)k->out + at;
        for (size_t e = 0; e < n; e++) {
            if (y[e] == 0) {
                buf_printf(k->err, "division of the integer %d by zero", x[e]);
                return false;
            }
            out[e] = (int32_t)(uint32_t)((int64_t)x[e] / y[e]); /* 64 bits: INT32_MIN / -1 */
        }
    }
    return true;
}

/* ---- one operand ---- */

#define UNARY(name, value)                                                                                             \
    bool KERNEL(name)(const KernelArgs *k)                                                                            \
    {                                                                                                                  \
        for (size_t at = 0; at < k->numel; at += KERNEL_TILE) {                                                        \
            size_t       n = tile(k, at);                                                                              \
            const float *xs = operand(k, 0, at);                                                                       \
            float       *out = (float *)k->out + at;                                                                   \
            for (size_t e = 0; e < n; e++) {                                                                           \
                float x = xs[e];                                                                                       \
                out[e] = (value);                                                                                      \
            }                                                                                                          \
        }                                                                                                              \
        return true;                                                                                                   \
    }

UNARY(neg, -x)
UNARY(exp, exp_f32(x))
UNARY(log, logf(x))
UNARY(sqrt, sqrtf(x))
UNARY(rsqrt, 1.0f / sqrtf(x))
UNARY(tanh, tanh_f32(x))
UNARY(sigmoid, sigmoid_f32(x))

static UNARY(copy, x)
static UNARY(square, x *x)
static UNARY(cube, x *x *x)
static UNARY(inverse, 1.0f / x)

static bool power(const KernelArgs *k)
{
    float c = (float)k->a->c;
    for (size_t at = 0; at < k->numel; at += KERNEL_TILE) {
        size_t       n = tile(k, at);
        const float *x = operand(k, 0, at);
        float       *out = (float *)k->out + at;
        for (size_t e = 0; e < n; e++)
            out[e] = powf(x[e], c);
    }
    return true;
}

/* The exponents that models have are cheaper than powf(), and often exact. */
bool KERNEL(powc)(const KernelArgs *k)
{
    static const struct {
        double    c;
        KernelFn *run;
    } cheap[] = {{1, KERNEL(copy)},       {2, KERNEL(square)},  {3, KERNEL(cube)},
                 {-1, KERNEL(inverse)}, {0.5, KERNEL(sqrt)}, {-0.5, KERNEL(rsqrt)}};
    for (size_t i = 0; i < COUNT(cheap); i++)
        if (k->a->c == cheap[i].c)
            return cheap[i].run(k);
    return power(k);
}

/* ---- comparison and choice ---- */

#define COMPARE(T, cond)                                                                                               \
    do {                                                                                                               \
        const T *x = operand(k, 0, at), *y = operand(k, 1, at);                                                        \
        for (size_t e = 0; e < n; e++)                                                                                 \
            out[e] = (cond);                                                                                           \
    } while (0)

#define COMPARE_ALL(T)                                                                                                 \
    switch (k->a->cmp) {                                                                                               \
    case 0: COMPARE(T, x[e] == y[e]); break;                                                                           \
    case 1: COMPARE(T, x[e] != y[e]); break;                                                                           \
    case 2: COMPARE(T, x[e] < y[e]); break;                                                                            \
    case 3: COMPARE(T, x[e] > y[e]); break;                                                                            \
    case 4: COMPARE(T, x[e] <= y[e]); break;                                                                           \
    default: COMPARE(T, x[e] >= y[e]); break;                                                                          \
    }

bool KERNEL(cmp)(const KernelArgs *k)
{
    bool floats = (k->splat[0] ? k->in_type[1] : k->in_type[0]) == PLAN_F32;
    for (size_t at = 0; at < k->numel; at += KERNEL_TILE) {
        size_t   n = tile(k, at);
        int32_t *out = (int32_t *)k->out + at;
        if (floats)
            COMPARE_ALL(float)
        else
            COMPARE_ALL(int32_t)
    }
    return true;
}

bool KERNEL(select)(const KernelArgs *k)
{
    for (size_t at = 0; at < k->numel; at += KERNEL_TILE) { /* bits are bits: floats are chosen as integers */
        size_t          n = tile(k, at);
        const int32_t  *c = operand(k, 0, at);
        const uint32_t *x = operand(k, 1, at), *y = operand(k, 2, at);
        uint32_t       *out = (uint32_t *)k->out + at;
        for (size_t e = 0; e < n; e++)
            out[e] = c[e] ? x[e] : y[e];
    }
    return true;
}

/* ---- types ---- */

/* Toward zero; what an int32_t cannot hold becomes the nearest it can, NaN becomes 0. */
static int32_t truncated(float x)
{
    if (x != x)
        return 0;
    if (x >= 2147483648.0f)
        return INT32_MAX;
    return x <= -2147483648.0f ? INT32_MIN : (int32_t)x;
}

bool KERNEL(cast)(const KernelArgs *k)
{
    for (size_t at = 0; at < k->numel; at += KERNEL_TILE) {
        size_t      n = tile(k, at);
        const void *in = operand(k, 0, at);
        void       *out = (char *)k->out + at * 4;
        if (k->in_type[0] == k->type)
            memmove(out, in, n * 4);
        else if (k->type == PLAN_F32)
            for (size_t e = 0; e < n; e++)
                ((float *)out)[e] = (float)((const int32_t *)in)[e];
        else
            for (size_t e = 0; e < n; e++)
                ((int32_t *)out)[e] = truncated(((const float *)in)[e]);
    }
    return true;
}

bool KERNEL(iota)(const KernelArgs *k)
{
    int32_t *out = k->out;
    for (size_t e = 0; e < k->numel; e++)
        out[e] = (int32_t)e;
    return true;
}

bool KERNEL(reshape)(const KernelArgs *k)
{
    for (size_t at = 0; at < k->numel; at += KERNEL_TILE) {
        size_t      n = tile(k, at);
        const void *in = operand(k, 0, at);
        float      *out = (float *)k->out + at;
        if (k->add)
            for (size_t e = 0; e < n; e++)
                out[e] += ((const float *)in)[e];
        else
            memmove(out, in, n * 4);
    }
    return true;
}
