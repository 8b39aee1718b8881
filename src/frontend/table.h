/* table.h: the compiled element expression of a table: table.c makes it, table_run.c runs it. */
#ifndef ANEL_FRONTEND_TABLE_H
#define ANEL_FRONTEND_TABLE_H

#include "frontend/elab.h"

typedef union {
    int64_t i;
    double f;
    bool b;
} Num;

typedef enum {
    T_CONST,
    T_SLOT,
    T_FLOAT, /* of an int */
    T_ADD,
    T_SUB,
    T_MUL,
    T_DIV,
    T_MOD,
    T_POW,
    T_NEG,
    T_MIN,
    T_MAX,
    T_ABS,
    T_FLOOR_DIV,
    T_CEIL_DIV,
    T_EQ,
    T_NE,
    T_LT,
    T_GT,
    T_LE,
    T_GE,
    T_AND,
    T_OR,
    T_NOT,
    T_IF,
    T_FN,
    T_PICK,
    T_ONCE, /* one child that depends on a single binder: computed once per value of that binder */
} TOp;

typedef struct TNode {
    TOp op;
    ValueKind kind; /* V_INT, V_FLOAT, V_BOOL */
    struct TNode *a, *b, *c;
    Num value;
    uint32_t slot;
    StaticFn fn;
    Value list;
    const Expr *x;
    Num *once; /* T_ONCE: values by binder `slot`, and which are there */
    bool *known;
} TNode;

enum { MAX_BINDERS = MAX_VALUE_RANK };

typedef struct {
    int64_t slot[MAX_BINDERS]; /* the binders' values */
    const TNode *bad;          /* the first node that had no value, and why */
    const char *why;
} TRun;

/* Put T_ONCE over what is dear (powers, functions) and depends on one binder, as the frequencies of a rotary table
 * do. */
TNode *table_once(Arena *a, TNode *n, Shape s);
Num table_run(TRun *r, const TNode *n);

#endif
