/* exec_files.c: what a plan's directory holds besides the manifest, read when it is opened: tables and programs. */
#include "exec_internal.h"

#include "base/file.h"
#include "base/hash.h"
#include "plan/blob.h"

#include <string.h>

static bool read_table(Exec *e, const char *dir, uint32_t index, Arena *a, Buf *err)
{
    static const BlobType blob_type[] = {[PLAN_F32] = BLOB_F32, [PLAN_F16] = BLOB_F16, [PLAN_I32] = BLOB_I32};
    const PlanTable *t = &e->plan->table[index];
    const char      *path = path_join(a, dir, arena_printf(a, "const/%s.blob", t->hash));
    char            *data, why[FILE_ERR_MAX], hash[HASH_HEX];
    size_t           len, n = (size_t)plan_numel(t->shape);
    BlobView         view;
    Buf              bad = {0};
    if (!file_read(a, path, &data, &len, why)) {
        buf_printf(err, "table '%s': %s", t->name, why);
        return false;
    }
    hash_hex(data, len, hash);
    if (strcmp(hash, t->hash) != 0)
        buf_puts(&bad, "the file is damaged: its hash is not its name");
    else if (blob_find(data, len, BLOB_FIRST, &view, &bad) &&
             (view.type != blob_type[t->type] || view.bytes != n * (t->type == PLAN_F16 ? 2 : 4)))
        buf_puts(&bad, "the file holds another type or shape than the plan says");
    if (bad.len)
        buf_printf(err, "%s (table '%s'): %s; make the plan again", path, t->name, bad.data);
    else if (t->type == PLAN_F16)
        convert(view.data, STORE_F16, e->table[index], STORE_F32, n, &(ConvertCount){0});
    else
        memcpy(e->table[index], view.data, n * 4);
    bool ok = bad.len == 0;
    buf_free(&bad);
    return ok;
}

static bool read_program(Exec *e, const char *dir, uint32_t index, Buf *err)
{
    const PlanProgram *g = &e->plan->program[index];
    ExecProgram       *x = &e->program[index];
    char              *text, why[FILE_ERR_MAX], hash[HASH_HEX];
    for (uint32_t i = 0; i < index; i++)
        if (strcmp(e->plan->program[i].mil, g->mil) == 0 && strcmp(e->plan->program[i].mil_hash, g->mil_hash) == 0) {
            x->mil = e->program[i].mil;
            x->mil_len = e->program[i].mil_len;
            return true;
        }
    const char *path = path_join(e->arena, dir, arena_printf(e->arena, "mil/%s.mil", g->mil));
    if (!file_read(e->arena, path, &text, &x->mil_len, why)) {
        buf_printf(err, "program '%s': %s", g->name, why);
        return false;
    }
    x->mil = text;
    hash_hex(text, x->mil_len, hash);
    if (strcmp(hash, g->mil_hash) != 0) {
        buf_printf(err,
                   "%s was changed after the plan was made (its hash is %s, the plan says %s); make the plan again",
                   path, hash, g->mil_hash);
        return false;
    }
    return true;
}

bool exec_read_files(Exec *e, const char *dir, Buf *err)
{
    Arena *a = arena_new();
    bool   ok = true;
    for (uint32_t i = 0; ok && i < e->plan->tables; i++, arena_reset(a))
        ok = read_table(e, dir, i, a, err);
    arena_free(a);
    e->program = NEW_N(e->arena, ExecProgram, e->plan->programs + 1u);
    for (uint32_t i = 0; ok && i < e->plan->programs; i++)
        ok = read_program(e, dir, i, err);
    return ok;
}
