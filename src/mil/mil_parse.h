/* mil_parse.h: what the lexer, the grammar and mil_parse.c share. Others include mil_ast.h. */
#ifndef ANEL_MIL_MIL_PARSE_H
#define ANEL_MIL_MIL_PARSE_H

#include "mil/mil_ast.h"

typedef struct {
    Arena      *arena;
    Interner   *names;
    Diags      *diags;
    uint32_t    file;
    const char *text, *cur, *mark, *lim;
    int         depth; /* brackets open */
    AstProgram *program;
} MilParse;

AstValue *ast_value(MilParse *p, AstKind kind, Span at);
AstValue *ast_name(MilParse *p, Span at, StrId name);
AstArg   *ast_arg(MilParse *p, Span at, StrId name, AstValue *value);
AstParam *ast_param(MilParse *p, Span at, AstType *type, StrId name);
AstType  *ast_type(MilParse *p, Span at, TypeForm form, DType dtype);
/* The type with its dimensions taken from a bracket list of integers; complains about anything else. */
AstType *ast_tensor(MilParse *p, Span at, DType dtype, const AstValues *dims);

/* Number tokens: a hex, decimal or floating literal from begin to end. */
bool mil_lex_int(MilParse *p, Span at, const char *begin, const char *end, AstValue **out);
bool mil_lex_float(MilParse *p, Span at, const char *begin, const char *end, AstValue **out);
bool mil_lex_string(MilParse *p, const char *begin, const char *end, StrId *out);

#endif
