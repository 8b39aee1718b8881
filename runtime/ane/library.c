/* library.c: see library.h. Where things are is known from published projects: the private framework loads from its path
 * in any process, without entitlements (docs/engine.md E401). */
#include "ane/library.h"

#include "base/arena.h"

#include <dlfcn.h>
#include <string.h>

static const char *const path[ANE_LIBRARIES] = {
    [ANE_OBJC] = "/usr/lib/libobjc.A.dylib",
    [ANE_COREFOUNDATION] = "/System/Library/Frameworks/CoreFoundation.framework/CoreFoundation",
    [ANE_FOUNDATION] = "/System/Library/Frameworks/Foundation.framework/Foundation",
    [ANE_IOSURFACE] = "/System/Library/Frameworks/IOSurface.framework/IOSurface",
    [ANE_FRAMEWORK] = "/System/Library/PrivateFrameworks/AppleNeuralEngine.framework/AppleNeuralEngine",
};

typedef struct {
    const char    *name;
    AneLibraryName library;
    size_t         at; /* in AneLibrary */
} Symbol;

#define OBJC           ANE_OBJC
#define COREFOUNDATION ANE_COREFOUNDATION
#define FOUNDATION     ANE_FOUNDATION
#define IOSURFACE      ANE_IOSURFACE
static const Symbol symbol[] = {
#define FUNCTION(library, result, name, arguments) {#name, library, offsetof(AneLibrary, name)},
#define CONSTANT(library, name)                    {#name, library, offsetof(AneLibrary, name)},
#include "ane/symbols.def"
};

typedef struct {
    const char *class, *selector, *encoding, *purpose;
    char        kind;
    bool        required;
} Method;

#define REQUIRED true
#define OPTIONAL false
static const Method method[ANE_METHODS] = {
#define METHOD(name, class, kind, need, selector, encoding, result, arguments, purpose) \
    {class, selector, encoding, purpose, kind, need},
#include "ane/methods.def"
};

static bool open_libraries(AneLibrary *l, const char *override, Buf *err)
{
    for (int i = 0; i < ANE_LIBRARIES; i++) {
        const char *file = override ? override : path[i];
        l->handle[i] = dlopen(file, RTLD_NOW | RTLD_LOCAL);
        if (!l->handle[i]) {
            const char *why = dlerror();
            buf_printf(err, "cannot load '%s': %s\n", file, why ? why : "unknown reason");
#if !defined(__APPLE__)
            if (!override) {
                buf_puts(err, "the engine is part of Apple's systems; elsewhere use --device host\n");
                return false;
            }
#endif
        }
    }
    return err->len == 0;
}

/* A type encoding without what does not decide how a call is made: offsets, qualifiers, names of classes; the two
 * encodings of BOOL are one, and so are signed and unsigned. */
static void plain_encoding(const char *in, char *out, size_t size)
{
    size_t n = 0;
    int    depth = 0;
    for (; *in && n + 1 < size; in++) {
        if (*in == '"') {
            const char *end = strchr(in + 1, '"');
            in = end ? end : in;
            continue;
        }
        if (*in == '{' && ++depth == 1) {
            out[n++] = '{';
            continue;
        }
        if (*in == '}' && --depth == 0) {
            out[n++] = '}';
            continue;
        }
        if (depth > 0 || (*in >= '0' && *in <= '9') || strchr("rnNoORV", *in))
            continue;
        out[n++] = *in == 'c' || *in == 'C' ? 'B' : *in == 'i' ? 'I' : *in == 'q' ? 'Q' : *in;
    }
    out[n] = 0;
}

static bool same_types(const AneLibrary *l, ObjcMethod *have, int i, char *found, size_t size)
{
    char        want[64];
    const char *types = have ? l->method_getTypeEncoding(have) : NULL;
    plain_encoding(method[i].encoding, want, sizeof want);
    plain_encoding(types ? types : "", found, size);
    return have && strcmp(want, found) == 0;
}

bool ane_library_answers(const AneLibrary *l, ObjcId object, AneMethodName m)
{
    char found[128];
    return object && l->selector[m] &&
           same_types(l, l->class_getInstanceMethod(l->object_getClass(object), l->selector[m]), m, found, sizeof found);
}

static void find_method(AneLibrary *l, int i, Buf *err)
{
    const Method *m = &method[i];
    char          want[64], found[128];
    ObjcMethod   *have = NULL;
    l->selector[i] = l->sel_registerName(m->selector);
    l->class[i] = l->objc_getClass(m->class);
    if (l->class[i])
        have = m->kind == '+' ? l->class_getClassMethod(l->class[i], l->selector[i])
                              : l->class_getInstanceMethod(l->class[i], l->selector[i]);
    l->has[i] = same_types(l, have, i, found, sizeof found);
    plain_encoding(m->encoding, want, sizeof want);
    if (l->has[i] || !m->required)
        return;
    if (!l->class[i])
        buf_printf(err, "class %s is missing (%s)\n", m->class, m->purpose);
    else if (!have)
        buf_printf(err, "method %c[%s %s] is missing (%s)\n", m->kind, m->class, m->selector, m->purpose);
    else
        buf_printf(err, "method %c[%s %s] has types '%s', expected '%s' (%s)\n", m->kind, m->class, m->selector,
                   found, want, m->purpose);
}

bool ane_library_open(AneLibrary *l, const char *override, Buf *err)
{
    Buf missing = {0};
    *l = (AneLibrary){0};
    bool ok = open_libraries(l, override, &missing);
    for (size_t i = 0; ok && i < COUNT(symbol); i++) {
        void *p = dlsym(l->handle[symbol[i].library], symbol[i].name);
        if (!p)
            buf_printf(&missing, "'%s' is not in '%s'\n", symbol[i].name,
                       override ? override : path[symbol[i].library]);
        memcpy((char *)l + symbol[i].at, &p, sizeof p); /* POSIX: a function's address fits a void pointer */
    }
    ok = missing.len == 0;
    for (int i = 0; ok && i < ANE_METHODS; i++)
        find_method(l, i, &missing);
    if (missing.len) {
        buf_printf(err, "the engine cannot be used through this system's framework:\n%s", missing.data);
        ane_library_close(l);
    }
    ok = missing.len == 0;
    buf_free(&missing);
    return ok;
}

void ane_library_close(AneLibrary *l)
{
    for (int i = 0; i < ANE_LIBRARIES; i++)
        if (l->handle[i])
            dlclose(l->handle[i]);
    *l = (AneLibrary){0};
}

void ane_library_report(const AneLibrary *l, Buf *out)
{
    for (int i = 0; i < ANE_METHODS; i++)
        buf_printf(out, "%-8s %s%c[%s %s]: %s\n",
                   l->has[i]            ? "yes"
                   : method[i].required ? "MISSING"
                                        : "no",
                   "", method[i].kind, method[i].class, method[i].selector, method[i].purpose);
}
