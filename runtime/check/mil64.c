/* mil64.c: see mil64.h. */
#include "check/mil64.h"

#include "base/rng.h"
#include "blas.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct Mil64 {
    Arena    *arena;
    Func     *fn;
    double  **value;    /* by id; NULL: not there */
    uint32_t *last_use; /* by id: index of the call, calls for outputs */
    uint64_t  noise, drawn;
};

static double *room(int64_t n)
{
    double *x = malloc((size_t)(n ? n : 1) * sizeof *x);
    if (!x)
        bug("out of memory: %lld numbers for the reference", (long long)n);
    return x;
}

/* The operand's numbers; constants are made doubles when first used. */
static const double *number(Mil64 *m, const Value *v)
{
    if (m->value[v->id] || !v->konst)
        return m->value[v->id];
    int64_t n = type_elems(&v->type);
    m->value[v->id] = room(n);
    for (int64_t i = 0; i < n; i++)
        m->value[v->id][i] = const_number(v, v->konst->count == 1 ? 0 : i);
    return m->value[v->id];
}

static const double *arg(Mil64 *m, const Call *c, uint32_t k)
{
    return c->arg[k] ? number(m, c->arg[k]) : NULL;
}

/* ---- rounding ---- */

/* The power of two at or below |x|, by its bits, times 2^-11. */
double mil64_half_ulp(double x)
{
    const uint64_t exponent = 0x7ff0000000000000u, least = (uint64_t)(1023 - 14) << 52, eleven = (uint64_t)11 << 52;
    uint64_t       bits;
    memcpy(&bits, &x, sizeof bits);
    bits &= exponent;
    bits = bits == exponent || bits < least ? least - eleven : bits - eleven;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static void round_off(Mil64 *m, double *x, int64_t n)
{
    for (int64_t i = 0; m->noise && i < n; i++) {
        uint64_t draw = rng_mix(m->noise + 0x9e3779b97f4a7c15u * ++m->drawn); /* SplitMix64 */
        x[i] += mil64_half_ulp(x[i]) * ((double)(int64_t)draw * 0x1p-63);
    }
}

/* ---- elementwise ---- */

typedef double Unary(double x, double a);
typedef double Binary(double x, double y);

static double f_exp(double x, double a) { (void)a; return exp(x); }
static double f_log(double x, double a) { return log(x + a); }
static double f_sqrt(double x, double a) { (void)a; return sqrt(x); }
static double f_rsqrt(double x, double a) { return 1 / sqrt(x + a); }
static double f_inverse(double x, double a) { return 1 / (x + a); }
static double f_tanh(double x, double a) { (void)a; return tanh(x); }
static double f_sigmoid(double x, double a) { (void)a; return 1 / (1 + exp(-x)); }
static double f_silu(double x, double a) { (void)a; return x / (1 + exp(-x)); }
static double f_relu(double x, double a) { (void)a; return x > 0 ? x : 0; }
static double f_abs(double x, double a) { (void)a; return fabs(x); }
static double f_square(double x, double a) { (void)a; return x * x; }
static double f_erf(double x, double a) { (void)a; return erf(x); }
static double f_same(double x, double a) { (void)a; return x; }

static double f_add(double x, double y) { return x + y; }
static double f_sub(double x, double y) { return x - y; }
static double f_mul(double x, double y) { return x * y; }
static double f_div(double x, double y) { return x / y; }
static double f_max(double x, double y) { return x > y ? x : y; }
static double f_min(double x, double y) { return x < y ? x : y; }
static double f_equal(double x, double y) { return x == y; }
static double f_not_equal(double x, double y) { return x != y; }
static double f_less(double x, double y) { return x < y; }
static double f_less_equal(double x, double y) { return x <= y; }
static double f_greater(double x, double y) { return x > y; }
static double f_greater_equal(double x, double y) { return x >= y; }

/* Operations whose result is rounded, and those that hand on what is there. */
static const struct {
    const char *name;
    Unary      *unary;
    Binary     *binary;
    bool        rounds;
} elementwise[] = {
    {"exp", f_exp, NULL, true},          {"log", f_log, NULL, true},         {"sqrt", f_sqrt, NULL, true},
    {"rsqrt", f_rsqrt, NULL, true},      {"inverse", f_inverse, NULL, true}, {"tanh", f_tanh, NULL, true},
    {"sigmoid", f_sigmoid, NULL, true},  {"silu", f_silu, NULL, true},       {"relu", f_relu, NULL, false},
    {"abs", f_abs, NULL, false},         {"square", f_square, NULL, true},   {"erf", f_erf, NULL, true},
    {"identity", f_same, NULL, false},   {"reshape", f_same, NULL, false},   {"expand_dims", f_same, NULL, false},
    {"squeeze", f_same, NULL, false},    {"add", NULL, f_add, true},         {"sub", NULL, f_sub, true},
    {"mul", NULL, f_mul, true},          {"real_div", NULL, f_div, true},    {"pow", NULL, pow, true},
    {"maximum", NULL, f_max, false},     {"minimum", NULL, f_min, false},    {"equal", NULL, f_equal, false},
    {"not_equal", NULL, f_not_equal, false}, {"less", NULL, f_less, false},  {"less_equal", NULL, f_less_equal, false},
    {"greater", NULL, f_greater, false}, {"greater_equal", NULL, f_greater_equal, false},
};

/* Offsets of the operands of the first element of a row (of the last axis) of a broadcast. */
static void offsets(const BroadcastPlan *p, int64_t row, int64_t at[BROADCAST_INPUTS])
{
    at[0] = at[1] = at[2] = 0;
    for (uint32_t d = p->rank - 1; d-- > 0; row /= p->dim[d])
        for (int k = 0; k < BROADCAST_INPUTS; k++)
            at[k] += row % p->dim[d] * p->stride[k][d];
}

static void run_binary(Binary *f, const BroadcastPlan *p, const double *x, const double *y, double *out, int64_t n)
{
    uint32_t last = p->rank - 1;
    int64_t  dx = p->stride[0][last], dy = p->stride[1][last], row = p->dim[last], at[BROADCAST_INPUTS];
    for (int64_t r = 0; r * row < n; r++) {
        offsets(p, r, at);
        for (int64_t i = 0; i < row; i++)
            out[r * row + i] = f(x[at[0] + i * dx], y[at[1] + i * dy]);
    }
}

static bool run_elementwise(Mil64 *m, const Call *c, double *out, int64_t n)
{
    for (size_t k = 0; k < COUNT(elementwise); k++) {
        if (strcmp(elementwise[k].name, c->name) != 0)
            continue;
        const double *x = arg(m, c, 0);
        if (elementwise[k].binary)
            run_binary(elementwise[k].binary, &c->plan.broadcast, x, arg(m, c, 1), out, n);
        for (int64_t i = 0; elementwise[k].unary && i < n; i++)
            out[i] = elementwise[k].unary(x[i], c->plan.scalar.alpha);
        if (elementwise[k].rounds)
            round_off(m, out, n);
        return true;
    }
    return false;
}

/* ---- the others ---- */

static void run_select(Mil64 *m, const Call *c, double *out, int64_t n)
{
    const double *cond = arg(m, c, 0), *a = arg(m, c, 1), *b = arg(m, c, 2);
    const BroadcastPlan *p = &c->plan.broadcast;
    uint32_t             last = p->rank - 1;
    int64_t              row = p->dim[last], at[BROADCAST_INPUTS];
    for (int64_t r = 0; r * row < n; r++) {
        offsets(p, r, at);
        for (int64_t i = 0; i < row; i++)
            out[r * row + i] = cond[at[0] + i * p->stride[0][last]] != 0 ? a[at[1] + i * p->stride[1][last]]
                                                                         : b[at[2] + i * p->stride[2][last]];
    }
}

static void run_view(Mil64 *m, const Call *c, double *out, int64_t n)
{
    const ViewPlan *v = &c->plan.view;
    const double   *x = arg(m, c, 0);
    int64_t         row = v->rank ? v->dim[v->rank - 1] : 1, step = v->rank ? v->stride[v->rank - 1] : 0;
    for (int64_t r = 0; r * row < n; r++) {
        int64_t from = v->offset, rest = r;
        for (uint32_t d = v->rank ? v->rank - 1 : 0; d-- > 0; rest /= v->dim[d])
            from += rest % v->dim[d] * v->stride[d];
        for (int64_t i = 0; i < row; i++)
            out[r * row + i] = x[from + i * step];
    }
}

static void run_concat(Mil64 *m, const Call *c, double *out, int64_t n)
{
    const JoinPlan *j = &c->plan.join;
    (void)n;
    for (int64_t o = 0; o < j->outer; o++)
        for (uint32_t i = 0; i < c->tuples; out += j->part[i++])
            memcpy(out, number(m, c->tuple[i]) + o * j->part[i], (size_t)j->part[i] * sizeof *out);
}

static void product(bool tx, bool ty, int64_t rows, int64_t cols, int64_t k, const double *x, int64_t x_ld, const double *y,
                    int64_t y_ld, double *out)
{
    cblas_dgemm(CblasRowMajor, tx ? CblasTrans : CblasNoTrans, ty ? CblasTrans : CblasNoTrans, (int)rows, (int)cols, (int)k, 1, x,
                (int)x_ld, y, (int)y_ld, 0, out, (int)cols);
}

static void run_conv(Mil64 *m, const Call *c, double *out, int64_t n)
{
    const WindowPlan *w = &c->plan.window;
    const double     *x = arg(m, c, 0), *weight = arg(m, c, 1), *bias = arg(m, c, 2);
    int64_t           positions = w->out[0] * w->out[1] * w->out[2];
    for (int64_t b = 0; b < w->batch; b++)
        for (int64_t g = 0; g < w->groups; g++) {
            double *to = out + (b * w->groups + g) * w->out_ch * positions;
            product(false, false, w->out_ch, positions, w->in_ch, weight + g * w->out_ch * w->in_ch, w->in_ch,
                    x + (b * w->groups + g) * w->in_ch * positions, positions, to);
            for (int64_t i = 0; bias && i < w->out_ch * positions; i++)
                to[i] += bias[g * w->out_ch + i / positions];
        }
    round_off(m, out, n);
}

static void run_matmul(Mil64 *m, const Call *c, double *out, int64_t n)
{
    const MatmulPlan *p = &c->plan.matmul;
    const double     *x = arg(m, c, 0), *y = arg(m, c, 1);
    for (int64_t i = 0; i * p->m * p->n < n; i++) {
        int64_t rest = i, at_x = 0, at_y = 0;
        for (uint32_t d = p->batch_rank; d-- > 0; rest /= p->batch[d]) {
            at_x += rest % p->batch[d] * p->x_stride[d];
            at_y += rest % p->batch[d] * p->y_stride[d];
        }
        product(p->tx, p->ty, p->m, p->n, p->k, x + at_x * p->m * p->k, p->x_ld, y + at_y * p->k * p->n, p->y_ld,
                out + i * p->m * p->n);
    }
    round_off(m, out, n);
}

static void run_softmax(Mil64 *m, const Call *c, double *out, int64_t n)
{
    const AxisPlan *p = &c->plan.axis;
    const double   *x = arg(m, c, 0);
    for (int64_t o = 0; o < p->outer; o++)
        for (int64_t k = 0; k < p->inner; k++) {
            int64_t at = o * p->n * p->inner + k;
            double  max = -INFINITY, sum = 0;
            for (int64_t i = 0; i < p->n; i++)
                max = fmax(max, x[at + i * p->inner]);
            for (int64_t i = 0; i < p->n; i++)
                sum += out[at + i * p->inner] = exp(x[at + i * p->inner] - max);
            for (int64_t i = 0; i < p->n; i++)
                out[at + i * p->inner] /= sum;
        }
    round_off(m, out, n);
}

static void run_reduce(Mil64 *m, const Call *c, double *out, int64_t n)
{
    const AxisPlan *p = &c->plan.axis;
    const double   *x = arg(m, c, 0);
    bool            max = strcmp(c->name, "reduce_max") == 0, mean = strcmp(c->name, "reduce_mean") == 0;
    for (int64_t o = 0; o < p->outer; o++)
        for (int64_t k = 0; k < p->inner; k++) {
            double fold = max ? -INFINITY : 0;
            for (int64_t i = 0; i < p->n; i++) {
                double v = x[(o * p->n + i) * p->inner + k];
                fold = max ? fmax(fold, v) : fold + v;
            }
            out[o * p->inner + k] = mean ? fold / (double)p->n : fold;
        }
    if (!max)
        round_off(m, out, n);
}

/* softmax(query key^T / sqrt(E) + mask) value; a mask of truth values keeps where it is true. */
static void run_attention(Mil64 *m, const Call *c, double *out, int64_t n)
{
    const MatmulPlan *p = &c->plan.matmul; /* [m, k] x [n, k]^T, then [m, n] x [n, x_ld] */
    const double     *q = arg(m, c, 0), *key = arg(m, c, 1), *value = arg(m, c, 2), *mask = arg(m, c, 3);
    bool              keeps = mask && c->arg[3]->type.dtype == DT_BOOL;
    double           *weight = room(p->n);
    for (int64_t i = 0; i * p->m * p->x_ld < n; i++) {
        int64_t rest = i, at = 0;
        for (uint32_t d = p->batch_rank; d-- > 0; rest /= p->batch[d])
            at += rest % p->batch[d] * p->y_stride[d];
        for (int64_t row = 0; row < p->m; row++) {
            double  max = -INFINITY, sum = 0;
            double *to = out + (i * p->m + row) * p->x_ld;
            for (int64_t j = 0; j < p->n; j++) {
                double add = mask ? mask[at + row * p->mask_row + j * p->mask_col] : 0;
                weight[j] = 0;
                for (int64_t e = 0; e < p->k; e++)
                    weight[j] += q[(i * p->m + row) * p->k + e] * key[(i * p->n + j) * p->k + e];
                weight[j] /= sqrt((double)p->k);
                weight[j] = keeps ? (add != 0 ? weight[j] : -INFINITY) : weight[j] + add;
                max = fmax(max, weight[j]);
            }
            for (int64_t j = 0; j < p->n; j++)
                sum += weight[j] = exp(weight[j] - max);
            for (int64_t e = 0; e < p->x_ld; e++)
                to[e] = 0;
            for (int64_t j = 0; j < p->n; j++)
                for (int64_t e = 0; e < p->x_ld; e++)
                    to[e] += weight[j] / sum * value[(i * p->n + j) * p->x_ld + e];
        }
    }
    free(weight);
    round_off(m, out, n);
}

static const struct {
    const char *name;
    void (*run)(Mil64 *m, const Call *c, double *out, int64_t n);
} special[] = {{"select", run_select}, {"transpose", run_view}, {"slice_by_size", run_view}, {"slice_by_index", run_view},
               {"concat", run_concat}, {"conv", run_conv}, {"matmul", run_matmul}, {"softmax", run_softmax},
               {"scaled_dot_product_attention", run_attention},
               {"reduce_max", run_reduce}, {"reduce_sum", run_reduce}, {"reduce_mean", run_reduce}};

static void run_call(Mil64 *m, const Call *c)
{
    Value  *v = c->result[0];
    int64_t n = type_elems(&v->type);
    free(m->value[v->id]);
    m->value[v->id] = room(n);
    if (run_elementwise(m, c, m->value[v->id], n))
        return;
    for (size_t k = 0; k < COUNT(special); k++)
        if (strcmp(special[k].name, c->name) == 0)
            special[k].run(m, c, m->value[v->id], n);
}

/* ---- whole programs ---- */

static bool known(const Call *c)
{
    bool found = false;
    for (size_t k = 0; k < COUNT(elementwise); k++)
        found |= strcmp(elementwise[k].name, c->name) == 0;
    for (size_t k = 0; k < COUNT(special); k++)
        found |= strcmp(special[k].name, c->name) == 0;
    if (strcmp(c->name, "conv") == 0)
        return c->plan.window.plain;
    if (strcmp(c->name, "concat") == 0)
        return !c->plan.join.interleave;
    return found && c->results == 1 && !(strncmp(c->name, "reduce", 6) == 0 && c->plan.axis.permute);
}

static void find_last_uses(Mil64 *m)
{
    m->last_use = NEW_N(m->arena, uint32_t, m->fn->values + 1u);
    for (uint32_t i = 0; i < m->fn->calls; i++) {
        const Call *c = m->fn->call[i];
        for (uint32_t k = 0; k < CALL_ARGS; k++)
            if (c->arg[k])
                m->last_use[c->arg[k]->id] = i;
        for (uint32_t k = 0; k < c->tuples; k++)
            m->last_use[c->tuple[k]->id] = i;
    }
    for (uint32_t k = 0; k < m->fn->outputs; k++)
        m->last_use[m->fn->output[k]->id] = m->fn->calls;
}

Mil64 *mil64_new(const char *name, const char *mil, size_t len, const MilFile *file, uint32_t files, Buf *err)
{
    Arena   *a = arena_new(), *scratch = arena_new();
    Sources *sources = sources_new(scratch);
    Diags   *ds = diags_new(scratch, sources, name);
    Mil64   *m = NEW(a, Mil64);
    MilFile *kept = NEW_N(a, MilFile, files + 1u);
    uint32_t functions;
    m->arena = a;
    for (uint32_t i = 0; i < files; i++) {
        char *bytes = NEW_N(a, char, file[i].len + 1);
        memcpy(bytes, file[i].data, file[i].len);
        kept[i] = (MilFile){arena_strdup(a, file[i].path), bytes, file[i].len};
    }
    bool ok = mil_check(a, ds, sources_add(sources, name, mil, len), kept, files, &m->fn, &functions);
    if (!ok)
        diags_render(ds, err);
    for (uint32_t i = 0; ok && i < m->fn->calls; i++)
        if (!known(m->fn->call[i])) {
            buf_printf(err, "%s: there is no reference for '%s' as it is used here", name, m->fn->call[i]->name);
            ok = false;
        }
    arena_free(scratch);
    if (ok) {
        m->value = NEW_N(a, double *, m->fn->values + 1u);
        find_last_uses(m);
        return m;
    }
    arena_free(a);
    return NULL;
}

void mil64_forget(Mil64 *m)
{
    for (uint32_t i = 0; i < m->fn->values; i++) {
        free(m->value[i]);
        m->value[i] = NULL;
    }
}

void mil64_free(Mil64 *m)
{
    if (!m)
        return;
    mil64_forget(m);
    arena_free(m->arena);
}

const Func *mil64_func(const Mil64 *m)
{
    return m->fn;
}

static void drop(Mil64 *m, const Value *v, uint32_t call)
{
    if (v && !v->konst && m->last_use[v->id] <= call) {
        free(m->value[v->id]);
        m->value[v->id] = NULL;
    }
}

void mil64_run(Mil64 *m, const double *const *input, double *const *output, uint64_t noise)
{
    const Func *f = m->fn;
    m->noise = noise ? rng_mix(noise) | 1 : 0;
    m->drawn = 0;
    for (uint32_t k = 0; k < f->inputs; k++) {
        int64_t n = type_elems(&f->input[k]->type);
        free(m->value[f->input[k]->id]);
        m->value[f->input[k]->id] = room(n);
        memcpy(m->value[f->input[k]->id], input[k], (size_t)n * sizeof(double));
    }
    for (uint32_t i = 0; i < f->calls; i++) {
        const Call *c = f->call[i];
        run_call(m, c);
        for (uint32_t k = 0; k < CALL_ARGS; k++)
            drop(m, c->arg[k], i);
        for (uint32_t k = 0; k < c->tuples; k++)
            drop(m, c->tuple[k], i);
    }
    for (uint32_t k = 0; k < f->outputs; k++)
        memcpy(output[k], number(m, f->output[k]), (size_t)type_elems(&f->output[k]->type) * sizeof(double));
}
