/* export.c: parameters to safetensors and llama2.c files; see export.h.
 *
 * First all parameters become tensors under their foreign names, in fp32 and as the other program sees them (a Merged
 * each): most are the parameter's own memory, those that are transposed or put together from rows are made. Then one of
 * two writers takes the list. */
#include "runtime/train/export.h"

#include "base/f16.h"
#include "base/file.h"
#include "runtime/train/llama2c.h"
#include "runtime/train/safetensors.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- what to write ---- */

bool export_format(const char *path, const char *format, ExportFormat *out, Buf *err)
{
    size_t n = strlen(path);
    if (format ? strcmp(format, "safetensors") == 0 : n > 12 && strcmp(path + n - 12, ".safetensors") == 0)
        *out = EXPORT_SAFETENSORS;
    else if (format ? strcmp(format, "llama2c") == 0 : n > 4 && strcmp(path + n - 4, ".bin") == 0)
        *out = EXPORT_LLAMA2C;
    else if (format)
        buf_printf(err, "--format is safetensors or llama2c, not '%s'", format);
    else
        buf_printf(err, "'%s' ends in neither .safetensors nor .bin (llama2.c): say which with --format", path);
    return err->len == 0;
}

bool export_type(const char *name, ExportType *out, Buf *err)
{
    static const char *const known[] = {[EXPORT_F32] = "f32", [EXPORT_F16] = "f16", [EXPORT_BF16] = "bf16"};
    for (size_t i = 0; i < COUNT(known); i++)
        if (!name || strcmp(name, known[i]) == 0) {
            *out = (ExportType)i;
            return true;
        }
    buf_printf(err, "--dtype is f32, f16 or bf16, not '%s'", name);
    return false;
}

/* ---- tensors of parameters ---- */

typedef struct {
    const char *name;
    const ExecParam *p;
    uint32_t id;
} Piece;

typedef struct {
    const char *name;
    uint32_t id; /* of its first parameter: the order of the file */
    uint32_t rank;
    int64_t dim[ST_MAX_RANK]; /* as stored */
    uint64_t numel;
    const float *value;
    float *made; /* the same, where it had to be made; freed in the end */
    bool used;
} Merged;

typedef struct {
    const Session *s;
    Arena *arena;
    Merged *tensor;
    uint32_t tensors;
} Export;

static int by_name_and_row(const void *x, const void *y)
{
    const Piece *a = x, *b = y;
    int order = strcmp(a->name, b->name);
    int32_t i = a->p->group->import_rows[0], j = b->p->group->import_rows[0];
    return order ? order : i != j ? (i > j) - (i < j) : (a->id > b->id) - (a->id < b->id);
}

static int by_id(const void *x, const void *y)
{
    const Merged *a = x, *b = y;
    return (a->id > b->id) - (a->id < b->id);
}

static Merged *find(const Export *x, const char *name)
{
    for (uint32_t i = 0; i < x->tensors; i++)
        if (strcmp(x->tensor[i].name, name) == 0)
            return &x->tensor[i];
    return NULL;
}

/* Do n parameters, ordered by their rows, make up a tensor? Its rows: those of the last one. */
static bool fit_together(const Piece *piece, uint32_t n, uint64_t cols, Buf *err)
{
    const PlanParam *first = piece->p->group;
    int32_t end = 0;
    for (uint32_t i = 0; i < n; i++) {
        const PlanParam *g = piece[i].p->group;
        int32_t a = g->import_rows[0], b = g->import_rows[1];
        if (b == 0 || g->import_transpose != first->import_transpose || a < end ||
            piece[i].p->numel != (uint64_t)(b - a) * cols) {
            buf_printf(err, "the tensor '%s' cannot hold the parameters '%s' and '%s' both", piece->name,
                       piece[i ? i - 1 : 0].p->path, piece[i].p->path);
            return false;
        }
        if (a > end) {
            buf_printf(err, "the tensor '%s' cannot be written: no parameter has its rows %d to %d", piece->name,
                       (int)end, (int)a);
            return false;
        }
        end = b;
    }
    return true;
}

/* One tensor of n parameters. What import does to it is to transpose and then to select rows. */
static bool merge(Export *x, const Piece *piece, uint32_t n, Buf *err)
{
    const ExecParam *p = piece->p;
    const PlanParam *g = p->group;
    Merged *t = &x->tensor[x->tensors++];
    uint32_t wide = 0;
    *t = (Merged){.name = piece->name, .id = piece->id, .rank = g->shape.rank, .numel = p->numel, .value = p->value};
    for (uint32_t i = 0; i < t->rank; i++)
        wide += (t->dim[i] = g->shape.dim[i]) != 1;
    bool turn = g->import_transpose && t->rank == 2;
    bool rows = n > 1 || g->import_rows[1];
    if (g->import_transpose && wide == 2 && t->rank != 2) {
        buf_printf(err, "parameter '%s' has %u axes: a tensor that is transposed has two", p->path, t->rank);
        return false;
    }
    uint64_t cols = t->rank && t->dim[0] ? p->numel / (uint64_t)t->dim[0] : 1;
    if (rows && !fit_together(piece, n, cols, err))
        return false;
    if (rows)
        t->dim[0] = piece[n - 1].p->group->import_rows[1];
    if (rows)
        t->numel = (uint64_t)t->dim[0] * cols;
    if (!turn && n == 1)
        return true;
    t->value = t->made = xmalloc((size_t)t->numel * sizeof *t->made);
    uint64_t height = t->numel / cols, at = 0;
    for (uint32_t i = 0; i < n; i++)
        for (uint64_t k = 0; k < piece[i].p->numel; k++, at++)
            t->made[turn ? at % cols * height + at / cols : at] = piece[i].p->value[k];
    if (turn) {
        t->dim[1] = t->dim[0];
        t->dim[0] = (int64_t)cols;
    }
    return true;
}

static bool collect(Export *x, Buf *err)
{
    const Exec *e = x->s->exec;
    uint32_t n = exec_params(e);
    Piece *piece = NEW_N(x->arena, Piece, n + 1);
    x->tensor = NEW_N(x->arena, Merged, n + 1);
    for (uint32_t i = 0; i < n; i++) {
        const ExecParam *p = exec_param(e, i);
        const char *name = p->group->import ? plan_path(x->arena, p->group->import, p->index) : p->path;
        piece[i] = (Piece){name, p, i};
    }
    qsort(piece, n, sizeof *piece, by_name_and_row);
    for (uint32_t i = 0, k; i < n; i += k) {
        for (k = 1; i + k < n && strcmp(piece[i + k].name, piece[i].name) == 0;)
            k++;
        if (!merge(x, piece + i, k, err))
            return false;
    }
    qsort(x->tensor, x->tensors, sizeof *x->tensor, by_id);
    return true;
}

/* ---- safetensors ---- */

/* Rounded to nearest even; a NaN stays one. */
static bool narrow(const Merged *t, ExportType type, uint16_t *out, Buf *err)
{
    for (uint64_t i = 0; i < t->numel; i++) {
        float v = t->value[i];
        uint32_t bits = f32_bits(v);
        if (type == EXPORT_BF16)
            out[i] = (uint16_t)(isnan(v) ? bits >> 16 | 0x40 : (bits + 0x7fff + (bits >> 16 & 1)) >> 16);
        else
            out[i] = f16_from_f32(v);
        if (isfinite(v) &&
            (out[i] & (type == EXPORT_F16 ? 0x7c00 : 0x7f80)) == (type == EXPORT_F16 ? 0x7c00 : 0x7f80)) {
            buf_printf(err, "the tensor '%s' holds %g, which is beyond %s", t->name, (double)v,
                       type == EXPORT_F16 ? "f16: use --dtype bf16 or f32" : "bf16: use --dtype f32");
            return false;
        }
    }
    return true;
}

static bool write_safetensors(const Export *x, const char *path, ExportType type, Buf *err)
{
    static const char *const dtype[] = {[EXPORT_F32] = "F32", [EXPORT_F16] = "F16", [EXPORT_BF16] = "BF16"};
    static const StMeta meta[] = {{"format", "pt"}}; /* what Python's transformers insist on */
    uint64_t total = 0, at = 0;
    StTensor *t = NEW_N(x->arena, StTensor, x->tensors + 1);
    for (uint32_t i = 0; i < x->tensors; i++)
        total += x->tensor[i].numel;
    uint16_t *half = type == EXPORT_F32 ? NULL : xmalloc((size_t)total * sizeof *half);
    bool ok = true;
    for (uint32_t i = 0; ok && i < x->tensors; i++) {
        const Merged *m = &x->tensor[i];
        ok = !half || narrow(m, type, half + at, err);
        t[i] = (StTensor){.name = m->name,
                          .dtype = dtype[type],
                          .rank = m->rank,
                          .data = half ? (const void *)(half + at) : m->value,
                          .bytes = m->numel * (half ? 2 : 4)};
        memcpy(t[i].dim, m->dim, sizeof m->dim);
        at += m->numel;
    }
    ok = ok && safetensors_write(path, t, x->tensors, meta, COUNT(meta), NULL, err);
    free(half);
    return ok;
}

/* ---- llama2.c ---- */

typedef struct {
    Export *x;
    FILE *f; /* NULL: only see whether everything is there */
    Llama2c head;
    uint32_t tables;
    Buf *err;
} Writer;

static int64_t config(const Plan *p, const char *key)
{
    for (uint32_t i = 0; i < p->configs; i++)
        if (strcmp(p->config[i].key, key) == 0)
            return strtoll(p->config[i].value, NULL, 10);
    return 0;
}

static bool write_table(const Writer *w, int64_t seq, int64_t half)
{
    for (int64_t t = 0; t < seq; t++)
        for (int64_t i = 0; i < half; i++) { /* angles in fp32, as the original exporter has them */
            float step = 1 / powf(10000, (float)(2 * i) / (float)(2 * half)), angle = (float)t * step;
            float x = (float)(w->tables == 1 ? cos((double)angle) : sin((double)angle));
            if (fwrite(&x, sizeof x, 1, w->f) != 1)
                return false;
        }
    return true;
}

static bool write_array(void *with, const char *name, int64_t rows, int64_t cols)
{
    Writer *w = with;
    if (!name) {
        w->tables++;
        return !w->f || write_table(w, rows, cols);
    }
    Merged *t = find(w->x, name);
    if (!t) {
        buf_printf(w->err,
                   "a llama2.c file needs an array '%s', and no parameter of the model is imported from it; "
                   "--format safetensors takes any model",
                   name);
        return false;
    }
    t->used = true;
    uint32_t from = t->rank > 0 && t->dim[0] == 1 ? 1 : 0;
    bool fits = rows == 1 ? t->numel == (uint64_t)cols
                          : t->rank - from == 2 && t->dim[from] == rows && t->dim[from + 1] == cols;
    if (!fits) {
        buf_printf(w->err,
                   "a llama2.c file of this model needs an array '%s' of %" PRId64 " x %" PRId64
                   " numbers; the parameters make another shape of it",
                   name, rows, cols);
        return false;
    }
    return !w->f || fwrite(t->value, sizeof *t->value, (size_t)t->numel, w->f) == t->numel;
}

static bool describe(Writer *w)
{
    const Plan *p = w->x->s->plan;
    const Merged *embed = find(w->x, "tok_embeddings"), *w1 = find(w->x, "layers.0.feed_forward.w1.weight");
    const Merged *wk = find(w->x, "layers.0.attention.wk.weight");
    Llama2c *h = &w->head;
    if (!embed || !w1 || !wk || embed->rank != 2 || w1->rank != 2 || wk->rank != 2) {
        buf_printf(
            w->err,
            "model '%s' is no llama as llama2.c knows it: it has no matrices imported from 'tok_embeddings', "
            "'layers.0.attention.wk.weight' and 'layers.0.feed_forward.w1.weight'; --format safetensors takes any "
            "model",
            p->model);
        return false;
    }
    *h = (Llama2c){.dim = embed->dim[1],
                   .hidden = w1->dim[0],
                   .vocab = embed->dim[0],
                   .heads = config(p, "heads"),
                   .seq = config(p, "seq"),
                   .tied = !find(w->x, "output.weight")};
    while (find(w->x, arena_printf(w->x->arena, "layers.%lld.attention_norm", (long long)h->layers)))
        h->layers++;
    if (h->heads <= 0 || h->seq <= 0 || h->dim % h->heads) {
        buf_printf(w->err,
                   "a llama2.c file says how many heads there are and how long a context is; model '%s' has no "
                   "configs 'heads' and 'seq' to take that from",
                   p->model);
        return false;
    }
    h->kv_heads = wk->dim[0] / (h->dim / h->heads);
    char bytes[LLAMA2C_HEADER];
    if (h->kv_heads > 0) {
        llama2c_write_header(h, bytes);
        if (llama2c_read_header(bytes, h))
            return true;
    }
    buf_printf(w->err, "model '%s' does not fit into the header of a llama2.c file", p->model);
    return false;
}

static bool write_llama2c(Export *x, const char *path, Buf *err)
{
    Writer w = {.x = x, .err = err};
    char head[LLAMA2C_HEADER];
    if (!describe(&w) || !llama2c_walk(&w.head, x->arena, write_array, &w))
        return false;
    for (uint32_t i = 0; i < x->tensors; i++)
        if (!x->tensor[i].used) {
            buf_printf(err, "a llama2.c file has no place for '%s'; --format safetensors takes any model",
                       x->tensor[i].name);
            return false;
        }
    w.tables = 0;
    llama2c_write_header(&w.head, head);
    w.f = fopen(path, "wb");
    bool ok = w.f && fwrite(head, sizeof head, 1, w.f) == 1 && llama2c_walk(&w.head, x->arena, write_array, &w) &&
              fflush(w.f) == 0 && fsync(fileno(w.f)) == 0;
    int reason = errno;
    if (w.f && fclose(w.f) != 0 && ok) {
        reason = errno;
        ok = false;
    }
    if (!ok)
        buf_printf(err, "cannot write '%s': %s", path, strerror(reason));
    return ok;
}

/* ---- the file ---- */

bool weights_export(const Session *s, const char *path, ExportFormat format, ExportType type, Buf *err)
{
    Export x = {.s = s, .arena = arena_new()};
    const char *slash = strrchr(path, '/');
    const char *dir = slash ? arena_strndup(x.arena, path, (size_t)(slash - path) + 1) : "./";
    const char *name = slash ? slash + 1 : path;
    const char *temporary = arena_printf(x.arena, "%s.%s.%ld.tmp", slash ? dir : "", name, (long)getpid());
    char why[FILE_ERR_MAX];
    bool ok = *name && !path_is_dir(path);
    if (!ok)
        buf_printf(err, "cannot write '%s': it is a directory", path);
    if (ok && format == EXPORT_LLAMA2C && type != EXPORT_F32) {
        buf_puts(err, "llama2.c files are f32: --dtype is for safetensors");
        ok = false;
    }
    ok = ok && collect(&x, err);
    if (ok) {
        ok = format == EXPORT_LLAMA2C ? write_llama2c(&x, temporary, err) : write_safetensors(&x, temporary, type, err);
        if (ok && rename(temporary, path) != 0) {
            buf_printf(err, "cannot write '%s': %s", path, strerror(errno));
            ok = false;
        }
        if (!ok)
            unlink(temporary);
        if (ok && !dir_sync(dir, why)) {
            buf_puts(err, why);
            ok = false;
        }
    }
    for (uint32_t i = 0; i < x.tensors; i++)
        free(x.tensor[i].made);
    arena_free(x.arena);
    return ok;
}
