/* hash.c: see hash.h. */
#include "base/hash.h"

#include <stdio.h>
#include <xxhash.h>

void hash_hex(const void *data, size_t len, char out[HASH_HEX])
{
    XXH128_hash_t h = XXH3_128bits(data, len);
    snprintf(out, HASH_HEX, "%016llx%016llx", (unsigned long long)h.high64, (unsigned long long)h.low64);
}

uint64_t hash_u64(const void *data, size_t len)
{
    return XXH3_64bits(data, len);
}
