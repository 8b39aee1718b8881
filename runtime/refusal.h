/* refusal.h: what to do about a program that the engine's compiler refuses: find the smallest part that it refuses, name
 * the statement, the place in the model it stems from and the rule it may break, and save all of it as a directory that can
 * be attached to a bug report (docs/refusals.md). */
#ifndef ANEL_RUNTIME_REFUSAL_H
#define ANEL_RUNTIME_REFUSAL_H

#include "device.h"
#include "plan/plan.h"
#include "refusal_search.h"

typedef struct {
    const char          *place;               /* directory in which refused-PROGRAM/ is made */
    const Plan          *plan;                /* NULL: the text belongs to none */
    const char          *plan_dir, *plan_hash; /* where its maps are */
    const struct Target *target;              /* whose rules are named; NULL: target_any() */
    const char          *device, *version;    /* "ane"; of anel */
    bool                 weights;             /* save weight files whatever their size */
    uint32_t             compiles;            /* to spend on the search; 0: REFUSAL_COMPILES */
} RefusalOptions;

enum { REFUSAL_SMALL_WEIGHTS = 1 << 20 }; /* bytes of weight files that are saved without being asked for */

/* From now on every program of `d` that is refused (REFUSED_ENGINE) is looked into before program_compile() returns; what
 * came of it is appended to its message. `o` outlives the device. */
void refusal_watch(Device *d, const RefusalOptions *o);

/* A refused program and what is known of it; refusal_report.c. */
typedef struct {
    const char        *name, *mil; /* as given to program_compile() */
    size_t             len;
    const DeviceFile  *file;
    size_t             files;
    const char        *said; /* by the device, about the whole program */
    const Cut         *cut;  /* NULL: the text could not be taken apart */
    const RefusalFound *found; /* with `cut` */
} Refused;

/* Write a new directory; its path, in `a`, or NULL with a sentence in `err`. What is to be said to the user, without the
 * path, goes to `words`. */
const char *refusal_report(Arena *a, const RefusalOptions *o, const Refused *r, Buf *words, Buf *err);

/* `text` with the paths of the user's and of temporary directories made "~" and "TMPDIR", in `a`. */
char *refusal_scrub(Arena *a, const char *text);

#endif
