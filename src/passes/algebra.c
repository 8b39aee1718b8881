/* algebra.c: local rules that replace a value by an equal, simpler one.
 *
 *   R2  last-two-axes transposes into ta, tb of a matmul (R1, R5: simplify.c, because they need to know who else reads)
 *   R3  x**1, x**2, x**0.5, x**-0.5, x**-1
 *   R4  (x*a)*b -> x*(ab); (x+a)+b -> x+(a+b); x/2^k -> x*2^-k; x/a*b -> x*(b/a)
 *   R7  concat of neighbouring slices -> one slice          R8  slice of a concat -> slice of the part
 *   pad concat      neighbouring parts padded with zeros and added -> their concat
 *   signs           -(-x) -> x; x-(-y) -> x+y; x+(-y) -> x-y; (-x)*(-y) -> x*y; (-x)*a -> x*(-a); -(x*a) -> x*(-a)
 *   repeated terms  x+x -> x*2; (a+b)+b -> a+b*2
 *
 * and, always: x*1, x+0, x-0, x/1 -> x; x*0 -> 0; x*-1 -> -x; transpose of transpose, reshape of reshape, slice of
 * slice, broadcast of broadcast -> one; movements, sums and casts that change nothing -> none; select with a constant
 * or with equal choices; stop_grad x -> x after differentiation.
 *
 * a, b and c are splats; constants move to the right. Every rule leaves the value the same in fp64 to 1e-12. The names
 * are those of switches.def; R6 is the back end's (mil_ops.c). */
#include "passes/simplify.h"
#include "passes/switches.h"

#include <math.h>
#include <string.h>

static const Node *node_of(const Simp *s, ValueId v)
{
    return &s->g->node[v];
}

static ValueId arg(const Simp *s, ValueId v, uint32_t k)
{
    return node_arg(s->g, v, k);
}

static bool on(const Simp *s, Switch k)
{
    return switched_on(s->m->off, k);
}

/* A node like `n`, with another operation. */
static Node as(const Node *n, Op op)
{
    Node c = *n;
    c.op = op;
    memset(&c.a, 0, sizeof c.a);
    return c;
}

static ValueId un(Simp *s, const Node *n, Op op, ValueId x)
{
    Node c = as(n, op);
    return emit(s, &c, &x, 1);
}

static ValueId bin(Simp *s, const Node *n, Op op, ValueId x, ValueId y)
{
    Node c = as(n, op);
    return emit(s, &c, (ValueId[]){x, y}, 2);
}

static ValueId splat(Simp *s, const Node *n, double c)
{
    Node k = as(n, OP_const);
    k.hint = 0;
    k.a.constant.splat = c;
    return emit(s, &k, NULL, 0);
}

static bool is_power_of_two(double c)
{
    int e;
    return isfinite(c) && c != 0 && fabs(frexp(c, &e)) == 0.5 && e > -60 && e < 60;
}

/* Hints speak about one statement's value: do not rebuild across them. */
static bool plain(const Simp *s, ValueId v, Op op)
{
    return node_of(s, v)->op == op && node_of(s, v)->hint == 0;
}

/* The only axis on which a pad adds anything, or -1. */
static int pad_axis(const Node *n)
{
    int axis = -1;
    for (uint32_t i = 0; i < n->type.shape.rank; i++)
        if (n->a.pad.lo[i] || n->a.pad.hi[i]) {
            if (axis >= 0)
                return -1;
            axis = (int)i;
        }
    return axis;
}

/* Neighbouring parts, each between zeros, and added: the adjoint of taking a value apart. */
static ValueId rule_add_pads(Simp *s, const Node *n, ValueId x, ValueId y)
{
    if (!on(s, SWITCH_pad_concat) || !plain(s, x, OP_pad) || !plain(s, y, OP_pad))
        return 0;
    const Node *p = node_of(s, x), *q = node_of(s, y);
    int         axis = pad_axis(p);
    if (axis < 0 || pad_axis(q) != axis)
        return 0;
    if (q->a.pad.lo[axis] < p->a.pad.lo[axis])
        return rule_add_pads(s, n, y, x);
    if (q->a.pad.lo[axis] + p->a.pad.hi[axis] != n->type.shape.dim[axis])
        return 0;
    ValueId part[2] = {arg(s, x, 0), arg(s, y, 0)};
    Node    c = as(n, OP_concat), around = *p;
    c.a.axis.axis = axis;
    around.a.pad.hi[axis] = q->a.pad.hi[axis];
    ValueId whole = emit(s, &c, part, 2);
    return emit(s, &around, &whole, 1);
}

static ValueId rule_add(Simp *s, const Node *n, ValueId x, ValueId y)
{
    double a, b;
    if (is_splat(s, x, &a))
        return bin(s, n, OP_add, y, x);
    if (is_splat(s, y, &b)) {
        if (b == 0)
            return x;
        if (on(s, SWITCH_scalar_chains) && plain(s, x, OP_add) && is_splat(s, arg(s, x, 1), &a))
            return bin(s, n, OP_add, arg(s, x, 0), splat(s, n, a + b));
        return 0;
    }
    if (n->type.dtype == DT_I32)
        return 0;
    if (on(s, SWITCH_signs) && plain(s, y, OP_neg))
        return bin(s, n, OP_sub, x, arg(s, y, 0));
    if (on(s, SWITCH_signs) && plain(s, x, OP_neg))
        return bin(s, n, OP_sub, y, arg(s, x, 0));
    ValueId joined = rule_add_pads(s, n, x, y);
    if (joined || !on(s, SWITCH_repeated_terms))
        return joined;
    if (x == y)
        return bin(s, n, OP_mul, x, splat(s, n, 2));
    if (plain(s, x, OP_add) && arg(s, x, 1) == y)
        return bin(s, n, OP_add, arg(s, x, 0), bin(s, n, OP_mul, y, splat(s, n, 2)));
    return 0;
}

static ValueId rule_sub(Simp *s, const Node *n, ValueId x, ValueId y)
{
    double b;
    if (is_splat(s, y, &b) && n->type.dtype != DT_I32)
        return bin(s, n, OP_add, x, splat(s, n, -b));
    if (is_splat(s, x, &b) && b == 0 && n->type.dtype != DT_I32)
        return un(s, n, OP_neg, y);
    if (on(s, SWITCH_signs) && plain(s, y, OP_neg))
        return bin(s, n, OP_add, x, arg(s, y, 0));
    return 0;
}

static ValueId rule_mul(Simp *s, const Node *n, ValueId x, ValueId y)
{
    double a, b;
    if (n->type.dtype == DT_I32)
        return 0;
    if (is_splat(s, x, &a))
        return bin(s, n, OP_mul, y, x);
    if (is_splat(s, y, &b)) {
        if (b == 1)
            return x;
        if (b == 0)
            return splat(s, n, 0);
        if (b == -1)
            return un(s, n, OP_neg, x);
        bool chains = on(s, SWITCH_scalar_chains);
        if (chains && plain(s, x, OP_mul) && is_splat(s, arg(s, x, 1), &a))
            return bin(s, n, OP_mul, arg(s, x, 0), splat(s, n, a * b));
        if (chains && plain(s, x, OP_div) && is_splat(s, arg(s, x, 1), &a))
            return bin(s, n, OP_mul, arg(s, x, 0), splat(s, n, b / a));
        if (on(s, SWITCH_signs) && plain(s, x, OP_neg))
            return bin(s, n, OP_mul, arg(s, x, 0), splat(s, n, -b));
        return 0;
    }
    if (on(s, SWITCH_signs) && plain(s, x, OP_neg) && plain(s, y, OP_neg))
        return bin(s, n, OP_mul, arg(s, x, 0), arg(s, y, 0));
    return 0;
}

static ValueId rule_div(Simp *s, const Node *n, ValueId x, ValueId y)
{
    double a, b;
    if (!is_splat(s, y, &b) || b == 0 || n->type.dtype == DT_I32)
        return 0;
    if (b == 1)
        return x;
    if (!on(s, SWITCH_scalar_chains))
        return 0;
    if (is_power_of_two(b))
        return bin(s, n, OP_mul, x, splat(s, n, 1 / b));
    if (plain(s, x, OP_mul) && is_splat(s, arg(s, x, 1), &a))
        return bin(s, n, OP_mul, arg(s, x, 0), splat(s, n, a / b));
    if (plain(s, x, OP_div) && is_splat(s, arg(s, x, 1), &a))
        return bin(s, n, OP_div, arg(s, x, 0), splat(s, n, a * b));
    return 0;
}

static ValueId rule_neg(Simp *s, const Node *n, ValueId x)
{
    double a;
    if (!on(s, SWITCH_signs))
        return 0;
    if (plain(s, x, OP_neg))
        return arg(s, x, 0);
    if (plain(s, x, OP_mul) && is_splat(s, arg(s, x, 1), &a))
        return bin(s, n, OP_mul, arg(s, x, 0), splat(s, n, -a));
    return 0;
}

static ValueId rule_powc(Simp *s, const Node *n, ValueId x)
{
    double c = n->a.powc.c;
    if (c == 1)
        return x;
    if (!on(s, SWITCH_powers))
        return 0;
    if (c == 2)
        return bin(s, n, OP_mul, x, x);
    if (c == 0)
        return splat(s, n, 1);
    if (c == 0.5)
        return un(s, n, OP_sqrt, x);
    if (c == -0.5)
        return un(s, n, OP_rsqrt, x);
    if (c == -1)
        return bin(s, n, OP_div, splat(s, n, 1), x);
    return 0;
}

static ValueId rule_select(Simp *s, ValueId c, ValueId x, ValueId y)
{
    double k;
    if (x == y)
        return x;
    if (is_splat(s, c, &k))
        return k != 0 ? x : y;
    return 0;
}

/* Does the transpose swap the last two axes and nothing else? */
static bool swaps_last(const Node *n)
{
    uint32_t r = n->type.shape.rank;
    if (n->op != OP_transpose || r < 2)
        return false;
    for (uint32_t i = 0; i + 2 < r; i++)
        if (n->a.transpose.perm[i] != i)
            return false;
    return n->a.transpose.perm[r - 1] == r - 2;
}

/* Can a product read what this transposes, flag set? A lookup's rows are left alone if they are uneven: those cannot
 * enter a program of the engine, while the transpose, whose rows are positions, can. */
static bool absorbs(const Simp *s, ValueId x)
{
    if (!on(s, SWITCH_transpose_flags) || !swaps_last(node_of(s, x)) || node_of(s, x)->hint != 0)
        return false;
    Shape rows = node_of(s, x)->type.shape;
    return rows.dim[rows.rank - 2] % 16 == 0 || node_of(s, arg(s, x, 0))->op != OP_gather;
}

static ValueId rule_matmul(Simp *s, const Node *n, ValueId x, ValueId y)
{
    Node c = *n;
    if (absorbs(s, x)) {
        c.a.matmul.ta = !c.a.matmul.ta;
        x = arg(s, x, 0);
    }
    if (absorbs(s, y)) {
        c.a.matmul.tb = !c.a.matmul.tb;
        y = arg(s, y, 0);
    }
    if (c.a.matmul.ta == n->a.matmul.ta && c.a.matmul.tb == n->a.matmul.tb)
        return 0;
    return emit(s, &c, (ValueId[]){x, y}, 2);
}

static ValueId rule_transpose(Simp *s, const Node *n, ValueId x)
{
    uint32_t rank = n->type.shape.rank;
    bool     moved = false;
    for (uint32_t i = 0; i < rank; i++)
        moved = moved || n->a.transpose.perm[i] != i;
    if (!moved)
        return x;
    const Node *p = node_of(s, x);
    if (plain(s, x, OP_transpose)) {
        Node c = *n;
        for (uint32_t i = 0; i < rank; i++)
            c.a.transpose.perm[i] = p->a.transpose.perm[n->a.transpose.perm[i]];
        ValueId src = arg(s, x, 0);
        return emit(s, &c, &src, 1);
    }
    return 0;
}

/* `n`, a view of the view `x`, called what that is called if it has a name and nobody else reads it: the elements are
 * the same, and a variable keeps its name whatever view its reader takes. */
static Node view_of_view(const Simp *s, const Node *n, ValueId x)
{
    const Node *inner = node_of(s, x), *at = &s->from->node[s->at];
    Node        c = *n;
    if (!inner->name || inner->role != n->role || at->in_count == 0 || s->uses[node_in(s->from, at)[0]] != 1)
        return c;
    c.name = inner->name;
    c.scope = inner->scope;
    c.stmt = inner->stmt;
    c.again = inner->again;
    c.from = inner->from;
    return c;
}

static ValueId rule_reshape(Simp *s, const Node *n, ValueId x)
{
    if (shape_equal(n->type.shape, node_of(s, x)->type.shape))
        return x;
    if (plain(s, x, OP_reshape)) {
        Node    c = view_of_view(s, n, x);
        ValueId src = arg(s, x, 0);
        return emit(s, &c, &src, 1);
    }
    return 0;
}

static ValueId rule_broadcast(Simp *s, const Node *n, ValueId x)
{
    if (shape_equal(n->type.shape, node_of(s, x)->type.shape))
        return x;
    if (plain(s, x, OP_broadcast)) {
        Node    c = *n;
        ValueId src = arg(s, x, 0);
        return emit(s, &c, &src, 1);
    }
    return 0;
}

static ValueId rule_slice(Simp *s, const Node *n, ValueId x)
{
    const Node *p = node_of(s, x);
    uint32_t    rank = n->type.shape.rank;
    if (shape_equal(n->type.shape, p->type.shape))
        return x;
    if (plain(s, x, OP_slice)) {
        Node c = *n;
        for (uint32_t i = 0; i < rank; i++) {
            c.a.slice.begin[i] += p->a.slice.begin[i];
            c.a.slice.end[i] += p->a.slice.begin[i];
        }
        ValueId src = arg(s, x, 0);
        return emit(s, &c, &src, 1);
    }
    if (on(s, SWITCH_slice_concat) && plain(s, x, OP_concat)) {
        uint32_t axis = (uint32_t)p->a.axis.axis;
        int32_t  at = 0;
        for (uint32_t k = 0; k < p->in_count; k++) {
            ValueId part = arg(s, x, k);
            int32_t extent = node_of(s, part)->type.shape.dim[axis];
            if (n->a.slice.begin[axis] >= at && n->a.slice.end[axis] <= at + extent) {
                Node c = *n;
                c.a.slice.begin[axis] -= at;
                c.a.slice.end[axis] -= at;
                return emit(s, &c, &part, 1);
            }
            at += extent;
        }
    }
    return 0;
}

static ValueId rule_concat(Simp *s, const Node *n, const ValueId *in)
{
    uint32_t axis = (uint32_t)n->a.axis.axis;
    if (n->in_count == 1)
        return in[0];
    /* Slices of one value, next to each other and equal in the other axes: one slice. */
    const Node *first = node_of(s, in[0]);
    if (first->op != OP_slice || !on(s, SWITCH_concat_slices))
        return 0;
    Node    c = as(n, OP_slice);
    ValueId src = arg(s, in[0], 0);
    c.a.slice = first->a.slice;
    for (uint32_t k = 1; k < n->in_count; k++) {
        const Node *p = node_of(s, in[k]);
        if (p->op != OP_slice || arg(s, in[k], 0) != src || p->a.slice.begin[axis] != c.a.slice.end[axis])
            return 0;
        for (uint32_t i = 0; i < n->type.shape.rank; i++)
            if (i != axis && p->a.slice.begin[i] != c.a.slice.begin[i])
                return 0;
        c.a.slice.end[axis] = p->a.slice.end[axis];
    }
    return emit(s, &c, &src, 1);
}

static ValueId rule_cast(Simp *s, const Node *n, ValueId x)
{
    if (type_equal(n->type, node_of(s, x)->type))
        return x;
    /* real and f16 values fit f32: going there and back changes nothing. */
    if (plain(s, x, OP_cast) && node_of(s, x)->type.dtype == DT_F32 &&
        type_equal(node_of(s, arg(s, x, 0))->type, n->type))
        return arg(s, x, 0);
    return 0;
}

ValueId algebra_rule(Simp *s, const Node *n, const ValueId *in)
{
    switch (n->op) {
    case OP_add:
        return rule_add(s, n, in[0], in[1]);
    case OP_sub:
        return rule_sub(s, n, in[0], in[1]);
    case OP_mul:
        return rule_mul(s, n, in[0], in[1]);
    case OP_div:
        return rule_div(s, n, in[0], in[1]);
    case OP_neg:
        return rule_neg(s, n, in[0]);
    case OP_powc:
        return rule_powc(s, n, in[0]);
    case OP_select:
        return rule_select(s, in[0], in[1], in[2]);
    case OP_matmul:
        return rule_matmul(s, n, in[0], in[1]);
    case OP_transpose:
        return rule_transpose(s, n, in[0]);
    case OP_reshape:
        return rule_reshape(s, n, in[0]);
    case OP_broadcast:
        return rule_broadcast(s, n, in[0]);
    case OP_slice:
        return rule_slice(s, n, in[0]);
    case OP_concat:
        return rule_concat(s, n, in);
    case OP_cast:
        return rule_cast(s, n, in[0]);
    case OP_sum:
    case OP_amax:
    case OP_pad:
        return shape_equal(n->type.shape, node_of(s, in[0])->type.shape) ? in[0] : 0;
    case OP_stop_grad:
        return s->joint ? in[0] : 0;
    default:
        return 0;
    }
}
