/* rules_move.c: type rules of operations that move elements without changing them. Most become a strided view. */
#include "mil/mil_rules.h"
#include "mil/rules.h"

#include <inttypes.h>
#include <string.h>

bool rule_reshape(Check *c, Call *call)
{
    const MilType *x = &arg(call, "x")->type;
    MilType       *t = &call->type[0];
    int64_t        rank, known = 1, all = type_elems(x);
    int            open = -1;
    t->dtype = x->dtype;
    if (!arg_list(c, call, "shape", 0, MIL_RANK_MAX, t->dim, &rank))
        return false;
    t->rank = (uint32_t)rank;
    for (int i = 0; i < rank; i++) {
        if (t->dim[i] == -1 && open < 0) {
            open = i;
            t->dim[i] = 1;
        }
        if (t->dim[i] < 1 || t->dim[i] > all / known)
            return wrong(c, call, "shape", "%s has %" PRId64 " elements, the shape does not; write every extent out",
                         mil_type_text(c->ds->arena, x), all);
        known *= t->dim[i];
    }
    if (open >= 0 && all % known == 0)
        t->dim[open] = all / known;
    else if (known != all)
        return wrong(c, call, "shape", "%s has %" PRId64 " elements, the shape %" PRId64,
                     mil_type_text(c->ds->arena, x), all, known);
    return true;
}

bool rule_expand_dims(Check *c, Call *call)
{
    const MilType *x = &arg(call, "x")->type;
    MilType       *t = &call->type[0];
    int64_t        count = arg(call, "axes")->konst->count;
    uint32_t       set, from = 0;
    if (x->rank + count > MIL_RANK_MAX)
        return wrong(c, call, "axes", "the result has rank %" PRId64 ", the engine holds at most %d", x->rank + count,
                     MIL_RANK_MAX);
    t->dtype = x->dtype;
    t->rank = x->rank + (uint32_t)count;
    if (!arg_axes(c, call, "axes", t->rank, &set))
        return false;
    for (uint32_t i = 0; i < t->rank; i++)
        t->dim[i] = set >> i & 1 ? 1 : x->dim[from++];
    return true;
}

bool rule_squeeze(Check *c, Call *call)
{
    const MilType *x = &arg(call, "x")->type;
    MilType       *t = &call->type[0];
    uint32_t       set;
    if (!arg_axes(c, call, "axes", x->rank, &set))
        return false;
    t->dtype = x->dtype;
    for (uint32_t i = 0; i < x->rank; i++) {
        if (!(set >> i & 1))
            t->dim[t->rank++] = x->dim[i];
        else if (x->dim[i] != 1)
            return wrong(c, call, "axes", "axis %u of %s has extent %" PRId64 ", only extents of 1 can go", i,
                         mil_type_text(c->ds->arena, x), x->dim[i]);
    }
    return true;
}

/* Start a view over all of `x`; the caller changes it. */
static ViewPlan *whole_view(Call *call, const MilType *x)
{
    ViewPlan *v = &call->plan.view;
    *v = (ViewPlan){.rank = x->rank};
    memcpy(v->dim, x->dim, sizeof v->dim);
    type_strides(x, v->stride);
    call->type[0] = *x;
    return v;
}

bool rule_transpose(Check *c, Call *call)
{
    const MilType *x = &arg(call, "x")->type;
    int64_t        perm[MIL_RANK_MAX], stride[MIL_RANK_MAX];
    uint32_t       seen;
    if (!arg_list(c, call, "perm", x->rank, MIL_RANK_MAX, perm, NULL) || !arg_axes(c, call, "perm", x->rank, &seen))
        return false;
    ViewPlan *v = whole_view(call, x);
    type_strides(x, stride);
    for (uint32_t i = 0; i < x->rank; i++) {
        int64_t from = perm[i] < 0 ? perm[i] + x->rank : perm[i];
        v->dim[i] = call->type[0].dim[i] = x->dim[from];
        v->stride[i] = stride[from];
    }
    return true;
}

bool rule_reverse(Check *c, Call *call)
{
    const MilType *x = &arg(call, "x")->type;
    uint32_t       set;
    if (!arg_axes(c, call, "axes", x->rank, &set))
        return false;
    ViewPlan *v = whole_view(call, x);
    for (uint32_t i = 0; i < x->rank; i++)
        if (set >> i & 1) {
            v->offset += (x->dim[i] - 1) * v->stride[i];
            v->stride[i] = -v->stride[i];
        }
    return true;
}

bool rule_slice_by_size(Check *c, Call *call)
{
    const MilType *x = &arg(call, "x")->type;
    int64_t        begin[MIL_RANK_MAX], size[MIL_RANK_MAX];
    if (!arg_list(c, call, "begin", x->rank, MIL_RANK_MAX, begin, NULL) ||
        !arg_list(c, call, "size", x->rank, MIL_RANK_MAX, size, NULL))
        return false;
    ViewPlan *v = whole_view(call, x);
    for (uint32_t i = 0; i < x->rank; i++) {
        if (begin[i] < 0 || begin[i] >= x->dim[i])
            return wrong(c, call, "begin", "begin %" PRId64 " on an axis of extent %" PRId64, begin[i], x->dim[i]);
        if (size[i] == -1)
            size[i] = x->dim[i] - begin[i];
        if (size[i] < 1 || size[i] > x->dim[i] - begin[i])
            return wrong(c, call, "size", "size %" PRId64 " from %" PRId64 " on an axis of extent %" PRId64, size[i],
                         begin[i], x->dim[i]);
        v->offset += begin[i] * v->stride[i];
        v->dim[i] = call->type[0].dim[i] = size[i];
    }
    return true;
}

bool rule_slice_by_index(Check *c, Call *call)
{
    const MilType *x = &arg(call, "x")->type;
    MilType       *t = &call->type[0];
    uint32_t       r = x->rank;
    int64_t        begin[MIL_RANK_MAX], end[MIL_RANK_MAX], step[MIL_RANK_MAX] = {1, 1, 1, 1, 1};
    int64_t        mask[3][MIL_RANK_MAX] = {{0}};
    static const char *const mask_name[] = {"begin_mask", "end_mask", "squeeze_mask"};
    if (!arg_list(c, call, "begin", r, MIL_RANK_MAX, begin, NULL) ||
        !arg_list(c, call, "end", r, MIL_RANK_MAX, end, NULL) ||
        (arg(call, "stride") && !arg_list(c, call, "stride", r, MIL_RANK_MAX, step, NULL)))
        return false;
    for (int m = 0; m < 3; m++)
        if (arg(call, mask_name[m]) && !arg_list(c, call, mask_name[m], r, MIL_RANK_MAX, mask[m], NULL))
            return false;
    ViewPlan *v = whole_view(call, x);
    v->rank = t->rank = 0;
    for (uint32_t i = 0; i < r; i++) {
        int64_t d = x->dim[i], b = begin[i] + (begin[i] < 0 ? d : 0), e = end[i] + (end[i] < 0 ? d : 0), s = step[i],
                n = 1;
        int64_t stride = v->stride[i];
        if (s == 0)
            return wrong(c, call, "stride", "a stride of 0");
        if (mask[0][i] && !mask[2][i])
            b = s > 0 ? 0 : d - 1;
        if (mask[1][i])
            e = s > 0 ? d : -1;
        if (b < 0 || b >= d || (!mask[2][i] && (e < -1 || e > d)))
            return wrong(c, call, "begin", "from %" PRId64 " to %" PRId64 " on an axis of extent %" PRId64, begin[i],
                         end[i], d);
        if (!mask[2][i])
            n = s > 0 ? (e - b + s - 1) / s : (b - e - s - 1) / -s;
        if (n < 1)
            return wrong(c, call, "end", "from %" PRId64 " to %" PRId64 " in steps of %" PRId64 " there is nothing",
                         begin[i], end[i], s);
        v->offset += b * stride;
        if (mask[2][i])
            continue;
        v->stride[v->rank] = stride * s;
        v->dim[v->rank++] = n;
        t->dim[t->rank++] = n;
    }
    return true;
}

/* The plan: dim = the input's extents, stride = how often each is repeated. */
bool rule_tile(Check *c, Call *call)
{
    const MilType *x = &arg(call, "x")->type;
    ViewPlan      *v = whole_view(call, x);
    if (!arg_list(c, call, "reps", x->rank, MIL_RANK_MAX, v->stride, NULL))
        return false;
    for (uint32_t i = 0; i < x->rank; i++) {
        if (v->stride[i] < 1)
            return wrong(c, call, "reps", "a tensor is repeated at least once, not %" PRId64 " times", v->stride[i]);
        call->type[0].dim[i] *= v->stride[i]; /* both at most 2^31: no overflow */
    }
    return type_valid(&call->type[0]) || wrong(c, call, NULL, "the result has more than %d elements", MIL_ELEMS_MAX);
}

/* The plan: dim = the input's extents, stride and offset = where they go in the result. */
bool rule_pad(Check *c, Call *call)
{
    const Value *x = arg(call, "x");
    int64_t      pad[2 * MIL_RANK_MAX], count;
    if (arg_word(c, call, "mode", "constant") < 0 ||
        !arg_list(c, call, "pad", 0, 2 * (int64_t)x->type.rank, pad, &count))
        return false;
    if (count % 2)
        return wrong(c, call, "pad", "'pad' has %" PRId64 " elements, expected two for each axis", count);
    if (!need_same_dtype(c, call, "x", "constant_val"))
        return false;
    ViewPlan *v = whole_view(call, &x->type);
    MilType  *t = &call->type[0];
    uint32_t  first = x->type.rank - (uint32_t)count / 2; /* the last axes are padded */
    for (uint32_t i = first; i < x->type.rank; i++) {
        int64_t *p = pad + 2 * (i - first);
        if (p[0] < 0 || p[1] < 0)
            return wrong(c, call, "pad", "padding is at least 0");
        t->dim[i] += p[0] + p[1];
    }
    if (!type_valid(t))
        return wrong(c, call, NULL, "the result has more than %d elements", MIL_ELEMS_MAX);
    type_strides(t, v->stride);
    for (uint32_t i = first; i < x->type.rank; i++)
        v->offset += pad[2 * (i - first)] * v->stride[i];
    return true;
}

/* ---- joining and splitting ------------------------------------------------------------------------------------ */

bool rule_concat(Check *c, Call *call)
{
    const MilType *first = &call->tuple[0]->type;
    JoinPlan      *j = &call->plan.join;
    MilType       *t = &call->type[0];
    int64_t        axis, sum = 0;
    if (!arg_axis(c, call, "axis", first->rank, &axis))
        return false;
    *t = *first;
    *j = (JoinPlan){.outer = product(first->dim, (uint32_t)axis),
                    .inner = product(first->dim + axis + 1, first->rank - (uint32_t)axis - 1)};
    j->interleave = arg_bool(call, "interleave");
    j->part = NEW_N(c->keep, int64_t, call->tuples);
    for (uint32_t i = 0; i < call->tuples; i++) {
        MilType x = call->tuple[i]->type;
        int64_t extent = axis < x.rank ? x.dim[axis] : 0;
        if (axis < x.rank && !j->interleave)
            x.dim[axis] = first->dim[axis];
        if (!mil_type_equal(&x, first))
            return wrong(c, call, "values", "operand %u is %s, the first is %s: only axis %" PRId64 " may differ%s",
                         i + 1, mil_type_text(c->ds->arena, &call->tuple[i]->type), mil_type_text(c->ds->arena, first),
                         axis, j->interleave ? ", and not when interleaving" : "");
        j->part[i] = extent * j->inner;
        sum += extent;
    }
    t->dim[axis] = sum;
    j->total = sum * j->inner;
    return type_valid(t) || wrong(c, call, NULL, "the result has more than %d elements", MIL_ELEMS_MAX);
}

bool rule_stack(Check *c, Call *call)
{
    const MilType *first = &call->tuple[0]->type;
    JoinPlan      *j = &call->plan.join;
    MilType       *t = &call->type[0];
    int64_t        axis;
    if (first->rank == MIL_RANK_MAX)
        return wrong(c, call, "values", "the result has rank %u, the engine holds at most %d", first->rank + 1,
                     MIL_RANK_MAX);
    if (!arg_axis(c, call, "axis", first->rank + 1, &axis))
        return false;
    *j = (JoinPlan){.outer = product(first->dim, (uint32_t)axis),
                    .inner = product(first->dim + axis, first->rank - (uint32_t)axis)};
    j->part = NEW_N(c->keep, int64_t, call->tuples);
    for (uint32_t i = 0; i < call->tuples; i++) {
        if (!mil_type_equal(&call->tuple[i]->type, first))
            return wrong(c, call, "values", "operand %u is %s, the first is %s: all must be the same", i + 1,
                         mil_type_text(c->ds->arena, &call->tuple[i]->type), mil_type_text(c->ds->arena, first));
        j->part[i] = j->inner;
    }
    j->total = j->inner * call->tuples;
    t->dtype = first->dtype;
    t->rank = first->rank + 1;
    for (uint32_t i = 0, from = 0; i < t->rank; i++)
        t->dim[i] = i == axis ? (int64_t)call->tuples : first->dim[from++];
    return type_valid(t) || wrong(c, call, NULL, "the result has more than %d elements", MIL_ELEMS_MAX);
}

bool rule_split(Check *c, Call *call)
{
    const MilType *x = &arg(call, "x")->type;
    JoinPlan      *j = &call->plan.join;
    int64_t        axis, n = call->results, count = arg_int(call, "num_splits", n), sum = 0;
    if (!arg_axis(c, call, "axis", x->rank, &axis))
        return false;
    if (!arg(call, "num_splits") == !arg(call, "split_sizes"))
        return wrong(c, call, NULL, "give either 'num_splits' or 'split_sizes'");
    int64_t *size = j->part = NEW_N(c->keep, int64_t, n);
    if (arg(call, "split_sizes")) {
        if (!arg_list(c, call, "split_sizes", n, n, size, NULL))
            return false;
    } else {
        if (count != n || x->dim[axis] % n != 0)
            return wrong(c, call, "num_splits",
                         "%" PRId64 " splits of an axis of extent %" PRId64 " for %" PRId64 " results", count,
                         x->dim[axis], n);
        for (int64_t i = 0; i < n; i++)
            size[i] = x->dim[axis] / n;
    }
    j->outer = product(x->dim, (uint32_t)axis);
    j->inner = product(x->dim + axis + 1, x->rank - (uint32_t)axis - 1);
    j->total = x->dim[axis] * j->inner;
    for (int64_t i = 0; i < n; i++) {
        if (size[i] < 1 || size[i] > x->dim[axis] - sum)
            return wrong(c, call, "split_sizes", "the sizes do not add up to the extent %" PRId64, x->dim[axis]);
        sum += size[i];
        call->type[i] = *x;
        call->type[i].dim[axis] = size[i];
        size[i] *= j->inner;
    }
    return sum == x->dim[axis] ||
           wrong(c, call, "split_sizes", "the sizes add up to %" PRId64 ", the extent is %" PRId64, sum, x->dim[axis]);
}

/* ---- indices -------------------------------------------------------------------------------------------------- */

static bool need_integer(Check *c, const Call *call, const char *name)
{
    const Value *v = arg(call, name);
    return dtype_info[v->type.dtype].class == CLASS_INT ||
           wrong(c, call, name, "'%s' is %s, expected an integer type", name, dtype_info[v->type.dtype].name);
}

/* The plan: i = batch, outer, extent of the axis, inner. */
bool rule_gather(Check *c, Call *call)
{
    const MilType *x = &arg(call, "x")->type, *at = &arg(call, "indices")->type;
    MilType       *t = &call->type[0];
    int64_t        axis, batch = arg_int(call, "batch_dims", 0);
    if (!need_integer(c, call, "indices") || !arg_axis(c, call, "axis", x->rank, &axis))
        return false;
    if (batch < 0 || batch > axis || batch > at->rank)
        return wrong(c, call, "batch_dims",
                     "%" PRId64 " batch dimensions, at most axis (%" PRId64
                     ") and the rank of 'indices' (%u) make sense",
                     batch, axis, at->rank);
    for (int64_t i = 0; i < batch; i++)
        if (x->dim[i] != at->dim[i])
            return wrong(c, call, "indices", "batch extent %" PRId64 " of 'indices' differs from 'x'", at->dim[i]);
    if (x->rank - 1 + at->rank - batch > MIL_RANK_MAX)
        return wrong(c, call, NULL, "the result has more than %d dimensions", MIL_RANK_MAX);
    t->dtype = x->dtype;
    for (int64_t i = 0; i < axis; i++)
        t->dim[t->rank++] = x->dim[i];
    for (int64_t i = batch; i < at->rank; i++)
        t->dim[t->rank++] = at->dim[i];
    for (int64_t i = axis + 1; i < x->rank; i++)
        t->dim[t->rank++] = x->dim[i];
    call->plan.scalar =
        (ScalarPlan){.i = {product(x->dim, (uint32_t)batch), product(x->dim + batch, (uint32_t)(axis - batch)),
                           x->dim[axis], product(x->dim + axis + 1, x->rank - (uint32_t)axis - 1)}};
    return type_valid(t) || wrong(c, call, NULL, "the result has more than %d elements", MIL_ELEMS_MAX);
}

/* The plan: i = elements below the new axis, its extent. */
bool rule_one_hot(Check *c, Call *call)
{
    const MilType *at = &arg(call, "indices")->type;
    MilType       *t = &call->type[0];
    int64_t        axis, size = arg_int(call, "one_hot_vector_size", 1);
    if (!need_integer(c, call, "indices") || !need_same_dtype(c, call, "on_value", "off_value"))
        return false;
    if (at->rank == MIL_RANK_MAX || size < 1)
        return wrong(c, call, NULL, "the new axis needs an extent of at least 1 and a tensor of rank below %d",
                     MIL_RANK_MAX);
    if (!arg_axis(c, call, "axis", at->rank + 1, &axis))
        return false;
    t->dtype = arg(call, "on_value")->type.dtype;
    t->rank = at->rank + 1;
    for (uint32_t i = 0, from = 0; i < t->rank; i++)
        t->dim[i] = i == axis ? size : at->dim[from++];
    call->plan.scalar = (ScalarPlan){arg_float(call, "on_value", 1), arg_float(call, "off_value", 0),
                                     {product(at->dim + axis, at->rank - (uint32_t)axis), size}};
    return type_valid(t) || wrong(c, call, NULL, "the result has more than %d elements", MIL_ELEMS_MAX);
}

/* The plan: i = diagonals kept below, above, rows, columns. */
bool rule_band_part(Check *c, Call *call)
{
    const MilType *x = &arg(call, "x")->type;
    if (x->rank < 2)
        return wrong(c, call, "x", "a matrix has at least rank 2");
    call->type[0] = *x;
    call->plan.scalar = (ScalarPlan){
        .i = {arg_int(call, "lower", -1), arg_int(call, "upper", -1), x->dim[x->rank - 2], x->dim[x->rank - 1]}};
    return true;
}
