/* check.h: `anerun PLAN --check`: every program of a plan on the chosen device against the reference. */
#ifndef ANEL_RUNTIME_CHECK_H
#define ANEL_RUNTIME_CHECK_H

#include "runtime/train/session.h"

#include <stdio.h>

/* Run each entry of the plan once, forward and backward where it has both, with the session's parameters; the one that is
 * trained on a micro-batch of the settings' data (or of noise where there is no such file), the others on zeros. Then run all
 * programs on random inputs. `checking` is the check device the session's executor was opened on. `out` receives a table,
 * the rows beyond their bounds first if `quiet` leaves out the others. False with a sentence in `err` if anything could
 * not be run or is beyond its bounds. */
bool check_run(Session *s, Device *checking, FILE *out, bool quiet, Buf *err);

#endif
