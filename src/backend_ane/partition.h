/* partition.h: which nodes form one ANE program. */
#ifndef ANEL_BACKEND_ANE_PARTITION_H
#define ANEL_BACKEND_ANE_PARTITION_H

#include "ir/graph.h"

/* The programs of one graph. program[v] is the number of the program that computes value v (from 1; 0: not on the ANE,
 * or a leaf, which every program that reads it gets as its own constant). The quotient graph of programs, CPU nodes and
 * repeats is acyclic; numbers follow a topological order. */
typedef struct {
    uint32_t *program; /* [g->count] */
    uint32_t  programs;
} Partition;

Partition partition(Arena *a, const Graph *g);

/* A leaf that a program holds as a constant instead of receiving it: parameters, tables, splats. */
bool is_constant_leaf(const Node *n);

#endif
