/* range_report.c: from ranges to verdicts, warnings and the table of `anec check --ranges`; see range.h.
 *
 * A value is judged as the engine holds it, which is not always as the graph says: a square that is only summed is
 * scaled by 2^-8, and a sum that is only scaled never exists unscaled, because the scale goes into the constant of ones
 * that does the summing (mil_ops.c). */
#include "passes/pass.h"
#include "passes/range_internal.h"

#include <math.h>
#include <string.h>

/* What the engine computes, or reads as fp16. */
static bool on_engine(const Ranges *r, const Graph *g, ValueId v)
{
    Place at = g->node[v].device;
    return at == DEV_ANE || (at == DEV_CPU && r->row[g->id][v].feeds_engine);
}

static bool is_movement(Op op)
{
    return op == OP_reshape || op == OP_transpose || op == OP_broadcast || op == OP_slice || op == OP_pad ||
           op == OP_concat;
}

static bool is_square(const Graph *g, ValueId v)
{
    const Node *n = &g->node[v];
    return n->op == OP_mul && node_arg(g, v, 0) == node_arg(g, v, 1);
}

/* A square that is scaled before it is computed. */
static bool is_prescaled(const Ranges *r, const Graph *g, ValueId v)
{
    ValueId u = r->row[g->id][v].reader;
    return is_square(g, v) && u && g->node[u].op == OP_sum;
}

/* A sum whose only reader scales it: it exists scaled only. */
static bool is_folded(const Ranges *r, const Graph *g, ValueId v)
{
    ValueId u = r->row[g->id][v].reader;
    if (g->node[v].op != OP_sum || !u || (g->node[u].op != OP_mul && g->node[u].op != OP_div))
        return false;
    for (uint32_t k = g->node[u].op == OP_div ? 1 : 0; k < 2; k++) {
        const Node *c = &g->node[node_arg(g, u, k)];
        if (c->op == OP_const && c->a.constant.table == 0 && node_arg(g, u, 1 - k) == v)
            return true;
    }
    return false;
}

/* Where numbers end for what this node becomes. */
static double limit_of(const Ranges *r, const Graph *g, ValueId v)
{
    const Node *n = &g->node[v];
    bool        product = n->op == OP_matmul || n->op == OP_sum;
    for (uint32_t k = 0; k < n->in_count; k++)
        product |= is_folded(r, g, node_arg(g, v, k));
    return product && n->device == DEV_ANE ? RANGE_PRODUCT_MAX : RANGE_F16_MAX;
}

static double bound_of(const RangeRow *row)
{
    return fmax(fabs(row->lo), fabs(row->hi));
}

static RangeRisk hazard(const Ranges *r, const Graph *g, ValueId v)
{
    const Node     *n = &g->node[v];
    const RangeRow *row = r->row[g->id];
    switch (n->op) {
    case OP_exp:
        return row[v].hi > RANGE_F16_MAX ? RISK_EXP : RISK_NONE;
    case OP_softmax:
        return row[v].dead_row ? RISK_DEAD_ROW : RISK_NONE;
    case OP_add: /* scores end at RANGE_PRODUCT_MAX: a mask that leaves them room can do no harm */
        return row[v].mask < RANGE_PRODUCT_MAX - RANGE_F16_MAX ? RISK_MASK : RISK_NONE;
    case OP_sum:
        if (!is_square(g, node_arg(g, v, 0)) || row[v].scaled || bound_of(&row[v]) < RANGE_PRODUCT_MAX)
            return RISK_NONE;
        return row[v].rms_max * RANGE_GROWTH * RANGE_GROWTH > RANGE_PRODUCT_MAX ? RISK_SQUARES : RISK_NONE;
    default:
        return RISK_NONE;
    }
}

RangeVerdict range_verdict(const Ranges *r, const Graph *g, ValueId v, RangeRisk *risk)
{
    const Node     *n = &g->node[v];
    const RangeRow *row = &r->row[g->id][v];
    double          shrunk = is_prescaled(r, g, v) ? 0x1p-8 : 1, limit = limit_of(r, g, v);
    *risk = RISK_NONE;
    if (!row->known || !dtype_is_real(n->type.dtype) || is_movement(n->op) || is_folded(r, g, v) || !on_engine(r, g, v))
        return RANGE_NONE;
    *risk = n->device == DEV_ANE ? hazard(r, g, v) : RISK_NONE;
    if (*risk != RISK_NONE)
        return RANGE_RISK;
    if (row->mask < 0) /* masked places are meant to be far away; that they stay finite has been seen to */
        return row->lo * shrunk >= -limit && row->hi * shrunk <= limit ? RANGE_PROVED : RANGE_EXPECTED;
    if (row->rms_max * shrunk * RANGE_MARGIN > limit && bound_of(row) * shrunk > limit)
        *risk = RISK_OVERFLOW;
    else if (row->rms_max > 0 && row->rms_max < RANGE_F16_LEAST)
        *risk = RISK_UNDERFLOW;
    if (*risk != RISK_NONE)
        return RANGE_RISK;
    return bound_of(row) * shrunk <= limit ? RANGE_PROVED : RANGE_EXPECTED;
}

/* ---- loss scales ---- */

static void scales_of(Ranges *r, const Graph *g)
{
    for (ValueId v = 1; v < g->count; v++) {
        const Node     *n = &g->node[v];
        const RangeRow *row = &r->row[g->id][v];
        if (n->op == OP_repeat)
            scales_of(r, r->m->graph[n->a.repeat.graph]);
        if (!row->scaled || !(row->rms_max > 0) || is_movement(n->op) || is_folded(r, g, v) || !on_engine(r, g, v))
            continue;
        double most = r->loss_scale * limit_of(r, g, v) / RANGE_MARGIN / row->rms_max;
        r->most_scale = r->most_scale > 0 ? fmin(r->most_scale, most) : most;
        r->least_scale = fmax(r->least_scale, r->loss_scale * RANGE_F16_LEAST / row->rms_max);
    }
}

void range_find_scales(Ranges *r)
{
    for (uint32_t e = 0; e < r->m->entries; e++)
        if (r->m->entry[e].name == r->m->train_entry)
            scales_of(r, r->m->graph[r->m->entry[e].graph]);
}

/* ---- warnings ---- */

static bool told(const Diags *ds, const char *code, Span at)
{
    for (uint32_t i = 0; i < ds->count; i++) { /* both directions, and every entry, have their own copies */
        const Diag *d = ds->item[i];
        if (strcmp(d->code, code) == 0 && d->at.file == at.file && d->at.begin == at.begin)
            return true;
    }
    return false;
}

static const char *name_of(const Ranges *r, const Node *n)
{
    return n->name ? interned(r->m->strings, n->name) : op_info[n->op].name;
}

/* What is too large or too small, and what to do about it. */
static void warn_of_size(const Ranges *r, Diags *ds, const Graph *g, ValueId v, RangeRisk risk)
{
    const Node     *n = &g->node[v];
    const RangeRow *row = &r->row[g->id][v];
    const char     *name = name_of(r, n);
    Diag           *d;
    if (risk == RISK_OVERFLOW)
        d = diag_warning(ds, "W0711", n->at,
                         "'%s' may leave fp16: its elements are about %.2g when training starts, and the limit is %g",
                         name, row->rms_max, limit_of(r, g, v));
    else
        d = diag_warning(ds, "W0712", n->at,
                         "'%s' may vanish in fp16: its elements are about %.2g, and the least number is 6e-8", name,
                         row->rms_max);
    if (row->scaled)
        diag_help(d,
                  "this is a gradient times the loss scale, %g; they are expected to fit from %.2g to %.2g: loss_scale "
                  "= dynamic(init: ..)",
                  r->loss_scale, r->least_scale, r->most_scale);
    else if (risk == RISK_OVERFLOW)
        diag_help(d, "normalise or scale what goes in, start with smaller parameters, or compute it on the CPU with "
                     "#[place(cpu)]");
    else
        diag_help(d, "scale what goes in, or compute it on the CPU with #[place(cpu)]");
}

/* Does the trouble come with an operand? Then that has been told. */
static bool is_consequence(const Ranges *r, const Graph *g, ValueId v, RangeRisk risk)
{
    for (uint32_t k = 0; k < g->node[v].in_count; k++) {
        ValueId   u = node_arg(g, v, k);
        RangeRisk of;
        while (is_movement(g->node[u].op))
            u = node_arg(g, u, 0);
        if (range_verdict(r, g, u, &of) == RANGE_RISK && of == risk)
            return true;
    }
    return false;
}

/* The loss scale is one number: it is told of once for too large and once for too small. */
static bool told_of_scale(const Diags *ds, const char *code)
{
    for (uint32_t i = 0; i < ds->count; i++)
        if (strcmp(ds->item[i]->code, code) == 0 && ds->item[i]->help && strstr(ds->item[i]->help, "loss_scale"))
            return true;
    return false;
}

static void warn(const Ranges *r, Diags *ds, const Graph *g, ValueId v, RangeRisk risk)
{
    static const char *const code[] = {"", "W0711", "W0712", "W0713", "W0714", "W0715", "W0716"};
    const Node              *n = &g->node[v];
    const RangeRow          *row = &r->row[g->id][v];
    bool                     size = risk == RISK_OVERFLOW || risk == RISK_UNDERFLOW;
    if (told(ds, code[risk], n->at) || (size && !row->scaled && is_consequence(r, g, v, risk)))
        return;
    if (size && row->scaled && (told_of_scale(ds, code[risk]) || (r->adapts && r->least_scale <= r->most_scale)))
        return; /* a dynamic loss scale finds its way, if there is one */
    switch (risk) {
    case RISK_NONE: break;
    case RISK_OVERFLOW:
    case RISK_UNDERFLOW: warn_of_size(r, ds, g, v, risk); break;
    case RISK_EXP:
        diag_help(
            diag_warning(ds, code[risk], n->at, "exp of something that may exceed 11.09 is infinite in fp16"),
            "subtract the maximum first, exp(x - amax(x, axis: k)), use softmax or sigmoid, or cut with min(x, 11.0)");
        break;
    case RISK_SQUARES:
        diag_help(diag_warning(
                      ds, code[risk], n->at,
                      "a sum of squares may leave fp16: about %.2g when training starts, and it grows with the square",
                      row->rms_max),
                  "divide it by the number of elements right away, sum(x * x, ..) / n: the factor goes into the sum");
        break;
    case RISK_MASK:
        diag_help(diag_warning(ds, code[risk], n->at,
                               "a mask of %g leaves scores no room: their sum may be infinite in fp16", row->mask),
                  "-30000 (NEG of std/nn.anel) hides as well and cannot overflow");
        break;
    case RISK_DEAD_ROW:
        diag_help(diag_warning(ds, code[risk], n->at, "softmax of a row in which everything is masked has no meaning"),
                  "let every row see one place at least; in causal_mask(S) a position sees itself");
        break;
    }
}

static void warn_graph(const Ranges *r, Diags *ds, const Graph *g)
{
    for (ValueId v = 1; v < g->count; v++) {
        RangeRisk risk;
        if (g->node[v].op == OP_repeat)
            warn_graph(r, ds, r->m->graph[g->node[v].a.repeat.graph]);
        else if (range_verdict(r, g, v, &risk) == RANGE_RISK)
            warn(r, ds, g, v, risk);
    }
}

void ranges_warn(const Ranges *r, Diags *ds)
{
    for (uint32_t e = 0; e < r->m->entries; e++)
        warn_graph(r, ds, r->m->graph[r->m->entry[e].graph]);
}

/* ---- the table ---- */

typedef struct {
    uint32_t proved, expected, risks;
} Tally;

static const char *number(char *room, size_t size, double x)
{
    if (isinf(x))
        snprintf(room, size, x > 0 ? "inf" : "-inf");
    else
        snprintf(room, size, "%.3g", x);
    return room;
}

static void print_row(const Ranges *r, const Graph *g, ValueId v, RangeVerdict verdict, RangeRisk risk, Buf *out)
{
    static const char *const word[] = {"", "proved", "expected", "AT RISK"};
    static const char *const why[] = {"",       ": overflow",  ": underflow", ": exp", ": sum of squares",
                                      ": mask", ": masked row"};
    const Node     *n = &g->node[v];
    const RangeRow *row = &r->row[g->id][v];
    const Source   *f = source_of(r->m->sources, n->at);
    const char     *scope = n->scope ? interned(r->m->strings, n->scope) : "", *inner = strchr(scope, '.');
    char            place[80] = "", value[128], lo[32], hi[32], interval[72], rms[72];
    if (f) {
        uint32_t    line, column;
        const char *slash = strrchr(f->name, '/');
        source_position(f, n->at.begin, &line, &column);
        snprintf(place, sizeof place, "%s:%u:%u", slash ? slash + 1 : f->name, line, column);
    }
    scope = inner ? inner + 1 : ""; /* the title has the repeat's label */
    snprintf(value, sizeof value, "%s%s%s %s", scope, *scope && n->name ? "." : "",
             n->name ? interned(r->m->strings, n->name) : "", op_info[n->op].name);
    snprintf(interval, sizeof interval, "[%s, %s]", number(lo, sizeof lo, row->lo), number(hi, sizeof hi, row->hi));
    if (row->rms_max > 1.05 * row->rms_min)
        snprintf(rms, sizeof rms, "%.2g .. %.2g", row->rms_min, row->rms_max);
    else
        snprintf(rms, sizeof rms, "%.2g", row->rms_max);
    buf_printf(out, "  %-20s %-30s %-18s %-18s %s%s%s\n", place, value, interval, rms, row->scaled ? "x S  " : "     ",
               word[verdict], why[risk]);
}

static void print_graph(const Ranges *r, const Graph *g, const char *title, Buf *out, Tally *t)
{
    bool titled = false;
    for (ValueId v = 1; v < g->count; v++) {
        RangeRisk    risk;
        RangeVerdict verdict = range_verdict(r, g, v, &risk);
        if (verdict == RANGE_NONE)
            continue;
        if (!titled)
            buf_printf(out, "%s\n", title);
        titled = true;
        print_row(r, g, v, verdict, risk, out);
        t->proved += verdict == RANGE_PROVED;
        t->expected += verdict == RANGE_EXPECTED;
        t->risks += verdict == RANGE_RISK;
    }
    for (ValueId v = 1; v < g->count; v++) {
        const Node *n = &g->node[v];
        if (n->op != OP_repeat)
            continue;
        const Graph *region = r->m->graph[n->a.repeat.graph];
        Buf          name = {0};
        buf_printf(&name, "%d x %s%s", n->a.repeat.n, interned(r->m->strings, n->name),
                   n->role == ROLE_BWD ? ", backward" : "");
        print_graph(r, region, name.data, out, t);
        buf_free(&name);
    }
}

void ranges_print(const Ranges *r, Buf *out)
{
    Tally t = {0};
    for (uint32_t e = 0; e < r->m->entries; e++) {
        Buf title = {0};
        buf_printf(&title, "entry %s", interned(r->m->strings, r->m->entry[e].name));
        print_graph(r, r->m->graph[r->m->entry[e].graph], title.data, out, &t);
        buf_free(&title);
    }
    buf_printf(out, "%u values of the engine: %u proved to fit fp16, %u expected to, %u at risk\n",
               t.proved + t.expected + t.risks, t.proved, t.expected, t.risks);
    if (r->most_scale > 0)
        buf_printf(out, "loss scale S = %g%s; gradients are expected to fit from %.2g to %.2g\n", r->loss_scale,
                   r->adapts ? " at first, then dynamic" : "", r->least_scale, r->most_scale);
}
