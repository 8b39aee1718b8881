/* groups.c: what #[group("g")] promises: its forward values share one program.
 *
 * The partitioner keeps a group together where it can (and writes out repeats that a group contains: passes/unroll.c).
 * Where it could not, this says why: the target cannot hold it, or something between its values is not the engine's. */
#include "backend_ane/build.h"
#include "backend_ane/work.h"

/* Has an error been told at this place? The same group stands in several entries. */
static bool told(const Diags *ds, Span at)
{
    for (uint32_t i = 0; i < ds->count; i++)
        if (ds->item[i]->severity == DIAG_ERROR && ds->item[i]->at.file == at.file && ds->item[i]->at.begin == at.begin)
            return true;
    return false;
}

/* Most channels of one port that the program of the group needs, in or out. */
static uint64_t channels_of(Builder *b, const Graph *g, const uint32_t *member, bool out)
{
    bool    *cross = NEW_N(b->a, bool, g->count);
    uint64_t most = 0;
    for (uint32_t i = 0; i < g->outs; i++)
        cross[g->out[i]] = out && member[g->out[i]];
    for (ValueId v = 1; v < g->count; v++)
        for (uint32_t k = 0; k < g->node[v].in_count; k++) {
            ValueId u = node_arg(g, v, k);
            cross[u] = cross[u] || (out ? member[u] && !member[v] : !member[u] && member[v] && !is_constant(g, u));
        }
    for (ValueId v = 1; v < g->count; v++) {
        uint64_t channels = 0;
        for (ValueId w = 1; w < g->count && cross[v]; w++) /* those of v's width */
            if (cross[w] && work_width(g->node[w].type.shape) == work_width(g->node[v].type.shape))
                channels += work_channels(g->node[w].type.shape);
        most = channels > most ? channels : most;
    }
    return most;
}

/* E0802 if the target cannot hold the group in one program. */
static bool too_large(Builder *b, const Graph *g, StrId group, Span at)
{
    const Target *t = b->m->target;
    uint32_t     *member = NEW_N(b->a, uint32_t, g->count);
    for (ValueId v = 1; v < g->count; v++)
        member[v] =
            b->m->hint[g->node[v].hint].group == group && b->parts.of[g->id].program[v] && g->node[v].role == ROLE_FWD;
    Work        w = work_of_program(b->a, b->m, g, member, 1);
    uint64_t    in = channels_of(b, g, member, false), out = channels_of(b, g, member, true);
    const char *name = interned(b->m->strings, group);
    Diag       *d = NULL;
    if (in > (uint64_t)t->max_channels || out > (uint64_t)t->max_channels)
        d = diag_error(b->ds, "E0802", at, "group \"%s\" needs %llu %s channels; target %s allows %lld per surface",
                       name, (unsigned long long)(out > in ? out : in), out > in ? "output" : "input", t->name,
                       (long long)t->max_channels);
    else if (w.weight_bytes > (uint64_t)t->max_weights)
        d = diag_error(b->ds, "E0802", at,
                       "group \"%s\" needs %llu bytes of weights; target %s allows %lld per program", name,
                       (unsigned long long)w.weight_bytes, t->name, (long long)t->max_weights);
    else if (w.ops > (uint64_t)t->max_ops)
        d = diag_error(b->ds, "E0802", at, "group \"%s\" needs %u operations; target %s allows %lld per program", name,
                       w.ops, t->name, (long long)t->max_ops);
    if (d)
        diag_help(d, "group fewer layers, or add #[recompute] to save less for the backward direction");
    return d != NULL;
}

void check_groups(Builder *b, const Graph *g, const Partition *part)
{
    ValueId *first = NEW_N(b->a, ValueId, b->m->hints); /* by the first hint of that group */
    for (ValueId v = 1; v < g->count; v++) {
        const Node *n = &g->node[v];
        const Hint *h = &b->m->hint[n->hint];
        if (!h->group || n->role != ROLE_FWD)
            continue;
        const char *name = interned(b->m->strings, h->group);
        if (h->place == PLACE_CPU && !told(b->ds, n->at)) {
            diag_error(b->ds, "E0804", n->at, "this is pinned to the CPU and belongs to group \"%s\"", name);
            return;
        }
        if (!part->program[v])
            continue;
        ValueId *f = NULL; /* hints of one group may differ in other things */
        for (uint32_t k = 1; k < b->m->hints && !f; k++)
            if (b->m->hint[k].group == h->group)
                f = &first[k];
        if (!*f)
            *f = v;
        else if (part->program[*f] != part->program[v]) {
            if (told(b->ds, h->at) || too_large(b, g, h->group, h->at))
                return;
            Diag *d =
                diag_error(b->ds, "E0804", n->at, "this cannot share a program with the rest of group \"%s\"", name);
            diag_note(d, g->node[*f].at, "the group begins");
            diag_help(d, "work of the CPU or a #[cut] lies between the two: take one of them out of the group");
            return;
        }
    }
}
