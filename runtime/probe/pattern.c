/* pattern.c: see pattern.h. */
#include "probe/pattern.h"

#include "base/arena.h"
#include "base/f16.h"
#include "base/rng.h"

#include <math.h>
#include <string.h>

Pattern pattern_find(const char *word)
{
    static const char *const name[] = {
#define NAME(n) #n,
        PATTERNS(NAME)
    };
    uint32_t i = 0;
    while (i < COUNT(name) && strcmp(name[i], word) != 0)
        i++;
    return (Pattern)i;
}

uint64_t pattern_key(const char *name, uint32_t version)
{
    return rng_key(version, name);
}

static double eye(int64_t i, uint32_t rank, const int64_t *dim)
{
    int64_t columns = 1;
    uint32_t row = 0;
    while (row + 1 < rank && dim[row] == 1)
        row++;
    for (uint32_t k = row + 1; k < rank; k++)
        columns *= dim[k];
    return i / columns == i % columns;
}

static double climb(int64_t i)
{
    return i >= 0 && i <= 0x7bff - 0x3c00 ? f16_to_f32((uint16_t)(0x3c00 + i)) : 1;
}

double pattern_value(Pattern p, uint64_t key, int64_t i, uint32_t rank, const int64_t *dim)
{
    uint64_t draw = rng_u64(key, (uint64_t)i) >> 8;
    switch (p) {
    case PATTERN_small: return (double)(draw % 9) - 4;
    case PATTERN_sign: return draw % 2 ? 1 : -1;
    case PATTERN_unit: return ((double)(draw % 129) - 64) / 64;
    case PATTERN_positive: return (double)(draw % 64 + 1) / 16;
    case PATTERN_ones: return 1;
    case PATTERN_zero: return 0;
    case PATTERN_eye: return eye(i, rank, dim);
    case PATTERN_terms: return eye(i, rank, dim) != 0 ? 2048 : 1;
    case PATTERN_own: return eye(i, rank, dim) != 0 ? 0 : -30000;
    case PATTERN_count: return (double)(i % 2048);
    case PATTERN_rows: return rank ? (double)(i % dim[rank - 1] % 2048) : 0;
    case PATTERN_wide: return f16_round((float)((double)(draw % 4401) - 2200) / 2);
    case PATTERN_climb: return climb(i);
    case PATTERN_fall: return climb(20479 - i);
    case PATTERN_holes: return i % 7 == 3 ? NAN : (double)(draw % 9) - 4;
    case PATTERN_ends: return i % 7 == 3 ? INFINITY : (double)(draw % 9) - 4;
    default: return 0;
    }
}
