/* weights.c: parameters from foreign files; see weights.h.
 *
 * Whatever the file, it becomes a list of named tensors whose bytes lie in memory; from there on there is one way into
 * the parameters: find by name, compare shapes, convert to fp32. */
#include "runtime/train/weights.h"

#include "base/f16.h"
#include "base/file.h"
#include "base/suggest.h"
#include "runtime/train/llama2c.h"
#include "runtime/train/safetensors.h"

#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <string.h>

typedef struct {
    StTensor t;
    bool used;
} Named;

typedef struct {
    Arena *arena;
    const char *path;
    Safetensors **file; /* none for llama2.c files */
    uint32_t files, files_cap;
    Named *tensor;
    uint32_t tensors, cap;
} Weights;

static void add(Weights *w, StTensor t)
{
    GROW(w->arena, w->tensor, w->tensors, w->cap);
    w->tensor[w->tensors++] = (Named){t, false};
}

static Named *find(const Weights *w, const char *name)
{
    for (uint32_t i = 0; i < w->tensors; i++)
        if (strcmp(w->tensor[i].t.name, name) == 0)
            return &w->tensor[i];
    return NULL;
}

/* ---- llama2.c ---- */

typedef struct {
    Weights *w;
    const char *data;
    uint64_t at, size; /* in floats; `at` may pass `size`, then nothing is stored any more */
} Cursor;

static bool take(void *with, const char *name, int64_t rows, int64_t cols)
{
    Cursor *c = with;
    uint64_t n = (uint64_t)rows * (uint64_t)cols;
    if (name && c->at + n <= c->size) {
        StTensor t = {
            .name = name, .dtype = "F32", .rank = 2, .dim = {rows, cols}, .data = c->data + 4 * c->at, .bytes = 4 * n};
        if (rows == 1) {
            t.rank = 1;
            t.dim[0] = cols;
        }
        add(c->w, t);
    }
    c->at += n;
    return true;
}

static bool open_llama2c(Weights *w, Buf *err)
{
    char *text, why[FILE_ERR_MAX];
    size_t len;
    Llama2c head;
    if (!file_read(w->arena, w->path, &text, &len, why)) {
        buf_puts(err, why);
        return false;
    }
    if (len > 1 && memcmp(text, "PK", 2) == 0) {
        buf_printf(err,
                   "'%s' is no llama2.c file but one of PyTorch, which only Python can read",
                   w->path);
        return false;
    }
    if (len < LLAMA2C_HEADER || len % 4) {
        buf_printf(err, "'%s' is no llama2.c file: it has %zu bytes", w->path, len);
        return false;
    }
    if (!llama2c_read_header(text, &head)) {
        buf_printf(err, "'%s' is no llama2.c file: its header makes no sense", w->path);
        return false;
    }
    Cursor c = {w, text + LLAMA2C_HEADER, 0, (len - LLAMA2C_HEADER) / 4};
    llama2c_walk(&head, w->arena, take, &c);
    if (c.at == c.size)
        return true;
    buf_printf(err, "'%s' is no llama2.c file or cut off: its header asks for %" PRIu64 " numbers, it has %" PRIu64,
               w->path, c.at, c.size);
    return false;
}

/* ---- safetensors ---- */

static bool open_file(Weights *w, const char *path, Buf *err)
{
    GROW(w->arena, w->file, w->files, w->files_cap);
    Safetensors *f = w->file[w->files] = safetensors_open(path, err);
    if (!f)
        return false;
    w->files++;
    for (uint32_t i = 0; i < safetensors_count(f); i++) {
        const StTensor *t = safetensors_tensor(f, i);
        if (find(w, t->name)) {
            buf_printf(err, "'%s' has a tensor '%s' that is in another file of '%s' too", path, t->name, w->path);
            return false;
        }
        add(w, *t);
    }
    return true;
}

/* An index: {"weight_map": {"name": "model-00001-of-00002.safetensors", ...}}, files beside it. */
static bool open_index(Weights *w, Buf *err)
{
    char *text, why[FILE_ERR_MAX];
    size_t len;
    if (!file_read(w->arena, w->path, &text, &len, why)) {
        buf_puts(err, why);
        return false;
    }
    json_error_t bad;
    json_t *root = json_loadb(text, len, JSON_REJECT_DUPLICATES, &bad), *map = json_object_get(root, "weight_map");
    const char *name, *slash = strrchr(w->path, '/');
    const char *dir = slash ? arena_strndup(w->arena, w->path, (size_t)(slash - w->path) + 1) : "";
    json_t *value;
    bool ok = json_object_size(map) > 0;
    if (!ok)
        buf_printf(err, "'%s' is no index of safetensors files: %s", w->path,
                   root ? "it has no 'weight_map' with names in it" : bad.text);
    for (uint32_t round = 0; ok && round < 2; round++)
        json_object_foreach(map, name, value)
        { /* first all files, then whether they hold what they should */
            const char *file = json_string_value(value);
            if (!file || !path_is_tame(file) || strchr(file, '/')) {
                buf_printf(err, "'%s': the file of tensor '%s' is not named by a plain name", w->path, name);
                ok = false;
            } else if (round == 0) {
                const char *path = arena_printf(w->arena, "%s%s", dir, file);
                const char *known = NULL;
                for (uint32_t i = 0; i < w->files && !known; i++)
                    known = strcmp(safetensors_path(w->file[i]), path) == 0 ? path : NULL;
                ok = known || open_file(w, path, err);
            } else if (!find(w, name)) {
                buf_printf(err, "'%s' says that '%s' holds the tensor '%s', but it does not", w->path, file, name);
                ok = false;
            }
            if (!ok)
                break;
        }
    json_decref(root);
    return ok;
}

static bool ends_with(const char *s, const char *end)
{
    size_t n = strlen(s), m = strlen(end);
    return n >= m && strcmp(s + n - m, end) == 0;
}

static bool open_weights(Weights *w, Buf *err)
{
    if (path_is_dir(w->path)) {
        const char *dir = w->path;
        w->path = path_join(w->arena, dir, "model.safetensors.index.json");
        if (!path_exists(w->path))
            w->path = path_join(w->arena, dir, "model.safetensors");
        if (!path_exists(w->path)) {
            buf_printf(err, "directory '%s' has neither model.safetensors nor model.safetensors.index.json", dir);
            return false;
        }
    }
    if (ends_with(w->path, ".bin"))
        return open_llama2c(w, err);
    return ends_with(w->path, ".json") ? open_index(w, err) : open_file(w, w->path, err);
}

/* ---- by name ---- */

static const char *const prefix[] = {"transformer.",
                                     "model."}; /* of the classes that Hugging Face models are saved from */

static Named *find_name(const Weights *w, const char *name)
{
    Named *t = find(w, name);
    for (size_t i = 0; i < COUNT(prefix) && !t; i++) {
        size_t n = strlen(prefix[i]);
        t = find(w, strncmp(name, prefix[i], n) == 0 ? name + n : arena_printf(w->arena, "%s%s", prefix[i], name));
    }
    return t;
}

static const char *const classifier[] = {"lm_head.weight", "output.weight"};
static const char *const embedding[] = {"embed_tokens.weight", "wte.weight", "tok_embeddings", "tok_embeddings.weight"};

static bool is_classifier(const char *name)
{
    for (size_t i = 0; i < COUNT(classifier); i++)
        if (strcmp(name, classifier[i]) == 0)
            return true;
    return false;
}

/* Tied weights are stored once. */
static Named *find_tied(const Weights *w, const char *name)
{
    Named *t = NULL;
    for (size_t i = 0; i < COUNT(embedding) && !t && is_classifier(name); i++)
        t = find_name(w, embedding[i]);
    return t;
}

static Named *find_param(const Weights *w, const ExecParam *p, const char **name)
{
    *name = p->group->import ? plan_path(w->arena, p->group->import, p->index) : p->path;
    Named *t = find_name(w, *name);
    if (!t)
        t = find_name(w, p->path);
    return t ? t : find_tied(w, *name);
}

/* ---- into parameters ---- */

typedef enum { ELEM_F32, ELEM_F16, ELEM_BF16, ELEM_F64, ELEM_OTHER } Elem;

static Elem elem_of(const char *dtype)
{
    static const char *const name[] = {"F32", "F16", "BF16", "F64"};
    Elem e = ELEM_F32;
    while (e < ELEM_OTHER && strcmp(dtype, name[e]) != 0)
        e++;
    return e;
}

static float element(const char *p, Elem e, uint64_t i)
{
    float f32 = 0;
    uint16_t u16;
    double f64;
    switch (e) {
    case ELEM_F32:
        memcpy(&f32, p + 4 * i, 4);
        break;
    case ELEM_F16:
        memcpy(&u16, p + 2 * i, 2);
        return f16_to_f32(u16);
    case ELEM_BF16:
        memcpy(&u16, p + 2 * i, 2);
        return f32_from_bits((uint32_t)u16 << 16);
    case ELEM_F64:
        memcpy(&f64, p + 8 * i, 8);
        return (float)f64;
    case ELEM_OTHER:
        break;
    }
    return f32;
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

static bool wrong_shape(const Weights *w, const StTensor *t, const ExecParam *p, const int64_t *own, bool turn,
                        Buf *err)
{
    const PlanParam *g = p->group;
    buf_printf(err, "'%s': tensor '%s' is ", w->path, t->name);
    put_shape(err, t->rank, t->dim);
    buf_printf(err, ", parameter '%s' needs ", p->path);
    put_shape(err, g->shape.rank, own);
    if (g->import_rows[1])
        buf_printf(err, " from its rows %d to %d", (int)g->import_rows[0], (int)g->import_rows[1]);
    buf_puts(err, turn ? " transposed" : "");
    buf_puts(err, "; these weights are of a model of another size: compile this one with their sizes (anec -D NAME=SIZE)");
    return false;
}

static bool no_tensor(const Weights *w, const char *name, const ExecParam *p, Buf *err)
{
    Suggest near = {.word = name};
    for (uint32_t i = 0; i < w->tensors; i++)
        suggest(&near, w->tensor[i].t.name);
    buf_printf(err, "'%s' has no tensor '%s' for parameter '%s'", w->path, name, p->path);
    const char *other = near.best ? near.best : w->tensors ? w->tensor[0].t.name : NULL;
    if (other)
        buf_printf(err, ", but %u others, as '%s'", (unsigned)w->tensors, other);
    buf_puts(err, "; the parameter's #[import(\"NAME\")] says which tensor it is in weights of another origin");
    return false;
}

static bool load_param(const Weights *w, Session *s, uint32_t id, Buf *err)
{
    const ExecParam *p = exec_param(s->exec, id);
    const PlanParam *g = p->group;
    const char *name;
    Named *found = find_param(w, p, &name);
    if (!found && g->adapter) { /* the file is of the model that is adapted */
        exec_init_param(s->exec, id, s->settings.seed);
        return true;
    }
    if (!found) {
        return no_tensor(w, name, p, err);
    }
    found->used = true;
    /* `seen`: the tensor as the model sees it, transposed if need be; its first axis are the rows. */
    const StTensor *t = &found->t;
    int64_t seen[ST_MAX_RANK], part[ST_MAX_RANK], own[PLAN_MAX_RANK], wide[PLAN_MAX_RANK];
    int64_t a = g->import_rows[0], b = g->import_rows[1];
    uint32_t n = squeeze(t->rank, t->dim, seen), m, parts;
    bool turn = g->import_transpose && n == 2, same;
    for (uint32_t i = 0; i < g->shape.rank; i++)
        wide[i] = g->shape.dim[i];
    m = squeeze(g->shape.rank, wide, own);
    if (turn) {
        int64_t rows = seen[1];
        seen[1] = seen[0];
        seen[0] = rows;
    }
    memcpy(part, seen, sizeof part);
    if (b && n && a < b && b <= seen[0])
        part[0] = b - a;
    same = b == 0 || (n && a < b && b <= seen[0]);
    parts = squeeze(n, part, part);
    same = same && parts == m;
    for (uint32_t i = 0; same && i < m; i++)
        same = part[i] == own[i];
    if (!same)
        return wrong_shape(w, t, p, wide, turn, err);
    Elem elem = elem_of(t->dtype);
    if (elem == ELEM_OTHER) {
        buf_printf(err, "'%s': tensor '%s' is of type %s; F32, F16, BF16 and F64 can be read: convert it", w->path, t->name,
                   t->dtype);
        return false;
    }
    uint64_t rows = n ? (uint64_t)seen[0] : 1, cols = 1;
    for (uint32_t i = 1; i < n; i++)
        cols *= (uint64_t)seen[i];
    for (uint64_t i = 0, first = b ? (uint64_t)a * cols : 0; i < p->numel; i++) {
        uint64_t at = first + i;
        p->value[i] = element(t->data, elem, turn ? at % cols * rows + at / cols : at);
        if (!isfinite(p->value[i])) {
            buf_printf(err,
                       "'%s': tensor '%s' holds %s, for element %" PRIu64 " of parameter '%s'; no model can start from "
                       "these weights: take an earlier state of them", w->path, t->name,
                       isnan(p->value[i]) ? "a NaN" : "an infinity or a number beyond fp32", i, p->path);
            return false;
        }
    }
    return true;
}

/* ---- what is left ---- */

static bool stored_twice(const Weights *w, const StTensor *t)
{
    for (uint32_t i = 0; i < w->tensors; i++) {
        const StTensor *x = &w->tensor[i].t;
        if (w->tensor[i].used && x->bytes == t->bytes && strcmp(x->dtype, t->dtype) == 0 &&
            memcmp(x->data, t->data, (size_t)t->bytes) == 0)
            return true;
    }
    return false;
}

static bool check_rest(const Weights *w, Buf *note, Buf *err)
{
    const char *first = NULL;
    uint32_t rest = 0;
    for (uint32_t i = 0; i < w->tensors; i++) {
        const Named *x = &w->tensor[i];
        if (x->used || (is_classifier(x->t.name) && stored_twice(w, &x->t)))
            continue;
        if (is_classifier(x->t.name)) {
            buf_printf(err,
                       "'%s' has a classifier of its own, the tensor '%s', but the model uses its embedding for it: it "
                       "would compute something else. Give the model a parameter with #[import(\"%s\")]",
                       w->path, x->t.name, x->t.name);
            return false;
        }
        first = first ? first : x->t.name;
        rest++;
    }
    if (rest && note)
        buf_printf(note, "no parameter takes %u of the %u tensors of '%s', the first one '%s'", rest, w->tensors,
                   w->path, first);
    return true;
}

bool weights_load(Session *s, const char *path, Buf *note, Buf *err)
{
    Weights w = {.arena = arena_new(), .path = path};
    bool ok = open_weights(&w, err);
    if (!ok)
        buf_puts(err, "; --weights takes safetensors (a file, an index of several, or their directory) or a .bin of llama2.c");
    for (uint32_t i = 0; ok && i < exec_params(s->exec); i++)
        ok = load_param(&w, s, i, err);
    ok = ok && check_rest(&w, note, err);
    for (uint32_t i = 0; i < w.files; i++)
        safetensors_close(w.file[i]);
    arena_free(w.arena);
    return ok;
}
