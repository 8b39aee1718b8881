/* rules.h: prototypes of all type rules, from the table. */
#ifndef ANEL_MIL_RULES_H
#define ANEL_MIL_RULES_H

#include "mil/mil_check.h"

#define OP(name, args, type, kernel) TypeRule rule_##type;
#include "mil/mil_ops.def"

#endif
