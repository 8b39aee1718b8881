/* optim.c: update rules; see optim.h. The loops are in optim_rows.c.
 *
 *   sgd     g += decay * w;  m = momentum * m + g;  w -= lr * m                      (Polyak 1964, as in PyTorch)
 *   adam    g += decay * w;  m, v = running means of g, g^2;  w -= lr * m^ / (sqrt(v^) + eps)   (Kingma, Ba 2015)
 *   adamw   the same without decay in g;  w -= lr * decay * w                        (Loshchilov, Hutter 2019)
 *   lion    w -= lr * (sign(beta1 * m + (1 - beta1) * g) + decay * w);  m = beta2 * m + (1 - beta2) * g
 *           (Chen et al. 2023)
 * m^ and v^ are corrected for their start at zero. */
#include "runtime/cpu.h"
#include "runtime/train/optim_rows.h"

#include <math.h>

uint32_t optim_moments(const Settings *s)
{
    switch ((OptimKind)s->optimizer) {
    case OPTIM_SGD:
        return s->momentum > 0 ? 1 : 0;
    case OPTIM_LION:
        return 1;
    case OPTIM_ADAM:
    case OPTIM_ADAMW:
        break;
    }
    return 2;
}

void optim_step_init(OptimStep *o, const Settings *s, double lr, double grad_factor, uint64_t update)
{
    double t = (double)update;
    *o = (OptimStep){
        .kind = (OptimKind)s->optimizer,
        .grad_factor = (float)grad_factor,
        .beta1 = (float)s->beta1,
        .beta2 = (float)s->beta2,
        /* Complements and powers in double: 1 - 0.999f would lose a third of the digits. */
        .rest1 = (float)(1 - s->beta1),
        .rest2 = (float)(1 - s->beta2),
        .eps = (float)s->eps,
        .momentum = (float)s->momentum,
        .lr = (float)lr,
        .decay = (float)s->decay,
        .correct1 = (float)(1 / (1 - pow(s->beta1, t))),
        .correct2 = (float)(1 / (1 - pow(s->beta2, t))),
    };
}

static const OptimRows *rows(void)
{
#ifdef HOST_HAS_AVX512
    if (cpu_avx512())
        return &optim_rows_avx512;
#endif
#ifdef HOST_HAS_AVX2
    if (cpu_avx2())
        return &optim_rows_avx2;
#endif
    return &optim_rows_plain;
}

GradStats grad_stats(const float *g, size_t n)
{
    return rows()->stats(g, n);
}

void optim_apply(const OptimStep *o, float lr_factor, bool decay, size_t n, float *w, const float *g, float *m,
                 float *v)
{
    float lr = o->lr * lr_factor, wd = decay ? o->decay : 0;
    switch (o->kind) {
    case OPTIM_SGD:
        if (o->momentum > 0)
            rows()->sgd(o, lr, wd, n, w, g, m);
        else
            rows()->sgd_plain(o, lr, wd, n, w, g);
        break;
    case OPTIM_ADAM:
        rows()->adam(o, lr, wd, 0, n, w, g, m, v);
        break;
    case OPTIM_ADAMW:
        rows()->adam(o, lr, 0, lr * wd, n, w, g, m, v);
        break;
    case OPTIM_LION:
        rows()->lion(o, lr, wd, n, w, g, m);
        break;
    }
}
