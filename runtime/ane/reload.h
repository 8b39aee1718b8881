/* reload.h: a donor's compiled parts with other weights in them.
 *
 * Loading reads `net.plist` and a packed file `data`, which compiling has left in the directory, not the weight files
 * (docs/engine.md E323 to E325): a new model beside a copy of both would keep the donor's weights. So the new weights are
 * put where the donor's are. How `data` is laid out nobody has published; but weights that change from step to step are
 * patterns that occur once. Where every changed one is found exactly once it is replaced; where not, both files are
 * copied as they are and the system may yet take the weight files. Neither is believed: the runtime's canary shows
 * whether the device computes with the new weights. */
#ifndef ANEL_ANE_RELOAD_H
#define ANEL_ANE_RELOAD_H

#include "ane/files.h"

typedef struct AneWeights AneWeights; /* what a model's `data` holds, and where */

/* What the weight files `file` hold, for ane_reload() later. */
AneWeights *ane_weights_new(const DeviceFile *file, size_t files);
/* The same of the files with these names that are in the directory. NULL and a message if they cannot be read. */
AneWeights *ane_weights_read(const AneDirectory *d, const DeviceFile *file, size_t files, Buf *err);
void        ane_weights_free(AneWeights *w); /* NULL is fine */

/* Can the compiled parts in `donor` be taken over? A model loaded from the system's cache may have none. */
bool ane_reload_can(const AneDirectory *donor);
/* Write them into `to` with the weights that `fresh` describes (made of the same `file`) for those of `old`. What was found
 * out about places goes from `old` to `fresh`. */
bool ane_reload(const AneDirectory *donor, const AneWeights *old, const AneDirectory *to, AneWeights *fresh,
                const DeviceFile *file, size_t files, Buf *err);

#endif
