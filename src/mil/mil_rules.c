/* mil_rules.c: the tools of the type rules; see mil_rules.h. */
#include "mil/mil_rules.h"

#include <inttypes.h>
#include <string.h>

int64_t arg_int(const Call *call, const char *name, int64_t fallback)
{
    const Value *v = arg(call, name);
    return v ? (int64_t)const_number(v, 0) : fallback;
}

bool arg_bool(const Call *call, const char *name)
{
    const Value *v = arg(call, name);
    return v && const_number(v, 0) != 0;
}

double arg_float(const Call *call, const char *name, double fallback)
{
    const Value *v = arg(call, name);
    return v ? const_number(v, 0) : fallback;
}

const char *arg_string(const Call *call, const char *name)
{
    const Value *v = arg(call, name);
    return v && v->konst->str ? v->konst->str : "";
}

bool wrong(Check *c, const Call *call, const char *name, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    const char *text = arena_vprintf(c->ds->arena, fmt, ap);
    va_end(ap);
    diag_error(c->ds, "M0407", name ? arg_place(call, name) : call->at, "%s: %s", call->op->name, text);
    return false;
}

bool arg_list(Check *c, const Call *call, const char *name, int64_t want, int64_t cap, int64_t *out, int64_t *count)
{
    const Value *v = arg(call, name);
    int64_t      n = v ? v->konst->count : 0;
    if (want && n != want)
        return wrong(c, call, name, "'%s' has %" PRId64 " elements, expected %" PRId64, name, n, want);
    if (n > cap)
        return wrong(c, call, name, "'%s' has %" PRId64 " elements, at most %" PRId64 " make sense", name, n, cap);
    for (int64_t i = 0; i < n; i++)
        out[i] = (int64_t)const_number(v, i);
    if (count)
        *count = n;
    return true;
}

static bool axis_index(Check *c, const Call *call, const char *name, uint32_t rank, int64_t *axis)
{
    if (*axis < -(int64_t)rank || *axis >= (int64_t)rank)
        return wrong(c, call, name, "axis %" PRId64 " of a tensor of rank %u", *axis, rank);
    *axis += *axis < 0 ? rank : 0;
    return true;
}

bool arg_axis(Check *c, const Call *call, const char *name, uint32_t rank, int64_t *out)
{
    *out = arg_int(call, name, 0);
    return axis_index(c, call, name, rank, out);
}

bool arg_axes(Check *c, const Call *call, const char *name, uint32_t rank, uint32_t *set)
{
    int64_t axis[MIL_RANK_MAX], n;
    *set = 0;
    if (!arg_list(c, call, name, 0, MIL_RANK_MAX, axis, &n))
        return false;
    for (int64_t i = 0; i < n; i++) {
        if (!axis_index(c, call, name, rank, &axis[i]))
            return false;
        if (*set & 1u << axis[i])
            return wrong(c, call, name, "axis %" PRId64 " is named twice", axis[i]);
        *set |= 1u << axis[i];
    }
    return true;
}

int arg_word(Check *c, const Call *call, const char *name, const char *allowed)
{
    const char *word = arg_string(call, name);
    size_t      len = strlen(word);
    int         index = 0;
    for (const char *s = allowed; *s; index++) {
        size_t n = strcspn(s, " ");
        if (n == len && memcmp(s, word, n) == 0)
            return index;
        s += n + (s[n] == ' ');
    }
    wrong(c, call, name, "'%s' is \"%s\", expected one of: %s", name, word, allowed);
    return -1;
}

bool need_float(Check *c, const Call *call, const char *name)
{
    const Value *v = arg(call, name);
    return !v || dtype_is_float(v->type.dtype) ||
           wrong(c, call, name, "'%s' is %s, expected fp16 or fp32", name, dtype_info[v->type.dtype].name);
}

bool need_same_dtype(Check *c, const Call *call, const char *a, const char *b)
{
    const Value *va = arg(call, a), *vb = arg(call, b);
    return !va || !vb || va->type.dtype == vb->type.dtype ||
           wrong(c, call, b, "'%s' is %s, but '%s' is %s; cast one of them", b, dtype_info[vb->type.dtype].name, a,
                 dtype_info[va->type.dtype].name);
}

bool need_vector(Check *c, const Call *call, const char *name, int64_t n, DType dtype)
{
    const Value *v = arg(call, name);
    MilType      want = {dtype, 1, {n}};
    return !v || mil_type_equal(&v->type, &want) ||
           wrong(c, call, name, "'%s' is %s, expected %s", name, mil_type_text(c->ds->arena, &v->type),
                 mil_type_text(c->ds->arena, &want));
}

int64_t product(const int64_t *x, uint32_t n)
{
    int64_t p = 1;
    for (uint32_t i = 0; i < n; i++)
        p *= x[i];
    return p;
}

void type_strides(const MilType *t, int64_t *stride)
{
    int64_t s = 1;
    for (uint32_t i = t->rank; i-- > 0;) {
        stride[i] = s;
        s *= t->dim[i];
    }
}

static bool broadcast_shape(Check *c, const Call *call, Value *const *in, uint32_t n, MilType *out)
{
    out->rank = 0;
    for (uint32_t k = 0; k < n; k++)
        out->rank = in[k]->type.rank > out->rank ? in[k]->type.rank : out->rank;
    for (uint32_t i = 0; i < out->rank; i++)
        out->dim[i] = 1;
    for (uint32_t k = 0; k < n; k++)
        for (uint32_t i = 0; i < in[k]->type.rank; i++) {
            int64_t *d = &out->dim[out->rank - in[k]->type.rank + i], e = in[k]->type.dim[i];
            if (*d != 1 && e != 1 && *d != e)
                return wrong(c, call, NULL, "the operands %s and %s do not broadcast: extents are equal or 1",
                             mil_type_text(c->ds->arena, &in[0]->type), mil_type_text(c->ds->arena, &in[k]->type));
            *d = e != 1 ? e : *d;
        }
    return type_valid(out) || wrong(c, call, NULL, "the result has more than %d elements", MIL_ELEMS_MAX);
}

bool broadcast(Check *c, Call *call, Value *const *in, uint32_t n, MilType *out)
{
    if (!broadcast_shape(c, call, in, n, out))
        return false;
    BroadcastPlan *b = &call->plan.broadcast;
    *b = (BroadcastPlan){0};
    for (uint32_t i = 0; i < out->rank; i++) {
        if (out->dim[i] == 1)
            continue;
        int64_t stride[BROADCAST_INPUTS] = {0};
        for (uint32_t k = 0; k < n; k++) {
            const MilType *t = &in[k]->type;
            uint32_t       skip = out->rank - t->rank;
            int64_t        full[MIL_RANK_MAX];
            type_strides(t, full);
            stride[k] = i >= skip && t->dim[i - skip] != 1 ? full[i - skip] : 0;
        }
        bool merge = b->rank > 0; /* does the axis before continue this one, for every operand? */
        for (uint32_t k = 0; k < n && merge; k++)
            merge = b->stride[k][b->rank - 1] == stride[k] * out->dim[i];
        uint32_t at = merge ? b->rank - 1 : b->rank++;
        b->dim[at] = (merge ? b->dim[at] : 1) * out->dim[i];
        for (uint32_t k = 0; k < n; k++)
            b->stride[k][at] = stride[k];
    }
    if (b->rank == 0) {
        b->rank = 1;
        b->dim[0] = 1;
    }
    return true;
}

void axis_plan(const MilType *x, uint32_t set, AxisPlan *p)
{
    uint32_t first = 0, last = 0;
    bool     any = false;
    *p = (AxisPlan){.outer = 1, .n = 1, .inner = 1};
    /* Axes of extent 1 are neutral: they belong to whatever is around them. */
    for (uint32_t i = 0; i < x->rank; i++)
        if (set >> i & 1 && x->dim[i] != 1) {
            first = any ? first : i;
            last = i;
            any = true;
        }
    for (uint32_t i = 0; any && i < x->rank; i++) {
        if (i < first)
            p->outer *= x->dim[i];
        else if (i > last)
            p->inner *= x->dim[i];
        else if (set >> i & 1)
            p->n *= x->dim[i];
        else if (x->dim[i] != 1)
            p->permute = true;
    }
    if (!any)
        p->outer = type_elems(x);
    if (!p->permute)
        return;
    int64_t stride[MIL_RANK_MAX];
    type_strides(x, stride);
    p->view.rank = 0;
    p->outer = p->n = p->inner = 1;
    for (int pass = 0; pass < 2; pass++) /* kept axes, then the others */
        for (uint32_t i = 0; i < x->rank; i++)
            if ((set >> i & 1) == (uint32_t)pass) {
                p->view.dim[p->view.rank] = x->dim[i];
                p->view.stride[p->view.rank++] = stride[i];
                *(pass ? &p->n : &p->outer) *= x->dim[i];
            }
}

bool call_cuts_last_axis(const Call *call)
{
    bool size = strcmp(call->name, "slice_by_size") == 0, index = strcmp(call->name, "slice_by_index") == 0;
    if ((!size && !index && strcmp(call->name, "split") != 0) || call->arg[0]->type.rank == 0)
        return false;
    int64_t last = call->arg[0]->type.rank - 1, axis;
    if (size || index) {
        const Value *mask = index ? arg(call, "begin_mask") : NULL;
        return const_number(arg(call, "begin"), last) != 0 && !(mask && const_number(mask, last) != 0);
    }
    axis = arg_int(call, "axis", 0);
    return call->results > 1 && (axis == -1 || axis == last);
}
