/* host_limits.h: what the engine that a device imitates would do with a text. */
#ifndef ANEL_HOST_LIMITS_H
#define ANEL_HOST_LIMITS_H

#include "driver.h"
#include "mil/mil_check.h"
#include "target/target.h"

typedef enum { LIMITS_NONE, LIMITS_REFUSED, LIMITS_TEXT } LimitsKind;

typedef struct {
    LimitsKind kind;
    bool *garbage; /* by function: its outputs are silently wrong (ANE039); NULL: none is */
} Limits;

/* Hold the text that is source number `source` of `told` against what `target` is known to refuse. `told` is what
 * mil_check() said of it, which decides who is to blame: LIMITS_REFUSED if all that is wrong, or nothing, is wrong for the
 * engine only. Then, and for LIMITS_TEXT found here alone, the reasons are appended to `err`; where `told` holds errors of
 * its own, nothing is, and they are the caller's to tell. Weight files are not looked at. `garbage` lives in `keep`. */
Limits host_limits(Arena *keep, const Target *target, const Diags *told, uint32_t source, Buf *err);

#endif
