/* check.h: `anerun PLAN --check`: every program of a plan on the chosen device against the reference. */
#ifndef ANEL_RUNTIME_CHECK_H
#define ANEL_RUNTIME_CHECK_H

#include "runtime/train/session.h"

#include <stdio.h>

typedef struct {
    const char *device; /* its name, for the report */
    bool        quiet;  /* leave out rows within their bounds */
    bool        json;   /* the report as a JSON object instead of a table */
} CheckOptions;

/* Run each entry of the plan once, forward and backward where it has both, with the session's parameters; the one that is
 * trained on a micro-batch of the settings' data (or of noise where there is no such file), the others on zeros. Then run all
 * programs on random inputs. `checking` is the check device the session's executor was opened on; whether there are second
 * opinions was settled when it was made. `out` receives the report. False with a sentence in `err` that names the programs if
 * anything could not be run or is beyond its bounds. */
bool check_run(Session *s, Device *checking, const CheckOptions *o, FILE *out, Buf *err);

#endif
