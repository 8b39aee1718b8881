/* surface.c: surfaces are one row of bytes, a multiple of 64 KiB, as projects make them that train (docs/engine.md E223,
 * E421); device.c rounds, and fills fresh ones with zeros (E423, E615). */
#include "ane/ane.h"
#include "ane/cf.h"

#include <stdlib.h>

enum { LOCK_READ_ONLY = 1 }; /* kIOSurfaceLockReadOnly */

static CfRef surface_properties(const AneLibrary *l, size_t bytes)
{
    CfRef number[3] = {cf_number(l, (int64_t)bytes), cf_number(l, 1), cf_number(l, 0)};
    /* the constants are pointers to strings */
#define KEY(name) (*(CfRef const *)l->name)
    CfRef key[6] = {KEY(kIOSurfaceWidth),       KEY(kIOSurfaceHeight),    KEY(kIOSurfaceBytesPerElement),
                    KEY(kIOSurfaceBytesPerRow), KEY(kIOSurfaceAllocSize), KEY(kIOSurfacePixelFormat)};
#undef KEY
    CfRef value[6] = {number[0], number[1], number[1], number[0], number[0], number[2]};
    CfRef all = cf_dictionary(l, key, value, 6);
    for (size_t i = 0; i < COUNT(number); i++)
        cf_release(l, number[i]);
    return all;
}

void ane_surface_free(Surface *base)
{
    AneSurface       *s = (AneSurface *)base;
    const AneDevice  *d = (const AneDevice *)base->device;
    const AneLibrary *l = &d->lib;
    if (s->object)
        l->objc_release(s->object);
    cf_release(l, s->surface);
    free(s);
}

Surface *ane_surface_new(Device *base, size_t bytes, Buf *err)
{
    AneDevice        *d = (AneDevice *)base;
    const AneLibrary *l = &d->lib;
    AneSurface       *s = xcalloc(1, sizeof *s);
    void             *pool = l->objc_autoreleasePoolPush();
    CfRef             properties = surface_properties(l, bytes);
    s->base = (Surface){.driver = base->driver, .device = base, .bytes = bytes};
    s->surface = properties ? l->IOSurfaceCreate(properties) : NULL;
    cf_release(l, properties);
    if (!s->surface)
        buf_printf(err, "the system makes no surface of %zu bytes: memory for surfaces is used up\n", bytes);
    else if (l->IOSurfaceGetAllocSize(s->surface) < bytes)
        buf_printf(err, "the system made a surface of %zu bytes where %zu were asked for\n",
                   l->IOSurfaceGetAllocSize(s->surface), bytes);
    else {
        ObjcId object = ANE_CALL(l, surface_object)(ANE_CLASS(l, surface_object), ANE_SEL(l, surface_object),
                                                    s->surface);
        s->object = object ? l->objc_retain(object) : NULL; /* docs/engine.md E424, E405 */
        if (!object)
            buf_printf(err, "the framework does not take a surface of %zu bytes\n", bytes);
    }
    l->objc_autoreleasePoolPop(pool);
    if (s->object)
        return &s->base;
    ane_surface_free(&s->base);
    return NULL;
}

/* The device's users pair locks, and hold none for writing while the surface is evaluated (docs/engine.md E422). */
void *ane_surface_lock(Surface *base, bool write)
{
    AneSurface       *s = (AneSurface *)base;
    const AneLibrary *l = &((AneDevice *)base->device)->lib;
    if (l->IOSurfaceLock(s->surface, write ? 0 : LOCK_READ_ONLY, NULL) != 0)
        bug("a surface of the engine cannot be locked");
    if (write)
        atomic_fetch_add(&s->writers, 1);
    return l->IOSurfaceGetBaseAddress(s->surface);
}

void ane_surface_unlock(Surface *base, bool write)
{
    AneSurface       *s = (AneSurface *)base;
    const AneLibrary *l = &((AneDevice *)base->device)->lib;
    if (write)
        atomic_fetch_sub(&s->writers, 1);
    l->IOSurfaceUnlock(s->surface, write ? 0 : LOCK_READ_ONLY, NULL);
}
