/* kernel_table.h: which kernel executes a call. */
#ifndef ANEL_HOST_KERNEL_TABLE_H
#define ANEL_HOST_KERNEL_TABLE_H

#include "mil/mil_check.h"

typedef struct Run Run;
typedef void KernelFn(Run *run, const Call *call);

/* Kernels are compiled several times (kernel.h): plain, for AVX2, AVX-512 and NEON with the same results, and in
 * double. */
typedef enum { KERNELS_PLAIN, KERNELS_AVX2, KERNELS_AVX512, KERNELS_NEON, KERNELS_EXACT, KERNEL_BUILDS } KernelBuild;

/* The plain kernels, by which operations are recognised. */
#define OP(name, args, type, kernel) KernelFn kernel_##kernel##_ane;
#include "mil/mil_ops.def"

KernelFn *kernel_of(const OpInfo *op, KernelBuild build);

#endif
