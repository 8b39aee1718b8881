/* checkpoint.c: writing and reading checkpoints; see checkpoint.h. The directory of a run, and which of its checkpoints
 * to use, are the business of checkpoint_dir.c. */
#include "runtime/train/checkpoint.h"

#include "base/file.h"
#include "runtime/train/checkpoint_dir.h"
#include "runtime/train/safetensors.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define FORMAT "anel-checkpoint-1"

/* ---- the parameter table ---- */

/* Hash of all paths and shapes: two plans with the same table can exchange checkpoints. */
static void table_hash(const CheckpointLayout *l, char out[HASH_HEX])
{
    Buf text = {0};
    for (uint32_t i = 0; i < l->tensors; i++) {
        buf_puts(&text, l->tensor[i].path);
        for (uint32_t k = 0; k < l->tensor[i].shape.rank; k++)
            buf_printf(&text, " %d", (int)l->tensor[i].shape.dim[k]);
        buf_putc(&text, '\n');
    }
    hash_hex(text.data ? text.data : "", text.len, out);
    buf_free(&text);
}

static void put_shape(Buf *b, uint32_t rank, const int64_t *dim)
{
    buf_putc(b, '[');
    for (uint32_t k = 0; k < rank; k++)
        buf_printf(b, "%s%" PRId64, k ? ", " : "", dim[k]);
    buf_putc(b, ']');
}

static StTensor describe(const char *name, const CheckpointTensor *t, const float *data)
{
    StTensor s = {.name = name, .dtype = "F32", .rank = t->shape.rank, .data = data, .bytes = t->numel * sizeof(float)};
    for (uint32_t k = 0; k < t->shape.rank; k++)
        s.dim[k] = t->shape.dim[k];
    return s;
}

/* ---- saving ---- */

typedef struct {
    StMeta  *item;
    uint32_t count, cap;
    Arena   *arena;
} MetaList;

static void meta_text(MetaList *m, const char *key, const char *value)
{
    GROW(m->arena, m->item, m->count, m->cap);
    m->item[m->count++] = (StMeta){key, value};
}

static void meta_count(MetaList *m, const char *key, uint64_t value)
{
    meta_text(m, key, arena_printf(m->arena, "%" PRIu64, value));
}

static void meta_double(MetaList *m, const char *key, double value)
{
    Buf b = {0};
    buf_double(&b, value);
    meta_text(m, key, arena_strdup(m->arena, b.data));
    buf_free(&b);
}

static void meta_common(MetaList *m, const CheckpointLayout *l, const RunState *state)
{
    char hash[HASH_HEX];
    table_hash(l, hash);
    meta_text(m, "format", FORMAT);
    meta_text(m, "model", l->model);
    meta_text(m, "plan", l->plan_hash);
    meta_text(m, "parameters", arena_strdup(m->arena, hash));
    meta_count(m, "step", state->step);
}

static bool save_model(Arena *a, const char *dir, const CheckpointLayout *l, const RunState *state, char *hash,
                       Buf *err)
{
    StTensor *t = NEW_N(a, StTensor, l->tensors + 1);
    for (uint32_t i = 0; i < l->tensors; i++)
        t[i] = describe(l->tensor[i].path, &l->tensor[i], l->tensor[i].value);
    MetaList m = {.arena = a};
    meta_common(&m, l, state);
    return safetensors_write(path_join(a, dir, CHECKPOINT_MODEL), t, l->tensors, m.item, m.count, hash, err);
}

static bool save_optimizer(Arena *a, const char *dir, const CheckpointLayout *l, const RunState *state,
                           const Settings *settings, const char *model_hash, Buf *err)
{
    StTensor *t = NEW_N(a, StTensor, 2 * (size_t)l->tensors + 1);
    uint32_t  n = 0;
    for (uint32_t i = 0; i < l->tensors; i++) {
        const CheckpointTensor *c = &l->tensor[i];
        if (c->m)
            t[n++] = describe(arena_printf(a, "m.%s", c->path), c, c->m);
        if (c->v)
            t[n++] = describe(arena_printf(a, "v.%s", c->path), c, c->v);
    }
    MetaList m = {.arena = a};
    meta_common(&m, l, state);
    meta_text(&m, "model_hash", model_hash); /* ties the two files together */
    meta_count(&m, "updates", state->updates);
    meta_count(&m, "cursor", state->cursor);
    meta_count(&m, "tokens", state->tokens);
    meta_double(&m, "loss_scale", state->loss_scale);
    meta_count(&m, "scale_clean", state->scale_clean);
    meta_count(&m, "skipped", state->skipped);
    meta_count(&m, "skipped_in_a_row", state->skipped_in_a_row);
    meta_double(&m, "loss", state->loss);
    for (uint32_t i = 0; i < settings_count(); i++) {
        Buf value = {0};
        if (!settings_applies(settings, i))
            continue;
        settings_value(settings, i, &value);
        meta_text(&m, arena_printf(a, "set:%s", settings_key(i)), value.data ? arena_strdup(a, value.data) : "");
        buf_free(&value);
    }
    return safetensors_write(path_join(a, dir, CHECKPOINT_OPTIMIZER), t, n, m.item, m.count, NULL, err);
}

bool checkpoint_save(const char *run, const CheckpointLayout *l, const RunState *state, const Settings *settings,
                     uint64_t keep, Buf *err)
{
    Arena      *a = arena_new();
    char        hash[HASH_HEX], why[FILE_ERR_MAX] = "";
    const char *temporary = run_dir_temporary(a, run, state->step);
    bool        ok = dir_make(run, why) && run_dir_sweep(run, why);
    ok = ok && dir_make(temporary, why);
    if (!ok) {
        buf_puts(err, why);
    } else {
        ok = save_model(a, temporary, l, state, hash, err) &&
             save_optimizer(a, temporary, l, state, settings, hash, err) &&
             run_dir_publish(run, temporary, state->step, err) && run_dir_prune(run, state->step, keep, err);
        if (!ok)
            dir_remove(temporary, why);
    }
    arena_free(a);
    return ok;
}

/* ---- loading ---- */

/* A file of a checkpoint, its structure and checksums verified. */
static Safetensors *open_verified(Arena *a, const char *dir, const char *name, Buf *err)
{
    const char  *path = path_join(a, dir, name), *format;
    Safetensors *s = safetensors_open(path, err);
    bool         ok = s && safetensors_verify(s, err);
    if (ok && (!(format = safetensors_meta(s, "format")) || strcmp(format, FORMAT) != 0)) {
        buf_printf(err, "'%s' is of another format than '%s'", path, FORMAT);
        ok = false;
    }
    if (ok)
        return s;
    safetensors_close(s);
    return NULL;
}

static bool same_shape(const StTensor *s, const CheckpointTensor *t)
{
    if (strcmp(s->dtype, "F32") != 0 || s->rank != t->shape.rank)
        return false;
    for (uint32_t k = 0; k < s->rank; k++)
        if (s->dim[k] != t->shape.dim[k])
            return false;
    return true;
}

/* Where shapes agree, as with adapters or without, weights can be taken over. */
static void put_remedy(const char *dir, bool fits, Buf *err)
{
    buf_puts(err, "; go on with the plan it was made with");
    if (fits)
        buf_printf(err, ", or start anew from its weights: --weights %s/model.safetensors", dir);
}

/* The parameters of file and plan must be the same; say which is the first that is not. */
static bool check_table(const Safetensors *s, const char *dir, const CheckpointLayout *l, Buf *err)
{
    for (uint32_t i = 0; i < l->tensors; i++) {
        const CheckpointTensor *t = &l->tensor[i];
        const StTensor         *f = safetensors_find(s, t->path);
        if (f && same_shape(f, t))
            continue;
        buf_printf(err, "checkpoint '%s' belongs to another model: parameter '%s' is ", dir, t->path);
        int64_t dim[PLAN_MAX_RANK];
        for (uint32_t k = 0; k < t->shape.rank; k++)
            dim[k] = t->shape.dim[k];
        if (f) {
            put_shape(err, f->rank, f->dim);
            buf_puts(err, " there and ");
        } else {
            buf_puts(err, "missing there and ");
        }
        put_shape(err, t->shape.rank, dim);
        buf_puts(err, " in the plan");
        put_remedy(dir, !f, err);
        return false;
    }
    if (safetensors_count(s) == l->tensors)
        return true;
    for (uint32_t i = 0; i < safetensors_count(s); i++) {
        const char *name = safetensors_tensor(s, i)->name;
        bool        known = false;
        for (uint32_t k = 0; !known && k < l->tensors; k++)
            known = strcmp(name, l->tensor[k].path) == 0;
        if (!known) {
            buf_printf(err, "checkpoint '%s' belongs to another model: the plan has no parameter '%s'", dir, name);
            put_remedy(dir, true, err);
            return false;
        }
    }
    return true;
}

static bool read_count(const Safetensors *s, const char *key, uint64_t *out)
{
    const char *text = safetensors_meta(s, key);
    char       *end;
    if (!text || *text < '0' || *text > '9')
        return false;
    errno = 0;
    unsigned long long n = strtoull(text, &end, 10);
    *out = n;
    return *end == 0 && errno == 0;
}

static bool read_double(const Safetensors *s, const char *key, double *out)
{
    const char *text = safetensors_meta(s, key);
    char       *end;
    if (!text || !*text)
        return false;
    *out = strtod(text, &end);
    return *end == 0;
}

static bool read_state(const Safetensors *s, RunState *r)
{
    return read_count(s, "step", &r->step) && read_count(s, "updates", &r->updates) &&
           read_count(s, "cursor", &r->cursor) && read_count(s, "tokens", &r->tokens) &&
           read_double(s, "loss_scale", &r->loss_scale) && r->loss_scale > 0 &&
           read_count(s, "scale_clean", &r->scale_clean) && read_count(s, "skipped", &r->skipped) &&
           read_count(s, "skipped_in_a_row", &r->skipped_in_a_row) && read_double(s, "loss", &r->loss);
}

static bool read_moment(Arena *a, const Safetensors *s, const char *dir, char which, const CheckpointTensor *t,
                        float *to, Buf *err)
{
    if (!to)
        return true;
    const StTensor *f = safetensors_find(s, arena_printf(a, "%c.%s", which, t->path));
    if (f && same_shape(f, t)) {
        memcpy(to, f->data, f->bytes);
        return true;
    }
    buf_printf(err, "checkpoint '%s' has no moment '%c' for parameter '%s': it was made with another optimizer (%s)",
               dir, which, t->path,
               safetensors_meta(s, "set:optimizer") ? safetensors_meta(s, "set:optimizer") : "unknown");
    return false;
}

static bool load_optimizer(Arena *a, const Safetensors *model, const char *dir, const CheckpointLayout *l,
                           RunState *state, Buf *err, bool *whole)
{
    Safetensors *s = open_verified(a, dir, CHECKPOINT_OPTIMIZER, err);
    *whole = s != NULL;
    if (!s)
        return false;
    const char *pair = safetensors_meta(s, "model_hash"), *own = safetensors_meta(model, "hash");
    bool        ok = pair && strcmp(pair, own) == 0;
    if (!ok)
        buf_printf(err, "'%s': its two files come from different checkpoints", dir);
    if (ok && !read_state(s, state)) {
        buf_printf(err, "'%s/%s' lacks counters", dir, CHECKPOINT_OPTIMIZER);
        ok = false;
    }
    *whole = ok;
    for (uint32_t i = 0; ok && i < l->tensors; i++)
        ok = read_moment(a, s, dir, 'm', &l->tensor[i], l->tensor[i].m, err) &&
             read_moment(a, s, dir, 'v', &l->tensor[i], l->tensor[i].v, err);
    safetensors_close(s);
    return ok;
}

/* True if both files of a checkpoint are whole. */
static bool intact(Arena *a, const char *dir)
{
    Buf          ignored = {0};
    Safetensors *model = open_verified(a, dir, CHECKPOINT_MODEL, &ignored);
    Safetensors *optim = model ? open_verified(a, dir, CHECKPOINT_OPTIMIZER, &ignored) : NULL;
    bool         ok = optim != NULL;
    safetensors_close(model);
    safetensors_close(optim);
    buf_free(&ignored);
    return ok;
}

static void name_previous(Arena *a, const char *dir, Buf *err)
{
    const char *older = dir;
    while ((older = run_dir_older(a, older)))
        if (intact(a, older)) {
            buf_printf(err, "; the last good checkpoint is '%s': --resume %s", older, older);
            return;
        }
    buf_puts(err, "; there is no older checkpoint");
}

bool checkpoint_settings(Arena *a, const char *dir, Settings *s, Buf *err)
{
    Safetensors *f = open_verified(a, dir, CHECKPOINT_OPTIMIZER, err);
    if (!f) {
        name_previous(a, dir, err);
        return false;
    }
    bool ok = true;
    for (uint32_t i = 0; ok && i < settings_count(); i++) {
        const char *value = safetensors_meta(f, arena_printf(a, "set:%s", settings_key(i)));
        ok = !value || settings_set(s, a, settings_key(i), value, err);
    }
    safetensors_close(f);
    return ok;
}

bool checkpoint_load(const char *dir, const CheckpointLayout *l, RunState *state, Buf *note, Buf *err)
{
    Arena       *a = arena_new();
    Safetensors *s = open_verified(a, dir, CHECKPOINT_MODEL, err);
    bool         whole = s != NULL, ok = whole && check_table(s, dir, l, err);
    for (uint32_t i = 0; ok && i < l->tensors; i++) {
        const StTensor *f = safetensors_find(s, l->tensor[i].path);
        memcpy(l->tensor[i].value, f->data, f->bytes);
    }
    const char *plan = s ? safetensors_meta(s, "plan") : NULL;
    if (ok && note && plan && strcmp(plan, l->plan_hash) != 0)
        buf_printf(note, "checkpoint '%s' was made with another version of this plan; its parameters fit", dir);
    if (ok && state)
        ok = load_optimizer(a, s, dir, l, state, err, &whole);
    if (!whole)
        name_previous(a, dir, err);
    safetensors_close(s);
    arena_free(a);
    return ok;
}
