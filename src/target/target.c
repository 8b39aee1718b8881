/* target.c: the conservative profile, and questions to a profile. */
#include "target/target.h"

#include <string.h>

const char *const confidence_name[CONF_COUNT] = {"assumed", "derived", "disputed", "shown", "agreed"};

static const Target any = {
    .name = "any",
#define FACT(name, kind, default_, unit, help) .name = default_,
#include "target/target.def"
};

const Target *target_any(void)
{
    return &any;
}

TargetOp target_op(const Target *t, const char *op)
{
    for (uint32_t i = 0; i < t->ops; i++)
        if (strcmp(t->op[i].op, op) == 0)
            return t->op[i];
    return (TargetOp){.op = op, .is = OP_UNKNOWN};
}
