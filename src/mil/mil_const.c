/* mil_const.c: evaluates literals; see mil_const.h.
 *
 * A literal is checked against a type: element count and nesting of its brackets (nested like the shape, or one flat
 * list of all elements), range, and kind of each number. Floats are rounded to the declared type here, once. In a float
 * list an integer written in hexadecimal is a bit pattern (0x3c00 is 1.0), any other integer is its value. */
#include "mil/mil_const.h"

#include "base/f16.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

bool type_resolve(Check *c, const AstType *t, MilType *out)
{
    *out = t->type;
    if (t->form == FORM_DICT || (t->form == FORM_STATE && !(c->mode & MIL_FOREIGN))) {
        Diag *d =
            diag_error(c->ds, "M0401", t->at, "%s types are not supported", t->form == FORM_STATE ? "state" : "dict");
        diag_help(d, "pass the tensor as an input and return it as an output");
        return false;
    }
    if (t->too_deep) {
        diag_label(diag_error(c->ds, "M0402", t->at, "a tensor of more than %d dimensions", MIL_RANK_MAX), t->at,
                   "the engine holds at most rank %d", MIL_RANK_MAX);
        return false;
    }
    for (uint32_t i = 0; i < out->rank; i++)
        if (out->dim[i] < 1) {
            diag_error(c->ds, "M0402", t->at, "extent %" PRId64 " of dimension %u: extents are at least 1", out->dim[i],
                       i);
            return false;
        }
    if (!type_valid(out)) {
        diag_error(c->ds, "M0402", t->at, "a tensor of more than %d elements", MIL_ELEMS_MAX);
        return false;
    }
    return true;
}

double const_number(const Value *v, int64_t i)
{
    const Const *k = v->konst;
    if (k->num)
        return k->num[i];
    const unsigned char *p = k->raw;
    uint32_t             bits = dtype_info[v->type.dtype].bits, u = 0;
    if (bits < 8) {
        uint32_t per = 8 / bits;
        u = (uint32_t)p[i / per] >> (bits * ((uint32_t)i % per)) & ((1u << bits) - 1);
        return v->type.dtype == DT_I4 && u >= 8 ? (double)u - 16 : (double)u;
    }
    p += (uint64_t)i * (bits / 8);
    for (uint32_t b = 0; b < bits / 8; b++)
        u |= (uint32_t)p[b] << (8 * b);
    switch (v->type.dtype) {
    case DT_F16:
        return (double)f16_to_f32((uint16_t)u);
    case DT_F32:
        return (double)f32_from_bits(u);
    case DT_I8:
        return (double)(int8_t)u;
    case DT_I16:
        return (double)(int16_t)u;
    case DT_I32:
        return (double)(int32_t)u;
    default:
        return (double)u;
    }
}

typedef struct {
    Check         *c;
    const MilType *type;
    double        *num;
    int64_t        used, count;
} Fill;

static bool bad(Check *c, const AstValue *v, const MilType *t, const char *want)
{
    Diag *d = diag_error(c->ds, "M0403", v->at, "this is no %s value", dtype_info[t->dtype].name);
    diag_label(d, v->at, "expected %s", want);
    return false;
}

static bool fill_scalar(Fill *f, const AstValue *v)
{
    DType            t = f->type->dtype;
    const DTypeInfo *info = &dtype_info[t];
    double           x = 0;
    switch (info->class) {
    case CLASS_FLOAT:
        if (v->kind != AST_INT && v->kind != AST_FLOAT)
            return bad(f->c, v, f->type, "a number such as 0x1p-8");
        if (v->kind == AST_INT && v->u.i.hex) {
            if (v->u.i.value < 0 || v->u.i.value > (t == DT_F16 ? 0xffff : 0xffffffffll))
                return bad(f->c, v, f->type, "a bit pattern of its width");
            x = t == DT_F16 ? (double)f16_to_f32((uint16_t)v->u.i.value)
                            : (double)f32_from_bits((uint32_t)v->u.i.value);
            break;
        }
        x = v->kind == AST_INT ? (double)v->u.i.value : v->u.f;
        x = t == DT_F16 ? f16_round_f64(x) : (double)(float)x;
        if (isinf(x))
            return bad(f->c, v, f->type, "a number in its range");
        break;
    case CLASS_INT:
        if (v->kind != AST_INT)
            return bad(f->c, v, f->type, "an integer");
        x = (double)v->u.i.value;
        if (x < info->min || x > info->max)
            return bad(f->c, v, f->type, arena_printf(f->c->ds->arena, "%.0f to %.0f", info->min, info->max));
        break;
    case CLASS_BOOL:
        if (v->kind != AST_BOOL)
            return bad(f->c, v, f->type, "true or false");
        x = v->u.b;
        break;
    case CLASS_STRING:
        return bad(f->c, v, f->type, "one string");
    }
    if (f->used < f->count)
        f->num[f->used] = x;
    f->used++;
    return true;
}

/* `axis` < rank: the list is nested like the shape; -1: one flat list of everything. */
static bool fill_list(Fill *f, const AstValue *v, int axis)
{
    if (v->kind != AST_LIST)
        return bad(f->c, v, f->type, "a list in brackets");
    int64_t want = axis < 0 ? f->count : f->type->dim[axis];
    if ((int64_t)v->u.list.count != want) {
        Diag *d = diag_error(f->c->ds, "M0403", v->at, "the list has %u elements, its type wants %" PRId64,
                             v->u.list.count, want);
        diag_label(d, v->at, "for %s", mil_type_text(f->c->ds->arena, f->type));
        return false;
    }
    bool inner = axis >= 0 && axis + 1 < (int)f->type->rank;
    for (const AstValue *e = v->u.list.first; e; e = e->next)
        if (inner ? !fill_list(f, e, axis + 1) : !fill_scalar(f, e))
            return false;
    return true;
}

static const AstValue *blob_arg(Check *c, const AstValue *v, const char *name)
{
    for (const AstArg *g = v->u.args.first; g; g = g->next)
        if (strcmp(interned(c->names, g->name), name) == 0)
            return g->value;
    diag_help(diag_error(c->ds, "M0501", v->at, "BLOBFILE without '%s'", name),
              "write BLOBFILE(path = string(\"@model_path/weights/w.bin\"), offset = uint64(64))");
    return NULL;
}

static const AstValue *typed_as(Check *c, const AstValue *v, DType t)
{
    if (v && v->kind == AST_TYPED && v->u.typed.type->form == FORM_VALUE && v->u.typed.type->type.rank == 0 &&
        v->u.typed.type->type.dtype == t)
        return v->u.typed.value;
    if (v)
        diag_error(c->ds, "M0501", v->at, "expected %s(...)", dtype_info[t].name);
    return NULL;
}

static bool blob_eval(Check *c, const AstValue *v, const MilType *type, Const *out)
{
    const AstValue *path = typed_as(c, blob_arg(c, v, "path"), DT_STRING);
    const AstValue *offset = path ? typed_as(c, blob_arg(c, v, "offset"), DT_U64) : NULL;
    if (!offset)
        return false;
    if (path->kind != AST_STRING || offset->kind != AST_INT || offset->u.i.value < 0 || v->u.args.count != 2) {
        diag_help(diag_error(c->ds, "M0501", v->at, "BLOBFILE takes a path and an offset"),
                  "write BLOBFILE(path = string(\"@model_path/weights/w.bin\"), offset = uint64(64))");
        return false;
    }
    const char    *name = interned(c->names, path->u.name);
    const MilFile *file = NULL;
    for (uint32_t i = 0; i < c->files && !file; i++)
        if (strcmp(c->file[i].path, name) == 0)
            file = &c->file[i];
    if (!file && c->mode & MIL_UNREAD) {
        out->unread = true;
        return true;
    }
    if (!file) {
        Diag *d = diag_error(c->ds, "M0502", path->at, "there is no weight file '%s'", name);
        diag_help(
            d, c->files ? "the program was given %u files, the first is '%s'" : "the program was given no weight files",
            c->files, c->files ? c->file[0].path : "");
        return false;
    }
    Buf      why = {0};
    BlobView blob;
    if (!blob_find(file->data, file->len, (uint64_t)offset->u.i.value, &blob, &why)) {
        diag_note(diag_error(c->ds, "M0503", v->at, "'%s' holds no usable blob here", name), (Span){0}, "%s", why.data);
        buf_free(&why);
        return false;
    }
    const DTypeInfo *info = &dtype_info[type->dtype];
    if (info->blob == 0 || blob.type != info->blob) {
        Diag *d = diag_error(c->ds, "M0504", v->at, "the blob holds %s data, the constant is %s",
                             blob_type_name(blob.type), info->name);
        diag_help(d, "store the weights as %s, or declare the type that is stored", info->name);
        return false;
    }
    uint64_t want = ((uint64_t)out->count * info->bits + 7) / 8;
    if (blob.bytes != want) {
        diag_error(c->ds, "M0504", v->at, "the blob has %" PRIu64 " bytes, %s needs %" PRIu64, blob.bytes,
                   mil_type_text(c->ds->arena, type), want);
        return false;
    }
    out->raw = blob.data;
    return true;
}

Const *const_eval(Check *c, const AstValue *v, const MilType *type)
{
    if (v->kind == AST_TYPED) {
        MilType written;
        if (!type_resolve(c, v->u.typed.type, &written))
            return NULL;
        if (!mil_type_equal(&written, type)) {
            Diag *d = diag_error(c->ds, "M0404", v->at, "the value is %s, declared is %s",
                                 mil_type_text(c->ds->arena, &written), mil_type_text(c->ds->arena, type));
            diag_help(d, "make both types the same");
            return NULL;
        }
        v = v->u.typed.value;
    }
    Const *k = NEW(c->keep, Const);
    k->count = type_elems(type);
    if (v->kind == AST_BLOBFILE) {
        if (!blob_eval(c, v, type, k))
            return NULL;
        if (k->count == 1 && !k->unread) { /* a parameter of a kernel must outlive the file */
            double *one = NEW(c->keep, double);
            *one = const_number(&(Value){.type = *type, .konst = k}, 0);
            *k = (Const){.count = 1, .num = one};
        }
        return k;
    }
    if (type->dtype == DT_STRING) {
        if (v->kind != AST_STRING || type->rank != 0)
            return bad(c, v, type, "one string in quotes"), NULL;
        k->str = arena_strdup(c->keep, interned(c->names, v->u.name));
        return k;
    }
    /* The text bounds the number of elements, so a short list never reserves memory for a huge type. */
    Fill f = {c, type, NULL, 0, k->count};
    bool nested = v->kind == AST_LIST && v->u.list.first && v->u.list.first->kind == AST_LIST && type->rank > 1;
    if (type->rank != 0 && !nested && (v->kind != AST_LIST || v->u.list.count != k->count))
        return fill_list(&f, v, -1), NULL;
    if (nested && k->count > v->at.end - v->at.begin) {
        diag_error(c->ds, "M0403", v->at, "the list has fewer elements than %s", mil_type_text(c->ds->arena, type));
        return NULL;
    }
    f.num = NEW_N(c->keep, double, k->count);
    if (type->rank == 0 ? !fill_scalar(&f, v) : !fill_list(&f, v, nested ? 0 : -1))
        return NULL;
    k->num = f.num;
    return k;
}
