/* cf.c: see cf.h. The constants are CoreFoundation's, from its public headers. */
#include "ane/cf.h"

#include "base/arena.h"

#include <stdlib.h>
#include <string.h>

enum { UTF8 = 0x08000100, SINT64 = 4 }; /* kCFStringEncodingUTF8, kCFNumberSInt64Type */

CfRef cf_data(const AneLibrary *l, const void *bytes, size_t len)
{
    return l->CFDataCreate(NULL, bytes, (CfIndex)len);
}

CfRef cf_string(const AneLibrary *l, const char *text)
{
    return l->CFStringCreateWithBytes(NULL, (const uint8_t *)text, (CfIndex)strlen(text), UTF8, 0);
}

CfRef cf_number(const AneLibrary *l, int64_t value)
{
    return l->CFNumberCreate(NULL, SINT64, &value);
}

CfRef cf_array(const AneLibrary *l, const CfRef *value, size_t count)
{
    return l->CFArrayCreate(NULL, (const void **)(uintptr_t)value, (CfIndex)count, l->kCFTypeArrayCallBacks);
}

CfRef cf_dictionary(const AneLibrary *l, const CfRef *key, const CfRef *value, size_t count)
{
    return l->CFDictionaryCreate(NULL, (const void **)(uintptr_t)key, (const void **)(uintptr_t)value, (CfIndex)count,
                                 l->kCFTypeDictionaryKeyCallBacks, l->kCFTypeDictionaryValueCallBacks);
}

void cf_release(const AneLibrary *l, CfRef object)
{
    if (object)
        l->CFRelease(object);
}

static bool is(const AneLibrary *l, CfRef object, unsigned long type)
{
    return object && l->CFGetTypeID(object) == type;
}

CfRef cf_get(const AneLibrary *l, CfRef dictionary, const char *key)
{
    if (!is(l, dictionary, l->CFDictionaryGetTypeID()))
        return NULL;
    CfRef k = cf_string(l, key), value = l->CFDictionaryGetValue(dictionary, k);
    cf_release(l, k);
    return value;
}

bool cf_int(const AneLibrary *l, CfRef number, int64_t *out)
{
    return is(l, number, l->CFNumberGetTypeID()) && l->CFNumberGetValue(number, SINT64, out);
}

size_t cf_count(const AneLibrary *l, CfRef array)
{
    return is(l, array, l->CFArrayGetTypeID()) ? (size_t)l->CFArrayGetCount(array) : 0;
}

CfRef cf_at(const AneLibrary *l, CfRef array, size_t i)
{
    return i < cf_count(l, array) ? l->CFArrayGetValueAtIndex(array, (CfIndex)i) : NULL;
}

bool cf_text(const AneLibrary *l, CfRef string, Buf *out)
{
    if (!is(l, string, l->CFStringGetTypeID()))
        return false;
    CfIndex size = l->CFStringGetMaximumSizeForEncoding(l->CFStringGetLength(string), UTF8) + 1;
    char   *text = xcalloc((size_t)size, 1);
    bool    ok = l->CFStringGetCString(string, text, size, UTF8);
    if (ok)
        buf_puts(out, text);
    free(text);
    return ok;
}

/* Append a text of the error's in front of its domain, unless it says nothing new. */
static void add_text(const AneLibrary *l, CfRef text, size_t from, Buf *out)
{
    Buf t = {0};
    if (cf_text(l, text, &t) && t.len && (!out->data || !strstr(out->data + from, t.data)))
        buf_printf(out, "%s%s", out->len > from ? "; " : "", t.data);
    buf_free(&t);
}

int64_t cf_error_text(const AneLibrary *l, ObjcId error, Buf *out)
{
    enum { DEPTH = 4 }; /* errors under errors: nobody reports more than one */
    if (!error) {
        buf_puts(out, "no reason was given");
        return 0;
    }
    int64_t first = 0;
    CfRef   info[DEPTH] = {0};
    int     depth = 0;
    for (CfRef e = error; e && depth < DEPTH; depth++) {
        if (depth)
            buf_puts(out, "; under it: ");
        if (!is(l, e, l->CFErrorGetTypeID())) {
            buf_puts(out, "an object that is no error");
            break;
        }
        size_t from = out->len;
        CfRef  description = l->CFErrorCopyDescription(e), reason = l->CFErrorCopyFailureReason(e);
        info[depth] = l->CFErrorCopyUserInfo(e);
        add_text(l, description, from, out);
        add_text(l, reason, from, out);
        add_text(l, cf_get(l, info[depth], "NSDebugDescription"), from, out);
        cf_release(l, description);
        cf_release(l, reason);
        if (out->len == from)
            buf_puts(out, "an error without a description");
        buf_puts(out, " (");
        if (!cf_text(l, l->CFErrorGetDomain(e), out))
            buf_puts(out, "unknown domain");
        CfIndex code = l->CFErrorGetCode(e);
        buf_printf(out, ", code %ld)", code);
        first = depth ? first : (int64_t)code;
        e = cf_get(l, info[depth], "NSUnderlyingError");
    }
    for (int i = 0; i < DEPTH; i++)
        cf_release(l, info[i]); /* they hold the errors that were read */
    return first;
}
