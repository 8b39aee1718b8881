/* loop.h: building a repeat whose region's inputs come up in any order.
 *
 *     Loop l = {.m = m, .scratch = a, .region = module_add_graph(m, name)};
 *     ValueId x = loop_input(&l, LOOP_XS, name, type, operand, at);   ... nodes and results of l.region ...
 *     ValueId node = loop_finish(&l, outer, &proto);
 *
 * loop_finish() sorts the inputs into carries, xs and invariants (keeping the order within each) and appends the repeat
 * with the operands in that order. */
#ifndef ANEL_PASSES_LOOP_H
#define ANEL_PASSES_LOOP_H

#include "passes/pass.h"

typedef enum { LOOP_CARRY, LOOP_XS, LOOP_INVARIANT, LOOP_KINDS } LoopKind;

typedef struct {
    Module   *m;
    Arena    *scratch;
    Graph    *region;
    ValueId  *operand; /* in the outer graph */
    LoopKind *kind;
    uint32_t  inputs, operand_cap, kind_cap;
} Loop;

/* A new input of the region, with role BWD; its type is that of one iteration. */
ValueId loop_input(Loop *l, LoopKind kind, StrId name, Type type, ValueId operand, Span at);
/* `proto` is the repeat's node: op, first, n and reverse are set, the rest is filled in. */
ValueId loop_finish(Loop *l, Graph *outer, const Node *proto);

#endif
