/* mil64.h: MIL programs in double precision, slowly and plainly: the reference of `anerun PLAN --check`.
 *
 * It shares the reading of the text (src/mil) with the host device, and nothing else: no kernel, no fusion, no memory
 * plan. It knows the operations that anec writes. Evaluated with noise, every result that the engine rounds to fp16 is
 * moved by a random number of at most half a unit in the last place: what that does to the outputs is what rounding may
 * do to them (docs/check.md). */
#ifndef ANEL_RUNTIME_MIL64_H
#define ANEL_RUNTIME_MIL64_H

#include "base/buf.h"
#include "mil/mil_check.h"

typedef struct Mil64 Mil64;

/* Read a text; the files' bytes are copied. NULL with messages in `err`, also for an operation that has no reference
 * here. */
Mil64 *mil64_new(const char *name, const char *mil, size_t len, const MilFile *file, uint32_t files, Buf *err);
void   mil64_free(Mil64 *m); /* NULL is fine */
/* The main function: its inputs and outputs with their types. */
const Func *mil64_func(const Mil64 *m);
/* output[i]: room for all elements of output i. `noise` 0: exact, else the seed of the noise. */
void mil64_run(Mil64 *m, const double *const *input, double *const *output, uint64_t noise);
/* Give back the memory that is kept from one run to the next (constants as doubles). */
void mil64_forget(Mil64 *m);

/* Half a unit in the last place of fp16 at x: 2^(e - 11) for 2^e <= |x| < 2^(e+1), at least 2^-25. */
double mil64_half_ulp(double x);

#endif
