/* data.c: training data from files and from random numbers; see data.h.
 *
 * A file is mapped, not read: the system caches it and a corpus may be larger than memory. Tokens are stored little
 * endian, one, two or four bytes each; they are read byte by byte, which is right on every machine and no slower than
 * the memory it waits for. All sizes are 64 bits wide. */
#include "runtime/train/data.h"

#include "base/rng.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

struct Data {
    DataKind             kind;
    DataSample           sample;
    uint64_t             key; /* of the random stream */
    const unsigned char *map;
    size_t               bytes;
    uint32_t             width;             /* bytes per token */
    uint64_t             tokens, held_from; /* in the file; the held-out part starts here (= tokens: none) */
    int64_t              rows, cols;        /* of token inputs */
    uint64_t             window;            /* tokens one row needs: cols plus the largest shift */
    Feed                *feed;
    uint32_t             feeds;
};

static bool is_file(DataKind k)
{
    return k == DATA_BYTES || k == DATA_TOKENS_U16 || k == DATA_TOKENS_U32;
}

static uint32_t token_at(const Data *d, uint64_t i)
{
    const unsigned char *p = d->map + i * d->width;
    uint32_t             id = p[0];
    if (d->width > 1)
        id |= (uint32_t)p[1] << 8;
    if (d->width > 2)
        id |= (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
    return id;
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

static bool map_file(Data *d, const char *path, Buf *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        buf_printf(err, "cannot open data file '%s': %s; --data FILE names another", path, strerror(errno));
        return false;
    }
    struct stat st;
    bool        ok = false;
    if (fstat(fd, &st) != 0) {
        buf_printf(err, "cannot read data file '%s': %s", path, strerror(errno));
    } else if (!S_ISREG(st.st_mode)) {
        buf_printf(err, "data file '%s' is %s; a regular file is needed", path,
                   S_ISDIR(st.st_mode) ? "a directory" : "a pipe or device");
    } else if (st.st_size == 0) {
        buf_printf(err, "data file '%s' is empty", path);
    } else if ((uint64_t)st.st_size > SIZE_MAX) {
        buf_printf(err, "data file '%s' does not fit the address space", path);
    } else {
        d->bytes = (size_t)st.st_size;
        void *p = mmap(NULL, d->bytes, PROT_READ, MAP_PRIVATE, fd, 0);
        if (p == MAP_FAILED)
            buf_printf(err, "cannot map data file '%s': %s", path, strerror(errno));
        else
            d->map = p;
        ok = p != MAP_FAILED;
    }
    close(fd);
    return ok;
}

static bool check_tokens(Data *d, const char *path, Buf *err)
{
    if (d->bytes % d->width) {
        buf_printf(err, "data file '%s' has %zu bytes, which is no multiple of %u: it does not hold uint%u tokens",
                   path, d->bytes, d->width, 8 * d->width);
        return false;
    }
    d->tokens = d->bytes / d->width;
    d->held_from = d->tokens;
    uint32_t vocab = (uint32_t)smallest_vocab(d);
    for (uint64_t i = 0; d->width > 1 && i < d->tokens; i++)
        if (token_at(d, i) >= vocab) {
            buf_printf(err, "data file '%s': token id %u at byte offset %llu; the model's vocabulary has %u ids", path,
                       token_at(d, i), (unsigned long long)(i * d->width), vocab);
            return false;
        }
    return true;
}

static bool check_length(const Data *d, const char *path, const char *part, uint64_t tokens, uint64_t need, Buf *err)
{
    if (tokens >= need)
        return true;
    buf_printf(err, "data file '%s': %s has %llu tokens, a window needs %llu", path, part, (unsigned long long)tokens,
               (unsigned long long)need);
    if (d->held_from < d->tokens)
        buf_puts(err, " (data.holdout divides the file)");
    return false;
}

static bool open_file(Data *d, const Settings *s, const char *path, bool whole, Buf *err)
{
    d->width = d->kind == DATA_BYTES ? 1 : d->kind == DATA_TOKENS_U16 ? 2 : 4;
    if (!map_file(d, path, err) || !check_tokens(d, path, err))
        return false;
    if (whole || s->data_holdout == 0)
        return check_length(d, path, "it", d->tokens, d->window, err);
    d->held_from = d->tokens - (uint64_t)((double)d->tokens * s->data_holdout);
    return check_length(d, path, "the training part", d->held_from, d->window, err) &&
           check_length(d, path, "the held-out part", d->tokens - d->held_from, d->window, err);
}

Data *data_open(const Settings *s, const char *path, const Feed *feed, uint32_t feeds, Buf *err)
{
    if (path && !is_file((DataKind)s->data)) {
        buf_printf(
            err,
            "data=%s is not read from files; for '%s' say which kind it is: --set data=bytes, tokens_u16 or tokens_u32",
            settings_word(s, "data"), path);
        return NULL;
    }
    Data *d = xcalloc(1, sizeof *d);
    d->kind = (DataKind)s->data;
    d->sample = (DataSample)s->data_sample;
    d->key = rng_key(s->data_seed ? s->data_seed : s->seed, path ? "eval" : "data");
    d->feed = xcalloc(feeds ? feeds : 1, sizeof *feed);
    d->feeds = feeds;
    if (feeds)
        memcpy(d->feed, feed, feeds * sizeof *feed);
    if (!check_feeds(d, s, err) ||
        (is_file(d->kind) && !open_file(d, s, path ? path : s->data_path, path != NULL, err))) {
        data_close(d);
        return NULL;
    }
    return d;
}

void data_close(Data *d)
{
    if (!d)
        return;
    if (d->map)
        munmap((void *)(uintptr_t)d->map, d->bytes);
    free(d->feed);
    free(d);
}

/* ---- filling ---- */

/* Row `row` of every token input from the file, the window starting at token `start`. */
static void copy_window(const Data *d, int64_t row, uint64_t start)
{
    uint32_t shift = 0;
    for (uint32_t k = 0; k < d->feeds; k++) {
        const Feed *f = &d->feed[k];
        if (f->kind != IN_TOKENS)
            continue;
        int32_t *to = (int32_t *)f->to + row * f->cols;
        for (int64_t i = 0; i < f->cols; i++)
            to[i] = (int32_t)token_at(d, start + shift + (uint64_t)i);
        shift++;
    }
}

/* The second half of a copy task's window repeats the first: a model that attends can predict it, others cannot. */
static uint32_t copy_token(uint64_t key, uint64_t position, uint64_t window, uint32_t vocab)
{
    uint64_t half = (window + 1) / 2;
    return (uint32_t)(rng_u64(key, position % half) % vocab);
}

static void fill_synthetic(const Data *d, uint64_t key, uint64_t batch)
{
    uint32_t vocab = (uint32_t)smallest_vocab(d), shift = 0;
    for (uint32_t k = 0; k < d->feeds; k++) {
        const Feed *f = &d->feed[k];
        uint64_t    stream = rng_u64(rng_key(key, f->name), batch), n = (uint64_t)(f->rows * f->cols);
        if (f->kind == IN_REAL) {
            for (uint64_t i = 0; i < n; i++)
                ((float *)f->to)[i] = (float)rng_normal(stream, i);
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

void data_fill(const Data *d, uint64_t cursor)
{
    if (!is_file(d->kind)) {
        fill_synthetic(d, d->key, cursor);
        return;
    }
    uint64_t starts = d->held_from - d->window + 1, steps = (starts - 1) / (uint64_t)d->cols + 1;
    for (int64_t row = 0; row < d->rows; row++) {
        uint64_t i = cursor * (uint64_t)d->rows + (uint64_t)row;
        bool     random = d->sample == SAMPLE_RANDOM;
        copy_window(d, row, random ? rng_u64(d->key, i) % starts : i % steps * (uint64_t)d->cols);
    }
}

uint64_t data_batches(const Data *d)
{
    if (!is_file(d->kind))
        return UINT64_MAX;
    uint64_t from = d->held_from < d->tokens ? d->held_from : 0;
    uint64_t windows = (d->tokens - from - d->window) / (uint64_t)d->cols + 1;
    return windows / (uint64_t)d->rows;
}

void data_fill_held_out(const Data *d, uint64_t batch)
{
    if (!is_file(d->kind)) {
        fill_synthetic(d, rng_mix(d->key), batch);
        return;
    }
    uint64_t from = d->held_from < d->tokens ? d->held_from : 0;
    for (int64_t row = 0; row < d->rows; row++)
        copy_window(d, row, from + (batch * (uint64_t)d->rows + (uint64_t)row) * (uint64_t)d->cols);
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
    return is_file(d->kind) ? d->held_from : 0;
}
