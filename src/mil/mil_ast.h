/* mil_ast.h: the syntax tree of MIL text, and the function that reads it.
 *
 * The tree says what was written and where, nothing more; names are unresolved and declared types unchecked. Everything
 * lives in the arena given to mil_parse(). Lists are linked in source order. */
#ifndef ANEL_MIL_MIL_AST_H
#define ANEL_MIL_MIL_AST_H

#include "base/diag.h"
#include "base/intern.h"
#include "mil/mil_type.h"

typedef enum { FORM_VALUE, FORM_STATE, FORM_DICT } TypeForm;

typedef struct {
    TypeForm form;
    MilType  type; /* FORM_VALUE, and the content of FORM_STATE; not validated */
    bool     too_deep; /* more dimensions than fit */
    Span     at;
} AstType;

typedef enum {
    AST_NAME,
    AST_INT,
    AST_FLOAT,
    AST_BOOL,
    AST_STRING,
    AST_LIST,
    AST_TUPLE,
    AST_DICT,
    AST_TYPED,
    AST_BLOBFILE
} AstKind;

typedef struct AstValue AstValue;
typedef struct AstArg AstArg;

typedef struct {
    AstValue *first, *last;
    uint32_t  count;
} AstValues;

typedef struct {
    AstArg  *first, *last;
    uint32_t count;
} AstArgs;

struct AstValue {
    AstKind   kind;
    Span      at;
    AstValue *next;
    union {
        StrId name; /* AST_NAME, AST_STRING */
        struct {
            int64_t value;
            bool    hex; /* written 0x...: a bit pattern where a float is wanted */
        } i;
        double    f;
        bool      b;
        AstValues list; /* AST_LIST, AST_TUPLE, AST_DICT */
        struct {
            AstType  *type;
            AstValue *value;
        } typed;
        AstArgs args; /* AST_BLOBFILE */
    } u;
};

struct AstArg { /* name = value */
    StrId     name;
    Span      at; /* of the name */
    AstValue *value;
    AstArg   *next;
};

typedef struct AstParam { /* type name */
    AstType         *type;
    StrId            name;
    Span             at;
    struct AstParam *next;
} AstParam;

typedef struct {
    AstParam *first, *last;
    uint32_t  count;
} AstParams;

typedef struct AstStmt { /* results = op(args)[attributes]; */
    AstParams       results;
    StrId           op;
    Span            op_at;
    AstArgs         args;
    AstArgs         attributes;
    Span            whole; /* up to its semicolon */
    struct AstStmt *next;
} AstStmt;

typedef struct {
    AstStmt *first, *last;
    uint32_t count;
} AstStmts;

typedef struct AstFunc {
    StrId           name, opset;
    Span            at, opset_at;
    AstParams       params;
    AstStmts        body;
    AstValues       returns; /* names */
    Span            returns_at;
    Span            whole; /* from "func" to the last ";" */
    struct AstFunc *next;
} AstFunc;

typedef struct AstProgram {
    double   version;
    Span     version_at;
    AstArgs  attributes; /* buildInfo */
    AstFunc *first, *last;
    uint32_t functions;
} AstProgram;

enum { MIL_NESTING_MAX = 64 };

/* Append to one of the linked lists of the tree; `item` is a variable. */
#define AST_APPEND(list, item) \
    ((list).last ? (void)((list).last->next = (item)) : (void)((list).first = (item)), (list).last = (item))

/* Read file number `file` of `ds->sources`. NULL if anything is wrong, with the reasons in `ds`. */
AstProgram *mil_parse(Arena *a, Interner *names, Diags *ds, uint32_t file);

#endif
