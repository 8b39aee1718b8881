/* exec_recipe.c: the value of a recipe: parameters to what a weight file holds, in fp32.
 *
 * Values live in a pool of buffers that all recipes of a bake use again. A parameter is read where it is; everything
 * else is computed into a buffer of its own, whose operands are given back at once, so the pool holds a few matrices at
 * most. The arithmetic is that of the CPU's kernels. Rounding to fp16 comes once, at the end (exec_bake.c). */
#include "cpu.h"
#include "exec_internal.h"

#include <stdlib.h>
#include <string.h>

static float *take(RecipePool *p, size_t n)
{
    uint32_t best = p->slots;
    for (uint32_t i = 0; i < p->slots; i++)
        if (!p->slot[i].busy && (best == p->slots || (p->slot[i].n >= n && p->slot[best].n < n)))
            best = i;
    if (best == p->slots) {
        p->slot = xrealloc(p->slot, ++p->slots * sizeof *p->slot);
        memset(&p->slot[best], 0, sizeof *p->slot);
    }
    if (p->slot[best].n < n) {
        free(p->slot[best].data);
        p->slot[best].data = xmalloc(n * sizeof(float));
        p->slot[best].n = n;
    }
    p->slot[best].busy = true;
    return p->slot[best].data;
}

void recipe_give_back(RecipePool *p, const float *x)
{
    for (uint32_t i = 0; i < p->slots; i++)
        if (p->slot[i].data == x)
            p->slot[i].busy = false;
}

void recipe_pool_free(RecipePool *p)
{
    for (uint32_t i = 0; i < p->slots; i++)
        free(p->slot[i].data);
    free(p->slot);
    *p = (RecipePool){0};
}

static void run_kernel(const char *name, const StepAttr *a, const Recipe *r, const PlanShape *shape,
                       const void *const *in, float *out)
{
    static const PlanType types[PLAN_MAX_RANK] = {0};
    static const bool     splats[PLAN_MAX_RANK] = {0};
    const Kernel         *k = kernel_find(name);
    Buf                   why = {0};
    KernelArgs args = {.a = a, .ins = r->ins, .in_shape = shape, .in_type = types, .splat = splats, .shape = r->shape,
                       .numel = (size_t)plan_numel(r->shape), .in = in, .out = out, .err = &why};
    if (!(cpu_avx2() ? k->wide : k->run)(&args))
        bug("recipe: %s: %s", name, why.data ? why.data : "failed");
    buf_free(&why);
}

/* Parts one after the other along an axis. */
static void join(const Recipe *r, const void *const *in, float *out)
{
    KernelAxis to = kernel_axis(r->shape, r->axis);
    size_t     at = 0;
    for (uint32_t k = 0; k < r->ins; k++) {
        size_t row = (size_t)r->in[k]->shape.dim[r->axis] * to.inner;
        for (size_t o = 0; o < to.outer; o++)
            memcpy(out + (o * to.n * to.inner + at), (const float *)in[k] + o * row, row * sizeof(float));
        at += row;
    }
}

static void compute(const Recipe *r, const void *const *in, float *out)
{
    static const char *const kernel[RECIPE_COUNT] = {
        [RECIPE_TRANSPOSE] = "transpose", [RECIPE_PERMUTE] = "transpose",   [RECIPE_SLICE] = "slice",
        [RECIPE_COLSCALE] = "colscale",   [RECIPE_ROWSCALE] = "rowscale",   [RECIPE_MUL] = "mul",
        [RECIPE_ADD] = "add",             [RECIPE_APPLY] = "matmul",
        [RECIPE_PRODUCT] = "matmul",
    };
    StepAttr  a = {0};
    size_t    n = (size_t)plan_numel(r->shape);
    PlanShape shape[2] = {r->in[0]->shape, r->ins > 1 ? r->in[1]->shape : (PlanShape){0}};
    switch (r->kind) {
    case RECIPE_SCALE:
        for (size_t i = 0; i < n; i++)
            out[i] = (float)((double)((const float *)in[0])[i] * r->c);
        return;
    case RECIPE_CONCAT: join(r, in, out); return;
    case RECIPE_TRANSPOSE:
        a.perm[0] = 1;
        break;
    case RECIPE_PERMUTE: memcpy(a.perm, r->perm, sizeof a.perm); break;
    case RECIPE_SLICE:
        memcpy(a.begin, r->begin, sizeof a.begin);
        memcpy(a.end, r->end, sizeof a.end);
        break;
    case RECIPE_APPLY: shape[1] = (PlanShape){2, {shape[0].dim[1], 1}}; break;
    default: break;
    }
    run_kernel(kernel[r->kind], &a, r, shape, in, out);
}

const float *recipe_value(const Exec *e, RecipePool *p, const Recipe *r, uint32_t k)
{
    if (r->kind == RECIPE_PARAM)
        return e->param[r->param[k]].value;
    if (r->kind == RECIPE_TABLE)
        return e->table[r->table];
    if (r->kind == RECIPE_SHAPE)
        return recipe_value(e, p, r->in[0], k);
    const void **in = xcalloc(r->ins, sizeof *in);
    for (uint32_t i = 0; i < r->ins; i++)
        in[i] = recipe_value(e, p, r->in[i], k);
    float *out = take(p, (size_t)plan_numel(r->shape));
    compute(r, in, out);
    for (uint32_t i = 0; i < r->ins; i++)
        recipe_give_back(p, in[i]);
    free(in);
    return out;
}

const uint16_t *exec_recipe_value(const Exec *e, Workspace *w, const Recipe *r, uint32_t k, ConvertCount *count)
{
    bool          transposed = false;
    const Recipe *base = r; /* under transposes, of which only the parity matters: turning comes with rounding */
    for (; base->kind == RECIPE_TRANSPOSE; base = base->in[0])
        transposed = !transposed;
    const float *x = recipe_value(e, &w->pool, base, k);
    PlanShape    s = base->shape;
    size_t       n = (size_t)plan_numel(s);
    if (n > w->halves) {
        free(w->half);
        w->half = xmalloc(n * sizeof *w->half);
        w->halves = n;
    }
    if (transposed)
        convert_transposed_f16(x, w->half, (size_t)s.dim[0], (size_t)s.dim[1], count);
    else
        convert(x, STORE_F32, w->half, STORE_F16, n, count);
    recipe_give_back(&w->pool, x);
    return w->half;
}

void exec_workspace_free(Workspace *w)
{
    free(w->half);
    recipe_pool_free(&w->pool);
}
