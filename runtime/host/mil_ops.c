/* mil_ops.c: the operation table, built from mil_ops.def. A row whose rule or kernel is missing does not link. Where there
 * is no build for AVX2 the plain kernels stand in its place. */
#include "host/rules.h"

#ifdef HOST_HAS_AVX2
#define AVX2(kernel) kernel_##kernel##_avx2
#else
#define AVX2(kernel) kernel_##kernel##_ane
#endif

#define OP(name, args, type, kernel) KernelFn kernel_##kernel##_ane, kernel_##kernel##_avx2, kernel_##kernel##_exact;
#include "host/mil_ops.def"

const OpInfo mil_op_info[] = {
#define OP(name, args, type, kernel) \
    {#name, args, rule_##type, {kernel_##kernel##_ane, AVX2(kernel), kernel_##kernel##_exact}},
#include "host/mil_ops.def"
    {0},
};
