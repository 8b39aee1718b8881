/* cmd_gradcheck.c: `anec gradcheck MODEL`: are the gradients of this model right?
 *
 * For every parameter the generated gradient is compared in fp64 with central differences (Richardson extrapolation)
 * and, by the dot-product test, with forward-mode derivatives. The table shows the worst relative error of each. */
#include "cmd.h"
#include "ir/text.h"
#include "passes/passes.h"

#include <errno.h>
#include <stdlib.h>

enum { OPT_ENTRIES = 256, OPT_SEED, OPT_TOL_DIFF, OPT_TOL_DOT };

static const Option options[] = {
    {OPT_ENTRIES, "entries", "N", "elements of each parameter compared with differences (default 8, 0 = all)"},
    {OPT_SEED, "seed", "N", "of the random parameters and inputs (default 1)"},
    {OPT_TOL_DIFF, "tol-diff", "X", "largest relative error against differences (default 1e-6)"},
    {OPT_TOL_DOT, "tol-dot", "X", "largest relative error of the dot-product test (default 1e-10)"},
    MODEL_OPTIONS,
};
const CommandOptions cmd_gradcheck_options = {options, COUNT(options)};

static int help(void)
{
    printf("anec gradcheck [options] FILE: compare every parameter's gradient with\n"
           "independent ones; shrink large models with -D\n\n");
    options_help(stdout, options, COUNT(options));
    return EXIT_OK;
}

static bool number(const char *text, double least, double *out)
{
    char *end;
    errno = 0;
    *out = strtod(text, &end);
    if (*text && !*end && errno == 0 && *out >= least)
        return true;
    usage_error("anec gradcheck", NULL, NULL, "'%s' is not a number of at least %g", text, least);
    return false;
}

static int print_table(const Module *m, const GradcheckRow *row, uint32_t rows, const GradcheckOptions *opt)
{
    double   diff = 0, dot = 0;
    uint32_t bad = 0;
    printf("%-48s %8s %12s %12s\n", "parameter", "entries", "differences", "dot product");
    for (uint32_t i = 0; i < rows; i++) {
        bool wrong = !(row[i].worst_diff <= opt->tol_diff) || !(row[i].worst_dot <= opt->tol_dot);
        printf("%-48s %8u %12.2e %12.2e%s\n", interned(m->strings, row[i].path), row[i].entries, row[i].worst_diff,
               row[i].worst_dot, wrong ? "  WRONG" : "");
        diff = row[i].worst_diff > diff ? row[i].worst_diff : diff;
        dot = row[i].worst_dot > dot ? row[i].worst_dot : dot;
        bad += wrong;
    }
    printf("worst over %u parameters: %.2e (at most %g) and %.2e (at most %g)\n", rows, diff, opt->tol_diff, dot,
           opt->tol_dot);
    if (bad)
        printf("%u parameters have wrong gradients\n", bad);
    return bad ? EXIT_INPUT : EXIT_OK;
}

int cmd_gradcheck(int argc, char **argv)
{
    OptionReader r = {
        .program = "anec gradcheck", .option = options, .options = COUNT(options), .argc = argc, .argv = argv};
    GradcheckOptions opt = {.seed = 1, .entries = 8, .tol_diff = 1e-6, .tol_dot = 1e-10};
    ModelInput       in;
    const char      *path = NULL;
    bool             json = false;
    double           x;
    int              status = EXIT_USAGE;
    model_input_init(&in, "anec");
    for (int o; (o = option_next(&r)) != OPTION_END;)
        switch (o) {
        MODEL_CASES:
            if (!model_option(&in, o, r.value)) {
                status = in.status;
                goto done;
            }
            break;
        case OPT_ENTRIES:
            if (!number(r.value, 0, &x))
                goto done;
            opt.entries = (uint32_t)x;
            break;
        case OPT_SEED:
            if (!number(r.value, 0, &x))
                goto done;
            opt.seed = (uint64_t)x;
            break;
        case OPT_TOL_DIFF:
            if (!number(r.value, 0, &opt.tol_diff))
                goto done;
            break;
        case OPT_TOL_DOT:
            if (!number(r.value, 0, &opt.tol_dot))
                goto done;
            break;
        case 'j': json = true; break;
        case 'h': status = help(); goto done;
        case OPTION_OPERAND:
            if (path) {
                usage_error("anec gradcheck", NULL, NULL, "one model at a time");
                goto done;
            }
            path = r.value;
            break;
        default: goto done;
        }
    if (!path) {
        usage_error("anec gradcheck", NULL, NULL, "which model? see anec gradcheck --help");
        goto done;
    }
    GradcheckRow *row = NULL;
    uint32_t      rows = 0;
    Module       *m = model_compile(&in, path);
    bool          ok = m && module_verify(m, "elaborate", in.diags) && gradcheck(m, &opt, in.diags, &row, &rows);
    status = finish(in.diags, json);
    if (ok && status == EXIT_OK)
        status = print_table(m, row, rows, &opt);
    else
        status = EXIT_INPUT;
done:
    arena_free(in.arena);
    return status;
}
