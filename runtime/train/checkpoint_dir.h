/* checkpoint_dir.h: the steps that checkpoint.c takes in a run's directory. Not for others. */
#ifndef ANEL_TRAIN_CHECKPOINT_DIR_H
#define ANEL_TRAIN_CHECKPOINT_DIR_H

#include "base/buf.h"

#include <stdbool.h>

/* Name of a hidden directory for a checkpoint being written. */
const char *run_dir_temporary(Arena *a, const char *run, uint64_t step);
/* Remove hidden directories that a killed process left behind; `why` has FILE_ERR_MAX bytes. */
bool run_dir_sweep(const char *run, char *why);
/* Give the finished directory its name, replacing a checkpoint of the same step, and point LATEST to it. */
bool run_dir_publish(const char *run, const char *temporary, uint64_t step, Buf *err);
/* Delete checkpoints before `step` so that, with it, `keep` remain (0: all). Later ones are another branch of the run
 * and left alone. */
bool run_dir_prune(const char *run, uint64_t step, uint64_t keep, Buf *err);
/* The checkpoint directory of the largest step before that of `dir`, or NULL. */
const char *run_dir_older(Arena *a, const char *dir);

#endif
