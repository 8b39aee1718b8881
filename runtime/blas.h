/* blas.h: the C interface of BLAS, wherever the system keeps it. */
#ifndef ANEL_RUNTIME_BLAS_H
#define ANEL_RUNTIME_BLAS_H

#if defined(__APPLE__)
#define ACCELERATE_NEW_LAPACK /* the current headers; the old ones are deprecated */
#include <Accelerate/Accelerate.h>
#else
#include <cblas.h>
#endif

#endif
