/* rules_axis.c: type rules of contractions, pooling, reductions and normalisations. */
#include "mil/mil_rules.h"
#include "mil/rules.h"

#include <inttypes.h>
#include <string.h>

/* ---- windows: convolution and pooling ------------------------------------------------------------------------- */

enum { PAD_VALID, PAD_CUSTOM, PAD_SAME, PAD_SAME_LOWER, PAD_MAX = 65536 };

/* Geometry along the spatial axes of `x` ([N, C, spatial...]), right-aligned in the plan's three; fills the result's.
 */
static bool window(Check *c, Call *call, const MilType *x, const int64_t *kernel, const int64_t *dilation)
{
    WindowPlan *w = &call->plan.window;
    uint32_t    s = x->rank - 2;
    int64_t     stride[3], pad[6];
    int         mode = arg_word(c, call, "pad_type", "valid custom same same_lower");
    if (mode < 0 || !arg_list(c, call, "strides", s, 3, stride, NULL) || !arg_list(c, call, "pad", 2 * s, 6, pad, NULL))
        return false;
    for (uint32_t i = 0; i < 3; i++)
        w->in[i] = w->out[i] = w->k[i] = w->stride[i] = w->dilation[i] = 1;
    w->plain = true;
    for (uint32_t i = 0; i < s; i++) {
        uint32_t at = 3 - s + i;
        int64_t  in = x->dim[2 + i];
        if (stride[i] < 1)
            return wrong(c, call, "strides", "stride %" PRId64 ": strides are at least 1", stride[i]);
        if (dilation[i] < 1)
            return wrong(c, call, "dilations", "dilation %" PRId64 ": dilations are at least 1", dilation[i]);
        if (kernel[i] < 1 || pad[2 * i] < 0 || pad[2 * i + 1] < 0 || pad[2 * i] > PAD_MAX || pad[2 * i + 1] > PAD_MAX)
            return wrong(c, call, "pad", "kernel extents are at least 1 and padding is 0 to %d", PAD_MAX);
        int64_t span = (kernel[i] - 1) * dilation[i] + 1, before = 0, after = 0;
        if (mode == PAD_CUSTOM) {
            before = pad[2 * i];
            after = pad[2 * i + 1];
        } else if (mode != PAD_VALID) {
            int64_t all = ((in + stride[i] - 1) / stride[i] - 1) * stride[i] + span - in;
            all = all < 0 ? 0 : all;
            before = mode == PAD_SAME ? all / 2 : all - all / 2;
            after = all - before;
        }
        if (in + before + after < span)
            return wrong(c, call, NULL, "a window of %" PRId64 " does not fit an axis of %" PRId64 " with its padding",
                         span, in + before + after);
        w->in[at] = in;
        w->k[at] = kernel[i];
        w->stride[at] = stride[i];
        w->dilation[at] = dilation[i];
        w->pad[at] = before;
        w->pad_end[at] = after;
        w->out[at] = (in + before + after - span) / stride[i] + 1;
        w->plain &= kernel[i] == 1 && stride[i] == 1 && before == 0 && after == 0;
        call->type[0].dim[2 + i] = w->out[at];
    }
    return type_valid(&call->type[0]) || wrong(c, call, NULL, "the result has more than %d elements", MIL_ELEMS_MAX);
}

bool rule_conv(Check *c, Call *call)
{
    const MilType *x = &arg(call, "x")->type, *k = &arg(call, "weight")->type;
    WindowPlan    *w = &call->plan.window;
    int64_t        dilation[3], groups = arg_int(call, "groups", 1);
    if (!need_float(c, call, "x") || !need_same_dtype(c, call, "x", "weight"))
        return false;
    if (x->rank < 3)
        return wrong(c, call, "x", "'x' is %s, expected [batch, channels, spatial...]", mil_type_text(c->ds->arena, x));
    if (k->rank != x->rank)
        return wrong(c, call, "weight", "'weight' is %s, expected rank %u", mil_type_text(c->ds->arena, k), x->rank);
    if (groups < 1 || x->dim[1] % groups != 0 || k->dim[0] % groups != 0)
        return wrong(c, call, "groups",
                     "%" PRId64 " groups do not divide %" PRId64 " input and %" PRId64 " output channels", groups,
                     x->dim[1], k->dim[0]);
    if (k->dim[1] != x->dim[1] / groups)
        return wrong(c, call, "weight",
                     "'weight' is %s, but 'x' has %" PRId64 " channels in %" PRId64 " groups: expected %" PRId64
                     " input channels",
                     mil_type_text(c->ds->arena, k), x->dim[1], groups, x->dim[1] / groups);
    if (!need_vector(c, call, "bias", k->dim[0], x->dtype) ||
        !arg_list(c, call, "dilations", x->rank - 2, 3, dilation, NULL))
        return false;
    call->type[0] = *x;
    call->type[0].dim[1] = k->dim[0];
    *w = (WindowPlan){.batch = x->dim[0], .groups = groups, .in_ch = x->dim[1] / groups, .out_ch = k->dim[0] / groups};
    if (!window(c, call, x, k->dim + 2, dilation))
        return false;
    int64_t columns = product(w->out, 3), rows = w->in_ch * product(w->k, 3);
    if (!w->plain && rows > MIL_ELEMS_MAX / columns)
        return wrong(c, call, NULL, "the convolution's columns need more than %d elements", MIL_ELEMS_MAX);
    call->scratch = w->plain ? 0 : rows * columns;
    return true;
}

bool rule_pool(Check *c, Call *call)
{
    const MilType *x = &arg(call, "x")->type;
    int64_t        kernel[3], one[3] = {1, 1, 1};
    if (!need_float(c, call, "x"))
        return false;
    if (x->rank < 3)
        return wrong(c, call, "x", "'x' is %s, expected [batch, channels, spatial...]", mil_type_text(c->ds->arena, x));
    if (arg_bool(call, "ceil_mode"))
        return wrong(c, call, "ceil_mode", "ceil_mode = true is not supported; pad the input instead");
    if (!arg_list(c, call, "kernel_sizes", x->rank - 2, 3, kernel, NULL))
        return false;
    call->type[0] = *x;
    call->plan.window = (WindowPlan){.batch = x->dim[0] * x->dim[1], .groups = 1, .in_ch = 1, .out_ch = 1};
    return window(c, call, x, kernel, one);
}

/* ---- matrix products ------------------------------------------------------------------------------------------ */

bool rule_matmul(Check *c, Call *call)
{
    const MilType *x = &arg(call, "x")->type, *y = &arg(call, "y")->type;
    MatmulPlan    *p = &call->plan.matmul;
    if (!need_float(c, call, "x") || !need_same_dtype(c, call, "x", "y"))
        return false;
    if (x->rank < 2 || y->rank < 2)
        return wrong(c, call, x->rank < 2 ? "x" : "y", "matrices have at least rank 2");
    *p = (MatmulPlan){.tx = arg_bool(call, "transpose_x"), .ty = arg_bool(call, "transpose_y"),
                      .x_ld = x->dim[x->rank - 1], .y_ld = y->dim[y->rank - 1]};
    p->m = x->dim[x->rank - (p->tx ? 1 : 2)];
    p->k = x->dim[x->rank - (p->tx ? 2 : 1)];
    p->n = y->dim[y->rank - (p->ty ? 2 : 1)];
    int64_t k2 = y->dim[y->rank - (p->ty ? 1 : 2)];
    if (k2 != p->k)
        return wrong(c, call, "y",
                     "left has %" PRId64 " columns, right has %" PRId64
                     " rows (%s x %s); check transpose_x and transpose_y",
                     p->k, k2, mil_type_text(c->ds->arena, x), mil_type_text(c->ds->arena, y));
    MilType *t = &call->type[0];
    t->dtype = x->dtype;
    t->rank = x->rank > y->rank ? x->rank : y->rank;
    p->batch_rank = t->rank - 2;
    int64_t xs = 1, ys = 1;
    for (uint32_t i = p->batch_rank; i-- > 0;) {
        int64_t dx = i + x->rank >= t->rank ? x->dim[i + x->rank - t->rank] : 1;
        int64_t dy = i + y->rank >= t->rank ? y->dim[i + y->rank - t->rank] : 1;
        if (dx != dy && dx != 1 && dy != 1)
            return wrong(c, call, "y", "the batch extents of %s and %s differ", mil_type_text(c->ds->arena, x),
                         mil_type_text(c->ds->arena, y));
        p->batch[i] = t->dim[i] = dx > dy ? dx : dy;
        p->x_stride[i] = dx == 1 ? 0 : xs;
        p->y_stride[i] = dy == 1 ? 0 : ys;
        xs *= dx;
        ys *= dy;
    }
    t->dim[t->rank - 2] = p->m;
    t->dim[t->rank - 1] = p->n;
    return type_valid(t) || wrong(c, call, NULL, "the result has more than %d elements", MIL_ELEMS_MAX);
}

bool rule_linear(Check *c, Call *call)
{
    const MilType *x = &arg(call, "x")->type, *w = &arg(call, "weight")->type;
    if (!need_float(c, call, "x") || !need_same_dtype(c, call, "x", "weight"))
        return false;
    if (x->rank < 1 || w->rank != 2 || x->dim[x->rank - 1] != w->dim[1])
        return wrong(c, call, "weight", "'weight' is %s, expected [outputs, inputs] for 'x' = %s",
                     mil_type_text(c->ds->arena, w), mil_type_text(c->ds->arena, x));
    if (!need_vector(c, call, "bias", w->dim[0], x->dtype))
        return false;
    MilType *t = &call->type[0];
    *t = *x;
    t->dim[t->rank - 1] = w->dim[0];
    call->plan.matmul = (MatmulPlan){.ty = true,
                                     .k = w->dim[1],
                                     .n = w->dim[0],
                                     .m = type_elems(x) / w->dim[1],
                                     .x_ld = w->dim[1],
                                     .y_ld = w->dim[1]};
    return type_valid(t) || wrong(c, call, NULL, "the result has more than %d elements", MIL_ELEMS_MAX);
}

bool rule_sdpa(Check *c, Call *call)
{
    const MilType *q = &arg(call, "query")->type, *k = &arg(call, "key")->type, *v = &arg(call, "value")->type;
    MatmulPlan    *p = &call->plan.matmul;
    if (!need_float(c, call, "query") || !need_same_dtype(c, call, "query", "key") ||
        !need_same_dtype(c, call, "query", "value"))
        return false;
    uint32_t r = q->rank;
    if (r < 3 || k->rank != r || v->rank != r || q->dim[r - 1] != k->dim[r - 1] || k->dim[r - 2] != v->dim[r - 2])
        return wrong(c, call, NULL, "expected query [..., L, E], key [..., S, E] and value [..., S, F]");
    for (uint32_t i = 0; i + 2 < r; i++)
        if (q->dim[i] != k->dim[i] || q->dim[i] != v->dim[i])
            return wrong(c, call, NULL, "the batch extents of query, key and value differ");
    *p = (MatmulPlan){
        .batch_rank = r - 2, .m = q->dim[r - 2], .n = k->dim[r - 2], .k = q->dim[r - 1], .x_ld = v->dim[r - 1]};
    memcpy(p->batch, q->dim, p->batch_rank * sizeof *p->batch);
    const Value *mask = arg(call, "attn_mask");
    if (mask) {
        if (mask->type.dtype != DT_BOOL && mask->type.dtype != q->dtype)
            return wrong(c, call, "attn_mask", "'attn_mask' is %s, expected bool or %s",
                         dtype_info[mask->type.dtype].name, dtype_info[q->dtype].name);
        int64_t stride[MIL_RANK_MAX], want[MIL_RANK_MAX], *to[MIL_RANK_MAX];
        memcpy(want, q->dim, sizeof want);
        want[r - 1] = p->n;
        for (uint32_t i = 0; i < r; i++)
            to[i] = i + 2 < r ? &p->y_stride[i] : i + 2 == r ? &p->mask_row : &p->mask_col;
        type_strides(&mask->type, stride);
        if (mask->type.rank > r)
            return wrong(c, call, "attn_mask", "'attn_mask' has rank %u, at most %u make sense", mask->type.rank, r);
        for (uint32_t i = 0, skip = r - mask->type.rank; i < mask->type.rank; i++) {
            if (mask->type.dim[i] != 1 && mask->type.dim[i] != want[skip + i])
                return wrong(c, call, "attn_mask", "'attn_mask' is %s, expected extents of [..., L, S] or 1",
                             mil_type_text(c->ds->arena, &mask->type));
            *to[skip + i] = mask->type.dim[i] == 1 ? 0 : stride[i];
        }
    }
    if (p->m > MIL_ELEMS_MAX / p->n)
        return wrong(c, call, NULL, "the scores have more than %d elements", MIL_ELEMS_MAX);
    call->type[0] = *q;
    call->type[0].dim[r - 1] = v->dim[r - 1];
    call->scratch = p->m * p->n;
    return true;
}

/* ---- axes ----------------------------------------------------------------------------------------------------- */

static void reduced_type(const MilType *x, uint32_t set, bool keep, MilType *t)
{
    t->dtype = x->dtype;
    t->rank = 0;
    for (uint32_t i = 0; i < x->rank; i++)
        if (!(set >> i & 1) || keep)
            t->dim[t->rank++] = set >> i & 1 ? 1 : x->dim[i];
}

bool rule_reduce(Check *c, Call *call)
{
    const MilType *x = &arg(call, "x")->type;
    uint32_t       set;
    if (!need_float(c, call, "x") || !arg_axes(c, call, "axes", x->rank, &set))
        return false;
    reduced_type(x, set, arg_bool(call, "keep_dims"), &call->type[0]);
    axis_plan(x, set, &call->plan.axis);
    call->scratch = call->plan.axis.permute ? type_elems(x) : 0;
    return true;
}

bool rule_argreduce(Check *c, Call *call)
{
    const MilType *x = &arg(call, "x")->type;
    int64_t        axis;
    if (!need_float(c, call, "x") || !arg_axis(c, call, "axis", x->rank, &axis))
        return false;
    reduced_type(x, 1u << axis, arg_bool(call, "keep_dims"), &call->type[0]);
    call->type[0].dtype = DT_I32;
    if (arg(call, "output_dtype")) {
        int word = arg_word(c, call, "output_dtype", "int32 uint16");
        if (word < 0)
            return false;
        call->type[0].dtype = word ? DT_U16 : DT_I32;
    }
    axis_plan(x, 1u << axis, &call->plan.axis);
    return true;
}

static bool along_axis(Check *c, Call *call)
{
    const MilType *x = &arg(call, "x")->type;
    int64_t        axis;
    if (!need_float(c, call, "x") || !arg_axis(c, call, "axis", x->rank, &axis))
        return false;
    call->type[0] = *x;
    axis_plan(x, 1u << axis, &call->plan.axis);
    return true;
}

bool rule_softmax(Check *c, Call *call)
{
    return along_axis(c, call);
}

bool rule_cumsum(Check *c, Call *call)
{
    if (!along_axis(c, call))
        return false;
    call->plan.axis.flag[0] = arg_bool(call, "exclusive");
    call->plan.axis.flag[1] = arg_bool(call, "reverse");
    return true;
}

bool rule_layer_norm(Check *c, Call *call)
{
    const Value *x = arg(call, "x"), *g;
    uint32_t     set;
    if (!need_float(c, call, "x") || !arg_axes(c, call, "axes", x->type.rank, &set))
        return false;
    MilType want = {.dtype = x->type.dtype};
    for (uint32_t i = 0; i < x->type.rank; i++)
        if (set >> i & 1)
            want.dim[want.rank++] = x->type.dim[i];
    for (int i = 0; i < 2; i++)
        if ((g = arg(call, i ? "beta" : "gamma")) && !mil_type_equal(&g->type, &want))
            return wrong(c, call, i ? "beta" : "gamma", "the argument is %s, expected the normalised axes, %s",
                         mil_type_text(c->ds->arena, &g->type), mil_type_text(c->ds->arena, &want));
    call->type[0] = x->type;
    axis_plan(&x->type, set, &call->plan.axis);
    call->scratch = call->plan.axis.permute ? type_elems(&x->type) : 0;
    return true;
}

/* Statistics per channel: [N, C, spatial...] as outer = N, n = C, inner = spatial. */
static bool per_channel(Check *c, Call *call)
{
    const MilType *x = &arg(call, "x")->type;
    if (!need_float(c, call, "x"))
        return false;
    if (x->rank < 3)
        return wrong(c, call, "x", "'x' is %s, expected [batch, channels, spatial...]", mil_type_text(c->ds->arena, x));
    call->type[0] = *x;
    call->plan.axis = (AxisPlan){.outer = x->dim[0], .n = x->dim[1], .inner = product(x->dim + 2, x->rank - 2)};
    return need_vector(c, call, "gamma", x->dim[1], x->dtype) && need_vector(c, call, "beta", x->dim[1], x->dtype);
}

bool rule_instance_norm(Check *c, Call *call)
{
    return per_channel(c, call);
}

bool rule_batch_norm(Check *c, Call *call)
{
    const MilType *x = &arg(call, "x")->type;
    return per_channel(c, call) && need_vector(c, call, "mean", x->dim[1], x->dtype) &&
           need_vector(c, call, "variance", x->dim[1], x->dtype);
}

bool rule_l2_norm(Check *c, Call *call)
{
    const MilType *x = &arg(call, "x")->type;
    if (!need_float(c, call, "x"))
        return false;
    if (x->rank < 3)
        return wrong(c, call, "x", "'x' is %s, expected at least rank 3: the last three axes are normalised",
                     mil_type_text(c->ds->arena, x));
    call->type[0] = *x;
    call->plan.axis =
        (AxisPlan){.outer = product(x->dim, x->rank - 3), .n = product(x->dim + x->rank - 3, 3), .inner = 1};
    return true;
}
