/* places.h: what both sides of the probe look up: where templates and profiles are, and the framework's classes. */
#ifndef ANEL_PROBE_PLACES_H
#define ANEL_PROBE_PLACES_H

#include "base/buf.h"
#include "target/target.h"

#include <stdbool.h>

/* Directories with models/probe and targets: the standard places (target/where.h). */
TargetPath places_dirs(Arena *a);
/* The profile of that name, or in that file. NULL with a message for people. */
const Target *places_target(Arena *a, const char *name, Buf *err);
/* Classes and methods of the framework of device "ane". False with a message where there is none. */
bool places_classes(const char *device, Buf *out, Buf *err);

#endif
