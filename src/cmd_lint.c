/* cmd_lint.c: `anec lint`: the engine's rules on any MIL text, on every text of a plan, and the table itself. */
#include "cmd.h"

#include "base/file.h"
#include "lint/lint.h"

#include <string.h>

enum { OPT_WEIGHTS = 256, OPT_ALLOW, OPT_ENABLE, OPT_DISABLE, OPT_LIST, OPT_EXPLAIN };

static const Option options[] = {
    {'t', "target", "NAME|FILE", "the engine to check for (default any, or the plan's); help lists those known"},
    {'I', "include", "DIR", "look for targets/NAME.target here, before the standard places"},
    {OPT_WEIGHTS, "weights", "DIR", "the directory @model_path stands for: weight files are read and checked too"},
    {OPT_ALLOW, "allow", "OP", "let an operation pass that the target is not known to run"},
    {OPT_ENABLE, "enable", "RULE", "check a rule that is off by default"},
    {OPT_DISABLE, "disable", "RULE", "leave a rule out"},
    {OPT_LIST, "list", NULL, "print the table of rules"},
    {OPT_EXPLAIN, "explain", "RULE", "print one rule in full"},
    {'j', "json", NULL, "messages (or the table) as JSON on standard output"},
    {'h', "help", NULL, "this text"},
};
const CommandOptions cmd_lint_options = {options, COUNT(options)};

typedef struct {
    ModelInput   in; /* arena, sources, diagnostics; where target profiles are */
    LintOptions  options;
    const char **allow, **path;
    uint32_t     allow_cap, paths, path_cap;
    const char  *weights;
} Job;

static int help(void)
{
    printf("anec lint [options] FILE.mil|PLAN...: check MIL text against what engines are\n"
           "known to accept\n\n");
    options_help(stdout, options, COUNT(options));
    return EXIT_OK;
}

static bool set_level(Job *j, const char *id, RuleLevel level)
{
    uint32_t rule = rule_find(id);
    if (!rule) {
        usage_error("anec lint", NULL, NULL, "there is no rule '%s' (see anec lint --list)", id);
        return false;
    }
    if (level == LEVEL_WARNING && rule_info[rule].level != LEVEL_OFF)
        level = rule_info[rule].level;
    j->options.level[rule] = (unsigned char)(level + 1);
    return true;
}

/* ---- weight files --------------------------------------------------------------------------------------------- */

/* The files below --weights that the text names. What is missing is told by the rule about it. */
static MilFile *read_weights(Job *j, const char *text, size_t len, uint32_t *count)
{
    static const char start[] = "\"@model_path/";
    MilFile          *file = NULL;
    uint32_t          cap = 0;
    *count = 0;
    for (const char *p = text, *end; (size_t)(text + len - p) >= sizeof start; p++) {
        if (memcmp(p, start, sizeof start - 1) != 0 || !(end = memchr(p + 1, '"', (size_t)(text + len - p - 1))))
            continue;
        const char *path = arena_strndup(j->in.arena, p + 1, (size_t)(end - p - 1)), *below = path + sizeof start - 2;
        char        why[FILE_ERR_MAX], *data;
        size_t      bytes;
        bool        known = false;
        for (uint32_t i = 0; i < *count; i++)
            known |= strcmp(file[i].path, path) == 0;
        if (!known && path_is_tame(below) &&
            file_read(j->in.arena, path_join(j->in.arena, j->weights, below), &data, &bytes, why)) {
            GROW(j->in.arena, file, *count, cap);
            file[(*count)++] = (MilFile){path, data, bytes};
        }
        p = end;
    }
    return file;
}

static void lint_file(Job *j, const char *path)
{
    char     why[FILE_ERR_MAX], *text;
    size_t   len;
    uint32_t files = 0;
    if (!file_read(j->in.arena, path, &text, &len, why)) {
        diag_error(j->in.diags, "E0001", (Span){0}, "%s", why);
        return;
    }
    MilFile *file = j->weights ? read_weights(j, text, len, &files) : NULL;
    j->options.all_files = j->weights != NULL;
    lint_mil(j->in.arena, &j->options, j->in.diags, sources_add(j->in.sources, path, text, len), file, files, NULL);
}

/* A plan is checked for the target it was compiled for, unless another one was asked for, or it was a file of the
 * user's that plans do not name. */
static void lint_directory(Job *j, const char *dir)
{
    LintOptions o = j->options;
    Buf         err = {0};
    Plan       *p = j->in.target ? NULL : plan_open(j->in.arena, dir, NULL, &err);
    TargetPath  known = model_targets(&j->in);
    const char *file = p ? arena_printf(j->in.arena, "targets/%s.target", p->target) : NULL;
    for (uint32_t i = 0; file && i < known.dirs; i++)
        if (path_exists(path_join(j->in.arena, known.dir[i], file))) {
            const Target *t = target_load(j->in.arena, j->in.sources, p->target, known, j->in.diags);
            o.target = t ? t : o.target;
            break;
        }
    buf_free(&err); /* what is wrong with the plan is told below */
    lint_plan(j->in.arena, &o, j->in.sources, j->in.diags, dir);
}

static int lint_all(Job *j, bool json)
{
    if (!(j->options.target = model_target(&j->in)))
        return finish(j->in.diags, json);
    j->options.allow = j->allow;
    for (uint32_t i = 0; i < j->paths; i++)
        if (path_is_dir(j->path[i]))
            lint_directory(j, j->path[i]);
        else
            lint_file(j, j->path[i]);
    return finish(j->in.diags, json);
}

/* ---- the command ---------------------------------------------------------------------------------------------- */

static int print_table(bool json)
{
    Buf b = {0};
    if (json)
        rules_list_json(&b);
    else
        rules_list(&b);
    fwrite(b.data, 1, b.len, stdout);
    buf_free(&b);
    return EXIT_OK;
}

static int explain(const char *id)
{
    uint32_t rule = rule_find(id);
    Buf      b = {0};
    if (!rule)
        return usage_error("anec lint", NULL, NULL, "there is no rule '%s' (see anec lint --list)", id);
    rule_explain(rule, &b);
    fwrite(b.data, 1, b.len, stdout);
    buf_free(&b);
    return EXIT_OK;
}

static int run(Job *j, int argc, char **argv)
{
    OptionReader r = {.program = "anec lint", .option = options, .options = COUNT(options), .argc = argc, .argv = argv};
    bool         json = false, list = false;
    for (int o; (o = option_next(&r)) != OPTION_END;)
        switch (o) {
        case 't':
        case 'I':
            if (!model_option(&j->in, o, r.value))
                return EXIT_OK;
            break;
        case OPT_WEIGHTS: j->weights = r.value; break;
        case OPT_ALLOW:
            GROW(j->in.arena, j->allow, j->options.allows, j->allow_cap);
            j->allow[j->options.allows++] = r.value;
            break;
        case OPT_ENABLE:
        case OPT_DISABLE:
            if (!set_level(j, r.value, o == OPT_ENABLE ? LEVEL_WARNING : LEVEL_OFF))
                return EXIT_USAGE;
            break;
        case OPT_LIST: list = true; break;
        case OPT_EXPLAIN: return explain(r.value);
        case 'j': json = true; break;
        case 'h': return help();
        case OPTION_OPERAND:
            GROW(j->in.arena, j->path, j->paths, j->path_cap);
            j->path[j->paths++] = r.value;
            break;
        default: return EXIT_USAGE;
        }
    if (list)
        return print_table(json);
    if (j->paths == 0)
        return usage_error("anec lint", NULL, NULL, "which file? see anec lint --help");
    return lint_all(j, json);
}

int cmd_lint(int argc, char **argv)
{
    enum { MANY = 200 };
    Job j = {0};
    model_input_init(&j.in, "anec");
    j.in.diags->limit = MANY;
    int status = run(&j, argc, argv);
    arena_free(j.in.arena);
    return status;
}
