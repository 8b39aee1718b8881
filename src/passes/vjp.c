/* vjp.c: the adjoint of every operation: the vjp column of ops.def.
 *
 * A rule is asked with the cotangent `g` of the result y and gives a cotangent to each operand. Rules are written with
 * graph nodes, so they are shape-checked and simplified like everything else; they create no transposes, and the sum
 * that undoes a broadcast stands in the rule of `broadcast` and nowhere else.
 *
 * C does not say in which order arguments are evaluated, and plans must be the same whatever compiler made anec: at
 * most one argument of a call creates nodes. */
#include "passes/adjoint.h"
#include "passes/switches.h"

/* Operand k, and the result, as values of the backward graph. */
static ValueId arg(Vjp *r, uint32_t k)
{
    return adjoint_read(r->ad, node_arg(r->ad->src, r->v, k));
}

static ValueId result(Vjp *r)
{
    return adjoint_read(r->ad, r->v);
}

static bool wants(const Vjp *r, uint32_t k)
{
    return r->ad->needs[node_arg(r->ad->src, r->v, k)];
}

static void give(Vjp *r, uint32_t k, ValueId d)
{
    adjoint_give(r->ad, node_arg(r->ad->src, r->v, k), d);
}

static Type arg_type(const Vjp *r, uint32_t k)
{
    return r->ad->src->node[node_arg(r->ad->src, r->v, k)].type;
}

static ValueId un(Vjp *r, Op op, ValueId x)
{
    return g_unary(r->m, r->g, &r->like, op, x);
}

static ValueId bin(Vjp *r, Op op, ValueId x, ValueId y)
{
    return g_binary(r->m, r->g, &r->like, op, x, y);
}

static ValueId splat(Vjp *r, double c, ValueId shaped_like)
{
    return g_splat(r->m, r->g, &r->like, c, r->g->node[shaped_like].type);
}

static ValueId scale(Vjp *r, ValueId x, double c)
{
    return bin(r, OP_mul, x, splat(r, c, x));
}

/* y constant, or its derivative zero: never asked. */
static void vjp_none(Vjp *r)
{
    bug("'%s' has no adjoint", op_info[r->n->op].name);
}

/* y = a + b:  g, g */
static void vjp_add(Vjp *r)
{
    give(r, 0, r->dy);
    give(r, 1, r->dy);
}

/* y = a - b:  g, -g */
static void vjp_sub(Vjp *r)
{
    give(r, 0, r->dy);
    if (wants(r, 1))
        give(r, 1, un(r, OP_neg, r->dy));
}

/* y = a * b:  g*b, g*a */
static void vjp_mul(Vjp *r)
{
    if (wants(r, 0))
        give(r, 0, bin(r, OP_mul, r->dy, arg(r, 1)));
    if (wants(r, 1))
        give(r, 1, bin(r, OP_mul, r->dy, arg(r, 0)));
}

/* y = a / b:  g/b, -(g/b)*y */
static void vjp_div(Vjp *r)
{
    ValueId q = bin(r, OP_div, r->dy, arg(r, 1));
    if (wants(r, 0))
        give(r, 0, q);
    if (wants(r, 1))
        give(r, 1, un(r, OP_neg, bin(r, OP_mul, q, result(r))));
}

/* y = max(a, b) or min:  g where the operand was chosen; ties go to the first. */
static void choice(Vjp *r, CmpKind first_wins)
{
    ValueId a = arg(r, 0), b = arg(r, 1);
    ValueId c = g_cmp(r->m, r->g, &r->like, first_wins, a, b), zero = splat(r, 0, r->dy);
    if (wants(r, 0))
        give(r, 0, g_select(r->m, r->g, &r->like, c, r->dy, zero));
    if (wants(r, 1))
        give(r, 1, g_select(r->m, r->g, &r->like, c, zero, r->dy));
}

static void vjp_max(Vjp *r)
{
    choice(r, CMP_GE);
}

static void vjp_min(Vjp *r)
{
    choice(r, CMP_LE);
}

/* y = -x:  -g */
static void vjp_neg(Vjp *r)
{
    give(r, 0, un(r, OP_neg, r->dy));
}

/* y = exp x:  g*y */
static void vjp_exp(Vjp *r)
{
    give(r, 0, bin(r, OP_mul, r->dy, result(r)));
}

/* y = log x:  g/x */
static void vjp_log(Vjp *r)
{
    give(r, 0, bin(r, OP_div, r->dy, arg(r, 0)));
}

/* y = sqrt x:  g * (0.5/y) */
static void vjp_sqrt(Vjp *r)
{
    ValueId y = result(r);
    give(r, 0, bin(r, OP_mul, r->dy, bin(r, OP_div, splat(r, 0.5, y), y)));
}

/* y = x^(-1/2):  g * (-1/2 y^3) */
static void vjp_rsqrt(Vjp *r)
{
    ValueId y = result(r), y3 = bin(r, OP_mul, bin(r, OP_mul, y, y), y);
    give(r, 0, bin(r, OP_mul, r->dy, scale(r, y3, -0.5)));
}

/* y = tanh x:  g * (1 - y*y) */
static void vjp_tanh(Vjp *r)
{
    ValueId y = result(r), yy = bin(r, OP_mul, y, y);
    give(r, 0, bin(r, OP_mul, r->dy, bin(r, OP_sub, splat(r, 1, y), yy)));
}

/* y = 1/(1 + exp(-x)):  g * y * (1 - y) */
static void vjp_sigmoid(Vjp *r)
{
    ValueId y = result(r), rest = bin(r, OP_sub, splat(r, 1, y), y);
    give(r, 0, bin(r, OP_mul, bin(r, OP_mul, r->dy, y), rest));
}

/* y = x^c:  g * c * x^(c-1); the two everyday squares without a power */
static void vjp_powc(Vjp *r)
{
    double  c = r->n->a.powc.c;
    ValueId x = arg(r, 0);
    if (c == 2.0)
        give(r, 0, bin(r, OP_mul, scale(r, r->dy, 2.0), x));
    else if (c == 1.0)
        give(r, 0, r->dy);
    else if (c != 0.0) {
        ValueId power = g_powc(r->m, r->g, &r->like, x, c - 1.0);
        give(r, 0, bin(r, OP_mul, scale(r, r->dy, c), power));
    }
}

/* y = c ? a : b:  none, c ? g : 0, c ? 0 : g */
static void vjp_select(Vjp *r)
{
    ValueId c = arg(r, 0), zero = splat(r, 0, r->dy);
    if (wants(r, 1))
        give(r, 1, g_select(r->m, r->g, &r->like, c, r->dy, zero));
    if (wants(r, 2))
        give(r, 2, g_select(r->m, r->g, &r->like, c, zero, r->dy));
}

/* y = sum of x over A:  g spread over A */
static void vjp_sum(Vjp *r)
{
    give(r, 0, g_broadcast(r->m, r->g, &r->like, r->dy, arg_type(r, 0).shape));
}

/* y = max of x over A:  g shared among the places that attain it:  m / sum_A m * g,  m = [x == y] */
static void vjp_amax(Vjp *r)
{
    Shape   full = arg_type(r, 0).shape;
    ValueId x = arg(r, 0), y = g_broadcast(r->m, r->g, &r->like, result(r), full);
    ValueId hit = g_cmp(r->m, r->g, &r->like, CMP_EQ, x, y);
    ValueId one = splat(r, 1, x), zero = splat(r, 0, x);
    ValueId mask = g_select(r->m, r->g, &r->like, hit, one, zero);
    ValueId share = bin(r, OP_div, r->dy, g_sum(r->m, r->g, &r->like, mask, r->n->a.reduce.axes));
    give(r, 0, bin(r, OP_mul, mask, g_broadcast(r->m, r->g, &r->like, share, full)));
}

/* The only reader of `x` (as operand *k), 0 if there are none or several. */
static ValueId only_reader(const Graph *g, ValueId x, uint32_t *k)
{
    ValueId only = 0;
    for (uint32_t i = 0; i < g->outs; i++)
        if (g->out[i] == x)
            return 0;
    for (ValueId v = x + 1; v < g->count; v++)
        for (uint32_t i = 0; i < g->node[v].in_count; i++) {
            if (node_arg(g, v, i) != x)
                continue;
            if (only)
                return 0;
            only = v;
            *k = i;
        }
    return only;
}

/* R9: the sum over k of g*y, where g = dP comes from a product O = V P alone, without going over P: with P[i, j], j
 * contracted, sum_j dP_ij P_ij = sum_j sum_d dO_di V_dj P_ij = sum_d dO_di O_di. O is smaller than P, and saved for the
 * gradient of what reads it anyway: in the shape in which that reads it, heads merged. 0: there is no such product. */
static ValueId sum_over_output(Vjp *r)
{
    const Graph *g = r->ad->src;
    uint32_t     axis = (uint32_t)r->n->a.axis.axis, rank = r->n->type.shape.rank, k = 0, other;
    Shape        s = r->n->type.shape;
    bool         on = switched_on(r->m->off, SWITCH_softmax_delta) && !r->m->target->cut_attention_backward;
    ValueId      o = on ? only_reader(g, r->v, &k) : 0; /* (a program of the scores alone does not get the output) */
    if (!o || g->node[o].op != OP_matmul || !r->ad->cot[o] || shape_numel(g->node[o].type.shape) >= shape_numel(s))
        return 0;
    const Node *n = &g->node[o];
    if (axis != (k == 0 ? rank - 1 - n->a.matmul.ta : rank - 1 - !n->a.matmul.tb)) /* the axis that is contracted */
        return 0;
    uint32_t d = k == 0 ? rank - 1 : rank - 2; /* the axis of O that P does not have */
    ValueId  merged = only_reader(g, o, &other);
    ValueId  read = merged && g->node[merged].op == OP_reshape && r->ad->cot[merged] ? merged : o;
    ValueId  saved = adjoint_read(r->ad, read), product = bin(r, OP_mul, r->ad->cot[read], saved);
    if (read != o)
        product = g_reshape(r->m, r->g, &r->like, product, n->type.shape);
    ValueId dot = g_sum(r->m, r->g, &r->like, product, 1u << d);
    s.dim[axis] = 1;
    return axis == d ? dot : g_reshape(r->m, r->g, &r->like, dot, s);
}

/* y = softmax of x along k:  y * (g - sum_k(g*y)) */
static void vjp_softmax(Vjp *r)
{
    ValueId y = result(r), dot = sum_over_output(r);
    if (!dot)
        dot = g_sum(r->m, r->g, &r->like, bin(r, OP_mul, r->dy, y), 1u << r->n->a.axis.axis);
    ValueId all = g_broadcast(r->m, r->g, &r->like, dot, r->n->type.shape);
    give(r, 0, bin(r, OP_mul, y, bin(r, OP_sub, r->dy, all)));
}

/* y = op(A) op(B). Each adjoint is one matmul:
 *     ta tb   dA        dB
 *     0  0    g B^T     A^T g
 *     0  1    g B       g^T A
 *     1  0    B g^T     A g
 *     1  1    B^T g^T   g^T A^T */
static void vjp_matmul(Vjp *r)
{
    bool    ta = r->n->a.matmul.ta, tb = r->n->a.matmul.tb;
    ValueId g = r->dy;
    if (wants(r, 0)) {
        ValueId b = arg(r, 1);
        give(r, 0,
             ta ? g_matmul(r->m, r->g, &r->like, b, g, tb, true) : g_matmul(r->m, r->g, &r->like, g, b, false, !tb));
    }
    if (wants(r, 1)) {
        ValueId a = arg(r, 0);
        give(r, 1,
             tb ? g_matmul(r->m, r->g, &r->like, g, a, true, ta) : g_matmul(r->m, r->g, &r->like, a, g, !ta, false));
    }
}

/* y = x in another shape:  g in x's shape */
static void vjp_reshape(Vjp *r)
{
    give(r, 0, g_reshape(r->m, r->g, &r->like, r->dy, arg_type(r, 0).shape));
}

/* y's axis k is x's axis p[k]:  g through the inverse permutation */
static void vjp_transpose(Vjp *r)
{
    uint8_t inverse[MAX_RANK] = {0};
    for (uint32_t k = 0; k < r->n->type.shape.rank; k++)
        inverse[r->n->a.transpose.perm[k]] = (uint8_t)k;
    give(r, 0, g_transpose(r->m, r->g, &r->like, r->dy, inverse));
}

/* y = x repeated along axes of extent 1:  the sum of g over them */
static void vjp_broadcast(Vjp *r)
{
    Shape    x = arg_type(r, 0).shape, y = r->n->type.shape;
    uint32_t axes = 0;
    for (uint32_t i = 0; i < x.rank; i++)
        if (x.dim[i] != y.dim[i])
            axes |= 1u << i;
    give(r, 0, axes ? g_sum(r->m, r->g, &r->like, r->dy, axes) : r->dy);
}

/* y = x[b..e]:  g in zeros of x's shape */
static void vjp_slice(Vjp *r)
{
    Shape   x = arg_type(r, 0).shape;
    int32_t hi[MAX_RANK] = {0};
    for (uint32_t i = 0; i < x.rank; i++)
        hi[i] = x.dim[i] - r->n->a.slice.end[i];
    give(r, 0, g_pad(r->m, r->g, &r->like, r->dy, r->n->a.slice.begin, hi));
}

/* y = zeros around x:  the part of g where x stands */
static void vjp_pad(Vjp *r)
{
    Shape   x = arg_type(r, 0).shape;
    int32_t end[MAX_RANK] = {0};
    for (uint32_t i = 0; i < x.rank; i++)
        end[i] = r->n->a.pad.lo[i] + x.dim[i];
    give(r, 0, g_slice(r->m, r->g, &r->like, r->dy, r->n->a.pad.lo, end));
}

/* y = x_0 ++ x_1 ++ ...:  each its part of g */
static void vjp_concat(Vjp *r)
{
    int32_t axis = r->n->a.axis.axis, begin[MAX_RANK] = {0}, end[MAX_RANK] = {0};
    for (uint32_t i = 0; i < r->n->type.shape.rank; i++)
        end[i] = r->n->type.shape.dim[i];
    for (uint32_t k = 0, at = 0; k < r->n->in_count; k++) {
        int32_t extent = arg_type(r, k).shape.dim[axis];
        begin[axis] = (int32_t)at;
        end[axis] = (int32_t)at + extent;
        at += (uint32_t)extent;
        if (wants(r, k))
            give(r, k, g_slice(r->m, r->g, &r->like, r->dy, begin, end));
    }
}

/* y = rows i of table t:  the rows of g added into zeros of t's shape, none */
static void vjp_gather(Vjp *r)
{
    Node n = r->like;
    n.op = OP_scatter_add;
    n.type = arg_type(r, 0);
    give(r, 0, graph_add(r->m, r->g, &n, (ValueId[]){arg(r, 1), r->dy}, 2));
}

/* y = log sum exp z - z_t along an axis:  (softmax z - onehot t) * g, none */
static void vjp_xent(Vjp *r)
{
    Node n = r->like;
    n.op = OP_xent_grad;
    n.a.axis = r->n->a.axis;
    ValueId logits = arg(r, 0), classes = arg(r, 1);
    give(r, 0, graph_add(r->m, r->g, &n, (ValueId[]){logits, classes, r->dy}, 3));
}

/* y = x in another precision:  g in x's precision */
static void vjp_cast(Vjp *r)
{
    give(r, 0, g_cast(r->m, r->g, &r->like, r->dy, arg_type(r, 0).dtype));
}

VjpFn *const vjp_rule[OP_COUNT] = {
#define OP(name, arity, type, eval, vjp, mil) [OP_##name] = vjp_##vjp,
#include "ir/ops.def"
};
