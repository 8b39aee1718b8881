/* infer.c: the result type of every operation from its operands' types: the shape column of ops.def.
 *
 * Each rule either fills n->type or appends one sentence to `err`. The sentences speak of shapes and attributes only;
 * who asks knows the source place. */
#include "ir/graph.h"

#include <string.h>

typedef struct {
    const Module *m;
    Node         *n;
    const Type   *in;
    uint32_t      n_in;
    const Node   *source; /* node of the first operand, may be NULL */
    Buf          *err;
} Rule;

typedef bool InferFn(Rule *r);

static bool wrong(Rule *r, const char *fmt, ...) ANEL_PRINTF(2, 3);
static bool wrong(Rule *r, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    buf_vprintf(r->err, fmt, ap);
    va_end(ap);
    return false;
}

static const char *text(Rule *r, Type t)
{
    return type_text(r->m->arena, t);
}

static bool is_number(DType d)
{
    return d == DT_REAL || d == DT_F16 || d == DT_F32;
}

/* Every extent at least 1, rank and element count in bounds. */
static bool sane(Rule *r, Type t)
{
    int64_t n = 1;
    if (t.shape.rank > MAX_RANK)
        return wrong(r, "rank %u is over %d", t.shape.rank, MAX_RANK);
    for (uint32_t i = 0; i < t.shape.rank; i++) {
        if (t.shape.dim[i] < 1)
            return wrong(r, "axis %u of %s is empty", i, text(r, t));
        n *= t.shape.dim[i];
        if (n > INT32_MAX)
            return wrong(r, "%s has more than 2^31 elements", text(r, t));
    }
    return true;
}

static bool axis_ok(Rule *r, int32_t axis, Shape s)
{
    return axis >= 0 && axis < s.rank ? true : wrong(r, "axis %d of a value of rank %u", axis, s.rank);
}

static bool infer_given(Rule *r)
{
    return r->n->type.dtype == DT_NONE ? wrong(r, "a leaf needs a type") : sane(r, r->n->type);
}

static bool infer_iota(Rule *r)
{
    Type t = r->n->type;
    if (t.dtype != DT_I32 || t.shape.rank != 1)
        return wrong(r, "iota has type i32[n], not %s", text(r, t));
    return sane(r, t);
}

static bool infer_same(Rule *r)
{
    for (uint32_t i = 0; i < r->n_in; i++) {
        if (!is_number(r->in[i].dtype) && !(r->in[i].dtype == DT_I32 && r->n_in == 2))
            return wrong(r, "operand %u is %s, a number is needed", i, text(r, r->in[i]));
        if (!type_equal(r->in[i], r->in[0]))
            return wrong(r, "operands %s and %s differ", text(r, r->in[0]), text(r, r->in[i]));
    }
    r->n->type = r->in[0];
    return true;
}

static bool infer_cmp(Rule *r)
{
    if (!type_equal(r->in[0], r->in[1]))
        return wrong(r, "operands %s and %s differ", text(r, r->in[0]), text(r, r->in[1]));
    if (r->in[0].dtype == DT_BOOL)
        return wrong(r, "truth values have no order");
    r->n->type = (Type){DT_BOOL, r->in[0].shape};
    return true;
}

static bool infer_select(Rule *r)
{
    if (r->in[0].dtype != DT_BOOL || !shape_equal(r->in[0].shape, r->in[1].shape))
        return wrong(r, "the condition is %s, bool of the shape of %s is needed", text(r, r->in[0]), text(r, r->in[1]));
    if (!type_equal(r->in[1], r->in[2]))
        return wrong(r, "the choices %s and %s differ", text(r, r->in[1]), text(r, r->in[2]));
    r->n->type = r->in[1];
    return true;
}

static bool infer_reduce(Rule *r)
{
    Type     t = r->in[0];
    uint32_t axes = r->n->a.reduce.axes;
    if (!is_number(t.dtype))
        return wrong(r, "operand is %s, a number is needed", text(r, t));
    if (axes >> t.shape.rank)
        return wrong(r, "reduced axes 0x%x of a value of rank %u", axes, t.shape.rank);
    for (uint32_t i = 0; i < t.shape.rank; i++)
        if (axes >> i & 1)
            t.shape.dim[i] = 1;
    r->n->type = t;
    return true;
}

static bool infer_axis_same(Rule *r)
{
    if (!is_number(r->in[0].dtype))
        return wrong(r, "operand is %s, a number is needed", text(r, r->in[0]));
    if (!axis_ok(r, r->n->a.axis.axis, r->in[0].shape))
        return false;
    r->n->type = r->in[0];
    return true;
}

static bool infer_matmul(Rule *r)
{
    Type     a = r->in[0], b = r->in[1];
    uint32_t k = a.shape.rank;
    if (!is_number(a.dtype) || a.dtype != b.dtype)
        return wrong(r, "operands are %s and %s", text(r, a), text(r, b));
    if (k < 2 || b.shape.rank != k)
        return wrong(r, "ranks %u and %u: both operands need the same rank, at least 2", k, b.shape.rank);
    for (uint32_t i = 0; i + 2 < k; i++)
        if (a.shape.dim[i] != b.shape.dim[i])
            return wrong(r, "leading axis %u: %d against %d", i, a.shape.dim[i], b.shape.dim[i]);
    bool    ta = r->n->a.matmul.ta, tb = r->n->a.matmul.tb;
    int32_t m = a.shape.dim[ta ? k - 1 : k - 2], ka = a.shape.dim[ta ? k - 2 : k - 1];
    int32_t kb = b.shape.dim[tb ? k - 1 : k - 2], n = b.shape.dim[tb ? k - 2 : k - 1];
    if (ka != kb)
        return wrong(r, "contracts %d with %d", ka, kb);
    a.shape.dim[k - 2] = m;
    a.shape.dim[k - 1] = n;
    r->n->type = a;
    return sane(r, a);
}

static bool infer_reshape(Rule *r)
{
    Type t = r->n->type;
    if (!sane(r, t))
        return false;
    if (t.dtype != r->in[0].dtype || shape_numel(t.shape) != shape_numel(r->in[0].shape))
        return wrong(r, "cannot view %s as %s", text(r, r->in[0]), text(r, t));
    return true;
}

static bool infer_transpose(Rule *r)
{
    Type     t = r->in[0];
    uint32_t seen = 0;
    for (uint32_t i = 0; i < t.shape.rank; i++) {
        uint32_t p = r->n->a.transpose.perm[i];
        if (p >= t.shape.rank || seen >> p & 1)
            return wrong(r, "not a permutation of %u axes", t.shape.rank);
        seen |= 1u << p;
        t.shape.dim[i] = r->in[0].shape.dim[p];
    }
    r->n->type = t;
    return true;
}

static bool infer_broadcast(Rule *r)
{
    Type x = r->in[0], t = r->n->type;
    if (!sane(r, t))
        return false;
    if (x.dtype != t.dtype || x.shape.rank != t.shape.rank)
        return wrong(r, "cannot broadcast %s to %s", text(r, x), text(r, t));
    for (uint32_t i = 0; i < t.shape.rank; i++)
        if (x.shape.dim[i] != t.shape.dim[i] && x.shape.dim[i] != 1)
            return wrong(r, "cannot broadcast %s to %s: axis %u is not 1", text(r, x), text(r, t), i);
    return true;
}

static bool infer_slice(Rule *r)
{
    Type t = r->in[0];
    for (uint32_t i = 0; i < t.shape.rank; i++) {
        int32_t b = r->n->a.slice.begin[i], e = r->n->a.slice.end[i];
        if (b < 0 || e <= b || e > t.shape.dim[i])
            return wrong(r, "slice %d..%d of axis %u with extent %d", b, e, i, t.shape.dim[i]);
        t.shape.dim[i] = e - b;
    }
    r->n->type = t;
    return true;
}

static bool infer_pad(Rule *r)
{
    Type t = r->in[0];
    if (!is_number(t.dtype))
        return wrong(r, "operand is %s, a number is needed", text(r, t));
    for (uint32_t i = 0; i < t.shape.rank; i++) {
        int64_t lo = r->n->a.pad.lo[i], hi = r->n->a.pad.hi[i];
        if (lo < 0 || hi < 0 || t.shape.dim[i] + lo + hi > INT32_MAX)
            return wrong(r, "padding %lld and %lld of axis %u", (long long)lo, (long long)hi, i);
        t.shape.dim[i] += (int32_t)(lo + hi);
    }
    r->n->type = t;
    return sane(r, t);
}

static bool infer_concat(Rule *r)
{
    int32_t axis = r->n->a.axis.axis;
    if (r->n_in == 0)
        return wrong(r, "nothing to concatenate");
    Type t = r->in[0];
    if (!axis_ok(r, axis, t.shape))
        return false;
    for (uint32_t k = 1; k < r->n_in; k++) {
        Type x = r->in[k];
        if (x.dtype != t.dtype || x.shape.rank != t.shape.rank)
            return wrong(r, "parts %s and %s do not fit", text(r, r->in[0]), text(r, x));
        for (int32_t i = 0; i < t.shape.rank; i++)
            if (i != axis && x.shape.dim[i] != t.shape.dim[i])
                return wrong(r, "parts %s and %s differ in axis %d", text(r, r->in[0]), text(r, x), i);
        if ((int64_t)t.shape.dim[axis] + x.shape.dim[axis] > INT32_MAX)
            return wrong(r, "the result is too long");
        t.shape.dim[axis] += x.shape.dim[axis];
    }
    r->n->type = t;
    return sane(r, t);
}

static bool infer_gather(Rule *r)
{
    Type t = r->in[0], ix = r->in[1];
    if (ix.dtype != DT_I32 || t.shape.rank == 0)
        return wrong(r, "needs a table and i32 indices, got %s and %s", text(r, t), text(r, ix));
    if (ix.shape.rank + t.shape.rank - 1u > MAX_RANK)
        return wrong(r, "result has rank over %d", MAX_RANK);
    Type y = {t.dtype, {.rank = (uint8_t)(ix.shape.rank + t.shape.rank - 1)}};
    for (uint32_t i = 0; i < ix.shape.rank; i++)
        y.shape.dim[i] = ix.shape.dim[i];
    for (uint32_t i = 1; i < t.shape.rank; i++)
        y.shape.dim[ix.shape.rank + i - 1] = t.shape.dim[i];
    r->n->type = y;
    return sane(r, y);
}

static bool infer_scatter(Rule *r)
{
    Type t = r->n->type, ix = r->in[0], rows = r->in[1];
    if (ix.dtype != DT_I32 || t.shape.rank == 0 || rows.dtype != t.dtype ||
        rows.shape.rank != ix.shape.rank + t.shape.rank - 1u)
        return wrong(r, "cannot scatter %s by %s into %s", text(r, rows), text(r, ix), text(r, t));
    for (uint32_t i = 0; i < rows.shape.rank; i++)
        if (rows.shape.dim[i] != (i < ix.shape.rank ? ix.shape.dim[i] : t.shape.dim[i - ix.shape.rank + 1]))
            return wrong(r, "cannot scatter %s by %s into %s", text(r, rows), text(r, ix), text(r, t));
    return sane(r, t);
}

/* The shape of `z` without axis `axis`. */
static Type dropped(Type z, int32_t axis)
{
    Type y = {z.dtype, {.rank = (uint8_t)(z.shape.rank - 1)}};
    for (int32_t i = 0; i < z.shape.rank - 1; i++)
        y.shape.dim[i] = z.shape.dim[i < axis ? i : i + 1];
    return y;
}

static bool infer_xent(Rule *r)
{
    Type z = r->in[0], t = r->in[1];
    if (!is_number(z.dtype) || t.dtype != DT_I32)
        return wrong(r, "needs logits and i32 classes, got %s and %s", text(r, z), text(r, t));
    if (!axis_ok(r, r->n->a.axis.axis, z.shape))
        return false;
    Type y = dropped(z, r->n->a.axis.axis);
    if (!shape_equal(y.shape, t.shape))
        return wrong(r, "logits %s need classes i32%s, got %s", text(r, z), strchr(text(r, y), '['), text(r, t));
    r->n->type = y;
    return true;
}

static bool infer_xent_grad(Rule *r)
{
    if (!infer_xent(r))
        return false;
    if (!type_equal(r->n->type, r->in[2]))
        return wrong(r, "cotangent is %s, not %s", text(r, r->in[2]), text(r, r->n->type));
    r->n->type = r->in[0];
    return true;
}

static bool infer_splice(Rule *r)
{
    Type    s = r->in[0], x = r->in[1], p = r->in[2];
    int32_t axis = r->n->a.axis.axis;
    if (p.dtype != DT_I32 || shape_numel(p.shape) != 1)
        return wrong(r, "the position is %s, one i32 is needed", text(r, p));
    if (x.dtype != s.dtype || x.shape.rank != s.shape.rank)
        return wrong(r, "cannot write %s into %s", text(r, x), text(r, s));
    if (!axis_ok(r, axis, s.shape))
        return false;
    for (int32_t i = 0; i < s.shape.rank; i++)
        if (i == axis ? x.shape.dim[i] > s.shape.dim[i] : x.shape.dim[i] != s.shape.dim[i])
            return wrong(r, "cannot write %s into %s along axis %d", text(r, x), text(r, s), axis);
    r->n->type = s;
    return true;
}

static bool infer_cast(Rule *r)
{
    if (r->n->type.dtype == DT_NONE || !shape_equal(r->n->type.shape, r->in[0].shape))
        return wrong(r, "cannot cast %s to %s", text(r, r->in[0]), text(r, r->n->type));
    return true;
}

static bool infer_repeat(Rule *r)
{
    Node    *n = r->n;
    uint32_t c = n->a.repeat.n_carry, x = n->a.repeat.n_xs;
    if (n->a.repeat.graph == 0 || n->a.repeat.graph >= r->m->graphs || n->a.repeat.n < 1)
        return wrong(r, "no such region, or no iterations");
    const Graph *g = r->m->graph[n->a.repeat.graph];
    if (r->n_in != g->inputs || c + x > r->n_in || g->outs < c)
        return wrong(r, "%u operands for a region with %u inputs", r->n_in, g->inputs);
    for (uint32_t i = 0; i < r->n_in; i++) {
        Type want = g->input[i].type;
        if (i >= c && i < c + x)
            want = type_stacked(want, n->a.repeat.n);
        if (!type_equal(r->in[i], want))
            return wrong(r, "operand %u is %s, the region wants %s", i, text(r, r->in[i]), text(r, want));
    }
    for (uint32_t i = 0; i < c; i++)
        if (!type_equal(g->node[g->out[i]].type, g->input[i].type))
            return wrong(r, "carried value %u enters as %s and leaves as %s", i, text(r, g->input[i].type),
                         text(r, g->node[g->out[i]].type));
    n->type = (Type){DT_NONE, {0}};
    return true;
}

static bool infer_call(Rule *r)
{
    Node *n = r->n;
    if (n->a.call.graph == 0 || n->a.call.graph >= r->m->graphs)
        return wrong(r, "no such region");
    const Graph *g = r->m->graph[n->a.call.graph];
    if (r->n_in != g->inputs)
        return wrong(r, "%u operands for a region with %u inputs", r->n_in, g->inputs);
    for (uint32_t i = 0; i < r->n_in; i++)
        if (!type_equal(r->in[i], g->input[i].type))
            return wrong(r, "operand %u is %s, the region wants %s", i, text(r, r->in[i]), text(r, g->input[i].type));
    n->type = (Type){DT_NONE, {0}};
    return true;
}

static bool infer_proj(Rule *r)
{
    const Node *s = r->source;
    uint32_t    k = r->n->a.proj.index;
    if (!s || (s->op != OP_repeat && s->op != OP_call))
        return wrong(r, "the operand is neither a repeat nor a call");
    const Graph *g = r->m->graph[s->op == OP_repeat ? s->a.repeat.graph : s->a.call.graph];
    if (k >= g->outs)
        return wrong(r, "result %u of %u", k, g->outs);
    Type t = g->node[g->out[k]].type;
    r->n->type = s->op == OP_repeat && k >= s->a.repeat.n_carry ? type_stacked(t, s->a.repeat.n) : t;
    return true;
}

static bool infer_sink(Rule *r)
{
    bool     grad = r->n->op == OP_grad;
    uint32_t set = r->n->a.leaf.set;
    if (set >= (grad ? r->m->param_sets : r->m->state_sets))
        return wrong(r, "no such parameter or state");
    Type want = grad ? r->m->param[r->m->param_set[set].leaf[0]].type : r->m->state[r->m->state_set[set].leaf[0]].type;
    if (!type_equal(r->in[0], want))
        return wrong(r, "%s does not fit '%s', which is %s", text(r, r->in[0]),
                     interned(r->m->strings, grad ? r->m->param_set[set].pattern : r->m->state_set[set].pattern),
                     text(r, want));
    r->n->type = (Type){DT_NONE, {0}};
    return true;
}

static InferFn *const infer_fn[OP_COUNT] = {
#define OP(name, arity, type, eval, vjp, mil) [OP_##name] = infer_##type,
#include "ir/ops.def"
};

bool op_infer(const Module *m, Node *n, const Type *in, uint32_t n_in, const Node *source, Buf *err)
{
    Rule r = {m, n, in, n_in, source, err};
    int  arity = op_info[n->op].arity;
    if (arity != VARIADIC && (uint32_t)arity != n_in)
        return wrong(&r, "'%s' takes %d operands, not %u", op_info[n->op].name, arity, n_in);
    return infer_fn[n->op](&r);
}
