/* work.c: see work.h. Counted from the text, as for programs of plans. */
#include "probe/work.h"

#include "work/mil_work.h"

Work work_of(Probe *p)
{
    Arena *a = arena_new();
    Work   w = {0};
    mil_function_work(a, "probe", p->last.mil, p->last.len, &w, 1, &p->err);
    arena_free(a);
    return w;
}
