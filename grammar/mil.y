/* mil.y: the grammar of MIL text, as far as programs for the engine need it.
 *
 * Actions build the tree of mil_ast.h and nothing else; what names and types mean is decided by the checker. After
 * a syntax error reading goes on behind the next `;`, so that several errors are told in one run. */
%require "3.7"
%define api.pure full
%define api.prefix {mil_yy}
%define api.token.prefix {TOK_}
%define api.value.type union
%define api.location.type {Span}
%define parse.error custom
%define parse.lac full
%locations
%expect 0
%param { MilParse *p }

%code requires {
#include "mil/mil_parse.h"
}

%code {
#include <stdio.h>
#include <string.h>

#define YYLLOC_DEFAULT(cur, rhs, n) \
    ((cur) = (n) ? span_join(YYRHSLOC(rhs, 1), YYRHSLOC(rhs, n)) \
                 : (Span){YYRHSLOC(rhs, 0).file, YYRHSLOC(rhs, 0).end, YYRHSLOC(rhs, 0).end})

int         mil_yylex(MIL_YYSTYPE *val, Span *loc, MilParse *p);
static void mil_yyerror(const Span *loc, MilParse *p, const char *message);
}

%initial-action { @$ = (Span){p->file, 0, 0}; }

%token PROGRAM "'program'" FUNC "'func'" TENSOR "'tensor'" STATE "'state'" DICT "'dict'" BLOBFILE "'BLOBFILE'"
       TRUE "'true'" FALSE "'false'"
       LPAREN "'('" RPAREN "')'" LBRACKET "'['" RBRACKET "']'" LBRACE "'{'" RBRACE "'}'" LANGLE "'<'" RANGLE "'>'"
       COMMA "','" SEMICOLON "';'" EQUALS "'='" ARROW "'->'"
       EOF 0 "end of file"
%token <AstValue *> NUMBER "a number"
%token <StrId> IDENT "a name" STRING "a string"
%token <DType> DTYPE "an element type"

%nterm <AstType *> type
%nterm <AstValue *> value
%nterm <AstValues> values values1 names names1
%nterm <AstArg *> arg
%nterm <AstArgs> args args1 attributes
%nterm <AstParam *> param
%nterm <AstParams> params params1
%nterm <AstStmt *> stmt
%nterm <AstStmts> stmts
%nterm <AstFunc *> func
%%
program: "'program'" "'('" "a number"[v] "')'" attributes "'{'" funcs "'}'"
    {
        p->program->version = $v->kind == AST_FLOAT ? $v->u.f : (double)$v->u.i.value;
        p->program->version_at = @v;
        p->program->attributes = $attributes;
    }
;
funcs: func         { AST_APPEND(*p->program, $func); p->program->functions++; }
    | funcs func    { AST_APPEND(*p->program, $func); p->program->functions++; }
;
func: "'func'" "a name"[name] "'<'" "a name"[opset] "'>'" "'('" params "')'" "'{'" stmts "'}'"
      "'->'" "'('" names "')'" "';'"
    {
        $$ = NEW(p->arena, AstFunc);
        *$$ = (AstFunc){.name = $name, .at = @name, .opset = $opset, .opset_at = @opset, .params = $params,
                        .body = $stmts, .returns = $names, .returns_at = @names, .whole = @$};
    }
;
stmts: %empty           { $$ = (AstStmts){0}; }
    | stmts stmt        { $$ = $1; AST_APPEND($$, $stmt); $$.count++; }
    | stmts error "';'" { $$ = $1; yyerrok; }
;
stmt: params1 "'='" "a name"[op] "'('" args "')'" attributes "';'"
    {
        $$ = NEW(p->arena, AstStmt);
        *$$ = (AstStmt){.results = $params1, .op = $op, .op_at = @op, .args = $args, .attributes = $attributes};
    }
    | "a name"[op] "'('" args "')'" attributes "';'"
    {
        $$ = NEW(p->arena, AstStmt);
        *$$ = (AstStmt){.op = $op, .op_at = @op, .args = $args, .attributes = $attributes};
    }
;
params: %empty { $$ = (AstParams){0}; } | params1;
params1: param              { $$ = (AstParams){$param, $param, 1}; }
    | params1 "','" param   { $$ = $1; AST_APPEND($$, $param); $$.count++; }
;
param: type "a name"[name]  { $$ = ast_param(p, @name, $type, $name); };

type: "an element type"[t]  { $$ = ast_type(p, @$, FORM_VALUE, $t); }
    | "'tensor'" "'<'" "an element type"[t] "','" "'['" values "']'" "'>'" { $$ = ast_tensor(p, @$, $t, &$values); }
    | "'state'" "'<'" type[t] "'>'" { $$ = $t; $$->form = FORM_STATE; $$->at = @$; }
    | "'dict'" "'<'" type "','" type "'>'" { $$ = ast_type(p, @$, FORM_DICT, DT_STRING); }
;
args: %empty { $$ = (AstArgs){0}; } | args1;
args1: arg              { $$ = (AstArgs){$arg, $arg, 1}; }
    | args1 "','" arg   { $$ = $1; AST_APPEND($$, $arg); $$.count++; }
;
arg: "a name"[name] "'='" value { $$ = ast_arg(p, @name, $name, $value); };
attributes: %empty { $$ = (AstArgs){0}; } | "'['" args "']'" { $$ = $args; };

values: %empty { $$ = (AstValues){0}; } | values1;
values1: value              { $$ = (AstValues){$value, $value, 1}; }
    | values1 "','" value   { $$ = $1; AST_APPEND($$, $value); $$.count++; }
;
value: "a name"[name]       { $$ = ast_name(p, @$, $name); }
    | "a number"
    | "'true'"              { $$ = ast_value(p, AST_BOOL, @$); $$->u.b = true; }
    | "'false'"             { $$ = ast_value(p, AST_BOOL, @$); }
    | "a string"[text]      { $$ = ast_value(p, AST_STRING, @$); $$->u.name = $text; }
    | "'['" values "']'"    { $$ = ast_value(p, AST_LIST, @$); $$->u.list = $values; }
    | "'('" values "')'"    { $$ = ast_value(p, AST_TUPLE, @$); $$->u.list = $values; }
    | "'{'" values "'}'"    { $$ = ast_value(p, AST_DICT, @$); $$->u.list = $values; }
    | type "'('" value[v] "')'"
    {
        $$ = ast_value(p, AST_TYPED, @$);
        $$->u.typed.type = $type;
        $$->u.typed.value = $v;
    }
    | "'BLOBFILE'" "'('" args "')'" { $$ = ast_value(p, AST_BLOBFILE, @$); $$->u.args = $args; }
;
names: %empty { $$ = (AstValues){0}; } | names1;
names1: "a name"[n]             { AstValue *v = ast_name(p, @n, $n); $$ = (AstValues){v, v, 1}; }
    | names1 "','" "a name"[n]  { AstValue *v = ast_name(p, @n, $n); $$ = $1; AST_APPEND($$, v); $$.count++; }
;
%%
/* Only for exhausted memory; mil_parse() reports that by the return value. */
static void mil_yyerror(const Span *loc, MilParse *p, const char *message)
{
    (void)loc, (void)p, (void)message;
}

static int yyreport_syntax_error(const yypcontext_t *cx, MilParse *p)
{
    enum { SHOWN = 5 };
    yysymbol_kind_t expected[SHOWN];
    int             n = yypcontext_expected_tokens(cx, expected, SHOWN);
    const Span     *at = yypcontext_location(cx);
    yysymbol_kind_t got = yypcontext_token(cx);
    char            found[80];
    uint32_t        len = at->end - at->begin;
    if (got == YYSYMBOL_YYEOF || len == 0)
        snprintf(found, sizeof found, "end of file");
    else
        snprintf(found, sizeof found, "'%.*s'%s", (int)(len > 40 ? 40 : len), p->text + at->begin,
                 len > 40 ? " ..." : "");
    Diag *d = diag_error(p->diags, "M0101", *at, "syntax error: found %s", found);
    if (n > 0) {
        char   text[200];
        size_t used = 0;
        for (int i = 0; i < n && used < sizeof text; i++)
            used += (size_t)snprintf(text + used, sizeof text - used, "%s%s", i == 0 ? "" : i == n - 1 ? " or " : ", ",
                                     yysymbol_name(expected[i]));
        diag_label(d, *at, "expected %s", text);
    }
    if (got == YYSYMBOL_NUMBER && n == 0)
        diag_help(d, "statements are: type name = op(argument = value, ...)[name = string(\"name\")];");
    return 0;
}
