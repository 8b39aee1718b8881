/* modes.h: what each way of handling weights costs, and which one to take.
 *
 * Running and updating pull in different directions: constants make the fastest programs, but every update of the
 * parameters compiles one program per layer and direction anew; weights as inputs cost slower products and are merely
 * written after an update. How many micro-batches an update has decides. */
#ifndef ANEL_BACKEND_ANE_MODES_H
#define ANEL_BACKEND_ANE_MODES_H

#include "backend_ane/backend.h"

/* Fill r->mode for the entry that is trained (or the first, which is then never updated). */
void modes_predict(const Module *m, BackendResult *r);
/* The cheapest that the target is known to run; ties go to baked, then dynamic. */
WeightMode modes_choose(const Module *m, const BackendResult *r);
/* The figures, as lines for people. */
void modes_print(const Module *m, const BackendResult *r, Buf *out);

#endif
