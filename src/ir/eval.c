/* eval.c: running a graph in fp64; see eval.h.
 *
 * A graph is an array in topological order, so running it is one loop: gather the operands, call the kernel that the
 * table names. Regions are run by the same loop in a frame of their own; the frame's iteration number picks the leaf
 * that a `param` or `state` stands for. Nothing is freed before the caller's arena is: test models are small. */
#include "ir/eval_ops.h"

#include "base/rng.h"

#include <string.h>

static EvalFn *const eval_fn[OP_COUNT] = {
#define OP(name, arity, type, eval, vjp, mil) [OP_##name] = eval_##eval,
#include "ir/ops.def"
};

double *eval_room(Frame *f, Type t)
{
    return NEW_N(f->run->env->arena, double, (size_t)shape_numel(t.shape));
}

double *eval_fixed(Frame *f, double *v, int64_t count)
{
    FixedTape *t = f->run->env->fixed;
    if (!t)
        return v;
    if (t->replay) {
        if (t->next >= t->count)
            bug("%u values were recorded", t->count);
        return t->value[t->next++];
    }
    GROW(t->arena, t->value, t->count, t->cap);
    t->value[t->count] = NEW_N(t->arena, double, (size_t)count);
    return memcpy(t->value[t->count++], v, (size_t)count * sizeof *v);
}

bool eval_fail(Frame *f, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    buf_vprintf(f->run->err, fmt, ap);
    va_end(ap);
    return false;
}

static size_t bytes_of(Type t)
{
    return (size_t)shape_numel(t.shape) * sizeof(double);
}

static double *copy_of(Frame *f, Type t, const double *v)
{
    return v ? memcpy(eval_room(f, t), v, bytes_of(t)) : NULL;
}

static bool run_graph(Run *run, const Graph *g, const Tensor *in, uint32_t iteration, Tensor *out)
{
    Arena *a = run->env->arena;
    Frame  f = {run, g, in, NEW_N(a, Tensor, g->count), NEW_N(a, Tensor *, g->count), iteration};
    Tensor *arg = NULL;
    uint32_t arg_cap = 0;
    for (uint32_t v = 1; v < g->count; v++) {
        const Node *n = &g->node[v];
        for (uint32_t k = 0; k < n->in_count; k++) {
            GROW(a, arg, k, arg_cap);
            arg[k] = f.val[node_in(g, n)[k]];
        }
        f.val[v].type = n->type;
        if (!eval_fn[n->op](&f, n, arg, &f.val[v]))
            return false;
        if (!run->env->tangents)
            f.val[v].dv = NULL;
        if (run->env->watch && f.val[v].v)
            run->env->watch(run->env->watcher, g, v, &f.val[v]);
    }
    for (uint32_t i = 0; i < g->outs; i++)
        out[i] = f.val[g->out[i]];
    return true;
}

bool graph_eval(EvalEnv *env, const Graph *g, const Tensor *in, Tensor *out, Buf *err)
{
    Run   run = {.env = env, .err = err};
    Frame f = {.run = &run};
    if (!run_graph(&run, g, in, 0, out))
        return false;
    /* Results may share memory with parameters, states or inputs: the caller gets copies that stay as they are. */
    for (uint32_t i = 0; i < g->outs; i++) {
        out[i].v = copy_of(&f, out[i].type, out[i].v);
        out[i].dv = copy_of(&f, out[i].type, out[i].dv);
    }
    for (uint32_t i = 0; i < run.updates; i++)
        memcpy(env->state[run.update[i].state], run.update[i].v, run.update[i].count * sizeof(double));
    return true;
}

/* ---- leaves and sinks ---- */

static const char *path_text(const Frame *f, StrId path)
{
    return interned(f->run->env->m->strings, path);
}

/* The leaf that a set stands for in this iteration; a set of one is the same everywhere. */
static uint32_t leaf_of(const Frame *f, const LeafSet *s)
{
    return s->leaf[s->count == 1 ? 0 : f->iteration];
}

static bool leaf_in_range(Frame *f, const LeafSet *s)
{
    if (s->count == 1 || f->iteration < s->count)
        return true;
    return eval_fail(f, "'%s' has %u leaves, iteration %u wants one more", path_text(f, s->pattern), s->count,
                     f->iteration);
}

static bool read_param(Frame *f, const Node *n, Tensor *y)
{
    const EvalEnv *e = f->run->env;
    const LeafSet *s = &e->m->param_set[n->a.leaf.set];
    if (!leaf_in_range(f, s))
        return false;
    uint32_t p = leaf_of(f, s);
    if (!e->param || !e->param[p])
        return eval_fail(f, "parameter '%s' has no value", path_text(f, e->m->param[p].path));
    y->v = e->param[p];
    y->dv = e->dparam ? e->dparam[p] : NULL;
    return true;
}

static bool read_state(Frame *f, const Node *n, Tensor *y)
{
    const EvalEnv *e = f->run->env;
    const LeafSet *s = &e->m->state_set[n->a.leaf.set];
    if (!leaf_in_range(f, s))
        return false;
    uint32_t p = leaf_of(f, s);
    if (!e->state || !e->state[p])
        return eval_fail(f, "state '%s' has no value", path_text(f, e->m->state[p].path));
    y->v = e->state[p];
    return true;
}

bool eval_leaf(Frame *f, const Node *n, const Tensor *in, Tensor *y)
{
    (void)in;
    if (n->op == OP_param)
        return read_param(f, n, y);
    if (n->op == OP_state)
        return read_state(f, n, y);
    if (n->op == OP_input) {
        const Tensor *x = &f->in[n->a.input.index];
        if (!x->v)
            return eval_fail(f, "input '%s' has no value", path_text(f, f->g->input[n->a.input.index].name));
        if (!shape_equal(x->type.shape, n->type.shape))
            return eval_fail(f, "input '%s' has the wrong shape", path_text(f, f->g->input[n->a.input.index].name));
        y->v = x->v;
        y->dv = x->dv;
    } else if (n->a.constant.table) {
        y->v = f->run->env->m->table[n->a.constant.table].data;
    } else {
        y->v = eval_room(f, n->type);
        for (int64_t i = 0, count = shape_numel(n->type.shape); i < count; i++)
            y->v[i] = n->a.constant.splat;
    }
    return true;
}

static bool run_sink(Frame *f, const Node *n, const Tensor *in)
{
    EvalEnv       *e = f->run->env;
    const LeafSet *s = n->op == OP_grad ? &e->m->param_set[n->a.leaf.set] : &e->m->state_set[n->a.leaf.set];
    size_t         count = (size_t)shape_numel(in[0].type.shape);
    if (!leaf_in_range(f, s))
        return false;
    uint32_t leaf = leaf_of(f, s);
    if (n->op == OP_grad) {
        for (size_t i = 0; e->grad && e->grad[leaf] && i < count; i++)
            e->grad[leaf][i] += in[0].v[i];
        return true;
    }
    if (!e->state || !e->state[leaf])
        return eval_fail(f, "state '%s' has no room", path_text(f, e->m->state[leaf].path));
    /* The value may share the buffer of another state that is updated as well. */
    GROW(e->arena, f->run->update, f->run->updates, f->run->updates_cap);
    f->run->update[f->run->updates++] = (Update){leaf, count, copy_of(f, in[0].type, in[0].v)};
    return true;
}

/* ---- regions ---- */

/* Element i of a stack [n, ...]: shares the stack's memory. */
static Tensor element(Tensor stack, uint32_t i)
{
    Tensor  x = {.type = type_unstacked(stack.type)};
    int64_t at = (int64_t)i * shape_numel(x.type.shape);
    x.v = stack.v + at;
    x.dv = stack.dv ? stack.dv + at : NULL;
    return x;
}

/* Store `x` as element i of a stack that gets its memory with the first element (tangent) stored. */
static void store(Frame *f, Tensor *stack, uint32_t n, uint32_t i, Tensor x)
{
    int64_t count = shape_numel(x.type.shape);
    if (!stack->v) {
        stack->type = type_stacked(x.type, (int32_t)n);
        stack->v = eval_room(f, stack->type);
    }
    memcpy(stack->v + i * count, x.v, bytes_of(x.type));
    if (!x.dv)
        return;
    if (!stack->dv)
        stack->dv = eval_room(f, stack->type);
    memcpy(stack->dv + i * count, x.dv, bytes_of(x.type));
}

static bool run_repeat(Frame *f, const Node *n, const Tensor *in, Tensor *y)
{
    Arena       *a = f->run->env->arena;
    const Graph *g = f->run->env->m->graph[n->a.repeat.graph];
    uint32_t     c = n->a.repeat.n_carry, x = n->a.repeat.n_xs, count = (uint32_t)n->a.repeat.n;
    Tensor      *arg = NEW_N(a, Tensor, n->in_count), *out = NEW_N(a, Tensor, g->outs);
    Tensor      *all = NEW_N(a, Tensor, g->outs);
    if (n->in_count)
        memcpy(arg, in, n->in_count * sizeof *arg);
    for (uint32_t step = 0; step < count; step++) {
        uint32_t i = n->a.repeat.reverse ? count - 1 - step : step;
        for (uint32_t k = c; k < c + x; k++)
            arg[k] = element(in[k], i);
        if (!run_graph(f->run, g, arg, i, out))
            return false;
        for (uint32_t k = 0; k < c; k++)
            arg[k] = all[k] = out[k];
        for (uint32_t k = c; k < g->outs; k++)
            store(f, &all[k], count, i, out[k]);
    }
    f->many[y - f->val] = all;
    return true;
}

static bool run_call(Frame *f, const Node *n, const Tensor *in, Tensor *y)
{
    const Graph *g = f->run->env->m->graph[n->a.call.graph];
    Tensor      *out = f->many[y - f->val] = NEW_N(f->run->env->arena, Tensor, g->outs);
    /* `in` is reused for the next node's operands, but not before the region has returned. */
    return run_graph(f->run, g, in, f->iteration, out);
}

static bool run_proj(Frame *f, const Node *n, const Tensor *in, Tensor *y)
{
    (void)in;
    *y = f->many[node_in(f->g, n)[0]][n->a.proj.index];
    y->type = n->type;
    return true;
}

/* Structure has no kernel ("none" in the table): it is run here. */
bool eval_none(Frame *f, const Node *n, const Tensor *in, Tensor *y)
{
    switch (n->op) {
    case OP_repeat: return run_repeat(f, n, in, y);
    case OP_call: return run_call(f, n, in, y);
    case OP_proj: return run_proj(f, n, in, y);
    case OP_grad:
    case OP_state_set: return run_sink(f, n, in);
    default: bug("'%s' cannot be evaluated", op_info[n->op].name);
    }
}

/* ---- initial values ---- */

double init_value(const Init *init, uint64_t key, uint64_t i)
{
    switch (init->kind) {
    case INIT_ZEROS: return 0;
    case INIT_ONES: return 1;
    case INIT_VALUE: return init->a;
    case INIT_NORMAL: return init->a * rng_normal(key, i);
    case INIT_UNIFORM: return init->a + (init->b - init->a) * rng_uniform(key, i);
    }
    bug("initialiser of kind %d", (int)init->kind);
}
