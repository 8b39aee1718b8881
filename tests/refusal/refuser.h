/* refuser.h: a device that computes nothing and refuses the texts it is told to, as an engine's compiler would. What it
 * does not refuse has to be a program that the host device takes. */
#ifndef ANEL_TESTS_REFUSER_H
#define ANEL_TESTS_REFUSER_H

#include "device.h"

typedef bool Refuses(const char *text);

typedef struct {
    uint32_t compiles, invalid; /* asked for; those that are no programs */
    Buf      why;               /* of the last invalid one */
} RefuserCounts;

Device *refuser_new(Refuses *refuses, RefuserCounts *counts, uint64_t max_compiles);

/* How often `part` is in `text`. */
uint32_t times(const char *text, const char *part);

#endif
