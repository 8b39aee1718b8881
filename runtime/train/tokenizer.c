/* tokenizer.c: what all kinds of tokenizers share: opening a file, and ids to text; see tokenizer.h.
 *
 * Every kind reduces to a table of pieces, the bytes each id stands for, so that decoding is the same for all of them:
 * token by token, for text that is printed while it is made. */
#include "runtime/train/tokenizer_internal.h"

#include "base/file.h"
#include "base/hash.h"

#include <stdlib.h>
#include <string.h>

void tokens_reserve(Tokens *out, size_t more)
{
    if (out->cap - out->count >= more)
        return;
    size_t cap = out->cap ? out->cap : 64;
    while (cap - out->count < more) {
        if (cap > SIZE_MAX / 2 / sizeof *out->id)
            bug("too many tokens");
        cap *= 2;
    }
    out->id = xrealloc(out->id, cap * sizeof *out->id);
    out->cap = cap;
}

void tokens_free(Tokens *k)
{
    free(k->id);
    *k = (Tokens){0};
}

/* A SentencePiece model is a protocol buffer whose first field, a piece, begins with its own first field: tag 1, a length
 * below 128, tag 1. In a llama2.c file these bytes would be a longest token of more than 655,000 bytes. */
static bool is_sentencepiece(const char *data, size_t len)
{
    return len >= 3 && data[0] == 0x0a && data[2] == 0x0a;
}

Tokenizer *tokenizer_open(const char *path, Buf *err)
{
    Tokenizer *t = xcalloc(1, sizeof *t);
    char      *data, why[FILE_ERR_MAX];
    size_t     len;
    bool       ok;
    t->arena = arena_new();
    t->path = arena_strdup(t->arena, path);
    t->bos = t->eos = TOKENIZER_NONE;
    if (!file_read(t->arena, path, &data, &len, why)) {
        buf_printf(err, "tokenizer: %s; --tokenizer FILE names another", why);
        ok = false;
    } else {
        t->hash = hash_u64(data, len);
        ok = is_sentencepiece(data, len) ? tokenizer_read_sp(t, data, len, err) : tokenizer_read_bin(t, data, len, err);
    }
    if (ok)
        return t;
    tokenizer_close(t);
    return NULL;
}

void tokenizer_close(Tokenizer *t)
{
    if (!t)
        return;
    if (t->close)
        t->close(t->self);
    arena_free(t->arena);
    free(t);
}

uint32_t tokenizer_vocab(const Tokenizer *t)
{
    return t->vocab;
}

int32_t tokenizer_bos(const Tokenizer *t)
{
    return t->bos;
}

int32_t tokenizer_eos(const Tokenizer *t)
{
    return t->eos;
}

uint64_t tokenizer_hash(const Tokenizer *t)
{
    return t->hash;
}

bool tokenizer_fits(const Tokenizer *t, uint32_t vocab, Buf *err)
{
    if (t->vocab <= vocab)
        return true;
    buf_printf(err,
               "tokenizer '%s' has %u ids, the model's vocabulary only %u: they do not belong together; name the "
               "tokenizer the model was trained with (--tokenizer FILE), or compile the model for %u tokens",
               t->path, (unsigned)t->vocab, (unsigned)vocab, (unsigned)t->vocab);
    return false;
}

bool tokenizer_encode(const Tokenizer *t, const char *text, size_t len, Tokens *out, Buf *err)
{
    return len == 0 || t->encode(t, text, len, out, NULL, NULL, err);
}

bool tokenizer_stream(const Tokenizer *t, const char *text, size_t len, TokenSink *flush, void *to, Buf *err)
{
    Tokens k = {0};
    bool   ok = len == 0 || (t->encode(t, text, len, &k, flush, to, err) && (k.count == 0 || flush(to, &k, err)));
    tokens_free(&k);
    return ok;
}

static Piece piece_of(const Tokenizer *t, int32_t previous, int32_t id)
{
    if (id < 0 || (uint32_t)id >= t->vocab)
        return (Piece){"", 0};
    Piece p = t->piece[id];
    bool  first = previous == TOKENIZER_NONE || (previous == t->bos && t->bos != TOKENIZER_NONE);
    if (first && t->leading_space && p.len && p.bytes[0] == ' ')
        p = (Piece){p.bytes + 1, p.len - 1};
    return p;
}

void tokenizer_decode(const Tokenizer *t, int32_t previous, int32_t id, Buf *out)
{
    Piece p = piece_of(t, previous, id);
    buf_add(out, p.bytes, p.len);
}

size_t tokenizer_bytes(const Tokenizer *t, int32_t previous, int32_t id)
{
    return piece_of(t, previous, id).len;
}
