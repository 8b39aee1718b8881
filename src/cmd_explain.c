/* cmd_explain.c: `anec explain PLAN`: what a plan does and what it is predicted to cost, on every target; `--fit`: how well
 * the predictions reproduce what is published. */
#include "cmd.h"
#include "explain/analyse.h"
#include "explain/html.h"
#include "target/points.h"

#include "base/file.h"

#include <math.h>
#include <string.h>

enum { OPT_FIT = 256, OPT_HTML };

static const Option options[] = {
    {'t', "target", "NAME|FILE", "predict for this target only"},
    {'I', "include", "DIR", "look for target profiles here, before the standard places"},
    {'j', "json", NULL, "everything as JSON"},
    {OPT_HTML, "html", "FILE", "a page with pictures and every program beside its source instead; - is standard output"},
    {OPT_FIT, "fit", NULL, "no plan: the published times the predictions were fitted to, and what is predicted"},
    {'h', "help", NULL, "this text"},
};
const CommandOptions cmd_explain_options = {options, COUNT(options)};

static int help(void)
{
    printf("anec explain [options] PLAN: the programs of a plan, what crosses their borders,\n"
           "what they are predicted to cost\n\n");
    options_help(stdout, options, COUNT(options));
    return EXIT_OK;
}

/* Profiles that say where work is placed stand for a convention, not for an engine. */
static bool is_convention(const Target *t)
{
    return t->residual == WHERE_CPU || t->norm_backward == WHERE_CPU || t->cut_branches || t->cut_attention_backward;
}

/* The targets to predict for: the one of the options, or all engines. A plan's own target that is a file of the user's is
 * not among the latter. */
static const Target **targets(ModelInput *in, uint32_t *count)
{
    const char   *only[] = {in->target, NULL};
    const char  **name = in->target ? only : targets_find(in->arena, model_targets(in));
    uint32_t      n = 0;
    while (name[n])
        n++;
    const Target **t = NEW_N(in->arena, const Target *, n + 1);
    *count = 0;
    for (uint32_t i = 0; i < n; i++) {
        t[*count] = target_load(in->arena, in->sources, name[i], model_targets(in), in->diags);
        if (!t[*count])
            return NULL;
        *count += in->target != NULL || !is_convention(t[*count]);
    }
    return t;
}

typedef enum { AS_TEXT, AS_JSON, AS_HTML } Form;

/* A page is a file, which is there as a whole or not at all; everything else goes to standard output. */
static bool put_out(const Buf *b, const char *file, Buf *err)
{
    char why[FILE_ERR_MAX];
    if (!file || strcmp(file, "-") == 0)
        return fwrite(b->data, 1, b->len, stdout) == b->len;
    if (file_write_atomic(file, b->data, b->len, why))
        return true;
    buf_puts(err, why);
    return false;
}

static int explain(ModelInput *in, const char *path, Form form, const char *file)
{
    Buf            b = {0}, page = {0}, err = {0};
    char           hash[HASH_HEX];
    uint32_t       n;
    const Target **t = targets(in, &n);
    if (!t)
        return finish(in->diags, false);
    Plan     *p = plan_open(in->arena, path, hash, &err);
    Analysis *x = p ? plan_analyse(in->arena, p, path, hash, t, n, &err) : NULL;
    if (x)
        (form == AS_JSON ? explain_json : explain_text)(in->arena, x, &b);
    bool ok = x != NULL && (form != AS_HTML || plan_html(in->arena, path, p, b.data, &page, &err));
    ok = ok && put_out(form == AS_HTML ? &page : &b, file, &err);
    if (!ok)
        fprintf(stderr, "anec explain: %s\n", err.len ? err.data : "standard output cannot be written");
    buf_free(&b);
    buf_free(&page);
    buf_free(&err);
    return ok ? EXIT_OK : EXIT_INPUT;
}

/* ---- the fit ---- */

static bool fit_rows(ModelInput *in, const Points *all, bool left_out, Buf *out)
{
    for (uint32_t i = 0; i < all->points; i++) {
        const Point *p = &all->point[i];
        char         range[48];
        if ((p->left_out != NULL) != left_out)
            continue;
        const Target *t = target_load(in->arena, in->sources, p->target, model_targets(in), in->diags);
        if (!t)
            return false;
        double ms = point_predicted(p, t), error = 100 * point_error(p, ms);
        snprintf(range, sizeof range, p->low == p->high ? "%g" : "%g to %g", p->low, p->high);
        buf_printf(out, "  %-56s  %-7s  %12s  %10.4g  %+6.1f %%\n", p->name, p->target, range, ms, fabs(error) < 0.05 ? 0 : error);
        if (left_out)
            buf_printf(out, "      left out: %s\n", p->left_out);
    }
    return true;
}

static int fit(ModelInput *in)
{
    TargetPath  where = model_targets(in);
    const char *path = NULL;
    Points      all = {0};
    Buf         b = {0};
    for (uint32_t i = 0; i < where.dirs && !path; i++) {
        const char *p = arena_printf(in->arena, "%s/targets/published.points", where.dir[i]);
        path = path_exists(p) ? p : NULL;
    }
    bool ok = points_read(in->arena, in->sources, path ? path : "targets/published.points", in->diags, &all);
    buf_printf(&b, "published and predicted times of the engine, in ms; of a range, the error is that to its nearer end\n\n"
                   "  %-56s  %-7s  %12s  %10s  %8s\n", "what", "target", "published", "predicted", "error");
    ok = ok && fit_rows(in, &all, false, &b);
    buf_puts(&b, "\nleft out, because other published figures contradict them\n\n");
    ok = ok && fit_rows(in, &all, true, &b);
    int status = finish(in->diags, false);
    if (ok && status == EXIT_OK)
        fwrite(b.data, 1, b.len, stdout);
    buf_free(&b);
    return status;
}

int cmd_explain(int argc, char **argv)
{
    OptionReader r = {.program = "anec explain", .option = options, .options = COUNT(options), .argc = argc, .argv = argv};
    ModelInput   in;
    const char  *path = NULL, *page = NULL;
    bool         json = false, want_fit = false;
    int          status = EXIT_USAGE;
    model_input_init(&in, "anec");
    for (int o; (o = option_next(&r)) != OPTION_END;)
        switch (o) {
        case 't':
        case 'I':
            if (!model_option(&in, o, r.value)) {
                status = in.status;
                goto done;
            }
            break;
        case 'j': json = true; break;
        case OPT_HTML: page = r.value; break;
        case OPT_FIT: want_fit = true; break;
        case 'h': status = help(); goto done;
        case OPTION_OPERAND:
            if (path) {
                usage_error("anec explain", NULL, NULL, "one plan at a time: '%s' and '%s'", path, r.value);
                goto done;
            }
            path = r.value;
            break;
        default: goto done;
        }
    if (want_fit == (path != NULL))
        usage_error("anec explain", NULL, NULL, path ? "--fit is about no plan" : "which plan? see anec explain --help");
    else if (json + (page != NULL) + want_fit > 1)
        usage_error("anec explain", NULL, NULL, "--json, --html and --fit exclude each other");
    else
        status = want_fit ? fit(&in) : explain(&in, path, page ? AS_HTML : json ? AS_JSON : AS_TEXT, page);
done:
    arena_free(in.arena);
    return status;
}
