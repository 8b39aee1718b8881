/* self.h: the program file that is running, to start it again. */
#ifndef ANEL_RUNTIME_SELF_H
#define ANEL_RUNTIME_SELF_H

#include "base/buf.h"

#include <stdbool.h>

/* The file this process was started from: by its name, as tools that list processes show it, unless another file has
 * taken its place meanwhile; on Linux /proc/self/exe leads to the right one even then. */
bool self_path(char *out, size_t size, Buf *err);

#endif
