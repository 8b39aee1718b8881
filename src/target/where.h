/* where.h: where target profiles (and the standard library) are, for both programs. */
#ifndef ANEL_TARGET_WHERE_H
#define ANEL_TARGET_WHERE_H

#include "target/target.h"

/* The standard places, in order: the directories of the environment variable ANEL_PATH (separated by ':'), beside an
 * installed anec, the source tree it was built from. Calls add(with, dir) for each; the names live in `a`. */
void standard_places(Arena *a, void (*add)(void *with, const char *dir), void *with);

/* The same as a path for target_load() and whatever else lies beside the profiles. */
TargetPath target_places(Arena *a);

/* The profile that `name` says, a name or a file as target_load() takes it, looked for in the standard places. False
 * after messages in `err`. It lives in `a`. */
bool target_find(Arena *a, const char *program, const char *name, const Target **out, Buf *err);

/* The profile a plan was made for: the one called `name`, if it is found and its values have this hash, else
 * target_any(). Lives in `a`. */
const Target *target_of_plan(Arena *a, const char *name, const char *hash);

#endif
