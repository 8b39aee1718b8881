/* passes.h: the middle of the compiler: what runs between the front end and the back end. */
#ifndef ANEL_PASSES_PASSES_H
#define ANEL_PASSES_PASSES_H

#include "base/diag.h"
#include "ir/graph.h"

typedef enum { DUMP_NONE, DUMP_AFTER, DUMP_ALL, DUMP_CHANGED } DumpMode;

typedef struct {
    Diags      *diags;
    DumpMode    dump;
    const char *dump_pass; /* with DUMP_AFTER */
    FILE       *dump_to;
    const char *stop_after; /* NULL: run all */
} PassOptions;

/* Run the pipeline of passes.def on `m` in place: entries' graphs are replaced by the passes' results. After it, the
 * training entry's graph computes the loss, contains the backward graph and `grad` sinks, every node has a device, and
 * the values saved for the backward direction are chosen. False after diagnostics. */
bool passes_run(Module *m, const PassOptions *opt);

/* The pass of that name? For --dump=after:NAME and --stop-after=NAME. */
bool pass_exists(const char *name);
void passes_list(FILE *out);

/* ---- single passes, for tests and gradcheck ---- */

/* Reverse-mode differentiation of `loss` (a graph with one real[] result): a new graph with the same inputs plus a last
 * one, "loss_scale" (f32[], the cotangent of the result), the same result, and one `grad` sink per use of a parameter
 * that is not frozen; backward nodes have ROLE_BWD. NULL after diagnostics (a state in the loss, no gradient). */
Graph *autodiff(Module *m, const Graph *loss, Diags *ds);

/* The adjoint of `f`, a graph with one result: a new graph with the inputs of f plus a last one, "dy" (the cotangent of
 * the result); its results are the cotangents of f's real inputs, in order. Parameters get sinks as above. */
Graph *adjoint_graph(Module *m, const Graph *f);

/* ---- gradcheck ---- */
typedef struct {
    uint64_t seed;
    uint32_t entries;         /* elements of each parameter tensor compared with central differences; 0 = all */
    double   tol_diff, tol_dot;
} GradcheckOptions;

typedef struct {
    StrId    path;
    uint32_t entries;          /* compared */
    double   worst_diff;       /* relative error against central differences */
    double   worst_dot;        /* relative error of the dot-product test */
} GradcheckRow;

/* Check every parameter of the training entry (before passes_run): rows in the order of m->param, frozen ones left out.
 * Returns false after diagnostics when the check could not be made; whether it passed is for the caller to see. */
bool gradcheck(Module *m, const GradcheckOptions *opt, Diags *ds, GradcheckRow **rows, uint32_t *n_rows);

#endif
