/* rig.h: what the tests of src/ir share: a module with an arena, diagnostics and short ways to make types and
 * numbers. */
#ifndef ANEL_TESTS_IR_RIG_H
#define ANEL_TESTS_IR_RIG_H

#include "ir/eval.h"
#include "ir/text.h"

typedef struct {
    Arena   *a;
    Sources *sources;
    Diags   *ds;
    Module  *m;
    Buf      buf; /* text of the last rig_print or rig_errors */
} Rig;

Rig  rig_new(void);
void rig_free(Rig *r);

/* Read a module called "t.ir"; NULL after diagnostics. */
Module *rig_read(Rig *r, const char *text);
/* Read and verify; fails the test unless both succeed. */
Module *rig_load(Rig *r, const char *text);
/* The diagnostics so far, rendered. */
const char *rig_errors(Rig *r);

Type real_of(uint32_t rank, const int32_t *dim);
#define REAL(...) real_of((uint32_t)COUNT(((int32_t[]){__VA_ARGS__})), (int32_t[]){__VA_ARGS__})

/* Fill with smooth, distinct numbers in (lo, hi), the same on every run. */
void fill(double *x, int64_t n, uint64_t key, double lo, double hi);
/* A tensor of that type with such numbers; integers are small and not negative. */
Tensor some_tensor(Arena *a, Type t, uint64_t key, double lo, double hi);

/* Run a graph; fails the test when evaluation does. */
Tensor *run(EvalEnv *env, const Graph *g, const Tensor *in);

#endif
