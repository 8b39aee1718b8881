/* plan_bank.c: see plan_bank.h. */
#include "plan/plan_bank.h"

#include "plan/blob.h"

#include <string.h>

/* ---- instances in the order of need ---- */

typedef struct {
    const Plan   *p;
    bool        **seen; /* [programs][instances] */
    PlanInstance *list;
    uint32_t      n;
} Listing;

static void list_steps(Listing *l, const Step *loop, const Step *step, uint32_t steps)
{
    for (uint32_t i = 0; i < steps; i++) {
        const Step *s = &step[i];
        if (s->kind == STEP_LOOP)
            list_steps(l, s, s->body, s->bodies);
        if (s->kind != STEP_RUN)
            continue;
        const PlanProgram *g = &l->p->program[s->program];
        for (int32_t it = 0; it < (loop ? loop->n : 1); it++) {
            int32_t  nth = loop && loop->reverse ? loop->n - 1 - it : it;
            uint32_t k = g->n > 1 ? (uint32_t)(loop->first - g->first + nth) : 0;
            if (!l->seen[s->program][k])
                l->list[l->n++] = (PlanInstance){s->program, k};
            l->seen[s->program][k] = true;
        }
    }
}

uint32_t plan_instances(const Plan *p, Arena *a, uint32_t entry, bool forward, bool backward, PlanInstance **out)
{
    const PlanEntry *e = &p->entry[entry];
    Listing          l = {.p = p, .seen = NEW_N(a, bool *, p->programs + 1u)};
    size_t           all = 1;
    for (uint32_t i = 0; i < p->programs; i++) {
        l.seen[i] = NEW_N(a, bool, (size_t)p->program[i].n);
        all += (size_t)p->program[i].n;
    }
    l.list = NEW_N(a, PlanInstance, all);
    if (forward)
        list_steps(&l, NULL, e->forward, e->forwards);
    if (backward)
        list_steps(&l, NULL, e->backward, e->backwards);
    *out = l.list;
    return l.n;
}

/* ---- what they are made of ---- */

typedef struct {
    const Plan *p;
    uint32_t    k;
    int32_t     index; /* of the loop */
} Instance;

/* The group that a parameter of a recipe is in; in a plan that is being made, before plan_resolve(), by its name. */
static const PlanParam *group_of(const Instance *x, const Recipe *r)
{
    for (uint32_t g = 0; g < x->p->params; g++) {
        const PlanParam *q = &x->p->param[g];
        if (r->param ? r->param[x->k] - q->id < (uint32_t)q->n
                     : strcmp(q->pattern, r->pattern) == 0 &&
                           (!strstr(q->pattern, "{L}") || (uint32_t)x->index - (uint32_t)q->first < (uint32_t)q->n))
            return q;
    }
    return NULL;
}

/* Recipe visitor: goes on as long as no parameter is one that training changes. */
static bool is_frozen(const Recipe *r, void *with)
{
    if (r->kind != RECIPE_PARAM)
        return true;
    const PlanParam *q = group_of(with, r);
    return q && q->frozen;
}

bool plan_recipe_trained(const Plan *p, const Recipe *r, uint32_t k, int32_t index)
{
    return !plan_recipe_visit(r, is_frozen, &(Instance){p, k, index});
}

bool plan_instance_trained(const Plan *p, PlanInstance x)
{
    const PlanProgram *g = &p->program[x.program];
    for (uint32_t i = 0; i < g->weights; i++)
        if (plan_recipe_trained(p, g->weight[i].recipe, x.k, g->first + (int32_t)x.k))
            return true;
    return false;
}

bool plan_weight_shared(const Plan *p, const PlanWeight *w)
{
    static const char folder[] = "const/", suffix[] = ".blob";
    if (w->recipe->kind != RECIPE_TABLE)
        return false;
    const char *hash = p->table[w->recipe->table].hash;
    size_t      n = strlen(hash);
    return strncmp(w->path, folder, sizeof folder - 1) == 0 && strncmp(w->path + sizeof folder - 1, hash, n) == 0 &&
           strcmp(w->path + sizeof folder - 1 + n, suffix) == 0;
}

uint64_t plan_weight_bytes(const PlanWeight *w)
{
    return 2 * BLOB_ALIGN + 2 * (uint64_t)plan_numel(w->shape);
}

/* ---- banks ---- */

typedef struct {
    PlanBank *bank; /* NULL: none is open */
    uint64_t  bytes;
    bool     *has;  /* [tables] whose files it has */
} Open;

/* What the instance would add to the weights of the bank. */
static uint64_t added(const Plan *p, const Open *o, PlanInstance x)
{
    const PlanProgram *g = &p->program[x.program];
    uint64_t           n = 0;
    for (uint32_t i = 0; i < g->weights; i++)
        if (!plan_weight_shared(p, &g->weight[i]) || !o->has[g->weight[i].recipe->table])
            n += plan_weight_bytes(&g->weight[i]);
    return n;
}

static bool full(const Plan *p, const Open *o, PlanInstance x)
{
    return !o->bank || o->bank->members >= (p->functions > 1 ? (uint64_t)p->functions : 1) ||
           o->bytes + added(p, o, x) > (uint64_t)p->bank_bytes;
}

uint32_t plan_banks(const Plan *p, Arena *a, const PlanInstance *x, uint32_t n, PlanBank **out)
{
    Open      open[2] = {0}; /* for what never changes, for what is trained */
    uint32_t  banks = 0;
    PlanBank *bank = NEW_N(a, PlanBank, n + 1u);
    for (uint32_t t = 0; t < 2; t++)
        open[t].has = NEW_N(a, bool, p->tables + 1u);
    for (uint32_t i = 0; i < n; i++) {
        bool  trained = plan_instance_trained(p, x[i]);
        Open *o = &open[trained];
        if (full(p, o, x[i])) {
            o->bank = &bank[banks++];
            *o->bank = (PlanBank){.member = NEW_N(a, PlanInstance, p->functions > 1 ? (size_t)p->functions : 1), .trained = trained};
            o->bytes = 0;
            memset(o->has, 0, p->tables * sizeof *o->has);
        }
        const PlanProgram *g = &p->program[x[i].program];
        o->bytes += added(p, o, x[i]);
        for (uint32_t w = 0; w < g->weights; w++)
            if (plan_weight_shared(p, &g->weight[w]))
                o->has[g->weight[w].recipe->table] = true;
        o->bank->member[o->bank->members++] = x[i];
    }
    *out = bank;
    return banks;
}
