/* intern.h: strings as small numbers. Equal strings get equal ids; ids count up from 1 in order of first use, so they
 * are the same on every run. Id 0 is "no string". */
#ifndef ANEL_BASE_INTERN_H
#define ANEL_BASE_INTERN_H

#include "base/arena.h"

typedef uint32_t StrId;
typedef struct Interner Interner;

Interner   *interner_new(Arena *a); /* lives in `a` */
StrId       intern(Interner *in, const char *s);
StrId       intern_n(Interner *in, const char *s, size_t n);
const char *interned(const Interner *in, StrId id); /* "" for id 0; NUL-terminated, lives as long as the arena */

#endif
