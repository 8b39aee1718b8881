/* dist_window.c: see dist_window.h. */
#include "runtime/train/dist_window.h"

#include "runtime/train/dist_tree.h"

#include <stdlib.h>
#include <string.h>

/* Large enough to use the network fully, small enough to leave early; the size PyTorch settled on (Li et al. 2020). */
enum { BUCKET = 25 << 20 };

struct Window {
    Session  *s;
    Dist     *d;
    uint64_t  accum, size, first;
    double   *loss;  /* [size], then whether it overflowed */
    uint32_t *param; /* trained ones, in the order in which they are complete */
    uint32_t  params;
    /* by default, with several ranks */
    DistReduce *reduce;
    uint32_t   *place; /* [all parameters] in `param` */
    /* deterministic */
    bool      by_batch, overflowed;
    size_t    numbers;     /* of all trained gradients */
    float   **sum, **spare; /* vectors of so many numbers: of the nodes; unused */
    TreeNode *node;        /* of this rank, as far as it has come */
    uint32_t  nodes, spares, vectors;
    uint32_t *parts;       /* [ranks] nodes of each in the end */
    TreeNode *all;         /* of all ranks */
    uint32_t  all_nodes;
};

/* ---- the order of completion ---- */

typedef struct {
    uint32_t param, when; /* when: place in time of its last gradient */
} LastWrite;

static void last_writes(const Step *step, uint32_t n, uint32_t iteration, uint32_t *clock, LastWrite *of)
{
    for (uint32_t i = 0; i < n; i++) {
        const Step *s = &step[i];
        for (int32_t k = 0; s->kind == STEP_LOOP && k < s->n; k++)
            last_writes(s->body, s->bodies, (uint32_t)(s->reverse ? s->n - 1 - k : k), clock, of);
        for (uint32_t k = 0; k < s->outs; k++)
            if (s->out[k].kind == REF_GRAD)
                of[s->out[k].leaf[iteration]].when = ++*clock;
    }
}

static int compare(const void *a, const void *b)
{
    const LastWrite *x = a, *y = b;
    if (x->when != y->when)
        return x->when < y->when ? -1 : 1;
    return x->param < y->param ? -1 : x->param > y->param;
}

static void order_params(Window *w, uint32_t entry)
{
    const PlanEntry *e = &w->s->plan->entry[entry];
    uint32_t         all = exec_params(w->s->exec), clock = 0;
    LastWrite       *last = xcalloc(all + 1u, sizeof *last);
    w->param = xcalloc(all + 1u, sizeof *w->param);
    w->place = xcalloc(all + 1u, sizeof *w->place);
    for (uint32_t i = 0; i < all; i++)
        last[i].param = i;
    last_writes(e->backward, e->backwards, 0, &clock, last);
    last_writes(e->update, e->updates, 0, &clock, last);
    qsort(last, all, sizeof *last, compare);
    for (uint32_t i = 0; i < all; i++) {
        const ExecParam *p = exec_param(w->s->exec, last[i].param);
        if (p->group->frozen)
            continue;
        w->place[last[i].param] = w->params;
        w->param[w->params++] = last[i].param;
        w->numbers += p->numel;
    }
    free(last);
}

/* ---- life ---- */

static DistReduce *make_reduce(const Window *w)
{
    DistSpan *span = xcalloc(w->params + 1u, sizeof *span);
    for (uint32_t k = 0; k < w->params; k++) {
        const ExecParam *p = exec_param(w->s->exec, w->param[k]);
        span[k] = (DistSpan){p->grad, p->numel};
    }
    DistReduce *r = dist_reduce_new(w->d, span, w->params, BUCKET);
    free(span);
    return r;
}

static void make_tree(Window *w)
{
    uint32_t ranks = dist_size(w->d);
    TreeNode node[TREE_NODES];
    w->by_batch = true;
    w->parts = xcalloc(ranks, sizeof *w->parts);
    for (uint32_t r = 0; r < ranks; r++)
        w->all_nodes += w->parts[r] = tree_range(r * w->accum, w->accum, node, NULL);
    w->all = xcalloc(w->all_nodes, sizeof *w->all);
    uint32_t at = 0;
    for (uint32_t r = 0; r < ranks; at += w->parts[r++]) {
        tree_range(r * w->accum, w->accum, node, NULL);
        memcpy(w->all + at, node, w->parts[r] * sizeof *node);
    }
    tree_range(w->first, w->accum, node, &w->vectors);
    w->node = xcalloc(TREE_NODES, sizeof *w->node);
    w->sum = xcalloc(w->vectors, sizeof *w->sum);
    w->spare = xcalloc(w->vectors, sizeof *w->spare);
    for (uint32_t i = 0; i < w->vectors; i++)
        w->spare[w->spares++] = xcalloc(w->numbers + 1, sizeof **w->spare);
}

Window *window_new(Session *s, uint32_t entry)
{
    Window *w = xcalloc(1, sizeof *w);
    w->s = s;
    w->d = s->dist;
    w->accum = s->settings.accum;
    w->size = w->accum * dist_size(w->d);
    w->first = w->accum * dist_rank(w->d);
    w->loss = xcalloc((size_t)w->size + 1, sizeof *w->loss);
    order_params(w, entry);
    if (s->settings.deterministic && w->size > 1)
        make_tree(w);
    else if (dist_size(w->d) > 1)
        w->reduce = make_reduce(w);
    return w;
}

void window_free(Window *w)
{
    if (!w)
        return;
    dist_reduce_free(w->reduce);
    for (uint32_t i = 0; i < w->nodes; i++)
        free(w->sum[i]);
    for (uint32_t i = 0; i < w->spares; i++)
        free(w->spare[i]);
    free(w->sum);
    free(w->spare);
    free(w->node);
    free(w->parts);
    free(w->all);
    free(w->loss);
    free(w->param);
    free(w->place);
    free(w);
}

bool window_collects(const Window *w)
{
    return w->by_batch || w->reduce;
}

uint64_t window_size(const Window *w)
{
    return w->size;
}

uint64_t window_first(const Window *w)
{
    return w->first;
}

bool window_by_batch(const Window *w)
{
    return w->by_batch;
}

DistReduceStats window_stats(const Window *w)
{
    return w->reduce ? dist_reduce_stats(w->reduce) : (DistReduceStats){0};
}

/* ---- a window ---- */

void window_begin(Window *w)
{
    memset(w->loss, 0, ((size_t)w->size + 1) * sizeof *w->loss);
    w->overflowed = false;
    for (; w->nodes; w->nodes--)
        w->spare[w->spares++] = w->sum[w->nodes - 1];
    if (w->reduce)
        dist_reduce_start(w->reduce);
}

void window_loss(Window *w, uint64_t i, double loss)
{
    w->loss[w->first + i] = loss;
}

void window_grad_ready(void *session, uint32_t param)
{
    const Session *s = session;
    if (s->window && s->window->reduce)
        dist_reduce_ready(s->window->reduce, s->window->place[param]);
}

/* The executor's gradients to a vector, or added to it. */
static void take(const Window *w, float *to, bool add)
{
    size_t at = 0;
    for (uint32_t k = 0; k < w->params; k++) {
        const ExecParam *p = exec_param(w->s->exec, w->param[k]);
        if (add)
            tree_add(to + at, p->grad, p->numel);
        else
            memcpy(to + at, p->grad, p->numel * sizeof *to);
        at += p->numel;
    }
}

static void give_back(const Window *w, const float *from)
{
    size_t at = 0;
    for (uint32_t k = 0; k < w->params; k++) {
        const ExecParam *p = exec_param(w->s->exec, w->param[k]);
        memcpy(p->grad, from + at, p->numel * sizeof *from);
        at += p->numel;
    }
}

void window_add(Window *w, uint64_t i, bool overflowed)
{
    TreeNode leaf = {w->first + i, 0};
    bool     second = w->nodes && tree_siblings(w->node[w->nodes - 1], leaf);
    if (!second) {
        w->node[w->nodes] = leaf;
        w->sum[w->nodes++] = w->spare[--w->spares];
    } else {
        w->node[w->nodes - 1] = tree_parent(leaf);
    }
    take(w, w->sum[w->nodes - 1], second);
    for (uint32_t n; n = w->nodes, n > 1 && tree_siblings(w->node[n - 2], w->node[n - 1]); w->nodes--) {
        tree_add(w->sum[n - 2], w->sum[n - 1], w->numbers);
        w->node[n - 2] = tree_parent(w->node[n - 2]);
        w->spare[w->spares++] = w->sum[n - 1];
    }
    w->overflowed = w->overflowed || overflowed;
}

static float *fold(void *with, float **in, size_t n)
{
    const Window *w = with;
    return tree_fold(w->all, w->all_nodes, in, n);
}

void window_end(Window *w, bool overflowed_here, double *loss, bool *overflowed)
{
    double sum = 0;
    if (w->by_batch) {
        dist_fold(w->d, w->sum, w->parts, w->numbers, w->sum[0], fold, w);
        give_back(w, w->sum[0]);
    } else if (w->reduce) {
        dist_reduce_wait(w->reduce);
    }
    w->loss[w->size] = w->overflowed || overflowed_here;
    dist_sum(w->d, w->loss, (size_t)w->size + 1); /* each number is one rank's and zero elsewhere */
    for (uint64_t i = 0; i < w->size; i++)
        sum += w->loss[i];
    *loss = sum / (double)w->size;
    *overflowed = w->loss[w->size] > 0;
}
