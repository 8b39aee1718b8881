/* verify.c: what a well-formed module is. Every pass may rely on these rules and has to keep them; they are checked
 * after each pass and on every text that is read.
 *
 *   V1   operands exist and precede their uses; attributes name tables, sets, graphs, hints and composites that exist
 *   V2   a node has as many operands as its operation takes
 *   V3   the stored type is the one that the operation's rule gives for the operands
 *   V4   elementwise operands have identical types: every broadcast is a node
 *   V5   extents are at least 1, fewer than 2^31 elements; rank is at most 5, and 6 only for the stacks of a repeat:
 *        what is computed from its results, and what leads to its stacked operands
 *   V6   a reshape keeps the number of elements; a broadcast enlarges axes of extent 1 only
 *   V7   an `input` reads an input of the graph, with its type, at most once; `param` and `state` have the type of
 *        their leaves; a set's leaves exist and have one type; there is one leaf per iteration inside a repeat, one outside
 *   V8   no forward node depends on a backward node, and neither depends on a node of the update
 *   V9   `grad` and `state_set` receive the type of their leaf
 *   V10  the operands of a repeat or call fit its region, what is carried leaves with the type it entered with, and
 *        regions neither contain a repeat nor themselves
 *   V11  a node placed on the engine has a MIL form
 *   V12  results and their names: every result exists and is a value, no two results share a name
 *   V13  entries and checks name graphs that exist; no two entries share a name
 *
 * The engine's own rules (what a program may contain, how programs depend on each other) are checked by the back end,
 * which has the tables they are about.
 *
 * Later rules lean on earlier ones: where a reference is broken nothing is inferred. Each message leads with the pass
 * that ran last, and a note prints the node's line. */
#include "ir/text.h"

#include <stdlib.h>
#include <string.h>

enum { ORDINARY_RANK = 5 };

/* How a graph is used: as the region of a repeat with n iterations, by an entry or not at all that we can see. */
typedef struct {
    int32_t n; /* leaves that a set must have; 0 = unknown */
    bool    region;
    enum { WHITE, GREY, BLACK } colour; /* walk over regions */
} Use;

typedef struct {
    const Module *m;
    const char   *after;
    Diags        *ds;
    Use          *use; /* [m->graphs] */
    const Graph  *g;   /* the graph being checked */
    ValueId       v;
} Verifier;

static bool fail(Verifier *c, const char *rule, const char *fmt, ...) ANEL_PRINTF(3, 4);
static bool fail(Verifier *c, const char *rule, const char *fmt, ...)
{
    Buf     text = {0};
    va_list ap;
    va_start(ap, fmt);
    buf_vprintf(&text, fmt, ap);
    va_end(ap);
    bool  node = c->g && c->v;
    Diag *d = diag_error(c->ds, rule, node ? c->g->node[c->v].at : (Span){0}, "after %s: %s", c->after, text.data);
    buf_clear(&text);
    if (node) {
        value_print(c->m, c->g, c->v, &text);
        diag_note(d, (Span){0}, "%s", text.data);
    } else if (c->g) {
        diag_note(d, (Span){0}, "in graph '%s'", interned(c->m->strings, c->g->name));
    }
    buf_free(&text);
    return false;
}

static const char *name(Verifier *c, StrId id)
{
    return interned(c->m->strings, id);
}

static const char *text(Verifier *c, Type t)
{
    return type_text(c->ds->arena, t);
}

/* ---- the module's own lists ---- */

static Type leaf_type(const Module *m, bool param, uint32_t leaf)
{
    return param ? m->param[leaf].type : m->state[leaf].type;
}

static bool check_type(Verifier *c, Type t, const char *what, StrId path)
{
    int64_t n = 1;
    if (t.dtype <= DT_NONE || t.dtype >= DT_COUNT || t.shape.rank > ORDINARY_RANK)
        return fail(c, "V5", "%s '%s' has no type, or rank over %d", what, name(c, path), ORDINARY_RANK);
    for (uint32_t i = 0; i < t.shape.rank; i++)
        if (t.shape.dim[i] < 1 || (n *= t.shape.dim[i]) > INT32_MAX)
            return fail(c, "V5", "%s '%s' is %s: axis %u", what, name(c, path), text(c, t), i);
    return true;
}

static bool check_sets(Verifier *c, bool param)
{
    const LeafSet *set = param ? c->m->param_set : c->m->state_set;
    uint32_t       sets = param ? c->m->param_sets : c->m->state_sets, leaves = param ? c->m->params : c->m->states;
    bool           ok = true;
    for (uint32_t i = 0; i < sets; i++) {
        const LeafSet *s = &set[i];
        if (s->count == 0)
            ok = fail(c, "V7", "set '%s' has no leaves", name(c, s->pattern));
        for (uint32_t k = 0; k < s->count; k++)
            if (s->leaf[k] >= leaves)
                ok = fail(c, "V7", "set '%s' names leaf %u of %u", name(c, s->pattern), s->leaf[k], leaves);
        for (uint32_t k = 1; ok && k < s->count; k++)
            if (!type_equal(leaf_type(c->m, param, s->leaf[k]), leaf_type(c->m, param, s->leaf[0])))
                ok = fail(c, "V7", "set '%s' has leaves of different types", name(c, s->pattern));
    }
    return ok;
}

static bool check_lists(Verifier *c)
{
    const Module *m = c->m;
    bool          ok = true;
    for (uint32_t i = 0; i < m->params; i++)
        ok = check_type(c, m->param[i].type, "parameter", m->param[i].path) && ok;
    for (uint32_t i = 0; i < m->states; i++)
        ok = check_type(c, m->state[i].type, "state", m->state[i].path) && ok;
    for (uint32_t i = 1; i < m->tables; i++)
        ok = check_type(c, (Type){m->table[i].dtype, m->table[i].shape}, "table", m->table[i].name) && ok;
    ok = check_sets(c, true) && ok;
    ok = check_sets(c, false) && ok;
    for (uint32_t i = 0; i < m->entries; i++) {
        if (m->entry[i].graph == 0 || m->entry[i].graph >= m->graphs)
            ok = fail(c, "V13", "entry '%s' has no graph", name(c, m->entry[i].name));
        for (uint32_t k = 0; k < i; k++)
            if (m->entry[k].name == m->entry[i].name)
                ok = fail(c, "V13", "two entries are called '%s'", name(c, m->entry[i].name));
    }
    for (uint32_t i = 0; i < m->vjp_checks; i++)
        if (m->vjp_check[i].graph == 0 || m->vjp_check[i].graph >= m->graphs || m->vjp_check[i].vjp == 0 ||
            m->vjp_check[i].vjp >= m->graphs)
            ok = fail(c, "V13", "the check of '%s' has no graph", name(c, m->vjp_check[i].fn));
    return ok;
}

/* ---- references and ranks: what everything after may index with ---- */

static bool check_attributes(Verifier *c, const Node *n)
{
    const Module *m = c->m;
    if (n->hint >= m->hints || n->tag >= m->composites)
        return fail(c, "V1", "hint %u or tag %u does not exist", n->hint, n->tag);
    switch (n->op) {
    case OP_const:
        return n->a.constant.table < m->tables || fail(c, "V1", "table %u does not exist", n->a.constant.table);
    case OP_param:
    case OP_grad: return n->a.leaf.set < m->param_sets || fail(c, "V1", "set %u does not exist", n->a.leaf.set);
    case OP_state:
    case OP_state_set: return n->a.leaf.set < m->state_sets || fail(c, "V1", "set %u does not exist", n->a.leaf.set);
    case OP_repeat:
        return (n->a.repeat.graph && n->a.repeat.graph < m->graphs) ||
               fail(c, "V1", "region %u does not exist", n->a.repeat.graph);
    case OP_call:
        return (n->a.call.graph && n->a.call.graph < m->graphs && n->a.call.vjp < m->graphs) ||
               fail(c, "V1", "region %u or adjoint %u does not exist", n->a.call.graph, n->a.call.vjp);
    default: return true;
    }
}

static bool check_references(Verifier *c, const Node *n)
{
    if (n->op >= OP_COUNT || (uint64_t)n->in_first + n->in_count > c->g->operands)
        return fail(c, "V1", "no such operation, or operands beyond the graph's");
    for (uint32_t k = 0; k < n->in_count; k++) {
        ValueId x = node_in(c->g, n)[k];
        if (x == 0 || x >= c->v)
            return fail(c, "V1", "operand %u does not precede the node", k);
        if (c->g->node[x].type.dtype == DT_NONE && n->op != OP_proj)
            return fail(c, "V1", "operand %u has no value", k);
    }
    int arity = op_info[n->op].arity;
    if (arity != VARIADIC && (uint32_t)arity != n->in_count)
        return fail(c, "V2", "'%s' takes %d operands, not %u", op_info[n->op].name, arity, n->in_count);
    return check_attributes(c, n);
}

/* Which values may have rank 6: stacked operands of repeats and, going up, their operands; results of repeats and,
 * going down, what uses them. (Values of lower rank in between end the chain in check_shape.) */
static void find_stacks(const Graph *g, bool *stack)
{
    for (ValueId v = g->count; v-- > 1;) {
        const Node *n = &g->node[v];
        for (uint32_t k = 0; k < n->in_count; k++) {
            bool xs = n->op == OP_repeat && k >= n->a.repeat.n_carry && k - n->a.repeat.n_carry < n->a.repeat.n_xs;
            if (xs || (stack[v] && n->type.shape.rank > ORDINARY_RANK))
                stack[node_in(g, n)[k]] = true;
        }
    }
    for (ValueId v = 1; v < g->count; v++) {
        const Node *n = &g->node[v];
        for (uint32_t k = 0; k < n->in_count; k++) {
            ValueId x = node_in(g, n)[k];
            bool    result = n->op == OP_proj && g->node[x].op == OP_repeat;
            if (result || (stack[x] && g->node[x].type.shape.rank > ORDINARY_RANK))
                stack[v] = true;
        }
    }
}

static bool check_shape(Verifier *c, const Node *n, const bool *stack)
{
    Shape   s = n->type.shape;
    int64_t count = 1;
    if (n->type.dtype >= DT_COUNT || s.rank > MAX_RANK || (s.rank > ORDINARY_RANK && !stack[c->v]))
        return fail(c, "V5", "rank %u, at most %d is allowed", s.rank, ORDINARY_RANK);
    for (uint32_t i = 0; i < s.rank; i++) {
        if (s.dim[i] < 1)
            return fail(c, "V5", "axis %u has extent %d", i, s.dim[i]);
        if ((count *= s.dim[i]) > INT32_MAX)
            return fail(c, "V5", "2^31 elements or more");
    }
    return true;
}

/* Results of regions are found by position; only those of entries are asked for by name. */
static bool is_entry(const Verifier *c)
{
    for (uint32_t i = 0; i < c->m->entries; i++)
        if (c->m->entry[i].graph == c->g->id)
            return true;
    return false;
}

static bool check_results(Verifier *c)
{
    const Graph *g = c->g;
    bool         ok = true;
    c->v = 0;
    for (uint32_t i = 0; i < g->outs; i++) {
        if (g->out[i] == 0 || g->out[i] >= g->count || g->node[g->out[i]].type.dtype == DT_NONE)
            ok = fail(c, "V12", "result %u is no value of the graph", i);
        for (uint32_t k = 0; g->out_name[i] && k < i && is_entry(c); k++)
            if (g->out_name[k] == g->out_name[i])
                ok = fail(c, "V12", "two results are called '%s'", name(c, g->out_name[i]));
    }
    return ok;
}

static bool check_frame(Verifier *c, const Graph *g)
{
    bool  ok = true;
    bool *stack = xcalloc(g->count, sizeof *stack);
    c->g = g;
    for (c->v = 1; c->v < g->count; c->v++)
        ok = check_references(c, &g->node[c->v]) && ok;
    if (ok)
        find_stacks(g, stack);
    for (c->v = 1; ok && c->v < g->count; c->v++)
        ok = check_shape(c, &g->node[c->v], stack) && ok;
    free(stack);
    c->v = 0;
    for (uint32_t i = 0; i < g->inputs; i++) {
        Type t = g->input[i].type;
        if (t.dtype <= DT_NONE || t.dtype >= DT_COUNT || t.shape.rank > MAX_RANK)
            ok = fail(c, "V5", "input %u has no type", i);
    }
    return check_results(c) && ok;
}

/* ---- regions ---- */

static bool walk(Verifier *c, GraphId id);

static bool walk_into(Verifier *c, const Graph *g, ValueId v, GraphId id)
{
    if (c->use[id].colour != GREY)
        return walk(c, id);
    c->g = g;
    c->v = v;
    return fail(c, "V10", "the region contains itself");
}

/* Depth first: a grey graph that is met again contains itself. The depth is bounded by the number of graphs. */
static bool walk(Verifier *c, GraphId id)
{
    const Graph *g = c->m->graph[id];
    bool         ok = true;
    if (c->use[id].colour == BLACK)
        return true;
    c->use[id].colour = GREY;
    for (ValueId v = 1; v < g->count; v++) {
        const Node *n = &g->node[v];
        if (n->op == OP_repeat)
            ok = walk_into(c, g, v, n->a.repeat.graph) && ok;
        if (n->op == OP_call)
            ok = walk_into(c, g, v, n->a.call.graph) && ok;
        if (n->op == OP_call && n->a.call.vjp)
            ok = walk_into(c, g, v, n->a.call.vjp) && ok;
    }
    c->use[id].colour = BLACK;
    return ok;
}

/* Mark what runs inside a repeat: its region and what that calls. Callees come in any order: until nothing changes. */
static bool mark_regions(Verifier *c)
{
    const Module *m = c->m;
    bool          ok = true, again = true;
    for (uint32_t i = 0; i < m->entries; i++)
        c->use[m->entry[i].graph].n = 1;
    for (GraphId id = 1; id < m->graphs; id++)
        for (ValueId v = 1; v < m->graph[id]->count; v++) {
            const Node *n = &m->graph[id]->node[v];
            if (n->op != OP_repeat)
                continue;
            c->use[n->a.repeat.graph].region = true;
            c->use[n->a.repeat.graph].n = n->a.repeat.n;
        }
    while (again) {
        again = false;
        for (GraphId id = 1; id < m->graphs; id++)
            for (ValueId v = 1; v < m->graph[id]->count; v++) {
                const Node *n = &m->graph[id]->node[v];
                Use        *callee = n->op == OP_call ? &c->use[n->a.call.graph] : NULL;
                if (callee && c->use[id].region && !callee->region) {
                    callee->region = again = true;
                    callee->n = c->use[id].n;
                }
            }
    }
    for (GraphId id = 1; id < m->graphs; id++) {
        c->g = m->graph[id];
        if (!c->use[id].region)
            continue;
        for (c->v = 1; c->v < c->g->count; c->v++)
            if (c->g->node[c->v].op == OP_repeat)
                ok = fail(c, "V10", "a repeat inside a region");
        c->v = 0;
        for (uint32_t i = 0; i < c->g->inputs; i++)
            if (c->g->input[i].type.shape.rank > ORDINARY_RANK)
                ok = fail(c, "V5", "the region's input %u has rank %d", i, MAX_RANK);
    }
    return ok;
}

/* ---- types and meaning ---- */

/* The rule that a wrong type of this operation breaks. */
static const char *type_rule(Op op)
{
    switch (op) {
    case OP_add: case OP_sub: case OP_mul: case OP_div: case OP_max: case OP_min: case OP_cmp: case OP_select:
        return "V4";
    case OP_reshape: case OP_broadcast: return "V6";
    case OP_grad: case OP_state_set: return "V9";
    case OP_repeat: case OP_call: case OP_proj: return "V10";
    default: return "V3";
    }
}

static bool check_inferred(Verifier *c, const Node *n)
{
    Node  copy = *n;
    Type *in = xcalloc(n->in_count + 1u, sizeof *in);
    Buf   err = {0};
    bool  ok;
    for (uint32_t k = 0; k < n->in_count; k++)
        in[k] = c->g->node[node_in(c->g, n)[k]].type;
    if (!op_infer(c->m, &copy, in, n->in_count, n->in_count ? &c->g->node[node_in(c->g, n)[0]] : NULL, &err))
        ok = fail(c, type_rule(n->op), "%s: %s", op_info[n->op].name, err.data);
    else
        ok = type_equal(copy.type, n->type) || fail(c, "V3", "the rule gives %s", text(c, copy.type));
    buf_free(&err);
    free(in);
    return ok;
}

static bool check_leaf(Verifier *c, const Node *n, bool *read)
{
    bool param = n->op == OP_param || n->op == OP_grad;
    if (n->op == OP_input) {
        uint32_t k = n->a.input.index;
        if (k >= c->g->inputs)
            return fail(c, "V7", "input %u of %u", k, c->g->inputs);
        if (read[k])
            return fail(c, "V7", "input %u is read by another node already", k);
        read[k] = true;
        return type_equal(n->type, c->g->input[k].type) ||
               fail(c, "V7", "the graph's input %u is %s", k, text(c, c->g->input[k].type));
    }
    if (n->op == OP_const) {
        const Table *t = n->a.constant.table ? &c->m->table[n->a.constant.table] : NULL;
        return !t || shape_equal(t->shape, n->type.shape) ||
               fail(c, "V3", "the table is %s", text(c, (Type){t->dtype, t->shape}));
    }
    if (!param && n->op != OP_state && n->op != OP_state_set)
        return true;
    const LeafSet *s = param ? &c->m->param_set[n->a.leaf.set] : &c->m->state_set[n->a.leaf.set];
    Type           t = leaf_type(c->m, param, s->leaf[0]);
    int32_t        want = c->use[c->g->id].n;
    if (want && (int64_t)s->count != want)
        return fail(c, "V7", "'%s' has %u leaves for %d iterations", name(c, s->pattern), s->count, want);
    if (n->op == OP_param || n->op == OP_state)
        return type_equal(n->type, t) || fail(c, "V7", "the leaf '%s' is %s", name(c, s->pattern), text(c, t));
    return true;
}

static bool check_meaning(Verifier *c, const Graph *g)
{
    bool  ok = true;
    bool *read = xcalloc(g->inputs + 1u, sizeof *read);
    c->g = g;
    for (c->v = 1; c->v < g->count; c->v++) {
        const Node *n = &g->node[c->v];
        ok = check_leaf(c, n, read) && check_inferred(c, n) && ok;
        for (uint32_t k = 0; k < n->in_count; k++)
            if (g->node[node_in(g, n)[k]].role > n->role)
                ok = fail(c, "V8", "a %s node uses the %s value %u", n->role == ROLE_FWD ? "forward" : "backward",
                          g->node[node_in(g, n)[k]].role == ROLE_BWD ? "backward" : "update's", k);
        if (n->device == DEV_ANE && !op_info[n->op].has_mil)
            ok = fail(c, "V11", "'%s' has no MIL form and cannot run on the engine", op_info[n->op].name);
    }
    free(read);
    return ok;
}

bool module_verify(const Module *m, const char *after, Diags *ds)
{
    Verifier c = {.m = m, .after = after, .ds = ds, .use = xcalloc(m->graphs, sizeof(Use))};
    bool     ok = check_lists(&c);
    for (GraphId id = 1; id < m->graphs; id++)
        ok = check_frame(&c, m->graph[id]) && ok;
    for (GraphId id = 1; ok && id < m->graphs; id++)
        ok = walk(&c, id) && ok;
    ok = ok && mark_regions(&c);
    if (ok)
        for (GraphId id = 1; id < m->graphs; id++)
            ok = check_meaning(&c, m->graph[id]) && ok;
    free(c.use);
    return ok;
}
