/* exec_bank.c: units as programs of the device: compiled, given new weights, bound, let go.
 *
 * A bank is what the device compiles at once. Where the plan says nothing of `functions`, every unit is a bank, and its
 * text is that of the plan. Otherwise as many units as plan_bank.h puts together become the functions of one program:
 * procedure000, procedure001, ... in the order in which they are first needed, which is also the number that requests
 * name. The text of each is copied from the plan; the weight files of function 3 are in @model_path/p003, except for
 * tables, whose names are hashes of their contents. Names of ports stay: the engine has symbols of their own for every
 * function (oMLX, ane-infer). One compilation and one place in the device's table are then enough for a model (oMLX: up
 * to 256 functions).
 *
 * What a unit is compiled as is settled when something first runs it, so that a plan of which only the forward
 * direction is used never compiles the other one. A bank is compiled again as soon as one of its units has new
 * weights; plan_banks() therefore keeps apart what updates change and what they do not. */
#include "exec_internal.h"

#include "base/file.h"
#include "mil/mil_join.h"
#include "plan/plan_bank.h"

#include <stdio.h>
#include <string.h>

/* ---- which units are one program ---- */

static void add_bank(Exec *e, const PlanBank *of)
{
    ExecBank b = {.unit = NEW_N(e->arena, uint32_t, of->members), .units = of->members};
    for (uint32_t i = 0; i < of->members; i++) {
        b.unit[i] = e->program[of->member[i].program].unit + of->member[i].k;
        e->unit[b.unit[i]].bank = e->banks;
        e->unit[b.unit[i]].function = i;
    }
    const ExecProgram *x = &e->program[of->member[0].program];
    if (b.units == 1) {
        b.name = e->unit[b.unit[0]].name;
        b.mil = x->mil;
        b.mil_len = x->mil_len;
    } else
        b.name = arena_printf(e->arena, "bank%03u.mil", (unsigned)e->banks);
    GROW(e->arena, e->bank, e->banks, e->banks_cap);
    e->bank[e->banks++] = b;
}

void exec_form_banks(Exec *e, uint32_t entry, unsigned parts)
{
    const ExecEntry *x = &e->entry[entry];
    Arena           *a = arena_new();
    PlanInstance    *fresh = NEW_N(a, PlanInstance, x->wants[parts] + 1u);
    PlanBank        *bank;
    uint32_t         n = 0;
    for (uint32_t i = 0; i < x->wants[parts]; i++) {
        const Unit *u = &e->unit[x->wanted[parts][i]];
        if (u->stage == UINT32_MAX && u->bank == UINT32_MAX)
            fresh[n++] = (PlanInstance){u->program, u->k};
    }
    uint32_t banks = n ? plan_banks(e->plan, a, fresh, n, &bank) : 0;
    for (uint32_t i = 0; i < banks; i++)
        add_bank(e, &bank[i]);
    arena_free(a);
}

Program *exec_unit_program(const Exec *e, const Unit *u)
{
    return u->bank == UINT32_MAX ? NULL : e->bank[u->bank].compiled;
}

bool exec_bank_stale(const Exec *e, const ExecBank *b)
{
    bool stale = !b->compiled;
    for (uint32_t i = 0; i < b->units && !stale; i++)
        stale = exec_unit_stale(e, &e->unit[b->unit[i]]);
    return stale;
}

bool exec_bank_member(const Exec *e, const char *name, uint32_t function, uint32_t *program, uint32_t *instance)
{
    for (uint32_t i = 0; i < e->banks; i++)
        if (strcmp(e->bank[i].name, name) == 0 && function < e->bank[i].units) {
            const Unit *u = &e->unit[e->bank[i].unit[function]];
            *program = u->program;
            *instance = u->k;
            return true;
        }
    return false;
}

/* ---- text and files ---- */

typedef struct {
    const Plan        *plan;
    const PlanProgram *program;
} Sharing;

static bool shares(const void *with, const char *path)
{
    const Sharing *s = with;
    for (uint32_t i = 0; i < s->program->weights; i++)
        if (strcmp(s->program->weight[i].path, path) == 0)
            return plan_weight_shared(s->plan, &s->program->weight[i]);
    return false;
}

static struct MilPiece *piece_of(Exec *e, uint32_t program, Buf *err)
{
    ExecProgram *x = &e->program[program];
    if (!x->piece)
        x->piece = mil_piece(e->arena, arena_printf(e->arena, "%s.mil", e->plan->program[program].mil), x->mil, x->mil_len,
                             err);
    return x->piece;
}

/* The text of a bank of several units, once. */
static bool write_text(Exec *e, ExecBank *b, Buf *err)
{
    Buf text = {0};
    for (uint32_t i = 0; i < b->units; i++)
        if (!piece_of(e, e->unit[b->unit[i]].program, err))
            return false;
    const struct MilPiece *first = e->program[e->unit[b->unit[0]].program].piece;
    mil_join_begin(first, &text);
    for (uint32_t i = 0; i < b->units; i++) {
        const Unit *u = &e->unit[b->unit[i]];
        char        name[24], prefix[8];
        snprintf(name, sizeof name, "procedure%03u", (unsigned)i);
        snprintf(prefix, sizeof prefix, "p%03u", (unsigned)(i % 1000));
        mil_join_add(e->program[u->program].piece, name, prefix, shares,
                     &(Sharing){e->plan, &e->plan->program[u->program]}, &text);
    }
    mil_join_end(first, &text);
    b->mil_len = text.len;
    b->mil = arena_strndup(e->arena, text.data, text.len);
    buf_free(&text);
    return true;
}

static bool has_file(const ExecBank *b, const char *path)
{
    for (uint32_t i = 0; i < b->files; i++)
        if (strcmp(b->file[i].path, path) == 0)
            return true;
    return false;
}

/* The files of all units, which keep their places from now on. */
static void collect_files(Exec *e, ExecBank *b)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < b->units; i++)
        n += e->unit[b->unit[i]].weights;
    b->file = NEW_N(e->arena, DeviceFile, n + 1u);
    for (uint32_t i = 0; i < b->units; i++) {
        Unit              *u = &e->unit[b->unit[i]];
        const PlanProgram *g = &e->plan->program[u->program];
        for (uint32_t w = 0; w < u->weights; w++) {
            DeviceFile *f = &b->file[b->files];
            bool        shared = plan_weight_shared(e->plan, &g->weight[w]);
            *f = u->file[w];
            if (b->units > 1 && !shared)
                f->path = arena_printf(e->arena, "@model_path/p%03u/%s", (unsigned)i, g->weight[w].path);
            if (!shared || !has_file(b, f->path))
                b->files++;
        }
    }
}

/* ---- requests ---- */

typedef struct {
    uint32_t bank;
    bool     ok;
    Buf     *err;
} Binding;

static Unit *unit_of(Exec *e, const ExecStep *s, uint32_t it)
{
    return &e->unit[e->program[s->step->program].unit + s->instance[it]];
}

static void drop_requests(Exec *e, ExecStep *s, void *with)
{
    const Binding *b = with;
    for (uint32_t it = 0; it < s->iterations; it++)
        if (unit_of(e, s, it)->bank == b->bank && s->request[it]) {
            request_free(s->request[it]);
            s->request[it] = NULL;
        }
}

static void drop_program(Exec *e, ExecBank *b)
{
    if (!b->compiled)
        return;
    for (uint32_t i = 0; i < e->plan->entries; i++)
        exec_visit_runs(e, i, EXEC_FORWARD | EXEC_BACKWARD, drop_requests, &(Binding){.bank = (uint32_t)(b - e->bank)});
    program_free(b->compiled);
    b->compiled = NULL;
    b->unbound = false;
}

void exec_free_programs(Exec *e)
{
    for (uint32_t i = 0; i < e->banks; i++)
        drop_program(e, &e->bank[i]);
    for (uint32_t i = 0; i < e->units; i++)
        slab_free(&e->unit[i].files);
}

static void make_requests(Exec *e, ExecStep *s, void *with)
{
    Binding *b = with;
    for (uint32_t it = 0; b->ok && it < s->iterations; it++) {
        Surface   **in = s->surface + (size_t)it * (s->step->ins + s->step->outs), **out = in + s->step->ins;
        const Unit *u = unit_of(e, s, it);
        if (u->bank != b->bank || s->request[it])
            continue;
        s->request[it] = request_new(e->bank[b->bank].compiled, u->function, in, out, b->err);
        b->ok = s->request[it] != NULL;
    }
}

static bool bind(Exec *e, const ExecBank *b, Buf *err)
{
    Binding x = {(uint32_t)(b - e->bank), true, err};
    for (uint32_t i = 0; x.ok && i < e->plan->entries; i++)
        exec_visit_runs(e, i, EXEC_FORWARD | EXEC_BACKWARD, make_requests, &x);
    return x.ok || exec_not_made(e);
}

bool exec_bind_banks(Exec *e, Buf *err)
{
    bool any = false, ok = true;
    for (uint32_t i = 0; ok && i < e->banks; i++) {
        ExecBank *b = &e->bank[i];
        any = any || b->unbound;
        for (uint32_t k = 0; b->unbound && ok && k < b->units; k++)
            ok = exec_surfaces_grow(e, &e->unit[b->unit[k]], err);
        b->unbound = b->unbound && !ok;
    }
    for (uint32_t i = 0; any && ok && i < e->banks; i++) /* those included that lost their requests */
        ok = !e->bank[i].compiled || bind(e, &e->bank[i], err);
    return ok || exec_not_made(e);
}

/* ---- the device's part ---- */

bool exec_recompile(Exec *e, uint32_t entry, unsigned parts, Buf *err)
{
    exec_settle(e);
    for (uint32_t i = 0; i < e->banks; i++) {
        ExecBank *b = &e->bank[i];
        for (uint32_t k = 0; b->compiled && k < b->units; k++)
            e->unit[b->unit[k]].made = 0;
        drop_program(e, b);
    }
    for (uint32_t i = 0; e->watch && i < e->plan->programs; i++)
        watch_reset(&e->watch[i]);
    e->slow = UINT32_MAX;
    return exec_bake(e, entry, parts, err);
}

bool exec_not_made(Exec *e)
{
    e->trouble = device_refusal(e->device) == REFUSED_LIMIT ? EXEC_LIMIT : EXEC_NOT_MADE;
    return false;
}

/* The MIL text and the plan speak of the same ports. */
static bool check_ports(const Exec *e, const PlanProgram *g, const ProgramFunction *f, Buf *err)
{
    PortType type = e->wide ? PORT_F64 : PORT_F16;
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

static bool check_functions(const Exec *e, const ExecBank *b, const Program *p, Buf *err)
{
    for (uint32_t i = 0; i < b->units; i++)
        if (!check_ports(e, &e->plan->program[e->unit[b->unit[i]].program], program_function(p, i), err))
            return false;
    return true;
}

void exec_bank_begin(Exec *e, ExecBank *b)
{
    if (!exec_reloads(e))
        drop_program(e, b); /* it may read the files where they are */
}

static bool ready(Exec *e, ExecBank *b, Buf *err)
{
    if (!b->mil && !write_text(e, b, err))
        return false;
    if (!b->file)
        collect_files(e, b);
    return true;
}

bool exec_bank_end(Exec *e, ExecBank *b, Buf *err)
{
    bool     again = b->compiled != NULL, ok = ready(e, b, err);
    Program *p = !ok     ? NULL
                 : again ? program_reload(b->compiled, b->name, b->file, b->files, err)
                         : program_compile(e->device, b->name, b->mil, b->mil_len, b->file, b->files, err);
    if (ok && !p && b->units > 1)
        buf_printf(err, "%s holds %u programs of the plan as its functions; --print-banks DIR writes it, and --functions 1 "
                        "compiles each by itself\n", b->name, (unsigned)b->units);
    ok = p && (again || check_functions(e, b, p, err));
    drop_program(e, b);
    if (!ok) {
        program_free(p);
        return exec_not_made(e);
    }
    b->compiled = p;
    e->counters.compiles += !again;
    e->counters.reloads += again;
    for (uint32_t i = 0; i < b->units; i++)
        b->unbound = b->unbound || !exec_surfaces_fit(e, &e->unit[b->unit[i]]);
    return b->unbound || bind(e, b, err);
}

static bool equal_files(const DeviceFile *x, const DeviceFile *y)
{
    return x->data == y->data || (x->len == y->len && memcmp(x->data, y->data, x->len) == 0);
}

Program *exec_bank_twin(Exec *e, const Unit *u, const DeviceFile *own, const char *name, bool reload, Buf *err)
{
    const ExecBank *b = &e->bank[u->bank];
    Arena          *a = arena_new();
    DeviceFile     *file = NEW_N(a, DeviceFile, b->files + 1u);
    memcpy(file, b->file, b->files * sizeof *file);
    for (uint32_t i = 0; i < b->files; i++)
        for (uint32_t w = 0; w < u->weights; w++)
            if (equal_files(&b->file[i], &u->file[w])) { /* as after an update: what was equal stays so */
                file[i] = own[w];
                file[i].path = b->file[i].path;
            }
    Program *p = reload ? program_reload(b->compiled, name, file, b->files, err)
                        : program_compile(e->device, name, b->mil, b->mil_len, file, b->files, err);
    arena_free(a);
    return p;
}

/* ---- for people ---- */

static bool write_banks(Exec *e, Arena *a, const char *dir, Buf *list, Buf *err)
{
    char why[FILE_ERR_MAX];
    for (uint32_t i = 0; i < e->banks; i++) {
        ExecBank   *b = &e->bank[i];
        const char *name = arena_printf(a, "bank%03u.mil", (unsigned)i);
        if (!b->mil && !write_text(e, b, err))
            return false;
        if (!file_write(path_join(a, dir, name), b->mil, b->mil_len, why)) {
            buf_puts(err, why);
            return false;
        }
        for (uint32_t k = 0; k < b->units; k++) {
            const Unit        *u = &e->unit[b->unit[k]];
            const PlanProgram *g = &e->plan->program[u->program];
            buf_printf(list, "%s %s %s", name, b->units > 1 ? arena_printf(a, "procedure%03u", (unsigned)k) : "main", g->name);
            if (g->n > 1)
                buf_printf(list, " %d", g->first + (int)u->k);
            buf_putc(list, '\n');
        }
    }
    if (file_write(path_join(a, dir, "banks.txt"), list->data ? list->data : "", list->len, why))
        return true;
    buf_puts(err, why);
    return false;
}

bool exec_write_banks(Exec *e, const char *dir, Buf *err)
{
    Arena *a = arena_new();
    Buf    list = {0};
    char   why[FILE_ERR_MAX];
    bool   ok = !path_exists(dir);
    if (!ok)
        buf_printf(err, "'%s' exists already: name a new directory", dir);
    else if (!(ok = dir_make(dir, why)))
        buf_puts(err, why);
    for (int trained = 1; trained >= 0; trained--)
        for (uint32_t i = 0; ok && i < e->plan->entries; i++)
            if (trained == (e->plan->train_entry && strcmp(e->plan->entry[i].name, e->plan->train_entry) == 0))
                exec_form_banks(e, i, EXEC_FORWARD | EXEC_BACKWARD);
    ok = ok && write_banks(e, a, dir, &list, err);
    buf_free(&list);
    arena_free(a);
    return ok;
}
