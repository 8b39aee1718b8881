/* cmd_check.c: `anec check`: read a model, say what is wrong with it, or in a few lines what it is.
 *
 * The passes run as well, without their result: what cannot be differentiated or placed is wrong too. */
#include "cmd.h"
#include "ir/text.h"
#include "passes/passes.h"
#include "passes/range.h"

#include <string.h>

enum { OPT_RANGES = 256 };

static const Option options[] = {
    {'d', "dump", NULL, "print the graphs"},
    {OPT_RANGES, "ranges", NULL, "print how large the engine's numbers are, and whether fp16 holds them"},
    {'q', "quiet", NULL, "no summary"},
    MODEL_OPTIONS,
};
const CommandOptions cmd_check_options = {options, COUNT(options)};

static int help(void)
{
    printf("anec check [options] FILE: check a model\n\n");
    options_help(stdout, options, COUNT(options));
    return EXIT_OK;
}

/* 7079424 as 7,079,424. */
static void print_count(Buf *b, int64_t n)
{
    char digits[32];
    int len = snprintf(digits, sizeof digits, "%lld", (long long)n);
    for (int i = 0; i < len; i++)
        buf_printf(b, "%s%c", i && (len - i) % 3 == 0 ? "," : "", digits[i]);
}

static void print_graph(Buf *b, const Module *m, const Graph *g)
{
    buf_printf(b, "%u values", g->count - 1);
    for (uint32_t i = 1; i < g->count; i++) {
        const Node *n = &g->node[i];
        if (n->op == OP_repeat)
            buf_printf(b, ", %d x %s of %u values", n->a.repeat.n, interned(m->strings, n->name),
                   m->graph[n->a.repeat.graph]->count - 1);
    }
    buf_printf(b, "\n");
}

static void summary(Buf *b, const Module *m)
{
    int64_t params = 0, frozen = 0, states = 0;
    for (uint32_t i = 0; i < m->params; i++) {
        params += shape_numel(m->param[i].type.shape);
        frozen += m->param[i].frozen ? shape_numel(m->param[i].type.shape) : 0;
    }
    for (uint32_t i = 0; i < m->states; i++)
        states += shape_numel(m->state[i].type.shape);
    buf_printf(b, "model %s\n", interned(m->strings, m->name));
    for (uint32_t i = 0; i < m->configs; i++)
        buf_printf(b, "%s%s = %s%s", i ? ", " : "  config: ", interned(m->strings, m->config[i].name),
               interned(m->strings, m->config[i].value), i + 1 == m->configs ? "\n" : "");
    buf_printf(b, "  parameters: ");
    print_count(b, params);
    buf_printf(b, " in %u tensors", m->params);
    if (frozen) {
        buf_printf(b, ", ");
        print_count(b, frozen);
        buf_printf(b, " frozen");
    }
    buf_printf(b, "\n");
    if (states) {
        buf_printf(b, "  states: ");
        print_count(b, states);
        buf_printf(b, " elements in %u tensors\n", m->states);
    }
    for (uint32_t i = 0; i < m->entries; i++) {
        buf_printf(b, "  entry %s%s: ", interned(m->strings, m->entry[i].name),
               m->entry[i].name == m->train_entry ? " (trained)" : "");
        print_graph(b, m, m->graph[m->entry[i].graph]);
    }
}

int cmd_check(int argc, char **argv)
{
    OptionReader r = {
        .program = "anec check", .option = options, .options = COUNT(options), .argc = argc, .argv = argv};
    ModelInput in;
    const char *path = NULL;
    Buf out = {0};
    bool json = false, quiet = false, dump = false, ranges = false;
    int status = EXIT_USAGE;
    model_input_init(&in, "anec");
    for (int o; (o = option_next(&r)) != OPTION_END;)
        switch (o) {
        MODEL_CASES:
            if (!model_option(&in, o, r.value)) {
                status = in.status;
                goto done;
            }
            break;
        case 'j':
            json = true;
            break;
        case 'd':
            dump = true;
            break;
        case OPT_RANGES:
            ranges = true;
            break;
        case 'q':
            quiet = true;
            break;
        case 'h':
            status = help();
            goto done;
        case OPTION_OPERAND:
            if (path) {
                usage_error("anec check", NULL, NULL, "one file at a time");
                goto done;
            }
            path = r.value;
            break;
        default:
            goto done;
        }
    if (!path) {
        usage_error("anec check", NULL, NULL, "which file? see anec check --help");
        goto done;
    }
    Module *m = model_compile(&in, path);
    bool    ok = m && module_verify(m, "elaboration", in.diags);
    if (ok && dump)
        module_print(m, &out);
    else if (ok && !quiet && !json && !ranges)
        summary(&out, m);
    ok = ok && passes_run(m, &(PassOptions){.diags = in.diags});
    if (ok) {
        Ranges *found = ranges_of(in.arena, m);
        ranges_warn(found, in.diags);
        if (ranges && !json)
            ranges_print(found, &out);
    }
    status = finish(in.diags, json);
    if (ok && out.len)
        fwrite(out.data, 1, out.len, stdout);
done:
    buf_free(&out);
    arena_free(in.arena);
    return status;
}
