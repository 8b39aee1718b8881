/* npy.c: see npy.h.
 *
 * A file is "\x93NUMPY", a version, the length of a header and the header: the text of a Python dictionary with the
 * keys descr, fortran_order and shape, padded so that the data starts at a multiple of 64. Only dictionaries of that
 * form are read; arrays in Fortran order are refused, unless the order makes no difference. */
#include "npy.h"

#include "base/f16.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const struct {
    const char *code;
    size_t      bytes;
} npy_info[] = {
    [NPY_F16] = {"f2", 2}, [NPY_F32] = {"f4", 4}, [NPY_F64] = {"f8", 8},  [NPY_I8] = {"i1", 1},
    [NPY_U8] = {"u1", 1},  [NPY_I16] = {"i2", 2}, [NPY_U16] = {"u2", 2},  [NPY_I32] = {"i4", 4},
    [NPY_U32] = {"u4", 4}, [NPY_I64] = {"i8", 8}, [NPY_BOOL] = {"b1", 1},
};

/* ---- reading -------------------------------------------------------------------------------------------------- */

typedef struct {
    const char *p, *end;
} Text;

static void skip_space(Text *t)
{
    while (t->p < t->end && (*t->p == ' ' || *t->p == '\n' || *t->p == '\t'))
        t->p++;
}

static bool accept(Text *t, char c)
{
    skip_space(t);
    if (t->p == t->end || *t->p != c)
        return false;
    t->p++;
    return true;
}

/* A quoted word into `out` (at most 15 characters). */
static bool quoted(Text *t, char *out)
{
    skip_space(t);
    if (t->p == t->end || (*t->p != '\'' && *t->p != '"'))
        return false;
    char   q = *t->p++;
    size_t n = 0;
    while (t->p < t->end && *t->p != q && n < 15)
        out[n++] = *t->p++;
    out[n] = 0;
    return accept(t, q);
}

static bool word(Text *t, const char *w)
{
    skip_space(t);
    size_t n = strlen(w);
    if ((size_t)(t->end - t->p) < n || memcmp(t->p, w, n) != 0)
        return false;
    t->p += n;
    return true;
}

static bool shape(Text *t, Npy *out)
{
    if (!accept(t, '('))
        return false;
    out->count = 1;
    while (!accept(t, ')')) {
        int64_t d = 0;
        skip_space(t);
        if (t->p == t->end || *t->p < '0' || *t->p > '9' || out->rank == NPY_RANK_MAX)
            return false;
        for (; t->p < t->end && *t->p >= '0' && *t->p <= '9'; t->p++) {
            d = d * 10 + (*t->p - '0');
            if (d > INT32_MAX)
                return false;
        }
        out->dim[out->rank++] = d;
        if (d != 0 && out->count > INT64_MAX / 16 / d)
            return false;
        out->count *= d;
        if (!accept(t, ',')) {
            if (!accept(t, ')'))
                return false;
            break;
        }
    }
    return true;
}

static bool dtype(const char *code, Npy *out)
{
    char order = code[0];
    for (size_t i = 0; i < COUNT(npy_info); i++)
        if (strcmp(npy_info[i].code, code + 1) == 0 &&
            (order == '<' || order == '=' || (order == '|' && npy_info[i].bytes == 1))) {
            out->type = (NpyType)i;
            return true;
        }
    return false;
}

static bool fail(Buf *err, const char *what)
{
    buf_puts(err, what);
    return false;
}

bool npy_parse(const void *file, size_t len, Npy *out, Buf *err)
{
    const unsigned char *f = file;
    *out = (Npy){0};
    if (len < 10 || memcmp(f, "\x93NUMPY", 6) != 0)
        return fail(err, "this is no .npy file");
    if (f[6] < 1 || f[6] > 3) {
        buf_printf(err, "unknown .npy format version %d", f[6]);
        return false;
    }
    size_t start = f[6] == 1 ? 10 : 12, header = (size_t)f[8] | (size_t)f[9] << 8;
    if (len < start)
        return fail(err, "the .npy file ends inside its header");
    if (f[6] > 1)
        header |= (size_t)f[10] << 16 | (size_t)f[11] << 24;
    if (header > len - start)
        return fail(err, "the .npy file ends inside its header");
    Text t = {(const char *)f + start, (const char *)f + start + header};
    bool have_type = false, have_order = false, have_shape = false, fortran = false;
    if (!accept(&t, '{'))
        return fail(err, "the .npy header is no dictionary");
    while (!accept(&t, '}')) {
        char key[16], code[16];
        if (!quoted(&t, key) || !accept(&t, ':'))
            return fail(err, "the .npy header is damaged");
        if (strcmp(key, "descr") == 0 && !have_type) {
            if (!quoted(&t, code) || !dtype(code, out))
                return fail(err, "unsupported element type in the .npy header; "
                                 "supported: <f2 <f4 <f8 i1 u1 <i2 <u2 <i4 <u4 <i8 b1");
            have_type = true;
        } else if (strcmp(key, "fortran_order") == 0 && !have_order) {
            have_order = true;
            fortran = word(&t, "True");
            if (!fortran && !word(&t, "False"))
                return fail(err, "fortran_order in the .npy header is neither True nor False");
        } else if (strcmp(key, "shape") == 0 && !have_shape) {
            have_shape = true;
            if (!shape(&t, out))
                return fail(err, "the shape in the .npy header is damaged, or has more than 8 dimensions");
        } else
            return fail(err, "unknown or repeated key in the .npy header");
        accept(&t, ',');
    }
    if (!have_type || !have_order || !have_shape)
        return fail(err, "the .npy header lacks descr, fortran_order or shape");
    uint32_t wide = 0;
    for (uint32_t i = 0; i < out->rank; i++)
        wide += out->dim[i] > 1;
    if (fortran && wide > 1)
        return fail(err, "the array is in Fortran order; save numpy.ascontiguousarray(a)");
    size_t have = len - start - header, want = (size_t)out->count * npy_info[out->type].bytes;
    if (have != want) {
        buf_printf(err, "the .npy file has %zu bytes of data, its shape needs %zu", have, want);
        return false;
    }
    out->data = f + start + header;
    return true;
}

double npy_number(const Npy *a, int64_t i)
{
    size_t               n = npy_info[a->type].bytes;
    const unsigned char *p = (const unsigned char *)a->data + (size_t)i * n;
    uint64_t             u = 0;
    double               d;
    for (size_t b = 0; b < n; b++)
        u |= (uint64_t)p[b] << (8 * b);
    switch (a->type) {
    case NPY_F16:
        return (double)f16_to_f32((uint16_t)u);
    case NPY_F32:
        return (double)f32_from_bits((uint32_t)u);
    case NPY_F64:
        memcpy(&d, &u, sizeof d);
        return d;
    case NPY_I8:
        return (double)(int8_t)u;
    case NPY_I16:
        return (double)(int16_t)u;
    case NPY_I32:
        return (double)(int32_t)u;
    case NPY_I64:
        return (double)(int64_t)u;
    case NPY_BOOL:
        return u != 0;
    default:
        return (double)u;
    }
}

/* ---- writing -------------------------------------------------------------------------------------------------- */

void npy_write(Buf *file, NpyType type, uint32_t rank, const int64_t *dim, const void *data)
{
    Buf    h = {0};
    size_t bytes = npy_info[type].bytes;
    buf_printf(&h, "{'descr': '%c%s', 'fortran_order': False, 'shape': (", bytes == 1 ? '|' : '<', npy_info[type].code);
    for (uint32_t i = 0; i < rank; i++) {
        buf_printf(&h, i ? " %" PRId64 "," : "%" PRId64 ",", dim[i]);
        bytes *= (size_t)dim[i];
    }
    if (rank > 1) /* only a single extent keeps its comma */
        h.data[--h.len] = 0;
    buf_puts(&h, "), }");
    while ((10 + h.len + 1) % 64 != 0)
        buf_putc(&h, ' ');
    buf_putc(&h, '\n');
    const char magic[10] = {(char)0x93, 'N', 'U', 'M', 'P', 'Y', 1, 0, (char)(h.len & 0xff), (char)(h.len >> 8)};
    buf_add(file, magic, sizeof magic);
    buf_add(file, h.data, h.len);
    buf_add(file, data, bytes);
    buf_free(&h);
}
