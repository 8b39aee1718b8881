/* plan_diff.h: what a change means: two plans compared by their facts instead of by their lines.
 *
 * Files of a plan can be compared with any diff; what a reviewer then asks is which programs came or went, which values cross
 * a border that did not before, how many bytes that costs, which operations changed programs, what became of the
 * parameters, because checkpoints depend on them, and how long it is predicted to take. */
#ifndef ANEL_EXPLAIN_PLAN_DIFF_H
#define ANEL_EXPLAIN_PLAN_DIFF_H

#include "explain/analyse.h"

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

/* diff_times.c: what each side is predicted to cost on one target: of each program one evaluation, of the trained entry a
 * micro-batch and a step (micro-batches only: what an update costs is counted below them). Both were analysed for the same
 * target, and for no other. */
bool plan_diff_times(Arena *a, const Analysis *old, const Analysis *new, Buf *out);

#endif
