/* cmd_model.c: what every command that reads a model does first: collect the options of MODEL_CASES, then run the front
 * end.
 *
 * Library files and target profiles are looked for in the -I directories, then in the standard places
 * (target/where.h). */
#include "base/file.h"
#include "cmd.h"
#include "passes/switches.h"
#include "target/where.h"

#include <string.h>

void model_input_init(ModelInput *in, const char *program)
{
    *in = (ModelInput){.arena = arena_new(), .status = EXIT_USAGE};
    in->sources = sources_new(in->arena);
    in->diags = diags_new(in->arena, in->sources, program);
}

static void add_override(ModelInput *in, const char *name, const char *value, const char *origin)
{
    GROW(in->arena, in->override, in->overrides, in->overrides_cap);
    in->override[in->overrides++] = (Override){name, value, origin};
}

static const char *trimmed(Arena *a, const char *s, size_t n)
{
    while (n && (*s == ' ' || *s == '\t')) {
        s++;
        n--;
    }
    while (n && (s[n - 1] == ' ' || s[n - 1] == '\t' || s[n - 1] == '\r'))
        n--;
    return arena_strndup(a, s, n);
}

/* "name = value" into an override. */
static bool define(ModelInput *in, const char *text, size_t len, const char *origin)
{
    const char *eq = memchr(text, '=', len);
    if (!eq)
        return false;
    const char *name = trimmed(in->arena, text, (size_t)(eq - text));
    const char *value = trimmed(in->arena, eq + 1, len - (size_t)(eq + 1 - text));
    add_override(in, name, value, origin);
    return *name && *value;
}

/* One "name = value" per line; '#' and '//' begin comments. */
static bool define_file(ModelInput *in, const char *path)
{
    char *text, err[FILE_ERR_MAX];
    size_t len, line = 0;
    if (!file_read(in->arena, path, &text, &len, err)) {
        usage_error(in->diags->program, NULL, NULL, "%s", err);
        return false;
    }
    for (const char *p = text, *end = text + len; p < end;) {
        const char *nl = memchr(p, '\n', (size_t)(end - p)), *stop = nl ? nl : end;
        const char *s = trimmed(in->arena, p, (size_t)(stop - p));
        line++;
        if (*s && *s != '#' && strncmp(s, "//", 2) != 0 &&
            !define(in, s, strlen(s), arena_printf(in->arena, "%s:%zu", path, line))) {
            usage_error(in->diags->program, NULL, NULL, "%s:%zu: 'name = value' is needed", path, line);
            return false;
        }
        p = stop + 1;
    }
    return true;
}

static bool model_define(ModelInput *in, const char *value)
{
    if (value[0] == '@')
        return define_file(in, value + 1);
    if (define(in, value, strlen(value), arena_printf(in->arena, "the command line (-D %s)", value)))
        return true;
    usage_error(in->diags->program, NULL, NULL, "-D takes name=value or @file, not '%s'", value);
    return false;
}

static void model_search(ModelInput *in, const char *dir)
{
    GROW(in->arena, in->search, in->searches, in->searches_cap);
    in->search[in->searches++] = dir;
}

static void list_targets(ModelInput *in)
{
    Buf b = {0};
    targets_list(in->arena, model_targets(in), &b);
    fputs(b.len ? b.data : "no target profiles were found beside the library\n", stdout);
    buf_free(&b);
}

static const struct {
    const char *name, *help;
} rewrite[SWITCH_COUNT] = {
#define SWITCH(name, help) {#name, help},
#include "passes/switches.def"
};

/* -O NAME, -O no-NAME, -O help. */
static bool model_rewrite(ModelInput *in, const char *value)
{
    bool        off = strncmp(value, "no-", 3) == 0;
    const char *name = off ? value + 3 : value;
    const char *names[SWITCH_COUNT + 1] = {NULL};
    for (uint32_t i = 0; i < SWITCH_COUNT; i++) {
        names[i] = rewrite[i].name;
        if (strcmp(name, rewrite[i].name) == 0) {
            in->off = off ? in->off | (uint64_t)1 << i : in->off & ~((uint64_t)1 << i);
            return true;
        }
    }
    if (strcmp(value, "help") != 0) {
        usage_error(in->diags->program, names, name, "no rewrite is called '%s' (see -O help)", name);
        return false;
    }
    for (uint32_t i = 0; i < SWITCH_COUNT; i++)
        printf("%-18s %s\n", rewrite[i].name, rewrite[i].help);
    in->status = EXIT_OK;
    return false;
}

bool model_option(ModelInput *in, int option, const char *value)
{
    switch (option) {
    case 'D': return model_define(in, value);
    case 'O': return model_rewrite(in, value);
    case 't':
        in->target = value;
        if (strcmp(value, "help") != 0)
            return true;
        list_targets(in);
        in->status = EXIT_OK;
        return false;
    default: model_search(in, value); return true;
    }
}

static void add_place(void *with, const char *dir)
{
    model_search(with, dir);
}

/* The standard places come after all -I. */
static void search_standard(ModelInput *in)
{
    if (!in->env_searched)
        standard_places(in->arena, add_place, in);
    in->env_searched = true;
}

TargetPath model_targets(ModelInput *in)
{
    search_standard(in);
    return (TargetPath){in->search, in->searches};
}

const Target *model_target(ModelInput *in)
{
    return in->target ? target_load(in->arena, in->sources, in->target, model_targets(in), in->diags) : target_any();
}

Module *model_compile(ModelInput *in, const char *path)
{
    search_standard(in);
    FrontendOptions opt = {in->override, in->overrides, in->search, in->searches};
    const Target   *target = model_target(in);
    Module         *m = target ? frontend_compile(in->arena, in->sources, path, &opt, in->diags) : NULL;
    if (m) {
        m->target = target;
        m->off = in->off;
    }
    return m;
}
