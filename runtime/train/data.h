/* data.h: where training data come from.
 *
 * A data set is opened for the inputs of one entry (its feeds). Files are mapped and checked once: after data_open()
 * every id is known to fit the vocabulary. Token inputs of an entry get the same windows of a file, the k-th one
 * shifted by k positions: an entry loss(x: tok[S], y: tok[S]) sees tokens and the tokens that follow them. An input
 * with more than one axis holds one window per row. A data set may have several files (shards); no window reaches from
 * one into the next.
 *
 * What a micro-batch holds is a pure function of the settings and of its number (the cursor, counted from the start of
 * the run), so a checkpoint needs no more than the cursor, and resuming is exact. */
#ifndef ANEL_TRAIN_DATA_H
#define ANEL_TRAIN_DATA_H

#include "runtime/pool.h"
#include "runtime/train/settings.h"
#include "runtime/train/tokenizer.h"

/* One input of the entry: where values go, and what they are. Inputs of kind IN_LOSS_SCALE are ignored here. */
typedef struct {
    const char   *name;
    PlanInputKind kind;
    int64_t       rows, cols; /* token inputs: windows, positions */
    int32_t       vocab;
    void         *to; /* int32_t[rows * cols] or float[rows * cols] */
} Feed;

typedef struct Data Data;

/* Open the data `s` describes for these feeds. `path` replaces s->data_path when not NULL (an evaluation file). The
 * tokenizer turns text into ids and counts the bytes of tokens; NULL: there is none. It must live as long as the data.
 * The feeds are copied; what they point to is written by data_fill() and data_fill_held_out(). NULL with a sentence in
 * `err`: a file cannot be read, is too short for a window, has an odd size, holds an id beyond the vocabulary (named
 * with its byte offset), or the inputs are not of a kind that the data can fill. */
Data *data_open(const Settings *s, const char *path, const Tokenizer *tokenizer, const Feed *feed, uint32_t feeds,
                Buf *err);
void  data_close(Data *d); /* NULL is fine */
/* Random numbers may be drawn on this pool, which must live as long as the data; they do not depend on it. */
void  data_share(Data *d, Pool *pool);

/* Fill the feeds with micro-batch `cursor` of the training part. Allocates nothing. */
void data_fill(const Data *d, uint64_t cursor);

/* Evaluation reads consecutive windows: of the held-out part, if the settings keep one, else of the whole file.
 * data_batches() of them fill the feeds completely; synthetic data have as many as one likes (UINT64_MAX). */
uint64_t data_batches(const Data *d);
void     data_fill_held_out(const Data *d, uint64_t batch);

/* Tokens predicted per micro-batch (rows * cols of the first token input; 0 without one). */
uint64_t data_tokens(const Data *d);
/* Windows per batch: the rows of the token inputs, 1 without any. */
uint64_t data_rows(const Data *d);
/* Tokens in the training part; 0 for synthetic data. */
uint64_t data_size(const Data *d);
/* What was checked when the data were opened, as one number, never 0: which files, their sizes and times of change, and
 * the vocabulary. A process that takes over from another hands it to data_open() in settings.data_verified (or, for an
 * evaluation file, eval_verified), and ids are not read again. */
uint64_t data_stamp(const Data *d);
/* Bytes of text that the tokens of the last token input stand for, as it is filled now: one each for data=bytes, else as
 * the tokenizer says, each after the token that precedes it. 0 if nobody knows. */
uint64_t data_bytes(const Data *d);
/* "'shards', 1115394 tokens in 3 files (1 shorter than a window is left out)" */
void data_describe(const Data *d, Buf *out);

#endif
