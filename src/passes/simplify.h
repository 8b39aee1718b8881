/* simplify.h: what the clean-up's files share. A graph is rebuilt node by node through emit(), which first asks the
 * rules (algebra.c, fold.c), then looks for an equal value (cse.c), and only then appends a node. Rules build their
 * results through emit() too, so chains collapse in one go. */
#ifndef ANEL_PASSES_SIMPLIFY_H
#define ANEL_PASSES_SIMPLIFY_H

#include "passes/pass.h"

typedef struct {
    Module      *m;
    Arena       *scratch;
    bool         joint;   /* after differentiation: stop_grad may go */
    const Graph *from;    /* the graph being rebuilt */
    Graph       *g;       /* its successor */
    ValueId     *map;     /* from -> g */
    uint32_t    *uses;    /* of values of `from`, by live nodes */
    ValueId      at;      /* the node of `from` that is being rebuilt */
    uint32_t     rewrites;
    /* value numbering: open addressing, values of g */
    ValueId  *slot;
    uint64_t *hash;
    uint32_t  slots, used;
} Simp;

/* The value of `proto` applied to `in` in s->g. */
ValueId emit(Simp *s, const Node *proto, const ValueId *in, uint32_t n_in);

/* cse.c: an equal value of g, or 0; otherwise remember `v`. `key_node` has its type. */
ValueId cse_find(Simp *s, const Node *key_node, const ValueId *in, uint32_t n_in);
void    cse_add(Simp *s, ValueId v);

/* fold.c: the constant that the node computes, or 0. */
ValueId fold_constant(Simp *s, const Node *n, const ValueId *in);
/* Is `v` a splat? Its value then goes to *c. */
bool is_splat(const Simp *s, ValueId v, double *c);

/* algebra.c: an equal and simpler value, or 0. `n` has its type. */
ValueId algebra_rule(Simp *s, const Node *n, const ValueId *in);

/* region.c: make the interface between `g` and the regions of its repeats as small as it can be. True if changed. */
bool regions_trim(Module *m, Graph *g, Arena *scratch);

#endif
