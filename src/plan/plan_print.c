/* plan_print.c: a plan as text.
 *
 * One fact a line, in a fixed order, so that two plans can be compared with diff. The text depends on nothing but the
 * Plan: plan_parse() of it gives an equal plan, and printing that gives the same bytes. The language is described in
 * docs/plan.md. */
#include "plan/plan_ops.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

const char *const plan_weight_mode_name[PLAN_WEIGHT_MODES] = {"baked", "dynamic", "reload", "mixed"};

/* ---- words ---- */

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static bool is_word_char(char c)
{
    return is_letter(c) || (c >= '0' && c <= '9') || c == '.' || c == '/' || c == '{' || c == '}';
}

bool plan_name_is_bare(const char *name)
{
    /* Words that mean something where a name may stand. */
    static const char *const reserved[] = {"param", "grad", "state", "table", "T", "inf", "nan", "scalar"};
    if (!is_letter(*name))
        return false;
    for (size_t i = 0; i < COUNT(reserved); i++)
        if (strcmp(name, reserved[i]) == 0)
            return false;
    for (const char *s = name; *s; s++)
        if (!is_word_char(*s))
            return false;
    return true;
}

static void quoted(const char *s, Buf *out)
{
    buf_putc(out, '"');
    for (; *s; s++) {
        unsigned char c = (unsigned char)*s;
        if (c == '"' || c == '\\')
            buf_printf(out, "\\%c", c);
        else if (c == '\n')
            buf_puts(out, "\\n");
        else if (c == '\t')
            buf_puts(out, "\\t");
        else if (c < 0x20 || c == 0x7f)
            buf_printf(out, "\\x%02x", c);
        else
            buf_putc(out, (char)c);
    }
    buf_putc(out, '"');
}

void plan_name_print(const char *name, Buf *out)
{
    if (plan_name_is_bare(name))
        buf_puts(out, name);
    else
        quoted(name, out);
}

/* A value of a setting: bare if it is one word of letters, digits and - + . / _ { }. */
static void value_print(const char *s, Buf *out)
{
    bool bare = *s != 0;
    for (const char *t = s; bare && *t; t++)
        bare = is_word_char(*t) || *t == '-' || *t == '+';
    bare ? buf_puts(out, s) : quoted(s, out);
}

void plan_shape_print(PlanShape s, Buf *out)
{
    if (s.rank == 0)
        buf_puts(out, "scalar");
    for (uint32_t i = 0; i < s.rank && i < PLAN_MAX_RANK; i++)
        buf_printf(out, "%s%" PRId32, i ? "x" : "", s.dim[i]);
}

static void space_shape(PlanShape s, Buf *out)
{
    buf_putc(out, ' ');
    plan_shape_print(s, out);
}

/* ---- leaves ---- */

/* "layers.{L}.w" as "layers.{0..4}.w" */
static void group_print(const char *what, const char *pattern, int32_t first, int32_t n, Buf *out)
{
    Buf         t = {0};
    const char *hole = strstr(pattern, "{L}");
    buf_add(&t, pattern, hole ? (size_t)(hole - pattern) : strlen(pattern));
    if (hole)
        buf_printf(&t, "{%" PRId32 "..%" PRId32 "}%s", first, first + (n - 1), hole + 3);
    buf_printf(out, "\n%s ", what);
    plan_name_print(t.data ? t.data : "", out);
    buf_puts(out, " {\n");
    buf_free(&t);
}

static void init_print(PlanInit i, Buf *out)
{
    static const char *const name[] = {"zeros", "ones", "value", "normal", "uniform"};
    static const int         numbers[] = {0, 0, 1, 1, 2};
    buf_printf(out, "  init %s", name[i.kind]);
    for (int k = 0; k < numbers[i.kind]; k++) {
        buf_putc(out, ' ');
        buf_double(out, k ? i.b : i.a);
    }
    buf_putc(out, '\n');
}

static void param_print(const Plan *plan, const PlanParam *p, Buf *out)
{
    group_print("param", p->pattern, p->first, p->n, out);
    buf_puts(out, "  shape");
    space_shape(p->shape, out);
    buf_putc(out, '\n');
    init_print(p->init, out);
    buf_printf(out, "  decay %s\n", p->decay ? "yes" : "no");
    if (p->frozen)
        buf_puts(out, "  frozen yes\n");
    if (p->lr != 1) {
        buf_puts(out, "  lr ");
        buf_double(out, p->lr);
        buf_putc(out, '\n');
    }
    if (p->import) {
        buf_puts(out, "  import ");
        plan_name_print(p->import, out);
        if (p->import_transpose)
            buf_puts(out, " transpose");
        if (p->import_rows[0] || p->import_rows[1])
            buf_printf(out, " rows %" PRId32 " %" PRId32, p->import_rows[0], p->import_rows[1]);
        buf_putc(out, '\n');
    }
    if (p->merge) {
        buf_puts(out, "  merge ");
        plan_recipe_print(plan, p->merge, out);
        buf_putc(out, '\n');
    }
    if (p->adapter)
        buf_puts(out, "  adapter yes\n");
    buf_puts(out, "}\n");
}

static void state_print(const PlanState *s, Buf *out)
{
    group_print("state", s->pattern, s->first, s->n, out);
    buf_printf(out, "  shape %s", plan_type_name[s->type]);
    space_shape(s->shape, out);
    buf_putc(out, '\n');
    init_print(s->init, out);
    buf_puts(out, "}\n");
}

/* A table is named by its name where no other table has it, else by its hash. */
void plan_table_ref_print(const Plan *p, uint32_t index, Buf *out)
{
    const char *name = index < p->tables ? p->table[index].name : "?";
    uint32_t    same = 0;
    for (uint32_t i = 0; i < p->tables; i++)
        same += strcmp(p->table[i].name, name) == 0 || strcmp(p->table[i].hash, name) == 0;
    buf_puts(out, "table ");
    if (same == 1)
        plan_name_print(name, out);
    else
        value_print(index < p->tables ? p->table[index].hash : "?", out);
}

/* ---- programs ---- */

static void port_print(const char *what, const PlanPort *port, Buf *out)
{
    buf_printf(out, "  %s ", what);
    plan_name_print(port->name, out);
    space_shape(port->shape, out);
    buf_putc(out, '\n');
    for (uint32_t i = 0; i < port->parts; i++) {
        buf_puts(out, "    part ");
        plan_name_print(port->part[i].name, out);
        buf_printf(out, " channels %" PRIu32 " %" PRIu32 " shape", port->part[i].channel, port->part[i].channels);
        space_shape(port->part[i].shape, out);
        buf_putc(out, '\n');
    }
}

static void program_print(const Plan *p, const PlanProgram *g, Buf *out)
{
    buf_puts(out, "\nprogram ");
    plan_name_print(g->name, out);
    buf_puts(out, " {\n  mil ");
    plan_name_print(g->mil, out);
    buf_putc(out, ' ');
    value_print(g->mil_hash, out);
    buf_putc(out, '\n');
    if (g->first != 0 || g->n != 1)
        buf_printf(out, "  instances %" PRId32 " %" PRId32 "\n", g->first, g->n);
    for (uint32_t i = 0; i < g->ins; i++)
        port_print("in", &g->in[i], out);
    for (uint32_t i = 0; i < g->outs; i++)
        port_print("out", &g->out[i], out);
    for (uint32_t i = 0; i < g->weights; i++) {
        buf_puts(out, "  weight ");
        plan_name_print(g->weight[i].path, out);
        space_shape(g->weight[i].shape, out);
        buf_puts(out, " = ");
        plan_recipe_print(p, g->weight[i].recipe, out);
        buf_putc(out, '\n');
    }
    buf_puts(out, "}\n");
}

/* ---- steps ---- */

uint64_t plan_channel_width(const Plan *p, uint32_t buffer)
{
    const PlanBuffer *b = buffer < p->buffers ? &p->buffer[buffer] : NULL;
    return b && b->kind == BUF_SURFACE && b->shape.rank == 4 && b->shape.dim[3] > 0 ? (uint64_t)b->shape.dim[3] : 0;
}

static void ref_print(const Plan *p, const Ref *r, Buf *out)
{
    switch (r->kind) {
    case REF_BUFFER: plan_name_print(r->index < p->buffers ? p->buffer[r->index].name : "?", out); break;
    case REF_PARAM:
    case REF_GRAD:
    case REF_STATE:
        buf_puts(out, r->kind == REF_PARAM ? "param " : r->kind == REF_GRAD ? "grad " : "state ");
        plan_name_print(r->pattern, out);
        break;
    case REF_TABLE: plan_table_ref_print(p, r->index, out); break;
    case REF_SPLAT: buf_double(out, r->splat); break;
    }
    if (r->kind == REF_BUFFER && r->stacked)
        buf_puts(out, "[L]");
    if (r->kind == REF_BUFFER && r->offset) { /* in a surface people think of channels */
        uint64_t width = plan_channel_width(p, r->index);
        if (width && r->offset % width == 0)
            buf_printf(out, "@%" PRIu64, r->offset / width);
        else
            buf_printf(out, "+%" PRIu64, r->offset);
    }
    buf_putc(out, ':');
    plan_shape_print(r->shape, out);
}

static void refs_print(const Plan *p, const Ref *r, uint32_t n, Buf *out)
{
    for (uint32_t i = 0; i < n; i++) {
        buf_puts(out, i ? ", " : " ");
        ref_print(p, &r[i], out);
    }
}

static void ints_print(const char *word, const int32_t *v, uint32_t n, Buf *out)
{
    buf_printf(out, " %s", word);
    for (uint32_t i = 0; i < n; i++)
        buf_printf(out, " %" PRId32, v[i]);
}

static void attr_print(const Step *s, Buf *out)
{
    const PlanOp *op = plan_op(s->op);
    uint32_t      rank = s->ins && s->in[0].shape.rank <= PLAN_MAX_RANK ? s->in[0].shape.rank : 0;
    switch (op ? op->attr : ATTR_NONE) {
    case ATTR_NONE: break;
    case ATTR_MATMUL: buf_printf(out, "%s%s", s->a.ta ? " ta" : "", s->a.tb ? " tb" : ""); break;
    case ATTR_AXIS: buf_printf(out, " axis %" PRId32, s->a.axis); break;
    case ATTR_AXES:
        buf_puts(out, " axes");
        for (uint32_t i = 0; i < 32; i++)
            if (s->a.axes >> i & 1)
                buf_printf(out, " %" PRIu32, i);
        break;
    case ATTR_PERM: ints_print("perm", s->a.perm, rank, out); break;
    case ATTR_SLICE:
        ints_print("from", s->a.begin, rank, out);
        ints_print("to", s->a.end, rank, out);
        break;
    case ATTR_PAD:
        ints_print("before", s->a.lo, rank, out);
        ints_print("after", s->a.hi, rank, out);
        break;
    case ATTR_POWC:
        buf_puts(out, " exponent ");
        buf_double(out, s->a.c);
        break;
    case ATTR_CMP: buf_printf(out, " %s", s->a.cmp < COUNT(plan_cmp_name) ? plan_cmp_name[s->a.cmp] : "?"); break;
    }
}

void plan_step_print(const Plan *p, const Step *s, Buf *out)
{
    switch (s->kind) {
    case STEP_LOOP:
        buf_printf(out, "loop L %" PRId32 " %" PRId32 "%s {", s->first, s->n, s->reverse ? " reverse" : "");
        return;
    case STEP_OP: buf_puts(out, s->op); break;
    case STEP_MOVE: buf_puts(out, "move"); break;
    case STEP_RUN:
        buf_puts(out, "run ");
        plan_name_print(s->program < p->programs ? p->program[s->program].name : "?", out);
        break;
    }
    refs_print(p, s->out, s->outs, out);
    buf_puts(out, " <-");
    refs_print(p, s->in, s->ins, out);
    if (s->kind == STEP_OP)
        attr_print(s, out);
}

static void steps_print(const Plan *p, const Step *s, uint32_t n, int indent, Buf *out)
{
    for (uint32_t i = 0; i < n; i++) {
        buf_printf(out, "%*s", indent, "");
        plan_step_print(p, &s[i], out);
        buf_putc(out, '\n');
        if (s[i].kind == STEP_LOOP) {
            steps_print(p, s[i].body, s[i].bodies, indent + 2, out);
            buf_printf(out, "%*s}\n", indent, "");
        }
    }
}

static void entry_print(const Plan *p, const PlanEntry *e, Buf *out)
{
    static const char *const kind[] = {"token", "real", "int", "loss_scale"};
    buf_puts(out, "\nentry ");
    plan_name_print(e->name, out);
    buf_puts(out, " {\n");
    for (uint32_t i = 0; i < e->inputs; i++) {
        const PlanInput *in = &e->input[i];
        buf_puts(out, "  input ");
        plan_name_print(in->name, out);
        buf_printf(out, " %s ", kind[in->kind]);
        plan_name_print(in->buffer < p->buffers ? p->buffer[in->buffer].name : "?", out);
        if (in->kind == IN_TOKENS)
            buf_printf(out, " vocab %" PRId32, in->vocab);
        buf_putc(out, '\n');
    }
    for (uint32_t i = 0; i < e->results; i++) {
        buf_puts(out, "  result ");
        plan_name_print(e->result[i].name, out);
        buf_putc(out, ' ');
        plan_name_print(e->result[i].buffer < p->buffers ? p->buffer[e->result[i].buffer].name : "?", out);
        buf_putc(out, '\n');
    }
    buf_puts(out, "  forward {\n");
    steps_print(p, e->forward, e->forwards, 4, out);
    buf_puts(out, "  }\n");
    if (e->backwards) {
        buf_puts(out, "  backward {\n");
        steps_print(p, e->backward, e->backwards, 4, out);
        buf_puts(out, "  }\n");
    }
    if (e->updates) {
        buf_puts(out, "  update {\n");
        steps_print(p, e->update, e->updates, 4, out);
        buf_puts(out, "  }\n");
    }
    buf_puts(out, "}\n");
}

/* ---- the whole ---- */

static void setting_print(const char *indent, const PlanSetting *s, Buf *out)
{
    buf_puts(out, indent);
    plan_name_print(s->key, out);
    buf_putc(out, ' ');
    value_print(s->value, out);
    buf_putc(out, '\n');
}

static void header_print(const char *key, const char *value, Buf *out)
{
    buf_printf(out, "%s ", key);
    value_print(value ? value : "", out);
    buf_putc(out, '\n');
}

/* An empty line before a list, if there is one. */
static void blank(uint32_t count, Buf *out)
{
    if (count)
        buf_putc(out, '\n');
}

void plan_print(const Plan *p, Buf *out)
{
    buf_printf(out, "anep %d.%d\n", PLAN_MAJOR, PLAN_MINOR);
    header_print("compiler", p->compiler, out);
    header_print("model", p->model, out);
    if (p->target_hash && *p->target_hash) {
        buf_puts(out, "target ");
        value_print(p->target, out);
        buf_printf(out, " %s\n", p->target_hash);
    } else
        header_print("target", p->target, out);
    header_print("sources", p->sources_hash, out);
    header_print("weights", plan_weight_mode_name[p->weights], out);
    if (p->compile_budget != PLAN_COMPILE_BUDGET)
        buf_printf(out, "compile_budget %lld\n", (long long)p->compile_budget);
    if (p->functions > 1)
        buf_printf(out, "functions %lld bytes %lld\n", (long long)p->functions, (long long)p->bank_bytes);
    if (p->dies > 1)
        buf_printf(out, "dies %lld\n", (long long)p->dies);
    blank(p->configs, out);
    for (uint32_t i = 0; i < p->configs; i++)
        setting_print("config ", &p->config[i], out);
    for (uint32_t i = 0; i < p->params; i++)
        param_print(p, &p->param[i], out);
    for (uint32_t i = 0; i < p->states; i++)
        state_print(&p->state[i], out);
    blank(p->tables, out);
    for (uint32_t i = 0; i < p->tables; i++) {
        buf_puts(out, "table ");
        value_print(p->table[i].hash, out);
        buf_printf(out, " %s", plan_type_name[p->table[i].type]);
        space_shape(p->table[i].shape, out);
        buf_putc(out, ' ');
        plan_name_print(p->table[i].name, out);
        buf_putc(out, '\n');
    }
    for (uint32_t i = 0; i < p->programs; i++)
        program_print(p, &p->program[i], out);
    blank(p->buffers, out);
    for (uint32_t i = 0; i < p->buffers; i++) {
        const PlanBuffer *b = &p->buffer[i];
        buf_puts(out, b->kind == BUF_SURFACE ? "surface " : b->kind == BUF_PLAIN ? "buffer " : "accumulator ");
        plan_name_print(b->name, out);
        if (b->kind == BUF_PLAIN)
            buf_printf(out, " %s", plan_type_name[b->type]);
        space_shape(b->shape, out);
        if (b->stack)
            buf_printf(out, " stack %" PRId32, b->stack);
        buf_putc(out, '\n');
    }
    for (uint32_t i = 0; i < p->stages; i++)
        plan_stage_print(p, &p->stage[i], out);
    for (uint32_t i = 0; i < p->entries; i++)
        entry_print(p, &p->entry[i], out);
    if (p->train_entry) {
        buf_puts(out, "\ntrain ");
        plan_name_print(p->train_entry, out);
        buf_puts(out, " {\n");
        for (uint32_t i = 0; i < p->trains; i++)
            setting_print("  ", &p->train[i], out);
        buf_puts(out, "}\n");
    }
}
