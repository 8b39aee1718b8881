/* decoder.h: a plan's `decode` entries as one reader of tokens.
 *
 * The entry takes some tokens and the position of the first, and gives the logits of the token after the last; what it
 * has seen it keeps in states. A model may have it for several numbers of tokens (#[bucket(1, 16, 64)]: decode@1,
 * decode@16, decode@64). Tokens known in advance then go through the largest that they fill, which reads the weights
 * once for all of them; all give the same logits, up to rounding. */
#ifndef ANEL_TRAIN_DECODER_H
#define ANEL_TRAIN_DECODER_H

#include "runtime/train/session.h"

typedef struct {
    uint32_t entry, tokens; /* at a time */
    int32_t *token;         /* [tokens] */
    int32_t *position;      /* NULL: the entry does not ask */
    bool baked;
} DecoderPiece;

typedef struct {
    Session *s;
    DecoderPiece *piece; /* the largest first, the last one takes a single token */
    uint32_t pieces;
    uint32_t vocab;
    uint64_t context; /* positions there are; 0: no limit known */
    uint64_t at;      /* the next position */
} Decoder;

/* Find the entries; lists live in `a`. False with a sentence if the plan has none, or none for a single token, or if
 * one has other inputs or results than described above. */
bool decoder_open(Decoder *d, Arena *a, Session *s, Buf *err);
/* Bring the programs up to date that decoder_read() needs for `tokens` tokens, and for one. */
bool decoder_bake(Decoder *d, uint64_t tokens, Buf *err);
/* Forget what was read: states as at the start, position 0. */
void decoder_reset(Decoder *d);
/* Read n >= 1 tokens, which fit the vocabulary and what is left of the context. The logits of the token after them,
 * valid until the next call; NULL with a sentence in `err`. */
const float *decoder_read(Decoder *d, const int32_t *token, uint64_t n, Buf *err);

#endif
