/* blob.h: weight files in MIL's blob storage format, version 2: writing and reading.
 *
 * A file is a 64-byte header followed by entries; an entry is 64 bytes of metadata directly followed by its payload,
 * and both start on multiples of 64. All numbers are little endian. MIL names an entry by the offset of its *metadata*:
 * 64 for the first one.
 *
 *     Buf file = {0};
 *     blob_begin(&file);
 *     uint64_t offset = blob_add(&file, BLOB_F16, weights, count * 2);
 *
 * Files that are read are not trusted: blob_find() checks everything it uses. */
#ifndef ANEL_PLAN_BLOB_H
#define ANEL_PLAN_BLOB_H

#include "base/buf.h"

#include <stdbool.h>

typedef enum { /* codes of the format */
    BLOB_F16 = 1,
    BLOB_F32,
    BLOB_U8,
    BLOB_I8,
    BLOB_BF16,
    BLOB_I16,
    BLOB_U16,
    BLOB_I4,
    BLOB_U1,
    BLOB_U2,
    BLOB_U4,
    BLOB_U3,
    BLOB_U6,
    BLOB_I32,
    BLOB_U32,
    BLOB_F8E4M3FN,
    BLOB_F8E5M2,
    BLOB_TYPE_END
} BlobType;

typedef struct {
    BlobType    type;
    const void *data;         /* points into the file */
    uint64_t    bytes;        /* without padding */
    uint64_t    padding_bits; /* unused bits at the end of the last byte, types under a byte only */
} BlobView;

enum { BLOB_ALIGN = 64, BLOB_FIRST = 64 };

/* Start a file in an empty buffer: the header with a count of zero. */
void blob_begin(Buf *file);
/* Append an entry and count it in the header; returns the offset of its metadata, which is what MIL names. */
uint64_t blob_add(Buf *file, BlobType type, const void *data, size_t bytes);
/* The same without the data: `bytes` of them are to follow the file as it stands. */
uint64_t blob_reserve(Buf *file, BlobType type, size_t bytes);

/* The entry whose metadata is at `metadata_offset`. False and one sentence in `err` if there is none or it is damaged.
 */
bool blob_find(const void *file, size_t len, uint64_t metadata_offset, BlobView *out, Buf *err);

/* "fp16"; "unknown" for codes outside the format. */
const char *blob_type_name(BlobType type);

#endif
