/* health.c: looking at loss and gradients from outside; see health.h. */
#include "runtime/train/health.h"

#include <math.h>

void health_init(Health *h, Arena *a, uint32_t params)
{
    *h = (Health){.param = NEW_N(a, HealthParam, params + 1u), .cap = params};
}

void health_add(Health *h, const char *path, size_t numel)
{
    if (h->params == h->cap)
        bug("more parameters than announced");
    h->param[h->params++] = (HealthParam){.path = path, .numel = numel};
}

void health_gradient(Health *h, uint32_t i, GradStats g)
{
    HealthParam *p = &h->param[i];
    p->zero = g.max_abs == 0 && !grad_stats_bad(g);
    p->nonzero += !p->zero;
}

bool health_bad(Health *h, double loss)
{
    h->zeros = 0;
    for (uint32_t i = 0; i < h->params; i++)
        h->zeros += h->param[i].zero;
    h->steps++;
    h->dead = h->params > 0 && h->zeros == h->params && loss != 0;
    return h->dead;
}

/* A gradient that was there before and is exactly 0 now: of a tensor of some size, that is hardly chance. */
static void tell_gone(Health *h, Report *r, uint64_t step)
{
    const HealthParam *first = NULL;
    uint32_t           gone = 0;
    for (uint32_t i = 0; i < h->params; i++) {
        const HealthParam *p = &h->param[i];
        if (!p->zero || p->nonzero == 0 || p->numel < HEALTH_SIZE)
            continue;
        first = first ? first : p;
        gone++;
    }
    if (!first || h->told_gone)
        return;
    h->told_gone = true;
    report_note(r,
                "warning: step %llu: the gradient of '%s' is exactly 0 and was not before (%u of %u parameters); if "
                "nothing in the model explains that, the device has lost values: lower the loss scale",
                (unsigned long long)step, first->path, (unsigned)gone, (unsigned)h->params);
}

static void tell_never(Health *h, Report *r)
{
    const HealthParam *first = NULL;
    uint32_t           never = 0;
    for (uint32_t i = 0; i < h->params; i++)
        if (h->param[i].nonzero == 0) {
            first = first ? first : &h->param[i];
            never++;
        }
    h->told_never = true;
    if (first)
        report_note(r,
                    "warning: the gradient of '%s' was exactly 0 in all of %d steps (%u of %u parameters): the loss does "
                    "not depend on it, or it is too small for fp16: raise the loss scale",
                    first->path, HEALTH_NEVER, (unsigned)never, (unsigned)h->params);
}

/* Against running means over some twenty steps: a jump is several times as far from the mean as usual. */
static void tell_loss(Health *h, Report *r, uint64_t step, double loss)
{
    const double keep = 1 - 1.0 / HEALTH_MEAN;
    double       above = loss - h->mean;
    bool         jump = h->steps > HEALTH_MEAN && above > fmax(8 * h->deviation, 0.2 * fabs(h->mean));
    if (jump && !h->high)
        report_note(r, "warning: step %llu: the loss jumped from about %.4f to %.4f", (unsigned long long)step, h->mean, loss);
    h->high = jump; /* told again only after it has come down */
    h->deviation = h->steps <= 1 ? 0 : keep * h->deviation + (1 - keep) * fabs(above);
    h->mean = h->steps <= 1 ? loss : keep * h->mean + (1 - keep) * loss;
}

void health_tell(Health *h, Report *r, uint64_t step, double loss, bool applied)
{
    if (!applied || !isfinite(loss))
        return;
    if (loss == 0 && h->zeros < h->params && !h->told_loss) {
        h->told_loss = true;
        report_note(r, "warning: step %llu: the loss is exactly 0 but its gradient is not", (unsigned long long)step);
    }
    tell_gone(h, r, step);
    if (h->steps >= HEALTH_NEVER && !h->told_never)
        tell_never(h, r);
    tell_loss(h, r, step, loss);
}

const char *health_reason(const Health *h)
{
    return h->dead ? "every gradient was exactly 0 although the loss was not: the loss does not depend on what is "
                     "trained, or the device gives nothing back; anerun PLAN --numerics exact on the host device tells "
                     "which"
                   : NULL;
}
