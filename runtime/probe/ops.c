/* ops.c: does the engine run an operation, and right? One micro-program each; see ops.def. */
#include "probe/ops.h"

#include "base/f16.h"

#include <math.h>

static const struct {
    const char *op, *template, *values;
    Expect     *want;
    double      tolerance;
} row[] = {
#define OPQ(op, template, values, expectation, tolerance) {#op, template, values, want_##expectation, tolerance},
#include "probe/ops.def"
};

static Question asked[COUNT(row)];

uint32_t op_questions(void)
{
    return COUNT(row);
}

const Question *op_question(uint32_t i)
{
    if (!asked[i].name)
        asked[i] = (Question){"ops", row[i].op, FACT_COUNT, ask_op, "does the engine run it, and right?", "E171"};
    return &asked[i];
}

/* The largest error, relative to the element, or to a hundredth of the largest one. */
static double largest_error(const Probe *p, const Outcome *o, Expect *want)
{
    int64_t n = o->elements[0];
    double *y = NEW_N(p->arena, double, n + 1), most = 0, worst = 0;
    want(p, y, n);
    for (int64_t i = 0; i < n; i++)
        if (isfinite(y[i]))
            most = fmax(most, fabs(y[i] = f16_round((float)y[i])));
    for (int64_t i = 0; i < n; i++) {
        double off = fabs(o->output[0][i] - y[i]) / fmax(fabs(y[i]), most * 0.01 + 1e-9);
        if (isfinite(y[i]))
            worst = isfinite(off) ? fmax(worst, off) : INFINITY;
    }
    return worst;
}

void ask_op(Probe *p, const Question *q)
{
    uint32_t i = (uint32_t)(q - asked);
    Outcome  o = ask(p, (Asked){.template = row[i].template, .values = row[i].values, .outputs = true});
    if (o.kind != OUTCOME_RAN || !o.outputs) {
        found_op(p, q, row[i].op, OP_NO, values(p, "%s: %s", outcome_name[o.kind], o.why));
        return;
    }
    double off = largest_error(p, &o, row[i].want);
    found_op(p, q, row[i].op, off <= row[i].tolerance ? OP_YES : OP_QUIRK,
             off <= row[i].tolerance ? off == 0 ? "exact" : values(p, "right within %.2g", off)
                                     : values(p, "runs, with errors up to %.2g", off));
}
