/* tokenizer_bin.c: the tokenizer files of llama2.c (Karpathy 2023).
 *
 * A file holds an int32, the longest token's length, and then per token, to its end, an fp32 score, an int32 length and
 * so many bytes, all little endian. Ids 0, 1, 2 are unknown, BOS and EOS; ids 3 .. 258 stand for single bytes and are
 * spelt <0x00> .. <0xFF>.
 *
 * Encoding puts a space before the text, takes each character that is a token for that token (else its bytes, one by
 * one), and then joins, as long as there is one, the adjacent pair whose joint text is the token of best score, the
 * leftmost of equals. Done literally that is quadratic. Here pairs wait in a heap, and the text is cut where no token
 * can reach across: between two bytes that stand side by side inside no token. Nothing is ever joined over such a place
 * and what happens on one side does not matter to the other, so the ids are the same, and a text of words takes linear
 * time and no memory to speak of. */
#include "runtime/train/tokenizer_internal.h"

#include "base/hash.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    UNKNOWN,
    BOS,
    EOS,
    FIRST_BYTE,
    FIRST_TOKEN = FIRST_BYTE + 256,
    MOST_TOKENS = 1 << 24,
    LONGEST_TOKEN = 1 << 16,
    LONGEST_SEGMENT = 1 << 24, /* bytes; a text without a place to cut is cut there nevertheless */
};

typedef struct {
    float   *score;          /* [vocab] */
    int32_t *slot;           /* hash table of ids, TOKENIZER_NONE: empty */
    size_t   slots;          /* a power of two */
    uint8_t  inside[1 << 13]; /* bit a * 256 + b: a is followed by b inside a token */
} Bin;

/* ---- reading ---- */

static uint32_t u32_at(const char *p)
{
    const unsigned char *b = (const unsigned char *)p;
    return (uint32_t)b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24;
}

static bool same(const Piece *p, const char *bytes, size_t len)
{
    return p->len == len && memcmp(p->bytes, bytes, len) == 0;
}

static int32_t lookup(const Tokenizer *t, const char *bytes, size_t len)
{
    const Bin *b = t->self;
    for (size_t at = hash_u64(bytes, len) & (b->slots - 1); b->slot[at] >= 0; at = (at + 1) & (b->slots - 1))
        if (same(&t->piece[b->slot[at]], bytes, len))
            return b->slot[at];
    return TOKENIZER_NONE;
}

/* Of several tokens of one text the first counts. */
static void add(const Tokenizer *t, Bin *b, int32_t id)
{
    const Piece *p = &t->piece[id];
    if (p->len == 0)
        return;
    size_t at = hash_u64(p->bytes, p->len) & (b->slots - 1);
    for (; b->slot[at] >= 0; at = (at + 1) & (b->slots - 1))
        if (same(&t->piece[b->slot[at]], p->bytes, p->len))
            return;
    b->slot[at] = id;
    for (uint32_t i = 0; i + 1 < p->len; i++) {
        uint32_t pair = (uint32_t)(unsigned char)p->bytes[i] << 8 | (unsigned char)p->bytes[i + 1];
        b->inside[pair >> 3] |= (uint8_t)(1u << (pair & 7));
    }
}

static bool check_token(uint32_t id, size_t at, const Piece *p, float score, uint32_t longest, Buf *err)
{
    char spelt[8];
    if (p->len > longest)
        buf_printf(err, "token %u at byte offset %zu is said to have %u bytes, the longest %u", id, at, p->len, longest);
    else if (!isfinite(score))
        buf_printf(err, "token %u at byte offset %zu has a score that is not a number", id, at);
    else if (id >= FIRST_BYTE && id < FIRST_TOKEN) {
        snprintf(spelt, sizeof spelt, "<0x%02X>", (id - FIRST_BYTE) & 0xffu);
        if (!same(p, spelt, 6))
            buf_printf(err, "token %u at byte offset %zu should be the byte %s", id, at, spelt);
    }
    return err->len == 0;
}

/* Two passes: how many there are, then what they are. */
static bool read_tokens(Tokenizer *t, Bin *b, const char *data, size_t len, uint32_t longest, Buf *err)
{
    for (int pass = 0; pass < 2; pass++) {
        uint32_t id = 0;
        for (size_t at = 4; at < len; id++) {
            if (len - at < 8 || u32_at(data + at + 4) > len - at - 8) {
                buf_printf(err, "it ends inside token %u, at byte offset %zu", id, at);
                return false;
            }
            if (id == MOST_TOKENS) {
                buf_printf(err, "it has more than %d tokens", MOST_TOKENS);
                return false;
            }
            Piece    p = {data + at + 8, u32_at(data + at + 4)};
            uint32_t bits = u32_at(data + at);
            float    score;
            memcpy(&score, &bits, sizeof score);
            if (!check_token(id, at, &p, score, longest, err))
                return false;
            if (pass) {
                t->piece[id] = p;
                b->score[id] = score;
            }
            at += 8 + (size_t)p.len;
        }
        if (id < FIRST_TOKEN) {
            buf_printf(err, "it has %u tokens and needs %d at least", id, FIRST_TOKEN);
            return false;
        }
        if (!pass) {
            t->vocab = id;
            t->piece = NEW_N(t->arena, Piece, id);
            b->score = NEW_N(t->arena, float, id);
        }
    }
    return true;
}

/* ---- encoding ---- */

/* A part of the segment that is one token so far. */
typedef struct {
    uint32_t at, len; /* bytes of the segment */
    uint32_t prev, next;
    int32_t  id; /* below FIRST_TOKEN: a byte, which joins nothing; TOKENIZER_NONE: joined to the one before */
} Symbol;

enum { NOBODY = -1 };

/* A pair that may be joined: `left` and what follows it, `len` bytes together, are token `id`. */
typedef struct {
    float    score;
    uint32_t left, len;
    int32_t  id;
} Pair;

/* Texts repeat their words: the ids of short segments that were met before. A place is taken by who came last. */
enum { MEMORY = 1 << 14, MEMORY_BYTES = 20, MEMORY_IDS = 10, WORTH_A_MEMORY = 1 << 16 };

typedef struct {
    uint8_t len, ids; /* len 0: empty */
    char    bytes[MEMORY_BYTES];
    int32_t id[MEMORY_IDS];
} Remembered;

typedef struct {
    const Tokenizer *t;
    const char      *text;
    Remembered      *memory; /* [MEMORY]; NULL: none */
    Symbol          *symbol;
    Pair            *heap;
    size_t           symbols, pairs, symbol_cap, heap_cap;
} Segment;

static bool before(const Pair *a, const Pair *b)
{
    return a->score > b->score || (a->score == b->score && a->left < b->left);
}

static void push(Segment *g, Pair p)
{
    if (g->pairs == g->heap_cap) {
        g->heap_cap = g->heap_cap ? 2 * g->heap_cap : 64;
        g->heap = xrealloc(g->heap, g->heap_cap * sizeof *g->heap);
    }
    size_t i = g->pairs++;
    for (; i && before(&p, &g->heap[(i - 1) / 2]); i = (i - 1) / 2)
        g->heap[i] = g->heap[(i - 1) / 2];
    g->heap[i] = p;
}

static Pair pop(Segment *g)
{
    Pair   top = g->heap[0], last = g->heap[--g->pairs];
    size_t i = 0;
    for (size_t child; (child = 2 * i + 1) < g->pairs; i = child) {
        if (child + 1 < g->pairs && before(&g->heap[child + 1], &g->heap[child]))
            child++;
        if (!before(&g->heap[child], &last))
            break;
        g->heap[i] = g->heap[child];
    }
    g->heap[i] = last;
    return top;
}

/* If `left` and its successor may be joined, remember it. */
static void propose(Segment *g, uint32_t left)
{
    const Symbol *a = &g->symbol[left];
    if (left == (uint32_t)NOBODY || a->next == (uint32_t)NOBODY)
        return;
    const Symbol *b = &g->symbol[a->next];
    if (a->id < FIRST_TOKEN || b->id < FIRST_TOKEN)
        return;
    int32_t id = lookup(g->t, g->text + a->at, (size_t)a->len + b->len);
    if (id >= 0)
        push(g, (Pair){((const Bin *)g->t->self)->score[id], left, a->len + b->len, id});
}

static void add_symbol(Segment *g, uint32_t at, uint32_t len, int32_t id)
{
    if (g->symbols == g->symbol_cap) {
        g->symbol_cap = g->symbol_cap ? 2 * g->symbol_cap : 64;
        g->symbol = xrealloc(g->symbol, g->symbol_cap * sizeof *g->symbol);
    }
    uint32_t i = (uint32_t)g->symbols++;
    g->symbol[i] = (Symbol){at, len, i ? i - 1 : (uint32_t)NOBODY, (uint32_t)NOBODY, id};
    if (i)
        g->symbol[i - 1].next = i;
}

static bool continues(char c)
{
    return ((unsigned char)c & 0xc0) == 0x80;
}

/* A character is a byte and up to three that continue it, whether that is UTF-8 or not. */
static void add_characters(Segment *g, const char *text, uint32_t len)
{
    for (uint32_t at = 0, n; at < len; at += n) {
        for (n = 1; n < 4 && at + n < len && continues(text[at + n]); n++)
            ;
        int32_t id = lookup(g->t, text + at, n);
        if (id >= 0)
            add_symbol(g, at, n, id);
        for (uint32_t i = 0; id < 0 && i < n; i++)
            add_symbol(g, at + i, 1, FIRST_BYTE + (unsigned char)text[at + i]);
    }
}

static void encode_segment(Segment *g, const char *text, size_t len, Tokens *out)
{
    g->text = text;
    g->symbols = g->pairs = 0;
    add_characters(g, text, (uint32_t)len);
    for (uint32_t i = 0; i < g->symbols; i++)
        propose(g, i);
    while (g->pairs) {
        Pair    p = pop(g);
        Symbol *a = &g->symbol[p.left];
        /* Out of date if either half has been joined to something since: then it is gone or has another length. */
        if (a->id < 0 || a->next == (uint32_t)NOBODY || a->len + g->symbol[a->next].len != p.len)
            continue;
        Symbol *b = &g->symbol[a->next];
        a->id = p.id;
        a->len = p.len;
        a->next = b->next;
        b->id = TOKENIZER_NONE;
        if (a->next != (uint32_t)NOBODY)
            g->symbol[a->next].prev = p.left;
        propose(g, a->prev);
        propose(g, p.left);
    }
    tokens_reserve(out, g->symbols);
    for (uint32_t i = 0; i != (uint32_t)NOBODY && g->symbols; i = g->symbol[i].next)
        out->id[out->count++] = g->symbol[i].id;
}

static void encode_remembered(Segment *g, const char *text, size_t len, Tokens *out)
{
    if (!g->memory || len > MEMORY_BYTES) {
        encode_segment(g, text, len, out);
        return;
    }
    Remembered *r = &g->memory[hash_u64(text, len) % MEMORY];
    if (r->len != len || memcmp(r->bytes, text, len) != 0) {
        size_t first = out->count;
        encode_segment(g, text, len, out);
        if (out->count - first > MEMORY_IDS)
            return;
        r->len = (uint8_t)len;
        r->ids = (uint8_t)(out->count - first);
        memcpy(r->bytes, text, len);
        memcpy(r->id, out->id + first, r->ids * sizeof *r->id);
        return;
    }
    tokens_reserve(out, r->ids);
    memcpy(out->id + out->count, r->id, r->ids * sizeof *r->id);
    out->count += r->ids;
}

/* The bytes from `text` on that must be encoded together. */
static size_t segment_end(const Bin *b, const char *text, size_t len)
{
    size_t n = 1;
    for (; n < len && n < LONGEST_SEGMENT; n++) {
        uint32_t pair = (uint32_t)(unsigned char)text[n - 1] << 8 | (unsigned char)text[n];
        if (!continues(text[n]) && !(b->inside[pair >> 3] >> (pair & 7) & 1))
            break;
    }
    return n;
}

static bool encode(const Tokenizer *t, const char *text, size_t len, Tokens *out, TokenSink *flush, void *to, Buf *err)
{
    const Bin *b = t->self;
    Segment    g = {.t = t};
    bool       ok = true;
    if (len >= WORTH_A_MEMORY)
        g.memory = xcalloc(MEMORY, sizeof *g.memory);
    /* The first segment with the space before it, as a copy, for the space may or may not be joined to what follows. */
    size_t n = segment_end(b, text, len);
    char  *first = xmalloc(n + 1);
    first[0] = ' ';
    memcpy(first + 1, text, n);
    encode_segment(&g, first, n + 1, out);
    free(first);
    for (size_t at = n; ok && at < len; at += n) {
        n = segment_end(b, text + at, len - at);
        encode_remembered(&g, text + at, n, out);
        if (flush && out->count >= TOKENS_AT_A_TIME) {
            ok = flush(to, out, err);
            out->count = 0;
        }
    }
    free(g.memory);
    free(g.symbol);
    free(g.heap);
    return ok;
}

/* ---- opening ---- */

/* From here on as what they stand for. Text that looks like one of them is text. */
static void respell_special(Tokenizer *t)
{
    char *byte = arena_alloc(t->arena, 256);
    for (uint32_t id = 0; id < FIRST_BYTE; id++)
        t->piece[id] = (Piece){"", 0};
    for (uint32_t i = 0; i < 256; i++) {
        byte[i] = (char)(unsigned char)i;
        t->piece[FIRST_BYTE + i] = (Piece){byte + i, 1};
    }
}

bool tokenizer_read_bin(Tokenizer *t, const char *data, size_t len, Buf *err)
{
    Bin     *b = NEW(t->arena, Bin);
    Buf      why = {0};
    uint32_t longest = len >= 4 ? u32_at(data) : 0;
    if (len < 4)
        buf_printf(&why, "it has only %zu bytes", len);
    else if (longest == 0 || longest > LONGEST_TOKEN)
        buf_printf(&why, "its longest token is said to have %u bytes", longest);
    if (why.len || !read_tokens(t, b, data, len, longest, &why)) {
        buf_printf(err, "'%s' is no tokenizer of llama2.c: %s" TOKENIZER_REMEDY, t->path, why.data);
        buf_free(&why);
        return false;
    }
    for (b->slots = 1024; b->slots < 2 * (size_t)t->vocab; b->slots *= 2)
        ;
    b->slot = NEW_N(t->arena, int32_t, b->slots);
    memset(b->slot, 0xff, b->slots * sizeof *b->slot); /* TOKENIZER_NONE */
    for (uint32_t id = FIRST_TOKEN; id < t->vocab; id++)
        add(t, b, (int32_t)id);
    respell_special(t);
    t->bos = BOS;
    t->eos = EOS;
    t->leading_space = true;
    t->self = b;
    t->encode = encode;
    return true;
}
