/* places.c: see places.h. */
#include "probe/places.h"

#include "ane/library.h"
#include "target/where.h"

#include <stdlib.h>
#include <string.h>

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
