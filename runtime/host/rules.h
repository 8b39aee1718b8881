/* rules.h: prototypes of all type rules, from the table. */
#ifndef ANEL_HOST_RULES_H
#define ANEL_HOST_RULES_H

#include "host/mil_check.h"

#define OP(name, args, type, kernel) TypeRule rule_##type;
#include "host/mil_ops.def"

#endif
