/* mil_ops.c: the MIL text of every operation: the mil column of ops.def. Elementwise operations are here, sums and
 * other reductions in mil_sum.c, products in mil_matmul.c, movement in mil_move.c.
 *
 * Only forms that three or more projects have run on hardware are used, spelled out in full. The choices that are not
 * obvious stand at the head of each file; here:
 *   mul by itself before a sum   x is scaled by 2^-4 before squaring and 2^8 put into the sum's constant: a plain fp16
 *                                square sum overflows for activations that occur in training
 *   rsqrt, sqrt                  pow: rsqrt and sqrt directly after a reduction have been refused */
#include "backend_ane/mil_ops.h"
#include "passes/switches.h"

/* ---- leaves ---- */

void mil_leaf(Emit *e, const Node *n, ValueId v)
{
    (void)n;
    e->val[v] = emit_use(e, v);
}

void mil_none(Emit *e, const Node *n, ValueId v)
{
    emit_error(e, v, "'%s' has no form on the engine", op_info[n->op].name);
}

/* ---- elementwise ---- */

/* Shape of an elementwise result: the larger extent of each axis. */
static MilShape joined(MilShape a, MilShape b)
{
    for (uint32_t i = 0; i < a.rank; i++)
        if (b.dim[i] > a.dim[i])
            a.dim[i] = b.dim[i];
    return a;
}

static void binary(Emit *e, const Node *n, ValueId v, const char *op)
{
    Val x = emit_use(e, mil_arg(e, n, 0)), y = emit_use(e, mil_arg(e, n, 1));
    if (x.scalar && y.scalar)
        x = emit_full(e, mil_arg(e, n, 0));
    MilShape s = x.scalar ? y.shape : y.scalar ? x.shape : joined(x.shape, y.shape);
    mil_set(e, v, emit_op(e, v, "", s, op, (MilArg[]){{"x", x.name}, {"y", y.name}}, 2), s);
}

void mil_add(Emit *e, const Node *n, ValueId v)
{
    binary(e, n, v, "add");
}

void mil_sub(Emit *e, const Node *n, ValueId v)
{
    binary(e, n, v, "sub");
}

void mil_mul(Emit *e, const Node *n, ValueId v)
{
    if (!e->prescale[v]) {
        binary(e, n, v, "mul");
        return;
    }
    Val         x = emit_full(e, mil_arg(e, n, 0));
    const char *s = emit_op(e, v, "_s", x.shape, "mul", (MilArg[]){{"x", x.name}, {"y", mil_half(e->t, 0x1p-4)}}, 2);
    mil_set(e, v, emit_op(e, v, "", x.shape, "mul", (MilArg[]){{"x", s}, {"y", s}}, 2), x.shape);
}

void mil_div(Emit *e, const Node *n, ValueId v)
{
    binary(e, n, v, "real_div");
}

void mil_max(Emit *e, const Node *n, ValueId v)
{
    binary(e, n, v, "maximum");
}

void mil_min(Emit *e, const Node *n, ValueId v)
{
    binary(e, n, v, "minimum");
}

static void unary(Emit *e, const Node *n, ValueId v, const char *op, const char *more, const char *value)
{
    Val x = emit_use(e, mil_arg(e, n, 0));
    if (x.scalar)
        x = emit_full(e, mil_arg(e, n, 0));
    mil_set(e, v, emit_op(e, v, "", x.shape, op, (MilArg[]){{"x", x.name}, {more, value}}, more ? 2 : 1), x.shape);
}

void mil_neg(Emit *e, const Node *n, ValueId v)
{
    unary(e, n, v, "mul", "y", mil_half(e->t, -1));
}

void mil_exp(Emit *e, const Node *n, ValueId v)
{
    unary(e, n, v, "exp", NULL, NULL);
}

void mil_log(Emit *e, const Node *n, ValueId v)
{
    unary(e, n, v, "log", "epsilon", mil_half(e->t, 0)); /* epsilon must be given (one project) */
}

void mil_sqrt(Emit *e, const Node *n, ValueId v)
{
    unary(e, n, v, "pow", "y", mil_half(e->t, 0.5));
}

void mil_rsqrt(Emit *e, const Node *n, ValueId v)
{
    unary(e, n, v, "pow", "y", mil_half(e->t, -0.5));
}

void mil_tanh(Emit *e, const Node *n, ValueId v)
{
    unary(e, n, v, "tanh", NULL, NULL);
}

void mil_sigmoid(Emit *e, const Node *n, ValueId v)
{
    unary(e, n, v, "sigmoid", NULL, NULL);
}

void mil_powc(Emit *e, const Node *n, ValueId v)
{
    unary(e, n, v, "pow", "y", mil_half(e->t, n->a.powc.c));
}

void mil_cmp(Emit *e, const Node *n, ValueId v)
{
    static const char *const op[] = {"equal", "not_equal", "less", "greater", "less_equal", "greater_equal"};
    Val x = emit_use(e, mil_arg(e, n, 0)), y = emit_use(e, mil_arg(e, n, 1));
    if (x.scalar)
        x = emit_full(e, mil_arg(e, n, 0));
    MilShape s = y.scalar ? x.shape : joined(x.shape, y.shape);
    e->val[v].is_bool = true;
    const char *r = emit_op(e, v, "", s, op[n->a.cmp.kind], (MilArg[]){{"x", x.name}, {"y", y.name}}, 2);
    e->val[v] = (Val){.name = r, .shape = s, .is_bool = true};
}

void mil_select(Emit *e, const Node *n, ValueId v)
{
    /* All three in full: nobody has shown select broadcasting on the engine. */
    Val      c = emit_full(e, mil_arg(e, n, 0)), x = emit_full(e, mil_arg(e, n, 1)), y = emit_full(e, mil_arg(e, n, 2));
    MilArg   a[] = {{"cond", c.name}, {"a", x.name}, {"b", y.name}};
    mil_set(e, v, emit_op(e, v, "", x.shape, "select", a, COUNT(a)), x.shape);
}

/* ---- one node ---- */

static MilFn *const mil_fn[OP_COUNT] = {
#define OP(name, arity, type, eval, vjp, mil) [OP_##name] = mil_##mil,
#include "ir/ops.def"
};

/* The number that `n` multiplies its other operand by, if one operand is a splat; *other is that operand. */
static bool scale_of(const Emit *e, const Node *n, double *c, ValueId *other)
{
    if (n->op != OP_mul && n->op != OP_div)
        return false;
    for (uint32_t k = n->op == OP_div ? 1 : 0; k < 2; k++) {
        const Node *s = &e->g->node[mil_arg(e, n, k)];
        if (s->op == OP_const && s->a.constant.table == 0 && s->a.constant.splat != 0) {
            *c = n->op == OP_div ? 1 / s->a.constant.splat : s->a.constant.splat;
            *other = mil_arg(e, n, 1 - k);
            return true;
        }
    }
    return false;
}

void emit_prepare(Emit *e)
{
    for (ValueId v = 1; v < e->g->count; v++) {
        if (e->part->program[v] != e->program)
            continue;
        const Node *n = &e->g->node[v];
        double      c;
        ValueId     u;
        if (switched_on(e->b->m->off, SWITCH_mean_sums) && scale_of(e, n, &c, &u) && e->g->node[u].op == OP_sum &&
            e->part->program[u] == e->program && e->uses[u] == 1) {
            e->factor[u] = c * (e->factor[u] != 0 ? e->factor[u] : 1);
            e->alias[v] = u;
        }
        if (n->op == OP_sum) {
            ValueId     sq = mil_arg(e, n, 0);
            const Node *s = &e->g->node[sq];
            if (s->op == OP_mul && mil_arg(e, s, 0) == mil_arg(e, s, 1) && e->uses[sq] == 1 &&
                e->part->program[sq] == e->program) {
                e->prescale[sq] = true;
                e->factor[v] = 0x1p8 * (e->factor[v] != 0 ? e->factor[v] : 1);
            }
        }
    }
}

void emit_node(Emit *e, ValueId v)
{
    const Node *n = &e->g->node[v];
    ValueId     old = e->at; /* a constant is made while the value that reads it is */
    const char *what = e->what;
    emit_origin(e, v, op_info[n->op].name);
    if (e->alias[v])
        e->val[v] = e->val[e->alias[v]];
    else
        mil_fn[n->op](e, n, v);
    if (old)
        emit_origin(e, old, what);
}
