/* mil_ops.c: the operation table, built from mil_ops.def. A row whose rule or kernel is missing does not link. */
#include "host/rules.h"

#define OP(name, args, type, kernel) KernelFn kernel_##kernel##_ane, kernel_##kernel##_exact;
#include "host/mil_ops.def"

const OpInfo mil_op_info[] = {
#define OP(name, args, type, kernel) {#name, args, rule_##type, kernel_##kernel##_ane, kernel_##kernel##_exact},
#include "host/mil_ops.def"
    {0},
};
