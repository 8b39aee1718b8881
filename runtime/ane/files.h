/* files.h: the directory of a model: the text, the weight files under their relative paths, and what compiling leaves.
 *
 * The framework names the directory after a hash of what is in it (docs/engine.md E414, E415), so two models of the same
 * text and weights share one, in one process or in several. Whoever uses it holds a shared lock on it; the last one
 * removes it. What a killed process left there is cleared before it is used again. */
#ifndef ANEL_ANE_FILES_H
#define ANEL_ANE_FILES_H

#include "device.h"

typedef struct {
    char *path; /* NULL: none */
    int   lock; /* the opened directory */
} AneDirectory;

/* "@model_path/weights/w.bin" -> "weights/w.bin"; NULL, with a sentence, for a path that leads anywhere else. */
const char *ane_file_relative(const char *path, Buf *err);
/* Take the directory `path` (copied) into use: create it, readable by its owner alone, or take one that exists. One that
 * belongs to somebody else, that others may write to, or that is a link is refused. */
bool ane_directory_open(AneDirectory *d, const char *path, Buf *err);
/* Remove it unless somebody else uses it. A zeroed one is fine. */
void ane_directory_close(AneDirectory *d);
/* Write the text and the files into it. */
bool ane_files_write(const AneDirectory *d, const char *mil, size_t len, const DeviceFile *file, size_t files, Buf *err);
/* Write one file, `name` relative to the directory; whoever reads it meanwhile sees the old or the new one. */
bool ane_file_write(const AneDirectory *d, const char *name, const void *data, size_t len, Buf *err);
/* Read one. */
bool ane_file_read(Arena *a, const AneDirectory *d, const char *name, char **data, size_t *len, Buf *err);
/* Is there one? */
bool ane_file_exists(const AneDirectory *d, const char *name);

#endif
