/* host_run.c: running steps.
 *
 * Values of type fp16 are stored as fp16. Steps for which speed matters read and write them as they are. Everything
 * else goes through the kernels of kernels_*.c, which know arrays of Real only: operands are widened into scratch
 * memory, results narrowed, which is exact. */
#include "host/host.h"
#include "host/host_quirks.h"
#include "host/kernel.h"

#include "gemm.h"
#include "mil/rules.h"

#include <string.h>

enum { ALIGN = 64, PART = 1 << 15 };

static size_t wide_bytes(const Value *v)
{
    return ((size_t)type_elems(&v->type) * sizeof(float) + ALIGN - 1) / ALIGN * ALIGN;
}

size_t host_step_scratch(const HostDevice *d, const HostStep *s)
{
    if (s->kind != STEP_CALL)
        return 0;
    size_t bytes = ((size_t)s->call->scratch * d->build.real + ALIGN - 1) / ALIGN * ALIGN;
    uint32_t i = 0;
    for (Value *v; (v = next_operand(s->call, &i));)
        bytes += host_half(d, v) ? wide_bytes(v) : 0;
    for (uint32_t k = 0; k < s->call->results; k++)
        bytes += host_half(d, s->call->result[k]) ? wide_bytes(s->call->result[k]) : 0;
    return bytes;
}

/* ---- rows between fp16 and fp32, on the pool ------------------------------------------------------------------ */

typedef struct {
    const HalfKernels *h;
    uint16_t *half;
    float *wide;
    int64_t n;
    bool widen;
} Rows;

static void rows_part(void *with, uint32_t i)
{
    const Rows *w = with;
    int64_t from = (int64_t)i * PART, n = w->n - from < PART ? w->n - from : PART;
    if (w->widen)
        w->h->widen(w->half + from, w->wide + from, (size_t)n);
    else
        w->h->narrow(w->wide + from, w->half + from, (size_t)n);
}

static void rows(const HostRun *r, uint16_t *half, float *wide, int64_t n, bool widen)
{
    Rows w = {r->device->build.half, half, wide, n, widen};
    pool_for(r->device->options.pool, (uint32_t)((n + PART - 1) / PART), rows_part, &w);
}

/* ---- kernels on Real ------------------------------------------------------------------------------------------ */

static bool run_call(const HostRun *r, const HostStep *s)
{
    const Call *c = s->call;
    const HostDevice *d = r->device;
    char *at = r->scratch + ((size_t)c->scratch * d->build.real + ALIGN - 1) / ALIGN * ALIGN;
    Run run = {
        .data = r->wide, .scratch = r->scratch, .reduce = d->options.reduce, .pool = d->options.pool, .err = r->err};
    uint32_t i = 0;
    for (Value *v; (v = next_operand(c, &i));) {
        r->wide[v->id] = r->data[v->id];
        if (host_half(d, v)) {
            rows(r, r->data[v->id], (float *)at, type_elems(&v->type), true);
            r->wide[v->id] = at;
            at += wide_bytes(v);
        }
    }
    for (uint32_t k = 0; k < c->results; k++) {
        const Value *v = c->result[k];
        r->wide[v->id] = host_half(d, v) ? at : r->data[v->id];
        at += host_half(d, v) ? wide_bytes(v) : 0;
    }
    kernel_of(c->op, d->kernels)(&run, c);
    if (s->quirk)
        host_row_quirk_run(s->quirk, r->wide[c->arg[0]->id], 1, NULL, 0, r->wide[c->result[0]->id],
                           type_elems(&c->result[0]->type));
    for (uint32_t k = 0; k < c->results && !run.failed; k++)
        if (host_half(d, c->result[k]))
            rows(r, r->data[c->result[k]->id], r->wide[c->result[k]->id], type_elems(&c->result[k]->type), false);
    return !run.failed;
}

/* ---- products ------------------------------------------------------------------------------------------------- */

/* Everything a product needs, whichever operation it comes from. */
typedef struct {
    uint32_t count;
    int64_t m, n, k;
    GemmIn a, b;
    uint16_t *c;
} Product;

/* The factor of a regular operand: matrices from one of a batch to the next. */
static size_t batch_step(const MatmulPlan *p, const int64_t *stride)
{
    for (uint32_t d = p->batch_rank; d-- > 0;)
        if (p->batch[d] > 1)
            return stride[d] != 0;
    return 0;
}

static Product product_of(const HostRun *r, const Call *c)
{
    Product p = {.count = 1, .c = r->data[c->result[0]->id]};
    if (c->op->type == rule_conv) {
        const WindowPlan *w = &c->plan.window;
        int64_t positions = w->out[0] * w->out[1] * w->out[2];
        p.count = (uint32_t)w->batch;
        p.m = w->out_ch, p.n = positions, p.k = w->in_ch;
        p.a = (GemmIn){r->data[c->arg[1]->id], GEMM_F16, false, p.k, 0};
        p.b = (GemmIn){r->data[c->arg[0]->id], GEMM_F16, false, p.n, (size_t)(p.k * p.n)};
        return p;
    }
    const MatmulPlan *t = &c->plan.matmul;
    for (uint32_t d = 0; d < t->batch_rank; d++)
        p.count *= (uint32_t)t->batch[d];
    p.m = t->m, p.n = t->n, p.k = t->k;
    p.a = (GemmIn){r->data[c->arg[0]->id], GEMM_F16, t->tx, t->x_ld, batch_step(t, t->x_stride) * (size_t)(p.m * p.k)};
    p.b = (GemmIn){r->data[c->arg[1]->id], GEMM_F16, t->ty, t->y_ld, batch_step(t, t->y_stride) * (size_t)(p.k * p.n)};
    return p;
}

typedef struct {
    const HalfKernels *h;
    Product p;
    uint32_t blocks; /* of columns */
} RowProducts;

static void row_product(void *with, uint32_t i)
{
    const RowProducts *w = with;
    const Product *p = &w->p;
    uint32_t item = i / w->blocks;
    int64_t col = (int64_t)(i % w->blocks) * HALF_COLUMNS, cols = p->n - col < HALF_COLUMNS ? p->n - col : HALF_COLUMNS;
    const uint16_t *a = (const uint16_t *)p->a.data + item * p->a.stride;
    const uint16_t *b = (const uint16_t *)p->b.data + item * p->b.stride + col;
    for (int64_t m = 0; m < p->m; m++)
        w->h->row_product(a + m * (p->a.transposed ? 1 : p->a.ld), p->a.transposed ? p->a.ld : 1, b, p->b.ld, p->k,
                          cols, p->c + (item * (size_t)p->m + (size_t)m) * (size_t)p->n + col);
}

static void run_product(const HostRun *r, const HostStep *s)
{
    Pool *pool = r->device->options.pool;
    Product p = product_of(r, s->call);
    if (s->kind == STEP_ROWS) {
        RowProducts w = {r->device->build.half, p, (uint32_t)((p.n + HALF_COLUMNS - 1) / HALF_COLUMNS)};
        pool_for(pool, p.count * w.blocks, row_product, &w);
    } else
        gemm(pool, p.count, p.m, p.n, p.k, p.a, p.b, (GemmOut){p.c, GEMM_F16, false, p.n, (size_t)(p.m * p.n)});
}

void host_product_run(const HostRun *r, const HostStep *s, uint32_t head)
{
    Product p = product_of(r, s->call);
    p.a.data = (const uint16_t *)p.a.data + head * p.a.stride;
    p.b.data = (const uint16_t *)p.b.data + head * p.b.stride;
    uint16_t *c = p.c + head * (size_t)(p.m * p.n);
    gemm(NULL, 1, p.m, p.n, p.k, p.a, p.b, (GemmOut){c, GEMM_F16, false, p.n, 0});
    if (s->over)
        host_saturate(NULL, c, p.m * p.n, s->over);
}

/* ---- movement ------------------------------------------------------------------------------------------------- */

/* A view as rows of `cols` elements `step` apart; axes of extent 1 gone, neighbours merged. */
typedef struct {
    uint32_t rank;
    int64_t dim[MIL_RANK_MAX + 1], stride[MIL_RANK_MAX + 1], cols, step, rows, part;
    const uint16_t *in;
    uint16_t *out;
} Moving;

static void move_part(void *with, uint32_t i)
{
    const Moving *w = with;
    int64_t from = (int64_t)i * w->part, end = from + w->part < w->rows ? from + w->part : w->rows;
    for (int64_t row = from; row < end; row++) {
        const uint16_t *in = w->in;
        uint16_t *out = w->out + row * w->cols;
        int64_t rest = row;
        for (uint32_t d = w->rank; d-- > 0; rest /= w->dim[d])
            in += rest % w->dim[d] * w->stride[d];
        if (w->step == 1)
            memcpy(out, in, (size_t)w->cols * sizeof *out);
        else
            for (int64_t k = 0; k < w->cols; k++)
                out[k] = in[k * w->step];
    }
}

static void run_view(const HostRun *r, const Call *c)
{
    const ViewPlan *v = &c->plan.view;
    const uint16_t *in = r->data[c->arg[0]->id];
    Moving w = {.in = in + v->offset, .out = r->data[c->result[0]->id], .cols = 1, .step = 1};
    for (uint32_t i = 0; i < v->rank; i++) {
        if (v->dim[i] == 1)
            continue;
        bool merge = w.rank && w.stride[w.rank - 1] == v->stride[i] * v->dim[i];
        w.rank += !merge;
        w.dim[w.rank - 1] = (merge ? w.dim[w.rank - 1] : 1) * v->dim[i];
        w.stride[w.rank - 1] = v->stride[i];
    }
    if (w.rank) {
        w.rank--;
        w.cols = w.dim[w.rank];
        w.step = w.stride[w.rank];
    }
    w.rows = type_elems(&c->result[0]->type) / w.cols;
    w.part = PART / w.cols + 1;
    pool_for(r->device->options.pool, (uint32_t)((w.rows + w.part - 1) / w.part), move_part, &w);
}

/* Operands whose place is in the result already were computed there. */
static void run_concat(const HostRun *r, const Call *c)
{
    const JoinPlan *j = &c->plan.join;
    int64_t total = 0, at = 0;
    for (uint32_t i = 0; i < c->tuples; i++)
        total += j->part[i];
    for (uint32_t i = 0; i < c->tuples; at += j->part[i++]) {
        const uint16_t *in = r->data[c->tuple[i]->id];
        uint16_t *out = (uint16_t *)r->data[c->result[0]->id] + at;
        for (int64_t o = 0; in != out && o < j->outer; o++)
            memcpy(out + o * total, in + o * j->part[i], (size_t)j->part[i] * sizeof *out);
    }
}

static bool run_step(const HostRun *r, const HostStep *s)
{
    switch (s->kind) {
    case STEP_CALL:
        return run_call(r, s);
    case STEP_FUSED:
        host_fused_run(r, s->fused);
        return true;
    case STEP_CONV:
    case STEP_MATMUL:
    case STEP_ROWS:
        run_product(r, s);
        return true;
    case STEP_VIEW:
        run_view(r, s->call);
        return true;
    case STEP_CONCAT:
        run_concat(r, s->call);
        return true;
    case STEP_HEADS:
        host_heads_run(r, s);
        return true;
    }
    return true;
}

bool host_step_run(const HostRun *r, const HostStep *s)
{
    bool ok = run_step(r, s);
    for (uint32_t k = s->over_from; ok && s->over && k < s->call->results; k++)
        host_saturate(r->device->options.pool, r->data[s->call->result[k]->id], type_elems(&s->call->result[k]->type),
                      s->over);
    return ok;
}
