/* plan_diff.h: what a change means: two plans compared by their facts instead of by their lines.
 *
 * Files of a plan can be compared with any diff; what a reviewer then asks is which programs came or went, which values cross
 * a border that did not before, how many bytes that costs, which operations changed programs, and what became of the
 * parameters, because checkpoints depend on them. */
#ifndef ANEL_EXPLAIN_PLAN_DIFF_H
#define ANEL_EXPLAIN_PLAN_DIFF_H

#include "plan/plan.h"

/* A plan to compare: `dir` may be NULL when there is a manifest only; then programs are compared by their ports. */
typedef struct {
    const char *name;
    const char *dir;
    const Plan *plan;
} DiffSide;

/* Append the differences to `out`, nothing when there are none; true if there are any. Scratch memory in `a`. MIL text that
 * cannot be read is said in `out` and counts as a difference. */
bool plan_diff(Arena *a, const DiffSide *old, const DiffSide *new, Buf *out);

/* diff_ops.c: operations of the programs: how many came and went, which moved to another program. */
bool plan_diff_ops(Arena *a, const DiffSide *old, const DiffSide *new, Buf *out);

#endif
