/* surfaces.c: IOSurface, with what a careless caller gets away with elsewhere made fatal: locks have to pair, fresh
 * memory is full of NaN, nobody may lock a surface for writing while an evaluation uses it, and the memory is there only
 * while it is locked: a pointer that outlives its lock, or writes under a lock for reading, is caught by the processor. */
#include "fake.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { GRAIN = 65536, SURFACES = 1 << 16 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/* For the signal handler: where views are. */
static struct {
    unsigned char *volatile from;
    size_t volatile bytes;
} view[SURFACES];
static atomic_int        views;
static struct sigaction  before[2]; /* SIGSEGV, SIGBUS: a sanitizer's, perhaps */

static void touched(int sig, siginfo_t *info, void *context)
{
    (void)context;
    const unsigned char *at = info->si_addr;
    for (int i = 0; i < views; i++)
        if (view[i].from && at >= view[i].from && at < view[i].from + view[i].bytes) {
            static const char said[] =
                "fake framework: the memory of a surface is touched without a lock that allows it\n";
            (void)!write(STDERR_FILENO, said, sizeof said - 1);
            signal(SIGABRT, SIG_DFL);
            abort();
        }
    sigaction(sig, &before[sig == SIGBUS], NULL); /* somebody else's: it happens again */
}

static void watch(unsigned char *from, size_t bytes)
{
    int i = 0;
    while (i < views && view[i].from)
        i++;
    if (i == SURFACES)
        misuse("%d surfaces are alive", SURFACES);
    view[i].bytes = bytes;
    view[i].from = from;
    if (i == views)
        views++;
}

static void forget(const unsigned char *from)
{
    for (int i = 0; i < views; i++)
        if (view[i].from == from)
            view[i].from = NULL;
}

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
    if (s->reading || s->writing)
        misuse("a surface is freed while an evaluation uses it");
    pthread_mutex_lock(&lock);
    forget(s->view);
    pthread_mutex_unlock(&lock);
    munmap(s->data, s->bytes);
    munmap(s->view, s->bytes);
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
    struct sigaction act = {.sa_sigaction = touched, .sa_flags = SA_SIGINFO};
    sigaction(SIGSEGV, &act, &before[0]);
    sigaction(SIGBUS, &act, &before[1]); /* what it is on macOS */
}

static void map(SurfaceObject *s)
{
    FILE *f = tmpfile();
    if (!f || ftruncate(fileno(f), (off_t)s->bytes) != 0)
        misuse("no memory for a surface of %zu bytes", s->bytes);
    s->data = mmap(NULL, s->bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fileno(f), 0);
    s->view = mmap(NULL, s->bytes, PROT_NONE, MAP_SHARED, fileno(f), 0);
    if (s->data == MAP_FAILED || s->view == MAP_FAILED)
        misuse("no memory for a surface of %zu bytes", s->bytes);
    fclose(f);
    memset(s->data, 0xff, s->bytes); /* NaN in fp16 and fp32 */
    pthread_mutex_lock(&lock);
    watch(s->view, s->bytes);
    pthread_mutex_unlock(&lock);
}

/* What the locks allow. */
static void protect(const SurfaceObject *s)
{
    int allowed = s->write_locks ? PROT_READ | PROT_WRITE : s->read_locks ? PROT_READ : PROT_NONE;
    if (mprotect(s->view, s->bytes, allowed) != 0)
        misuse("mprotect fails");
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
    if (bytes <= 0 || (bytes % GRAIN && !fake_has("any-surface")))
        misuse("a surface of %lld bytes: no multiple of 64 KiB", (long long)bytes);
    static atomic_llong made;
    int64_t             nth = atomic_fetch_add(&made, 1) + 1;
    if (nth == fake_number("nil-surface", 0))
        return NULL;
    if (nth == fake_number("short-surface", 0) && bytes > GRAIN)
        bytes -= GRAIN;
    SurfaceObject *s = object_new(KIND_SURFACE, sizeof *s);
    s->bytes = (size_t)bytes;
    map(s);
    return s;
}

int IOSurfaceLock(SurfaceObject *s, uint32_t options, uint32_t *seed)
{
    (void)seed;
    object_check(s, KIND_SURFACE, "IOSurfaceLock");
    if (options > 1)
        misuse("IOSurfaceLock with options %u", options);
    pthread_mutex_lock(&lock);
    bool write = !(options & 1);
    if (write && (s->reading || s->writing))
        misuse("a surface is locked for writing while an evaluation uses it");
    if (s->writing)
        misuse("a surface is locked for reading while an evaluation writes it");
    ++*(write ? &s->write_locks : &s->read_locks);
    protect(s);
    pthread_mutex_unlock(&lock);
    return 0;
}

int IOSurfaceUnlock(SurfaceObject *s, uint32_t options, uint32_t *seed)
{
    (void)seed;
    object_check(s, KIND_SURFACE, "IOSurfaceUnlock");
    pthread_mutex_lock(&lock);
    int *locks = options & 1 ? &s->read_locks : &s->write_locks;
    if (*locks == 0)
        misuse("a surface is unlocked that is not locked%s", options & 1 ? " for reading" : " for writing");
    --*locks;
    protect(s);
    pthread_mutex_unlock(&lock);
    return 0;
}

void *IOSurfaceGetBaseAddress(SurfaceObject *s)
{
    object_check(s, KIND_SURFACE, "IOSurfaceGetBaseAddress");
    if (!s->read_locks && !s->write_locks)
        misuse("the address of a surface that is not locked");
    return s->view;
}

size_t IOSurfaceGetAllocSize(SurfaceObject *s)
{
    return ((SurfaceObject *)object_check(s, KIND_SURFACE, "IOSurfaceGetAllocSize"))->bytes;
}

void surface_use(SurfaceObject *s, bool output)
{
    pthread_mutex_lock(&lock);
    if (s->write_locks)
        misuse("a surface is locked for writing while it is evaluated");
    if (output && s->read_locks)
        misuse("a surface is locked for reading while an evaluation writes it");
    ++*(output ? &s->writing : &s->reading);
    pthread_mutex_unlock(&lock);
}

void surface_leave(SurfaceObject *s, bool output)
{
    pthread_mutex_lock(&lock);
    --*(output ? &s->writing : &s->reading);
    pthread_mutex_unlock(&lock);
}
