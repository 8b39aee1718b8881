/* elaborate.h: from source files to graphs: the front end's one entry point for the driver. */
#ifndef ANEL_FRONTEND_ELABORATE_H
#define ANEL_FRONTEND_ELABORATE_H

#include "base/diag.h"
#include "ir/graph.h"

/* -D name=value as written on the command line (or in an -D @file, which the driver expands). */
typedef struct {
    const char *name, *value;
    const char *origin; /* "the command line (-D heads=10)" or "small.cfg:3" */
} Override;

typedef struct {
    const Override *override;
    uint32_t        overrides;
    const char    **search; /* directories that hold "std/...": tried in order for `use` */
    uint32_t        searches;
} FrontendOptions;

/* Read `path` and the files it uses, check everything, and build the module: every entry's graph, parameters, states,
 * tables, train settings, resolved configuration. NULL after diagnostics. Everything lives in `a`. */
Module *frontend_compile(Arena *a, Sources *sources, const char *path, const FrontendOptions *opt, Diags *ds);

#endif
