/* safetensors.h: tensors with names in one file, in the format of the `safetensors` library, so that any of its readers
 * opens our files:
 *
 *     8 bytes   length N of the header, little endian
 *     N bytes   JSON: {"name": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}, ...,
 *                      "__metadata__": {"key": "text", ...}}, padded with spaces
 *     the rest  the data, which the offsets count from, without gaps and overlaps
 *
 * Files written here also carry checksums in their metadata: "hash:NAME" of each tensor's data, and "hash" of the
 * header without that key, so that safetensors_verify() finds every altered bit. A file being read is untrusted input:
 * safetensors_open() checks all of the above against the file's size before it returns. */
#ifndef ANEL_TRAIN_SAFETENSORS_H
#define ANEL_TRAIN_SAFETENSORS_H

#include "base/buf.h"

#include <stdbool.h>

enum { ST_MAX_RANK = 8 };

typedef struct {
    const char *name;
    const char *dtype; /* "F32" */
    uint32_t    rank;
    int64_t     dim[ST_MAX_RANK];
    const void *data; /* of a file that was opened: any alignment, so copy before use */
    uint64_t    bytes;
} StTensor;

typedef struct {
    const char *key, *value;
} StMeta;

/* Write tensors and metadata, with checksums, and flush the file to the disk. Names must differ. `hash` receives the
 * header's checksum (HASH_HEX bytes) when it is not NULL. False with a sentence in `err`; the file may then be
 * incomplete. */
bool safetensors_write(const char *path, const StTensor *tensor, uint32_t tensors, const StMeta *meta, uint32_t metas,
                       char *hash, Buf *err);

typedef struct Safetensors Safetensors;

/* Map a file and check its structure. NULL with a sentence in `err` that names the file. */
Safetensors *safetensors_open(const char *path, Buf *err);
void safetensors_close(Safetensors *s); /* NULL is fine; tensors and texts obtained from it are gone afterwards */

const char     *safetensors_path(const Safetensors *s); /* as it was opened */
uint32_t        safetensors_count(const Safetensors *s);
const StTensor *safetensors_tensor(const Safetensors *s, uint32_t i); /* in order of their data */
const StTensor *safetensors_find(const Safetensors *s, const char *name); /* NULL: none of that name */
const char     *safetensors_meta(const Safetensors *s, const char *key);  /* NULL: none */

/* Compare all checksums. False with a sentence naming what is damaged, or saying that the file has no checksums. */
bool safetensors_verify(const Safetensors *s, Buf *err);

#endif
