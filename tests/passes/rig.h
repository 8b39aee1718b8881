/* rig.h: what the tests of the passes share: a module to build in, small models, evaluation of a graph with random
 * data. */
#ifndef ANEL_TESTS_PASSES_RIG_H
#define ANEL_TESTS_PASSES_RIG_H

#include "ir/eval.h"
#include "ir/text.h"
#include "passes/pass.h"

typedef struct {
    Arena   *a;
    Module  *m;
    Sources *sources;
    Diags   *ds;
} Rig;

Rig  rig_new(void);
void rig_free(Rig *r);

#define DIMS(...) ((int32_t[]){__VA_ARGS__})
#define SHAPE(...) shape_of((uint32_t)(sizeof DIMS(__VA_ARGS__) / sizeof(int32_t)), DIMS(__VA_ARGS__))
#define REAL(...) ((Type){DT_REAL, SHAPE(__VA_ARGS__)})
#define INTS(...) ((Type){DT_I32, SHAPE(__VA_ARGS__)})

StrId    str(Rig *r, const char *s);
uint32_t add_param(Rig *r, const char *path, Type t, Init init);
/* A parameter with a normal initialiser, and a `param` node for it in g. */
ValueId one_param(Rig *r, Graph *g, const char *path, Type t);
/* `param` for one leaf per iteration: "name.{L}" with n parameters. */
ValueId per_layer(Rig *r, Graph *g, const char *name, int32_t n, Type t, Init init);
ValueId input(Rig *r, Graph *g, const char *name, Type t);
ValueId mean(Rig *r, Graph *g, ValueId x);         /* real[]: average of all elements */
ValueId mean_of_squares(Rig *r, Graph *g, ValueId x);
ValueId rows(Rig *r, Graph *g, ValueId x, Shape s); /* [c] or [c, 1] to s = [c, S] */
Graph  *new_graph(Rig *r, const char *name);
void    train_on(Rig *r, Graph *loss); /* entry "loss" with a train section */

typedef struct {
    int32_t dim, hidden, heads, seq, vocab, layers;
    bool    calls;   /* rmsnorm is a call with a hand-written adjoint */
    bool    residual_values; /* the first layer's v is mixed into every layer: an invariant with a gradient */
} LlamaShape;
/* A llama-style model: embedding, `layers` layers in a repeat, tied head, cross-entropy. Entry "loss". */
Graph *llama(Rig *r, LlamaShape s);
/* One layer without a repeat on real inputs, mean of squares as the loss. */
Graph *llama_layer(Rig *r, LlamaShape s);

/* Loss and gradients of a differentiated graph (its last input is loss_scale) on data drawn from `seed`. Token inputs
 * stay below `vocab`. Result: loss, then every parameter's gradient in a row; *n elements. */
double *loss_and_gradients(Rig *r, const Graph *joint, uint64_t seed, int32_t vocab, double loss_scale, size_t *n);
/* Results of any graph on data drawn from `seed`, in a row. */
double *results_of(Rig *r, const Graph *g, uint64_t seed, int32_t vocab, size_t *n);
/* Largest difference, relative to the largest element. */
double  distance(const double *x, const double *y, size_t n);

uint32_t count_op(const Graph *g, Op op);
/* The only repeat with that role, or NULL. */
const Node *find_repeat(const Graph *g, Role role);
bool        verified(Rig *r, const char *after); /* prints what is wrong */
void        print_diags(const Rig *r);

#endif
