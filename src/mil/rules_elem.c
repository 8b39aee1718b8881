/* rules_elem.c: type rules of element-wise operations, constants made by fill, and quantisation.
 *
 * Operands of one operation have one element type; nothing is converted silently. Shapes broadcast as in NumPy. */
#include "mil/mil_rules.h"
#include "mil/rules.h"

#include <string.h>

static bool two_operands(Check *c, Call *call, bool integers)
{
    Value        *in[] = {arg(call, "x"), arg(call, "y")};
    DTypeClass    class = dtype_info[in[0]->type.dtype].class;
    MilType      *out = &call->type[0];
    if (class == CLASS_BOOL || (class == CLASS_INT && !(integers && in[0]->type.dtype == DT_I32)))
        return wrong(c, call, "x", "'x' is %s, expected fp16 or fp32%s", dtype_info[in[0]->type.dtype].name,
                     integers ? " or int32" : "");
    if (!need_same_dtype(c, call, "x", "y") || !broadcast(c, call, in, 2, out))
        return false;
    out->dtype = in[0]->type.dtype;
    return true;
}

bool rule_arithmetic(Check *c, Call *call)
{
    return two_operands(c, call, true);
}

bool rule_floating2(Check *c, Call *call)
{
    return two_operands(c, call, false);
}

bool rule_compare(Check *c, Call *call)
{
    Value *in[] = {arg(call, "x"), arg(call, "y")};
    if (!need_same_dtype(c, call, "x", "y") || !broadcast(c, call, in, 2, &call->type[0]))
        return false;
    call->type[0].dtype = DT_BOOL;
    return true;
}

bool rule_logical(Check *c, Call *call)
{
    Value   *in[] = {call->arg[0], call->arg[1]};
    uint32_t n = in[1] ? 2 : 1;
    for (uint32_t i = 0; i < n; i++)
        if (in[i]->type.dtype != DT_BOOL)
            return wrong(c, call, i ? "y" : "x", "the operand is %s, expected bool",
                         dtype_info[in[i]->type.dtype].name);
    if (!broadcast(c, call, in, n, &call->type[0]))
        return false;
    call->type[0].dtype = DT_BOOL;
    return true;
}

bool rule_select(Check *c, Call *call)
{
    Value *in[] = {arg(call, "cond"), arg(call, "a"), arg(call, "b")};
    if (in[0]->type.dtype != DT_BOOL)
        return wrong(c, call, "cond", "'cond' is %s, expected bool", dtype_info[in[0]->type.dtype].name);
    if (!need_same_dtype(c, call, "a", "b") || !broadcast(c, call, in, 3, &call->type[0]))
        return false;
    call->type[0].dtype = in[1]->type.dtype;
    return true;
}

static bool same_as_x(Call *call)
{
    call->type[0] = call->arg[0]->type;
    call->plan.scalar = (ScalarPlan){0};
    return true;
}

bool rule_number(Check *c, Call *call)
{
    DType t = call->arg[0]->type.dtype;
    if (!dtype_is_float(t) && t != DT_I32)
        return wrong(c, call, "x", "'x' is %s, expected fp16, fp32 or int32", dtype_info[t].name);
    return same_as_x(call);
}

bool rule_unary(Check *c, Call *call)
{
    if (!need_float(c, call, "x"))
        return false;
    same_as_x(call);
    /* The constants of an activation are its second and third argument, whatever their names. */
    call->plan.scalar.alpha = call->arg[1] ? const_number(call->arg[1], 0) : 0;
    call->plan.scalar.beta = call->arg[2] ? const_number(call->arg[2], 0) : 0;
    if (strcmp(call->op->name, "clip") == 0 && call->plan.scalar.alpha > call->plan.scalar.beta)
        return wrong(c, call, "alpha", "the lower bound %g is above the upper bound %g", call->plan.scalar.alpha,
                     call->plan.scalar.beta);
    return true;
}

bool rule_gelu(Check *c, Call *call)
{
    int mode = arg_word(c, call, "mode", "EXACT TANH_APPROXIMATION SIGMOID_APPROXIMATION");
    if (mode < 0 || !need_float(c, call, "x"))
        return false;
    same_as_x(call);
    call->plan.scalar.i[0] = mode;
    return true;
}

static bool dtype_argument(Check *c, Call *call, const char *name, const char *allowed, DType *out)
{
    if (arg_word(c, call, name, allowed) < 0)
        return false;
    const char *word = arg_string(call, name);
    *out = dtype_find(word, strlen(word));
    return true;
}

bool rule_cast(Check *c, Call *call)
{
    same_as_x(call);
    return dtype_argument(c, call, "dtype", "fp16 fp32 int32 int8 uint8 int16 uint16 bool", &call->type[0].dtype);
}

bool rule_identity(Check *c, Call *call)
{
    (void)c;
    return same_as_x(call);
}

static bool fill_value(Call *call)
{
    call->type[0].dtype = arg(call, "value")->type.dtype;
    call->plan.scalar = (ScalarPlan){.alpha = arg_float(call, "value", 0)};
    return true;
}

bool rule_fill(Check *c, Call *call)
{
    MilType *t = &call->type[0];
    int64_t  rank;
    if (!arg_list(c, call, "shape", 0, MIL_RANK_MAX, t->dim, &rank))
        return false;
    t->rank = (uint32_t)rank;
    if (!type_valid(t))
        return wrong(c, call, "shape", "extents are at least 1, and at most %d elements fit", MIL_ELEMS_MAX);
    return fill_value(call);
}

bool rule_fill_like(Check *c, Call *call)
{
    (void)c;
    call->type[0] = arg(call, "ref_tensor")->type;
    return fill_value(call);
}

/* Scale and zero point are one number, or one for each index of `axis`. The plan: i[0] elements below one index of the
 * axis, i[1] its extent, both 1-like for a single number. */
static bool quantization(Check *c, Call *call, const Value *x, DType quantized)
{
    const Value *scale = arg(call, "scale"), *zero = arg(call, "zero_point");
    bool         per_axis = scale->type.rank == 1;
    int64_t      axis = 0;
    if (scale->type.rank > 1 || !dtype_is_float(scale->type.dtype))
        return wrong(c, call, "scale", "'scale' is %s, expected a number or a vector of fp16 or fp32",
                     mil_type_text(c->ds->arena, &scale->type));
    if (zero && (zero->type.rank > 1 || (zero->type.rank == 1 && !type_same_shape(&zero->type, &scale->type)) ||
                 zero->type.dtype != quantized))
        return wrong(c, call, "zero_point", "'zero_point' is %s, expected %s of the shape of 'scale'",
                     mil_type_text(c->ds->arena, &zero->type), dtype_info[quantized].name);
    call->plan.scalar = (ScalarPlan){.i = {1, 1, zero && zero->type.rank == 1}};
    if (!per_axis)
        return true;
    if (!arg(call, "axis"))
        return wrong(c, call, "scale", "a vector of scales needs the argument 'axis'");
    if (!arg_axis(c, call, "axis", x->type.rank, &axis))
        return false;
    if (scale->type.dim[0] != x->type.dim[axis])
        return wrong(c, call, "scale", "%lld scales for an axis of extent %lld", (long long)scale->type.dim[0],
                     (long long)x->type.dim[axis]);
    call->plan.scalar.i[0] = product(x->type.dim + axis + 1, x->type.rank - (uint32_t)axis - 1);
    call->plan.scalar.i[1] = x->type.dim[axis];
    return true;
}

bool rule_quantize(Check *c, Call *call)
{
    const Value *x = arg(call, "input");
    MilType     *t = &call->type[0];
    *t = x->type;
    return need_float(c, call, "input") && dtype_argument(c, call, "output_dtype", "int8 uint8", &t->dtype) &&
           need_same_dtype(c, call, "input", "scale") && quantization(c, call, x, t->dtype);
}

static bool dequantized(Check *c, Call *call, const char *name)
{
    const Value *x = arg(call, name);
    if (x->type.dtype != DT_I8 && x->type.dtype != DT_U8)
        return wrong(c, call, name, "'%s' is %s, expected int8 or uint8", name, dtype_info[x->type.dtype].name);
    call->type[0] = x->type;
    call->type[0].dtype = arg(call, "scale")->type.dtype;
    return quantization(c, call, x, x->type.dtype);
}

bool rule_dequantize(Check *c, Call *call)
{
    return dequantized(c, call, "input");
}

bool rule_affine_dequantize(Check *c, Call *call)
{
    return dequantized(c, call, "quantized_data");
}

bool rule_blockwise(Check *c, Call *call)
{
    const Value *x = arg(call, "data"), *scale = arg(call, "scale"), *offset = arg(call, "offset");
    if (dtype_info[x->type.dtype].class != CLASS_INT)
        return wrong(c, call, "data", "'data' is %s, expected an integer type", dtype_info[x->type.dtype].name);
    if (!need_float(c, call, "scale"))
        return false;
    if (scale->type.rank != x->type.rank)
        return wrong(c, call, "scale", "'scale' has rank %u, expected the rank of 'data', %u", scale->type.rank,
                     x->type.rank);
    for (uint32_t i = 0; i < x->type.rank; i++)
        if (x->type.dim[i] % scale->type.dim[i] != 0)
            return wrong(c, call, "scale", "extent %lld of 'data' is no multiple of %lld blocks",
                         (long long)x->type.dim[i], (long long)scale->type.dim[i]);
    if (offset && (offset->type.dtype != x->type.dtype || !type_same_shape(&offset->type, &scale->type)))
        return wrong(c, call, "offset", "'offset' is %s, expected %s in the shape of 'scale'",
                     mil_type_text(c->ds->arena, &offset->type), dtype_info[x->type.dtype].name);
    call->type[0] = x->type;
    call->type[0].dtype = scale->type.dtype;
    return true;
}
