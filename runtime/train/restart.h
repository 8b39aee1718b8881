/* restart.h: a process replaces its image by a fresh one of the same program and goes on; see state_file.h.
 *
 * Process id, working directory, standard streams, arguments and environment stay; so do the lock on the run's
 * directory, which is tied to the process and to the descriptor, and signals that were blocked and are pending. All
 * other descriptors are closed on the way (O_CLOEXEC). What the new image needs to know travels in one environment
 * variable. */
#ifndef ANEL_TRAIN_RESTART_H
#define ANEL_TRAIN_RESTART_H

#include "runtime/train/state_file.h"

/* What an earlier image left; NULL if this is the first. The variable is removed. False with a sentence in `err` if it
 * makes no sense. `lock`: the descriptor of the run's lock, -1: none. */
bool restart_take(StateFile **state, int *lock, Buf *err);

/* Replace the image; on success this does not return. `argv`: as main() got it. Otherwise a sentence in `err`. The
 * caller has closed what it holds: files are flushed, devices closed. */
void restart_exec(char *const *argv, const StateFile *state, int lock, Buf *err);

/* Hold back SIGINT and SIGTERM, for the image to come; and let them through. */
void restart_block_signals(bool block);

#endif
