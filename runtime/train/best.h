/* best.h: which checkpoint of a run had the lowest held-out loss.
 *
 *     run/BEST      text: "ckpt-500 2.25", the checkpoint and the loss
 *
 * The file is replaced as a whole, after the checkpoint it names is complete, and that checkpoint is not deleted with
 * older ones. Nothing else is remembered: what is best so far is read again when there is something to compare. */
#ifndef ANEL_TRAIN_BEST_H
#define ANEL_TRAIN_BEST_H

#include "base/buf.h"

#include <stdbool.h>
#include <stdint.h>

/* Whether `loss` at `step` is lower than that of the checkpoint marked, or none is. A mark at a later step was left by
 * another continuation of the run and does not count; a loss that is no number is never the best. */
bool best_is(const char *run, uint64_t step, double loss);
/* Mark the checkpoint of `step`, which is saved. False with a sentence. */
bool best_mark(const char *run, uint64_t step, double loss, Buf *err);
/* The step and loss of the mark; false if there is none, it is damaged, or its checkpoint is gone. */
bool best_read(const char *run, uint64_t *step, double *loss);
/* The directory of the checkpoint marked, in `a`; NULL with a sentence if there is none. */
const char *best_find(Arena *a, const char *run, Buf *err);
/* Remove the mark; a missing one is fine. `why` has FILE_ERR_MAX bytes. */
bool best_clear(const char *run, char *why);

#endif
