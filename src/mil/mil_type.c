/* mil_type.c: the table of element types and small functions over types; see mil_type.h. */
#include "mil/mil_type.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

const DTypeInfo dtype_info[DT_COUNT] = {
    [DT_F16] = {"fp16", CLASS_FLOAT, 16, -65504, 65504, BLOB_F16},
    [DT_F32] = {"fp32", CLASS_FLOAT, 32, -0x1.fffffep127, 0x1.fffffep127, BLOB_F32},
    [DT_I4] = {"int4", CLASS_INT, 4, -8, 7, BLOB_I4},
    [DT_U1] = {"uint1", CLASS_INT, 1, 0, 1, BLOB_U1},
    [DT_U2] = {"uint2", CLASS_INT, 2, 0, 3, BLOB_U2},
    [DT_U4] = {"uint4", CLASS_INT, 4, 0, 15, BLOB_U4},
    [DT_I8] = {"int8", CLASS_INT, 8, -128, 127, BLOB_I8},
    [DT_U8] = {"uint8", CLASS_INT, 8, 0, 255, BLOB_U8},
    [DT_I16] = {"int16", CLASS_INT, 16, -32768, 32767, BLOB_I16},
    [DT_U16] = {"uint16", CLASS_INT, 16, 0, 65535, BLOB_U16},
    [DT_I32] = {"int32", CLASS_INT, 32, -2147483648.0, 2147483647.0, BLOB_I32},
    [DT_U32] = {"uint32", CLASS_INT, 32, 0, 4294967295.0, BLOB_U32},
    [DT_U64] = {"uint64", CLASS_INT, 64, 0, 9007199254740992.0, 0},
    [DT_BOOL] = {"bool", CLASS_BOOL, 8, 0, 1, 0},
    [DT_STRING] = {"string", CLASS_STRING, 0, 0, 0, 0},
};

DType dtype_find(const char *text, size_t len)
{
    for (int i = 0; i < DT_COUNT; i++)
        if (strlen(dtype_info[i].name) == len && memcmp(dtype_info[i].name, text, len) == 0)
            return (DType)i;
    return DT_COUNT;
}

bool type_valid(const MilType *t)
{
    int64_t n = 1;
    for (uint32_t i = 0; i < t->rank; i++) {
        if (t->dim[i] < 1 || t->dim[i] > MIL_ELEMS_MAX / n)
            return false;
        n *= t->dim[i];
    }
    return t->rank <= MIL_RANK_MAX;
}

int64_t type_elems(const MilType *t)
{
    int64_t n = 1;
    for (uint32_t i = 0; i < t->rank; i++)
        n *= t->dim[i];
    return n;
}

bool type_same_shape(const MilType *a, const MilType *b)
{
    if (a->rank != b->rank)
        return false;
    for (uint32_t i = 0; i < a->rank; i++)
        if (a->dim[i] != b->dim[i])
            return false;
    return true;
}

bool mil_type_equal(const MilType *a, const MilType *b)
{
    return a->dtype == b->dtype && type_same_shape(a, b);
}

const char *mil_type_text(Arena *a, const MilType *t)
{
    if (t->rank == 0)
        return dtype_info[t->dtype].name;
    char   text[MIL_RANK_MAX * 24];
    size_t n = 0;
    for (uint32_t i = 0; i < t->rank; i++)
        n += (size_t)snprintf(text + n, sizeof text - n, "%s%" PRId64, i ? ", " : "", t->dim[i]);
    return arena_printf(a, "tensor<%s, [%s]>", dtype_info[t->dtype].name, text);
}
