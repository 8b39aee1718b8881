/* kernel_table.c: the kernels of every operation, from the same table as its type rule. A row whose kernel is missing
 * does not link. Where there is no build for wider vectors the plain kernels stand in its place. */
#include "host/kernel_table.h"

#ifdef HOST_HAS_AVX2
#define AVX2(kernel) kernel_##kernel##_avx2
#else
#define AVX2(kernel) kernel_##kernel##_ane
#endif

#ifdef HOST_HAS_AVX512
#define AVX512(kernel) kernel_##kernel##_avx512
#else
#define AVX512(kernel) kernel_##kernel##_ane
#endif

#ifdef HOST_HAS_NEON
#define NEON(kernel) kernel_##kernel##_neon
#else
#define NEON(kernel) kernel_##kernel##_ane
#endif

#define OP(name, args, type, kernel)                                                                      \
    KernelFn kernel_##kernel##_ane, kernel_##kernel##_avx2, kernel_##kernel##_avx512, kernel_##kernel##_neon, \
        kernel_##kernel##_exact;
#include "mil/mil_ops.def"

static KernelFn *const kernels[][KERNEL_BUILDS] = {
#define OP(name, args, type, kernel) \
    {kernel_##kernel##_ane, AVX2(kernel), AVX512(kernel), NEON(kernel), kernel_##kernel##_exact},
#include "mil/mil_ops.def"
};

KernelFn *kernel_of(const OpInfo *op, KernelBuild build)
{
    return kernels[op - mil_op_info][build];
}
