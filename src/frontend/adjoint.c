/* adjoint.c: functions with an adjoint of their own: #[vjp(f)].
 *
 * A call of such a function becomes a `call` node. Its region is the function's body, instantiated at the shapes and
 * static arguments of the call; `vjp` is the adjoint, instantiated at the same ones. Its inputs are the tensor
 * arguments and the cotangent of the result, its results the cotangents of the real tensor arguments, in order. Equal
 * calls share their graphs. Inside an adjoint or another such function a call is simply inlined.
 *
 * An adjoint is not trusted: for every function that is used, three small instances at random extents are left in
 * Module.vjp_check for the pass that compares them with automatic differentiation. */
#include "base/rng.h"
#include "frontend/elab.h"

#include <string.h>

enum { CHECKS = 3, TRIES = 200, MAX_EXTENT = 6, MAX_RUN = 2 };

static bool is_real(DType d)
{
    return d == DT_REAL || d == DT_F16 || d == DT_F32;
}

static uint32_t count_params(const FnDef *f)
{
    uint32_t n = 0;
    for (const FnParam *p = f->params; p; p = p->next)
        n++;
    return n;
}

static const Symbol *adjoint_of(Elab *e, const Symbol *s, const Attribute *vjp)
{
    const Expr *x = vjp->args ? vjp->args->value : NULL;
    if (!x || vjp->args->next || x->kind != EX_NAME) {
        Diag *d = elab_error(e, "E0209", vjp->at, "attribute 'vjp' takes the name of a function");
        diag_help(d, "write vjp(%s_bwd)", str(e, s->name));
        return NULL;
    }
    const Symbol *v = find_symbol(e, x->name.id);
    if (!v) {
        unknown_name(e, x->name, true);
        return NULL;
    }
    uint32_t n = count_params(s->item->fn);
    if (v->kind == SYM_FN && count_params(v->item->fn) == n + 1)
        return v;
    Diag *d = elab_error(e, "E0511", x->at, "'%s' cannot be the adjoint of '%s'", str(e, v->name), str(e, s->name));
    diag_note(d, v->at, "it is declared");
    diag_help(d, "an adjoint is a fn with the same arguments and then the cotangent of the result: %u in all", n + 1);
    return NULL;
}

/* ---- instances ---- */

/* Run `s` into a graph of its own: tensor arguments become inputs. Gives the graph and the type of each result. */
static Graph *instance_graph(Elab *e, const Symbol *s, const ArgValue *arg, uint32_t n, const Expr *x, Value *result)
{
    Builder *outer = e->b;
    Node like = e->like;
    ArgValue *in = NEW_N(e->a, ArgValue, n);
    const FnParam *p = s->item->fn->params;
    e->b = builder_new(e, BUILD_CALL, s->name, NULL);
    e->like = (Node){.tag = like.tag};
    for (uint32_t i = 0; i < n; i++, p = p->next) {
        in[i] = arg[i];
        if (is_tensor(arg[i].v)) /* the argument's own builder tells its type */
            in[i].v =
                tensor(e, graph_add_input(e->m, e->b->g, p->name.id, tensor_type(e, arg[i].v), false, p->name.at));
    }
    *result = instantiate(e, s, in, x);
    Builder *b = e->b;
    if (!is_poison(*result)) {
        uint32_t k = result->kind == V_TUPLE ? result->seq.n : 1;
        for (uint32_t i = 0; i < k; i++) {
            Value *v = result->kind == V_TUPLE ? &result->seq.item[i] : result;
            if (is_tensor(*v))
                *v = to_tensor(e, *v, DT_REAL, s->at);
        }
        seal(e, b, NULL, 0);
    }
    e->b = outer;
    e->like = like;
    return b->g;
}

static bool wrong_result(Elab *e, const Symbol *s, const char *what)
{
    elab_error(e, "E0511", s->at, "'%s' %s", str(e, s->name), what);
    return false;
}

/* The adjoint's results against the real arguments. */
static bool adjoint_results(Elab *e, const Symbol *s, const ArgValue *arg, uint32_t n, Value r, Graph *g)
{
    uint32_t k = 0, count = r.kind == V_TUPLE ? r.seq.n : 1, reals = 0;
    for (uint32_t i = 0; i < n; i++)
        reals += is_tensor(arg[i].v) && is_real(tensor_type(e, arg[i].v).dtype);
    if (count != reals)
        return wrong_result(e, s,
                            arena_printf(e->a, "returns %u cotangents for %u real tensor arguments", count, reals));
    const FnParam *p = s->item->fn->params;
    for (uint32_t i = 0; i < n; i++, p = p->next) {
        if (!is_tensor(arg[i].v) || !is_real(tensor_type(e, arg[i].v).dtype))
            continue;
        Value v = r.kind == V_TUPLE ? r.seq.item[k] : r;
        if (v.kind != V_TENSOR || !type_equal(tensor_type(e, v), tensor_type(e, arg[i].v)))
            return wrong_result(e, s,
                                arena_printf(e->a, "returns %s as the cotangent of '%s', which is %s", kind_text(e, v),
                                             str(e, p->name.id), kind_text(e, arg[i].v)));
        graph_add_out(e->m, g, v.t.id, e->b == v.t.home ? 0 : v.t.home->g->node[v.t.id].name);
        k++;
    }
    return true;
}

/* Both graphs for these arguments. Nothing is registered unless both are right. */
static bool make_instance(Elab *e, const Symbol *s, const Symbol *adjoint, const ArgValue *arg, uint32_t n,
                          const Expr *x, GraphId *graph, GraphId *vjp, Type *result)
{
    Value r, d;
    Graph *g = instance_graph(e, s, arg, n, x, &r);
    if (is_poison(r))
        return false;
    if (r.kind != V_TENSOR || !is_real(tensor_type(e, r).dtype))
        return wrong_result(e, s, "has an adjoint, and so must return one real tensor");
    *result = tensor_type(e, r);
    graph_add_out(e->m, g, r.t.id, g->node[r.t.id].name);
    ArgValue *more = NEW_N(e->a, ArgValue, n + 1);
    memcpy(more, arg, n * sizeof *arg);
    more[n] = (ArgValue){r, x, x ? x->at : s->at};
    for (uint32_t i = 0; i < n; i++)
        more[i].x = x; /* given, not a default */
    Graph *a = instance_graph(e, adjoint, more, n + 1, x, &d);
    if (is_poison(d) || !adjoint_results(e, adjoint, more, n, d, a))
        return false;
    *graph = graph_register(e, g);
    *vjp = graph_register(e, a);
    return true;
}

static bool same_args(Elab *e, const CallInstance *i, const ArgValue *arg, uint32_t n)
{
    uint32_t t = 0;
    for (uint32_t k = 0; k < n; k++) {
        if (is_tensor(arg[k].v)) {
            if (!is_poison(i->arg[k]) || !type_equal(i->type[t++], tensor_type(e, arg[k].v)))
                return false;
        } else if (!static_equal(i->arg[k], arg[k].v)) {
            return false;
        }
    }
    return true;
}

/* Arguments as the header declares them: numbers to rank 0, defaults filled in. Needs generics, so a frame is made,
 * bound and thrown away. */
static bool prepare(Elab *e, const Symbol *s, ArgValue *arg, const Expr *x)
{
    Frame f = {.caller = e->frame, .fn = s->item->fn, .kind = s->kind, .call = x, .call_at = x->at};
    const FnParam *p = s->item->fn->params;
    bool ok = true;
    e->frame = &f;
    for (uint32_t i = 0; p && ok; p = p->next, i++) {
        if (is_poison(arg[i].v) && p->init)
            arg[i] = (ArgValue){eval(e, p->init), x, p->init->at};
        if (is_static_number(arg[i].v) && p->type->shaped && !p->type->dims) {
            Declared want;
            arg[i].v = !eval_type(e, p->type, &want) ? v_poison
                                                     : convert_value(e, arg[i].v, want, arg[i].at, "an argument");
        } else if (is_tensor(arg[i].v)) {
            DType d = DT_REAL;
            dtype_by_name(str(e, p->type->name.id), &d, NULL);
            arg[i].v = to_tensor(e, arg[i].v, d, arg[i].at);
            if (is_real(d) && is_real(tensor_type(e, arg[i].v).dtype))
                arg[i].v = cast_to(e, arg[i].v, d, arg[i].at);
        }
        new_var(e, VAR_ARG, p->name.id, arg[i].v, arg[i].at);
        ok = !is_poison(arg[i].v);
    }
    e->frame = f.caller;
    return ok;
}

static const CallInstance *find_instance(Elab *e, const Symbol *s, const Symbol *adjoint, ArgValue *arg, uint32_t n,
                                         const Expr *x)
{
    for (uint32_t i = 0; i < e->insts; i++)
        if (e->inst[i].fn == s->item->fn && same_args(e, &e->inst[i], arg, n))
            return &e->inst[i];
    CallInstance k = {.fn = s->item->fn, .vjp = adjoint->item->fn, .args = n};
    if (!make_instance(e, s, adjoint, arg, n, x, &k.graph, &k.adjoint, &k.result))
        return NULL;
    k.type = NEW_N(e->a, Type, n);
    k.arg = NEW_N(e->a, Value, n);
    for (uint32_t i = 0; i < n; i++) {
        if (is_tensor(arg[i].v))
            k.type[k.tensors++] = tensor_type(e, arg[i].v);
        else
            k.arg[i] = arg[i].v;
    }
    GROW(e->a, e->inst, e->insts, e->insts_cap);
    e->inst[e->insts] = k;
    return &e->inst[e->insts++];
}

Value call_with_adjoint(Elab *e, const Symbol *s, const Attribute *vjp, ArgValue *arg, const Expr *x)
{
    const Symbol *adjoint = adjoint_of(e, s, vjp);
    uint32_t n = count_params(s->item->fn), t = 0;
    if (!adjoint)
        return instantiate(e, s, arg, x); /* what else is wrong with it */
    if (!prepare(e, s, arg, x))
        return v_poison;
    const CallInstance *k = find_instance(e, s, adjoint, arg, n, x);
    if (!k)
        return v_poison;
    ValueId *in = NEW_N(e->a, ValueId, n);
    for (uint32_t i = 0; i < n; i++)
        if (is_tensor(arg[i].v))
            in[t++] = use_value(e, arg[i].v);
    Node node = *like_at(e, x->at);
    node.op = OP_call;
    node.a.call.graph = k->graph;
    node.a.call.vjp = k->adjoint;
    node.a.call.fn = s->name;
    ValueId call = graph_add(e->m, e->b->g, &node, in, t);
    return tensor(e, g_proj(e->m, e->b->g, like_at(e, x->at), call, 0));
}

/* ---- checks ---- */

typedef struct {
    uint64_t key, count;
} Draw;

static int64_t draw(Draw *d, int64_t lo, int64_t hi)
{
    return lo + (int64_t)(rng_u64(d->key, d->count++) % (uint64_t)(hi - lo + 1));
}

/* Give every generic of the frame a random value. */
static void draw_generics(Elab *e, const FnDef *f, Draw *d)
{
    for (const Generic *g = f->generics; g; g = g->next) {
        Value v = v_int(draw(d, 1, MAX_EXTENT));
        if (g->run) {
            uint32_t n = (uint32_t)draw(d, 0, MAX_RUN);
            v = (Value){.kind = V_LIST, .seq = {NEW_N(e->a, Value, n), n}};
            for (uint32_t i = 0; i < n; i++)
                v.seq.item[i] = v_int(draw(d, 1, 3));
        }
        new_var(e, VAR_GENERIC, g->name, v, g->at);
    }
}

/* Arguments at random extents: tensors are inputs of a graph nobody keeps. */
static bool random_args(Elab *e, const CallInstance *k, Draw *d, ArgValue *arg)
{
    Frame f = {.fn = k->fn, .kind = SYM_FN};
    uint32_t i = 0;
    bool ok = true;
    e->frame = &f;
    draw_generics(e, k->fn, d);
    for (const FnParam *p = k->fn->params; p; p = p->next, i++)
        if (!is_poison(k->arg[i]))
            new_var(e, VAR_ARG, p->name.id, k->arg[i], p->name.at);
    i = 0;
    for (const FnParam *p = k->fn->params; p && ok; p = p->next, i++) {
        Declared t;
        arg[i] = (ArgValue){k->arg[i], p->init, p->name.at};
        if (!is_poison(k->arg[i]))
            continue;
        ok = eval_type(e, p->type, &t) && t.kind == V_TENSOR;
        if (ok)
            arg[i].v = tensor(e, graph_add_input(e->m, e->b->g, p->name.id, t.type, t.token, p->name.at));
    }
    e->frame = NULL;
    return ok;
}

static bool make_check(Elab *e, const CallInstance *k, const Symbol *s, const Symbol *adjoint, Draw *d)
{
    ArgValue *arg = NEW_N(e->a, ArgValue, k->args);
    Diags *ds = e->ds;
    bool ok = false;
    VjpCheck c = {.fn = s->name, .vjp_fn = adjoint->name, .at = s->at};
    Type result;
    /* Extents that do not fit (D/2 of an odd D) are drawn again, in silence. */
    for (uint32_t i = 0; i < TRIES && !ok; i++) {
        e->ds = diags_new(e->a, e->sources, "anel");
        e->tolds = 0;
        e->b = builder_new(e, BUILD_CALL, s->name, NULL);
        ok = random_args(e, k, d, arg) && make_instance(e, s, adjoint, arg, k->args, NULL, &c.graph, &c.vjp, &result);
        elab_flush(e);
    }
    e->ds = ds;
    e->b = NULL;
    if (!ok)
        return false;
    GROW(e->a, e->m->vjp_check, e->m->vjp_checks, e->m->vjp_checks_cap);
    e->m->vjp_check[e->m->vjp_checks++] = c;
    return true;
}

/* One set of checks per function, with the static arguments of its first call. */
void make_vjp_checks(Elab *e)
{
    elab_flush(e);
    for (uint32_t i = 0; i < e->insts; i++) {
        bool first = true;
        for (uint32_t j = 0; j < i; j++)
            first &= e->inst[j].fn != e->inst[i].fn;
        const Symbol *s = find_symbol(e, e->inst[i].fn->name.id), *v = find_symbol(e, e->inst[i].vjp->name.id);
        Draw d = {.key = rng_key(0, str(e, s->name))};
        for (uint32_t k = 0; first && k < CHECKS; k++)
            if (!make_check(e, &e->inst[i], s, v, &d)) {
                elab_error(e, "E0511", s->at,
                           "no small extents fit '%s' and its adjoint '%s', so they cannot be compared",
                           str(e, s->name), str(e, v->name));
                break;
            }
    }
}
