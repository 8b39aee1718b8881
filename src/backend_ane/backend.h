/* backend.h: from placed graphs to a plan: the back end's one entry point.
 *
 * The graphs come out of passes_run(): every node has a device, adjoints are there, saved values are chosen. The back end
 * divides the ANE part of each graph into programs (partition.c), writes each as MIL text (program.c, mil_text.c, mil_ops.c),
 * turns everything else into steps over buffers (lower.c), and describes parameters, states and settings (describe.c). */
#ifndef ANEL_BACKEND_ANE_BACKEND_H
#define ANEL_BACKEND_ANE_BACKEND_H

#include "base/diag.h"
#include "ir/graph.h"
#include "plan/plan.h"

typedef struct {
    Plan     *plan; /* not yet resolved */
    PlanFile *file; /* mil/, map/, const/, src/ */
    uint32_t  files, files_cap;
    const char **note; /* for --verbose */
    uint32_t  notes;
} BackendResult;

struct Lock;

/* Build the plan of `m`; everything lives in `a`. False after diagnostics (a value that the target cannot hold). */
bool backend_ane(Arena *a, const Module *m, BackendResult *out, Diags *ds);
/* The same, keeping the partition of a lock (lock.h; may be NULL) where that is legal. */
bool backend_ane_locked(Arena *a, const Module *m, const struct Lock *lock, BackendResult *out, Diags *ds);

#endif
