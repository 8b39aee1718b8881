/* atoms.h: one direction of a graph as a problem for ideals.h: what is divided, what may not be together, what it
 * costs. Internal to the partitioner. */
#ifndef ANEL_BACKEND_ANE_ATOMS_H
#define ANEL_BACKEND_ANE_ATOMS_H

#include "backend_ane/ideals.h"
#include "backend_ane/partition.h"
#include "backend_ane/work.h"

/* A value that may cross the border of a program, or a constant that may be needed in several. */
typedef struct {
    bool     constant, escapes; /* escapes: read outside of the engine, or in the other direction, or a result */
    uint32_t producer;          /* atom + 1; 0: comes from outside */
    uint32_t width;             /* index into Atoms.width */
    uint64_t channels, bytes, spill;
    Word    *readers;
} AtomValue;

typedef struct {
    Arena        *a;
    const Module *m;
    const Graph  *g;
    Role          role;
    uint32_t      updates;  /* micro-batches per compilation; 0: compiled once and for all */
    bool          limits;   /* heed what the target can hold */
    uint32_t     *atom;     /* [g->count] atom + 1 of each node, 0: not the engine's or the other direction */
    uint32_t      atoms, words;
    ValueId      *root;     /* [atoms] the last node */
    const char  **path;     /* [atoms] what people call it, unique: "layers.attention.q", "layers.attention.mul#2" */
    Work         *work;     /* [atoms] */
    Word         *before, *apart;
    AtomValue    *value;
    uint32_t      values, values_cap;
    uint32_t     *width;
    uint32_t      widths, widths_cap;
    uint64_t     *used;     /* [2 * widths] scratch of atoms_work() */
    bool          entangled; /* a group that cannot be one program */
} Atoms;

/* The atoms of the engine's nodes of `g` in direction `role`. `groups`: join what #[group] joins. `label` (may be
 * NULL): [g->count] programs that a lock assigns to nodes: equal numbers together, different ones apart, 0 free. */
Atoms atoms_of(Arena *a, const Module *m, const Graph *g, Role role, bool groups, const uint32_t *label);

/* What a program of these atoms does, and whether the target holds it. */
Work atoms_work(Atoms *x, const Word *set, bool *legal);
/* Cost of a program in ns per micro-batch; ChainCostFn. */
int64_t atoms_cost(void *atoms, const Word *set);

/* Divide: results for 1 to `max_programs` programs. */
ChainResult atoms_solve(Atoms *x, uint32_t max_programs);

#endif
