/* convert.h: arrays from one element type to another, as they travel between the CPU and the device.
 *
 * To fp16 values are rounded to nearest even; finite or not, what lies beyond +-65504 after rounding becomes +-65504
 * and is counted, because the engine may turn infinities into anything. Infinities and NaN that come back from fp16 (or
 * fp64) are counted too: either means that the numbers on the way were too large. */
#ifndef ANEL_RUNTIME_CONVERT_H
#define ANEL_RUNTIME_CONVERT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum { STORE_F32, STORE_F16, STORE_F64, STORE_I32, STORE_COUNT } Store;
extern const uint8_t store_bytes[STORE_COUNT];

typedef struct {
    uint64_t clamped;   /* beyond fp16 */
    uint64_t nonfinite; /* NaN on the way to fp16; infinities and NaN on the way from fp16 and fp64 */
    uint64_t edge;      /* exactly +-65504 on the way from fp16: a device that clamps writes that for what is larger */
} ConvertCount;

/* `n` elements of x to y, which do not overlap. Integers go to integers only. */
void convert(const void *x, Store from, void *y, Store to, size_t n, ConvertCount *count);
/* Count infinities, NaN and +-65504 in n halves that stay halves. */
void convert_examine(const uint16_t *x, size_t n, ConvertCount *count);
/* n times the number v. */
void convert_fill(double v, void *y, Store to, size_t n, ConvertCount *count);
/* A rows x columns matrix to its transpose in fp16. */
void convert_transposed_f16(const float *x, uint16_t *y, size_t rows, size_t columns, ConvertCount *count);
/* y = x * g element by element, and x times one number, in fp32; y may be x. */
void convert_scale(const float *x, const float *g, float *y, size_t n);
void convert_scale_one(const float *x, float g, float *y, size_t n);
/* x * g element by element, or x * one if g is NULL, rounded to fp32, then to fp16. */
void convert_scaled(const float *x, const float *g, float one, uint16_t *y, size_t n, ConvertCount *count);
/* A copy of what will not be read soon; other threads see it after convert_published() and a lock. */
void convert_away(const uint16_t *x, uint16_t *y, size_t n);
void convert_published(void);
/* A rows x columns matrix of fp16 whose rows start `xs` elements apart, to its transpose with rows `ys` apart. */
void convert_turn(const uint16_t *x, size_t xs, uint16_t *y, size_t ys, size_t rows, size_t columns);
/* The same for what will not be read soon, as in convert_away(). False, and nothing done, where that cannot be written
 * in whole cache lines. */
bool convert_turn_away(const uint16_t *x, size_t xs, uint16_t *y, size_t ys, size_t rows, size_t columns);

#endif
