/* refusal_search.h: which part of a program does a device not compile?
 *
 * Refusals are monotone more often than not: what refuses a program also refuses it with more statements behind it. So the
 * shortest prefix is found by bisection; then what its last step does not depend on is dropped, then what that step depends
 * on is cut off and handed in as inputs, as far as the rest is still refused. Nothing is believed that was not tried: what
 * comes out was refused, and the prefix one step shorter was taken. What compilations are left look among the shorter
 * prefixes, in case refusals are not monotone. */
#ifndef ANEL_RUNTIME_REFUSAL_SEARCH_H
#define ANEL_RUNTIME_REFUSAL_SEARCH_H

#include "device.h"
#include "refusal_cut.h"

enum { REFUSAL_COMPILES = 24 }; /* 2^10 steps need about 10 for the prefix and 10 for the cut */

typedef struct {
    bool     refused;  /* the whole program was, a second time; else the refusal was a passing one */
    uint32_t prefix;   /* steps of the shortest refused prefix that was found */
    uint32_t accepted; /* steps of the longest prefix below it that was taken; 0: the empty one */
    uint32_t later;    /* not monotone: the prefix that bisection had found, before a shorter one was; else 0 */
    bool     sure;     /* accepted + 1 == prefix, and every shorter prefix was tried and taken */
    bool    *keep;     /* [steps] the smallest refused program: a part of the prefix, or the prefix */
    uint32_t compiles; /* tried */
    const char *said;  /* what the device said about it; NULL: nothing was tried */
} RefusalFound;

/* Look for it on `d`, with at most `budget` compilations and no more than the device has left. `name` and the files are
 * those of the whole program. What is found lives in `a`. */
RefusalFound refusal_search(Arena *a, Device *d, const Cut *c, const char *name, const DeviceFile *file, size_t files,
                            uint32_t budget);

/* Files of `file` that a part names, in the part's order; what is not there is left out. */
size_t refusal_files(Arena *a, const CutText *t, const DeviceFile *file, size_t files, const DeviceFile **out);

#endif
