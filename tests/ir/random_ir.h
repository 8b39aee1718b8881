/* random_ir.h: random well-typed modules for properties of the text form, the verifier and the evaluator. */
#ifndef ANEL_TESTS_IR_RANDOM_IR_H
#define ANEL_TESTS_IR_RANDOM_IR_H

#include "ir/graph.h"

/* Fill the empty module `m`: parameters, states, tables, a region that the last graph repeats, a called function, marks
 * of every kind. The same seed gives the same module. The entry is "main". */
void random_module(Module *m, uint64_t seed);

#endif
