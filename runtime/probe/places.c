/* places.c: see places.h. */
#include "probe/places.h"

#include "ane/library.h"
#include "target/where.h"

#include <stdlib.h>
#include <string.h>

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

TargetPath places_dirs(Arena *a)
{
    Places p = {.a = a};
    standard_places(a, add_place, &p);
    return (TargetPath){p.dir, p.dirs};
}

const Target *places_target(Arena *a, const char *name, Buf *err)
{
    const Target *t;
    return target_find(a, "anerun", name, &t, err) ? t : NULL;
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
