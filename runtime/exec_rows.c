/* exec_rows.c: the profile as values. */
#include "exec_internal.h"

bool exec_time(const Exec *e, uint32_t i, ExecTime *out)
{
    if (i >= e->rows)
        return false;
    const ExecRow *r = &e->row[i];
    *out = (ExecTime){.name = r->name, .class = r->class, .calls = r->calls, .seconds = r->seconds};
    return true;
}
