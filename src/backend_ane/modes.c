/* modes.c: see modes.h. Times are those of target/cost.h: predictions, in integer nanoseconds so that ties are ties. */
#include "backend_ane/modes.h"

#include "target/cost.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static const char *const name[] = {
    [WEIGHTS_BAKED] = "baked", [WEIGHTS_DYNAMIC] = "dynamic", [WEIGHTS_RELOAD] = "reload", [WEIGHTS_MIXED] = "mixed"};

/* Micro-batches per update: a constant of the train section. */
static uint64_t accumulation(const Module *m)
{
    for (uint32_t i = 0; i < m->settings; i++)
        if (strcmp(interned(m->strings, m->setting[i].key), "accum") == 0)
            return strtoull(interned(m->strings, m->setting[i].value), NULL, 10);
    return 1;
}

static uint64_t set_bytes(const Module *m, uint32_t set)
{
    return 2 * (uint64_t)shape_numel(m->param[m->param_set[set].leaf[0]].type.shape);
}

/* One evaluation of a program. */
static int64_t run_ns(const Module *m, const ProgramCost *c, WeightMode mode)
{
    Work     w = c->work;
    uint64_t as_input = 0;
    for (uint32_t i = 0; i < c->sets; i++) {
        Shape    s = m->param[m->param_set[c->set[i]].leaf[0]].type.shape;
        uint64_t bytes = set_bytes(m, c->set[i]);
        if (mode == WEIGHTS_DYNAMIC || (mode == WEIGHTS_MIXED && is_trained_set(m, c->set[i]))) {
            w.in_bytes += bytes;
            continue;
        }
        w.weight_bytes += bytes;
        if (s.rank == 2 && work_notched((uint64_t)s.dim[0], (uint64_t)s.dim[1]))
            w.notch_bytes += bytes;
    }
    if (mode == WEIGHTS_DYNAMIC)
        as_input = c->weight_flops;
    else if (mode == WEIGHTS_MIXED)
        as_input = c->trained_flops;
    w.matmul_flops += as_input;
    w.conv_flops += c->weight_flops - as_input;
    return cost_run_ns(m->target, &w);
}

static void count_runs(const Step *s, uint32_t n, uint64_t times, uint64_t *runs)
{
    for (uint32_t i = 0; i < n; i++) {
        if (s[i].kind == STEP_LOOP)
            count_runs(s[i].body, s[i].bodies, times * (uint64_t)s[i].n, runs);
        else if (s[i].kind == STEP_RUN)
            runs[s[i].program] += times;
    }
}

/* Making one program current after an update. */
static void update_program(const Module *m, const ProgramCost *c, ModeCost *mode)
{
    const Target *t = m->target;
    uint64_t      bytes = 0;
    bool          trained = false;
    for (uint32_t i = 0; i < c->sets; i++) {
        bytes += set_bytes(m, c->set[i]);
        trained |= is_trained_set(m, c->set[i]);
    }
    if (!trained)
        return;
    int64_t files = cost_staging_ns(t, bytes), load = (int64_t)(t->load * 1e6),
            reload = (int64_t)(t->reload_time * 1e6);
    mode[WEIGHTS_BAKED].programs += c->instances;
    mode[WEIGHTS_BAKED].update_ns += c->instances * (cost_compile_ns(t, &c->work) + load + files);
    mode[WEIGHTS_RELOAD].programs += c->instances;
    mode[WEIGHTS_RELOAD].update_ns += c->instances * (reload + files);
}

void modes_predict(const Module *m, BackendResult *r)
{
    const Plan *p = r->plan;
    uint64_t   *runs = NEW_N(m->arena, uint64_t, p->programs + 1u);
    bool       *staged = NEW_N(m->arena, bool, m->param_sets + 1u);
    uint64_t    bytes = 0;
    uint32_t    entry = 0;
    memset(r->mode, 0, sizeof r->mode);
    r->accum = m->train_entry ? accumulation(m) : 1;
    for (uint32_t i = 0; i < m->entries; i++)
        if (m->entry[i].name == m->train_entry)
            entry = i;
    if (p->entries <= entry)
        return;
    const PlanEntry *e = &p->entry[entry];
    count_runs(e->forward, e->forwards, r->accum, runs);
    count_runs(e->backward, e->backwards, r->accum, runs);
    for (uint32_t i = 0; i < p->programs; i++) {
        const ProgramCost *c = &r->cost[i];
        for (uint32_t k = 0; k < COUNT(r->mode); k++)
            r->mode[k].run_ns += (int64_t)runs[i] * run_ns(m, c, (WeightMode)k);
        if (!runs[i] || !m->train_entry)
            continue;
        update_program(m, c, r->mode);
        for (uint32_t k = 0; k < c->sets; k++)
            if (is_trained_set(m, c->set[k]) && !staged[c->set[k]]) {
                staged[c->set[k]] = true;
                bytes += set_bytes(m, c->set[k]) * m->param_set[c->set[k]].count;
            }
    }
    r->mode[WEIGHTS_DYNAMIC].update_ns = r->mode[WEIGHTS_MIXED].update_ns = cost_staging_ns(m->target, bytes);
}

/* Are some parameters frozen, and others not? */
static bool mixes(const Module *m)
{
    uint32_t frozen = 0;
    for (uint32_t i = 0; i < m->params; i++)
        frozen += m->param[i].frozen;
    return m->train_entry && frozen && frozen < m->params;
}

WeightMode modes_choose(const Module *m, const BackendResult *r)
{
    WeightMode best = WEIGHTS_BAKED;
    for (uint32_t k = 0; k < COUNT(r->mode); k++)
        if (r->mode[k].run_ns + r->mode[k].update_ns < r->mode[best].run_ns + r->mode[best].update_ns &&
            (k != WEIGHTS_RELOAD || m->target->reload == TRI_YES))
            best = (WeightMode)k;
    return best;
}

void modes_print(const Module *m, const BackendResult *r, Buf *out)
{
    static const char *const doing[] = {"compiled", "staged", "reloaded", "staged"};
    if (m->train_entry)
        buf_printf(out, "weights %s; predicted for target %s, one update of %" PRIu64 " micro-batch%s:\n",
                   plan_weight_mode_name[r->plan->weights], m->target->name, r->accum, r->accum == 1 ? "" : "es");
    else
        buf_printf(out, "weights %s; predicted for target %s, nothing is trained:\n",
                   plan_weight_mode_name[r->plan->weights], m->target->name);
    for (uint32_t k = 0; k < COUNT(r->mode); k++) {
        const ModeCost *c = &r->mode[k];
        if (k == WEIGHTS_MIXED && !mixes(m))
            continue; /* nothing to tell apart */
        buf_printf(out, "  %-8s programs run %.1f ms", name[k], (double)c->run_ns * 1e-6);
        if (k == WEIGHTS_DYNAMIC || k == WEIGHTS_MIXED)
            buf_printf(out, ", weights %s %.1f ms", doing[k], (double)c->update_ns * 1e-6);
        else
            buf_printf(out, ", %" PRIu64 " programs %s %.1f ms", c->programs, doing[k], (double)c->update_ns * 1e-6);
        if (k == WEIGHTS_RELOAD && m->target->reload != TRI_YES)
            buf_puts(out, m->target->reload == TRI_NO ? " (the target cannot)" : " (not known to work)");
        buf_putc(out, '\n');
    }
}
