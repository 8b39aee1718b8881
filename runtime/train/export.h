/* export.h: parameters as files for other programs; the way back of weights.h. */
#ifndef ANEL_TRAIN_EXPORT_H
#define ANEL_TRAIN_EXPORT_H

#include "runtime/train/session.h"

typedef enum { EXPORT_SAFETENSORS, EXPORT_LLAMA2C } ExportFormat;
typedef enum { EXPORT_F32, EXPORT_F16, EXPORT_BF16 } ExportType;

/* The format of a name: "safetensors", "llama2c"; with `format` NULL that of the file's suffix, .safetensors or .bin.
 * False with a sentence. */
bool export_format(const char *path, const char *format, ExportFormat *out, Buf *err);
/* "f32" (also for NULL), "f16", "bf16". */
bool export_type(const char *name, ExportType *out, Buf *err);

/* Write the session's parameters under the names their `import` attributes give, or else their paths, so that
 * weights_load() makes the same parameters of the file, to the last bit with EXPORT_F32. What the attribute does to a
 * tensor is undone: parameters that are rows of one tensor are put together again, and transposed. Numbers are rounded
 * to nearest even for the other types; one that f16 cannot hold is an error.
 *
 * A llama2.c file is always f32 and holds exactly the arrays of llama2c.h; how many heads there are and how long a
 * context is come from the model's configs `heads` and `seq`.
 *
 * The file appears under its name when it is complete and on the disk; one that is there is replaced. False with a
 * sentence, with whatever was there before untouched. */
bool weights_export(const Session *s, const char *path, ExportFormat format, ExportType type, Buf *err);

#endif
