/* data.c: training data from files and from random numbers; see data.h.
 *
 * The tokens of all files, one after the other, are cut in two: what is trained on, and what is held out. Each side is a
 * list of parts, a part being the tokens of one file on one side; windows lie within parts, counted through from the
 * first to the last. Which window a row gets is computed from its number:
 *   random      a hash of it: any place where a window may start
 *   sequential  windows that follow each other by the row's length, from the start again after the last
 *   shuffled    the same windows, each once per epoch, in an order that is a permutation computed from seed and epoch */
#include "runtime/train/data.h"

#include "base/rng.h"
#include "runtime/train/data_files.h"
#include "runtime/train/data_shuffle.h"

#include <stdlib.h>
#include <string.h>

typedef struct {
    const Shard *shard;
    uint64_t     begin;                          /* the first token */
    uint64_t     starts, windows;                /* places where a window may start; windows that follow each other */
    uint64_t     starts_before, windows_before; /* in the parts before this one */
} Part;

typedef struct {
    Part    *part;
    uint32_t parts, short_ones; /* the latter are left out: they hold no window */
    uint64_t tokens, starts, windows;
} Side;

struct Data {
    DataKind         kind;
    DataSample       sample;
    uint64_t         key; /* of the random stream */
    Arena           *arena;
    const char      *path;
    const Tokenizer *tokenizer;
    Shard           *shard;
    uint32_t         shards;
    Side             train, held; /* held.parts 0: none */
    int64_t          rows, cols;  /* of token inputs */
    uint64_t         window;      /* tokens one row needs: cols plus the largest shift */
    Feed            *feed;
    uint32_t         feeds;
    Pool            *pool; /* NULL: none */
};

static bool is_file(DataKind k)
{
    return k == DATA_BYTES || k == DATA_TEXT || k == DATA_TOKENS_U16 || k == DATA_TOKENS_U32;
}

/* ---- opening ---- */

static bool check_feeds(Data *d, const Settings *s, Buf *err)
{
    const Feed *first = NULL;
    uint32_t    shift = 0;
    for (uint32_t i = 0; i < d->feeds; i++) {
        const Feed *f = &d->feed[i];
        if (f->kind == IN_REAL && d->kind != DATA_NOISE) {
            buf_printf(err, "input '%s' holds real numbers, which data=%s cannot give; use --set data=noise", f->name,
                       settings_word(s, "data"));
            return false;
        }
        if (f->kind == IN_INT) {
            buf_printf(err,
                       "input '%s' is a number, not data: this entry cannot be trained or evaluated from a data set",
                       f->name);
            return false;
        }
        if (f->kind != IN_TOKENS)
            continue;
        if (first && (f->rows != first->rows || f->cols != first->cols)) {
            buf_printf(err, "token inputs '%s' and '%s' have different shapes; windows of data need the same one",
                       first->name, f->name);
            return false;
        }
        if (d->kind == DATA_BYTES && f->vocab < 256) {
            buf_printf(err, "data=bytes needs a vocabulary of at least 256 ids, input '%s' has %d", f->name,
                       (int)f->vocab);
            return false;
        }
        if (!first) {
            first = f;
            d->rows = f->rows;
            d->cols = f->cols;
        }
        d->window = (uint64_t)f->cols + shift++;
    }
    if (!first && d->kind != DATA_NOISE) {
        buf_printf(err, "data=%s gives tokens, but the entry has no token input", settings_word(s, "data"));
        return false;
    }
    return true;
}

/* Smallest vocabulary among the token inputs. */
static int32_t smallest_vocab(const Data *d)
{
    int32_t v = INT32_MAX;
    for (uint32_t i = 0; i < d->feeds; i++)
        if (d->feed[i].kind == IN_TOKENS && d->feed[i].vocab < v)
            v = d->feed[i].vocab;
    return v;
}

/* The tokens from..to-1 of all files together. */
static void make_side(Data *d, uint64_t from, uint64_t to, Side *side)
{
    uint64_t at = 0;
    side->part = NEW_N(d->arena, Part, d->shards);
    for (uint32_t i = 0; i < d->shards; at += d->shard[i++].tokens) {
        const Shard *s = &d->shard[i];
        uint64_t     begin = from > at ? from - at : 0, end = to > at ? to - at : 0;
        end = end < s->tokens ? end : s->tokens;
        if (begin >= end)
            continue;
        if (end - begin < d->window) {
            side->short_ones++;
            continue;
        }
        Part *p = &side->part[side->parts++];
        *p = (Part){s, begin, end - begin - d->window + 1, 0, side->starts, side->windows};
        p->windows = (p->starts - 1) / (uint64_t)d->cols + 1;
        side->tokens += end - begin;
        side->starts += p->starts;
        side->windows += p->windows;
    }
}

static bool check_length(const Data *d, const Side *side, const char *part, uint64_t tokens, bool divided, Buf *err)
{
    if (side->parts)
        return true;
    if (d->shards == 1)
        buf_printf(err, "data file '%s': %s has %llu tokens, a window needs %llu", d->shard[0].path, part,
                   (unsigned long long)tokens, (unsigned long long)d->window);
    else
        buf_printf(err, "'%s': %s has %llu tokens in %u files, none of which has the %llu that a window needs", d->path,
                   part, (unsigned long long)tokens, (unsigned)side->short_ones, (unsigned long long)d->window);
    if (divided)
        buf_puts(err, " (data.holdout divides the data)");
    return false;
}

static bool open_shard(const Data *d, Shard *s, const char *path, Buf *err)
{
    if (d->kind == DATA_TEXT)
        return shard_text(s, path, d->tokenizer, err);
    return shard_map(s, path, d->kind == DATA_BYTES ? 1 : d->kind == DATA_TOKENS_U16 ? 2 : 4, err);
}

static bool open_files(Data *d, const Settings *s, bool whole, Buf *err)
{
    const char *const *path;
    uint32_t           vocab = (uint32_t)smallest_vocab(d);
    uint64_t           tokens = 0, train;
    if ((d->tokenizer && !tokenizer_fits(d->tokenizer, vocab, err)) ||
        !data_paths(d->arena, d->path, &path, &d->shards, err))
        return false;
    d->shard = NEW_N(d->arena, Shard, d->shards);
    for (uint32_t i = 0; i < d->shards; i++) {
        if (!open_shard(d, &d->shard[i], path[i], err))
            return false;
        tokens += d->shard[i].tokens;
    }
    bool verified = data_stamp(d) == (whole ? s->eval_verified : s->data_verified);
    for (uint32_t i = 0; i < d->shards && !verified; i++)
        if (!shard_check(&d->shard[i], vocab, err))
            return false;
    bool divided = !whole && s->data_holdout > 0;
    train = divided ? tokens - (uint64_t)((double)tokens * s->data_holdout) : tokens;
    make_side(d, 0, train, &d->train);
    if (divided)
        make_side(d, train, tokens, &d->held);
    return check_length(d, &d->train, divided ? "the training part" : "it", train, divided, err) &&
           (!divided || check_length(d, &d->held, "the held-out part", tokens - train, divided, err));
}

static bool check_kind(const Settings *s, const char *path, const Tokenizer *t, Buf *err)
{
    if (path && !is_file((DataKind)s->data))
        buf_printf(err,
                   "data=%s is not read from files; for '%s' say which kind it is: --set data=bytes, text, tokens_u16 or "
                   "tokens_u32",
                   settings_word(s, "data"), path);
    else if (s->data == DATA_TEXT && !t)
        buf_puts(err, "data=text needs a tokenizer: --tokenizer FILE; data=bytes takes bytes for tokens");
    else if (s->data == DATA_BYTES && t)
        buf_puts(err, "data=bytes takes bytes for tokens and has no use for a tokenizer; text is read through it with "
                      "--set data=text");
    else
        return true;
    return false;
}

Data *data_open(const Settings *s, const char *path, const Tokenizer *tokenizer, const Feed *feed, uint32_t feeds,
                Buf *err)
{
    if (!check_kind(s, path, tokenizer, err))
        return NULL;
    Data *d = xcalloc(1, sizeof *d);
    d->arena = arena_new();
    d->kind = (DataKind)s->data;
    d->sample = (DataSample)s->data_sample;
    d->key = rng_key(s->data_seed ? s->data_seed : s->seed, path ? "eval" : "data");
    d->path = arena_strdup(d->arena, path ? path : s->data_path);
    d->tokenizer = is_file(d->kind) ? tokenizer : NULL;
    d->feed = NEW_N(d->arena, Feed, feeds + 1);
    d->feeds = feeds;
    if (feeds)
        memcpy(d->feed, feed, feeds * sizeof *feed);
    if (check_feeds(d, s, err) && (!is_file(d->kind) || open_files(d, s, path != NULL, err)))
        return d;
    data_close(d);
    return NULL;
}

void data_share(Data *d, Pool *pool)
{
    d->pool = pool;
}

void data_close(Data *d)
{
    if (!d)
        return;
    for (uint32_t i = 0; d->shard && i < d->shards; i++)
        shard_close(&d->shard[i]);
    arena_free(d->arena);
    free(d);
}

/* ---- filling ---- */

/* Row `row` of every token input, the window starting at token `start` of a file. */
static void copy_window(const Data *d, int64_t row, const Shard *from, uint64_t start)
{
    uint32_t shift = 0;
    for (uint32_t k = 0; k < d->feeds; k++) {
        const Feed *f = &d->feed[k];
        if (f->kind != IN_TOKENS)
            continue;
        int32_t *to = (int32_t *)f->to + row * f->cols;
        for (int64_t i = 0; i < f->cols; i++)
            to[i] = (int32_t)shard_token(from, start + shift + (uint64_t)i);
        shift++;
    }
}

/* The second half of a copy task's window repeats the first: a model that attends can predict it, others cannot. */
static uint32_t copy_token(uint64_t key, uint64_t position, uint64_t window, uint32_t vocab)
{
    uint64_t half = (window + 1) / 2;
    return (uint32_t)(rng_u64(key, position % half) % vocab);
}

typedef struct {
    float   *to;
    uint64_t stream, n;
} Normals;

enum { NORMALS = 1 << 13 }; /* a piece: some hundred microseconds */

static void normals(void *with, uint32_t piece)
{
    const Normals *x = with;
    uint64_t       from = (uint64_t)piece * NORMALS, end = from + NORMALS;
    for (uint64_t i = from; i < end && i < x->n; i++)
        x->to[i] = (float)rng_normal(x->stream, i);
}

static void fill_synthetic(const Data *d, uint64_t key, uint64_t batch)
{
    uint32_t vocab = (uint32_t)smallest_vocab(d), shift = 0;
    for (uint32_t k = 0; k < d->feeds; k++) {
        const Feed *f = &d->feed[k];
        uint64_t    stream = rng_u64(rng_key(key, f->name), batch), n = (uint64_t)(f->rows * f->cols);
        if (f->kind == IN_REAL) {
            Normals x = {f->to, stream, n};
            pool_for(d->pool, (uint32_t)((n + NORMALS - 1) / NORMALS), normals, &x);
        } else if (f->kind == IN_TOKENS && d->kind == DATA_NOISE) {
            for (uint64_t i = 0; i < n; i++)
                ((int32_t *)f->to)[i] = (int32_t)(rng_u64(stream, i) % (uint32_t)f->vocab);
        } else if (f->kind == IN_TOKENS) {
            for (uint64_t i = 0; i < n; i++) {
                uint64_t row = i / (uint64_t)f->cols, at = i % (uint64_t)f->cols;
                uint64_t window = rng_u64(key, batch * (uint64_t)f->rows + row);
                ((int32_t *)f->to)[i] = (int32_t)copy_token(window, at + shift, d->window, vocab);
            }
            shift++;
        }
    }
}

/* The last part of which `before` is at most i; one counts starts, the other windows. */
static const Part *part_of(const Side *side, uint64_t i, bool starts)
{
    uint32_t low = 0, high = side->parts;
    while (high - low > 1) {
        uint32_t    mid = low + (high - low) / 2;
        const Part *p = &side->part[mid];
        if ((starts ? p->starts_before : p->windows_before) <= i)
            low = mid;
        else
            high = mid;
    }
    return &side->part[low];
}

static void copy_start(const Data *d, int64_t row, const Side *side, uint64_t start)
{
    const Part *p = part_of(side, start, true);
    copy_window(d, row, p->shard, p->begin + (start - p->starts_before));
}

static void copy_numbered(const Data *d, int64_t row, const Side *side, uint64_t window)
{
    const Part *p = part_of(side, window, false);
    copy_window(d, row, p->shard, p->begin + (window - p->windows_before) * (uint64_t)d->cols);
}

void data_fill(const Data *d, uint64_t cursor)
{
    if (!is_file(d->kind)) {
        fill_synthetic(d, d->key, cursor);
        return;
    }
    const Side *side = &d->train;
    for (int64_t row = 0; row < d->rows; row++) {
        uint64_t i = cursor * (uint64_t)d->rows + (uint64_t)row, n = side->windows;
        switch (d->sample) {
        case SAMPLE_RANDOM:
            copy_start(d, row, side, rng_u64(d->key, i) % side->starts);
            break;
        case SAMPLE_SEQUENTIAL:
            copy_numbered(d, row, side, i % n);
            break;
        case SAMPLE_SHUFFLED:
            copy_numbered(d, row, side, shuffled(rng_u64(d->key, i / n), i % n, n));
            break;
        }
    }
}

static const Side *evaluation_side(const Data *d)
{
    return d->held.parts ? &d->held : &d->train;
}

uint64_t data_batches(const Data *d)
{
    return is_file(d->kind) ? evaluation_side(d)->windows / (uint64_t)d->rows : UINT64_MAX;
}

void data_fill_held_out(const Data *d, uint64_t batch)
{
    if (!is_file(d->kind)) {
        fill_synthetic(d, rng_mix(d->key), batch);
        return;
    }
    for (int64_t row = 0; row < d->rows; row++)
        copy_numbered(d, row, evaluation_side(d), batch * (uint64_t)d->rows + (uint64_t)row);
}

uint64_t data_tokens(const Data *d)
{
    return d->cols ? (uint64_t)(d->rows * d->cols) : 0;
}

uint64_t data_rows(const Data *d)
{
    return d->rows ? (uint64_t)d->rows : 1;
}

uint64_t data_size(const Data *d)
{
    return is_file(d->kind) ? d->train.tokens : 0;
}

uint64_t data_stamp(const Data *d)
{
    uint64_t stamp = rng_u64((uint64_t)smallest_vocab(d), d->kind);
    for (uint32_t i = 0; d->shard && i < d->shards; i++)
        stamp = rng_u64(stamp, d->shard[i].identity);
    return stamp ? stamp : 1;
}

uint64_t data_bytes(const Data *d)
{
    const Feed *last = NULL, *first = NULL;
    uint64_t    bytes = 0;
    if (d->kind == DATA_BYTES)
        return data_tokens(d);
    for (uint32_t k = 0; k < d->feeds; k++)
        if (d->feed[k].kind == IN_TOKENS) {
            first = first ? first : &d->feed[k];
            last = &d->feed[k];
        }
    if (!d->tokenizer || !last)
        return 0;
    for (int64_t i = 0; i < last->rows * last->cols; i++) {
        const int32_t *id = (const int32_t *)last->to + i;
        int32_t before = i % last->cols ? id[-1] : last != first ? ((const int32_t *)first->to)[i] : TOKENIZER_NONE;
        bytes += tokenizer_bytes(d->tokenizer, before, *id);
    }
    return bytes;
}

void data_describe(const Data *d, Buf *out)
{
    uint32_t files = d->shards, left_out = d->train.short_ones;
    buf_printf(out, "'%s', %llu tokens", d->path, (unsigned long long)d->train.tokens);
    if (files > 1)
        buf_printf(out, " in %u files", (unsigned)(d->train.parts + left_out));
    if (left_out)
        buf_printf(out, " (%u shorter than a window %s left out)", (unsigned)left_out, left_out == 1 ? "is" : "are");
}
