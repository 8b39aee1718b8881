/* ask_numbers.c: what the engine computes differently; each expectation is worked out here. */
#include "probe/probe.h"

#include "base/f16.h"

#include <math.h>
#include <string.h>

/* The largest number of fp16 up to which all come through, counted from 1; `first_bad` is the next one. */
static double passes(const Outcome *o, const Probe *p, double *first_bad, double *became)
{
    double last = 0;
    *first_bad = *became = 0;
    for (int64_t i = 0; i <= 0x7bff - 0x3c00 && i < o->elements[0]; i++) {
        double x = held(p, "climb", "i00_x", 1, i);
        if (o->output[0][i] != x) {
            *first_bad = x;
            *became = o->output[0][i];
            break;
        }
        last = x;
    }
    return last;
}

static Outcome echo_range(Probe *p, const char *template, const char *with, double *most, double *bad, double *became)
{
    Outcome o = ask(p, (Asked){.template = template, .values = with, .outputs = true});
    *most = o.kind == OUTCOME_RAN && o.outputs == 1 ? passes(&o, p, bad, became) : 0;
    return o;
}

void ask_product_range(Probe *p, const Question *q)
{
    double  bad[2], became[2], most[2];
    Outcome product = echo_range(p, "product_range", "returns=o00_y", &most[0], &bad[0], &became[0]);
    Outcome conv = echo_range(p, "product_range", "returns=o01_z", &most[1], &bad[1], &became[1]);
    if (product.kind != OUTCOME_RAN || conv.kind != OUTCOME_RAN || most[0] < 1 || most[1] < 1) {
        open_question(p, q, "the products %s: %s", outcome_name[product.kind], product.kind != OUTCOME_RAN ? product.why : conv.why);
        return;
    }
    int k = most[1] < most[0];
    found(p, q, bad[k] != 0 ? values(p, "%g comes out as %g; matmul up to %g, conv up to %g", bad[k], became[k], most[0], most[1])
                            : "all of fp16 comes out",
          "%.0f", most[k]);
}

typedef struct {
    double bad, became, good; /* the smallest that does not pass, and what it became; the largest that does */
} Passed;

/* What of the input's numbers comes through the slice that begins at `begin` of each row of 320. */
static Outcome slice(Probe *p, const char *pattern, int begin, Passed *to)
{
    Outcome o = ask(p, (Asked){.template = "slice_range", .values = values(p, "begin=%d\ni00_x:%s", begin, pattern), .outputs = true});
    for (int64_t i = 0; o.kind == OUTCOME_RAN && o.outputs && i < o.elements[0]; i++) {
        double x = held(p, NULL, "i00_x", 1, i / 256 * 320 + begin + i % 256);
        if (o.output[0][i] != x && (to->bad == 0 || x < to->bad)) {
            to->bad = x;
            to->became = o.output[0][i];
        } else if (o.output[0][i] == x && x > to->good)
            to->good = x;
    }
    return o;
}

void ask_slice_range(Probe *p, const Question *q)
{
    /* both orders: what one of them has in the part that is cut off the other has elsewhere */
    Passed  with = {0}, without = {0};
    Outcome o = slice(p, "climb", 64, &with);
    if (o.kind == OUTCOME_RAN)
        o = slice(p, "fall", 64, &with);
    if (o.kind != OUTCOME_RAN || !o.outputs) {
        open_question(p, q, "the slice %s: %s", outcome_name[o.kind], o.why);
        return;
    }
    if (with.bad == 0) {
        found(p, q, "all of fp16 passes", "0");
        return;
    }
    slice(p, "climb", 0, &without);
    if (with.good >= with.bad || without.bad != 0)
        open_question(p, q, "%g comes out as %g, but %g passes; without an offset %s", with.bad, with.became, with.good,
                      without.bad != 0 ? "as wrong" : "all is right");
    else
        found(p, q, values(p, "%g comes out as %g; without an offset all is right", with.bad, with.became), "%.0f", with.good);
}

void ask_round(Probe *p, const Question *q)
{
    Outcome o = ask(p, (Asked){.template = "op_unary", .values = "op=round\ni00_x:wide", .outputs = true});
    if (o.kind != OUTCOME_RAN || !o.outputs) {
        found(p, q, o.why, "%s", outcome_name[o.kind]);
        return;
    }
    double below = 0, above = 0;
    for (int64_t i = 0; i < o.elements[0]; i++) {
        double x = held(p, NULL, "i00_x", 1, i), off = fabs(o.output[0][i] - round(x));
        *(fabs(x) < 1024 ? &below : &above) = fmax(off, fabs(x) < 1024 ? below : above);
    }
    found(p, q, values(p, "off by at most %g below 1024, %g from 1024 on; halves %s", below, above,
                       below == 0 ? "go away from zero" : "may go elsewhere"),
          "%s", above > 0 ? "no" : below > 0 ? "not below 1024" : "yes");
}

/* Sums of one 2048 and 63 ones. */
static void sums(Probe *p, const Question *q, const char *template)
{
    Outcome o = ask(p, (Asked){.template = template, .outputs = true});
    if (o.kind != OUTCOME_RAN || !o.outputs) {
        found(p, q, o.why, "%s", outcome_name[o.kind]);
        return;
    }
    double exact = f16_round(2048 + 63), low = 1e9, high = 0;
    for (int64_t i = 0; i < o.elements[0]; i++) {
        low = fmin(low, o.output[0][i]);
        high = fmax(high, o.output[0][i]);
    }
    found(p, q, values(p, "2048 and 63 ones: %g to %g, rounded once it is %g", low, high, exact),
          "%s", low >= exact - 2 && high <= exact ? "wide" : "fp16 partial sums");
}

void ask_reduce_sum(Probe *p, const Question *q)
{
    sums(p, q, "reduce_sum");
}

void ask_conv_sum(Probe *p, const Question *q)
{
    sums(p, q, "conv_sum");
}

void ask_mask(Probe *p, const Question *q)
{
    Outcome o = ask(p, (Asked){.template = "mask", .outputs = true});
    if (o.kind != OUTCOME_RAN || !o.outputs) {
        found(p, q, o.why, "%s", outcome_name[o.kind]);
        return;
    }
    /* who sees only himself gets his own value */
    double worst = 0;
    for (int64_t i = 0; i < o.elements[0]; i++)
        worst = fmax(worst, fabs(o.output[0][i] - held(p, NULL, "i00_x", 1, i)));
    found(p, q, values(p, "positions that may see only themselves are off by %g", worst), "%s", worst < 0.01 ? "yes" : "no");
}

void ask_nan(Probe *p, const Question *q)
{
    static const struct {
        const char *op, *more;
    } ops[] = {{"add", "2"}, {"mul", "2"}, {"maximum", "2"}, {"relu", "1"}, {"sigmoid", "1"}, {"exp", "1"}};
    Buf      text = {0};
    uint32_t lost = 0, asked = 0;
    for (size_t i = 0; i < COUNT(ops); i++)
        for (int inf = 0; inf < 2; inf++) {
            bool    two = ops[i].more[0] == '2';
            Outcome o = ask(p, (Asked){.template = two ? "op_binary" : "op_unary",
                                       .values = values(p, "op=%s\ni00_x:%s", ops[i].op, inf ? "ends" : "holes"), .outputs = true});
            uint32_t kept = 0, all = 0;
            if (o.kind != OUTCOME_RAN || !o.outputs)
                continue;
            for (int64_t k = 0; k < o.elements[0]; k++)
                if (k % 7 == 3) { /* where the patterns have them */
                    double y = o.output[0][k];
                    all++;
                    kept += inf ? (strcmp(ops[i].op, "sigmoid") == 0 ? y == 1 : isinf(y)) : isnan(y);
                }
            asked++;
            lost += kept < all;
            if (kept < all)
                buf_printf(&text, "%s%s of %s", text.len ? ", " : "", ops[i].op, inf ? "infinity" : "NaN");
        }
    char *note = values(p, "%s%s", text.len ? "lost by " : "six operations", text.len ? text.data : "");
    buf_free(&text);
    if (asked)
        found(p, q, note, "%s", lost ? "no" : "yes");
    else
        open_question(p, q, "no operation to ask with runs");
}

static double gelu(double x, int mode)
{
    return mode == 0   ? 0.5 * x * (1 + erf(x / sqrt(2)))
           : mode == 1 ? 0.5 * x * (1 + tanh(sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)))
                       : x / (1 + exp(-1.702 * x));
}

void ask_gelu(Probe *p, const Question *q)
{
    static const char *const mode[] = {"EXACT", "TANH_APPROXIMATION", "SIGMOID_APPROXIMATION"};
    Buf      text = {0};
    double  *first = NULL;
    uint32_t ran = 0;
    for (int m = 0; m < 3; m++) {
        Outcome o = ask(p, (Asked){.template = "gelu", .values = values(p, "mode=%s", mode[m]), .outputs = true});
        buf_printf(&text, "%s%s ", m ? ", " : "", mode[m]);
        if (o.kind != OUTCOME_RAN || !o.outputs) {
            buf_puts(&text, outcome_name[o.kind]);
            continue;
        }
        double worst = 0;
        bool   same = first != NULL;
        for (int64_t i = 0; i < o.elements[0]; i++) {
            worst = fmax(worst, fabs(o.output[0][i] - gelu(held(p, NULL, "i00_x", 1, i), m)));
            same = same && o.output[0][i] == first[i];
        }
        first = first ? first : o.output[0];
        ran++;
        buf_printf(&text, "off by %.2g%s", worst, same ? " (as EXACT)" : "");
    }
    char *note = values(p, "%s", text.data ? text.data : "");
    buf_free(&text);
    found(p, q, note, "%u of 3 modes", ran);
}
