/* weights.c: parameters from foreign files; see weights.h.
 *
 * Whatever the file, it becomes a list of named tensors whose bytes lie in a mapped file; from there on there is one
 * way into the parameters: find by name, compare shapes, convert to fp32. */
#include "runtime/train/weights.h"

#include "base/f16.h"
#include "base/file.h"
#include "runtime/train/safetensors.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

typedef struct {
    Arena       *arena;
    const char  *path;
    Safetensors *file; /* NULL for llama2.c files */
    StTensor    *tensor;
    uint32_t     tensors, cap;
} Weights;

static const StTensor *find(const Weights *w, const char *name)
{
    if (w->file)
        return safetensors_find(w->file, name);
    for (uint32_t i = 0; i < w->tensors; i++)
        if (strcmp(w->tensor[i].name, name) == 0)
            return &w->tensor[i];
    return NULL;
}

/* ---- llama2.c ---- */

typedef struct {
    const char *data;
    uint64_t    at, size; /* in floats; `at` may pass `size`, then nothing is stored any more */
} Cursor;

static void take(Weights *w, Cursor *c, const char *name, int64_t rows, int64_t cols)
{
    uint64_t n = (uint64_t)rows * (uint64_t)cols;
    if (c->at + n <= c->size) {
        StTensor t = {
            .name = name, .dtype = "F32", .rank = 2, .dim = {rows, cols}, .data = c->data + 4 * c->at, .bytes = 4 * n};
        if (rows == 1) {
            t.rank = 1;
            t.dim[0] = cols;
        }
        GROW(w->arena, w->tensor, w->tensors, w->cap);
        w->tensor[w->tensors++] = t;
    }
    c->at += n;
}

static void take_layers(Weights *w, Cursor *c, const char *what, int32_t layers, int64_t rows, int64_t cols)
{
    for (int32_t i = 0; i < layers; i++)
        take(w, c, arena_printf(w->arena, "layers.%d.%s", (int)i, what), rows, cols);
}

static bool open_llama2c(Weights *w, Buf *err)
{
    char   *text, why[FILE_ERR_MAX];
    size_t  len;
    int32_t head[7];
    if (!file_read(w->arena, w->path, &text, &len, why)) {
        buf_puts(err, why);
        return false;
    }
    if (len < sizeof head || len % 4) {
        buf_printf(err, "'%s' is no llama2.c file: it has %zu bytes", w->path, len);
        return false;
    }
    memcpy(head, text, sizeof head);
    bool    tied = head[5] > 0;
    int64_t dim = head[0], hidden = head[1], heads = head[3], kv = head[4], seq = head[6];
    int64_t vocab = tied ? head[5] : -(int64_t)head[5];
    int32_t layers = head[2];
    bool sane = layers > 0 && layers <= 10000 && heads > 0 && kv > 0 && heads % kv == 0 && dim > 0 &&
                dim % heads == 0 && hidden > 0 && seq > 0 && vocab > 0 && dim <= 1 << 20 && hidden <= 1 << 20 &&
                vocab <= 1 << 24 && seq <= 1 << 24;
    if (!sane) {
        buf_printf(err, "'%s' is no llama2.c file: its header makes no sense", w->path);
        return false;
    }
    Cursor c = {text + sizeof head, 0, (len - sizeof head) / 4};
    take(w, &c, "tok_embeddings", vocab, dim);
    take_layers(w, &c, "attention_norm", layers, 1, dim);
    take_layers(w, &c, "attention.wq.weight", layers, dim, dim);
    take_layers(w, &c, "attention.wk.weight", layers, dim / heads * kv, dim);
    take_layers(w, &c, "attention.wv.weight", layers, dim / heads * kv, dim);
    take_layers(w, &c, "attention.wo.weight", layers, dim, dim);
    take_layers(w, &c, "ffn_norm", layers, 1, dim);
    take_layers(w, &c, "feed_forward.w1.weight", layers, hidden, dim);
    take_layers(w, &c, "feed_forward.w2.weight", layers, dim, hidden);
    take_layers(w, &c, "feed_forward.w3.weight", layers, hidden, dim);
    take(w, &c, "norm", 1, dim);
    c.at += (uint64_t)(seq * (dim / heads)); /* two tables of RoPE, half a head wide each: plans have their own */
    if (!tied)
        take(w, &c, "output.weight", vocab, dim);
    if (c.at == c.size)
        return true;
    buf_printf(err, "'%s' is no llama2.c file or cut off: its header asks for %" PRIu64 " numbers, it has %" PRIu64,
               w->path, c.at, c.size);
    return false;
}

/* ---- into parameters ---- */

static bool convert(const StTensor *t, uint64_t i, float *out)
{
    const char *p = t->data;
    uint32_t    u32;
    uint16_t    u16;
    double      f64;
    if (strcmp(t->dtype, "F32") == 0) {
        memcpy(out, p + 4 * i, 4);
    } else if (strcmp(t->dtype, "F16") == 0) {
        memcpy(&u16, p + 2 * i, 2);
        *out = f16_to_f32(u16);
    } else if (strcmp(t->dtype, "BF16") == 0) {
        memcpy(&u16, p + 2 * i, 2);
        u32 = (uint32_t)u16 << 16;
        *out = f32_from_bits(u32);
    } else if (strcmp(t->dtype, "F64") == 0) {
        memcpy(&f64, p + 8 * i, 8);
        *out = (float)f64;
    } else {
        return false;
    }
    return true;
}

/* Shapes are compared without axes of length 1: some formats drop them, some add them. */
static uint32_t squeeze(uint32_t rank, const int64_t *dim, int64_t *out)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < rank; i++)
        if (dim[i] != 1)
            out[n++] = dim[i];
    return n;
}

static void put_shape(Buf *b, uint32_t rank, const int64_t *dim)
{
    for (uint32_t i = 0; i < rank; i++)
        buf_printf(b, "%s%" PRId64, i ? ", " : "[", dim[i]);
    buf_puts(b, rank ? "]" : "[]");
}

static bool load_param(const Weights *w, Session *s, uint32_t id, Buf *err)
{
    const ExecParam *p = exec_param(s->exec, id);
    const PlanParam *g = p->group;
    const char      *name = g->import ? plan_path(w->arena, g->import, p->index) : p->path;
    const StTensor  *t = find(w, name);
    if (!t)
        t = find(w, p->path);
    if (!t && g->adapter) { /* the file is of the model that is adapted */
        exec_init_param(s->exec, id, s->settings.seed);
        return true;
    }
    if (!t) {
        buf_printf(err, "'%s' has no tensor '%s' for parameter '%s'", w->path, name, p->path);
        return false;
    }
    int64_t  from[ST_MAX_RANK], own[PLAN_MAX_RANK], wide[PLAN_MAX_RANK], a = g->import_rows[0], b = g->import_rows[1];
    StTensor part = *t;
    bool     rows_fit = b == 0 || (t->rank && a < b && b <= t->dim[0]);
    if (b && rows_fit) {
        part.dim[0] = b - a;
        part.data = (const char *)t->data + (uint64_t)a * (t->bytes / (uint64_t)t->dim[0]);
    }
    for (uint32_t i = 0; i < g->shape.rank; i++)
        wide[i] = g->shape.dim[i];
    uint32_t n = squeeze(part.rank, part.dim, from), m = squeeze(g->shape.rank, wide, own);
    bool     turn = g->import_transpose && n == 2, same = rows_fit && n == m;
    for (uint32_t i = 0; same && i < n; i++)
        same = from[turn ? n - 1 - i : i] == own[i];
    if (!same) {
        buf_printf(err, "'%s': tensor '%s' is ", w->path, t->name);
        put_shape(err, t->rank, t->dim);
        buf_printf(err, ", parameter '%s' needs ", p->path);
        put_shape(err, g->shape.rank, wide);
        if (b)
            buf_printf(err, " from its rows %" PRId64 " to %" PRId64, a, b);
        buf_puts(err, turn ? " transposed" : "");
        return false;
    }
    for (uint64_t i = 0; i < p->numel; i++) {
        uint64_t rows = turn ? (uint64_t)own[0] : 1, cols = turn ? (uint64_t)own[1] : 1;
        if (!convert(&part, turn ? i % cols * rows + i / cols : i, &p->value[i])) {
            buf_printf(err, "'%s': tensor '%s' is of type %s; F32, F16, BF16 and F64 can be read", w->path, t->name,
                       t->dtype);
            return false;
        }
        if (!isfinite(p->value[i])) {
            buf_printf(err, "'%s': tensor '%s' holds %s, for element %" PRIu64 " of parameter '%s'", w->path, t->name,
                       isnan(p->value[i]) ? "a NaN" : "an infinity or a number beyond fp32", i, p->path);
            return false;
        }
    }
    return true;
}

bool weights_load(Session *s, const char *path, Buf *err)
{
    Weights w = {.arena = arena_new(), .path = path};
    size_t  n = strlen(path);
    bool    ok;
    if (n > 4 && strcmp(path + n - 4, ".bin") == 0)
        ok = open_llama2c(&w, err);
    else
        ok = (w.file = safetensors_open(path, err)) != NULL;
    for (uint32_t i = 0; ok && i < exec_params(s->exec); i++)
        ok = load_param(&w, s, i, err);
    safetensors_close(w.file);
    arena_free(w.arena);
    return ok;
}
