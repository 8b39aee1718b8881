/* host_group.c: runs of calls that are evaluated a tile at a time.
 *
 * Tensors are larger than caches, so element-wise calls one after the other wait for memory. Neighbouring calls with
 * equally many results, each computed from the same elements of the results before it, form a group: the first tile
 * goes through all of its calls, then the second. Softmax along the last axis belongs too, with tiles of whole rows. A
 * value that a group uses or makes keeps its place until the end of the group. Results do not depend on the tiles. */
#include "host/host.h"
#include "mil/rules.h"

enum { TILE = 4096 };

/* Calls whose kernel can compute a part of the result; `row`: in multiples of so many elements. */
static bool divisible(const Call *c, int64_t *row)
{
    TypeRule *t = c->op->type;
    bool      rows = t == rule_softmax && c->plan.axis.inner == 1;
    *row = rows ? c->plan.axis.n : 1;
    return rows || t == rule_arithmetic || t == rule_floating2 || t == rule_compare || t == rule_logical ||
           t == rule_number || t == rule_unary || t == rule_gelu;
}

/* `c` may follow calls begin .. end - 1: what it takes from them, it takes element by element. */
static bool may_join(const HostFunc *f, uint32_t begin, uint32_t end, const Call *c, int64_t n)
{
    for (int i = 0; i < CALL_ARGS; i++)
        for (uint32_t k = begin; c->arg[i] && k < end; k++)
            if (f->whole[c->arg[i]->id] == f->call[k]->result[0]->id && type_elems(&c->arg[i]->type) != n)
                return false;
    return true;
}

void host_groups(Arena *keep, HostFunc *f)
{
    f->group = NEW_N(keep, HostGroup, f->calls + 1);
    for (uint32_t c = 0; c < f->calls;) {
        int64_t row, n = type_elems(&f->call[c]->result[0]->type), unit;
        uint32_t end = c + 1;
        if (divisible(f->call[c], &unit))
            for (; end < f->calls && type_elems(&f->call[end]->result[0]->type) == n && divisible(f->call[end], &row) &&
                   (row == unit || row == 1 || unit == 1) && may_join(f, c, end, f->call[end], n);
                 end++)
                unit = row > unit ? row : unit;
        int64_t tile = end - c > 1 && n > TILE ? (TILE + unit - 1) / unit * unit : n;
        f->group[f->groups++] = (HostGroup){c, end, n, tile};
        c = end;
    }
}
