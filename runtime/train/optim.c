/* optim.c: the update rules as plain loops; see optim.h.
 *
 *   sgd     g += decay * w;  m = momentum * m + g;  w -= lr * m                      (Polyak 1964, as in PyTorch)
 *   adam    g += decay * w;  m, v = running means of g, g^2;  w -= lr * m^ / (sqrt(v^) + eps)   (Kingma, Ba 2015)
 *   adamw   the same without decay in g;  w -= lr * decay * w                        (Loshchilov, Hutter 2019)
 *   lion    w -= lr * (sign(beta1 * m + (1 - beta1) * g) + decay * w);  m = beta2 * m + (1 - beta2) * g
 *           (Chen et al. 2023)
 * m^ and v^ are corrected for their start at zero. Pointers are restrict and bodies free of branches, so that compilers
 * vectorise the loops; they are bound by memory. */
#include "runtime/train/optim.h"

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

/* `l2` joins the gradient (adam), `shrink` is taken off the weight (adamw); one of them is zero. */
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

void optim_apply(const OptimStep *o, float lr_factor, bool decay, size_t n, float *w, const float *g, float *m,
                 float *v)
{
    float lr = o->lr * lr_factor, wd = decay ? o->decay : 0;
    switch (o->kind) {
    case OPTIM_SGD:
        if (o->momentum > 0)
            sgd(o, lr, wd, n, w, g, m);
        else
            sgd_plain(o, lr, wd, n, w, g);
        break;
    case OPTIM_ADAM:
        adam(o, lr, wd, 0, n, w, g, m, v);
        break;
    case OPTIM_ADAMW:
        adam(o, lr, 0, lr * wd, n, w, g, m, v);
        break;
    case OPTIM_LION:
        lion(o, lr, wd, n, w, g, m);
        break;
    }
}
