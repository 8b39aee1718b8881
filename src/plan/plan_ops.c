/* plan_ops.c: operand types and shapes of every CPU operation: a plan's own copy of the shape rules.
 *
 * The compiler has the same rules for its graph (ir/infer.c). They are written a second time, over plain shapes,
 * because a plan is a file from anywhere and the runtime links nothing of the compiler. Types are fewer here: reals are
 * fp32, truth values are the integers 0 and 1. */
#include "plan/plan_ops.h"

#include <string.h>

const char *const plan_cmp_name[6] = {"eq", "ne", "lt", "gt", "le", "ge"};
const char *const plan_type_name[3] = {"f32", "f16", "i32"};

enum { NUMEL_BITS = 40 };

int64_t plan_numel(PlanShape s)
{
    int64_t n = 1;
    if (s.rank > PLAN_MAX_RANK)
        return -1;
    for (uint32_t i = 0; i < s.rank; i++) {
        if (s.dim[i] < 1 || n > ((int64_t)1 << NUMEL_BITS) / s.dim[i])
            return -1;
        n *= s.dim[i];
    }
    return n;
}

bool plan_shape_equal(PlanShape a, PlanShape b)
{
    return a.rank == b.rank && memcmp(a.dim, b.dim, a.rank * sizeof a.dim[0]) == 0;
}

static bool wrong(PlanRule *r, const char *fmt, ...) ANEL_PRINTF(2, 3);
static bool wrong(PlanRule *r, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    buf_vprintf(r->err, fmt, ap);
    va_end(ap);
    return false;
}

/* "operands are 4x5 and 4x6" */
static bool differ(PlanRule *r, const char *what, PlanShape a, PlanShape b)
{
    buf_printf(r->err, "%s are ", what);
    plan_shape_print(a, r->err);
    buf_puts(r->err, " and ");
    plan_shape_print(b, r->err);
    return false;
}

static bool is_type(PlanRule *r, uint32_t k, PlanType t)
{
    if (r->in[k].any || r->in[k].type == t)
        return true;
    return wrong(r, "operand %u is %s, needs %s", k, plan_type_name[r->in[k].type], plan_type_name[t]);
}

static bool axis_ok(PlanRule *r, PlanShape s)
{
    if (r->a->axis >= 0 && r->a->axis < (int32_t)s.rank)
        return true;
    return wrong(r, "axis %d of a value of rank %u", r->a->axis, s.rank);
}

/* Common type of operands first..last: the first one that is not a bare number decides, then the destination. */
static bool common_type(PlanRule *r, uint32_t first, uint32_t last, PlanType *t)
{
    bool known = false;
    for (uint32_t i = first; i <= last; i++) {
        if (r->in[i].any)
            continue;
        if (known && r->in[i].type != *t)
            return wrong(r, "operands are %s and %s; both need the same type", plan_type_name[*t],
                         plan_type_name[r->in[i].type]);
        *t = r->in[i].type;
        known = true;
    }
    if (!known)
        *t = r->out->type;
    return true;
}

static bool same_shapes(PlanRule *r)
{
    for (uint32_t i = 1; i < r->ins; i++)
        if (!plan_shape_equal(r->in[0].shape, r->in[i].shape))
            return differ(r, "operands", r->in[0].shape, r->in[i].shape);
    return true;
}

static bool rule_float(PlanRule *r)
{
    r->out->type = PLAN_F32;
    r->out->shape = r->in[0].shape;
    return is_type(r, 0, PLAN_F32);
}

static bool rule_binary(PlanRule *r)
{
    r->out->shape = r->in[0].shape;
    return same_shapes(r) && common_type(r, 0, 1, &r->out->type);
}

static bool rule_cmp(PlanRule *r)
{
    PlanType t;
    if (r->a->cmp >= COUNT(plan_cmp_name))
        return wrong(r, "unknown comparison %u", r->a->cmp);
    r->out->shape = r->in[0].shape;
    r->out->type = PLAN_F32; /* how two bare numbers compare */
    if (!same_shapes(r) || !common_type(r, 0, 1, &t))
        return false;
    r->out->type = PLAN_I32;
    return true;
}

static bool rule_select(PlanRule *r)
{
    r->out->shape = r->in[0].shape;
    return is_type(r, 0, PLAN_I32) && same_shapes(r) && common_type(r, 1, 2, &r->out->type);
}

static bool rule_reduce(PlanRule *r)
{
    PlanShape s = r->in[0].shape;
    if (r->a->axes >> s.rank)
        return wrong(r, "an axis to reduce is beyond rank %u", s.rank);
    for (uint32_t i = 0; i < s.rank; i++)
        if (r->a->axes >> i & 1)
            s.dim[i] = 1;
    r->out->type = PLAN_F32;
    r->out->shape = s;
    return is_type(r, 0, PLAN_F32);
}

static bool rule_softmax(PlanRule *r)
{
    return rule_float(r) && axis_ok(r, r->in[0].shape);
}

static bool rule_matmul(PlanRule *r)
{
    PlanShape x = r->in[0].shape, y = r->in[1].shape;
    uint32_t  k = x.rank;
    if (!is_type(r, 0, PLAN_F32) || !is_type(r, 1, PLAN_F32))
        return false;
    if (k < 2 || y.rank != k)
        return wrong(r, "operands have ranks %u and %u; both need the same rank, at least 2", k, y.rank);
    for (uint32_t i = 0; i + 2 < k; i++)
        if (x.dim[i] != y.dim[i])
            return wrong(r, "leading axis %u is %d and %d", i, x.dim[i], y.dim[i]);
    bool    ta = r->a->ta, tb = r->a->tb;
    int32_t kx = x.dim[ta ? k - 2 : k - 1], ky = y.dim[tb ? k - 1 : k - 2];
    if (kx != ky)
        return wrong(r, "contracts %d with %d", kx, ky);
    r->out->type = PLAN_F32;
    r->out->shape = x;
    r->out->shape.dim[k - 2] = x.dim[ta ? k - 1 : k - 2];
    r->out->shape.dim[k - 1] = y.dim[tb ? k - 2 : k - 1];
    return true;
}

/* The result's type is the operand's, or the destination's for a bare number. */
static void type_of_operand(PlanRule *r, uint32_t k)
{
    if (!r->in[k].any)
        r->out->type = r->in[k].type;
}

static bool rule_reshape(PlanRule *r)
{
    type_of_operand(r, 0);
    if (plan_numel(r->in[0].shape) != plan_numel(r->out->shape))
        return differ(r, "operand and result", r->in[0].shape, r->out->shape);
    return true;
}

static bool rule_transpose(PlanRule *r)
{
    PlanShape s = r->in[0].shape;
    uint32_t  seen = 0;
    for (uint32_t i = 0; i < s.rank; i++) {
        int32_t p = r->a->perm[i];
        if (p < 0 || p >= (int32_t)s.rank || seen >> p & 1)
            return wrong(r, "perm is not a permutation of %u axes", s.rank);
        seen |= 1u << p;
        s.dim[i] = r->in[0].shape.dim[p];
    }
    type_of_operand(r, 0);
    r->out->shape = s;
    return true;
}

static bool rule_broadcast(PlanRule *r)
{
    PlanShape x = r->in[0].shape, y = r->out->shape;
    bool      ok = x.rank == y.rank;
    for (uint32_t i = 0; ok && i < x.rank; i++)
        ok = x.dim[i] == y.dim[i] || x.dim[i] == 1;
    type_of_operand(r, 0);
    return ok ? true : differ(r, "extents that are not 1 must stay: operand and result", x, y);
}

static bool rule_slice(PlanRule *r)
{
    PlanShape s = r->in[0].shape;
    for (uint32_t i = 0; i < s.rank; i++) {
        int32_t b = r->a->begin[i], e = r->a->end[i];
        if (b < 0 || e <= b || e > s.dim[i])
            return wrong(r, "slice %d to %d of axis %u with extent %d", b, e, i, s.dim[i]);
        s.dim[i] = e - b;
    }
    type_of_operand(r, 0);
    r->out->shape = s;
    return true;
}

static bool rule_pad(PlanRule *r)
{
    PlanShape s = r->in[0].shape;
    for (uint32_t i = 0; i < s.rank; i++) {
        int64_t lo = r->a->lo[i], hi = r->a->hi[i], n = s.dim[i] + lo + hi;
        if (lo < 0 || hi < 0 || n > INT32_MAX)
            return wrong(r, "padding %lld and %lld of axis %u", (long long)lo, (long long)hi, i);
        s.dim[i] = (int32_t)n;
    }
    type_of_operand(r, 0);
    r->out->shape = s;
    return true;
}

static bool rule_concat(PlanRule *r)
{
    PlanShape s = r->in[0].shape;
    int64_t   total = 0;
    if (!axis_ok(r, s) || !common_type(r, 0, r->ins - 1, &r->out->type))
        return false;
    for (uint32_t k = 0; k < r->ins; k++) {
        PlanShape x = r->in[k].shape;
        total += x.rank == s.rank ? x.dim[r->a->axis] : 0;
        bool ok = x.rank == s.rank && total <= INT32_MAX;
        for (uint32_t i = 0; ok && i < s.rank; i++)
            ok = (int32_t)i == r->a->axis || x.dim[i] == s.dim[i];
        if (!ok)
            return differ(r, "parts do not fit: they", r->in[0].shape, x);
    }
    s.dim[r->a->axis] = (int32_t)total;
    r->out->shape = s;
    return true;
}

/* Shape of the rows picked from (or added to) `table` by `index`: index..., table without its first axis. */
static bool rows_shape(PlanRule *r, PlanShape table, PlanShape index, PlanShape *rows)
{
    if (table.rank < 1 || index.rank + table.rank - 1 > PLAN_MAX_RANK)
        return wrong(r, "a table of rank %u cannot be indexed by rank %u", table.rank, index.rank);
    *rows = index;
    for (uint32_t i = 1; i < table.rank; i++)
        rows->dim[rows->rank++] = table.dim[i];
    return true;
}

static bool rule_gather(PlanRule *r)
{
    type_of_operand(r, 0);
    return is_type(r, 1, PLAN_I32) && rows_shape(r, r->in[0].shape, r->in[1].shape, &r->out->shape);
}

static bool rule_scatter_add(PlanRule *r)
{
    PlanShape rows = {0};
    if (!is_type(r, 0, PLAN_I32) || !is_type(r, 1, PLAN_F32) || !rows_shape(r, r->out->shape, r->in[0].shape, &rows))
        return false;
    r->out->type = PLAN_F32;
    return plan_shape_equal(rows, r->in[1].shape) ? true : differ(r, "rows needed and given", rows, r->in[1].shape);
}

static bool rule_xent(PlanRule *r)
{
    PlanShape z = r->in[0].shape, y = {.rank = z.rank - 1};
    if (!is_type(r, 0, PLAN_F32) || !is_type(r, 1, PLAN_I32) || !axis_ok(r, z))
        return false;
    for (uint32_t i = 0; i < y.rank; i++)
        y.dim[i] = z.dim[(int32_t)i < r->a->axis ? i : i + 1];
    if (!plan_shape_equal(y, r->in[1].shape))
        return differ(r, "classes needed and given", y, r->in[1].shape);
    r->out->type = PLAN_F32;
    r->out->shape = y;
    return true;
}

static bool rule_xent_grad(PlanRule *r)
{
    if (!rule_xent(r) || !is_type(r, 2, PLAN_F32))
        return false;
    if (!plan_shape_equal(r->in[2].shape, r->out->shape))
        return differ(r, "cotangents needed and given", r->out->shape, r->in[2].shape);
    r->out->shape = r->in[0].shape;
    return true;
}

static bool rule_splice(PlanRule *r)
{
    PlanShape s = r->in[0].shape, x = r->in[1].shape;
    if (!common_type(r, 0, 1, &r->out->type) || !is_type(r, 2, PLAN_I32) || !axis_ok(r, s))
        return false;
    if (plan_numel(r->in[2].shape) != 1)
        return wrong(r, "the position must be one number");
    bool ok = x.rank == s.rank;
    for (int32_t i = 0; ok && i < (int32_t)s.rank; i++)
        ok = i == r->a->axis ? x.dim[i] <= s.dim[i] : x.dim[i] == s.dim[i];
    r->out->shape = s;
    return ok ? true : differ(r, "the update does not fit: whole and update", s, x);
}

static bool rule_cast(PlanRule *r)
{
    r->out->shape = r->in[0].shape;
    return true; /* from any type to any type */
}

/* A matrix and a vector that multiplies its columns (or rows). */
static bool scaled(PlanRule *r, uint32_t axis)
{
    PlanShape x = r->in[0].shape;
    r->out->type = PLAN_F32;
    r->out->shape = x;
    if (!is_type(r, 0, PLAN_F32) || !is_type(r, 1, PLAN_F32))
        return false;
    return x.rank == 2 && plan_numel(r->in[1].shape) == x.dim[axis] ? true
                                                                    : differ(r, "matrix and vector", x, r->in[1].shape);
}

static bool rule_colscale(PlanRule *r)
{
    return scaled(r, 1);
}

static bool rule_rowscale(PlanRule *r)
{
    return scaled(r, 0);
}

/* Two matrices, multiplied element by element and summed over rows (or columns). */
static bool dotted(PlanRule *r, uint32_t axis)
{
    PlanShape x = r->in[0].shape;
    r->out->type = PLAN_F32;
    if (!is_type(r, 0, PLAN_F32) || !is_type(r, 1, PLAN_F32))
        return false;
    if (x.rank != 2 || !plan_shape_equal(x, r->in[1].shape))
        return differ(r, "operands", x, r->in[1].shape);
    return plan_numel(r->out->shape) == x.dim[axis] ? true : differ(r, "operand and result", x, r->out->shape);
}

static bool rule_coldot(PlanRule *r)
{
    return dotted(r, 1);
}

static bool rule_rowdot(PlanRule *r)
{
    return dotted(r, 0);
}

bool plan_adds(const Plan *p, const Ref *r)
{
    return r->kind == REF_GRAD || (r->kind == REF_BUFFER && p->buffer[r->index].kind == BUF_ACCUMULATOR);
}

static bool rule_iota(PlanRule *r)
{
    if (r->out->shape.rank != 1)
        return wrong(r, "the result has rank %u, needs rank 1", r->out->shape.rank);
    r->out->type = PLAN_I32;
    return true;
}

const PlanOp plan_ops[] = {
    {"iota", 0, ATTR_NONE, 0, rule_iota},
    {"add", 2, ATTR_NONE, PLAN_IN_PLACE_ALL, rule_binary},
    {"sub", 2, ATTR_NONE, PLAN_IN_PLACE_ALL, rule_binary},
    {"mul", 2, ATTR_NONE, PLAN_IN_PLACE_ALL, rule_binary},
    {"div", 2, ATTR_NONE, PLAN_IN_PLACE_ALL, rule_binary},
    {"max", 2, ATTR_NONE, PLAN_IN_PLACE_ALL, rule_binary},
    {"min", 2, ATTR_NONE, PLAN_IN_PLACE_ALL, rule_binary},
    {"neg", 1, ATTR_NONE, PLAN_IN_PLACE_ALL, rule_float},
    {"exp", 1, ATTR_NONE, PLAN_IN_PLACE_ALL, rule_float},
    {"log", 1, ATTR_NONE, PLAN_IN_PLACE_ALL, rule_float},
    {"sqrt", 1, ATTR_NONE, PLAN_IN_PLACE_ALL, rule_float},
    {"rsqrt", 1, ATTR_NONE, PLAN_IN_PLACE_ALL, rule_float},
    {"tanh", 1, ATTR_NONE, PLAN_IN_PLACE_ALL, rule_float},
    {"sigmoid", 1, ATTR_NONE, PLAN_IN_PLACE_ALL, rule_float},
    {"powc", 1, ATTR_POWC, PLAN_IN_PLACE_ALL, rule_float},
    {"cmp", 2, ATTR_CMP, PLAN_IN_PLACE_ALL, rule_cmp},
    {"select", 3, ATTR_NONE, PLAN_IN_PLACE_ALL, rule_select},
    {"sum", 1, ATTR_AXES, 0, rule_reduce},
    {"amax", 1, ATTR_AXES, 0, rule_reduce},
    {"softmax", 1, ATTR_AXIS, 1, rule_softmax},
    {"matmul", 2, ATTR_MATMUL, 0, rule_matmul},
    {"reshape", 1, ATTR_NONE, 1, rule_reshape},
    {"transpose", 1, ATTR_PERM, 0, rule_transpose},
    {"broadcast", 1, ATTR_NONE, 0, rule_broadcast},
    {"slice", 1, ATTR_SLICE, 0, rule_slice},
    {"pad", 1, ATTR_PAD, 0, rule_pad},
    {"concat", PLAN_VARIADIC, ATTR_AXIS, 0, rule_concat},
    {"gather", 2, ATTR_NONE, 0, rule_gather},
    {"scatter_add", 2, ATTR_NONE, 0, rule_scatter_add},
    {"xent", 2, ATTR_AXIS, 0, rule_xent},
    {"xent_grad", 3, ATTR_AXIS, 1, rule_xent_grad},
    {"splice", 3, ATTR_AXIS, 1, rule_splice},
    {"cast", 1, ATTR_NONE, 1, rule_cast},
    {"colscale", 2, ATTR_NONE, 1, rule_colscale},
    {"rowscale", 2, ATTR_NONE, 1, rule_rowscale},
    {"coldot", 2, ATTR_NONE, 0, rule_coldot},
    {"rowdot", 2, ATTR_NONE, 0, rule_rowdot},
};
const uint32_t plan_op_count = COUNT(plan_ops);

const PlanOp *plan_op(const char *name)
{
    for (size_t i = 0; i < COUNT(plan_ops); i++)
        if (strcmp(plan_ops[i].name, name) == 0)
            return &plan_ops[i];
    return NULL;
}
