/* work.c: see work.h. Counted from the text, as for programs of plans. */
#include "probe/work.h"

#include "explain/analyse.h"
#include "mil/mil_check.h"

static uint64_t bytes(Value *const *v, uint32_t n)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < n; i++)
        sum += (uint64_t)type_elems(&v[i]->type) * dtype_info[v[i]->type.dtype].bits / 8;
    return sum;
}

Work work_of(Probe *p)
{
    Arena   *a = arena_new();
    Sources *sources = sources_new(a);
    Diags   *ds = diags_new(a, sources, "anerun");
    Work     w = {0};
    MilUnit  unit;
    uint64_t params = 0;
    OpCount *op;
    uint32_t ops;
    int64_t  heads = 0;
    if (mil_work(a, "probe", p->last.mil, p->last.len, NULL, NULL, &w, &params, &op, &ops, &heads, &p->err) &&
        mil_read(a, ds, sources_add(sources, "probe", p->last.mil, p->last.len), NULL, 0, MIL_UNREAD, &unit)) {
        w.in_bytes = bytes(unit.fn[0].input, unit.fn[0].inputs);
        w.out_bytes = bytes(unit.fn[0].output, unit.fn[0].outputs);
    }
    arena_free(a);
    return w;
}
