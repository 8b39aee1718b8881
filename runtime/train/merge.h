/* merge.h: adapters merged into the weights they adapt. */
#ifndef ANEL_TRAIN_MERGE_H
#define ANEL_TRAIN_MERGE_H

#include "runtime/train/session.h"

/* Write the parameters of the model without adapters, as safetensors in fp32 under their paths: those with a `merge`
 * recipe in the plan as that recipe makes them, adapters left out, all others as they are. A plan without adapters is
 * an error. The file is complete or not there; one that was there is replaced. *tensors, *merged: how many were
 * written, and how many of them had something merged into them. */
bool merge_write(Session *s, const char *path, uint32_t *tensors, uint32_t *merged, Buf *err);

#endif
