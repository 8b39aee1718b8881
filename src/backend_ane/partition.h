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

Partition partition(Arena *a, const Module *m, const Graph *g);

/* A value that a program makes for itself instead of receiving it: parameters, tables, splats, views of them (reshape,
 * broadcast, transpose of a matrix), and parameter expressions. Whoever reads one gets his own, on either device. */
bool is_constant(const Graph *g, ValueId v);

#endif
