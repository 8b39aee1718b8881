/* host_heads.c: attention head by head.
 *
 * Attention is a product, a chain (scale, mask, softmax) and another product, each for all heads; between them lie scores
 * of all heads, which no cache holds. But a head is as independent of the others in the whole run of steps as in each of
 * them: so threads take heads, and a head goes through all steps while its scores are near. What is computed is the same,
 * product by product and element by element.
 *
 * A run is made of steps that follow each other: products of as many matrices, and chains whose elements divide evenly
 * among them. A step may read what another step of the run makes only matrix by matrix, in the order in which it was
 * made: the same number of elements, from the start of the value. */
#include "host/host.h"

enum { HEADS_MIN = 2 };

typedef struct {
    HostFunc *f;
    bool *made; /* by value id, of wholes: by the run at hand */
    uint32_t heads;
    bool ok;
    int64_t elems; /* of a chain's results */
} Grouping;

static uint32_t matrices(const Call *c)
{
    const MatmulPlan *p = &c->plan.matmul;
    uint32_t n = 1;
    for (uint32_t d = 0; d < p->batch_rank; d++)
        n *= (uint32_t)p->batch[d];
    return n;
}

static void mark(void *with, const Value *v)
{
    Grouping *r = with;
    r->made[r->f->whole[v->id]] = true;
}

static void unmark(void *with, const Value *v)
{
    Grouping *r = with;
    r->made[r->f->whole[v->id]] = false;
}

static void nothing(void *with, const Value *v)
{
    (void)with, (void)v;
}

/* A value of the run that is read as a whole, from its start. */
static bool whole_value(const Grouping *r, const Value *v)
{
    const HostFunc *f = r->f;
    return f->offset[v->id] == 0 && type_elems(&v->type) == type_elems(&f->fn->value[f->whole[v->id]]->type);
}

static void check_chain(void *with, const Value *v)
{
    Grouping *r = with;
    if (!v->konst && r->made[r->f->whole[v->id]] && !(whole_value(r, v) && type_elems(&v->type) == r->elems))
        r->ok = false;
}

/* May the step be part of the run, for as many heads? */
static bool fits(Grouping *r, const HostStep *s)
{
    r->ok = true;
    if (s->kind == STEP_FUSED) {
        r->elems = host_fused_elems(s->fused);
        if (r->elems % r->heads || r->elems / r->heads % host_fused_row(s->fused))
            return false;
        host_step_visit(s, check_chain, nothing, r);
        return r->ok;
    }
    if (s->kind != STEP_MATMUL || matrices(s->call) != r->heads)
        return false;
    const MatmulPlan *p = &s->call->plan.matmul;
    const int64_t per[2] = {p->m * p->k, p->k * p->n};
    for (int i = 0; i < 2; i++) {
        const Value *v = s->call->arg[i];
        if (!v->konst && r->made[r->f->whole[v->id]] &&
            !(whole_value(r, v) && type_elems(&v->type) == per[i] * (int64_t)r->heads))
            return false;
    }
    return true;
}

void host_heads(Arena *keep, HostFunc *f)
{
    Arena *scratch = arena_new();
    Grouping r = {.f = f, .made = NEW_N(scratch, bool, f->fn->values + 1)};
    uint32_t kept = 0;
    for (uint32_t s = 0, end; s < f->steps; s = end) {
        uint32_t products = 0;
        end = s;
        r.heads = f->step[s].kind == STEP_MATMUL ? matrices(f->step[s].call) : 0;
        for (; r.heads >= HEADS_MIN && end < f->steps && fits(&r, &f->step[end]); end++) {
            products += f->step[end].kind == STEP_MATMUL;
            host_step_visit(&f->step[end], nothing, mark, &r);
        }
        for (uint32_t k = s; k < end; k++)
            host_step_visit(&f->step[k], nothing, unmark, &r);
        if (end - s < 2 || products == 0) { /* nothing to gain */
            f->step[kept++] = f->step[s];
            end = s + 1;
            continue;
        }
        HostStep *part = NEW_N(keep, HostStep, end - s);
        for (uint32_t k = s; k < end; k++)
            part[k - s] = f->step[k];
        f->step[kept++] = (HostStep){.kind = STEP_HEADS, .part = part, .parts = end - s, .heads = r.heads};
    }
    f->steps = kept;
    arena_free(scratch);
}

typedef struct {
    const HostRun *r;
    const HostStep *s;
} Heads;

static void run_head(void *with, uint32_t head)
{
    const Heads *h = with;
    for (const HostStep *p = h->s->part, *end = p + h->s->parts; p < end; p++)
        if (p->kind == STEP_FUSED) {
            int64_t n = host_fused_elems(p->fused) / h->s->heads;
            host_fused_range(h->r, p->fused, head * n, head * n + n);
        } else
            host_product_run(h->r, p, head);
}

void host_heads_run(const HostRun *r, const HostStep *s)
{
    Heads h = {r, s};
    pool_for(r->device->options.pool, s->heads, run_head, &h);
}
