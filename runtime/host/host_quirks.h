/* host_quirks.h: numeric quirks of engines (quirks.def) as what happens to a step's numbers.
 *
 * Which of them concern a step is settled when it is planned; a step without any runs as it always does. They work on
 * fp16 bits or on floats in one portable version, so that they are the same in every build. */
#ifndef ANEL_HOST_QUIRKS_H
#define ANEL_HOST_QUIRKS_H

#include "host/host.h"

/* What becomes of a row of results, before it is rounded to fp16. */
typedef struct RowQuirk RowQuirk;

/* The device's quirks, from its options. */
uint32_t host_quirks(const DeviceOptions *o);

/* Largest magnitude, as fp16 bits, that the results of the call may have; what is larger becomes infinite. 0: any. The
 * first `*from` results are spared. */
uint16_t host_result_limit(const HostDevice *d, const Call *c, uint32_t *from);
void host_saturate(Pool *pool, uint16_t *x, int64_t n, uint16_t limit);

/* Has the call's result to be computed where a quirk may change it, rather than be a name for a part of its operand? */
bool host_moves(const HostDevice *d, const Call *c);

/* The call as the engine understands it: without a mask that it ignores. */
const Call *host_understood(Arena *keep, const HostDevice *d, const Call *c);

/* NULL: nothing happens to the call's rows. */
const RowQuirk *host_row_quirk(Arena *keep, const HostDevice *d, const Call *c);
/* `out`: n results of x and y (NULL for one operand), which advance by sx and sy. */
void host_row_quirk_run(const RowQuirk *q, const float *x, int64_t sx, const float *y, int64_t sy, float *out,
                        int64_t n);

#endif
