/* values.c: the part of CoreFoundation that is used: data, strings, numbers, arrays, dictionaries, errors. All are
 * immutable; containers retain what they hold, as with the standard callbacks, which are the only ones accepted. */
#include "fake.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { UTF8 = 0x08000100, SINT64 = 4 };

EXPORT const int kCFTypeArrayCallBacks = 1, kCFTypeDictionaryKeyCallBacks = 2, kCFTypeDictionaryValueCallBacks = 3;

EXPORT void          CFRelease(const void *o);
EXPORT unsigned long CFGetTypeID(const void *o);
EXPORT const void   *CFDataCreate(const void *allocator, const uint8_t *bytes, long length);
EXPORT const void   *CFStringCreateWithBytes(const void *allocator, const uint8_t *bytes, long length, uint32_t encoding,
                                             unsigned char external);
EXPORT unsigned char CFStringGetCString(const void *string, char *buffer, long size, uint32_t encoding);
EXPORT long          CFStringGetLength(const void *string);
EXPORT long          CFStringGetMaximumSizeForEncoding(long length, uint32_t encoding);
EXPORT unsigned long CFStringGetTypeID(void);
EXPORT const void   *CFNumberCreate(const void *allocator, long type, const void *value);
EXPORT unsigned char CFNumberGetValue(const void *number, long type, void *value);
EXPORT unsigned long CFNumberGetTypeID(void);
EXPORT const void   *CFArrayCreate(const void *allocator, const void **values, long count, const void *callbacks);
EXPORT long          CFArrayGetCount(const void *array);
EXPORT const void   *CFArrayGetValueAtIndex(const void *array, long index);
EXPORT unsigned long CFArrayGetTypeID(void);
EXPORT const void   *CFDictionaryCreate(const void *allocator, const void **keys, const void **values, long count,
                                        const void *key_callbacks, const void *value_callbacks);
EXPORT const void   *CFDictionaryGetValue(const void *dictionary, const void *key);
EXPORT unsigned long CFDictionaryGetTypeID(void);
EXPORT const void   *CFErrorGetDomain(const void *error);
EXPORT long          CFErrorGetCode(const void *error);
EXPORT const void   *CFErrorCopyDescription(const void *error);
EXPORT const void   *CFErrorCopyFailureReason(const void *error);
EXPORT const void   *CFErrorCopyUserInfo(const void *error);
EXPORT unsigned long CFErrorGetTypeID(void);
EXPORT const void   *NSTemporaryDirectory(void);

/* ---- making ---- */

static DataObject *data_new(Kind kind, const void *bytes, size_t len)
{
    DataObject *d = object_new(kind, sizeof *d);
    d->len = len;
    d->bytes = malloc(len + 1);
    if (len)
        memcpy(d->bytes, bytes, len);
    d->bytes[len] = 0;
    return d;
}

static void data_end(void *o)
{
    free(((DataObject *)o)->bytes);
}

static void container_end(void *o)
{
    ContainerObject *c = o;
    for (size_t i = 0; i < c->count; i++) {
        object_release(c->value[i]);
        if (c->key)
            object_release(c->key[i]);
    }
    free(c->value);
    free(c->key);
}

static void error_end(void *o)
{
    object_release(((ErrorObject *)o)->domain);
    object_release(((ErrorObject *)o)->text);
    object_release(((ErrorObject *)o)->info);
}

__attribute__((constructor)) static void finalizers(void)
{
    object_finalizer(KIND_DATA, data_end);
    object_finalizer(KIND_STRING, data_end);
    object_finalizer(KIND_ARRAY, container_end);
    object_finalizer(KIND_DICTIONARY, container_end);
    object_finalizer(KIND_ERROR, error_end);
}

DataObject *string_new(const char *text)
{
    return data_new(KIND_STRING, text, strlen(text));
}

NumberObject *number_new(int64_t value)
{
    NumberObject *n = object_new(KIND_NUMBER, sizeof *n);
    n->value = value;
    return n;
}

static void **hold(void **value, size_t count)
{
    void **copy = calloc(count + 1, sizeof *copy);
    for (size_t i = 0; i < count; i++) {
        if (!value[i])
            misuse("NULL in a container");
        const Object *o = value[i];
        object_retain(copy[i] = object_check(o, o->kind, "value of a container"));
    }
    return copy;
}

ContainerObject *array_new(void **value, size_t count)
{
    ContainerObject *c = object_new(KIND_ARRAY, sizeof *c);
    c->count = count;
    c->value = hold(value, count);
    return c;
}

ContainerObject *dictionary_new(void **key, void **value, size_t count)
{
    ContainerObject *c = object_new(KIND_DICTIONARY, sizeof *c);
    c->count = count;
    c->value = hold(value, count);
    c->key = hold(key, count);
    for (size_t i = 0; i < count; i++)
        object_check(key[i], KIND_STRING, "dictionary key");
    return c;
}

void *dictionary_get(const ContainerObject *d, const char *key)
{
    for (size_t i = 0; i < d->count; i++)
        if (strcmp((const char *)((const DataObject *)d->key[i])->bytes, key) == 0)
            return d->value[i];
    return NULL;
}

ErrorObject *error_new(long code, const char *fmt, ...)
{
    char    text[512];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    ErrorObject *e = object_new(KIND_ERROR, sizeof *e);
    e->code = code;
    e->domain = string_new("com.apple.appleneuralengine");
    e->text = string_new(text);
    e->info = dictionary_new(NULL, NULL, 0);
    return object_autorelease(e);
}

ErrorObject *error_under(ErrorObject *outer, ErrorObject *inner)
{
    DataObject *key = string_new("NSUnderlyingError");
    object_release(outer->info);
    outer->info = dictionary_new((void *[]){key}, (void *[]){inner}, 1);
    object_release(key);
    return outer;
}

/* ---- CoreFoundation ---- */

void CFRelease(const void *o)
{
    if (!o)
        misuse("CFRelease(NULL)");
    object_release((void *)(uintptr_t)o);
}

unsigned long CFGetTypeID(const void *o)
{
    if (!o || ((const Object *)o)->refs <= 0)
        misuse("CFGetTypeID of no living object");
    return (unsigned long)((const Object *)o)->kind;
}

const void *CFDataCreate(const void *allocator, const uint8_t *bytes, long length)
{
    (void)allocator;
    if (length < 0 || (length && !bytes))
        misuse("data of nothing");
    return data_new(KIND_DATA, bytes, (size_t)length);
}

const void *CFStringCreateWithBytes(const void *allocator, const uint8_t *bytes, long length, uint32_t encoding,
                                    unsigned char external)
{
    (void)allocator, (void)external;
    if (encoding != UTF8)
        misuse("strings are made from UTF-8 only");
    if (!bytes || length < 0)
        misuse("a string of nothing");
    if (memchr(bytes, 0xff, (size_t)length)) /* the one test of UTF-8 that the tests need */
        return NULL;
    return data_new(KIND_STRING, bytes, (size_t)length);
}

unsigned char CFStringGetCString(const void *string, char *buffer, long size, uint32_t encoding)
{
    const DataObject *s = object_check(string, KIND_STRING, "CFStringGetCString");
    if (encoding != UTF8 || (size_t)size < s->len + 1)
        return 0;
    memcpy(buffer, s->bytes, s->len + 1);
    return 1;
}

long CFStringGetLength(const void *string)
{
    return (long)((const DataObject *)object_check(string, KIND_STRING, "CFStringGetLength"))->len;
}

long CFStringGetMaximumSizeForEncoding(long length, uint32_t encoding)
{
    return encoding == UTF8 ? 3 * length : length;
}

unsigned long CFStringGetTypeID(void)
{
    return KIND_STRING;
}

const void *CFNumberCreate(const void *allocator, long type, const void *value)
{
    (void)allocator;
    if (type != SINT64)
        misuse("numbers are made from 64-bit integers only");
    return number_new(*(const int64_t *)value);
}

unsigned char CFNumberGetValue(const void *number, long type, void *value)
{
    const NumberObject *n = object_check(number, KIND_NUMBER, "CFNumberGetValue");
    if (type != SINT64)
        return 0;
    memcpy(value, &n->value, sizeof n->value);
    return 1;
}

unsigned long CFNumberGetTypeID(void)
{
    return KIND_NUMBER;
}

const void *CFArrayCreate(const void *allocator, const void **values, long count, const void *callbacks)
{
    (void)allocator;
    if (callbacks != &kCFTypeArrayCallBacks)
        misuse("an array that does not retain its values");
    return array_new((void **)(uintptr_t)values, (size_t)count);
}

long CFArrayGetCount(const void *array)
{
    return (long)((const ContainerObject *)object_check(array, KIND_ARRAY, "CFArrayGetCount"))->count;
}

const void *CFArrayGetValueAtIndex(const void *array, long index)
{
    const ContainerObject *c = object_check(array, KIND_ARRAY, "CFArrayGetValueAtIndex");
    if (index < 0 || (size_t)index >= c->count)
        misuse("index %ld of an array of %zu", index, c->count);
    return c->value[index];
}

unsigned long CFArrayGetTypeID(void)
{
    return KIND_ARRAY;
}

const void *CFDictionaryCreate(const void *allocator, const void **keys, const void **values, long count,
                               const void *key_callbacks, const void *value_callbacks)
{
    (void)allocator;
    if (key_callbacks != &kCFTypeDictionaryKeyCallBacks || value_callbacks != &kCFTypeDictionaryValueCallBacks)
        misuse("a dictionary that does not retain what it holds");
    return dictionary_new((void **)(uintptr_t)keys, (void **)(uintptr_t)values, (size_t)count);
}

const void *CFDictionaryGetValue(const void *dictionary, const void *key)
{
    const ContainerObject *d = object_check(dictionary, KIND_DICTIONARY, "CFDictionaryGetValue");
    return dictionary_get(d, (const char *)((DataObject *)object_check(key, KIND_STRING, "dictionary key"))->bytes);
}

unsigned long CFDictionaryGetTypeID(void)
{
    return KIND_DICTIONARY;
}

const void *CFErrorGetDomain(const void *error)
{
    return ((const ErrorObject *)object_check(error, KIND_ERROR, "CFErrorGetDomain"))->domain;
}

long CFErrorGetCode(const void *error)
{
    return ((const ErrorObject *)object_check(error, KIND_ERROR, "CFErrorGetCode"))->code;
}

const void *CFErrorCopyDescription(const void *error)
{
    DataObject *text = ((ErrorObject *)object_check(error, KIND_ERROR, "CFErrorCopyDescription"))->text;
    object_retain(text);
    return text;
}

const void *CFErrorCopyFailureReason(const void *error)
{
    object_check(error, KIND_ERROR, "CFErrorCopyFailureReason");
    return NULL;
}

const void *CFErrorCopyUserInfo(const void *error)
{
    ContainerObject *info = ((ErrorObject *)object_check(error, KIND_ERROR, "CFErrorCopyUserInfo"))->info;
    object_retain(info);
    return info;
}

unsigned long CFErrorGetTypeID(void)
{
    return KIND_ERROR;
}

const void *NSTemporaryDirectory(void)
{
    const char *tmp = getenv("TMPDIR");
    return object_autorelease(string_new(tmp && *tmp ? tmp : "/tmp"));
}
