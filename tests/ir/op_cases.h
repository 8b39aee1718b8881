/* op_cases.h: one list of small programs that between them use every operation, shared by the tests of shape rules,
 * values and tangents. A row without values here is a failing test. */
#ifndef ANEL_TESTS_IR_OP_CASES_H
#define ANEL_TESTS_IR_OP_CASES_H

#include "rig.h"

enum { CASE_OPERANDS = 3 };

typedef struct {
    Op          op;
    const char *operand[CASE_OPERANDS]; /* types of %a, %b, %c */
    const char *before;                 /* lines before, or NULL */
    const char *line;                   /* the operation with its operands and attributes */
    const char *result;                 /* type */
    double      lo, hi;                 /* range of the operands; both 0 = -2..2 */
    int         ints;                   /* integer operands are below this; 0 = 2 */
} OpCase;

extern const OpCase op_case[];
extern const size_t op_cases;

/* The text of the case's module; the graph is number 1. */
const char *case_text(Rig *r, const OpCase *c);
/* Operands as the case wants them, without tangents. */
Tensor *case_operands(Rig *r, const Module *m, const OpCase *c, uint64_t key);
/* An environment in which parameters and states have values. */
EvalEnv case_env(Rig *r, const Module *m);

/* Element `at` of the node's result by the operation's definition, written without a thought for speed. */
double define(const Module *m, const Node *n, const Tensor *in, const int32_t *at);

/* Step a multi-index through a shape; false after the last element. */
bool next_index(Shape s, int32_t *at);

#endif
