/* optim_rows.c: see optim_rows.h. Pointers are restrict and bodies free of branches, so that compilers vectorise the
 * loops; they are bound by memory. */
#include "runtime/train/optim_rows.h"

#include "base/f16.h"

#include <math.h>

static void sgd(const OptimStep *o, float lr, float decay, size_t n, float *restrict w, const float *restrict g,
                float *restrict m)
{
    float factor = o->grad_factor, momentum = o->momentum;
    for (size_t i = 0; i < n; i++) {
        m[i] = momentum * m[i] + (g[i] * factor + decay * w[i]);
        w[i] -= lr * m[i];
    }
}

static void sgd_plain(const OptimStep *o, float lr, float decay, size_t n, float *restrict w, const float *restrict g)
{
    float factor = o->grad_factor;
    for (size_t i = 0; i < n; i++)
        w[i] -= lr * (g[i] * factor + decay * w[i]);
}

static void adam(const OptimStep *o, float lr, float l2, float shrink, size_t n, float *restrict w,
                 const float *restrict g, float *restrict m, float *restrict v)
{
    float factor = o->grad_factor, b1 = o->beta1, b2 = o->beta2, eps = o->eps;
    float a1 = o->rest1, a2 = o->rest2, c1 = lr * o->correct1, c2 = o->correct2;
    for (size_t i = 0; i < n; i++) {
        float x = g[i] * factor + l2 * w[i];
        float mi = b1 * m[i] + a1 * x;
        float vi = b2 * v[i] + a2 * (x * x);
        m[i] = mi;
        v[i] = vi;
        w[i] -= shrink * w[i] + c1 * mi / (sqrtf(vi * c2) + eps);
    }
}

static void lion(const OptimStep *o, float lr, float decay, size_t n, float *restrict w, const float *restrict g,
                 float *restrict m)
{
    float factor = o->grad_factor, b1 = o->beta1, b2 = o->beta2, a1 = o->rest1, a2 = o->rest2;
    for (size_t i = 0; i < n; i++) {
        float x = g[i] * factor, c = b1 * m[i] + a1 * x;
        float sign = (float)(c > 0) - (float)(c < 0);
        w[i] -= lr * (sign + decay * w[i]);
        m[i] = b2 * m[i] + a2 * x;
    }
}

/* Eight sums side by side: a fixed order that vectorises, and enough of them to hide the latency of an addition. The
 * largest magnitude is found on the bit patterns: as integers, NaN > infinity > every finite value, so nothing that is
 * not finite can hide behind a comparison. */
static GradStats stats(const float *g, size_t n)
{
    enum { LANES = 8 };
    double   sum[LANES] = {0};
    uint32_t top[LANES] = {0};
    size_t   i = 0;
    for (; i + LANES <= n; i += LANES)
        for (size_t k = 0; k < LANES; k++) {
            uint32_t mag = f32_bits(g[i + k]) & 0x7fffffffu;
            double   x = (double)g[i + k];
            sum[k] += x * x;
            top[k] = mag > top[k] ? mag : top[k];
        }
    for (size_t k = 0; i < n; i++, k++) {
        uint32_t mag = f32_bits(g[i]) & 0x7fffffffu;
        sum[k] += (double)g[i] * (double)g[i];
        top[k] = mag > top[k] ? mag : top[k];
    }
    GradStats all = {0, 0};
    uint32_t  most = 0;
    for (size_t k = 0; k < LANES; k++) {
        all.sum_squares += sum[k];
        most = top[k] > most ? top[k] : most;
    }
    all.max_abs = f32_from_bits(most);
    return all;
}

#if defined OPTIM_AVX512
#define ROWS optim_rows_avx512
#elif defined OPTIM_AVX2
#define ROWS optim_rows_avx2
#else
#define ROWS optim_rows_plain
#endif
const OptimRows ROWS = {sgd, sgd_plain, adam, lion, stats};
