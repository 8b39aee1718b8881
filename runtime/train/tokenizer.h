/* tokenizer.h: text to token ids and back, by tokenizers that other programs trained.
 *
 *     llama2.c        a .bin file: every token with a score; greedy merges of the best-scored pair (tokenizer_bin.c)
 *     SentencePiece   a .model file, through the library, if this build has it (tokenizer_sp.cc)
 *
 * A tokenizer is immutable once it is open; any number of threads may use it. Files are untrusted. */
#ifndef ANEL_TRAIN_TOKENIZER_H
#define ANEL_TRAIN_TOKENIZER_H

#include "base/buf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct Tokenizer Tokenizer;

enum { TOKENIZER_NONE = -1 }; /* no such id */

/* Open a file. Its content decides which kind it is, not its name. NULL with a sentence in `err`: it cannot be read, is
 * malformed (with the token and byte offset), or is a SentencePiece model and the build has no such library. */
Tokenizer *tokenizer_open(const char *path, Buf *err);
void       tokenizer_close(Tokenizer *t); /* NULL is fine */

uint32_t    tokenizer_vocab(const Tokenizer *t); /* ids are 0 .. vocab - 1 */
int32_t     tokenizer_bos(const Tokenizer *t);   /* begin and end of a text; TOKENIZER_NONE if it has none */
int32_t     tokenizer_eos(const Tokenizer *t);
/* 64-bit hash of the file: names what was made with this tokenizer. */
uint64_t tokenizer_hash(const Tokenizer *t);

/* Whether every id it makes fits a model of `vocab` ids. A smaller tokenizer is fine: models pad their vocabularies.
 * False with a sentence in `err`. */
bool tokenizer_fits(const Tokenizer *t, uint32_t vocab, Buf *err);

/* A growing list of ids. Zero-initialise; tokens_free() when done. */
typedef struct {
    int32_t *id;
    size_t   count, cap;
} Tokens;
void tokens_free(Tokens *k);

/* Append the ids of a whole text, without BOS and EOS (which are the caller's to add). Bytes that are no UTF-8 are kept
 * as byte tokens where the tokenizer has them. False with a sentence in `err` (only SentencePiece can fail, and a
 * tokenizer that has no token for a character nor an unknown token). */
bool tokenizer_encode(const Tokenizer *t, const char *text, size_t len, Tokens *out, Buf *err);

/* The same for texts of any length: the ids are handed to `flush` in lists of some ten thousand, and not kept. It returns
 * false to stop, having put a sentence into `err`. */
typedef bool TokenSink(void *to, const Tokens *k, Buf *err);
bool tokenizer_stream(const Tokenizer *t, const char *text, size_t len, TokenSink *flush, void *to, Buf *err);

/* Append the bytes of `id`, given the id before it: `previous` is TOKENIZER_NONE at the start. The space that encoding
 * puts before a text is taken off again at the start and after BOS; BOS, EOS and other control tokens have no bytes. A
 * character may be spread over several tokens, so what is appended need not be valid UTF-8 by itself. Ids beyond the
 * vocabulary (a padded model may pick one) have no bytes. */
void tokenizer_decode(const Tokenizer *t, int32_t previous, int32_t id, Buf *out);
/* The number of bytes tokenizer_decode() would append. */
size_t tokenizer_bytes(const Tokenizer *t, int32_t previous, int32_t id);

#endif
