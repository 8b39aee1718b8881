/* weights.h: initial parameters from files of other programs.
 *
 * Two kinds of file are read: safetensors (types F32, F16, BF16, F64), and the .bin of llama2.c (version 0), whose
 * unnamed arrays get the names of the original Llama checkpoints, without ".weight" for embeddings and norms:
 * "tok_embeddings", "layers.0.attention_norm", "layers.0.attention.wq.weight", "layers.0.ffn_norm",
 * "layers.0.feed_forward.w1.weight", "norm", "output.weight". Both are untrusted and checked. */
#ifndef ANEL_TRAIN_WEIGHTS_H
#define ANEL_TRAIN_WEIGHTS_H

#include "runtime/train/session.h"

/* Fill every parameter of the session from the tensor with the name its `import` attribute gives, or else of its path.
 * Rows are selected first, then the tensor is transposed, if the attribute says so. The first parameter without a
 * tensor, or with one of another shape, is an error; tensors nobody asks for are not. Adapters without a tensor get
 * their initial values: files of the model that is adapted have none. Parameters are in no particular
 * state after one. */
bool weights_load(Session *s, const char *path, Buf *err);

#endif
