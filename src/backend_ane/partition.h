/* partition.h: which nodes form one ANE program. */
#ifndef ANEL_BACKEND_ANE_PARTITION_H
#define ANEL_BACKEND_ANE_PARTITION_H

#include "base/diag.h"
#include "ir/graph.h"

struct Lock;

/* The programs of one graph. program[v] is the number of the program that computes value v (from 1; 0: not on the ANE,
 * or a leaf, which every program that reads it gets as its own constant). The quotient graph of programs, CPU nodes and
 * repeats is acyclic; numbers follow a topological order, forward before backward. */
typedef struct {
    uint32_t *program; /* [g->count] */
    uint32_t  programs;
} Partition;

/* The partitions of all graphs that the entries reach. */
typedef struct {
    Partition   *of;   /* [m->graphs], by graph id */
    const char **note; /* for --verbose: where the search was not exact */
    uint32_t     notes, notes_cap;
    const char  *lock; /* text of plan.lock: what was chosen */
} Partitions;

/* Divide every graph of `m` for m->target: the least predicted time with at most target->max_programs programs for the
 * forward and backward region of a repeat together, and as many for what an entry has around its repeats. `lock` (may
 * be NULL) is kept where that is legal; what it costs is told. False after diagnostics: E0802, E0804, E0805. */
bool partition_module(Arena *a, const Module *m, const struct Lock *lock, Partitions *out, Diags *ds);

/* One graph by itself, without pins of a lock; a graph that the target cannot hold is divided as if there were no
 * limits. */
Partition partition(Arena *a, const Module *m, const Graph *g);

/* A value that a program makes for itself instead of receiving it: parameters, tables, splats, views of them (reshape,
 * broadcast, transpose of a matrix), and parameter expressions. Whoever reads one gets his own, on either device. */
bool is_constant(const Graph *g, ValueId v);
/* `v` without those views. */
ValueId constant_behind(const Graph *g, ValueId v);

#endif
