/* exec_rig.h: a small model made by hand for tests of the executor: three layers x + W x on the device, forward and
 * backward, a head with cross entropy and the weight gradients on the CPU; and the same model in fp64. */
#ifndef TESTS_EXEC_RIG_H
#define TESTS_EXEC_RIG_H

#include "exec.h"

enum { D = 8, S = 6, V = 5, LAYERS = 3, FIRST = 2 }; /* layers are numbered from FIRST */

/* The MIL text of all three programs. */
extern const char   exec_mil[];
extern const size_t exec_mil_len;

typedef struct {
    Arena   *arena;
    Device  *device;
    Plan    *plan;
    Exec    *exec;
    uint32_t loss;
    char     base[64];
    char    *dir;
    Buf      err;
} Model;

/* The model on the host device, in a plan directory of its own; with fp64 arithmetic and fp32 ports if `exact`. Parameters:
 * embed, head, layers.2.w to layers.4.w, and base, which is frozen. `weights` is the plan's weight mode. */
Model model_with(bool exact, const char *weights);
Model model(bool exact);
void  end(Model *m);
/* Compile what the entry needs, both ways. */
void bake(Model *m);

/* Loss, and gradients of embed, head and the layers' weights, in fp64. */
typedef struct {
    double loss, embed[V * D], head[V * D], w[LAYERS][D * D];
} Truth;
Truth truth(const Model *m);
/* Largest distance of `got` from `factor` times `want`, relative to the largest value. */
double farthest(const double *want, const float *got, int n, double factor);

#endif
