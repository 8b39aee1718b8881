/* type.c: shapes and types: comparison, text, stacking. */
#include "ir/graph.h"

const char *const dtype_name[DT_COUNT] = {"none", "real", "f16", "f32", "i32", "bool"};

int64_t shape_numel(Shape s)
{
    int64_t n = 1;
    for (uint32_t i = 0; i < s.rank; i++)
        n *= s.dim[i];
    return n;
}

bool shape_equal(Shape a, Shape b)
{
    if (a.rank != b.rank)
        return false;
    for (uint32_t i = 0; i < a.rank; i++)
        if (a.dim[i] != b.dim[i])
            return false;
    return true;
}

bool type_equal(Type a, Type b)
{
    return a.dtype == b.dtype && shape_equal(a.shape, b.shape);
}

Shape shape_of(uint32_t rank, const int32_t *dim)
{
    if (rank > MAX_RANK)
        bug("rank %u", rank);
    Shape s = {.rank = (uint8_t)rank};
    for (uint32_t i = 0; i < rank; i++)
        s.dim[i] = dim[i];
    return s;
}

Type type_of(DType dtype, uint32_t rank, const int32_t *dim)
{
    return (Type){dtype, shape_of(rank, dim)};
}

Type type_stacked(Type t, int32_t n)
{
    if (t.shape.rank == MAX_RANK)
        bug("cannot stack a value of rank %d", MAX_RANK);
    Type s = {t.dtype, {.rank = (uint8_t)(t.shape.rank + 1), .dim = {n}}};
    for (uint32_t i = 0; i < t.shape.rank; i++)
        s.shape.dim[i + 1] = t.shape.dim[i];
    return s;
}

Type type_unstacked(Type t)
{
    if (t.shape.rank == 0)
        bug("cannot unstack a value of rank 0");
    Type s = {t.dtype, {.rank = (uint8_t)(t.shape.rank - 1)}};
    for (uint32_t i = 1; i < t.shape.rank; i++)
        s.shape.dim[i - 1] = t.shape.dim[i];
    return s;
}

void type_print(Type t, Buf *out)
{
    buf_puts(out, dtype_name[t.dtype]);
    buf_putc(out, '[');
    for (uint32_t i = 0; i < t.shape.rank; i++)
        buf_printf(out, i ? ", %d" : "%d", t.shape.dim[i]);
    buf_putc(out, ']');
}

const char *type_text(Arena *a, Type t)
{
    Buf b = {0};
    type_print(t, &b);
    const char *s = arena_strndup(a, b.data, b.len);
    buf_free(&b);
    return s;
}
