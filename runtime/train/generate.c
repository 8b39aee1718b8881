/* generate.c: a prompt continued token by token; see generate.h.
 *
 * What is written out lags behind what the model says when it may be the beginning of the text to stop at: Output keeps
 * it back until the next tokens tell. */
#include "runtime/train/generate.h"

#include "base/rng.h"
#include "runtime/train/decoder.h"
#include "runtime/train/report.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ---- tokens and text ---- */

typedef struct {
    uint32_t vocab;
    bool bytes;                 /* tokens are bytes */
    const Tokenizer *tokenizer; /* or pieces of text; with neither, ids are read and written */
} Words;

static bool is_text(const Words *w)
{
    return w->bytes || w->tokenizer;
}

static bool encode_ids(const Words *w, const char *text, const char *what, int32_t *token, uint64_t *count, Buf *err)
{
    for (const char *at = text; at[strspn(at, " \t\n,")];) {
        char *end;
        long id = strtol(at += strspn(at, " \t\n,"), &end, 10);
        if (end == at || id < 0 || (unsigned long)id >= w->vocab) {
            buf_printf(err, "%s '%s' is not a list of token ids from 0 to %u (this model's tokens are not bytes)", what,
                       text, w->vocab - 1);
            return false;
        }
        token[(*count)++] = (int32_t)id;
        at = end;
    }
    return true;
}

static bool encode_text(const Words *w, Arena *a, const char *text, int32_t **token, uint64_t *count, Buf *err)
{
    Tokens ids = {0};
    int32_t bos = tokenizer_bos(w->tokenizer);
    bool ok = tokenizer_encode(w->tokenizer, text, strlen(text), &ids, err);
    if (ok) {
        *token = NEW_N(a, int32_t, ids.count + 1);
        if (bos != TOKENIZER_NONE)
            (*token)[(*count)++] = bos;
        if (ids.count)
            memcpy(*token + *count, ids.id, ids.count * sizeof **token);
        *count += ids.count;
    }
    tokens_free(&ids);
    return ok;
}

/* The prompt as tokens, allocated in `a`. */
static bool encode(const Words *w, Arena *a, const char *prompt, int32_t **token, uint64_t *count, Buf *err)
{
    size_t n = strlen(prompt);
    bool ok = true;
    *count = 0;
    if (w->tokenizer) {
        ok = encode_text(w, a, prompt, token, count, err);
    } else {
        *token = NEW_N(a, int32_t, n + 1);
        for (; w->bytes && *count < n; ++*count)
            (*token)[*count] = (unsigned char)prompt[*count];
        ok = w->bytes || encode_ids(w, prompt, "the prompt", *token, count, err);
    }
    if (ok && *count == 0)
        buf_puts(err, "the prompt is empty: a model continues what it is given");
    return ok && *count != 0;
}

/* ---- output ---- */

typedef struct {
    const Words *words;
    FILE *f;
    const char *stop;   /* bytes; NULL: none */
    int32_t stop_id[2]; /* TOKENIZER_NONE: none */
    int32_t previous;
    Buf kept; /* said, but not written: the longest end of the text that `stop` begins with */
} Output;

static bool failed(Buf *err)
{
    buf_printf(err, "cannot write the text: %s", strerror(errno));
    return false;
}

static bool write_kept(Output *o, size_t n, Buf *err)
{
    if (n && fwrite(o->kept.data, 1, n, o->f) != n)
        return failed(err);
    if (n)
        memmove(o->kept.data, o->kept.data + n, o->kept.len -= n);
    return fflush(o->f) == 0 || failed(err);
}

/* Say a token: text is kept for write_kept(). */
static bool say(Output *o, int32_t token, Buf *err)
{
    bool ok = true;
    if (o->words->tokenizer)
        tokenizer_decode(o->words->tokenizer, o->previous, token, &o->kept);
    else if (o->words->bytes)
        buf_putc(&o->kept, (char)token);
    else
        ok = fprintf(o->f, "%s%d", o->previous == TOKENIZER_NONE ? "" : " ", (int)token) > 0 && fflush(o->f) == 0;
    o->previous = token;
    return ok || failed(err);
}

/* Text as it was given, ids one after another. */
static bool say_prompt(Output *o, const char *text, const int32_t *token, uint64_t count, Buf *err)
{
    bool ok = true;
    if (is_text(o->words)) {
        buf_puts(&o->kept, text);
        o->previous = token[count - 1];
    }
    for (uint64_t i = 0; ok && i < count && !is_text(o->words); i++)
        ok = say(o, token[i], err);
    return ok && write_kept(o, o->kept.len, err);
}

/* The place of `stop` in what was kept; its length: nowhere. */
static size_t find_stop(const Output *o, size_t n)
{
    for (size_t at = 0; at + n <= o->kept.len; at++)
        if (memcmp(o->kept.data + at, o->stop, n) == 0)
            return at;
    return o->kept.len;
}

/* Is this where to end? If not, write the token, or what is certain not to be the beginning of the end. */
static bool put(Output *o, int32_t token, bool *ends, Buf *err)
{
    *ends = token == o->stop_id[0] || token == o->stop_id[1];
    if (*ends)
        return true;
    if (!say(o, token, err))
        return false;
    size_t n = o->stop ? strlen(o->stop) : 0, at = o->stop ? find_stop(o, n) : o->kept.len, back = 0;
    if (at < o->kept.len) {
        *ends = true;
        o->kept.len = at;
    } else if (o->stop) {
        for (back = at < n - 1 ? at : n - 1; memcmp(o->kept.data + at - back, o->stop, back) != 0;)
            back--;
    }
    return write_kept(o, o->kept.len - back, err);
}

static bool output_open(Output *o, const Words *w, const GenerateOptions *g, Buf *err)
{
    int32_t id[2];
    uint64_t count = 0;
    *o = (Output){.words = w, .f = g->out, .stop_id = {TOKENIZER_NONE, TOKENIZER_NONE}, .previous = TOKENIZER_NONE};
    if (w->tokenizer) { /* the end of a text, or the beginning of the next one: llama2.c's models have no other end */
        o->stop_id[0] = tokenizer_eos(w->tokenizer);
        o->stop_id[1] = tokenizer_bos(w->tokenizer);
    }
    if (!g->stop)
        return true;
    if (*g->stop == 0) {
        buf_puts(err, "--stop needs a text to stop at");
        return false;
    }
    if (is_text(w)) {
        o->stop = g->stop;
        return true;
    }
    if (strlen(g->stop) > 20 || !encode_ids(w, g->stop, "--stop", id, &count, err) || count != 1) {
        buf_clear(err);
        buf_printf(err, "--stop '%s' is not a token id from 0 to %u (this model's tokens are not bytes)", g->stop,
                   w->vocab - 1);
        return false;
    }
    o->stop_id[0] = id[0];
    return true;
}

/* ---- the two together ---- */

/* New tokens after the prompt, whose logits are given. */
static bool write_on(Decoder *d, Sampler *sampler, const GenerateOptions *o, Output *out, const float *logits,
                     GenerateStats *stats, Buf *err)
{
    uint64_t key = rng_key(o->seed, "generate");
    for (uint64_t made = 0; made < o->tokens;) {
        uint32_t pick = sampler_pick(sampler, logits, rng_uniform(key, d->at - 1));
        int32_t next = (int32_t)pick;
        bool ends;
        if (pick == UINT32_MAX) {
            buf_puts(err, "the model's logits are not numbers: its weights are damaged or training diverged");
            return false;
        }
        if (!put(out, next, &ends, err))
            return false;
        stats->written++;
        if (ends || ++made == o->tokens)
            return true;
        if (d->context && d->at >= d->context) {
            fprintf(o->note, "\nanerun: the model's context of %llu tokens is full\n", (unsigned long long)d->context);
            return true;
        }
        if (!(logits = decoder_read(d, &next, 1, err)))
            return false;
    }
    return true;
}

static bool continue_prompt(Decoder *d, Arena *a, const Words *w, const GenerateOptions *o, Output *out, Buf *err)
{
    Sampler sampler;
    GenerateStats none = {0}, *stats = o->stats ? o->stats : &none;
    int32_t *prompt;
    uint64_t given;
    bool ok;
    if (!encode(w, a, o->prompt, &prompt, &given, err))
        return false;
    if (d->context && given > d->context) {
        buf_printf(err, "the prompt has %llu tokens, the model's context only %llu", (unsigned long long)given,
                   (unsigned long long)d->context);
        return false;
    }
    if (!decoder_bake(d, given, err))
        return false;
    ok = say_prompt(out, o->prompt, prompt, given, err);
    if (!ok || o->tokens == 0)
        return ok;
    /* Ids that stand for nothing were never trained. */
    uint32_t known = w->tokenizer ? tokenizer_vocab(w->tokenizer) : w->bytes ? 256 : d->vocab;
    sampler_init(&sampler, a, o->sampling, known < d->vocab ? known : d->vocab);
    decoder_reset(d);
    double started = clock_seconds();
    const float *logits = decoder_read(d, prompt, given, err);
    double read = clock_seconds();
    if (!logits)
        return false;
    ok = write_on(d, &sampler, o, out, logits, stats, err);
    stats->read += given;
    stats->read_seconds += read - started;
    stats->write_seconds += clock_seconds() - read;
    return ok && write_kept(out, out->kept.len, err);
}

bool generate(Session *s, const GenerateOptions *o, Buf *err)
{
    Decoder d;
    Output out = {0};
    Words w;
    Arena *a = arena_new();
    bool ok = decoder_open(&d, a, s, err) && session_tokenizer(s, err) &&
              (!s->tokenizer || tokenizer_fits(s->tokenizer, d.vocab, err));
    if (ok) {
        bool bytes = d.vocab == 256 || (s->settings.data == DATA_BYTES && d.vocab > 256);
        w = (Words){d.vocab, bytes && !s->tokenizer, s->tokenizer};
        ok = output_open(&out, &w, o, err) && continue_prompt(&d, a, &w, o, &out, err);
        if (ok)
            fputs(o->end ? o->end : is_text(&w) ? "" : "\n", o->out);
    }
    buf_free(&out.kept);
    arena_free(a);
    return ok;
}

void generate_stats_text(const GenerateStats *s, Buf *out)
{
    buf_printf(out, "prompt: %llu tokens", (unsigned long long)s->read);
    if (s->read_seconds > 0)
        buf_printf(out, " at %.4g/s", (double)s->read / s->read_seconds);
    buf_printf(out, "; written: %llu tokens", (unsigned long long)s->written);
    if (s->write_seconds > 0)
        buf_printf(out, " at %.4g/s", (double)s->written / s->write_seconds);
}
