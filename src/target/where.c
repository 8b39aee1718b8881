/* where.c: see where.h. */
#include "target/where.h"

#include <stdlib.h>
#include <string.h>

void standard_places(Arena *a, void (*add)(void *with, const char *dir), void *with)
{
    for (const char *p = getenv("ANEL_PATH"); p && *p;) {
        size_t n = strcspn(p, ":");
        if (n)
            add(with, arena_strndup(a, p, n));
        p += n + (p[n] == ':');
    }
    add(with, ANEL_DATA_DIR);
    add(with, ANEL_SOURCE_DIR);
}

typedef struct {
    Arena       *a;
    const char **dir;
    uint32_t     dirs, cap;
} Places;

static void add_place(void *with, const char *dir)
{
    Places *p = with;
    GROW(p->a, p->dir, p->dirs, p->cap);
    p->dir[p->dirs++] = dir;
}

TargetPath target_places(Arena *a)
{
    Places p = {.a = a};
    standard_places(a, add_place, &p);
    return (TargetPath){p.dir, p.dirs};
}

bool target_find(Arena *a, const char *program, const char *name, const Target **out, Buf *err)
{
    Sources *sources = sources_new(a);
    Diags   *ds = diags_new(a, sources, program);
    *out = target_load(a, sources, name, target_places(a), ds);
    if (!*out)
        diags_render(ds, err);
    return *out != NULL;
}

const Target *target_of_plan(Arena *a, const char *name, const char *hash)
{
    const Target *t;
    Buf           why = {0};
    char          have[HASH_HEX] = "";
    if (*hash && target_find(a, "anerun", name, &t, &why))
        target_hash(t, have);
    buf_free(&why);
    return *have && strcmp(have, hash) == 0 ? t : target_any();
}
