/* hash.h: content hashes (XXH3, 128 bits, from the xxHash library). They name tables, tie checkpoints to plans and
 * catch damaged files; they are no defence against somebody who forges collisions. */
#ifndef ANEL_BASE_HASH_H
#define ANEL_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

enum { HASH_HEX = 33 }; /* 32 hex digits and a NUL */

/* Hash of `len` bytes as 32 lower-case hex digits; the same on every machine. */
void hash_hex(const void *data, size_t len, char out[HASH_HEX]);

/* 64-bit hash, for tables in memory. */
uint64_t hash_u64(const void *data, size_t len);

#endif
