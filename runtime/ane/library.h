/* library.h: the system's libraries as the driver uses them: Objective-C, CoreFoundation, IOSurface and the private
 * framework, found at run time.
 *
 * Nothing of this is linked. The same object code runs on any system; where the libraries are missing, opening says so.
 * Everything is called through AneLibrary: functions by their names, methods by ANE_CALL. Both tables, symbols.def and
 * methods.def, are checked as a whole by ane_library_open(), so that what is missing on a new version of the system is
 * told at once and completely, not when a call fails in the ninth hour. */
#ifndef ANEL_ANE_LIBRARY_H
#define ANEL_ANE_LIBRARY_H

#include "base/buf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef void              *ObjcId; /* any object */
typedef struct ObjcClass   ObjcClass;
typedef struct ObjcSel     ObjcSel;
typedef struct ObjcMethod  ObjcMethod;
typedef const void        *CfRef; /* CFTypeRef: any object of CoreFoundation, which is an Objective-C object too */
typedef long               CfIndex;
typedef struct __IOSurface IoSurface;

typedef enum { ANE_OBJC, ANE_COREFOUNDATION, ANE_FOUNDATION, ANE_IOSURFACE, ANE_FRAMEWORK, ANE_LIBRARIES } AneLibraryName;

typedef enum {
#define METHOD(name, class, kind, need, selector, encoding, result, arguments, purpose) ANE_METHOD_##name,
#include "ane/methods.def"
    ANE_METHODS
} AneMethodName;

#define METHOD(name, class, kind, need, selector, encoding, result, arguments, purpose) \
    typedef result AneFn_##name arguments;
#include "ane/methods.def"

typedef struct {
    void *handle[ANE_LIBRARIES];
#define FUNCTION(library, result, name, arguments) result(*name) arguments;
#define CONSTANT(library, name)                    const void *name;
#include "ane/symbols.def"
    ObjcSel   *selector[ANE_METHODS];
    ObjcClass *class[ANE_METHODS];
    bool       has[ANE_METHODS]; /* optional methods may be missing */
} AneLibrary;

/* ANE_CALL(l, compile)(model, ANE_SEL(l, compile), 21, options, &error): a message with the types of methods.def. */
#define ANE_CALL(l, method) ((AneFn_##method *)(l)->objc_msgSend)
#define ANE_SEL(l, method)  ((l)->selector[ANE_METHOD_##method])
/* The receiver of a class method. */
#define ANE_CLASS(l, method) ((ObjcId)(l)->class[ANE_METHOD_##method])
#define ANE_HAS(l, method)   ((l)->has[ANE_METHOD_##method])

/* Has this object, whatever its class turns out to be, the method with the types of methods.def? What the framework hands
 * out is asked before it gets a message: exceptions cannot be caught in C (docs/engine.md E407). NULL has no methods. */
#define ANE_ANSWERS(l, object, method) ane_library_answers((l), (object), ANE_METHOD_##method)
bool ane_library_answers(const AneLibrary *l, ObjcId object, AneMethodName method);

/* Find everything. False, with the complete list of what is missing or has other types, one a line. `override` names one
 * library that stands for all five (tests put a substitute there); NULL: the system's. */
bool ane_library_open(AneLibrary *l, const char *override, Buf *err);
void ane_library_close(AneLibrary *l);
/* A table for people: every class and method, whether it is there, and what for. */
void ane_library_report(const AneLibrary *l, Buf *out);

#endif
