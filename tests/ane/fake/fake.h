/* fake.h: a substitute for Objective-C, CoreFoundation, IOSurface and the private framework, as one shared library.
 *
 * It does what published projects say the real ones do, on top of the host device, and it is hostile: whatever a caller
 * may not do ends the process with a message. It shares no code with the driver it tests but the host device itself; its
 * tables of classes and methods are its own.
 *
 * What ends the process with SIGABRT, "fake framework: ..." on standard error: messages to nil, to dead objects, of methods
 * that a class does not have; arguments of other classes than wanted; objects released once too often, autoreleased outside
 * of a pool, pools popped out of order or never; surfaces that are not one row of whole 64 KiB, touched outside of a lock,
 * written under a lock for reading, locked for writing while they are evaluated, freed while locked; a model compiled,
 * loaded or unloaded twice, by two threads, or out of order; evaluated unloaded or twice at once; without its files in its
 * directory; with other options in one call than in another. Objects that are alive at the end give exit status 97.
 * tests/ane/misuse.c does each of these things and expects to be caught.
 *
 * Behaviour is chosen by the environment: ANEL_FAKE="word,word=value,..." (switches.def), ANEL_FAKE_CACHE=DIR is where
 * compiled models are kept between processes, ANEL_FAKE_RECORD=FILE gets a line for every compilation, load, unload and
 * evaluation. */
#ifndef ANEL_FAKE_H
#define ANEL_FAKE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define EXPORT __attribute__((visibility("default")))

typedef struct Class Class;
typedef struct Object Object;

typedef enum {
    KIND_DATA,
    KIND_STRING,
    KIND_NUMBER,
    KIND_ARRAY,
    KIND_DICTIONARY,
    KIND_ERROR,
    KIND_SURFACE,
    KIND_DESCRIPTOR,
    KIND_MODEL,
    KIND_SURFACE_OBJECT,
    KIND_REQUEST,
    KIND_CLIENT,
    KIND_STATS,
    KIND_INNER,
    KIND_INDEX_SET,
    KINDS
} Kind;

/* Every object begins with this. Dead ones are kept, so that using one is noticed. */
struct Object {
    const Class *isa;
    Kind         kind;
    int          refs;
    Object      *prev, *next; /* of all living ones */
};

/* The message goes to standard error, the process ends with SIGABRT. */
_Noreturn void misuse(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* objects.c. New objects have one reference. */
void *object_new(Kind kind, size_t size);
void  object_retain(void *o);
void  object_release(void *o);
void *object_autorelease(void *o);
/* `o` if it is a living object of the kind; anything else is misuse. */
void *object_check(const void *o, Kind kind, const char *what);
/* Called when the last reference goes; by kind. */
typedef void Finalizer(void *o);
void object_finalizer(Kind kind, Finalizer *f);
/* Ends the process if objects are alive, or pools of the calling thread; they are named. */
void object_report_leaks(void);
EXPORT extern atomic_bool fake_hung; /* an evaluation never returns */

/* classes.c */
typedef struct {
    const char *selector, *encoding; /* as method_getTypeEncoding() gives it */
    char        kind;                /* '+' or '-' */
    void (*imp)(void);
} Method;
struct Class {
    const char   *name;
    const Method *method;
    size_t        methods;
};
extern const Class class_of_kind[KINDS];

/* values.c: what the fake itself needs of CoreFoundation. */
typedef struct {
    Object         base;
    size_t         len;
    unsigned char *bytes; /* strings: UTF-8 with a NUL behind it */
} DataObject;
typedef struct {
    Object  base;
    int64_t value;
} NumberObject;
typedef struct {
    Object  base;
    size_t  count;
    void  **value, **key; /* key: dictionaries */
} ContainerObject;
typedef struct {
    Object           base;
    DataObject      *domain, *text;
    ContainerObject *info;
    long             code;
} ErrorObject;

DataObject      *string_new(const char *text);
NumberObject    *number_new(int64_t value);
ContainerObject *array_new(void **value, size_t count);               /* retains */
ContainerObject *dictionary_new(void **key, void **value, size_t count); /* retains */
ErrorObject     *error_new(long code, const char *fmt, ...) __attribute__((format(printf, 2, 3))); /* autoreleased */
/* `outer`, with `inner` as what is under it. */
ErrorObject     *error_under(ErrorObject *outer, ErrorObject *inner);
/* The value of a string key, or NULL. */
void *dictionary_get(const ContainerObject *d, const char *key);

/* surfaces.c. The memory is mapped twice: `data` for the fake, `view` for the caller, who can touch it as far as its locks
 * allow. */
typedef struct {
    Object         base;
    size_t         bytes;
    unsigned char *data, *view;
    int            write_locks, read_locks, reading, writing; /* evaluations that read and write it now */
} SurfaceObject;
/* An evaluation begins and ends to use it. */
void surface_use(SurfaceObject *s, bool output);
void surface_leave(SurfaceObject *s, bool output);

/* switches.c */
bool    fake_has(const char *word);             /* "stale-reload" */
int64_t fake_number(const char *word, int64_t otherwise); /* "compile-limit=119" */
/* Words that are none of switches.def, for the host device; the caller frees them. Ends the process where a number is
 * missing or too much. */
char *fake_foreign_words(void);
/* A line for ANEL_FAKE_RECORD. */
void fake_record(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#endif
