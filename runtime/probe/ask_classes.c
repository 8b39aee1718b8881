/* ask_classes.c: what the framework of this system has. */
#include "probe/probe.h"

#include <string.h>

void ask_classes(Probe *p, const Question *q)
{
    if (strcmp(p->device, "ane") != 0) {
        open_question(p, q, "device '%s' uses no framework", p->device);
        return;
    }
    Outcome o = ask(p, (Asked){.kind = TRIAL_CLASSES});
    p->classes = o.text ? o.text : "";
    found(p, q, o.kind == OUTCOME_RAN ? "the table below" : o.why, "%s", o.kind == OUTCOME_RAN ? "all that is needed" : outcome_name[o.kind]);
}
