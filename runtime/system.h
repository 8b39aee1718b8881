/* system.h: which system this is, as far as what an engine does may depend on it: reports name it, and what was learned
 * on one is not believed on another. Nothing in it tells machines or people apart: no host name, serial number or path. */
#ifndef ANEL_RUNTIME_SYSTEM_H
#define ANEL_RUNTIME_SYSTEM_H

#include "base/buf.h"

#include <stdbool.h>

enum { SYSTEM_TEXT = 80 }; /* bytes of a field, its NUL included */

/* Printable ASCII; "" where the system does not tell. */
typedef struct {
    char     os[SYSTEM_TEXT];      /* "macOS", "Debian GNU/Linux" */
    char     version[SYSTEM_TEXT]; /* "15.1", "12" */
    char     build[SYSTEM_TEXT];   /* of the system's libraries: "24B83"; on Linux the kernel's release */
    char     machine[SYSTEM_TEXT]; /* "arm64", "x86_64" */
    char     model[SYSTEM_TEXT];   /* "Mac16,1" */
    char     chip[SYSTEM_TEXT];    /* "Apple M4" */
    uint32_t cores;                /* that are online */
    uint64_t memory;               /* bytes */
} System;

/* Asked of the system on every call (milliseconds at most); never fails. */
void system_describe(System *s);

/* "macOS 15.1 (24B83), Apple M4, Mac16,1, arm64": what is known, for people. */
void system_print(const System *s, Buf *out);
/* "macOS-24B83-Apple_M4": what an engine's behaviour may depend on, as one word for keys of files. */
void system_key(const System *s, Buf *out);

/* The value of the first line KEY=VALUE ("os-release") or KEY : VALUE ("cpuinfo") of a text, without quotes and blanks at its
 * ends. False, and "" in `out`, if there is none. */
bool system_field(const char *text, const char *key, char separator, char out[static SYSTEM_TEXT]);

#endif
