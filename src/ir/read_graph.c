/* read_graph.c: one graph from text: its header, a line for each value, the results.
 *
 * Nodes are stored with the types that are written: nothing is inferred, which lets the verifier's tests say wrong
 * things. Attributes come from the rows of attr.def, in any order. */
#include "ir/read.h"

#include <string.h>

static bool read_value(Reader *r, const Graph *g, ValueId *v)
{
    const Meaning *mean = r->s.kind == TOK_VALUE ? read_label(r) : NULL;
    if (!mean || mean->graph != g->id)
        return read_fail(r, "a value that is defined above");
    *v = mean->v;
    scan_next(&r->s);
    return true;
}

/* "pattern" [set=N]: a leaf set. */
static bool read_set(Reader *r, const LeafSet *set, uint32_t sets, uint32_t *out)
{
    StrId pattern;
    Scanner at = r->s;
    if (!read_string(r, &pattern))
        return false;
    if (read_if(r, "set"))
        return read_must(r, "=") && read_u32(r, out);
    for (*out = 0; *out < sets && set[*out].pattern != pattern; ++*out)
        ;
    if (*out < sets)
        return true;
    r->s = at;
    return read_fail(r, "the pattern of a leaf set");
}

static bool read_cmp(Reader *r, CmpKind *k)
{
    for (uint32_t i = 0; i < COUNT(cmp_word); i++)
        if (read_if(r, cmp_word[i])) {
            *k = (CmpKind)i;
            return true;
        }
    return read_fail(r, "eq, ne, lt, gt, le or ge");
}

/* The value of an attribute after its key and '='. */
static bool read_attr(Reader *r, Node *n, const AttrWord *w)
{
    void    *at = (char *)&n->a + w->at;
    int32_t  list[MAX_RANK];
    uint32_t count, u;
    switch (w->kind) {
    case ATTR_FLAG: *(bool *)at = true; return true;
    case ATTR_FLAG8: *(uint8_t *)at = 1; return true;
    case ATTR_I32: return read_i32(r, at);
    case ATTR_U32: return read_u32(r, at);
    case ATTR_F64: case ATTR_SPLAT: return read_number(r, at);
    case ATTR_CMP: return read_cmp(r, at);
    case ATTR_AXES:
        if (!read_list(r, 0, 31, list, &count, MAX_RANK))
            return false;
        for (uint32_t i = 0; i < count; i++)
            *(uint32_t *)at |= 1u << list[i];
        return true;
    case ATTR_PERM:
        if (!read_list(r, 0, UINT8_MAX, list, &count, MAX_RANK))
            return false;
        for (uint32_t i = 0; i < count; i++)
            ((uint8_t *)at)[i] = (uint8_t)list[i];
        return true;
    case ATTR_DIMS: return read_list(r, INT32_MIN, INT32_MAX, at, &count, MAX_RANK);
    case ATTR_PARAM: return read_set(r, r->m->param_set, r->m->param_sets, at);
    case ATTR_STATE: return read_set(r, r->m->state_set, r->m->state_sets, at);
    case ATTR_GRAPH: case ATTR_MAYBE_GRAPH: return read_graph_name(r, at);
    case ATTR_STR: return read_string(r, at);
    case ATTR_TABLE:
        if (!read_u32(r, at))
            return false;
        u = *(const uint32_t *)at;
        return (u > 0 && u < r->m->tables) || read_fail(r, "the number of a table");
    }
    return false;
}

static bool is_flag(AttrKind k)
{
    return k == ATTR_FLAG || k == ATTR_FLAG8;
}

static bool is_optional(AttrKind k)
{
    return is_flag(k) || k == ATTR_MAYBE_GRAPH || k == ATTR_STR || k == ATTR_TABLE || k == ATTR_SPLAT;
}

static bool read_attrs(Reader *r, Node *n)
{
    uint64_t seen = 0; /* rows of attr_word */
    while (r->s.kind == TOK_WORD) {
        uint32_t i = 0;
        while (i < ATTR_ROWS && !(attr_word[i].op == n->op && scan_is(&r->s, attr_word[i].key)))
            i++;
        if (i == ATTR_ROWS || seen >> i & 1)
            return read_fail(r, arena_printf(r->a, "another attribute of '%s', or ':'", op_info[n->op].name));
        seen |= UINT64_C(1) << i;
        scan_next(&r->s);
        if ((!is_flag(attr_word[i].kind) && !read_must(r, "=")) || !read_attr(r, n, &attr_word[i]))
            return false;
    }
    for (uint32_t i = 0; i < ATTR_ROWS; i++)
        if (attr_word[i].op == n->op && !is_optional(attr_word[i].kind) && !(seen >> i & 1))
            return read_fail(r, arena_printf(r->a, "'%s='", attr_word[i].key));
    return true;
}

/* What follows the type: role, device and the numbered or named things. */
static bool read_marks(Reader *r, Node *n)
{
    while (r->s.kind == TOK_WORD) {
        if (read_if(r, "bwd"))
            n->role = ROLE_BWD;
        else if (read_if(r, "upd"))
            n->role = ROLE_UPD;
        else if (read_if(r, "again"))
            n->again = true;
        else if (read_if(r, "ane"))
            n->device = DEV_ANE;
        else if (read_if(r, "cpu"))
            n->device = DEV_CPU;
        else if (read_if(r, "program") ? !read_must(r, "=") || !read_u32(r, &n->program)
                 : read_if(r, "scope") ? !read_must(r, "=") || !read_string(r, &n->scope)
                 : read_if(r, "stmt")  ? !read_must(r, "=") || !read_string(r, &n->stmt)
                 : read_if(r, "tag")   ? !read_must(r, "=") || !read_u32(r, &n->tag)
                 : read_if(r, "hint")
                     ? !read_must(r, "=") || !read_u32(r, &n->hint)
                     : !read_fail(r, "bwd, upd, again, ane, cpu, program=, scope=, stmt=, tag= or hint="))
            return false;
    }
    return read_end_line(r);
}

/* %name = op %operand... attribute... : type mark... */
static bool read_node(Reader *r, Graph *g)
{
    Node    n = {.at = scan_span(&r->s), .in_first = g->operands};
    Scanner label = r->s;
    bool    named = label.kind == TOK_VALUE;
    if (named) {
        if (!read_label_name(r, &n.name))
            return false;
        if (read_label(r)->graph == g->id)
            return read_fail(r, "a name that is not used above");
        scan_next(&r->s);
        if (!read_must(r, "="))
            return false;
    }
    char *word = arena_strndup(r->a, r->s.text, r->s.kind == TOK_WORD ? r->s.len : 0);
    n.op = op_by_name(word);
    if (n.op == OP_COUNT || (!named && n.op != OP_grad && n.op != OP_state_set))
        return read_fail(r, named ? "an operation" : "'%name =', grad, state_set, return or '}'");
    scan_next(&r->s);
    for (; r->s.kind == TOK_VALUE; n.in_count++) {
        ValueId v = 0;
        if (!read_value(r, g, &v))
            return false;
        GROW(r->m->arena, g->operand, g->operands, g->operands_cap);
        g->operand[g->operands++] = v;
    }
    if (!read_attrs(r, &n) || !read_must(r, ":") || !read_type(r, &n.type) || !read_marks(r, &n))
        return false;
    GROW(r->m->arena, g->node, g->count, g->cap);
    g->node[g->count] = n;
    if (named) {
        Scanner end = r->s;
        r->s = label;
        Meaning *mean = read_label(r);
        mean->graph = g->id;
        mean->v = g->count;
        r->s = end;
    }
    g->count++;
    return true;
}

static bool read_return(Reader *r, Graph *g)
{
    while (r->s.kind != TOK_LINE && r->s.kind != TOK_END) {
        ValueId v = 0;
        StrId   name = 0;
        if ((g->outs && !read_must(r, ",")) || !read_value(r, g, &v) || (read_if(r, "as") && !read_string(r, &name)))
            return false;
        graph_add_out(r->m, g, v, name);
    }
    return read_end_line(r);
}

static bool read_inputs(Reader *r, Graph *g)
{
    if (!read_must(r, "("))
        return false;
    while (!read_if(r, ")")) {
        GraphInput in = {0};
        if ((g->inputs && !read_must(r, ",")) || (!read_if(r, "_") && !read_string(r, &in.name)) || !read_must(r, ":"))
            return false;
        in.is_token = read_if(r, "token");
        if (!read_type(r, &in.type))
            return false;
        GROW(r->m->arena, g->input, g->inputs, g->inputs_cap);
        g->input[g->inputs++] = in;
    }
    return true;
}

/* From the label to the closing brace. */
bool read_graph(Reader *r)
{
    GraphId id;
    if (!read_graph_name(r, &id))
        return false;
    Graph *g = r->m->graph[id];
    if (!read_inputs(r, g) || !read_must(r, "{") || !read_end_line(r))
        return false;
    for (bool returned = false;; ) {
        if (r->s.kind == TOK_LINE) {
            scan_next(&r->s);
            continue;
        }
        if (read_if(r, "}"))
            return returned ? read_end_line(r) : read_fail(r, "'return' before '}'");
        if (r->s.kind == TOK_END || scan_is(&r->s, "graph"))
            return read_fail(r, "'}'");
        bool ok;
        if (returned) {
            ok = read_fail(r, "'}'");
        } else if (read_if(r, "return")) {
            returned = true;
            ok = read_return(r, g);
        } else {
            ok = read_node(r, g);
        }
        if (!ok)
            read_skip_line(r);
    }
}
