/* mil_parse.c: builds the tree of mil_ast.h from the grammar's actions, and converts literals.
 *
 * The grammar's actions call the constructors below and do nothing else. Numbers are converted by strtod() on a copy,
 * because a token may be followed directly by letters. */
#include "mil/mil_parse.h"

#include "mil.tab.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

AstValue *ast_value(MilParse *p, AstKind kind, Span at)
{
    AstValue *v = NEW(p->arena, AstValue);
    v->kind = kind;
    v->at = at;
    return v;
}

AstValue *ast_name(MilParse *p, Span at, StrId name)
{
    AstValue *v = ast_value(p, AST_NAME, at);
    v->u.name = name;
    return v;
}

AstArg *ast_arg(MilParse *p, Span at, StrId name, AstValue *value)
{
    AstArg *g = NEW(p->arena, AstArg);
    *g = (AstArg){name, at, value, NULL};
    return g;
}

AstParam *ast_param(MilParse *p, Span at, AstType *type, StrId name)
{
    AstParam *m = NEW(p->arena, AstParam);
    *m = (AstParam){type, name, at, NULL};
    return m;
}

AstType *ast_type(MilParse *p, Span at, TypeForm form, DType dtype)
{
    AstType *t = NEW(p->arena, AstType);
    t->form = form;
    t->type.dtype = dtype;
    t->at = at;
    return t;
}

AstType *ast_tensor(MilParse *p, Span at, DType dtype, const AstValues *dims)
{
    AstType *t = ast_type(p, at, FORM_VALUE, dtype);
    for (const AstValue *v = dims->first; v; v = v->next) {
        if (v->kind != AST_INT)
            diag_help(diag_error(p->diags, "M0105", v->at, "a tensor extent is a number"),
                      "the engine compiles fixed shapes only: write the extent out");
        if (t->type.rank == MIL_RANK_MAX) {
            t->too_deep = true;
            break;
        }
        t->type.dim[t->type.rank++] = v->kind == AST_INT ? v->u.i.value : 1;
    }
    return t;
}

enum { NUMBER_MAX = 127 };

static bool copy_number(MilParse *p, Span at, const char *begin, const char *end, char *text)
{
    if (end - begin > NUMBER_MAX) {
        diag_error(p->diags, "M0104", at, "a number of more than %d characters", NUMBER_MAX);
        return false;
    }
    memcpy(text, begin, (size_t)(end - begin));
    text[end - begin] = 0;
    return true;
}

bool mil_lex_int(MilParse *p, Span at, const char *begin, const char *end, AstValue **out)
{
    char text[NUMBER_MAX + 1];
    if (!copy_number(p, at, begin, end, text))
        return false;
    const char *digits = text + (*text == '-');
    bool        hex = digits[0] == '0' && (digits[1] == 'x' || digits[1] == 'X');
    errno = 0;
    long long value = strtoll(text, NULL, hex ? 16 : 10);
    if (errno) {
        diag_error(p->diags, "M0104", at, "the number %s does not fit 64 bits", text);
        return false;
    }
    *out = ast_value(p, AST_INT, at);
    (*out)->u.i.value = value;
    (*out)->u.i.hex = hex;
    return true;
}

bool mil_lex_float(MilParse *p, Span at, const char *begin, const char *end, AstValue **out)
{
    char text[NUMBER_MAX + 1];
    if (!copy_number(p, at, begin, end, text))
        return false;
    double x = strtod(text, NULL);
    if (isinf(x)) {
        diag_error(p->diags, "M0104", at, "the number %s does not fit a double", text);
        return false;
    }
    *out = ast_value(p, AST_FLOAT, at);
    (*out)->u.f = x;
    return true;
}

bool mil_lex_string(MilParse *p, const char *begin, const char *end, StrId *out)
{
    char *text = arena_alloc(p->arena, (size_t)(end - begin) + 1), *w = text;
    for (const char *r = begin + 1; r < end - 1; r++) {
        if (*r != '\\') {
            *w++ = *r;
            continue;
        }
        r++; /* the lexer admits these escapes only */
        *w++ = *r == 'n' ? '\n' : *r == 'r' ? '\r' : *r == 't' ? '\t' : *r;
    }
    *out = intern_n(p->names, text, (size_t)(w - text));
    return true;
}

AstProgram *mil_parse(Arena *a, Interner *names, Diags *ds, uint32_t file)
{
    const Source *f = ds->sources->file[file - 1];
    MilParse      p = {.arena = a, .names = names, .diags = ds, .file = file, .text = f->text, .cur = f->text,
                       .lim = f->text + f->len};
    if (f->len > MIL_TEXT_MAX) {
        diag_error(ds, "M0106", (Span){file, 0, 0}, "the text has more than %d MiB", MIL_TEXT_MAX >> 20);
        return NULL;
    }
    uint32_t before = ds->errors;
    p.program = NEW(a, AstProgram);
    int rc = mil_yyparse(&p);
    if (rc == 2)
        diag_error(ds, "M0106", (Span){file, 0, 0}, "the text is nested too deeply");
    else if (rc && ds->errors == before)
        diag_error(ds, "M0101", (Span){file, 0, 0}, "this is not a MIL program");
    return ds->errors == before ? p.program : NULL;
}
