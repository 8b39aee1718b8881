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
    found(p, q, "the table below", "%s", o.kind == OUTCOME_RAN ? "all needed" : "not all");
}
