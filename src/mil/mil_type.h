/* mil_type.h: element types and tensor types of MIL text. A scalar is a tensor of rank 0: `fp16` and `tensor<fp16, []>`
 * are the same type. */
#ifndef ANEL_MIL_MIL_TYPE_H
#define ANEL_MIL_MIL_TYPE_H

#include "base/arena.h"
#include "plan/blob.h"

#include <stdbool.h>

typedef enum {
    DT_F16,
    DT_F32,
    DT_I4,
    DT_U1,
    DT_U2,
    DT_U4,
    DT_I8,
    DT_U8,
    DT_I16,
    DT_U16,
    DT_I32,
    DT_U32,
    DT_U64,
    DT_BOOL,
    DT_STRING,
    DT_COUNT
} DType;

typedef enum { CLASS_FLOAT, CLASS_INT, CLASS_BOOL, CLASS_STRING } DTypeClass;

typedef struct {
    const char *name;
    DTypeClass  class;
    uint32_t    bits; /* per element in a blob file */
    double      min, max;
    BlobType    blob; /* 0: has no blob form */
} DTypeInfo;
extern const DTypeInfo dtype_info[DT_COUNT];

enum {
    MIL_TEXT_MAX = 16 << 20, /* bytes of a program's text */
    MIL_RANK_MAX = 5,        /* the engine refuses rank 6 */
    MIL_ELEMS_MAX =
        1 << 30 /* elements of one tensor: far above what the engine holds, small enough to multiply safely */
};

typedef struct {
    DType    dtype;
    uint32_t rank;
    int64_t  dim[MIL_RANK_MAX];
} MilType;

/* The element type named `text`, or DT_COUNT. */
DType dtype_find(const char *text, size_t len);

/* Extents are positive and their product is at most MIL_ELEMS_MAX. */
bool    type_valid(const MilType *t);
int64_t type_elems(const MilType *t); /* product of the extents of a valid type */
bool    mil_type_equal(const MilType *a, const MilType *b);
bool    type_same_shape(const MilType *a, const MilType *b);
/* "tensor<fp16, [1, 256, 1, 128]>", "bool". */
const char *mil_type_text(Arena *a, const MilType *t);

static inline bool dtype_is_float(DType t)
{
    return dtype_info[t].class == CLASS_FLOAT;
}

#endif
