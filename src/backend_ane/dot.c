/* dot.c: see dot.h.
 *
 * One picture serves two questions: what a pass has made of the graph, and what ended up in which program. Constants
 * that are one number are written into their reader; parameters and tables are small boxes beside theirs. Operands and
 * results of a repeat are tied to its node; its region stands beside it, because an iteration has no place of its
 * own. */
#include "backend_ane/dot.h"

#include <string.h>

typedef struct {
    Arena           *a;
    const Module    *m;
    Buf             *out;
    const Partition *of;    /* [m->graphs], or NULL */
    bool            *drawn; /* [m->graphs] */
} Dot;

/* Text inside of a quoted string; "\n" is Graphviz' own for a line break. */
static void put_text(Buf *out, const char *s)
{
    for (; *s; s++) {
        unsigned char c = (unsigned char)*s;
        if (c == '"' || c == '\\')
            buf_printf(out, "\\%c", c);
        else
            buf_putc(out, c < 0x20 ? ' ' : (char)c);
    }
}

static bool is_number(const Node *n)
{
    return n->op == OP_const && n->a.constant.table == 0;
}

/* A number that reaches its reader through nothing but views and transposes; *c is its value. */
static bool number_behind(const Graph *g, ValueId v, double *c)
{
    const Node *n = &g->node[behind_views(g, v)];
    if (is_number(n))
        *c = n->a.constant.splat;
    return is_number(n);
}

static bool is_drawn(const Graph *g, ValueId v)
{
    double c;
    return !number_behind(g, v, &c);
}

static const char *leaf_name(const Dot *d, const Node *n)
{
    const Module *m = d->m;
    if (n->op == OP_param || n->op == OP_grad)
        return interned(m->strings, m->param_set[n->a.leaf.set].pattern);
    if (n->op == OP_state || n->op == OP_state_set)
        return interned(m->strings, m->state_set[n->a.leaf.set].pattern);
    if (n->op == OP_const && n->a.constant.table)
        return interned(m->strings, m->table[n->a.constant.table].name);
    return "";
}

static void put_label(const Dot *d, const Graph *g, ValueId v)
{
    const Node *n = &g->node[v];
    const char *name = interned(d->m->strings, n->name), *scope = interned(d->m->strings, n->scope);
    double      c;
    if (*leaf_name(d, n)) {
        put_text(d->out, leaf_name(d, n));
        buf_puts(d->out, "\\n");
    } else if (*name) {
        put_text(d->out, scope);
        put_text(d->out, *scope ? "." : "");
        put_text(d->out, name);
        buf_puts(d->out, "\\n");
    }
    put_text(d->out, op_info[n->op].name);
    if (n->op == OP_repeat)
        buf_printf(d->out, " %d times%s", n->a.repeat.n, n->a.repeat.reverse ? ", backwards" : "");
    if (n->op == OP_matmul)
        buf_printf(d->out, "%s%s", n->a.matmul.ta ? " A'" : "", n->a.matmul.tb ? " B'" : "");
    for (uint32_t k = 0; k < n->in_count; k++)
        if (number_behind(g, node_arg(g, v, k), &c)) {
            buf_putc(d->out, ' ');
            buf_double(d->out, c);
        }
    if (n->type.dtype != DT_NONE) {
        buf_puts(d->out, "\\n");
        put_text(d->out, type_text(d->a, n->type));
    }
}

static const char *style_of(const Node *n)
{
    if (n->op == OP_param || n->op == OP_state || n->op == OP_const)
        return "style=filled, fillcolor=\"#eeeeee\", fontsize=9, height=0.2";
    if (n->op == OP_input)
        return "style=filled, fillcolor=\"#ffffff\", shape=house";
    if (n->op == OP_grad || n->op == OP_state_set)
        return "style=filled, fillcolor=\"#f6e3a1\", shape=invhouse";
    static const char *const style[2][3] = {
        {"style=filled, fillcolor=\"#ffffff\"", "style=filled, fillcolor=\"#bcd7f5\"",
         "style=filled, fillcolor=\"#f6e3a1\""},
        {"style=\"filled,rounded\", fillcolor=\"#ffffff\"", "style=\"filled,rounded\", fillcolor=\"#bcd7f5\"",
         "style=\"filled,rounded\", fillcolor=\"#f6e3a1\""}};
    return style[n->role != ROLE_FWD][n->device];
}

static void put_node(const Dot *d, const Graph *g, ValueId v, const char *indent)
{
    buf_printf(d->out, "%sg%u_v%u [label=\"", indent, g->id, v);
    put_label(d, g, v);
    buf_printf(d->out, "\", %s];\n", style_of(&g->node[v]));
}

static void put_programs(const Dot *d, const Graph *g, const Partition *part)
{
    for (uint32_t p = 1; p <= part->programs; p++) {
        buf_printf(d->out,
                   "    subgraph cluster_g%u_p%u {\n      label=\"program %u\"; color=\"#2060a0\"; penwidth=2;\n",
                   g->id, p, p);
        for (ValueId v = 1; v < g->count; v++)
            if (part->program[v] == p && is_drawn(g, v))
                put_node(d, g, v, "      ");
        buf_puts(d->out, "    }\n");
    }
}

static void put_graph(const Dot *d, const Graph *g, const char *title)
{
    d->drawn[g->id] = true;
    Partition part = {NEW_N(d->a, uint32_t, g->count), 0};
    if (d->of && d->of[g->id].program)
        part = d->of[g->id];
    buf_printf(d->out, "  subgraph cluster_g%u {\n    label=\"", g->id);
    put_text(d->out, title);
    buf_puts(d->out, "\"; color=\"#888888\";\n");
    put_programs(d, g, &part);
    for (ValueId v = 1; v < g->count; v++)
        if (part.program[v] == 0 && is_drawn(g, v))
            put_node(d, g, v, "    ");
    for (uint32_t i = 0; i < g->outs; i++) {
        const char *name = interned(d->m->strings, g->out_name[i]);
        buf_printf(d->out, "    g%u_o%u [label=\"", g->id, i);
        put_text(d->out, *name ? name : "result");
        buf_puts(d->out, "\", shape=invhouse];\n");
    }
    for (ValueId v = 1; v < g->count; v++)
        for (uint32_t k = 0; k < g->node[v].in_count; k++)
            if (is_drawn(g, v) && is_drawn(g, node_arg(g, v, k)))
                buf_printf(d->out, "    g%u_v%u -> g%u_v%u;\n", g->id, node_arg(g, v, k), g->id, v);
    for (uint32_t i = 0; i < g->outs; i++)
        if (is_drawn(g, g->out[i]))
            buf_printf(d->out, "    g%u_v%u -> g%u_o%u;\n", g->id, g->out[i], g->id, i);
    buf_puts(d->out, "  }\n");
    for (ValueId v = 1; v < g->count; v++) {
        const Node *n = &g->node[v];
        GraphId     r = n->op == OP_repeat ? n->a.repeat.graph : n->op == OP_call ? n->a.call.graph : 0;
        if (!r || d->drawn[r])
            continue;
        put_graph(d, d->m->graph[r], arena_printf(d->a, "%s of %s", n->op == OP_repeat ? "one iteration" : "the call",
                                                  interned(d->m->strings, d->m->graph[r]->name)));
    }
}

void module_dot(Arena *a, const Module *m, const Partition *of, Buf *out)
{
    Dot d = {a, m, out, of, NEW_N(a, bool, m->graphs)};
    buf_puts(out, "digraph \"");
    put_text(out, interned(m->strings, m->name));
    buf_puts(out, "\" {\n  node [shape=box, fontname=\"sans-serif\", fontsize=10];\n  edge [arrowsize=0.6];\n  "
                  "fontname=\"sans-serif\";\n");
    for (uint32_t i = 0; i < m->entries; i++)
        if (!d.drawn[m->entry[i].graph])
            put_graph(&d, m->graph[m->entry[i].graph],
                      arena_printf(a, "entry %s", interned(m->strings, m->entry[i].name)));
    buf_puts(out, "}\n");
}
