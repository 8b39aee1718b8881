/* dist_run.h: what a training run does because it has several ranks: each call does nothing in a run of one. */
#ifndef ANEL_TRAIN_DIST_RUN_H
#define ANEL_TRAIN_DIST_RUN_H

#include "runtime/train/run.h"

/* The setting `accum` counts a rank's micro-batches; a checkpoint holds those of all ranks, so that it is the same for
 * any number of them. From a checkpoint's settings to a rank's; 0 if they cannot be shared out evenly. */
uint64_t run_shared_accum(uint64_t whole, const Dist *d);
/* The settings as a checkpoint holds them. */
Settings run_whole_settings(const Session *s);

/* Collective: were all ranks started alike: plan, settings, data, initial state? */
bool run_ranks_agree(Run *t, Buf *err);
/* Collective: do all ranks still hold the same parameters and moments? */
bool run_ranks_same(Run *t, Buf *err);
/* Collective: the number of the signal that reached any rank, 0: none. */
int run_agreed_signal(const Run *t, int signal);
/* Say how long gradients were on their way, and how much of that nothing hid. */
void run_note_traffic(Run *t);

#endif
