/* ops.c: rules about single operations and pairs of them: whether they exist, which arguments they take, what may
 * follow. */
#include "lint/internal.h"

#include <inttypes.h>
#include <string.h>

static bool one_of(const char *name, const char *const *list, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(list[i], name) == 0)
            return true;
    return false;
}

static bool is_reduction(const Call *call)
{
    return call && strncmp(call->name, "reduce_", 7) == 0;
}

static bool is_activation(const Call *call)
{
    static const char *const name[] = {"sigmoid",      "tanh",        "silu",         "gelu",      "relu",
                                       "relu6",        "leaky_relu",  "elu",          "softplus",  "softsign",
                                       "sigmoid_hard", "scaled_tanh", "clamped_relu", "threshold", "erf",
                                       "exp",          "log",         "sqrt",         "rsqrt",     "inverse"};
    return one_of(call->name, name, COUNT(name));
}

static bool allowed(const Lint *l, const char *op)
{
    return one_of(op, l->o->allow, l->o->allows);
}

static void check_known(Lint *l, const Call *call)
{
    static const char *const indexing[] = {"gather", "gather_nd", "gather_along_axis", "one_hot",           "band_part",
                                           "cumsum", "scatter",   "scatter_nd",        "scatter_along_axis"};
    if (allowed(l, call->name))
        return;
    TargetOp k = target_op(l->t, call->name);
    if (one_of(call->name, indexing, COUNT(indexing))) {
        if (k.is != OP_YES && k.is != OP_QUIRK)
            violation(l, 36, call->at, "'%s' is not for the engine", call->name);
        return;
    }
    if (k.is == OP_YES || k.is == OP_QUIRK)
        return;
    const char *why = k.is == OP_NO ? "is shown failing" : k.is == OP_DISPUTED ? "is disputed" : "is unknown";
    violation(l, 24, call->at, "'%s' %s on target %s%s%s", call->name, why, l->t->name,
              k.evidence && *k.evidence ? ": " : "", k.evidence ? k.evidence : "");
}

/* The first operand of calls of one operand and of most others. */
static const Value *x_of(const Call *call)
{
    return call->op ? call->arg[0] : NULL;
}

static void check_pairs(Lint *l, const Call *call)
{
    const Call *before = maker_of(l, x_of(call));
    if ((op_is(call, "sqrt") || op_is(call, "rsqrt")) && is_reduction(before))
        violation(l, 25, call->at, "'%s' of the result of '%s'", call->name, before->name);
    if (is_activation(call) && op_is(before, "square"))
        violation(l, 27, call->at, "'%s' of the result of 'square'", call->name);
    double c;
    if (op_is(call, "mul") && call->ok)
        for (int k = 0; k < 2; k++)
            if (scalar_of(call->arg[k], &c) && c == 0 && is_reduction(maker_of(l, call->arg[1 - k])))
                violation(l, 29, call->at, "a product of the result of '%s' with 0",
                          maker_of(l, call->arg[1 - k])->name);
}

static void check_softmax(Lint *l, const Call *call)
{
    const MilType *x = &arg(call, "x")->type;
    int64_t        axis = arg_int(call, "axis", -1), n;
    axis += axis < 0 ? x->rank : 0;
    n = x->dim[axis];
    if (axis + 1 != x->rank && (n & (n - 1)) != 0)
        violation(l, 28, arg_place(call, "axis"), "softmax over axis %" PRId64 " of %" PRId64 " elements", axis, n);
}

/* The value of an extent behind the last two axes. */
static int64_t batches(const MilType *t)
{
    return t->rank > 2 ? product(t->dim, t->rank - 2) : 1;
}

/* Is the call all that its function computes? */
static bool is_alone(const Lint *l, const Call *call)
{
    for (uint32_t i = 0; i < l->fn->calls; i++)
        if (l->fn->call[i] != call && !op_is(l->fn->call[i], "reshape"))
            return false;
    return true;
}

static void check_matmul(Lint *l, const Call *call)
{
    enum { WORTH = 256, BAD_ROWS = 128, BAD_TERMS = 8192 };
    const MatmulPlan *m = &call->plan.matmul;
    const Value      *x = arg(call, "x"), *y = arg(call, "y");
    bool              cx = is_weight(l, x), cy = is_weight(l, y);
    const Value      *w = cy ? y : cx ? x : NULL, *v = cy ? x : y;
    if (!w || (cx && cy))
        return;
    const MilType *t = &w->type;
    bool large = t->rank >= 2 && t->dim[t->rank - 1] >= WORTH && t->dim[t->rank - 2] >= WORTH;
    if (large && batches(t) == 1 && batches(&v->type) == 1 && m->k <= l->t->max_conv_in)
        violation(l, 20, call->at, "a matmul with the constant matrix '%s'", w->name);
    bool early = early_family(l);
    if (cy && !m->ty && (early || l->t->family == FAMILY_UNKNOWN))
        violation_as(l, 31, early && is_alone(l, call) ? LEVEL_ERROR : LEVEL_WARNING, arg_place(call, "y"),
                     "the constant matrix '%s' is used without transpose_y", y->name);
    if (m->m == BAD_ROWS && m->k >= BAD_TERMS && (early || l->t->family == FAMILY_UNKNOWN))
        violation_as(l, 32, early ? LEVEL_ERROR : LEVEL_WARNING, call->at,
                     "a matmul of %" PRId64 " rows over %" PRId64 " terms", m->m, m->k);
}

static void check_conv(Lint *l, const Call *call)
{
    const Value *bias = arg(call, "bias"), *w = arg(call, "weight");
    if (bias && !is_weight(l, bias))
        violation_as(l, 16, LEVEL_ERROR, arg_place(call, "bias"), "the bias is %s",
                     bias->konst ? "written in the text" : "no constant");
    else if (bias && !l->t->conv_bias)
        violation(l, 16, arg_place(call, "bias"), "a convolution with a bias; target %s does not promise it",
                  l->t->name);
    if (!is_weight(l, w) && !w->konst && !allowed(l, "conv"))
        violation_as(l, 24, LEVEL_WARNING, arg_place(call, "weight"),
                     "a convolution whose weight is no constant: two projects run it, two found it refused");
}

static void check_reduction(Lint *l, const Call *call)
{
    enum { EXACT = 2048 };
    int64_t n = call->plan.axis.n;
    if ((op_is(call, "reduce_sum") || op_is(call, "reduce_mean")) && n > EXACT)
        violation(l, 61, call->at, "a sum of %" PRId64 " elements in what may be fp16", n);
}

static void check_attention(Lint *l, const Call *call)
{
    uint32_t count = 0;
    if (arg(call, "attn_mask"))
        violation(l, 6, arg_place(call, "attn_mask"), "the mask will be ignored");
    for (uint32_t i = 0; i < l->fn->calls && l->fn->call[i] != call; i++)
        count += op_is(l->fn->call[i], call->name);
    if (count == 1)
        violation(l, 35, call->at, "a second '%s' in '%s'", call->name, l->fn->name);
}

void lint_call_op(Lint *l, const Call *call)
{
    check_known(l, call);
    if (op_is(call, "concat") && l->o->level[1] > LEVEL_OFF + 1)
        violation(l, 1, call->at, "a concat: one project found every one of them refused");
    if (op_is(call, "silu"))
        violation(l, 64, call->at, "silu comes from the coarsest of the tables");
    if (!call->ok || !call->op)
        return;
    check_pairs(l, call);
    if (op_is(call, "softmax"))
        check_softmax(l, call);
    else if (op_is(call, "matmul"))
        check_matmul(l, call);
    else if (op_is(call, "conv"))
        check_conv(l, call);
    else if (is_reduction(call))
        check_reduction(l, call);
    else if (op_is(call, "scaled_dot_product_attention"))
        check_attention(l, call);
}
