/* tokenizer_sp.h: the SentencePiece library (C++) behind functions of C. Used by tokenizer_model.c only; the two are in a
 * library of their own, built where SentencePiece is found. No exception leaves these functions. */
#ifndef ANEL_TRAIN_TOKENIZER_SP_H
#define ANEL_TRAIN_TOKENIZER_SP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct SpModel SpModel;

enum { SP_WHY_MAX = 256 };

/* Read a model from memory. NULL with the library's reason in `why` (SP_WHY_MAX bytes). */
SpModel *sp_open(const char *data, size_t len, char *why);
void     sp_close(SpModel *m);

uint32_t sp_count(const SpModel *m);
int32_t  sp_bos(const SpModel *m), sp_eos(const SpModel *m); /* below 0: none */

/* What a piece stands for, at most `cap` bytes of it: the size. Control and unused pieces are empty, a piece for a byte is
 * that byte, the mark for a space is a space. */
size_t sp_piece(const SpModel *m, uint32_t id, char *bytes, size_t cap);

/* Ids of a text. `first`: it is the beginning of one, which gets a space where the model wants it. Each list of ids is
 * handed to `emit`. False with a reason in `why`. */
bool sp_encode(const SpModel *m, bool first, const char *text, size_t len,
               void (*emit)(void *to, const int32_t *id, size_t count), void *to, char *why);

#ifdef __cplusplus
}
#endif
#endif
