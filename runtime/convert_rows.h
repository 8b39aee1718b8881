/* convert_rows.h: the loops of convert.c, compiled as plain C, for AVX2 and F16C, for AVX-512, and for NEON;
 * see cpu.h. */
#ifndef ANEL_RUNTIME_CONVERT_ROWS_H
#define ANEL_RUNTIME_CONVERT_ROWS_H

#include "convert.h"

#include <stdbool.h>

typedef struct {
    void (*to_f16)(const float *x, uint16_t *y, size_t n, ConvertCount *count);
    void (*from_f16)(const uint16_t *x, float *y, size_t n, ConvertCount *count);
    void (*transposed)(const float *x, uint16_t *y, size_t rows, size_t columns, ConvertCount *count);
    void (*scale)(const float *x, const float *g, float *y, size_t n);
    void (*scale_one)(const float *x, float g, float *y, size_t n);
    void (*scaled)(const float *x, const float *g, float one, uint16_t *y, size_t n, ConvertCount *count);
    void (*turn)(const uint16_t *x, size_t xs, uint16_t *y, size_t ys, size_t rows, size_t columns);
    bool (*turn_away)(const uint16_t *x, size_t xs, uint16_t *y, size_t ys, size_t rows, size_t columns); /* or false */
    void (*away)(const uint16_t *x, uint16_t *y, size_t n);
} ConvertRows;

extern const ConvertRows convert_rows_plain, convert_rows_avx2, convert_rows_avx512, convert_rows_neon; /* HOST_HAS_... */

#endif
