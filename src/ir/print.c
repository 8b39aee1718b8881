/* print.c: modules as text, one value per line; the form is described in docs/ir.md.
 *
 * A value is written %name, after the source variable; when several values of a graph share a name, the second is
 * %name.1, the next %name.2. Nothing else is numbered by position, so a pass that touches one value changes one line of
 * the dump. Values without a name count among themselves: %1, %2.
 *
 * Broken modules are printed too, because the verifier shows the line it complains about: every index is checked. */
#include "ir/words.h"

#include "ir/text.h"

#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

const AttrWord attr_word[ATTR_ROWS] = {
#define ATTR(op, key, kind, member) {OP_##op, #key, ATTR_##kind, offsetof(Attr, member)},
#include "ir/attr.def"
};
const char *const cmp_word[6] = {"eq", "ne", "lt", "gt", "le", "ge"};
const char *const init_word[5] = {"zeros", "ones", "value", "normal", "uniform"};
const char *const place_word[3] = {"", "ane", "cpu"};
const char *const hint_word[3] = {"", "ane", "cpu"};

enum { TABLE_COLUMNS = 16 };

typedef struct {
    const Module *m;
    Buf          *out;
    uint32_t     *graph_suffix; /* [m->graphs]: 0 = the first of its name */
} Printer;

/* ---- words ---- */

static bool is_plain(const char *s)
{
    if (!*s || (*s >= '0' && *s <= '9'))
        return false;
    for (; *s; s++)
        if (!((*s >= 'a' && *s <= 'z') || (*s >= 'A' && *s <= 'Z') || (*s >= '0' && *s <= '9') || *s == '_'))
            return false;
    return true;
}

static void put_string(Printer *p, StrId id)
{
    buf_putc(p->out, '"');
    for (const char *s = interned(p->m->strings, id); *s; s++) {
        unsigned char c = (unsigned char)*s;
        if (c == '"' || c == '\\')
            buf_printf(p->out, "\\%c", c);
        else if (c < 0x20 || c == 0x7f)
            buf_printf(p->out, "\\x%02x", c);
        else
            buf_putc(p->out, *s);
    }
    buf_putc(p->out, '"');
}

/* Integers without a point: tables of classes and masks stay short. */
static void put_number(Buf *out, double x)
{
    if (x == floor(x) && fabs(x) < 1e15 && !(x == 0 && signbit(x)))
        buf_printf(out, "%.0f", x);
    else
        buf_double(out, x);
}

static void put_label(Printer *p, char sigil, StrId name, uint32_t suffix)
{
    buf_putc(p->out, sigil);
    if (!name) {
        buf_printf(p->out, "%u", suffix + 1);
        return;
    }
    if (is_plain(interned(p->m->strings, name)))
        buf_puts(p->out, interned(p->m->strings, name));
    else
        put_string(p, name);
    if (suffix)
        buf_printf(p->out, ".%u", suffix);
}

/* seen[id]++: how often each name has been used; the table grows as names come. */
typedef struct {
    uint32_t *seen;
    uint32_t  cap;
} Counter;

static uint32_t count_name(Counter *c, StrId name)
{
    if (name >= c->cap) {
        uint32_t cap = (name + 1) * 2;
        c->seen = xrealloc(c->seen, cap * sizeof *c->seen);
        memset(c->seen + c->cap, 0, (cap - c->cap) * sizeof *c->seen);
        c->cap = cap;
    }
    return c->seen[name]++;
}

static bool is_sink(const Node *n)
{
    return n->op == OP_grad || n->op == OP_state_set;
}

/* Suffix of every value of a graph. Unnamed sinks are never referred to and take no number. */
static uint32_t *value_suffixes(const Graph *g)
{
    Counter   c = {0};
    uint32_t *suffix = xcalloc(g->count, sizeof *suffix);
    for (uint32_t v = 1; v < g->count; v++)
        if (g->node[v].name || !is_sink(&g->node[v]))
            suffix[v] = count_name(&c, g->node[v].name);
    free(c.seen);
    return suffix;
}

static Printer printer_new(const Module *m, Buf *out)
{
    Counter c = {0};
    Printer p = {m, out, xcalloc(m->graphs, sizeof(uint32_t))};
    for (uint32_t i = 1; i < m->graphs; i++)
        p.graph_suffix[i] = count_name(&c, m->graph[i]->name);
    free(c.seen);
    return p;
}

static void put_graph_name(Printer *p, GraphId id)
{
    if (id == 0 || id >= p->m->graphs)
        buf_printf(p->out, "@?%u", id);
    else
        put_label(p, '@', p->m->graph[id]->name, p->graph_suffix[id]);
}

static void put_type(Printer *p, Type t)
{
    if (t.dtype == DT_NONE)
        buf_puts(p->out, "none");
    else if (t.dtype >= DT_COUNT || t.shape.rank > MAX_RANK)
        buf_printf(p->out, "?%u[?%u]", (unsigned)t.dtype, t.shape.rank);
    else
        type_print(t, p->out);
}

/* ---- nodes ---- */

static void put_list(Buf *out, uint32_t n, const void *item, bool bytes)
{
    buf_putc(out, '[');
    for (uint32_t i = 0; i < n && i < MAX_RANK; i++)
        buf_printf(out, i ? ", %d" : "%d", bytes ? ((const uint8_t *)item)[i] : ((const int32_t *)item)[i]);
    buf_putc(out, ']');
}

static void put_axes(Buf *out, uint32_t axes)
{
    const char *comma = "";
    buf_putc(out, '[');
    for (uint32_t k = 0; k < 32; k++)
        if (axes >> k & 1) {
            buf_printf(out, "%s%u", comma, k);
            comma = ", ";
        }
    buf_putc(out, ']');
}

static void put_set(Printer *p, const LeafSet *set, uint32_t sets, uint32_t i)
{
    if (i >= sets) {
        buf_printf(p->out, "? set=%u", i);
        return;
    }
    put_string(p, set[i].pattern);
    for (uint32_t k = 0; k < i; k++)
        if (set[k].pattern == set[i].pattern) {
            buf_printf(p->out, " set=%u", i);
            return;
        }
}

static void put_attr(Printer *p, const Node *n, const AttrWord *w)
{
    const void *at = (const char *)&n->a + w->at;
    Buf        *out = p->out;
    uint32_t    u = 0;
    if (w->kind == ATTR_FLAG || w->kind == ATTR_FLAG8) {
        if (w->kind == ATTR_FLAG ? *(const bool *)at : *(const uint8_t *)at)
            buf_printf(out, " %s", w->key);
        return;
    }
    if (w->kind != ATTR_F64 && w->kind != ATTR_SPLAT && w->kind != ATTR_PERM && w->kind != ATTR_DIMS)
        memcpy(&u, at, sizeof u);
    if (u == 0 && (w->kind == ATTR_MAYBE_GRAPH || w->kind == ATTR_STR || w->kind == ATTR_TABLE))
        return;
    if (w->kind == ATTR_SPLAT && n->a.constant.table)
        return;
    buf_printf(out, " %s=", w->key);
    switch (w->kind) {
    case ATTR_FLAG: case ATTR_FLAG8: break;
    case ATTR_I32: buf_printf(out, "%d", (int)(int32_t)u); break;
    case ATTR_U32: case ATTR_TABLE: buf_printf(out, "%u", u); break;
    case ATTR_F64: case ATTR_SPLAT: put_number(out, *(const double *)at); break;
    case ATTR_CMP: buf_puts(out, n->a.cmp.kind < COUNT(cmp_word) ? cmp_word[n->a.cmp.kind] : "?"); break;
    case ATTR_AXES: put_axes(out, u); break;
    case ATTR_PERM: put_list(out, n->type.shape.rank, at, true); break;
    case ATTR_DIMS: put_list(out, n->type.shape.rank, at, false); break;
    case ATTR_PARAM: put_set(p, p->m->param_set, p->m->param_sets, u); break;
    case ATTR_STATE: put_set(p, p->m->state_set, p->m->state_sets, u); break;
    case ATTR_GRAPH: case ATTR_MAYBE_GRAPH: put_graph_name(p, u); break;
    case ATTR_STR: put_string(p, u); break;
    }
}

static void put_node(Printer *p, const Graph *g, const uint32_t *suffix, ValueId v)
{
    const Node *n = &g->node[v];
    Buf        *out = p->out;
    if (n->name || !is_sink(n)) {
        put_label(p, '%', n->name, suffix[v]);
        buf_puts(out, " = ");
    }
    buf_puts(out, n->op < OP_COUNT ? op_info[n->op].name : "?");
    for (uint32_t k = 0; k < n->in_count && (uint64_t)n->in_first + k < g->operands; k++) {
        ValueId x = node_in(g, n)[k];
        buf_putc(out, ' ');
        if (x == 0 || x >= g->count)
            buf_printf(out, "%%?%u", x);
        else
            put_label(p, '%', g->node[x].name, suffix[x]);
    }
    for (uint32_t i = 0; i < ATTR_ROWS; i++)
        if (attr_word[i].op == n->op)
            put_attr(p, n, &attr_word[i]);
    buf_puts(out, " : ");
    put_type(p, n->type);
    if (n->role == ROLE_BWD)
        buf_puts(out, " bwd");
    if (n->role == ROLE_UPD)
        buf_puts(out, " upd");
    if (n->device != DEV_ANY)
        buf_printf(out, " %s", place_word[n->device]);
    if (n->program)
        buf_printf(out, " program=%u", n->program);
    if (n->scope) {
        buf_puts(out, " scope=");
        put_string(p, n->scope);
    }
    if (n->tag)
        buf_printf(out, " tag=%u", n->tag);
    if (n->hint)
        buf_printf(out, " hint=%u", n->hint);
}

static void put_graph(Printer *p, const Graph *g)
{
    Buf      *out = p->out;
    uint32_t *suffix = value_suffixes(g);
    buf_puts(out, "graph ");
    put_graph_name(p, g->id);
    buf_puts(out, " (");
    for (uint32_t i = 0; i < g->inputs; i++) {
        buf_puts(out, i ? ", " : "");
        if (g->input[i].name)
            put_string(p, g->input[i].name);
        else
            buf_putc(out, '_');
        buf_puts(out, g->input[i].is_token ? ": token " : ": ");
        put_type(p, g->input[i].type);
    }
    buf_puts(out, ") {\n");
    for (uint32_t v = 1; v < g->count; v++) {
        buf_puts(out, "  ");
        put_node(p, g, suffix, v);
        buf_putc(out, '\n');
    }
    buf_puts(out, "  return");
    for (uint32_t i = 0; i < g->outs; i++) {
        ValueId v = g->out[i];
        buf_puts(out, i ? ", " : " ");
        if (v == 0 || v >= g->count)
            buf_printf(out, "%%?%u", v);
        else
            put_label(p, '%', g->node[v].name, suffix[v]);
        if (g->out_name[i]) {
            buf_puts(out, " as ");
            put_string(p, g->out_name[i]);
        }
    }
    buf_puts(out, "\n}\n");
    free(suffix);
}

void graph_print(const Module *m, const Graph *g, Buf *out)
{
    Printer p = printer_new(m, out);
    put_graph(&p, g);
    free(p.graph_suffix);
}

void value_print(const Module *m, const Graph *g, ValueId v, Buf *out)
{
    Printer   p = printer_new(m, out);
    uint32_t *suffix = value_suffixes(g);
    put_graph_name(&p, g->id);
    buf_puts(out, ": ");
    put_node(&p, g, suffix, v);
    free(suffix);
    free(p.graph_suffix);
}

/* ---- module ---- */

static void put_init(Printer *p, const Init *init)
{
    int n = init_numbers(init->kind);
    buf_printf(p->out, " init=%s", init_word[init->kind]);
    if (n) {
        buf_putc(p->out, '(');
        put_number(p->out, init->a);
        if (n == 2) {
            buf_puts(p->out, ", ");
            put_number(p->out, init->b);
        }
        buf_putc(p->out, ')');
    }
}

static void put_param(Printer *p, const Param *x, uint32_t i)
{
    buf_printf(p->out, "param %u ", i);
    put_string(p, x->path);
    buf_puts(p->out, " : ");
    put_type(p, x->type);
    put_init(p, &x->init);
    buf_puts(p->out, x->nodecay ? " nodecay" : "");
    buf_puts(p->out, x->frozen ? " frozen" : "");
    if (x->lr != 1) {
        buf_puts(p->out, " lr=");
        put_number(p->out, x->lr);
    }
    if (x->import) {
        buf_puts(p->out, " import=");
        put_string(p, x->import);
    }
    buf_puts(p->out, x->import_transpose ? " import_transpose" : "");
    if (x->import_rows[0] || x->import_rows[1]) {
        buf_puts(p->out, " import_rows=");
        put_list(p->out, 2, x->import_rows, false);
    }
    buf_putc(p->out, '\n');
}

static void put_sets(Printer *p, const char *word, const LeafSet *set, uint32_t sets)
{
    for (uint32_t i = 0; i < sets; i++) {
        buf_printf(p->out, "%s %u ", word, i);
        put_string(p, set[i].pattern);
        buf_puts(p->out, " =");
        for (uint32_t k = 0; k < set[i].count; k++)
            buf_printf(p->out, " %u", set[i].leaf[k]);
        buf_putc(p->out, '\n');
    }
}

static void put_table(Printer *p, const Table *t, uint32_t i)
{
    int64_t n = shape_numel(t->shape);
    buf_printf(p->out, "table %u ", i);
    if (t->name) {
        put_string(p, t->name);
        buf_putc(p->out, ' ');
    }
    buf_puts(p->out, ": ");
    put_type(p, (Type){t->dtype, t->shape});
    buf_puts(p->out, n > TABLE_COLUMNS ? " {\n " : " {");
    for (int64_t k = 0; k < n; k++) {
        if (k && k % TABLE_COLUMNS == 0)
            buf_puts(p->out, "\n ");
        buf_putc(p->out, ' ');
        put_number(p->out, t->data[k]);
    }
    buf_puts(p->out, n > TABLE_COLUMNS ? "\n}\n" : " }\n");
}

static void put_hint(Printer *p, const Hint *h, uint32_t i)
{
    buf_printf(p->out, "hint %u", i);
    if (h->place != PLACE_FREE)
        buf_printf(p->out, " %s", hint_word[h->place]);
    buf_puts(p->out, h->save ? " save" : "");
    buf_puts(p->out, h->recompute ? " recompute" : "");
    buf_puts(p->out, h->f32 ? " f32" : "");
    if (h->group) {
        buf_puts(p->out, " group=");
        put_string(p, h->group);
    }
    if (h->cut)
        buf_printf(p->out, " cut=%u", h->cut);
    buf_putc(p->out, '\n');
}

/* word "key" = "value" */
static void put_pair(Printer *p, const char *word, StrId key, StrId value, const char *mark)
{
    buf_printf(p->out, "%s ", word);
    put_string(p, key);
    buf_puts(p->out, " = ");
    put_string(p, value);
    buf_printf(p->out, "%s\n", mark);
}

void module_print(const Module *m, Buf *out)
{
    Printer p = printer_new(m, out);
    buf_puts(out, "module");
    if (m->name) {
        buf_putc(out, ' ');
        put_string(&p, m->name);
    }
    buf_putc(out, '\n');
    for (uint32_t i = 0; i < m->configs; i++)
        put_pair(&p, "config", m->config[i].name, m->config[i].value, m->config[i].overridden ? " overridden" : "");
    for (uint32_t i = 0; i < m->settings; i++)
        put_pair(&p, "setting", m->setting[i].key, m->setting[i].value, "");
    for (uint32_t i = 0; i < m->params; i++)
        put_param(&p, &m->param[i], i);
    for (uint32_t i = 0; i < m->states; i++) {
        buf_printf(out, "state %u ", i);
        put_string(&p, m->state[i].path);
        buf_puts(out, " : ");
        put_type(&p, m->state[i].type);
        put_init(&p, &m->state[i].init);
        buf_putc(out, '\n');
    }
    put_sets(&p, "param_set", m->param_set, m->param_sets);
    put_sets(&p, "state_set", m->state_set, m->state_sets);
    for (uint32_t i = 1; i < m->tables; i++)
        put_table(&p, &m->table[i], i);
    for (uint32_t i = 1; i < m->hints; i++)
        put_hint(&p, &m->hint[i], i);
    for (uint32_t i = 1; i < m->composites; i++) {
        buf_printf(out, "composite %u ", i);
        put_string(&p, m->composite[i].fn);
        buf_putc(out, '\n');
    }
    for (uint32_t i = 1; i < m->graphs; i++) {
        buf_putc(out, '\n');
        put_graph(&p, m->graph[i]);
    }
    if (m->entries || m->train_entry || m->vjp_checks)
        buf_putc(out, '\n');
    for (uint32_t i = 0; i < m->entries; i++) {
        buf_puts(out, "entry ");
        put_string(&p, m->entry[i].name);
        buf_putc(out, ' ');
        put_graph_name(&p, m->entry[i].graph);
        buf_putc(out, '\n');
    }
    if (m->train_entry) {
        buf_puts(out, "train ");
        put_string(&p, m->train_entry);
        buf_putc(out, '\n');
    }
    for (uint32_t i = 0; i < m->vjp_checks; i++) {
        const VjpCheck *c = &m->vjp_check[i];
        buf_puts(out, "check ");
        put_string(&p, c->fn);
        buf_putc(out, ' ');
        put_graph_name(&p, c->graph);
        buf_putc(out, ' ');
        put_string(&p, c->vjp_fn);
        buf_putc(out, ' ');
        put_graph_name(&p, c->vjp);
        buf_putc(out, '\n');
    }
    free(p.graph_suffix);
}
