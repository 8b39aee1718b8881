/* cf.h: values of CoreFoundation from and to C; Foundation's are the same objects (docs/engine.md E404). What is created
 * here is owned by the caller: cf_release(). */
#ifndef ANEL_ANE_CF_H
#define ANEL_ANE_CF_H

#include "ane/library.h"

CfRef cf_data(const AneLibrary *l, const void *bytes, size_t len);
CfRef cf_string(const AneLibrary *l, const char *text); /* UTF-8 */
CfRef cf_number(const AneLibrary *l, int64_t value);
/* The containers retain what they hold. */
CfRef cf_array(const AneLibrary *l, const CfRef *value, size_t count);
CfRef cf_dictionary(const AneLibrary *l, const CfRef *key, const CfRef *value, size_t count);
void  cf_release(const AneLibrary *l, CfRef object); /* NULL is fine */

/* Reading what the framework hands out, of which nothing is certain: a missing key, another type or a value that does
 * not fit gives NULL, false or 0 elements. */
CfRef  cf_get(const AneLibrary *l, CfRef dictionary, const char *key);
bool   cf_int(const AneLibrary *l, CfRef number, int64_t *out);
size_t cf_count(const AneLibrary *l, CfRef array);
CfRef  cf_at(const AneLibrary *l, CfRef array, size_t i);
/* Appends the text; false if it is no string. */
bool cf_text(const AneLibrary *l, CfRef string, Buf *out);
/* An NSError for people: description, reason, domain and code, and the errors under it; NULL: "no reason was given". What
 * is no NSError is said to be none. Returns the code, 0 without one. */
int64_t cf_error_text(const AneLibrary *l, ObjcId error, Buf *out);

#endif
