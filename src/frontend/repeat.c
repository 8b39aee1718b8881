/* repeat.c: repeat label[L in a..b] { ... }.
 *
 * The body is elaborated for every L, each time into a region of its own. Neighbouring iterations whose regions are
 * equal up to their parameters and states form a uniform run; a run becomes one `repeat` node, whose leaf sets list one
 * parameter per iteration. A static `if` on L thus splits the range (first layer, middle, last) without the user doing
 * anything.
 *
 * Names that exist outside and are assigned inside are carried: tensors become inputs and results of the region, static
 * values simply keep what the previous iteration gave them. Everything else from outside is an invariant. Inside a
 * region, or inside a function with an adjoint, a repeat is unrolled: regions do not nest. */
#include "frontend/elab.h"

#include <string.h>

enum { MAX_CARRIED = 256 };

typedef struct {
    StrId name;
    uint32_t var; /* in the frame */
    Type type;    /* DT_NONE: a static value */
    Span at;
    ValueId outer; /* value before the repeat, in the surrounding graph */
} Carried;

typedef struct {
    Elab *e;
    const Stmt *s;
    Carried carried[MAX_CARRIED];
    uint32_t n_carried, n_tensors;
    uint32_t mark; /* variables of the frame before the repeat */
    StrId scope;   /* inside */
    int64_t lo, hi;
} Repeat;

/* ---- what is carried ---- */

static void add_carried(Repeat *r, StrId name)
{
    const Var *v = find_var(r->e, name);
    for (uint32_t i = 0; i < r->n_carried; i++)
        if (r->carried[i].name == name)
            return;
    if (!v || r->n_carried == MAX_CARRIED || v->kind == VAR_INDEX || v->kind == VAR_GENERIC || v->kind == VAR_CONST)
        return;
    r->carried[r->n_carried++] = (Carried){.name = name, .var = (uint32_t)(v - r->e->frame->var)};
}

static void find_carried(Repeat *r, const Stmt *s)
{
    for (; s; s = s->next)
        switch (s->kind) {
        case ST_BIND:
            for (const Name *n = s->bind.names; n; n = n->next)
                add_carried(r, n->id);
            break;
        case ST_UPDATE:
            add_carried(r, s->update.name.id);
            break;
        case ST_REPEAT:
            find_carried(r, s->repeat.body);
            break;
        case ST_BLOCK:
            find_carried(r, s->block.body);
            break;
        case ST_IF:
            find_carried(r, s->cond.then);
            find_carried(r, s->cond.other);
            break;
        case ST_PARAM:
        case ST_STATE:
        case ST_CONST:
        case ST_RETURN:
        case ST_ASSERT:
            break;
        }
}

/* ---- one iteration ---- */

static void push_index(Repeat *r, int64_t L, bool region)
{
    Elab *e = r->e;
    for (const Name *n = r->s->repeat.path; n; n = n->next)
        path_push(e, (Segment){.text = n->id, .is_repeat = true});
    const char *text = arena_printf(e->a, "%lld", (long long)L);
    path_push(e, (Segment){.text = intern(e->strings, text), .is_index = true, .is_region = region});
}

static bool type_changed(Repeat *r, const Carried *c, Value v)
{
    Elab *e = r->e;
    if (is_poison(v))
        return true;
    bool tensor_now = is_tensor(v);
    if (c->type.dtype == DT_NONE ? !tensor_now : tensor_now && type_equal(tensor_type(e, v), c->type))
        return false;
    const Var *var = &e->frame->var[c->var];
    Diag *d = elab_error(e, "E0412", var->at, "'%s' is carried from one iteration to the next and must keep its type",
                         str(e, c->name));
    diag_label(d, var->at, "%s", kind_text(e, v));
    diag_note(d, c->at,
              c->type.dtype == DT_NONE ? "before the repeat it is a static value, bound"
                                       : "before the repeat it is %s, bound",
              type_text(e->a, c->type));
    if (c->type.dtype == DT_NONE)
        diag_help(d, "start with a tensor: broadcast(0.0, [..])");
    return true;
}

/* Run the body for L in the current builder. False after an error. */
static bool run_iteration(Repeat *r, int64_t L, bool region)
{
    Elab *e = r->e;
    Frame *f = e->frame;
    uint32_t errors = e->ds->errors, silent = e->silent->errors, segs = e->segs;
    push_index(r, L, region);
    r->scope = e->like.scope;
    new_var(e, VAR_INDEX, r->s->repeat.index.id, v_int(L), r->s->repeat.index.at);
    StrId base = f->base;
    f->in_repeat++;
    f->base = 0; /* the repeat's label is in the scope */
    run_body(e, r->s->repeat.body);
    f->in_repeat--;
    f->base = base;
    f->vars = r->mark;
    path_set(e, segs);
    bool ok = e->ds->errors == errors && e->silent->errors == silent;
    for (uint32_t i = 0; i < r->n_carried && ok; i++) {
        Value *v = &f->var[r->carried[i].var].value;
        ok = !type_changed(r, &r->carried[i], *v);
        if (ok && is_tensor(*v))
            *v = to_tensor(e, *v, r->carried[i].type.dtype, f->var[r->carried[i].var].at);
    }
    return ok;
}

static void poison_carried(Repeat *r)
{
    for (uint32_t i = 0; i < r->n_carried; i++)
        r->e->frame->var[r->carried[i].var].value = v_poison;
}

static void unroll(Repeat *r)
{
    for (int64_t L = r->lo; L < r->hi; L++)
        if (!run_iteration(r, L, false)) {
            poison_carried(r);
            return;
        }
}

/* ---- regions ---- */

typedef struct {
    uint32_t composites, hints, cuts;
} Mark;

static Mark mark_module(const Elab *e)
{
    return (Mark){e->m->composites, e->m->hints, e->cuts};
}

/* Forget what a dropped iteration has left in the module. */
static void drop_since(Elab *e, Mark k)
{
    e->m->composites = k.composites;
    e->m->hints = k.hints;
    e->cuts = k.cuts;
}

/* The arrays of a dropped region serve the next one. */
static void take_arrays(Graph *to, Graph *from)
{
    if (!from)
        return;
    Graph g = *from;
    *from = (Graph){.name = g.name};
    g.count = to->count;
    g.operands = g.inputs = g.outs = 0;
    *to = g;
}

/* `spare`: a region that nobody needs, or NULL. */
static Builder *build_iteration(Repeat *r, int64_t L, Graph *spare)
{
    Elab *e = r->e;
    Builder *outer = e->b;
    Frame *f = e->frame;
    e->b = builder_new(e, BUILD_REGION, intern(e->strings, str(e, r->s->repeat.path->id)), outer);
    take_arrays(e->b->g, spare);
    for (uint32_t i = 0; i < r->n_carried; i++) {
        const Carried *c = &r->carried[i];
        if (c->type.dtype != DT_NONE)
            f->var[c->var].value = tensor(e, graph_add_input(e->m, e->b->g, c->name, c->type, false, c->at));
    }
    Builder *b = e->b;
    bool ok = run_iteration(r, L, true);
    for (uint32_t i = 0; i < r->n_carried && ok; i++)
        if (r->carried[i].type.dtype != DT_NONE)
            graph_add_out(e->m, b->g, use_value(e, f->var[r->carried[i].var].value), r->carried[i].name);
    e->b = outer;
    return ok ? b : NULL;
}

static bool attr_equal(const Elab *e, const Builder *x, const Node *a, const Builder *y, const Node *b)
{
    uint32_t rank = a->type.shape.rank;
    switch (a->op) {
    case OP_matmul:
        return a->a.matmul.ta == b->a.matmul.ta && a->a.matmul.tb == b->a.matmul.tb;
    case OP_softmax:
    case OP_concat:
    case OP_xent:
    case OP_xent_grad:
    case OP_splice:
        return a->a.axis.axis == b->a.axis.axis;
    case OP_sum:
    case OP_amax:
        return a->a.reduce.axes == b->a.reduce.axes;
    case OP_transpose:
        return memcmp(a->a.transpose.perm, b->a.transpose.perm, rank) == 0;
    case OP_slice:
        return memcmp(a->a.slice.begin, b->a.slice.begin, rank * sizeof(int32_t)) == 0 &&
               memcmp(a->a.slice.end, b->a.slice.end, rank * sizeof(int32_t)) == 0;
    case OP_pad:
        return memcmp(a->a.pad.lo, b->a.pad.lo, rank * sizeof(int32_t)) == 0 &&
               memcmp(a->a.pad.hi, b->a.pad.hi, rank * sizeof(int32_t)) == 0;
    case OP_powc:
        return memcmp(&a->a.powc.c, &b->a.powc.c, sizeof(double)) == 0;
    case OP_cmp:
        return a->a.cmp.kind == b->a.cmp.kind;
    case OP_const:
        return a->a.constant.table == b->a.constant.table &&
               memcmp(&a->a.constant.splat, &b->a.constant.splat, sizeof(double)) == 0;
    case OP_input:
        return a->a.input.index == b->a.input.index;
    case OP_param:
    case OP_state: {
        const Leaf *l = &x->leaf[a->a.leaf.set], *k = &y->leaf[b->a.leaf.set];
        if (l->pattern != k->pattern)
            return false;
        return a->op == OP_state || e->m->param[l->index].frozen == e->m->param[k->index].frozen;
    }
    case OP_call:
        return a->a.call.graph == b->a.call.graph && a->a.call.vjp == b->a.call.vjp;
    case OP_proj:
        return a->a.proj.index == b->a.proj.index;
    default:
        return true; /* no attributes */
    }
}

/* Hints are numbered by their place in the source; a #[cut] region gets a new number in each iteration. */
static bool hint_equal(const Elab *e, uint32_t a, uint32_t b)
{
    const Hint *x = &e->m->hint[a], *y = &e->m->hint[b];
    return a == b ||
           (x->place == y->place && x->save == y->save && x->recompute == y->recompute && x->f32 == y->f32 &&
            x->group == y->group && !x->cut == !y->cut && x->at.file == y->at.file && x->at.begin == y->at.begin);
}

static bool same_region(const Elab *e, const Builder *x, const Builder *y)
{
    const Graph *g = x->g, *h = y->g;
    if (g->count != h->count || g->operands != h->operands || g->inputs != h->inputs || g->outs != h->outs ||
        x->leafs != y->leafs || x->states != y->states || x->imports != y->imports)
        return false;
    for (uint32_t i = 0; i < x->imports; i++)
        if (x->import[i].outer != y->import[i].outer || x->import[i].inner != y->import[i].inner)
            return false;
    for (uint32_t i = 0; i < x->states; i++)
        if (x->state[i].updated != y->state[i].updated || x->state[i].now.t.id != y->state[i].now.t.id)
            return false;
    for (uint32_t i = 1; i < g->count; i++) {
        const Node *a = &g->node[i], *b = &h->node[i];
        if (a->op != b->op || !type_equal(a->type, b->type) || a->in_first != b->in_first ||
            a->in_count != b->in_count || !hint_equal(e, a->hint, b->hint) || !attr_equal(e, x, a, y, b))
            return false;
    }
    if (g->operands && memcmp(g->operand, h->operand, g->operands * sizeof *g->operand) != 0)
        return false;
    return g->outs == 0 || memcmp(g->out, h->out, g->outs * sizeof *g->out) == 0;
}

/* One node for iterations first .. first + n - 1; carried values move on to its results. */
static void emit_run(Repeat *r, Builder *const *run, int64_t first, uint32_t n)
{
    Elab *e = r->e;
    Builder *b = run[0];
    ValueId *in = NEW_N(e->a, ValueId, r->n_tensors + b->imports);
    uint32_t n_in = 0, k = 0;
    for (uint32_t i = 0; i < r->n_carried; i++)
        if (r->carried[i].type.dtype != DT_NONE)
            in[n_in++] = r->carried[i].outer;
    for (uint32_t i = 0; i < b->imports; i++)
        if (b->import[i].is_input)
            in[n_in++] = b->import[i].outer;
    seal(e, b, run, n);
    Node node = *like_at(e, r->s->at);
    node.op = OP_repeat;
    node.name = b->g->name;
    node.scope = r->scope;
    node.a.repeat.graph = graph_register(e, b->g);
    node.a.repeat.first = (int32_t)first;
    node.a.repeat.n = (int32_t)n;
    node.a.repeat.n_carry = r->n_tensors;
    ValueId rep = graph_add(e->m, e->b->g, &node, in, n_in);
    for (uint32_t i = 0; i < r->n_carried; i++) {
        Carried *c = &r->carried[i];
        if (c->type.dtype == DT_NONE)
            continue;
        Node like = *like_at(e, r->s->at);
        like.name = c->name;
        like.scope = r->scope;
        c->outer = g_proj(e->m, e->b->g, &like, rep, k++);
    }
}

static void build_runs(Repeat *r)
{
    Elab *e = r->e;
    Frame *f = e->frame;
    uint32_t n = (uint32_t)(r->hi - r->lo), start = 0;
    Builder **b = NEW_N(e->a, Builder *, n);
    for (uint32_t i = 0; i < r->n_carried; i++) {
        Carried *c = &r->carried[i];
        if (c->type.dtype != DT_NONE)
            c->outer = use_value(e, f->var[c->var].value);
    }
    uint32_t *length = NEW_N(e->a, uint32_t, n); /* of the run that starts here */
    Graph *spare = NULL;
    for (uint32_t i = 0; i < n; i++) {
        Mark k = mark_module(e);
        if (!(b[i] = build_iteration(r, r->lo + i, spare))) {
            poison_carried(r);
            return;
        }
        spare = NULL;
        if (i > start && same_region(e, b[start], b[i])) {
            drop_since(e, k);
            spare = b[i]->g;
        } else {
            start = i;
        }
        length[start]++;
    }
    for (uint32_t i = 0; i < n; i += length[i])
        emit_run(r, b + i, r->lo + i, length[i]);
    for (uint32_t i = 0; i < r->n_carried; i++) {
        const Carried *c = &r->carried[i];
        if (c->type.dtype == DT_NONE)
            continue;
        Var *v = &f->var[c->var];
        v->value = tensor(e, c->outer);
        LiveState *live = v->kind == VAR_STATE ? live_state(e->b, v->state) : NULL;
        if (live && live->now.t.id != c->outer) {
            live->now = v->value;
            live->updated = true;
            live->at = r->s->at;
        }
    }
}

void run_repeat(Elab *e, const Stmt *s)
{
    Repeat *r = NEW(e->a, Repeat);
    r->e = e;
    r->s = s;
    r->mark = e->frame->vars;
    if (!want_int(e, s->repeat.lo, &r->lo, "the first index of a repeat") ||
        !want_int(e, s->repeat.hi, &r->hi, "the end of a repeat"))
        return;
    if (r->lo < 0 || r->hi < r->lo || r->hi - r->lo > MAX_ITERATIONS) {
        Diag *d = elab_error(e, "E0309", s->at, "a repeat from %lld to %lld", (long long)r->lo, (long long)r->hi);
        note_names(e, d, s->repeat.lo, s->repeat.hi);
        return;
    }
    find_carried(r, s->repeat.body);
    bool poisoned = false;
    for (uint32_t i = 0; i < r->n_carried; i++) {
        Carried *c = &r->carried[i];
        Var *v = &e->frame->var[c->var];
        c->at = v->at;
        poisoned |= is_poison(v->value);
        if (is_tensor(v->value)) {
            v->value = to_tensor(e, v->value, DT_REAL, v->at);
            c->type = tensor_type(e, v->value);
            r->n_tensors++;
        }
    }
    if (poisoned || r->hi == r->lo) {
        if (poisoned)
            poison_carried(r);
        return;
    }
    if (e->b->kind == BUILD_ENTRY)
        build_runs(r);
    else
        unroll(r);
}
