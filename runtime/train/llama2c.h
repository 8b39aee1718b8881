/* llama2c.h: the .bin files of llama2.c, version 0: a header of seven int32 and then fp32 arrays without names.
 *
 * Their order, shapes and the names they go by here (those of the original Llama checkpoints, without ".weight" for
 * embeddings and norms) stand in one table, which reading (weights.c) and writing (export.c) share. */
#ifndef ANEL_TRAIN_LLAMA2C_H
#define ANEL_TRAIN_LLAMA2C_H

#include "base/buf.h"

#include <stdbool.h>

typedef struct {
    int64_t dim, hidden, layers, heads, kv_heads, vocab, seq;
    bool tied; /* the classifier is the embedding; else an array "output.weight" follows (vocabulary negative) */
} Llama2c;

enum { LLAMA2C_HEADER = 28 };

/* Header to and from LLAMA2C_HEADER bytes. Reading fails if the numbers make no sense. */
bool llama2c_read_header(const void *bytes, Llama2c *h);
void llama2c_write_header(const Llama2c *h, void *bytes);

/* Called for each array in the order of the file: [rows, cols] fp32; rows = 1 for vectors. name NULL: a table of RoPE,
 * [seq, head width / 2], of cosines (the first) or sines, which readers skip and compute themselves. False ends the
 * walk, and is then its result. */
typedef bool Llama2cVisit(void *with, const char *name, int64_t rows, int64_t cols);
bool llama2c_walk(const Llama2c *h, Arena *a, Llama2cVisit *visit, void *with);

#endif
