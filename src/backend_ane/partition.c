/* partition.c: which programs a model has.
 *
 * The engine's nodes of each graph and direction are an order of atoms (atoms.c) whose cheapest division into k
 * programs is found for every k (ideals.c). The two directions of a graph never share a program, and forward programs
 * run first, so they are divided each for itself. What is limited is their number together: the forward and the
 * backward region of a repeat are one *kind of layer*, what an entry has around its repeats is another, and the
 * cheapest combination within target->max_programs is taken; of equal ones the one with fewer programs.
 *
 * Pins that cannot be kept are given up one after the other, each with its message: first the lock, then groups
 * (check_groups() says why), then the target's limits (program_build() names the value that is too large). */
#include "backend_ane/partition.h"

#include "backend_ane/atoms.h"
#include "backend_ane/lock.h"

#include <stdlib.h>
#include <string.h>

ValueId constant_behind(const Graph *g, ValueId v)
{
    const Node *n = &g->node[v];
    while (n->op == OP_reshape || n->op == OP_broadcast || (n->op == OP_transpose && n->type.shape.rank == 2))
        n = &g->node[v = node_in(g, n)[0]];
    return v;
}

bool is_constant(const Graph *g, ValueId v)
{
    const Node *n = &g->node[constant_behind(g, v)];
    return n->op == OP_param || n->op == OP_const || is_param_expr(g, v);
}

/* One direction of one graph. */
typedef struct {
    Atoms       atoms;
    ChainResult chain;
    int64_t     free_cost; /* with as many programs as were chosen at best, without the lock */
    bool        locked;
} Half;

enum { MAX_HALVES = 4 };

/* Graphs whose programs are counted together. */
typedef struct {
    const Graph *graph[2];
    const char  *name[2]; /* in locks: "loss/layers" */
    uint32_t     graphs;
    Half         half[MAX_HALVES];
    uint32_t     halves;
    uint32_t     choice[MAX_HALVES]; /* programs */
    Span         at;
} Kind;

typedef struct {
    Arena        *a;
    const Module *m;
    const Lock   *lock;
    Partitions   *out;
    Diags        *ds;
    uint32_t      updates;
    const char  **name; /* of graphs seen */
    uint32_t      names, names_cap;
    Buf           text;
} Divider;

static bool possible(const ChainResult *r)
{
    for (uint32_t k = 0; k <= MAX_PARTS; k++)
        if (r->cost[k] != COST_ILLEGAL)
            return true;
    return false;
}

/* ---- choosing within the limit ---- */

/* The cheapest numbers of programs with a sum of at most `limit`; COST_ILLEGAL if there are none. */
static int64_t choose(const Half *half, uint32_t halves, uint32_t limit, uint32_t *choice)
{
    int64_t  best = COST_ILLEGAL;
    uint32_t fewest = 0, k[MAX_HALVES] = {0}, most[MAX_HALVES] = {0};
    for (uint32_t i = 0; i < halves; i++)
        for (uint32_t n = 1; n <= MAX_PARTS; n++)
            most[i] = half[i].chain.cost[n] == COST_ILLEGAL ? most[i] : n;
    for (;;) {
        int64_t  cost = 0;
        uint32_t programs = 0;
        for (uint32_t i = 0; i < halves && cost != COST_ILLEGAL; i++) {
            int64_t c = half[i].chain.cost[k[i]];
            cost = c == COST_ILLEGAL ? c : cost + c;
            programs += k[i];
        }
        if (cost != COST_ILLEGAL && programs <= limit && (cost < best || (cost == best && programs < fewest))) {
            best = cost;
            fewest = programs;
            memcpy(choice, k, sizeof k);
        }
        uint32_t i = 0;
        while (i < halves && ++k[i] > most[i])
            k[i++] = 0;
        if (i == halves)
            return best;
    }
}

/* ---- one kind ---- */

static const uint32_t *labels_of(const Divider *w, const Graph *g, Role role, const char *name)
{
    if (!w->lock)
        return NULL;
    Atoms     x = atoms_of(w->a, w->m, g, role, false, NULL);
    uint32_t *label = NEW_N(w->a, uint32_t, g->count), any = 0;
    for (ValueId v = 1; v < g->count; v++)
        if (x.atom[v]) {
            label[v] = lock_find(w->lock, name, role == ROLE_BWD, x.path[x.atom[v] - 1]);
            any |= label[v];
        }
    return any ? label : NULL;
}

static ChainResult solve(Atoms *x, uint32_t limit)
{
    ChainResult r = atoms_solve(x, limit);
    return possible(&r) ? r : atoms_solve(x, MAX_PARTS);
}

/* The half with all pins that can be kept. */
static Half solve_half(const Divider *w, const Graph *g, Role role, const uint32_t *label)
{
    Half     h = {.locked = label != NULL};
    uint32_t limit = (uint32_t)w->m->target->max_programs;
    for (uint32_t pins = 0; pins < 3; pins++) { /* 0: all; 1: no groups; 2: no limits either */
        h.atoms = atoms_of(w->a, w->m, g, role, pins == 0, label);
        h.atoms.updates = w->updates;
        h.atoms.limits = pins < 2;
        if (h.atoms.atoms == 0) {
            for (uint32_t k = 1; k <= MAX_PARTS; k++)
                h.chain.cost[k] = COST_ILLEGAL;
            return h;
        }
        h.chain = h.atoms.entangled ? (ChainResult){.cost = {COST_ILLEGAL}} : solve(&h.atoms, limit);
        for (uint32_t k = 0; h.atoms.entangled && k <= MAX_PARTS; k++)
            h.chain.cost[k] = COST_ILLEGAL;
        if (possible(&h.chain) || label)
            return h;
    }
    return h;
}

static void note_beam(Divider *w, const char *name, const Half *h)
{
    if (!h->chain.beam)
        return;
    GROW(w->a, w->out->note, w->out->notes, w->out->notes_cap);
    w->out->note[w->out->notes++] = arena_printf(
        w->a, "%s: %u parts in too many orders for an exact search; the division is the best of %u that were kept",
        name, h->atoms.atoms, h->chain.ideals);
}

static int64_t cost_of(const Kind *k)
{
    int64_t c = 0;
    for (uint32_t i = 0; i < k->halves; i++)
        c += k->half[i].chain.cost[k->choice[i]];
    return c;
}

/* Without the lock, into k; false after E0805 if there are too many programs for the target. */
static bool solve_free(Divider *w, Kind *k)
{
    uint32_t limit = (uint32_t)w->m->target->max_programs;
    k->halves = 0;
    for (uint32_t i = 0; i < k->graphs; i++)
        for (Role role = ROLE_FWD; role <= ROLE_BWD; role++)
            k->half[k->halves++] = solve_half(w, k->graph[i], role, NULL);
    if (choose(k->half, k->halves, limit, k->choice) != COST_ILLEGAL)
        return true;
    uint32_t least = 0;
    bool     bounded = choose(k->half, k->halves, UINT32_MAX, k->choice) != COST_ILLEGAL;
    for (uint32_t i = 0; i < k->halves; i++) {
        uint32_t n = 0;
        while (n < MAX_PARTS && k->half[i].chain.cost[n] == COST_ILLEGAL)
            n++;
        least += n;
    }
    Diag *d = diag_error(w->ds, "E0805", k->at,
                         "this takes %s%u programs, forward and backward together; target %s allows %u",
                         bounded ? "" : "more than ", least, w->m->target->name, limit);
    diag_help(d, "each piece of CPU work between two of the engine's ends a program: drop #[place(cpu)] and #[cut], or "
                 "move them");
    return false;
}

/* With the lock's pins, where they say anything. False if that is not legal. */
static bool solve_locked(const Divider *w, Kind *k)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < k->graphs; i++)
        for (Role role = ROLE_FWD; role <= ROLE_BWD; role++, n++) {
            const uint32_t *label = labels_of(w, k->graph[i], role, k->name[i]);
            if (!label)
                continue;
            k->half[n] = solve_half(w, k->graph[i], role, label);
        }
    return choose(k->half, k->halves, (uint32_t)w->m->target->max_programs, k->choice) != COST_ILLEGAL;
}

static void remark(Diags *ds, Span at, const char *text)
{
    diag_warning(ds, "W0804", at, "%s", text)->severity = DIAG_NOTE;
}

static void apply_lock(Divider *w, Kind *k)
{
    Kind free = *k;
    if (!solve_locked(w, k)) {
        *k = free;
        remark(w->ds, w->lock->at,
               arena_printf(w->a, "the lock of '%s' is not legal any more and is not kept", k->name[0]));
        return;
    }
    int64_t more = cost_of(k) - cost_of(&free);
    if (more != 0)
        remark(w->ds, w->lock->at,
               arena_printf(w->a,
                            "the lock of '%s' costs %.1f us on top of %.1f us: predicted for target %s, "
                            "each pass with its share of compiling",
                            k->name[0], (double)more / 1e3, (double)cost_of(&free) / 1e3, w->m->target->name));
}

static void write_down(Divider *w, const Kind *k)
{
    for (uint32_t i = 0, n = 0; i < k->graphs; i++) {
        Partition *p = &w->out->of[k->graph[i]->id];
        *p = (Partition){NEW_N(w->a, uint32_t, k->graph[i]->count), 0};
        for (Role role = ROLE_FWD; role <= ROLE_BWD; role++, n++) {
            const Half     *h = &k->half[n];
            const uint32_t *program = h->chain.program[k->choice[n]];
            note_beam(w, k->name[i], h);
            if (program) { /* pins may have joined atoms: a lock names them all */
                Atoms all = atoms_of(w->a, w->m, k->graph[i], role, false, NULL);
                for (uint32_t j = 0; j < all.atoms; j++)
                    lock_print(&w->text, k->name[i], role == ROLE_BWD, program[h->atoms.atom[all.root[j]] - 1],
                               all.path[j]);
            }
            for (ValueId v = 1; program && v < k->graph[i]->count; v++)
                if (h->atoms.atom[v])
                    p->program[v] = p->programs + program[h->atoms.atom[v] - 1];
            p->programs += program ? k->choice[n] : 0;
        }
    }
}

static bool divide(Divider *w, Kind *k)
{
    if (!solve_free(w, k))
        return false;
    if (w->lock)
        apply_lock(w, k);
    write_down(w, k);
    return true;
}

/* ---- the kinds of a module ---- */

/* Does the backward repeat read a stack of the forward one, or is it called after it? */
static bool are_partners(const Divider *w, const Graph *g, ValueId f, ValueId b)
{
    const Node *x = &g->node[f], *y = &g->node[b];
    if (y->op != OP_repeat || y->role != ROLE_BWD || y->a.repeat.n != x->a.repeat.n ||
        y->a.repeat.first != x->a.repeat.first)
        return false;
    for (uint32_t i = 0; i < y->in_count; i++) {
        ValueId u = node_arg(g, b, i);
        if (g->node[u].op == OP_proj && node_arg(g, u, 0) == f && i >= y->a.repeat.n_carry)
            return true;
    }
    const char *name = interned(w->m->strings, w->m->graph[x->a.repeat.graph]->name);
    const char *other = interned(w->m->strings, w->m->graph[y->a.repeat.graph]->name);
    size_t      n = strlen(name);
    return strncmp(other, name, n) == 0 && (strcmp(other + n, ".bwd") == 0 || strcmp(other + n, "_bwd") == 0);
}

static void add_graph(Divider *w, Kind *k, const Entry *e, GraphId id)
{
    const Graph *g = w->m->graph[id];
    const char  *entry = interned(w->m->strings, e->name);
    const char  *name = id == e->graph ? entry : arena_printf(w->a, "%s/%s", entry, interned(w->m->strings, g->name));
    uint32_t     same = 1;
    for (uint32_t i = 0; i < w->names; i++)
        same += strcmp(w->name[i], name) == 0;
    GROW(w->a, w->name, w->names, w->names_cap);
    w->name[w->names++] = name;
    k->graph[k->graphs] = g;
    k->name[k->graphs++] = same > 1 ? arena_printf(w->a, "%s#%u", name, same) : name; /* a repeat in several runs */
}

static bool divide_entry(Divider *w, const Entry *e)
{
    const Graph *g = w->m->graph[e->graph];
    bool        *done = NEW_N(w->a, bool, g->count), ok = true;
    Kind         own = {.at = e->at};
    w->updates = 0;
    for (uint32_t i = 0; e->name == w->m->train_entry && i < w->m->settings; i++)
        if (strcmp(interned(w->m->strings, w->m->setting[i].key), "accum") == 0)
            w->updates = (uint32_t)strtoul(interned(w->m->strings, w->m->setting[i].value), NULL, 10);
    if (e->name == w->m->train_entry && w->updates == 0)
        w->updates = 1;
    add_graph(w, &own, e, e->graph);
    ok = divide(w, &own);
    for (ValueId v = 1; v < g->count; v++) {
        if (g->node[v].op != OP_repeat || done[v])
            continue;
        Kind k = {.at = g->node[v].at.file ? g->node[v].at : e->at};
        add_graph(w, &k, e, g->node[v].a.repeat.graph);
        for (ValueId b = v + 1; b < g->count && g->node[v].role == ROLE_FWD && k.graphs < 2; b++)
            if (!done[b] && are_partners(w, g, v, b)) {
                add_graph(w, &k, e, g->node[b].a.repeat.graph);
                done[b] = true;
            }
        ok = divide(w, &k) && ok;
    }
    return ok;
}

static void report_stale(const Divider *w)
{
    uint32_t stale = 0, first = 0;
    for (uint32_t i = w->lock->lines; i-- > 0;)
        if (!w->lock->used[i]) {
            stale++;
            first = i;
        }
    if (!stale)
        return;
    Diag *d =
        diag_warning(w->ds, "W0803", w->lock->line[first].at, "%u %s of the lock %s to no value of the model any more",
                     stale, stale == 1 ? "line" : "lines", stale == 1 ? "applies" : "apply");
    for (uint32_t i = first, told = 0; i < w->lock->lines; i++)
        if (!w->lock->used[i] && ++told <= 8)
            diag_note(d, (Span){0}, "%s %s %s", w->lock->line[i].graph, w->lock->line[i].backward ? "bwd" : "fwd",
                      w->lock->line[i].value);
    diag_help(d, "copy plan.lock out of the new plan when its partition is the one you want");
}

bool partition_module(Arena *a, const Module *m, const Lock *lock, Partitions *out, Diags *ds)
{
    *out = (Partitions){.of = NEW_N(a, Partition, m->graphs)};
    Divider w = {.a = a, .m = m, .lock = lock, .out = out, .ds = ds};
    bool  ok = true;
    lock_head(&w.text);
    for (uint32_t i = 0; i < m->entries; i++)
        ok = divide_entry(&w, &m->entry[i]) && ok;
    if (lock)
        report_stale(&w);
    out->lock = arena_strndup(a, w.text.data, w.text.len);
    buf_free(&w.text);
    return ok;
}

Partition partition(Arena *a, const Module *m, const Graph *g)
{
    Divider     w = {.a = a, .m = m};
    Partition p = {NEW_N(a, uint32_t, g->count), 0};
    for (Role role = ROLE_FWD; role <= ROLE_BWD; role++) {
        Half     h = solve_half(&w, g, role, NULL);
        uint32_t choice[MAX_HALVES];
        if (choose(&h, 1, MAX_PARTS, choice) == COST_ILLEGAL)
            bug("a graph that cannot be divided");
        uint32_t k = choice[0];
        for (ValueId v = 1; v < g->count; v++)
            if (h.atoms.atom && h.atoms.atom[v])
                p.program[v] = p.programs + h.chain.program[k][h.atoms.atom[v] - 1];
        p.programs += k;
    }
    return p;
}
