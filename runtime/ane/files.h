/* files.h: the directory of a model: the text, the weight files under their relative paths, and what compiling leaves. */
#ifndef ANEL_ANE_FILES_H
#define ANEL_ANE_FILES_H

#include "device.h"

/* "@model_path/weights/w.bin" -> "weights/w.bin"; NULL, with a sentence, for a path that leads anywhere else. */
const char *ane_file_relative(const char *path, Buf *err);
/* Create `dir` and write the text and the files into it. */
bool ane_files_write(const char *dir, const char *mil, size_t len, const DeviceFile *file, size_t files, Buf *err);
/* Copy the compiled parts (net.plist, data) that compiling left in `from`. */
bool ane_files_copy_compiled(const char *from, const char *to, Buf *err);
/* Remove `dir` and everything in it; links are removed, not followed. */
void ane_files_remove(const char *dir);

#endif
