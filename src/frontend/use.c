/* use.c: reading a program: the model's file and everything it uses.
 *
 * A name after `use` is looked for beside the file that says it, then in the search directories, which is where the
 * standard library lives. Files found there are "library" files: mistakes inside them are reported at the user's call.
 * A file may be used from several places and is read once; a file that uses itself, over whatever detour, is an error.
 */
#include "base/file.h"
#include "frontend/elab.h"

#include <stdlib.h>
#include <string.h>

static const char *directory(Elab *e, const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? arena_strndup(e->a, path, (size_t)(slash - path)) : "";
}

/* Two spellings of one file have one real path. */
static const char *real_path(Elab *e, const char *path)
{
    char *r = realpath(path, NULL);
    char *copy = arena_strdup(e->a, r ? r : path);
    free(r);
    return copy;
}

static bool load_file(Elab *e, const char *path, const char *shown, bool library, Span at);

static bool load_use(Elab *e, const Loaded *by, const char *by_path, const Item *item)
{
    const char *name = str(e, item->use.path), *beside = path_join(e->a, directory(e, by_path), name);
    if (path_exists(beside) && !path_is_dir(beside))
        return load_file(e, beside, by->library ? name : beside, by->library, item->use.at);
    Buf tried = {0};
    buf_puts(&tried, beside);
    for (uint32_t i = 0; i < e->opt->searches; i++) {
        const char *p = path_join(e->a, e->opt->search[i], name);
        if (path_exists(p) && !path_is_dir(p)) {
            buf_free(&tried);
            return load_file(e, p, name, true, item->use.at);
        }
    }
    Diag *d = elab_error(e, "E0201", item->use.at, "cannot find '%s'", name);
    diag_note(d, (Span){0}, e->opt->searches ? "looked for %s, then in the search directories" : "looked for %s",
              tried.data);
    buf_free(&tried);
    return false;
}

static bool load_file(Elab *e, const char *path, const char *shown, bool library, Span at)
{
    const char *real = real_path(e, path);
    for (uint32_t i = 0; i < e->loads; i++) {
        const Loaded *l = e->loaded[i];
        if (strcmp(l->real, real) != 0)
            continue;
        if (!l->open)
            return true;
        elab_error(e, "E0202", at, "'%s' uses itself", shown);
        return false;
    }
    char *text, err[FILE_ERR_MAX];
    size_t len;
    if (!file_read(e->a, path, &text, &len, err)) {
        elab_error(e, "E0201", at, "%s", err);
        return false;
    }
    Loaded *l = NEW(e->a, Loaded);
    GROW(e->a, e->loaded, e->loads, e->loads_cap);
    e->loaded[e->loads++] = l;
    l->real = real;
    l->library = library;
    l->open = true;
    l->file = parse_file(e->a, e->strings, e->sources, sources_add(e->sources, shown, text, len), e->ds);
    bool ok = l->file->ok;
    for (const Item *i = l->file->items; i; i = i->next) {
        if (i->kind != IT_USE)
            continue;
        bool twice = false;
        for (const Item *k = l->file->items; k != i; k = k->next)
            twice |= k->kind == IT_USE && k->use.path == i->use.path;
        if (twice) {
            elab_error(e, "E0203", i->use.at, "'%s' is used twice", str(e, i->use.path));
            ok = false;
        } else {
            ok &= load_use(e, l, path, i);
        }
    }
    l->open = false;
    return ok;
}

bool load_program(Elab *e, const char *path)
{
    return load_file(e, path, path, false, (Span){0});
}
