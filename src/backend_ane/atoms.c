/* atoms.c: see atoms.h.
 *
 * A node with a single reader joins it (a division elsewhere would be as good, or worse), unless it is a matrix product
 * whose result is a natural border; a product joins a view of itself. Constants and their views belong to every program
 * that reads them. The order of atoms is that of the whole graph: a path through the CPU or through a repeat orders two
 * atoms and sets them apart. */
#include "backend_ane/atoms.h"

#include <string.h>

/* What is not trained runs rarely beside what is: it must not cost most of the time that compiling takes. */
enum { MAX_IDEALS = 20000, MAX_IDEALS_ASIDE = 200, HALF_BYTES = 2 };

static bool divided(const Atoms *x, ValueId v)
{
    const Node *n = &x->g->node[v];
    return n->device == DEV_ANE && n->op != OP_input && n->role == x->role && !is_constant(x->g, v);
}

static uint32_t cut_of(const Atoms *x, ValueId v)
{
    return x->m->hint[x->g->node[v].hint].cut;
}

/* ---- who belongs together ---- */

static ValueId top(ValueId *parent, ValueId v)
{
    while (parent[v] != v)
        v = parent[v] = parent[parent[v]];
    return v;
}

static void join(ValueId *parent, ValueId u, ValueId v)
{
    ValueId a = top(parent, u), b = top(parent, v);
    if (a < b)
        parent[a] = b; /* the last node stands for all */
    else
        parent[b] = a;
}

static void join_readers(const Atoms *x, ValueId *parent)
{
    const Graph *g = x->g;
    ValueId     *reader = NEW_N(x->a, ValueId, g->count); /* the only one; NONE: several, or a result */
    const ValueId NONE = UINT32_MAX;
    for (ValueId v = 1; v < g->count; v++)
        for (uint32_t k = 0; k < g->node[v].in_count; k++) {
            ValueId u = node_arg(g, v, k);
            reader[u] = reader[u] == 0 || reader[u] == v ? v : NONE;
        }
    for (uint32_t i = 0; i < g->outs; i++)
        reader[g->out[i]] = NONE;
    for (ValueId v = 1; v < g->count; v++) {
        ValueId w = reader[v];
        if (!w || w == NONE || !divided(x, v) || !divided(x, w) || cut_of(x, v) != cut_of(x, w))
            continue;
        if (g->node[v].op != OP_matmul || g->node[w].op == OP_reshape)
            join(parent, v, w);
    }
}

/* Forward values of one #[group], and nodes with the same label of a lock. */
static void join_pinned(const Atoms *x, ValueId *parent, bool groups, const uint32_t *label)
{
    for (ValueId v = 1; v < x->g->count; v++) {
        StrId group = groups && x->role == ROLE_FWD ? x->m->hint[x->g->node[v].hint].group : 0;
        if (!divided(x, v) || (!group && !(label && label[v])))
            continue;
        for (ValueId u = v; u-- > 1;)
            if (divided(x, u) && ((group && x->m->hint[x->g->node[u].hint].group == group) ||
                                  (label && label[v] && label[u] == label[v]))) {
                join(parent, u, v);
                break; /* the one before is joined with those before it */
            }
    }
}

/* ---- numbering and order ---- */

/* Number the classes by their last node. Not yet an order: see sort_atoms(). */
static void number(Atoms *x, ValueId *parent)
{
    x->atom = NEW_N(x->a, uint32_t, x->g->count);
    x->root = NEW_N(x->a, ValueId, x->g->count);
    x->atoms = 0;
    for (ValueId v = 1; v < x->g->count; v++)
        if (divided(x, v) && top(parent, v) == v) {
            x->root[x->atoms++] = v;
            x->atom[v] = x->atoms;
        }
    for (ValueId v = 1; v < x->g->count; v++)
        if (divided(x, v))
            x->atom[v] = x->atom[top(parent, v)];
    x->words = set_words(x->atoms);
}

static Word *row(const Atoms *x, Word *sets, uint32_t i)
{
    return sets + (size_t)i * x->words;
}

static void unite(Word *to, const Word *from, uint32_t words)
{
    for (uint32_t i = 0; i < words; i++)
        to[i] |= from[i];
}

/* before and apart, from the paths of the whole graph. */
static void find_order(Atoms *x)
{
    const Graph *g = x->g;
    Word        *anc = NEW_N(x->a, Word, (size_t)g->count * x->words);  /* atoms with a path to the node */
    Word        *hard = NEW_N(x->a, Word, (size_t)g->count * x->words); /* ... through work of others */
    x->before = NEW_N(x->a, Word, (size_t)x->atoms * x->words + 1);
    x->apart = NEW_N(x->a, Word, (size_t)x->atoms * x->words + 1);
    for (ValueId v = 1; v < g->count; v++) {
        Word *a = row(x, anc, v), *h = row(x, hard, v);
        for (uint32_t k = 0; k < g->node[v].in_count; k++) {
            ValueId u = node_arg(g, v, k);
            unite(a, row(x, anc, u), x->words);
            unite(h, x->atom[u] ? row(x, hard, u) : row(x, anc, u), x->words);
            if (x->atom[u])
                set_add(a, x->atom[u] - 1);
        }
        if (x->atom[v]) {
            unite(row(x, x->before, x->atom[v] - 1), a, x->words);
            unite(row(x, x->apart, x->atom[v] - 1), h, x->words);
        }
    }
    /* Through atoms too: what comes before one part of an atom comes before everything behind another part. */
    for (bool changed = true; changed;) {
        changed = false;
        for (uint32_t i = 0; i < x->atoms; i++)
            for (uint32_t j = 0; j < x->atoms; j++) {
                Word *to = row(x, x->before, i), *from = row(x, x->before, j);
                bool  more = false;
                for (uint32_t w = 0; set_has(to, j) && w < x->words && !more; w++)
                    more = (from[w] & ~to[w]) != 0;
                if (more)
                    unite(to, from, x->words);
                changed |= more;
            }
    }
}

/* Join atoms that must run both before and after each other. True if there were any. */
static bool join_cycles(const Atoms *x, ValueId *parent)
{
    bool any = false;
    for (uint32_t i = 0; i < x->atoms; i++)
        for (uint32_t j = i + 1; j < x->atoms; j++)
            if (set_has(row(x, x->before, i), j) && set_has(row(x, x->before, j), i)) {
                join(parent, x->root[i], x->root[j]);
                any = true;
            }
    return any;
}

/* Renumber so that what runs first has the smaller number; ties in the order of the graph. */
static void sort_atoms(Atoms *x)
{
    uint32_t *place = NEW_N(x->a, uint32_t, x->atoms + 1u);
    bool     *done = NEW_N(x->a, bool, x->atoms + 1u), sorted = true;
    for (uint32_t n = 0; n < x->atoms; n++) {
        uint32_t next = 0;
        for (bool found = false; !found; next += !found) {
            found = !done[next];
            for (uint32_t j = 0; j < x->atoms && found; j++)
                found = done[j] || j == next || !set_has(row(x, x->before, next), j);
        }
        done[next] = true;
        place[next] = n;
        sorted = sorted && next == n;
    }
    if (sorted)
        return;
    ValueId *root = NEW_N(x->a, ValueId, x->atoms);
    for (uint32_t i = 0; i < x->atoms; i++)
        root[place[i]] = x->root[i];
    memcpy(x->root, root, x->atoms * sizeof *root);
    for (ValueId v = 1; v < x->g->count; v++)
        if (x->atom[v])
            x->atom[v] = place[x->atom[v] - 1] + 1;
    find_order(x);
}

/* What may not share a program, besides the paths found above: other #[cut] regions, other programs of a lock. */
static void set_apart(Atoms *x, const uint32_t *label)
{
    uint32_t *locked = NEW_N(x->a, uint32_t, x->atoms + 1u);
    for (ValueId v = 1; v < x->g->count; v++)
        if (x->atom[v] && label && label[v]) {
            uint32_t i = x->atom[v] - 1;
            if (locked[i] && locked[i] != label[v]) /* what lies between two programs of the lock belongs to both */
                set_add(row(x, x->apart, i), i);
            locked[i] = label[v];
        }
    for (ValueId v = 1; v < x->g->count; v++)
        for (uint32_t i = 0; x->atom[v] && i < x->atoms; i++) {
            uint32_t mine = x->atom[v] - 1;
            if (cut_of(x, v) != cut_of(x, x->root[i]) || (locked[mine] && locked[i] && locked[mine] != locked[i]))
                set_add(row(x, x->apart, mine), i);
        }
    for (uint32_t i = 0; i < x->atoms; i++) {
        Word *before = row(x, x->before, i);
        before[i / 64] &= ~((Word)1 << (i % 64));
        for (uint32_t j = 0; j < x->atoms; j++)
            if (set_has(row(x, x->apart, j), i))
                set_add(row(x, x->apart, i), j);
        x->entangled |= set_has(row(x, x->apart, i), i);
    }
}

/* ---- names ---- */

static void name_atoms(Atoms *x)
{
    x->path = NEW_N(x->a, const char *, x->atoms + 1u);
    for (uint32_t i = 0; i < x->atoms; i++) {
        const Node *n = &x->g->node[x->root[i]];
        const char *scope = interned(x->m->strings, n->scope), *name = interned(x->m->strings, n->name);
        x->path[i] = arena_printf(x->a, "%s%s%s", scope, *scope ? "." : "", *name ? name : op_info[n->op].name);
    }
    for (uint32_t i = x->atoms; i-- > 0;) { /* from the end, so that those before are still without a number */
        uint32_t same = 1;
        for (uint32_t j = 0; j < i; j++)
            same += strcmp(x->path[i], x->path[j]) == 0;
        if (same > 1)
            x->path[i] = arena_printf(x->a, "%s#%u", x->path[i], same);
    }
}

/* ---- what it costs ---- */

static uint32_t width_index(Atoms *x, Shape s)
{
    uint32_t w = work_width(s), i = 0;
    while (i < x->widths && x->width[i] != w)
        i++;
    if (i == x->widths) {
        GROW(x->a, x->width, x->widths, x->widths_cap);
        x->width[x->widths++] = w;
    }
    return i;
}

static ValueId leaf_of(const Graph *g, ValueId v)
{
    while (g->node[v].in_count)
        v = node_arg(g, v, 0);
    return v;
}

static void find_values(Atoms *x)
{
    const Graph *g = x->g;
    AtomValue   *of = NEW_N(x->a, AtomValue, g->count);
    for (uint32_t i = 0; i < g->outs; i++)
        of[g->out[i]].escapes = true;
    for (ValueId v = 1; v < g->count; v++) {
        for (uint32_t k = 0; k < g->node[v].in_count; k++) {
            ValueId u = node_arg(g, v, k);
            bool    constant = is_constant(g, u);
            if (!x->atom[v]) {
                of[u].escapes = true;
                continue;
            }
            AtomValue *y = &of[constant ? leaf_of(g, u) : u];
            y->constant = constant;
            if (!y->readers)
                y->readers = NEW_N(x->a, Word, x->words);
            set_add(y->readers, x->atom[v] - 1);
        }
        if (x->atom[v]) {
            Work w = work_of_node(g, v);
            work_add(&x->work[x->atom[v] - 1], &w);
        }
    }
    for (ValueId v = 1; v < g->count; v++) {
        AtomValue y = of[v];
        const Node *n = &g->node[v];
        if (!(y.readers || (x->atom[v] && y.escapes)))
            continue;
        if (y.constant) {
            y.bytes = work_constant_bytes(g, v);
        } else {
            y.producer = x->atom[v];
            y.width = width_index(x, n->type.shape);
            y.channels = work_channels(n->type.shape);
            if (x->atom[v] && work_of_node(g, v).ops)
                y.spill = work_spilled(x->m->target, y.channels * work_width(n->type.shape) * HALF_BYTES);
            if (!y.readers)
                y.readers = NEW_N(x->a, Word, x->words);
        }
        GROW(x->a, x->value, x->values, x->values_cap);
        x->value[x->values++] = y;
    }
    x->used = NEW_N(x->a, uint64_t, 2 * x->widths + 1);
}

Atoms atoms_of(Arena *a, const Module *m, const Graph *g, Role role, bool groups, const uint32_t *label)
{
    Atoms    x = {.a = a, .m = m, .g = g, .role = role, .limits = true};
    ValueId *parent = NEW_N(a, ValueId, g->count);
    for (ValueId v = 1; v < g->count; v++)
        parent[v] = v;
    join_readers(&x, parent);
    join_pinned(&x, parent, groups, label);
    do {
        number(&x, parent);
        find_order(&x);
    } while (join_cycles(&x, parent));
    sort_atoms(&x);
    set_apart(&x, label);
    name_atoms(&x);
    x.work = NEW_N(a, Work, x.atoms + 1u);
    find_values(&x);
    return x;
}

static bool is_within(const Word *a, const Word *b, uint32_t words)
{
    for (uint32_t i = 0; i < words; i++)
        if (a[i] & ~b[i])
            return false;
    return true;
}

Work atoms_work(Atoms *x, const Word *set, bool *legal)
{
    const Target *t = x->m->target;
    Work          work = {0};
    memset(x->used, 0, 2 * x->widths * sizeof *x->used);
    for (uint32_t i = 0; i < x->atoms; i++)
        if (set_has(set, i))
            work_add(&work, &x->work[i]);
    for (uint32_t i = 0; i < x->values; i++) {
        const AtomValue *y = &x->value[i];
        bool             inside = y->producer && set_has(set, y->producer - 1);
        if (inside) {
            if (y->escapes || !is_within(y->readers, set, x->words))
                x->used[2 * y->width + 1] += y->channels;
            else
                work.spill_bytes += y->spill;
        } else if (sets_meet(y->readers, set, x->words)) {
            if (y->constant)
                work.weight_bytes += y->bytes;
            else
                x->used[2 * y->width] += y->channels;
        }
    }
    *legal = work.weight_bytes <= (uint64_t)t->max_weights && work.ops <= (uint64_t)t->max_ops;
    for (uint32_t i = 0; i < 2 * x->widths; i++) {
        if (!x->used[i])
            continue;
        uint64_t channels = work_padded(t, x->used[i]), bytes = channels * x->width[i / 2] * HALF_BYTES;
        uint64_t held =
            (bytes + (uint64_t)t->surface_round - 1) / (uint64_t)t->surface_round * (uint64_t)t->surface_round;
        *(i % 2 ? &work.out_bytes : &work.in_bytes) += bytes;
        *legal = *legal && channels <= (uint64_t)t->max_channels && held >= (uint64_t)t->surface_min;
    }
    return work;
}

/* What compiling costs per program and beyond proportion. The share in proportion to the number of operations is the
 * same for every division, unless one is to be preferred for crowding the weights into small programs that are compiled
 * again while the rest is not: then a layer would fall into as many programs as are allowed, for one of the ways to
 * bring weights to the engine. The division serves all of them. */
static int64_t compile_ns(const Target *t, const Work *w)
{
    Work    none = {0}, one = {.ops = 1};
    int64_t each = cost_compile_ns(t, &one) - cost_compile_ns(t, &none);
    return cost_compile_ns(t, w) - each * w->ops;
}

int64_t atoms_cost(void *atoms, const Word *set)
{
    Atoms *x = atoms;
    bool   legal;
    Work   w = atoms_work(x, set, &legal);
    if (x->limits && !legal)
        return COST_ILLEGAL;
    int64_t c =
        cost_run_ns(x->m->target, &w) + cost_staging_ns(x->m->target, w.in_bytes); /* inputs are packed by copies */
    if (x->updates && w.weight_bytes)
        c += compile_ns(x->m->target, &w) / x->updates;
    return c;
}

/* What cannot be avoided: a dispatch, all flops, each weight once, what comes from outside and what goes there. */
static int64_t atoms_bound(void *atoms, const Word *set)
{
    enum { ROUNDING = 4 * MAX_PARTS }; /* ns: each term of each program is rounded */
    Atoms       *x = atoms;
    Work         work = {0}, none = {0};
    const Target *t = x->m->target;
    for (uint32_t i = 0; i < x->atoms; i++)
        if (set_has(set, i))
            work_add(&work, &x->work[i]);
    for (uint32_t i = 0; i < x->values; i++) {
        const AtomValue *y = &x->value[i];
        uint64_t         bytes = y->constant ? y->bytes : y->channels * x->width[y->width] * HALF_BYTES;
        if (y->producer)
            work.out_bytes += y->escapes && set_has(set, y->producer - 1) ? bytes : 0;
        else if (sets_meet(y->readers, set, x->words))
            *(y->constant ? &work.weight_bytes : &work.in_bytes) += bytes;
    }
    int64_t c = cost_run_ns(t, &work) + cost_staging_ns(t, work.in_bytes);
    if (x->updates && work.weight_bytes)
        c += cost_compile_ns(t, &none) / x->updates;
    return c - ROUNDING;
}

ChainResult atoms_solve(Atoms *x, uint32_t max_programs)
{
    Work     none = {0};
    int64_t  empty = cost_run_ns(x->m->target, &none);
    int64_t *least = NEW_N(x->a, int64_t, x->atoms + 1u);
    for (uint32_t i = 0; i < x->atoms; i++) { /* what it computes, wherever it does: rounded down */
        int64_t c = cost_run_ns(x->m->target, &x->work[i]) - empty - 1;
        least[i] = c > 0 ? c : 0;
    }
    ChainProblem p = {.atoms = x->atoms,
                      .before = x->before,
                      .apart = x->apart,
                      .cost = atoms_cost,
                      .bound = atoms_bound,
                      .data = x,
                      .least = empty,
                      .least_atom = least,
                      .max_programs = max_programs < MAX_PARTS ? max_programs : MAX_PARTS,
                      .max_ideals = x->updates || !x->m->train_entry ? MAX_IDEALS : MAX_IDEALS_ASIDE};
    return chain_solve(x->a, &p);
}
