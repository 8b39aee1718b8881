/* shapes.c: rules about the shapes of what operations compute: caps, widths, contractions, weights. */
#include "lint/internal.h"

#include <inttypes.h>

static void check_axes(Lint *l, const Value *v)
{
    const MilType *t = &v->type;
    if (t->rank > 4)
        violation(l, 37, v->at, "'%s' has rank %u", v->name, t->rank);
    else if (t->rank == 4 && t->dim[0] != 1)
        violation(l, 37, v->at, "the first axis of '%s' has %" PRId64 " elements", v->name, t->dim[0]);
    for (uint32_t i = 0; i < t->rank; i++) {
        bool    spatial = i + 2 >= t->rank;
        int64_t cap = spatial ? l->t->max_axis : l->t->max_channels;
        if (t->dim[i] <= cap)
            continue;
        violation(l, 38, v->at, "axis %u of '%s' has %" PRId64 " elements; target %s allows %" PRId64 " for %s", i,
                  v->name, t->dim[i], l->t->name, cap, spatial ? "height and width" : "channels");
        return;
    }
}

static void check_rows(Lint *l, const Value *v)
{
    enum { ROW = 64, WASTE = 1 << 20 };
    int64_t last = last_axis(&v->type), rows = last ? type_elems(&v->type) / last : 0;
    if (v->type.rank > 1 && last <= 2 && rows * ROW > WASTE)
        violation(l, 43, v->at, "'%s' has %" PRId64 " rows of %" PRId64 ": %" PRId64 " bytes with their padding",
                  v->name, rows, last, rows * ROW);
}

static bool is_output(const Lint *l, const Value *v)
{
    for (uint32_t i = 0; i < l->fn->outputs; i++)
        if (l->fn->output[i] == v)
            return true;
    return false;
}

/* Weights of products pass through the chip; published trainers run classifiers of 32000 rows so. Other constants are
 * held. */
static bool is_streamed(const Call *call, const Value *v)
{
    return op_is(call, "matmul") || ((op_is(call, "conv") || op_is(call, "linear")) && v == arg(call, "weight"));
}

static void check_size(Lint *l, const Call *call)
{
    int64_t bytes = 0;
    for (uint32_t i = 0; i < call->results; i++) {
        const Value *v = call->result[i];
        bytes += type_bytes(&v->type);
        if (!is_output(l, v) && type_bytes(&v->type) > l->t->max_intermediate)
            violation(l, 19, v->at,
                      "'%s' has %" PRId64 " bytes; target %s allows %" PRId64 " for an intermediate value", v->name,
                      type_bytes(&v->type), l->t->name, l->t->max_intermediate);
    }
    for (int k = 0; k < CALL_ARGS; k++) {
        const Value *v = call->arg[k];
        if (v && v->konst && type_bytes(&v->type) > l->t->onchip && !is_streamed(call, v))
            violation(l, 19, call->arg_at[k], "the table '%s' has %" PRId64 " bytes; the chip holds %" PRId64, v->name,
                      type_bytes(&v->type), l->t->onchip);
    }
    if (op_is(call, "concat") || op_is(call, "split"))
        return;
    if (op_is(call, "slice_by_size") || op_is(call, "slice_by_index")) /* reads what it takes */
        bytes *= 2;
    else
        for (int k = 0; k < CALL_ARGS; k++)
            bytes += call->arg[k] && !call->arg[k]->konst ? type_bytes(&call->arg[k]->type) : 0;
    if (bytes <= l->t->onchip)
        return;
    l->large++;
    if (bytes > l->largest_bytes) {
        l->largest = call;
        l->largest_bytes = bytes;
    }
}

/* One message a function: what makes one operation of attention large makes its neighbours large. */
void lint_working_set(Lint *l)
{
    if (l->large)
        violation(l, 19, l->largest->at, "'%s' touches %" PRId64 " bytes of values; the chip holds %" PRId64 "%s",
                  l->largest->name, l->largest_bytes, l->t->onchip,
                  l->large == 1 ? ""
                                : arena_printf(l->ds->arena, " (it is the largest of %u such operations)", l->large));
}

/* Weights of n outputs over k terms. */
static void check_weight(Lint *l, const Call *call, const char *name, int64_t n, int64_t k)
{
    enum { CORES = 16, NOTCH = 1 << 20, NEAR = 16384 };
    const Value *w = arg(call, name);
    if (!l->t->weight_notch || !is_weight(l, w))
        return;
    int64_t bytes = (n + CORES - 1) / CORES * k * 2, off = bytes % NOTCH;
    if (bytes >= NOTCH - NEAR && (off <= NEAR || off >= NOTCH - NEAR))
        violation(l, 45, arg_place(call, name),
                  "'%s' has %" PRId64 " bytes per core, %" PRId64 " from a multiple of 1 MiB", w->name, bytes,
                  off <= NEAR ? off : NOTCH - off);
}

static void check_conv(Lint *l, const Call *call)
{
    const MilType *x = &arg(call, "x")->type, *w = &arg(call, "weight")->type;
    int64_t        in = x->dim[1], out = w->dim[0];
    if (in > l->t->max_conv_in)
        violation(l, 47, arg_place(call, "x"), "a convolution of %" PRId64 " channels; target %s allows %" PRId64, in,
                  l->t->name, l->t->max_conv_in);
    if (in > l->t->max_dim && out > l->t->max_dim)
        violation(l, 46, call->at, "a convolution from %" PRId64 " to %" PRId64 " channels", in, out);
    check_weight(l, call, "weight", out, product(w->dim + 1, w->rank - 1));
}

static void check_matmul(Lint *l, const Call *call)
{
    const MatmulPlan *m = &call->plan.matmul;
    if (l->t->matmul_k_multiple > 1 && m->k % l->t->matmul_k_multiple != 0)
        violation(l, 40, call->at, "a matmul over %" PRId64 " terms, no multiple of %" PRId64, m->k,
                  l->t->matmul_k_multiple);
    check_weight(l, call, "y", m->n, m->k);
    check_weight(l, call, "x", m->m, m->k);
}

static void check_movement(Lint *l, const Call *call)
{
    enum { PAIRS = 4096 };
    const Value *x = call->arg[0];
    if (op_is(call, "reshape") && x && !x->konst && last_axis(&call->result[0]->type) == 2 &&
        last_axis(&x->type) != 2 && type_elems(&x->type) >= PAIRS)
        violation(l, 42, call->at, "a reshape to rows of 2");
    if (l->t->slice_crop_max > 0 && x && !x->konst && l->bound[x->id] > (double)l->t->slice_crop_max &&
        call_cuts_last_axis(call))
        violation(l, 41, call->at,
                  "a slice with an offset along the last axis; on target %s magnitudes over %" PRId64
                  " may not survive it",
                  l->t->name, l->t->slice_crop_max);
}

void lint_call_shape(Lint *l, const Call *call)
{
    for (uint32_t i = 0; i < call->results; i++)
        if (!call->result[i]->poison) {
            check_axes(l, call->result[i]);
            check_rows(l, call->result[i]);
        }
    if (!call->ok || !call->op)
        return;
    check_size(l, call);
    if (op_is(call, "conv"))
        check_conv(l, call);
    else if (op_is(call, "matmul"))
        check_matmul(l, call);
    else if (op_is(call, "linear"))
        check_weight(l, call, "weight", arg(call, "weight")->type.dim[0], last_axis(&arg(call, "weight")->type));
    else
        check_movement(l, call);
}
