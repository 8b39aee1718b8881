/* mil_ops.h: what the files that write operations share: mil_ops.c (elementwise, and which function writes what),
 * mil_sum.c (reductions), mil_matmul.c (products), mil_move.c (movement). */
#ifndef ANEL_BACKEND_ANE_MIL_OPS_H
#define ANEL_BACKEND_ANE_MIL_OPS_H

#include "backend_ane/emit.h"

/* Writes node `n`, which is value `v`, and fills in e->val[v]. */
typedef void MilFn(Emit *e, const Node *n, ValueId v);

#define OP(name, arity, type, eval, vjp, mil) MilFn mil_##mil;
#include "ir/ops.def"

static inline MilShape mil_shape4(int32_t c, int32_t h, int32_t w)
{
    return (MilShape){4, {1, c, h, w}};
}

static inline ValueId mil_arg(const Emit *e, const Node *n, uint32_t k)
{
    return node_in(e->g, n)[k];
}

static inline void mil_set(Emit *e, ValueId v, const char *name, MilShape shape)
{
    e->val[v] = (Val){.name = name, .shape = shape};
}

/* Count 2 * elements * contracted flops: of a weight, or of a convolution or matmul without one. `shape` is the
 * result's. */
void mil_count_product(Emit *e, MilShape shape, int32_t contracted, ValueId leaf, bool conv);
/* A parameter, a table, or something made of parameters when weights are baked: a constant of the program. */
bool mil_is_tensor_leaf(const Emit *e, ValueId v);
/* Contract the `in` channels of `x` with a constant matrix [out, in], called `name`: `shape` is the result's. Returns
 * its name: the value's with `suffix`. */
const char *mil_mix_channels(Emit *e, ValueId v, const char *suffix, const char *x, MilShape shape, int32_t in,
                             const double *matrix, const char *name);
/* 0/1 matrix between the merged leading axes [a, b] of two rank-4 values that differ in one of them: entry (o, i) is c
 * where o and i agree in every axis that neither has as 1. Used both ways: to repeat and to sum. In the emitter's
 * arena. */
const double *mil_group_matrix(Emit *e, Shape out, Shape in, double c);

#endif
