/* mil_const.h: constants of MIL text: typed literals, bare literals and entries of blob files. */
#ifndef ANEL_MIL_MIL_CONST_H
#define ANEL_MIL_MIL_CONST_H

#include "mil/mil_rules.h"

/* The declared type if it is one a value can have: supported form, at most MIL_RANK_MAX positive extents. */
bool type_resolve(Check *c, const AstType *t, MilType *out);
/* The value of a literal: typed, bare (then its type is `type`), or the payload of a blob file. NULL after reporting.
 */
Const *const_eval(Check *c, const AstValue *v, const MilType *type);

#endif
