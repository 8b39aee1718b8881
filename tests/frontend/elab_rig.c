/* elab_rig.c: see elab_rig.h. */
#include "elab_rig.h"

#include "base/file.h"
#include "base/rng.h"
#include "ir/text.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void add_defines(Elabed *t, const char *defines, FrontendOptions *opt)
{
    Override *o = NEW_N(t->a, Override, strlen(defines) + 1);
    char *copy = arena_strdup(t->a, defines);
    for (char *word = strtok(copy, " "); word; word = strtok(NULL, " ")) {
        char *eq = strchr(word, '=');
        *eq = 0;
        o[opt->overrides++] = (Override){word, eq + 1, arena_printf(t->a, "the command line (-D %s=%s)", word, eq + 1)};
    }
    opt->override = o;
}

Elabed elab_file(const char *path, const char *defines)
{
    static const char *search[] = {ANEL_ROOT};
    Elabed t = {.a = arena_new()};
    FrontendOptions opt = {.search = search, .searches = 1};
    t.sources = sources_new(t.a);
    t.ds = diags_new(t.a, t.sources, "anec");
    add_defines(&t, defines ? defines : "", &opt);
    t.m = frontend_compile(t.a, t.sources, path, &opt, t.ds);
    if (t.m)
        cr_assert(module_verify(t.m, "elaboration", t.ds), "%s", elab_errors(&t));
    return t;
}

Elabed elab_text(const char *text, const char *defines)
{
    char dir[] = "/tmp/anel-test-XXXXXX", path[64], err[FILE_ERR_MAX];
    cr_assert(mkdtemp(dir) != NULL);
    snprintf(path, sizeof path, "%s/t.anel", dir);
    cr_assert(file_write(path, text, strlen(text), err), "%s", err);
    Elabed t = elab_file(path, defines);
    dir_remove(dir, err);
    return t;
}

Elabed elab_ok(const char *text)
{
    Elabed t = elab_text(text, NULL);
    cr_assert(t.m != NULL, "%s", elab_errors(&t));
    return t;
}

void elab_free(Elabed *t)
{
    buf_free(&t->buf);
    arena_free(t->a);
}

const char *elab_errors(Elabed *t)
{
    buf_clear(&t->buf);
    diags_render(t->ds, &t->buf);
    return t->buf.data ? t->buf.data : "";
}

const char *elab_code(const Elabed *t)
{
    return t->ds->count ? t->ds->item[0]->code : "";
}

void elab_bad(const char *text, const char *codes, const char *part)
{
    Elabed t = elab_text(text, NULL);
    Buf got = {0};
    for (uint32_t i = 0; i < t.ds->count; i++)
        buf_printf(&got, "%s%s", i ? " " : "", t.ds->item[i]->code);
    cr_assert(t.m == NULL);
    cr_assert_str_eq(got.data ? got.data : "", codes, "expected %s, got %s:\n%s\n%s", codes, got.data, text,
                     elab_errors(&t));
    cr_assert(part == NULL || strstr(elab_errors(&t), part) != NULL, "no '%s' in:\n%s", part, elab_errors(&t));
    buf_free(&got);
    elab_free(&t);
}

void elab_init(Elabed *t)
{
    Module *m = t->m;
    t->env = (EvalEnv){.m = m, .arena = t->a};
    t->env.param = NEW_N(t->a, double *, m->params + 1);
    t->env.state = NEW_N(t->a, double *, m->states + 1);
    for (uint32_t i = 0; i < m->params; i++) {
        int64_t n = shape_numel(m->param[i].type.shape);
        uint64_t key = rng_key(0, interned(m->strings, m->param[i].path));
        t->env.param[i] = NEW_N(t->a, double, (size_t)n);
        for (int64_t k = 0; k < n; k++)
            t->env.param[i][k] =
                init_value(&m->param[i].init, key, (uint64_t)k) + 0.1 * rng_normal(key + 1, (uint64_t)k);
    }
    for (uint32_t i = 0; i < m->states; i++) {
        int64_t n = shape_numel(m->state[i].type.shape);
        t->env.state[i] = NEW_N(t->a, double, (size_t)n);
        for (int64_t k = 0; k < n; k++)
            t->env.state[i][k] = init_value(&m->state[i].init, 0, (uint64_t)k);
    }
}

const Graph *elab_graph(Elabed *t, const char *entry)
{
    const Entry *en = module_entry(t->m, entry);
    cr_assert(en != NULL, "no entry '%s'", entry);
    return t->m->graph[en->graph];
}

const double *elab_run(Elabed *t, const char *entry, const double *const *in, uint32_t n_in)
{
    const Graph *g = elab_graph(t, entry);
    Tensor *x = NEW_N(t->a, Tensor, n_in + 1), *out = NEW_N(t->a, Tensor, g->outs);
    Buf err = {0};
    cr_assert_eq(g->inputs, n_in);
    if (!t->env.m)
        elab_init(t);
    for (uint32_t i = 0; i < n_in; i++) {
        int64_t n = shape_numel(g->input[i].type.shape);
        x[i] = (Tensor){.type = g->input[i].type, .v = NEW_N(t->a, double, (size_t)n)};
        memcpy(x[i].v, in[i], (size_t)n * sizeof(double));
    }
    cr_assert(graph_eval(&t->env, g, x, out, &err), "%s", err.data);
    buf_free(&err);
    return out[0].v;
}

const double *elab_value(Elabed *t, const char *entry)
{
    return elab_run(t, entry, NULL, 0);
}

uint32_t elab_count(const Graph *g, Op op)
{
    uint32_t n = 0;
    for (uint32_t i = 1; i < g->count; i++)
        n += g->node[i].op == op;
    return n;
}

const Param *elab_param(const Elabed *t, const char *path)
{
    for (uint32_t i = 0; i < t->m->params; i++)
        if (strcmp(interned(t->m->strings, t->m->param[i].path), path) == 0)
            return &t->m->param[i];
    return NULL;
}

int64_t elab_elements(const Elabed *t)
{
    int64_t n = 0;
    for (uint32_t i = 0; i < t->m->params; i++)
        n += shape_numel(t->m->param[i].type.shape);
    return n;
}
