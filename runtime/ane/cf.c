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

void cf_error_text(const AneLibrary *l, ObjcId error, Buf *out)
{
    if (!error) {
        buf_puts(out, "no reason was given");
        return;
    }
    CfRef description = l->CFErrorCopyDescription(error);
    if (!cf_text(l, description, out))
        buf_puts(out, "an error without a description");
    cf_release(l, description);
    buf_puts(out, " (");
    if (!cf_text(l, l->CFErrorGetDomain(error), out))
        buf_puts(out, "unknown domain");
    buf_printf(out, ", code %ld)", l->CFErrorGetCode(error));
}
