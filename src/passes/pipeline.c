/* pipeline.c: run the passes of passes.def, top to bottom.
 *
 * After every pass the module is verified, so a pass that breaks the graph is named on the spot, and printed if asked
 * for. What a pass needs and leaves is data in the table and checked here. */
#include "ir/text.h"
#include "passes/pass.h"

#include <string.h>

enum { P_CHECKED = 1, P_BACKWARD = 2, P_FLAT = 4, P_NO_STOP = 8, P_TAPPED = 16, P_PLACED = 32 };

typedef struct {
    const char *name;
    PassFn     *run;
    uint32_t    needs, leaves;
    const char *help;
} Pass;

static const Pass pipeline[] = {
#define PASS(name, run, needs, leaves, help) {name, run, needs, leaves, help},
#include "passes/passes.def"
};

bool pass_exists(const char *name)
{
    for (size_t i = 0; i < COUNT(pipeline); i++)
        if (strcmp(pipeline[i].name, name) == 0)
            return true;
    return false;
}

void passes_list(FILE *out)
{
    for (size_t i = 0; i < COUNT(pipeline); i++)
        fprintf(out, "  %-10s %s\n", pipeline[i].name, pipeline[i].help);
}

static bool wants_dump(const PassOptions *opt, const Pass *p, PassResult r)
{
    switch (opt->dump) {
    case DUMP_NONE:
        return false;
    case DUMP_AFTER:
        return opt->dump_pass && strcmp(opt->dump_pass, p->name) == 0;
    case DUMP_ALL:
        return true;
    case DUMP_CHANGED:
        return r == PASS_CHANGED;
    }
    return false;
}

static void dump(const Module *m, const Pass *p, FILE *to)
{
    Buf text = {0};
    module_print(m, &text);
    fprintf(to, "# after %s\n%s", p->name, text.data ? text.data : "");
    buf_free(&text);
}

bool passes_run(Module *m, const PassOptions *opt)
{
    PassCtx  cx = {m, opt->diags, arena_new()};
    uint32_t has = 0;
    bool     ok = module_verify(m, "elaboration", opt->diags);
    for (size_t i = 0; ok && i < COUNT(pipeline); i++) {
        const Pass *p = &pipeline[i];
        if ((has & p->needs) != p->needs)
            bug("pass '%s' runs too early", p->name);
        arena_reset(cx.scratch);
        PassResult r = p->run(&cx);
        if (r == PASS_FAILED) {
            ok = false;
            break;
        }
        has |= p->leaves;
        module_collect(m, cx.scratch);
        ok = module_verify(m, p->name, opt->diags);
        if (opt->dump_to && wants_dump(opt, p, r))
            dump(m, p, opt->dump_to);
        if (opt->stop_after && strcmp(opt->stop_after, p->name) == 0)
            break;
    }
    arena_free(cx.scratch);
    return ok;
}
