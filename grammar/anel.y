/* anel.y: the grammar of the language.
 *
 * Actions build the tree of ast.h and give no meaning to it. A few rules, each with a call of habit_*(), accept what
 * people write out of habit, tell them, and go on as if the right thing had been written. `error ";"` and `error body`
 * are where the parser finds its feet again: the second keeps braces balanced when the mistake is in a header. */
%require "3.7"
%define api.pure full
%define api.prefix {anel_yy}
%define api.token.prefix {TOK_}
%define api.value.type union
%define api.location.type {Span}
%define parse.error custom
%define parse.lac full
%locations
%expect 0
%param { Parse *p }

%code requires {
#include "frontend/syntax.h"

/* A list under construction. */
#define LIST(T) typedef struct { T *first, *last; } T##List
LIST(Expr); LIST(Stmt); LIST(Item); LIST(Name); LIST(Arg); LIST(Index); LIST(Binder); LIST(Dim); LIST(TypeExpr);
LIST(Attribute); LIST(Generic); LIST(FnParam); LIST(TrainKey);
#undef LIST
typedef struct { Stmt *body; Expr *value; bool braces; } FnBody;
typedef struct { Expr *lo, *hi; } Range;
}

%code {
#include <string.h>

#define YYMAXDEPTH 20000
#define YYLLOC_DEFAULT(Cur, Rhs, N)                                                                     \
    ((Cur) = (N) ? (Span){YYRHSLOC(Rhs, 1).file, YYRHSLOC(Rhs, 1).begin, YYRHSLOC(Rhs, N).end}          \
                 : (Span){YYRHSLOC(Rhs, 0).file, YYRHSLOC(Rhs, 0).end, YYRHSLOC(Rhs, 0).end})

#define APPEND(list, node)                                  \
    do {                                                    \
        if (node) {                                         \
            if ((list).last)                                \
                (list).last->next = (node);                 \
            else                                            \
                (list).first = (node);                      \
            (list).last = (node);                           \
        }                                                   \
    } while (0)
#define ONE(list, node) ((list).first = (list).last = (node))

static int  anel_yylex(ANEL_YYSTYPE *value, Span *at, Parse *p);
static void anel_yyerror(Span *at, Parse *p, const char *text);

static Name name_of(StrId id, Span at) { return (Name){.id = id, .at = at}; }
static Name *name_node(Parse *p, StrId id, Span at)
{
    Name *n = NEW(p->arena, Name);
    *n = name_of(id, at);
    return n;
}
static FnDef *fn_node(Parse *p, Name name, Generic *gens, FnParam *params, TypeExpr *result, FnBody b, Span at)
{
    FnDef *f = NEW(p->arena, FnDef);
    *f = (FnDef){name, gens, params, result, b.body, b.value, b.braces, at};
    return f;
}
static Item *fn_item(Parse *p, ItemKind kind, Attribute *attrs, FnDef *f, Span at)
{
    Item *i = item_new(p, kind, at);
    i->attrs = attrs;
    i->fn = f;
    return i;
}
static Decl decl(Name name, TypeExpr *type, Expr *init) { return (Decl){name, type, init}; }

}

%token START_FILE "a file" START_EXPR "an expression"
%token EOF 0 "end of file"
%token <StrId> IDENT "name" STRING "string"
%token <int64_t> INT "integer"
%token <double> FLOAT "float"
%token UNDERSCORE "_"
%token USE "use" CONFIG "config" CONST "const" FN "fn" BLOCK "block" MODEL "model" ENTRY "entry" TRAIN "train"
%token PARAM "param" STATE "state" REPEAT "repeat" IN "in" IF "if" THEN "then" ELSE "else" FOR "for" AS "as"
%token RETURN "return" ASSERT "assert" AND "and" OR "or" NOT "not" TRUE "true" FALSE "false"
%token PLUS "+" MINUS "-" STAR "*" SLASH "/" PERCENT "%" AT "@" POWER "**" PRIME "'"
%token EQ "==" NE "!=" LT "<" LE "<=" GT ">" GE ">=" ARROW "->" UPDATE "<-" DOTDOT ".." ATTR "#["
%token ASSIGN "=" COLON ":" SEMI ";" COMMA "," DOT "."
%token LPAREN "(" RPAREN ")" LBRACKET "[" RBRACKET "]" LBRACE "{" RBRACE "}"

%nterm <ItemList> items mitems
%nterm <Item *> item mitem
%nterm <Decl> decl typed_decl
%nterm <Assertion> assertion
%nterm <AttributeList> attrs attr_list
%nterm <Attribute *> attr
%nterm <FnDef *> fndef entrydef
%nterm <FnBody> fnbody
%nterm <GenericList> generics gens
%nterm <Generic *> gen
%nterm <FnParamList> fparams fparam_list
%nterm <FnParam *> fparam
%nterm <TypeExpr *> type result
%nterm <TypeExprList> types
%nterm <DimList> dims
%nterm <Dim *> dim
%nterm <TrainKeyList> train_keys
%nterm <TrainKey *> train_key
%nterm <StmtList> body stmts
%nterm <Stmt *> stmt simple ifstmt
%nterm <NameList> path names
%nterm <Range> range
%nterm <Expr *> expr or and not cmp add mul unary power postfix prim call
%nterm <ExprList> exprs
%nterm <IndexList> indexes
%nterm <Index *> index
%nterm <ArgList> args arg_list
%nterm <Arg *> arg
%nterm <BinderList> binders
%nterm <Binder *> binder
%nterm <BinOp> compare times

%%
start: START_FILE items { p->items = $items.first; }
     | START_EXPR expr  { p->expr = $expr; }
     ;

/* ---- items ---- */
items: %empty     { $$ = (ItemList){0}; }
     | items[l] item { $$ = $l; APPEND($$, $item); }
     ;
item: "use" STRING ";" {
        $$ = item_new(p, IT_USE, @$);
        $$->use.path = $STRING;
        $$->use.at = @STRING;
      }
    | "config" decl ";"           { $$ = item_new(p, IT_CONFIG, @$); $$->decl = $decl; }
    | "const" decl ";"            { $$ = item_new(p, IT_CONST, @$); $$->decl = $decl; }
    | assertion                   { $$ = item_new(p, IT_ASSERT, @$); $$->assertion = $1; }
    | attrs "fn" fndef            { $$ = fn_item(p, IT_FN, $attrs.first, $fndef, span_join(@2, @3)); }
    | attrs "block" fndef         { $$ = fn_item(p, IT_BLOCK, $attrs.first, $fndef, span_join(@2, @3)); }
    | attrs "model" IDENT "{" mitems "}" {
        $$ = item_new(p, IT_MODEL, span_join(@2, @6));
        $$->attrs = $attrs.first;
        $$->model.name = name_of($IDENT, @IDENT);
        $$->model.members = $mitems.first;
      }
    | attrs "model" error "{" mitems "}" { $$ = NULL; }
    | error ";"                   { $$ = NULL; yyerrok; }
    | error body                  { $$ = NULL; }
    ;
decl: IDENT "=" expr          { $$ = decl(name_of($IDENT, @IDENT), NULL, $expr); }
    | IDENT ":" type "=" expr { $$ = decl(name_of($IDENT, @IDENT), $type, $expr); }
    | IDENT "==" expr         { habit_equal(p, @2); $$ = decl(name_of($IDENT, @IDENT), NULL, $expr); }
    ;
assertion: "assert" expr ";"            { $$ = (Assertion){$expr, NULL}; }
         | "assert" expr "," STRING ";" {
             Expr *text = expr_new(p, EX_STRING, @STRING);
             text->name = name_of($STRING, @STRING);
             $$ = (Assertion){$expr, text};
           }
         ;

attrs: %empty { $$ = (AttributeList){0}; }
     | attrs[l] "#[" attr_list[new] "]" {
         $$ = $l;
         $new.first->starts_group = true;
         APPEND($$, $new.first);
         $$.last = $new.last;
       }
     ;
attr_list: attr               { ONE($$, $attr); }
     | attr_list[l] "," attr  { $$ = $l; APPEND($$, $attr); }
     ;
attr: IDENT { $$ = NEW(p->arena, Attribute); $$->name = name_of($IDENT, @IDENT); $$->at = @$; }
    | IDENT "(" args ")" {
        $$ = NEW(p->arena, Attribute);
        *$$ = (Attribute){.name = name_of($IDENT, @IDENT), .args = $args.first, .parens = true, .at = @$};
      }
    ;

/* ---- functions ---- */
fndef: IDENT generics "(" fparams ")" result fnbody {
         $$ = fn_node(p, name_of($IDENT, @IDENT), $generics.first, $fparams.first, $result, $fnbody,
                      span_join(@IDENT, @result));
         if (!$result)
             habit_no_type(p, "the result of", $$->name, @5, "-> real[...]");
       }
     ;
entrydef: IDENT "(" fparams ")" result fnbody {
         $$ = fn_node(p, name_of($IDENT, @IDENT), NULL, $fparams.first, $result, $fnbody, span_join(@IDENT, @result));
         if (!$result)
             habit_no_type(p, "the result of", $$->name, @4, "-> real[]");
       }
     ;
result: "->" type { $$ = $type; }
      | %empty    { $$ = NULL; }
      ;
generics: %empty       { $$ = (GenericList){0}; }
        | "[" gens "]" { $$ = $gens; }
        ;
gens: gen              { ONE($$, $gen); }
    | gens[l] "," gen  { $$ = $l; APPEND($$, $gen); }
    ;
gen: IDENT      { $$ = NEW(p->arena, Generic); *$$ = (Generic){.name = $IDENT, .at = @$}; }
   | ".." IDENT { $$ = NEW(p->arena, Generic); *$$ = (Generic){.name = $IDENT, .run = true, .at = @$}; }
   ;
fparams: %empty      { $$ = (FnParamList){0}; }
       | fparam_list
       ;
fparam_list: fparam                    { ONE($$, $fparam); }
           | fparam_list[l] "," fparam { $$ = $l; APPEND($$, $fparam); }
           ;
fparam: IDENT ":" type          { $$ = NEW(p->arena, FnParam); *$$ = (FnParam){name_of($IDENT, @IDENT), $type, NULL, NULL}; }
      | IDENT ":" type "=" expr { $$ = NEW(p->arena, FnParam); *$$ = (FnParam){name_of($IDENT, @IDENT), $type, $expr, NULL}; }
      | IDENT {
          $$ = NEW(p->arena, FnParam);
          $$->name = name_of($IDENT, @IDENT);
          habit_no_type(p, "argument", $$->name, @IDENT, ": real[...]");
        }
      ;
fnbody: body         { $$ = (FnBody){$body.first, NULL, true}; }
      | "=" expr ";" { $$ = (FnBody){NULL, $expr, false}; }
      ;

/* ---- types ---- */
type: IDENT              { $$ = NEW(p->arena, TypeExpr); $$->name = name_of($IDENT, @IDENT); $$->at = @$; }
    | IDENT "[" "]"      {
        $$ = NEW(p->arena, TypeExpr);
        *$$ = (TypeExpr){.name = name_of($IDENT, @IDENT), .shaped = true, .at = @$};
      }
    | IDENT "[" dims "]" {
        $$ = NEW(p->arena, TypeExpr);
        *$$ = (TypeExpr){.name = name_of($IDENT, @IDENT), .shaped = true, .dims = $dims.first, .at = @$};
      }
    | "(" type[first] "," types ")" {
        $$ = NEW(p->arena, TypeExpr);
        $first->next = $types.first;
        *$$ = (TypeExpr){.parts = $first, .at = @$};
      }
    ;
types: type               { ONE($$, $type); }
     | types[l] "," type  { $$ = $l; APPEND($$, $type); }
     ;
dims: dim              { ONE($$, $dim); }
    | dims[l] "," dim  { $$ = $l; APPEND($$, $dim); }
    ;
dim: expr       { $$ = NEW(p->arena, Dim); $$->extent = $expr; $$->at = @$; }
   | ".." IDENT { $$ = NEW(p->arena, Dim); $$->run = name_of($IDENT, @IDENT); $$->at = @$; }
   ;

/* ---- models ---- */
mitems: %empty           { $$ = (ItemList){0}; }
      | mitems[l] mitem  { $$ = $l; APPEND($$, $mitem); }
      ;
mitem: attrs "param" typed_decl ";" {
         $$ = item_new(p, IT_PARAM, span_join(@2, @4));
         $$->attrs = $attrs.first;
         $$->decl = $typed_decl;
       }
     | attrs "fn" fndef       { $$ = fn_item(p, IT_FN, $attrs.first, $fndef, span_join(@2, @3)); }
     | attrs "block" fndef    { $$ = fn_item(p, IT_BLOCK, $attrs.first, $fndef, span_join(@2, @3)); }
     | attrs "entry" entrydef { $$ = fn_item(p, IT_ENTRY, $attrs.first, $entrydef, span_join(@2, @3)); }
     | "const" decl ";"       { $$ = item_new(p, IT_CONST, @$); $$->decl = $decl; }
     | "train" IDENT "{" train_keys "}" {
         $$ = item_new(p, IT_TRAIN, @$);
         $$->train.entry = name_of($IDENT, @IDENT);
         $$->train.keys = $train_keys.first;
       }
     | "train" error "{" train_keys "}" { $$ = NULL; }
     | error ";"              { $$ = NULL; yyerrok; }
     | error body             { $$ = NULL; }
     ;
typed_decl: IDENT ":" type "=" expr { $$ = decl(name_of($IDENT, @IDENT), $type, $expr); }
          | IDENT "=" expr {
              $$ = decl(name_of($IDENT, @IDENT), NULL, $expr);
              habit_no_type(p, "the declaration of", $$.name, @IDENT, ": real[...]");
            }
          ;
train_keys: %empty                   { $$ = (TrainKeyList){0}; }
          | train_keys[l] train_key  { $$ = $l; APPEND($$, $train_key); }
          ;
train_key: IDENT "=" expr ";" {
             $$ = NEW(p->arena, TrainKey);
             *$$ = (TrainKey){.key = name_of($IDENT, @IDENT), .value = $expr};
           }
         | error ";"          { $$ = NULL; yyerrok; }
         ;

/* ---- statements ---- */
body: "{" stmts "}" { $$ = $stmts; }
    ;
stmts: %empty         { $$ = (StmtList){0}; }
     | stmts[l] stmt  { $$ = $l; APPEND($$, $stmt); }
     ;
stmt: attrs simple        { $$ = $simple; $$->attrs = $attrs.first; }
    | "const" decl ";"    { $$ = stmt_new(p, ST_CONST, @$); $$->decl = $decl; }
    | ifstmt
    | "return" expr ";"   { $$ = stmt_new(p, ST_RETURN, @$); $$->value = $expr; }
    | assertion           { $$ = stmt_new(p, ST_ASSERT, @$); $$->assertion = $1; }
    | error ";"           { $$ = NULL; yyerrok; }
    | error body          { $$ = NULL; }
    ;
simple: "param" typed_decl ";"  { $$ = stmt_new(p, ST_PARAM, @$); $$->decl = $typed_decl; }
      | "state" typed_decl ";"  { $$ = stmt_new(p, ST_STATE, @$); $$->decl = $typed_decl; }
      | IDENT "=" expr ";" {
          $$ = stmt_new(p, ST_BIND, @$);
          $$->bind.names = name_node(p, $IDENT, @IDENT);
          $$->bind.value = $expr;
        }
      | IDENT "==" expr ";" {
          habit_equal(p, @2);
          $$ = stmt_new(p, ST_BIND, @$);
          $$->bind.names = name_node(p, $IDENT, @IDENT);
          $$->bind.value = $expr;
        }
      | "(" IDENT[head] "," names ")" "=" expr ";" {
          $$ = stmt_new(p, ST_BIND, @$);
          $$->bind.names = name_node(p, $head, @head);
          $$->bind.names->next = $names.first;
          $$->bind.tuple = true;
          $$->bind.value = $expr;
        }
      | IDENT "<-" expr ";" {
          $$ = stmt_new(p, ST_UPDATE, @$);
          $$->update.name = name_of($IDENT, @IDENT);
          $$->update.value = $expr;
        }
      | "repeat" path "[" IDENT "in" range "]" body {
          $$ = stmt_new(p, ST_REPEAT, @$);
          $$->repeat.path = $path.first;
          $$->repeat.index = name_of($IDENT, @IDENT);
          $$->repeat.lo = $range.lo;
          $$->repeat.hi = $range.hi;
          $$->repeat.body = $body.first;
        }
      | body { $$ = stmt_new(p, ST_BLOCK, @$); $$->block.body = $body.first; }
      ;
range: expr[lo] ".." expr[hi] { $$ = (Range){$lo, $hi}; }
     ;
ifstmt: "if" error body               { $$ = NULL; }
      | "if" error body "else" body   { $$ = NULL; }
      | "if" error body "else" ifstmt { $$ = NULL; }
      | "if" expr body { $$ = stmt_new(p, ST_IF, @$); $$->cond.c = $expr; $$->cond.then = $body.first; }
      | "if" expr body[then] "else" body[other] {
          $$ = stmt_new(p, ST_IF, @$);
          $$->cond.c = $expr;
          $$->cond.then = $then.first;
          $$->cond.other = $other.first;
          $$->cond.has_else = true;
        }
      | "if" expr body "else" ifstmt[other] {
          $$ = stmt_new(p, ST_IF, @$);
          $$->cond.c = $expr;
          $$->cond.then = $body.first;
          $$->cond.other = $other;
          $$->cond.has_else = true;
        }
      ;
path: IDENT              { ONE($$, name_node(p, $IDENT, @IDENT)); }
    | path[l] "." IDENT  { Name *n = name_node(p, $IDENT, @IDENT); $$ = $l; APPEND($$, n); }
    ;
names: IDENT              { ONE($$, name_node(p, $IDENT, @IDENT)); }
     | names[l] "," IDENT { Name *n = name_node(p, $IDENT, @IDENT); $$ = $l; APPEND($$, n); }
     ;

/* ---- expressions ---- */
expr: or
    | "if" expr[c] "then" expr[x] "else" expr[y] { $$ = expr_if(p, $c, $x, $y, @$); }
    ;
or: and
  | or[x] "or" and[y]    { $$ = expr_binary(p, BIN_OR, $x, $y, @2, @$); }
  ;
and: not
   | and[x] "and" not[y] { $$ = expr_binary(p, BIN_AND, $x, $y, @2, @$); }
   ;
not: cmp
   | "not" not[x]        { $$ = expr_unary(p, EX_UNARY, UN_NOT, $x, @$); }
   ;
cmp: add
   | cmp[x] compare add[y] { $$ = expr_compare(p, $compare, $x, $y, @compare, @$); }
   ;
compare: "==" { $$ = BIN_EQ; } | "!=" { $$ = BIN_NE; } | "<" { $$ = BIN_LT; } | ">" { $$ = BIN_GT; }
       | "<=" { $$ = BIN_LE; } | ">=" { $$ = BIN_GE; }
       ;
add: mul
   | add[x] "+" mul[y] { $$ = expr_binary(p, BIN_ADD, $x, $y, @2, @$); }
   | add[x] "-" mul[y] { $$ = expr_binary(p, BIN_SUB, $x, $y, @2, @$); }
   ;
mul: unary
   | mul[x] times unary[y] { $$ = expr_binary(p, $times, $x, $y, @times, @$); }
   ;
times: "*" { $$ = BIN_MUL; } | "/" { $$ = BIN_DIV; } | "%" { $$ = BIN_MOD; } | "@" { $$ = BIN_MATMUL; }
     ;
unary: power
     | "-" unary[x] { $$ = expr_unary(p, EX_UNARY, UN_NEG, $x, @$); }
     ;
power: postfix
     | postfix[x] "**" unary[y] { $$ = expr_binary(p, BIN_POW, $x, $y, @2, @$); }
     ;
postfix: prim
       | call
       | postfix[x] "'"             { $$ = expr_unary(p, EX_TRANSPOSE, UN_NEG, $x, @$); }
       | postfix[x] "[" indexes "]" { $$ = expr_index(p, $x, $indexes.first, @$); }
       ;
call: IDENT "(" args ")"           { $$ = expr_call(p, name_of($IDENT, @IDENT), $args.first, NULL, @$); }
    | IDENT "(" args ")" "as" path { $$ = expr_call(p, name_of($IDENT, @IDENT), $args.first, $path.first, @$); }
    ;
indexes: index             { ONE($$, $index); }
       | indexes[l] "," index { $$ = $l; APPEND($$, $index); }
       ;
index: expr                     { $$ = index_new(p, IX_AT, $expr, NULL, @$); }
     | ":"                      { $$ = index_new(p, IX_ALL, NULL, NULL, @$); }
     | "_"                      { $$ = index_new(p, IX_NEW, NULL, NULL, @$); }
     | ".."                     { $$ = index_new(p, IX_RANGE, NULL, NULL, @$); }
     | expr ".."                { $$ = index_new(p, IX_RANGE, $expr, NULL, @$); }
     | ".." expr                { $$ = index_new(p, IX_RANGE, NULL, $expr, @$); }
     | expr[lo] ".." expr[hi]   { $$ = index_new(p, IX_RANGE, $lo, $hi, @$); }
     ;
args: %empty       { $$ = (ArgList){0}; }
    | arg_list
    | arg_list ","
    ;
arg_list: arg             { ONE($$, $arg); }
        | arg_list[l] "," arg { $$ = $l; APPEND($$, $arg); }
        ;
arg: expr           { $$ = arg_new(p, 0, (Span){0}, $expr); }
   | IDENT ":" expr { $$ = arg_new(p, $IDENT, @IDENT, $expr); }
   | IDENT "=" expr { $$ = arg_new(p, $IDENT, @IDENT, $expr); habit_named(p, $IDENT, @2, @expr); }
   ;
prim: IDENT   { $$ = expr_new(p, EX_NAME, @$); $$->name = name_of($IDENT, @$); }
    | INT     { $$ = expr_new(p, EX_INT, @$); $$->i = $INT; }
    | FLOAT   { $$ = expr_new(p, EX_FLOAT, @$); $$->f = $FLOAT; }
    | STRING  { $$ = expr_new(p, EX_STRING, @$); $$->name = name_of($STRING, @$); }
    | "true"  { $$ = expr_new(p, EX_BOOL, @$); $$->b = true; }
    | "false" { $$ = expr_new(p, EX_BOOL, @$); }
    | "(" expr ")" { $$ = expr_unary(p, EX_PAREN, UN_NEG, $expr, @$); }
    | "(" expr[first] "," exprs ")" { $first->next = $exprs.first; $$ = expr_list(p, EX_TUPLE, $first, @$); }
    | "[" "]"                      { $$ = expr_list(p, EX_LIST, NULL, @$); }
    | "[" exprs "]"                { $$ = expr_list(p, EX_LIST, $exprs.first, @$); }
    | "[" expr "for" binders "]"   { $$ = expr_table(p, $expr, $binders.first, @$); }
    ;
exprs: expr             { ONE($$, $expr); }
     | exprs[l] "," expr { $$ = $l; APPEND($$, $expr); }
     ;
binders: binder               { ONE($$, $binder); }
       | binders[l] "," binder { $$ = $l; APPEND($$, $binder); }
       ;
binder: IDENT "in" expr {
          $$ = NEW(p->arena, Binder);
          *$$ = (Binder){.name = $IDENT, .at = @IDENT, .extent = $expr};
        }
      ;
%%
static int anel_yylex(ANEL_YYSTYPE *value, Span *at, Parse *p)
{
    const Token *t = &p->tokens.tok[p->next];
    p->current = p->next;
    if (p->next + 1 < p->tokens.count)
        p->next++;
    *at = t->at;
    switch (t->kind) {
    case TOK_IDENT: value->TOK_IDENT = t->s; break;
    case TOK_STRING: value->TOK_STRING = t->s; break;
    case TOK_INT: value->TOK_INT = t->i; break;
    case TOK_FLOAT: value->TOK_FLOAT = t->f; break;
    default: break;
    }
    return t->kind;
}

static int yyreport_syntax_error(const yypcontext_t *cx, Parse *p)
{
    yysymbol_kind_t set[YYNTOKENS];
    int             n = yypcontext_expected_tokens(cx, set, YYNTOKENS);
    bool            expected[512] = {false}; /* by token code, which is at least 256 */
    for (int i = 0; i < n; i++)
        for (int code = 0; code < 512; code++)
            if (YYTRANSLATE(code) == set[i] && (code == 0 || code > TOK_ANEL_YYUNDEF))
                expected[code] = true;
    report_syntax(p, p->current, expected);
    return 0;
}

/* Called when the parser's stack overflows; syntax errors go to yyreport_syntax_error(). */
static void anel_yyerror(Span *at, Parse *p, const char *text)
{
    (void)text;
    if (!p->deep)
        diag_error(p->ds, "E0116", *at, "nested too deeply");
    p->deep = true;
}
