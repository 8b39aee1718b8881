/* places.h: what both sides of the probe look up: profiles, and the framework's classes. */
#ifndef ANEL_PROBE_PLACES_H
#define ANEL_PROBE_PLACES_H

#include "base/buf.h"
#include "target/target.h"

#include <stdbool.h>

/* The profile of that name, or in that file. NULL with a message for people. */
const Target *places_target(Arena *a, const char *name, Buf *err);
/* Classes and methods of the framework of device "ane". False with a message where there is none. */
bool places_classes(const char *device, Buf *out, Buf *err);

#endif
