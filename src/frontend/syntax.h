/* syntax.h: what the lexer, the token repair, the grammar and the error reports share; nobody else includes it.
 *
 * A file goes through three steps. scan_file() turns the text into a list of tokens. repair_tokens() mends the list
 * where a mistake is plain from the tokens alone (a missing ';' or bracket, a keyword of another language), telling the
 * user about each change, so that the parser meets as few errors as possible. The Bison parser then builds the tree;
 * what it cannot digest goes to report_syntax(), which looks at the neighbouring tokens to say what is wrong. */
#ifndef ANEL_FRONTEND_SYNTAX_H
#define ANEL_FRONTEND_SYNTAX_H

#include "frontend/ast.h"

enum {
    NAME_MAX_BYTES = 63,
    BRACKETS_MAX = 200, /* open brackets at one place */
    EXPR_DEPTH_MAX = 1000,
};

typedef struct {
    int  kind; /* enum anel_yytokentype */
    Span at;
    union {
        int64_t i;
        double  f;
        StrId   s; /* names and strings */
    };
} Token;

typedef struct {
    Token   *tok;
    uint32_t count, cap;
} TokenList;

/* The state of one parse. */
typedef struct Parse {
    Arena         *arena;
    Interner      *strings;
    const Sources *sources;
    const Source  *source;
    uint32_t       file;
    Diags         *ds; /* NULL: scan quietly */
    TokenList      tokens;
    uint32_t       current, next; /* index of the parser's lookahead, and of the token after it */
    Comment       *comments, **comments_end;
    Item          *items; /* results */
    Expr          *expr;
    bool           deep; /* "nested too deeply" was told */
} Parse;

/* Scan the whole source: p->tokens ends with TOK_EOF. (parse.c) */
void scan_file(Parse *p);
/* One token; comments are appended to p->comments on the way. `*cursor` is a byte offset. (anel.re) */
Token scan_token(Parse *p, uint32_t *cursor);

void token_append(Parse *p, Token t);

/* Mend the token list. (repair.c) */
void repair_tokens(Parse *p);

/* Tell about the token the parser cannot digest: index into p->tokens; `expected` as Bison lists it. (report.c) */
void report_syntax(Parse *p, uint32_t index, const bool *expected);

/* How a token is named in messages: "'='", "'fn'", "name 'x'", "end of file". (token.c) */
const char *token_text(const Parse *p, const Token *t);
bool        token_is_keyword(int kind);
/* Can an expression end with this token? */
bool token_ends_operand(int kind);
/* The keyword spelled `s`, or 0. */
int keyword_kind(const char *s, size_t n);
const char *keyword_name(uint32_t i); /* NULL past the last */

/* Is `t` the name `word`? */
bool token_is_name(const Parse *p, const Token *t, const char *word);
/* Just after a token: where something is missing. */
Span span_after(Span at);

/* ---- nodes (build.c) ---- */
Expr *expr_new(Parse *p, ExprKind kind, Span at);
Expr *expr_unary(Parse *p, ExprKind kind, UnOp op, Expr *x, Span at);
Expr *expr_binary(Parse *p, BinOp op, Expr *x, Expr *y, Span op_at, Span at);
Expr *expr_compare(Parse *p, BinOp op, Expr *x, Expr *y, Span op_at, Span at);
Expr *expr_if(Parse *p, Expr *c, Expr *x, Expr *y, Span at);
Expr *expr_list(Parse *p, ExprKind kind, Expr *first, Span at);
Expr *expr_call(Parse *p, Name fn, Arg *args, Name *label, Span at);
Expr *expr_index(Parse *p, Expr *x, Index *ix, Span at);
Expr *expr_table(Parse *p, Expr *body, Binder *binders, Span at);
Arg *arg_new(Parse *p, StrId name, Span name_at, Expr *value);
Index *index_new(Parse *p, IndexKind kind, Expr *lo, Expr *hi, Span at);
Stmt *stmt_new(Parse *p, StmtKind kind, Span at);
Item *item_new(Parse *p, ItemKind kind, Span at);

/* Mistakes the grammar accepts in order to tell them: f(x=1), x == 1;, a declaration without its type. (build.c) */
void habit_named(Parse *p, StrId name, Span eq, Span value);
void habit_equal(Parse *p, Span op);
void habit_no_type(Parse *p, const char *what, Name n, Span after, const char *example);

/* A word of another language that begins a statement there. (habits.c) */
typedef struct {
    const char *word;
    int         kind; /* the keyword that was meant; 0: none is needed */
    const char *what, *ours;
} Habit;
const Habit *habit_of(const char *word); /* NULL: none known */

#endif
