/* elab_rig.h: compiling and running small programs in tests. */
#ifndef TEST_ELAB_RIG_H
#define TEST_ELAB_RIG_H

#include "frontend/elaborate.h"
#include "ir/eval.h"

typedef struct {
    Arena *a;
    Sources *sources;
    Diags *ds;
    Module *m; /* NULL: it did not compile */
    Buf buf;
    EvalEnv env;
} Elabed;

/* Compile a text (written to a file of a temporary folder) or a file of the project. `defines`: "dim=12 heads=2". A
 * module that comes out is verified. */
Elabed elab_text(const char *text, const char *defines);
Elabed elab_file(const char *path, const char *defines);
/* ... and must be right. */
Elabed elab_ok(const char *text);
void elab_free(Elabed *t);
const char *elab_errors(Elabed *t); /* rendered */
/* The code of the first error, "" if there is none. */
const char *elab_code(const Elabed *t);
/* Compile, expect exactly these codes ("E0404 E0405") and a rendering that contains `part` (NULL: anything). */
void elab_bad(const char *text, const char *codes, const char *part);

/* Parameters by their initialisers, plus 0.1 times noise so that ones are not ones; states by theirs. */
void elab_init(Elabed *t);
/* Run an entry: inputs given as arrays in order, first result returned. */
const double *elab_run(Elabed *t, const char *entry, const double *const *in, uint32_t n_in);
/* Result of an entry without arguments, as an array. */
const double *elab_value(Elabed *t, const char *entry);
const Graph *elab_graph(Elabed *t, const char *entry);
/* How many nodes of `op` the graph has. */
uint32_t elab_count(const Graph *g, Op op);
const Param *elab_param(const Elabed *t, const char *path);
int64_t elab_elements(const Elabed *t); /* of all parameters */

#endif
