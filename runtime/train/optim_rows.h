/* optim_rows.h: the loops of the update rules and over gradients, compiled as plain C, for AVX2 and for AVX-512; see
 * runtime/cpu.h. All give the same bits: elements do not mix, sums have eight lanes whatever the width, and nothing is
 * contracted. */
#ifndef ANEL_TRAIN_OPTIM_ROWS_H
#define ANEL_TRAIN_OPTIM_ROWS_H

#include "runtime/train/optim.h"
#include "runtime/train/scaler.h"

typedef struct {
    void (*sgd)(const OptimStep *o, float lr, float decay, size_t n, float *w, const float *g, float *m);
    void (*sgd_plain)(const OptimStep *o, float lr, float decay, size_t n, float *w, const float *g);
    /* `l2` joins the gradient (adam), `shrink` is taken off the weight (adamw); one of them is zero. */
    void (*adam)(const OptimStep *o, float lr, float l2, float shrink, size_t n, float *w, const float *g, float *m,
                 float *v);
    void (*lion)(const OptimStep *o, float lr, float decay, size_t n, float *w, const float *g, float *m);
    GradStats (*stats)(const float *g, size_t n);
} OptimRows;

extern const OptimRows optim_rows_plain, optim_rows_avx2, optim_rows_avx512; /* with HOST_HAS_AVX2, HOST_HAS_AVX512 */

#endif
