/* exec_bake.c: parameters into weight files, weight files into compiled programs.
 *
 * Where weights are constants of a compiled program, every change of a parameter costs a compilation, or (plans that
 * say `weights reload`, on devices that can) a new program made of the old one and new files. Which instances need one
 * is decided by hashes of the parameters they contain: reading the parameters is cheap beside converting them and
 * compiling, frozen parameters need no special case, and neither does a checkpoint loaded behind our back. */
#include "exec_internal.h"

#include "base/hash.h"
#include "plan/blob.h"

#include <stdlib.h>
#include <string.h>

/* ---- which instances ---- */

typedef struct {
    bool **instance; /* [program][instance] */
} Wanted;

static void want(Exec *e, ExecStep *s, void *with)
{
    Wanted *w = with;
    (void)e;
    for (uint32_t it = 0; it < s->iterations; it++)
        w->instance[s->step->program][s->instance[it]] = true;
}

/* The instances that parts of an entry run. */
static Wanted wanted(Exec *e, Arena *a, uint32_t entry, unsigned parts)
{
    Wanted w = {NEW_N(a, bool *, e->plan->programs + 1u)};
    for (uint32_t i = 0; i < e->plan->programs; i++)
        w.instance[i] = NEW_N(a, bool, (size_t)e->plan->program[i].n);
    exec_visit_runs(e, entry, parts, want, &w);
    return w;
}

static uint64_t param_hash(Exec *e, uint32_t id)
{
    if (!e->hashed[id]) {
        e->hash[id] = hash_u64(e->param[id].value, e->param[id].numel * sizeof(float));
        e->hashed[id] = true;
    }
    return e->hash[id];
}

typedef struct {
    Exec    *e;
    uint32_t k;
    uint64_t hash;
} Hashing;

static bool hash_part(const Recipe *r, void *with)
{
    Hashing *h = with;
    uint64_t pair[2] = {h->hash, r->kind == RECIPE_PARAM ? param_hash(h->e, r->param[h->k]) : 0};
    h->hash = hash_u64(pair, sizeof pair);
    return true;
}

uint64_t exec_recipe_hash(Exec *e, uint64_t hash, const Recipe *r, uint32_t k)
{
    Hashing h = {e, k, hash};
    plan_recipe_visit(r, hash_part, &h);
    return h.hash;
}

static uint64_t instance_hash(Exec *e, const PlanProgram *g, uint32_t k)
{
    uint64_t h = 0x6261b5;
    for (uint32_t i = 0; i < g->weights; i++)
        h = exec_recipe_hash(e, h, g->weight[i].recipe, k);
    return h;
}

static void forget_hashes(Exec *e)
{
    memset(e->hashed, 0, e->plan->param_count * sizeof *e->hashed);
}

/* Can instances get new weights without being compiled? */
static bool reloads(const Exec *e)
{
    return e->plan->weights == PLAN_RELOAD && device_reloads(e->device);
}

static bool stale(Exec *e, uint32_t program, uint32_t k)
{
    const ExecInstance *x = &e->program[program].instance[k];
    return !x->program || x->weights != instance_hash(e, &e->plan->program[program], k);
}

uint32_t exec_bake_cost(Exec *e, uint32_t entry, unsigned parts)
{
    Arena   *a = arena_new();
    Wanted   w = wanted(e, a, entry, parts);
    uint32_t n = 0;
    forget_hashes(e);
    for (uint32_t i = 0; i < e->plan->programs; i++)
        for (int32_t k = 0; k < e->plan->program[i].n; k++)
            n += w.instance[i][k] && (reloads(e) ? !e->program[i].instance[k].program : stale(e, i, (uint32_t)k));
    arena_free(a);
    return n;
}

typedef struct {
    const Exec *e;
    uint32_t    k;
} Looking;

static bool is_frozen(const Recipe *r, void *with)
{
    const Looking *l = with;
    return r->kind != RECIPE_PARAM || l->e->param[r->param[l->k]].group->frozen;
}

static bool is_trained(const Exec *e, const PlanProgram *g, uint32_t k)
{
    Looking l = {e, k};
    for (uint32_t i = 0; i < g->weights; i++)
        if (!plan_recipe_visit(g->weight[i].recipe, is_frozen, &l))
            return true;
    return false;
}

uint32_t exec_rebake_cost(const Exec *e, uint32_t entry, unsigned parts)
{
    Arena   *a = arena_new();
    Wanted   w = wanted((Exec *)e, a, entry, parts); /* visiting is generic; this visit changes nothing */
    uint32_t n = 0;
    for (uint32_t i = 0; i < e->plan->programs && !reloads(e); i++)
        for (int32_t k = 0; k < e->plan->program[i].n; k++)
            n += w.instance[i][k] && is_trained(e, &e->plan->program[i], (uint32_t)k);
    arena_free(a);
    return n;
}

/* ---- requests ---- */

typedef struct {
    uint32_t program, instance;
} Target;

static void drop_requests(Exec *e, ExecStep *s, void *with)
{
    const Target *t = with;
    (void)e;
    for (uint32_t it = 0; it < s->iterations; it++)
        if (s->step->program == t->program && s->instance[it] == t->instance && s->request[it]) {
            request_free(s->request[it]);
            s->request[it] = NULL;
        }
}

static void drop_program(Exec *e, uint32_t program, uint32_t k)
{
    ExecInstance *x = &e->program[program].instance[k];
    if (!x->program)
        return;
    Target t = {program, k};
    for (uint32_t i = 0; i < e->plan->entries; i++)
        exec_visit_runs(e, i, EXEC_FORWARD | EXEC_BACKWARD, drop_requests, &t);
    program_free(x->program);
    x->program = NULL;
}

void exec_free_programs(Exec *e)
{
    for (uint32_t i = 0; e->program && i < e->plan->programs; i++)
        for (int32_t k = 0; e->program[i].instance && k < e->plan->program[i].n; k++)
            drop_program(e, i, (uint32_t)k);
}

typedef struct {
    bool ok;
    Buf *err;
} Binding;

static void make_requests(Exec *e, ExecStep *s, void *with)
{
    Binding *b = with;
    for (uint32_t it = 0; b->ok && it < s->iterations; it++) {
        const ExecInstance *x = &e->program[s->step->program].instance[s->instance[it]];
        Surface **in = s->surface + (size_t)it * (s->step->ins + s->step->outs), **out = in + s->step->ins;
        if (s->request[it] || !x->program)
            continue;
        s->request[it] = request_new(x->program, 0, in, out, b->err);
        b->ok = s->request[it] != NULL;
    }
}

/* ---- compiling ---- */

static Workspace workspace(const Exec *e, Arena *a)
{
    Workspace w = {0};
    for (uint32_t i = 0; i < e->plan->programs; i++)
        w.files = e->plan->program[i].weights > w.files ? e->plan->program[i].weights : w.files;
    w.file = NEW_N(a, Buf, w.files + 1u);
    return w;
}

static void workspace_free(Workspace *w)
{
    for (uint32_t i = 0; i < w->files; i++)
        buf_free(&w->file[i]);
    free(w->half);
    recipe_pool_free(&w->pool);
}

const uint16_t *exec_recipe_value(Exec *e, Workspace *w, const Recipe *r, uint32_t k, size_t *count_out)
{
    bool          transposed = false;
    const Recipe *base = r; /* under transposes, of which only the parity matters: turning comes with rounding */
    for (; base->kind == RECIPE_TRANSPOSE; base = base->in[0])
        transposed = !transposed;
    bool          param = plan_recipe_has_param(base);
    const float  *x = recipe_value(e, &w->pool, base, k);
    PlanShape     s = base->shape;
    size_t        n = (size_t)plan_numel(s);
    ConvertCount  count = {0};
    if (n > w->halves) {
        free(w->half);
        w->half = xmalloc(n * sizeof *w->half);
        w->halves = n;
    }
    if (transposed)
        convert_transposed_f16(x, w->half, (size_t)s.dim[0], (size_t)s.dim[1], &count);
    else
        convert(x, STORE_F32, w->half, STORE_F16, n, &count);
    recipe_give_back(&w->pool, x);
    e->counters.saturated_weights += param ? count.clamped : 0;
    *count_out = n;
    return w->half;
}

/* The weight file of recipe `r` for instance k. */
static void bake_weight(Exec *e, Workspace *w, const Recipe *r, uint32_t k, Buf *file)
{
    size_t          n;
    const uint16_t *half = exec_recipe_value(e, w, r, k, &n);
    buf_clear(file);
    blob_begin(file);
    blob_add(file, BLOB_F16, half, n * sizeof *half);
}

/* The MIL text and the plan speak of the same ports. */
static bool check_ports(const Exec *e, const PlanProgram *g, const Program *p, Buf *err)
{
    const ProgramFunction *f = program_functions(p) ? program_function(p, 0) : NULL;
    PortType               type = e->wide ? PORT_F64 : PORT_F16;
    if (!f || f->inputs != g->ins || f->outputs != g->outs) {
        buf_printf(err, "program '%s': the MIL text has other inputs and outputs than the plan says", g->name);
        return false;
    }
    for (uint32_t i = 0; i < g->ins + g->outs; i++) {
        const PlanPort *want_port = i < g->ins ? &g->in[i] : &g->out[i - g->ins];
        const Port     *port = i < g->ins ? &f->input[i] : &f->output[i - g->ins];
        size_t          bytes = (size_t)plan_numel(want_port->shape) * port_elem_bytes(type);
        if (strcmp(port->name, want_port->name) != 0 || port->type != type || port->bytes != bytes) {
            buf_printf(err,
                       "program '%s': port '%s' of the MIL text (%s, %zu bytes) is '%s' in the plan (%s, %zu bytes)",
                       g->name, port->name, port_type_name(port->type), port->bytes, want_port->name,
                       port_type_name(type), bytes);
            return false;
        }
    }
    return true;
}

/* Compile an instance, or give it new weights. */
static bool compile(Exec *e, Workspace *w, uint32_t program, uint32_t k, Buf *err)
{
    const PlanProgram *g = &e->plan->program[program];
    ExecProgram       *x = &e->program[program];
    Arena             *a = arena_new();
    DeviceFile        *file = NEW_N(a, DeviceFile, g->weights + 1u);
    double             t0 = exec_now();
    uint64_t           hash = instance_hash(e, g, k);
    Program           *donor = reloads(e) ? x->instance[k].program : NULL;
    if (!donor)
        drop_program(e, program, k);
    for (uint32_t i = 0; i < g->weights; i++) {
        bake_weight(e, w, g->weight[i].recipe, k, &w->file[i]);
        file[i] = (DeviceFile){arena_printf(a, "@model_path/%s", g->weight[i].path), w->file[i].data, w->file[i].len, false};
    }
    double t1 = exec_now();
    const char *name = g->n > 1 ? arena_printf(a, "%s.mil (L = %d)", g->mil, g->first + (int32_t)k)
                                : arena_printf(a, "%s.mil", g->mil);
    Program *p = donor ? program_reload(donor, name, file, g->weights, err)
                       : program_compile(e->device, name, x->mil, x->mil_len, file, g->weights, err);
    bool     ok = p && check_ports(e, g, p, err);
    if (donor)
        drop_program(e, program, k);
    if (p && !ok)
        program_free(p);
    else if (ok)
        x->instance[k] = (ExecInstance){p, hash};
    double t2 = exec_now();
    e->counters.compiles += ok && !donor;
    e->counters.reloads += ok && donor;
    e->counters.seconds[EXEC_BAKE] += t1 - t0;
    e->counters.seconds[EXEC_COMPILE] += t2 - t1;
    arena_free(a);
    return ok;
}

bool exec_bake(Exec *e, uint32_t entry, unsigned parts, Buf *err)
{
    Arena    *a = arena_new();
    Wanted    w = wanted(e, a, entry, parts);
    Workspace space = workspace(e, a);
    bool      ok = true;
    double    t0 = exec_now();
    forget_hashes(e);
    for (uint32_t i = 0; ok && i < e->plan->programs; i++)
        for (int32_t k = 0; ok && k < e->plan->program[i].n; k++) {
            if (!w.instance[i][k])
                continue;
            bool   old = stale(e, i, (uint32_t)k);
            double t1 = exec_now();
            e->counters.seconds[EXEC_BAKE] += t1 - t0;
            e->counters.reused += !old;
            ok = !old || compile(e, &space, i, (uint32_t)k, err);
            t0 = exec_now();
        }
    if (ok)
        exec_stage(e, &space, entry, parts);
    Binding b = {ok, err};
    double  t2 = exec_now();
    for (uint32_t i = 0; b.ok && i < e->plan->entries; i++)
        exec_visit_runs(e, i, EXEC_FORWARD | EXEC_BACKWARD, make_requests, &b);
    e->counters.seconds[EXEC_COMPILE] += exec_now() - t2;
    workspace_free(&space);
    arena_free(a);
    return b.ok;
}
