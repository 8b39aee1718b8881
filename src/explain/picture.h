/* picture.h: a plan and its programs as drawings: SVG elements for a page of HTML. */
#ifndef ANEL_EXPLAIN_PICTURE_H
#define ANEL_EXPLAIN_PICTURE_H

#include "mil/mil_ast.h"
#include "plan/plan.h"

/* The dataflow of one program: a box for every statement but constants. */
void picture_of_program(Arena *a, const AstProgram *p, const Interner *names, Buf *out);

/* The order of an entry: programs, and the CPU's steps between them in one box, tied by what they hand over. Loops are
 * drawn once, with their number of turns; last come the steps of an update. */
void picture_of_entry(Arena *a, const Plan *plan, const PlanEntry *entry, Buf *out);

#endif
