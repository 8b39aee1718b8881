/* schedule.h: the learning rate of a step. */
#ifndef ANEL_TRAIN_SCHEDULE_H
#define ANEL_TRAIN_SCHEDULE_H

#include "runtime/train/settings.h"

/* Learning rate of step `step` (from 0). A pure function, so resuming needs no state. */
double schedule_lr(const Settings *s, uint64_t step);

#endif
