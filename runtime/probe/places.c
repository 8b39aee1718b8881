/* places.c: see places.h. */
#include "probe/places.h"

#include "ane/library.h"

#include <stdlib.h>
#include <string.h>

TargetPath places_dirs(Arena *a)
{
    const char **dir = NULL;
    uint32_t     n = 0, cap = 0;
    for (const char *p = getenv("ANEL_PATH"); p && *p;) {
        size_t k = strcspn(p, ":");
        GROW(a, dir, n, cap);
        if (k)
            dir[n++] = arena_strndup(a, p, k);
        p += k + (p[k] == ':');
    }
    GROW(a, dir, n, cap);
    dir[n++] = ANEL_DATA_DIR;
    GROW(a, dir, n, cap);
    dir[n++] = ANEL_SOURCE_DIR;
    return (TargetPath){dir, n};
}

const Target *places_target(Arena *a, const char *name, Buf *err)
{
    Sources      *sources = sources_new(a);
    Diags        *ds = diags_new(a, sources, "anerun");
    const Target *t = target_load(a, sources, name, places_dirs(a), ds);
    if (!t)
        diags_render(ds, err);
    return t;
}

bool places_classes(const char *device, Buf *out, Buf *err)
{
    AneLibrary l;
    if (strcmp(device, "ane") != 0) {
        buf_printf(err, "device '%s' uses no framework\n", device);
        return false;
    }
    if (!ane_library_open(&l, getenv("ANEL_ANE_LIBRARY"), err))
        return false;
    ane_library_report(&l, out);
    ane_library_close(&l);
    return true;
}
