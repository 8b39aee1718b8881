/* surfaces.c: IOSurface, with what a careless caller gets away with elsewhere made fatal: locks have to pair, fresh
 * memory is full of NaN, and nobody may lock a surface for writing while an evaluation uses it. */
#include "fake.h"

#include <stdlib.h>
#include <string.h>

static const char *const key_name[] = {"IOSurfaceWidth",       "IOSurfaceHeight",    "IOSurfaceBytesPerElement",
                                       "IOSurfaceBytesPerRow", "IOSurfaceAllocSize", "IOSurfacePixelFormat"};
EXPORT const void *kIOSurfaceWidth, *kIOSurfaceHeight, *kIOSurfaceBytesPerElement, *kIOSurfaceBytesPerRow,
    *kIOSurfaceAllocSize, *kIOSurfacePixelFormat;

EXPORT SurfaceObject *IOSurfaceCreate(const void *properties);
EXPORT int            IOSurfaceLock(SurfaceObject *s, uint32_t options, uint32_t *seed);
EXPORT int            IOSurfaceUnlock(SurfaceObject *s, uint32_t options, uint32_t *seed);
EXPORT void          *IOSurfaceGetBaseAddress(SurfaceObject *s);
EXPORT size_t         IOSurfaceGetAllocSize(SurfaceObject *s);

static void surface_end(void *o)
{
    SurfaceObject *s = o;
    if (s->write_locks || s->read_locks)
        misuse("a surface is freed while it is locked");
    if (s->busy)
        misuse("a surface is freed while an evaluation uses it");
    free(s->data);
}

__attribute__((constructor)) static void keys(void)
{
    const void **key[] = {&kIOSurfaceWidth,       &kIOSurfaceHeight,    &kIOSurfaceBytesPerElement,
                          &kIOSurfaceBytesPerRow, &kIOSurfaceAllocSize, &kIOSurfacePixelFormat};
    /* Constants of the library: alive from beginning to end, and no leak. */
    for (size_t i = 0; i < sizeof key / sizeof *key; i++) {
        static DataObject constant[6];
        constant[i] = (DataObject){{&class_of_kind[KIND_STRING], KIND_STRING, 1 << 30, NULL, NULL},
                                   strlen(key_name[i]),
                                   (unsigned char *)(uintptr_t)key_name[i]};
        *key[i] = &constant[i];
    }
    object_finalizer(KIND_SURFACE, surface_end);
}

static int64_t property(const ContainerObject *d, const char *key)
{
    const void *n = dictionary_get(d, key);
    if (!n)
        misuse("IOSurfaceCreate without %s", key);
    return ((const NumberObject *)object_check(n, KIND_NUMBER, key))->value;
}

SurfaceObject *IOSurfaceCreate(const void *properties)
{
    const ContainerObject *d = object_check(properties, KIND_DICTIONARY, "IOSurfaceCreate");
    int64_t                bytes = property(d, key_name[4]);
    if (property(d, key_name[0]) != bytes || property(d, key_name[3]) != bytes || property(d, key_name[1]) != 1 ||
        property(d, key_name[2]) != 1 || property(d, key_name[5]) != 0)
        misuse("a surface that is not one row of bytes");
    if (bytes <= 0 || bytes % 65536)
        misuse("a surface of %lld bytes: no multiple of 64 KiB", (long long)bytes);
    SurfaceObject *s = object_new(KIND_SURFACE, sizeof *s);
    s->bytes = (size_t)bytes;
    s->data = malloc(s->bytes);
    memset(s->data, 0xff, s->bytes); /* NaN in fp16 and fp32 */
    return s;
}

int IOSurfaceLock(SurfaceObject *s, uint32_t options, uint32_t *seed)
{
    (void)seed;
    object_check(s, KIND_SURFACE, "IOSurfaceLock");
    if (options > 1)
        misuse("IOSurfaceLock with options %u", options);
    if (s->busy && !(options & 1))
        misuse("a surface is locked for writing while an evaluation uses it");
    ++*(options & 1 ? &s->read_locks : &s->write_locks);
    return 0;
}

int IOSurfaceUnlock(SurfaceObject *s, uint32_t options, uint32_t *seed)
{
    (void)seed;
    object_check(s, KIND_SURFACE, "IOSurfaceUnlock");
    int *locks = options & 1 ? &s->read_locks : &s->write_locks;
    if (*locks == 0)
        misuse("a surface is unlocked that is not locked%s", options & 1 ? " for reading" : " for writing");
    --*locks;
    return 0;
}

void *IOSurfaceGetBaseAddress(SurfaceObject *s)
{
    object_check(s, KIND_SURFACE, "IOSurfaceGetBaseAddress");
    if (!s->read_locks && !s->write_locks)
        misuse("the address of a surface that is not locked");
    return s->data;
}

size_t IOSurfaceGetAllocSize(SurfaceObject *s)
{
    return ((SurfaceObject *)object_check(s, KIND_SURFACE, "IOSurfaceGetAllocSize"))->bytes;
}
