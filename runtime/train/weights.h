/* weights.h: initial parameters from files of other programs.
 *
 * Two kinds of file are read: safetensors (types F32, F16, BF16, F64; a single file, the index.json of a model in
 * several files, or the directory of either), and the .bin of llama2.c (llama2c.h says what its arrays are called). All
 * are untrusted and checked. export.h goes the other way. */
#ifndef ANEL_TRAIN_WEIGHTS_H
#define ANEL_TRAIN_WEIGHTS_H

#include "runtime/train/session.h"

/* Fill every parameter of the session from the tensor with the name its `import` attribute gives, or else of its path.
 * Hugging Face files may have "transformer." or "model." before the name, or lack it there; a classifier that a file
 * leaves out is its embedding. The tensor is transposed first, then rows are selected, if the attribute says so.
 *
 * Adapters without a tensor get their initial values: files of the model that is adapted have none. Any other
 * parameter without a tensor, or one with a tensor of another shape, is an error, and so is a classifier in the file
 * that the model has tied to its embedding. Other tensors that nobody asks for are counted in a sentence in `note`
 * (which may be NULL). Parameters are in no particular state after an error. */
bool weights_load(Session *s, const char *path, Buf *note, Buf *err);

#endif
