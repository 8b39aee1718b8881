/* tokenizer_model.c: SentencePiece models as tokenizers. The work is the library's; a long text is handed to it in parts
 * that end at the end of a line, because its time and memory for one call grow faster than the text. */
#include "runtime/train/tokenizer_internal.h"
#include "runtime/train/tokenizer_sp.h"

#include <stdlib.h>
#include <string.h>

enum { PART = 1 << 20, LONGEST_PIECE = 1 << 16, MOST_PIECES = 1 << 24 };

static void emit(void *to, const int32_t *id, size_t count)
{
    Tokens *out = to;
    tokens_reserve(out, count);
    if (count)
        memcpy(out->id + out->count, id, count * sizeof *id);
    out->count += count;
}

/* The bytes of the next part: all that is left, or up to the end of the last line of PART bytes; or of the last
 * character, where a line is longer than that. */
static size_t part(const char *text, size_t len)
{
    if (len <= PART)
        return len;
    for (size_t n = PART; n > 1; n--)
        if (text[n - 1] == '\n' && text[n] != '\n')
            return n;
    size_t n = PART;
    while (n > PART - 4 && ((unsigned char)text[n] & 0xc0) == 0x80)
        n--;
    return n;
}

static bool encode(const Tokenizer *t, const char *text, size_t len, Tokens *out, TokenSink *flush, void *to, Buf *err)
{
    char why[SP_WHY_MAX];
    for (size_t at = 0, n; at < len; at += n) {
        n = part(text + at, len - at);
        if (!sp_encode(t->self, at == 0, text + at, n, emit, out, why)) {
            buf_printf(err, "tokenizer '%s' cannot encode the text: %s", t->path, why);
            return false;
        }
        if (flush && out->count >= TOKENS_AT_A_TIME) {
            if (!flush(to, out, err))
                return false;
            out->count = 0;
        }
    }
    return true;
}

static void close_model(void *self)
{
    sp_close(self);
}

/* Does a text get a space before it? Only trying tells. */
static bool adds_space(const Tokenizer *t)
{
    Tokens k = {0};
    char   why[SP_WHY_MAX];
    bool   adds = sp_encode(t->self, true, "a", 1, emit, &k, why) && k.count && k.id[0] >= 0 &&
                (uint32_t)k.id[0] < t->vocab && t->piece[k.id[0]].len && t->piece[k.id[0]].bytes[0] == ' ';
    tokens_free(&k);
    return adds;
}

bool tokenizer_read_sp(Tokenizer *t, const char *data, size_t len, Buf *err)
{
    char     why[SP_WHY_MAX] = "";
    SpModel *m = sp_open(data, len, why);
    if (!m) {
        buf_printf(err, "'%s' is no SentencePiece model: %s" TOKENIZER_REMEDY, t->path, why);
        return false;
    }
    t->self = m;
    t->close = close_model;
    t->encode = encode;
    t->vocab = sp_count(m);
    if (t->vocab == 0 || t->vocab > MOST_PIECES) {
        buf_printf(err, "'%s' is no SentencePiece model: it has %u pieces" TOKENIZER_REMEDY, t->path, (unsigned)t->vocab);
        return false;
    }
    t->bos = sp_bos(m) < 0 ? TOKENIZER_NONE : sp_bos(m);
    t->eos = sp_eos(m) < 0 ? TOKENIZER_NONE : sp_eos(m);
    t->piece = NEW_N(t->arena, Piece, t->vocab);
    char *bytes = xmalloc(LONGEST_PIECE);
    for (uint32_t id = 0; id < t->vocab; id++) {
        size_t n = sp_piece(m, id, bytes, LONGEST_PIECE);
        n = n < LONGEST_PIECE ? n : LONGEST_PIECE;
        t->piece[id] = (Piece){arena_strndup(t->arena, bytes, n), (uint32_t)n};
    }
    free(bytes);
    t->leading_space = adds_space(t);
    return true;
}
