/* npy.h: NumPy's .npy files (format versions 1 to 3), in C order. Files that are read are not trusted. */
#ifndef ANEL_RUNTIME_NPY_H
#define ANEL_RUNTIME_NPY_H

#include "base/buf.h"

#include <stdbool.h>

typedef enum {
    NPY_F16,
    NPY_F32,
    NPY_F64,
    NPY_I8,
    NPY_U8,
    NPY_I16,
    NPY_U16,
    NPY_I32,
    NPY_U32,
    NPY_I64,
    NPY_BOOL
} NpyType;
enum { NPY_RANK_MAX = 8 };

typedef struct {
    NpyType     type;
    uint32_t    rank;
    int64_t     dim[NPY_RANK_MAX];
    int64_t     count; /* elements */
    const void *data;  /* little endian, not aligned; points into the file */
} Npy;

/* The array in `len` bytes of a file. False and one sentence in `err`. */
bool npy_parse(const void *file, size_t len, Npy *out, Buf *err);
/* Element `i` as double (exact for all types; int64 up to 2^53). */
double npy_number(const Npy *a, int64_t i);
/* Append a version 1 file holding `data`. */
void npy_write(Buf *file, NpyType type, uint32_t rank, const int64_t *dim, const void *data);

#endif
