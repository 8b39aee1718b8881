/* kernel.h: what kernels work with.
 *
 * Every kernels_*.c is compiled once for each KernelBuild. With HOST_EXACT a Real is a double and nothing is rounded;
 * without it a Real is a float, and what an operation writes to an fp16 tensor is rounded to the nearest fp16 value,
 * once, by finish(). HOST_AVX2, HOST_AVX512 and HOST_NEON are the latter with better instructions from the same source. They
 * have to give the same bits, so kernels must not depend on the width: sums run in a fixed number of lanes.
 *
 * The tensors that kernels see are dense arrays of Real in row-major order, whatever their element type: integers are
 * exact up to 2^24 (2^53), booleans are 0 and 1. Between kernels fp16 tensors are stored as fp16; see host_run.c.
 *
 * A kernel gets a call whose plan its type rule has filled. It allocates nothing; run->scratch holds call->scratch
 * elements. Results never overlap operands. */
#ifndef ANEL_HOST_KERNEL_H
#define ANEL_HOST_KERNEL_H

#include "device.h"
#include "f16_rows.h"
#include "host/kernel_table.h"

#include <math.h>

struct Run {
    void     **data;    /* Real arrays, by value id */
    void      *scratch;
    ReduceMode reduce;
    Pool      *pool;
    Buf       *err;     /* a kernel that meets a bad run-time value (an index) appends the reason */
    bool       failed;
};

#ifdef HOST_EXACT
typedef double Real;
#define KERNEL(name) kernel_##name##_exact
#else
typedef float Real;
#if defined HOST_AVX512
#define KERNEL(name) kernel_##name##_avx512
#elif defined HOST_AVX2
#define KERNEL(name) kernel_##name##_avx2
#elif defined HOST_NEON
#define KERNEL(name) kernel_##name##_neon
#else
#define KERNEL(name) kernel_##name##_ane
#endif
#endif

#define OP(name, args, type, kernel) KernelFn KERNEL(kernel);
#include "mil/mil_ops.def"

static inline Real *data_of(const Run *run, const Value *v)
{
    return run->data[v->id];
}

/* Argument i of the call's operation, in the order of the table; NULL if left out. */
static inline const Real *operand(const Run *run, const Call *call, int i)
{
    return call->arg[i] ? run->data[call->arg[i]->id] : NULL;
}

static inline Real *result(const Run *run, const Call *call)
{
    return run->data[call->result[0]->id];
}

static inline bool narrow(const Call *call)
{
#ifdef HOST_EXACT
    (void)call;
    return false;
#else
    return call->result[0]->type.dtype == DT_F16;
#endif
}

/* Element-wise kernels work on pieces of this many elements, so that finish() finds them in the nearest cache. */
enum { PIECE = 1024 };

/* Round `n` elements as the call's result is stored. */
static inline void finish(const Call *call, Real *out, int64_t n)
{
    if (!narrow(call))
        return;
#ifndef HOST_EXACT
    f16_round_row(out, (size_t)n);
#else
    (void)out, (void)n;
#endif
}

/* e^x. In float: range reduction and a polynomial of degree 6 without branches, so that loops over it vectorise; the
 * error stays below 2 units in the last place of a float, far below fp16. Results under 2^-126 become 0. */
static inline Real real_exp(Real x)
{
#ifdef HOST_EXACT
    return exp(x);
#else
    float t = x < -87.0f ? -87.0f : x;
    t = t > 88.0f ? 88.0f : t;
    float k = t * 0x1.715476p+0f + 0x1.8p23f; /* the low bits hold the nearest integer of x / ln 2 */
    int32_t n = (int32_t)(f32_bits(k) - 0x4b400000u);
    k -= 0x1.8p23f;
    float r = t - k * 0x1.62e4p-1f;
    r -= k * 0x1.7f7d1cp-20f;
    float p = 1.0f / 720;
    p = p * r + 1.0f / 120;
    p = p * r + 1.0f / 24;
    p = p * r + 1.0f / 6;
    p = p * r + 0.5f;
    p = p * r + 1.0f;
    p = p * r + 1.0f;
    p *= f32_from_bits((uint32_t)(n + 127) << 23);
    p = x > 88.0f ? (float)INFINITY : p; /* fp32 tensors lose the last factor of 2 of their range */
    p = x < -87.0f ? 0.0f : p;
    return x != x ? x : p;
#endif
}

/* c[m, n] = a[m, k] b[k, n], row-major; `ta`, `tb`: stored transposed. Products are exact in float for fp16 operands
 * and accumulated in Real: the engine's wide accumulator. Its saturation above 32752 is not imitated. */
#define real_gemm KERNEL(real_gemm)
void real_gemm(Pool *pool, bool ta, bool tb, int64_t m, int64_t n, int64_t k, const Real *a, int64_t lda,
               const Real *b, int64_t ldb, Real *c, int64_t ldc);

/* Copy a strided view into dense memory. */
#define copy_view KERNEL(copy_view)
void copy_view(const ViewPlan *v, const Real *in, Real *out);

#endif
