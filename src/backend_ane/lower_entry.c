/* lower_entry.c: the steps of one entry: its inputs, its graph, its results. */
#include "backend_ane/lower.h"

#include <string.h>

/* Ids must be below the extent of every table they pick from; INT32_MAX where they pick from none. */
static int32_t token_bound(const Module *m, const Graph *g, ValueId token)
{
    int32_t bound = INT32_MAX;
    for (ValueId v = token + 1; v < g->count; v++) {
        const Node *n = &g->node[v];
        for (uint32_t k = 0; k < n->in_count; k++) {
            if (node_arg(g, v, k) != token)
                continue;
            int32_t limit = INT32_MAX;
            if (n->op == OP_gather && k == 1)
                limit = g->node[node_arg(g, v, 0)].type.shape.dim[0];
            else if ((n->op == OP_xent || n->op == OP_xent_grad) && k == 1)
                limit = g->node[node_arg(g, v, 0)].type.shape.dim[n->a.axis.axis];
            else if (n->op == OP_reshape)
                limit = token_bound(m, g, v);
            else if (n->op == OP_repeat) {
                const Graph *r = m->graph[n->a.repeat.graph];
                for (ValueId w = 1; w < r->count; w++)
                    if (r->node[w].op == OP_input && r->node[w].a.input.index == k)
                        limit = token_bound(m, r, w);
            }
            if (limit < bound)
                bound = limit;
        }
    }
    return bound;
}

bool lower_entry(Builder *b, const Entry *entry)
{
    const Graph *g = b->m->graph[entry->graph];
    uint32_t     errors = b->ds->errors;
    StepList     fwd = {0}, bwd = {0}, upd = {0};
    Scope s = {
        .b = b, .g = g, .prefix = interned(b->m->strings, entry->name), .region = "", .list = {&fwd, &bwd, &upd}};
    scope_start(&s);
    PlanEntry e = {.name = s.prefix, .input = NEW_N(b->a, PlanInput, g->inputs), .inputs = g->inputs,
                   .result = NEW_N(b->a, PlanResult, g->outs), .results = g->outs};
    for (ValueId v = 1; v < g->count; v++) {
        const Node *n = &g->node[v];
        if (n->op != OP_input)
            continue;
        const GraphInput *in = &g->input[n->a.input.index];
        const char       *name = interned(b->m->strings, in->name);
        uint32_t k = add_buffer(b, arena_printf(b->a, "%s_%s", s.prefix, name), BUF_PLAIN, plan_type(in->type.dtype),
                                shape_at(&s, v), 0);
        PlanInput        *p = &e.input[n->a.input.index];
        *p = (PlanInput){.name = name, .kind = IN_REAL, .buffer = k};
        if (in->is_token) {
            p->kind = IN_TOKENS;
            p->vocab = token_bound(b->m, g, v);
        } else if (in->type.dtype == DT_I32)
            p->kind = IN_INT;
        else if (strcmp(name, "loss_scale") == 0 && in->type.shape.rank == 0 && entry->name == b->m->train_entry)
            p->kind = IN_LOSS_SCALE;
        s.loc[v] = (Loc){.has32 = true, .r32 = buffer_ref(k, false, shape_at(&s, v))};
    }
    for (uint32_t i = 0; i < g->inputs; i++) { /* inputs that nobody reads still have a buffer */
        if (e.input[i].name)
            continue;
        const char *name = interned(b->m->strings, g->input[i].name);
        uint32_t k = add_buffer(b, arena_printf(b->a, "%s_%s", s.prefix, name), BUF_PLAIN,
                                plan_type(g->input[i].type.dtype), plan_shape(g->input[i].type.shape), 0);
        e.input[i] = (PlanInput){name,
                                 g->input[i].is_token               ? IN_TOKENS
                                 : g->input[i].type.dtype == DT_I32 ? IN_INT
                                                                    : IN_REAL,
                                 k, g->input[i].is_token ? INT32_MAX : 0};
    }
    lower_graph(&s);
    for (uint32_t i = 0; i < g->outs; i++) {
        Ref r = cpu_ref(&s, g->out[i]);
        if (r.kind != REF_BUFFER || r.offset != 0) { /* a result is a buffer of its own */
            uint32_t k = add_buffer(b, arena_printf(b->a, "%s_result", s.prefix), BUF_PLAIN,
                                    plan_type(g->node[g->out[i]].type.dtype), shape_at(&s, g->out[i]), 0);
            Ref      to = buffer_ref(k, false, shape_at(&s, g->out[i]));
            add_reshape(b, &fwd, to, r);
            r = to;
        }
        e.result[i] = (PlanResult){interned(b->m->strings, g->out_name[i]), r.index};
    }
    e.forward = fwd.step;
    e.forwards = fwd.n;
    e.backward = bwd.step;
    e.backwards = bwd.n;
    e.update = upd.step;
    e.updates = upd.n;
    GROW(b->a, b->plan->entry, b->plan->entries, b->entries_cap);
    b->plan->entry[b->plan->entries++] = e;
    return b->ds->errors == errors;
}
