/* memory.h: what was learned about this system's engine and holds for later runs: a small file of the user's.
 *
 * "devices.json" in $ANEL_STATE_DIR, else in ~/Library/Application Support/anel on macOS and in $XDG_STATE_HOME/anel or
 * ~/.local/state/anel elsewhere: an object per system (system_key(): build of the system and chip, as either may change what
 * holds), in it a text per thing learned. It is written atomically; that it is missing, damaged or cannot be written is
 * never an error: things are then learned again. What a substitute for the engine does is remembered only where
 * $ANEL_STATE_DIR says where. */
#ifndef ANEL_RUNTIME_MEMORY_H
#define ANEL_RUNTIME_MEMORY_H

#include "base/buf.h"

#include <stdbool.h>

/* What is known of `device` ("ane"), in `a`; NULL: nothing. A damaged file is a sentence in `note`. */
const char *memory_get(Arena *a, const char *device, const char *what, Buf *note);
/* Remember it. False with a sentence in `note` if that cannot be; true without doing anything where nothing is to be
 * remembered. */
bool memory_put(const char *device, const char *what, const char *value, Buf *note);

#endif
