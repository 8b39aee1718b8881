/* receipt_hash.c: the one part of receipts that training itself needs; see receipt.h. */
#include "receipt.h"

#include "base/hash.h"

#include <math.h>
#include <string.h>

uint64_t receipt_hash_loss(uint64_t hash, double loss)
{
    unsigned char bytes[16];
    uint64_t      bits = 0x7ff8000000000000u;
    if (!isnan(loss))
        memcpy(&bits, &loss, sizeof bits);
    for (int i = 0; i < 8; i++) {
        bytes[i] = (unsigned char)(hash >> 8 * i);
        bytes[8 + i] = (unsigned char)(bits >> 8 * i);
    }
    return hash_u64(bytes, sizeof bytes);
}
