/* labels.c: what people call the values of a graph: in MIL, in the plan, in messages.
 *
 * A label is made of the scope, the statement and, unless the value is what the statement binds, the operation:
 * "attention_q" of `q = rope(..)`, "attention_q_mul" and "attention_q_mul_2" on the way there. Cotangents begin with
 * "d_", values computed again for the backward direction with "re_". Values are counted within a statement and an
 * operation only, so an edit of one statement leaves the labels of all others as they were. Should two statements come
 * to the same label in spite of that, the later one's gets six digits of a hash of what it is. */
#include "backend_ane/lower.h"
#include "base/hash.h"

#include <string.h>

/* The scope below the region's own. */
static const char *inner_scope(const char *scope, const char *region)
{
    size_t n = strlen(region);
    if (n == 0 || strncmp(scope, region, n) != 0 || (scope[n] && scope[n] != '.'))
        return scope;
    return scope + n + (scope[n] == '.');
}

static void plain(char *s)
{
    for (; *s; s++)
        if (*s == '.')
            *s = '_';
}

typedef struct {
    StrId whole; /* scope and statement, or name */
    StrId part;  /* the same with the operation */
    StrId group; /* scope, statement and operation, told apart */
} Names;

static Names names_of(const Scope *s, const Node *n)
{
    Arena      *a = s->b->a;
    Interner   *strings = s->b->m->strings;
    const char *scope = inner_scope(interned(strings, n->scope), s->region), *op = op_info[n->op].name;
    const char *stmt = interned(strings, n->stmt ? n->stmt : n->name);
    const char *sign = n->again ? "re_" : n->role == ROLE_BWD ? "d_" : "";
    char       *whole = arena_printf(a, "%s%s%s%s", sign, scope, *scope && *stmt ? "_" : "", stmt);
    char       *part = arena_printf(a, "%s%s%s", whole, *scope || *stmt ? "_" : "", op);
    plain(whole);
    plain(part);
    return (Names){intern(strings, whole), intern(strings, part),
                   intern(strings, arena_printf(a, "%s%s %s %s", sign, scope, stmt, op))};
}

void scope_labels(Scope *s)
{
    Arena       *a = s->b->a;
    Interner    *strings = s->b->m->strings;
    const Graph *g = s->g;
    Names       *of = NEW_N(a, Names, g->count);
    StrId        top = 0;
    s->label = NEW_N(a, const char *, g->count);
    for (ValueId v = 1; v < g->count; v++) {
        of[v] = names_of(s, &g->node[v]);
        top = of[v].whole > top ? of[v].whole : top;
        top = of[v].part > top ? of[v].part : top;
        top = of[v].group > top ? of[v].group : top;
    }
    /* A statement's value is the last node that has the variable's name. The first of a region's inputs is the carried
     * one; the others are called what they are called outside. */
    ValueId *value = NEW_N(a, ValueId, top + 1u);
    for (ValueId v = 1; v < g->count; v++)
        if (g->node[v].name && (g->node[v].op != OP_input || !value[of[v].whole]))
            value[of[v].whole] = v;
    StrId    *owner = NEW_N(a, StrId, top + 1u);
    uint32_t *count = NEW_N(a, uint32_t, top + 1u);
    for (ValueId v = 1; v < g->count; v++) {
        const char *part = interned(strings, of[v].part);
        if (value[of[v].whole] == v) {
            s->label[v] = interned(strings, of[v].whole);
            continue;
        }
        if (!owner[of[v].part])
            owner[of[v].part] = of[v].group;
        if (value[of[v].part] || owner[of[v].part] != of[v].group) {
            const char *group = interned(strings, of[v].group);
            char        hash[HASH_HEX];
            hash_hex(group, strlen(group), hash);
            part = arena_printf(a, "%s_%.6s", part, hash);
        }
        uint32_t k = ++count[of[v].group];
        s->label[v] = k == 1 ? part : arena_printf(a, "%s_%u", part, k);
    }
}
