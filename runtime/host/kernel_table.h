/* kernel_table.h: which kernel executes a call. */
#ifndef ANEL_HOST_KERNEL_TABLE_H
#define ANEL_HOST_KERNEL_TABLE_H

#include "mil/mil_check.h"

typedef struct Run Run;
typedef void KernelFn(Run *run, const Call *call);

/* Kernels are compiled several times (kernel.h): plain, for AVX2 with the same results, and in double. */
typedef enum { KERNELS_PLAIN, KERNELS_AVX2, KERNELS_EXACT, KERNEL_BUILDS } KernelBuild;

KernelFn *kernel_of(const OpInfo *op, KernelBuild build);

#endif
