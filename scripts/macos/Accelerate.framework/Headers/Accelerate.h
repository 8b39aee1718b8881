/* Accelerate.h: for building where Apple's SDK is not: what anel calls of macOS' Accelerate, as Apple documents it
 * (developer.apple.com/documentation/accelerate/blas). A Mac has the real one and never sees this file.
 *
 * Since macOS 13.3 Accelerate holds BLAS twice. Whoever defines ACCELERATE_NEW_LAPACK gets the current one, whose symbols
 * end in $NEWLAPACK and whose integers are int unless ACCELERATE_LAPACK_ILP64 is defined; the old one is deprecated.
 * A function that is declared here needs its line in Accelerate.tbd. */
#ifndef ANEL_CROSS_ACCELERATE_H
#define ANEL_CROSS_ACCELERATE_H

#if !defined ACCELERATE_NEW_LAPACK || defined ACCELERATE_LAPACK_ILP64
#error "this stands in for the current interface with 32-bit integers only: define ACCELERATE_NEW_LAPACK"
#endif

typedef int __LAPACK_int;

enum CBLAS_ORDER { CblasRowMajor = 101, CblasColMajor = 102 };
enum CBLAS_TRANSPOSE { CblasNoTrans = 111, CblasTrans = 112, CblasConjTrans = 113 };
typedef enum CBLAS_ORDER     CBLAS_ORDER;
typedef enum CBLAS_TRANSPOSE CBLAS_TRANSPOSE;

void cblas_sgemm(enum CBLAS_ORDER ORDER, enum CBLAS_TRANSPOSE TRANSA, enum CBLAS_TRANSPOSE TRANSB, __LAPACK_int M,
                 __LAPACK_int N, __LAPACK_int K, float ALPHA, const float *A, __LAPACK_int LDA, const float *B,
                 __LAPACK_int LDB, float BETA, float *C, __LAPACK_int LDC) __asm("_cblas_sgemm$NEWLAPACK");
void cblas_dgemm(enum CBLAS_ORDER ORDER, enum CBLAS_TRANSPOSE TRANSA, enum CBLAS_TRANSPOSE TRANSB, __LAPACK_int M,
                 __LAPACK_int N, __LAPACK_int K, double ALPHA, const double *A, __LAPACK_int LDA, const double *B,
                 __LAPACK_int LDB, double BETA, double *C, __LAPACK_int LDC) __asm("_cblas_dgemm$NEWLAPACK");

#endif
