/* ast.h: the syntax tree of the language: exactly what was written, with places; no meaning yet.
 *
 * The grammar's actions build these nodes and nothing else; elaborate.c gives them meaning; fmt.c prints them. Lists
 * are linked by `next` in source order. Everything lives in the arena of the parse. */
#ifndef ANEL_FRONTEND_AST_H
#define ANEL_FRONTEND_AST_H

#include "base/diag.h"
#include "base/intern.h"

typedef struct Expr Expr;
typedef struct Stmt Stmt;
typedef struct Item Item;
typedef struct FnDef FnDef;

/* An identifier with its place. */
typedef struct Name {
    StrId        id;
    Span         at;
    struct Name *next;
} Name;

/* ---- expressions ---- */
typedef enum {
    EX_INT,       /* 32_000           .i */
    EX_FLOAT,     /* 1e-5             .f */
    EX_STRING,    /* "..."            .name.id, escapes resolved */
    EX_BOOL,      /* true             .b */
    EX_NAME,      /* x                .name */
    EX_CALL,      /* f(a, n: b) as p  .call */
    EX_UNARY,     /* -x, not x        .un */
    EX_BINARY,    /* a @ b            .bin */
    EX_TRANSPOSE, /* x'               .un.x */
    EX_INDEX,     /* x[0..2, :, _]    .index */
    EX_TUPLE,     /* (a, b)           .list */
    EX_LIST,      /* [a, b]           .list */
    EX_TABLE,     /* [e for i in n, t in m]  .table */
    EX_IF,        /* if c then a else b      .cond */
    EX_PAREN,     /* (a)              .un.x, kept for the formatter */
    EX_POISON,    /* a syntax error was told here */
} ExprKind;

typedef enum {
    BIN_ADD, BIN_SUB, BIN_MUL, BIN_DIV, BIN_MOD, BIN_MATMUL, BIN_POW,
    BIN_EQ, BIN_NE, BIN_LT, BIN_GT, BIN_LE, BIN_GE, BIN_AND, BIN_OR,
} BinOp;
typedef enum { UN_NEG, UN_NOT } UnOp;

typedef struct Arg {
    StrId       name; /* 0: positional */
    Span        name_at;
    Expr       *value;
    struct Arg *next;
} Arg;

typedef enum {
    IX_AT,    /* x[i]      .lo */
    IX_ALL,   /* x[:] */
    IX_NEW,   /* x[_] */
    IX_RANGE, /* x[a..b]   .lo, .hi, either may be NULL */
} IndexKind;
typedef struct Index {
    IndexKind     kind;
    Expr         *lo, *hi;
    Span          at;
    struct Index *next;
} Index;

typedef struct Binder { /* i in n */
    StrId          name;
    Span           at;
    Expr          *extent;
    struct Binder *next;
} Binder;

struct Expr {
    ExprKind kind;
    Span     at;
    uint16_t depth; /* of the tree below, from 1; the parser refuses trees too deep for recursion */
    union {
        int64_t i;
        double  f;
        bool    b;
        Name    name;
        struct { Name fn; Arg *args; Name *label; /* path after `as`, or NULL */ } call;
        struct { UnOp op; Expr *x; } un;
        struct { BinOp op; Expr *x, *y; Span op_at; } bin;
        struct { Expr *x; Index *ix; } index;
        Expr *list;
        struct { Expr *body; Binder *binders; } table;
        struct { Expr *c, *x, *y; } cond;
    };
    Expr *next; /* in .list */
};

/* ---- types ---- */
typedef struct Dim {
    Expr       *extent; /* NULL for ..B */
    Name        run;    /* with extent NULL */
    Span        at;
    struct Dim *next;
} Dim;
typedef struct TypeExpr {
    Name             name;   /* real f32 f16 i32 tok bool; int float str for static values; id 0: a tuple */
    bool             shaped; /* [...] was written */
    Dim             *dims;
    struct TypeExpr *parts;  /* of a tuple */
    Span             at;
    struct TypeExpr *next;
} TypeExpr;

/* ---- attributes ---- */
typedef struct Attribute {
    Name              name;
    Arg              *args;
    bool              parens; /* name() was written */
    Span              at;
    struct Attribute *next;
    bool              starts_group; /* first of a #[...] bracket */
} Attribute;

/* ---- functions ---- */
typedef struct Generic {
    StrId           name;
    bool            run; /* ..B */
    Span            at;
    struct Generic *next;
} Generic;
typedef struct FnParam {
    Name            name;
    TypeExpr       *type;
    Expr           *init; /* default, or NULL */
    struct FnParam *next;
} FnParam;
struct FnDef {
    Name       name;
    Generic   *generics;
    FnParam   *params;
    TypeExpr  *result;
    Stmt      *body;  /* with braces */
    Expr      *value; /* = expr; exactly one of body and value is set (an empty body: both NULL) */
    bool       braces;
    Span       at; /* of the header */
};

/* ---- statements ---- */
typedef enum {
    ST_PARAM,  /* param w: T = init;             .decl */
    ST_STATE,  /* state s: T = init;             .decl */
    ST_BIND,   /* x = e;  (a, b) = e;            .bind */
    ST_UPDATE, /* s <- e;                        .update */
    ST_REPEAT, /* repeat p[L in a..b] { }        .repeat */
    ST_BLOCK,  /* { } with attributes            .block */
    ST_CONST,  /* const c: T = e;                .decl */
    ST_IF,     /* if c { } else { }              .cond */
    ST_RETURN, /* return e;                      .value */
    ST_ASSERT, /* assert e, "text";              .assertion */
} StmtKind;

typedef struct {
    Name      name;
    TypeExpr *type; /* may be NULL for const and config */
    Expr     *init;
} Decl;

typedef struct {
    Expr *cond;
    Expr *text; /* EX_STRING or NULL */
} Assertion;

struct Stmt {
    StmtKind   kind;
    Span       at;
    Attribute *attrs;
    union {
        Decl decl;
        struct { Name *names; bool tuple; Expr *value; } bind;
        struct { Name name; Expr *value; } update;
        struct { Name *path; Name index; Expr *lo, *hi; Stmt *body; } repeat;
        struct { Stmt *body; } block;
        struct { Expr *c; Stmt *then, *other; bool has_else; } cond; /* `else if`: other is one ST_IF */
        Expr     *value;
        Assertion assertion;
    };
    Stmt *next;
};

/* ---- items ---- */
typedef enum {
    IT_USE,    /* use "std/nn.anel";   .use */
    IT_CONFIG, /* .decl */
    IT_CONST,  /* .decl */
    IT_ASSERT, /* .assertion */
    IT_FN,     /* .fn */
    IT_BLOCK,  /* .fn */
    IT_MODEL,  /* .model */
    IT_PARAM,  /* model member  .decl */
    IT_ENTRY,  /* model member  .fn (no generics) */
    IT_TRAIN,  /* model member  .train */
} ItemKind;

typedef struct TrainKey {
    Name             key;
    Expr            *value;
    struct TrainKey *next;
} TrainKey;

struct Item {
    ItemKind   kind;
    Span       at;
    Attribute *attrs;
    union {
        struct { StrId path; Span at; } use;
        Decl      decl;
        Assertion assertion;
        FnDef    *fn;
        struct { Name name; Item *members; } model;
        struct { Name entry; TrainKey *keys; } train;
    };
    Item *next;
};

/* A comment, kept beside the tree for the formatter. */
typedef struct Comment {
    Span            at; /* including the slashes */
    struct Comment *next;
} Comment;

typedef struct {
    uint32_t file; /* in Sources */
    Item    *items;
    Comment *comments;
    bool     ok; /* no syntax error was told */
} File;

/* Parse a registered source file. Never NULL; syntax errors are in `ds` and file->ok is false. */
File *parse_file(Arena *a, Interner *strings, const Sources *sources, uint32_t file, Diags *ds);
/* Parse one expression, for -D name=expr; `sources` names the text. NULL after diagnostics. */
Expr *parse_expr(Arena *a, Interner *strings, const Sources *sources, uint32_t file, Diags *ds);
/* The one spelling of a file: `out` gets its text, comments kept. The file must have parsed. */
void fmt_file(const File *f, const Interner *strings, const Sources *sources, Buf *out);

#endif
