/* list.c: which profiles there are. */
#include "target/target.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    const char **name;
    uint32_t     count, cap;
} Names;

static void collect(Arena *a, const char *dir, Names *names)
{
    DIR *d = opendir(dir);
    if (!d)
        return;
    for (struct dirent *e; (e = readdir(d));) {
        size_t n = strlen(e->d_name);
        if (n <= 7 || e->d_name[0] == '.' || strcmp(e->d_name + n - 7, ".target") != 0)
            continue;
        GROW(a, names->name, names->count, names->cap);
        names->name[names->count++] = arena_strndup(a, e->d_name, n - 7);
    }
    closedir(d);
}

static int by_name(const void *x, const void *y)
{
    return strcmp(*(const char *const *)x, *(const char *const *)y);
}

const char **targets_find(Arena *a, TargetPath where)
{
    Names    names = {0};
    uint32_t n = 0;
    for (uint32_t i = 0; i < where.dirs; i++)
        collect(a, arena_printf(a, "%s/targets", where.dir[i]), &names);
    GROW(a, names.name, names.count, names.cap);
    if (names.count)
        qsort(names.name, names.count, sizeof *names.name, by_name);
    for (uint32_t i = 0; i < names.count; i++)
        if (n == 0 || strcmp(names.name[n - 1], names.name[i]) != 0)
            names.name[n++] = names.name[i];
    names.name[n] = NULL;
    return names.name;
}

void targets_list(Arena *a, TargetPath where, Buf *out)
{
    for (const char **name = targets_find(a, where); *name; name++) {
        Sources      *sources = sources_new(a);
        const Target *t = target_load(a, sources, *name, where, diags_new(a, sources, "anec"));
        if (t)
            buf_printf(out, "%-10s %-22s %s\n", t->name, t->chip, t->about);
        else
            buf_printf(out, "%-10s has mistakes: see anec target %s\n", *name, *name);
    }
}
