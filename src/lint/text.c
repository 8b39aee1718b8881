/* text.c: rules that the syntax tree shows: bytes, header, literals, file offsets. */
#include "lint/internal.h"

#include "base/f16.h"
#include "base/utf8.h"
#include "plan/blob.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

static void check_bytes(Lint *l)
{
    const Source *s = l->source;
    for (size_t i = 0, n; i < s->len; i += n) {
        n = utf8_length(s->text + i, s->len - i);
        if (n)
            continue;
        Span at = {l->file, (uint32_t)i, (uint32_t)i + 1};
        violation(l, 9, at, "the byte 0x%02x is not UTF-8 text", (unsigned char)s->text[i]);
        return;
    }
}

static void check_header(Lint *l, const AstProgram *p)
{
    for (const AstArg *g = p->attributes.first; g; g = g->next)
        if (strcmp(interned(l->unit.names, g->name), "buildInfo") == 0)
            return;
    violation(l, 21, p->version_at, "the program has no buildInfo");
}

/* ---- literals ------------------------------------------------------------------------------------------------- */

static bool check_float(Lint *l, const AstValue *v)
{
    double x = v->u.f, h = f16_round_f64(x);
    if (x != 0 && h == 0) {
        violation(l, 29, v->at, "%g is 0 in fp16", x);
        return false;
    }
    if (h != x && !isinf(h)) {
        violation(l, 23, v->at, "%g is no fp16 number; the nearest is %a (%g)", x, h, h);
        return false;
    }
    return true;
}

/* A bit pattern in hexadecimal. */
static bool check_bits(Lint *l, const AstValue *v, DType t)
{
    int64_t mask = t == DT_F16 ? 0x7c00 : 0x7f800000;
    if (!v->u.i.hex || (v->u.i.value & mask) != mask)
        return true;
    violation(l, 60, v->at, "this bit pattern is infinity or NaN");
    return false;
}

static const AstValue *blob_argument(const Lint *l, const AstValue *v, const char *name)
{
    for (const AstArg *g = v->u.args.first; g; g = g->next)
        if (strcmp(interned(l->unit.names, g->name), name) == 0)
            return g->value->kind == AST_TYPED ? g->value->u.typed.value : g->value;
    return NULL;
}

static void check_blob(Lint *l, const AstValue *v)
{
    const AstValue *at = blob_argument(l, v, "offset");
    if (at && at->kind == AST_INT && (at->u.i.value < BLOB_FIRST || at->u.i.value % BLOB_ALIGN != 0))
        violation(l, 8, at->at,
                  "no blob's metadata lies at %" PRId64 ": the first is at %d, all are at multiples of %d",
                  at->u.i.value, BLOB_FIRST, BLOB_ALIGN);
}

/* `t`: the element type a bare literal has here, DT_COUNT if it is no number of interest. False after the first
 * violation: one of a long list is enough. */
static bool check_value(Lint *l, const AstValue *v, DType t)
{
    switch (v->kind) {
    case AST_TYPED: return check_value(l, v->u.typed.value, v->u.typed.type->type.dtype);
    case AST_BLOBFILE: check_blob(l, v); return true;
    case AST_FLOAT: return t != DT_F16 || check_float(l, v);
    case AST_INT: return (t != DT_F16 && t != DT_F32) || check_bits(l, v, t);
    case AST_LIST:
        for (const AstValue *e = v->u.list.first; e; e = e->next)
            if (!check_value(l, e, t))
                return false;
        return true;
    default: return true;
    }
}

void lint_text(Lint *l)
{
    const AstProgram *p = l->unit.ast;
    check_bytes(l);
    if (!p)
        return;
    check_header(l, p);
    for (const AstFunc *f = p->first; f; f = f->next)
        for (const AstStmt *s = f->body.first; s; s = s->next) {
            DType t = s->results.first ? s->results.first->type->type.dtype : DT_COUNT;
            for (const AstArg *g = s->args.first; g; g = g->next)
                check_value(l, g->value, DT_F16); /* bare numbers among arguments are fp16 beside fp16 operands */
            for (const AstArg *g = s->attributes.first; g; g = g->next)
                check_value(l, g->value, t);
        }
}
