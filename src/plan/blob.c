/* blob.c: MIL blob storage v2; see blob.h.
 *
 * Offsets in a header and in metadata:
 *     header    +0 u32 number of entries    +4 u32 version 2            56 bytes zero
 *     metadata  +0 u32 0xDEADBEEF           +4 u32 type code            +8 u64 payload bytes
 *               +16 u64 payload offset      +24 u64 padding bits        32 bytes zero
 * The reserved bytes are written as zero and never read: old writers left garbage there. The count is not read either;
 * widespread writers always store 1. */
#include "plan/blob.h"

#include <assert.h>
#include <inttypes.h>
#include <string.h>

static const uint32_t sentinel = 0xdeadbeefu;
enum { VERSION = 2, HEADER = 64, METADATA = 64 };

static void put_u32(char *p, uint32_t x)
{
    for (int i = 0; i < 4; i++)
        p[i] = (char)(x >> (8 * i));
}

static void put_u64(char *p, uint64_t x)
{
    put_u32(p, (uint32_t)x);
    put_u32(p + 4, (uint32_t)(x >> 32));
}

static uint32_t get_u32(const unsigned char *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static uint64_t get_u64(const unsigned char *p)
{
    return get_u32(p) | (uint64_t)get_u32(p + 4) << 32;
}

void blob_begin(Buf *file)
{
    assert(file->len == 0);
    char header[HEADER] = {0};
    put_u32(header + 4, VERSION);
    buf_add(file, header, sizeof header);
}

uint64_t blob_reserve(Buf *file, BlobType type, size_t bytes)
{
    static const char zero[BLOB_ALIGN];
    assert(file->len >= HEADER);
    buf_add(file, zero, (BLOB_ALIGN - file->len % BLOB_ALIGN) % BLOB_ALIGN);
    uint64_t offset = file->len;
    char     meta[METADATA] = {0};
    put_u32(meta, sentinel);
    put_u32(meta + 4, (uint32_t)type);
    put_u64(meta + 8, bytes);
    put_u64(meta + 16, offset + METADATA);
    buf_add(file, meta, sizeof meta);
    put_u32(file->data, get_u32((const unsigned char *)file->data) + 1);
    return offset;
}

uint64_t blob_add(Buf *file, BlobType type, const void *data, size_t bytes)
{
    uint64_t offset = blob_reserve(file, type, bytes);
    buf_add(file, data, bytes);
    return offset;
}

static bool fail(Buf *err, const char *fmt, ...) ANEL_PRINTF(2, 3);
static bool fail(Buf *err, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    buf_vprintf(err, fmt, ap);
    va_end(ap);
    return false;
}

bool blob_find(const void *file, size_t len, uint64_t offset, BlobView *out, Buf *err)
{
    const unsigned char *p = file;
    if (len < HEADER)
        return fail(err, "the blob file has %zu bytes, its header alone needs %d", len, HEADER);
    if (get_u32(p + 4) != VERSION)
        return fail(err, "the blob file has format version %" PRIu32 ", expected %d", get_u32(p + 4), VERSION);
    if (offset % BLOB_ALIGN != 0 || offset < HEADER)
        return fail(err, "offset %" PRIu64 " is no multiple of %d from %d on", offset, BLOB_ALIGN, BLOB_FIRST);
    if (offset > len || len - offset < METADATA)
        return fail(err, "offset %" PRIu64 " lies outside the blob file of %zu bytes", offset, len);
    const unsigned char *m = p + offset;
    if (get_u32(m) != sentinel)
        return fail(err, "no metadata at offset %" PRIu64 ": found 0x%08" PRIX32 ", expected 0x%08" PRIX32
                         " (name the metadata, not the payload 64 bytes later)", offset, get_u32(m), sentinel);
    uint32_t type = get_u32(m + 4);
    uint64_t bytes = get_u64(m + 8), data = get_u64(m + 16), padding = get_u64(m + 24);
    if (type == 0 || type >= BLOB_TYPE_END)
        return fail(err, "the metadata at offset %" PRIu64 " has the unknown type code %" PRIu32, offset, type);
    if (data != offset + METADATA)
        return fail(err, "the metadata at offset %" PRIu64 " places its payload at %" PRIu64 ", expected %" PRIu64,
                    offset, data, offset + METADATA);
    if (bytes > len - data)
        return fail(err, "the payload at offset %" PRIu64 " needs %" PRIu64 " bytes, the file has %" PRIu64 " left",
                    data, bytes, (uint64_t)len - data);
    if (padding > 7)
        return fail(err, "the metadata at offset %" PRIu64 " has %" PRIu64 " padding bits, expected 0 to 7", offset,
                    padding);
    *out = (BlobView){(BlobType)type, p + data, bytes, padding};
    return true;
}

const char *blob_type_name(BlobType type)
{
    static const char *const name[] = {"unknown", "fp16",   "fp32",  "uint8",  "int8",      "bf16",
                                       "int16",   "uint16", "int4",  "uint1",  "uint2",     "uint4",
                                       "uint3",   "uint6",  "int32", "uint32", "fp8e4m3fn", "fp8e5m2"};
    return (unsigned)type < COUNT(name) ? name[type] : name[0];
}
