/* tokenizer_internal.h: what the kinds of tokenizers fill in. Not for others. */
#ifndef ANEL_TRAIN_TOKENIZER_INTERNAL_H
#define ANEL_TRAIN_TOKENIZER_INTERNAL_H

#include "runtime/train/tokenizer.h"

#include "base/arena.h"

/* What a token stands for when ids become text again. */
typedef struct {
    const char *bytes; /* of the text, in the tokenizer's arena */
    uint32_t    len;
} Piece;

struct Tokenizer {
    Arena      *arena;
    const char *path;
    uint64_t    hash;
    uint32_t    vocab;
    int32_t     bos, eos;
    Piece      *piece;         /* [vocab]; control tokens are empty */
    bool        leading_space; /* encoding puts one before a text */
    void       *self;          /* of the kind */
    /* As tokenizer_stream(); `flush` may be NULL. */
    bool (*encode)(const Tokenizer *t, const char *text, size_t len, Tokens *out, TokenSink *flush, void *to, Buf *err);
    void (*close)(void *self); /* may be NULL */
};

enum { TOKENS_AT_A_TIME = 1 << 16 };

/* Room for `more` ids after out->count. */
void tokens_reserve(Tokens *out, size_t more);

/* What to do about a file that is no tokenizer. */
#define TOKENIZER_REMEDY "; --tokenizer takes the tokenizer.bin of a llama2.c model or the .model of SentencePiece"

/* Fill in a tokenizer from a file's content (in t->arena, so it may be pointed into). False with a sentence. */
bool tokenizer_read_bin(Tokenizer *t, const char *data, size_t len, Buf *err);
bool tokenizer_read_sp(Tokenizer *t, const char *data, size_t len, Buf *err);

#endif
