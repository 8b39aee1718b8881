/* groups.c: what #[group("g")] promises: its forward values share one program.
 *
 * Levels put everything that can share a program into one, so a group is broken only by what no partition could mend here:
 * work of the CPU between two of its values, or a repeat inside of it, whose iterations are programs of their own. */
#include "backend_ane/build.h"
#include "backend_ane/limits.h"

/* Output channels of one iteration: what leaves the region. */
static int64_t channels_of_region(const Graph *r)
{
    int64_t channels = 0;
    for (uint32_t i = 0; i < r->outs; i++) {
        Shape s = r->node[r->out[i]].type.shape;
        if (s.rank >= 2)
            channels += shape_numel(s) / s.dim[s.rank - 1];
    }
    return channels;
}

/* Has an error been told at this place? The same group stands in several entries. */
static bool told(const Diags *ds, Span at)
{
    for (uint32_t i = 0; i < ds->count; i++)
        if (ds->item[i]->at.file == at.file && ds->item[i]->at.begin == at.begin)
            return true;
    return false;
}

static void check_repeat(Builder *b, const Node *n, const Hint *h)
{
    if (told(b->ds, h->at))
        return;
    const char *group = interned(b->m->strings, h->group);
    int64_t     each = channels_of_region(b->m->graph[n->a.repeat.graph]), all = each * n->a.repeat.n;
    if (all > ANE_MAX_CHANNELS) {
        Diag *d = diag_error(b->ds, "E0802", h->at, "group \"%s\" needs %lld output channels; target any allows %d per surface",
                             group, (long long)all, ANE_MAX_CHANNELS);
        diag_note(d, (Span){0}, "%lld channels of saved values per iteration x %d iterations; at most %lld fit, or add #[recompute] to save less",
                  (long long)each, n->a.repeat.n, (long long)(ANE_MAX_CHANNELS / each));
        return;
    }
    Diag *d = diag_error(b->ds, "E0804", h->at, "group \"%s\" contains a repeat, whose iterations are programs of their own", group);
    diag_help(d, "put the group inside the repeat");
}

void check_groups(Builder *b, const Graph *g, const Partition *part)
{
    ValueId *first = NEW_N(b->a, ValueId, b->m->hints);
    for (ValueId v = 1; v < g->count; v++) {
        const Node *n = &g->node[v];
        const Hint *h = &b->m->hint[n->hint];
        if (!h->group || n->role != ROLE_FWD)
            continue;
        if (n->op == OP_repeat && n->a.repeat.n > 1)
            check_repeat(b, n, h);
        if (!part->program[v])
            continue;
        ValueId *f = NULL; /* the group's first value: hints of one group may differ in other things */
        for (uint32_t k = 1; k < b->m->hints && !f; k++)
            if (b->m->hint[k].group == h->group)
                f = &first[k];
        if (!*f)
            *f = v;
        else if (part->program[*f] != part->program[v]) {
            Diag *d = diag_error(b->ds, "E0804", n->at, "this cannot share a program with the rest of group \"%s\"",
                                 interned(b->m->strings, h->group));
            diag_note(d, g->node[*f].at, "the group begins");
            diag_help(d, "work of the CPU or a #[cut] lies between the two: take one of them out of the group");
            return;
        }
    }
}
