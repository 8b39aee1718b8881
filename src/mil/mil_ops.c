/* mil_ops.c: the operation table, built from mil_ops.def. A row whose type rule is missing does not link. */
#include "mil/rules.h"

const OpInfo mil_op_info[] = {
#define OP(name, args, type, kernel) {#name, args, rule_##type},
#include "mil/mil_ops.def"
    {0},
};
