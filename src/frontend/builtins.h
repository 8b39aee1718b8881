/* builtins.h: one call of a builtin: builtins.c sorts its arguments, builtins.c and builtins_shape.c carry it out. */
#ifndef ANEL_FRONTEND_BUILTINS_H
#define ANEL_FRONTEND_BUILTINS_H

#include "frontend/elab.h"

enum { MAX_SLOTS = 4, MAX_PARTS = 64 };

typedef struct Row Row;
typedef struct {
    Elab *e;
    const Expr *x;
    const Row *row;
    const Expr *arg[MAX_SLOTS];  /* NULL: left out */
    Value value[MAX_SLOTS];      /* axes and shapes are not evaluated here */
    const Expr *part[MAX_PARTS]; /* what `*` took */
    uint32_t parts;
} Call;

typedef Value BuiltinFn(Call *c);
struct Row {
    const char *name, *args;
    BuiltinFn *run;
};

/* Poison, after "'sum' needs a real tensor, and this is ..". */
Value needs(Call *c, uint32_t slot, const char *what);
/* Argument `slot` as a tensor of reals, or of i32, of the graph under construction. False after a message. */
bool real_tensor(Call *c, uint32_t slot, Value *out);
bool index_tensor(Call *c, uint32_t slot, Value *out);

static inline bool is_real(DType d)
{
    return d == DT_REAL || d == DT_F16 || d == DT_F32;
}

#define BUILTIN(name, run, args, help) BuiltinFn builtin_##run;
#include "frontend/builtins.def"

#endif
