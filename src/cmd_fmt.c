/* cmd_fmt.c: `anec fmt FILE...`: the one spelling of model files.
 *
 * Prints the formatted text; with -i the files are rewritten (each atomically, and only if it changes); with --check
 * nothing is written and the status says whether every file already has its one spelling. "-" reads standard input. */
#include "cmd.h"

#include "base/file.h"
#include "frontend/ast.h"

#include <string.h>

enum { OPT_CHECK = 256 };

static const Option options[] = {
    {'i', "in-place", NULL, "rewrite the files"},
    {OPT_CHECK, "check", NULL, "write nothing; exit 1 if a file would change"},
    {'j', "json", NULL, "messages as JSON on standard output"},
    {'h', "help", NULL, "this text"},
};
const CommandOptions cmd_fmt_options = {options, COUNT(options)};

typedef struct {
    Arena   *arena;
    Sources *sources;
    Diags   *ds;
    bool     in_place, check, json, differs;
} Run;

static bool read_input(Run *r, const char *path, char **data, size_t *len)
{
    char err[FILE_ERR_MAX];
    if (strcmp(path, "-") != 0) {
        if (file_read(r->arena, path, data, len, err))
            return true;
        diag_error(r->ds, "E0001", (Span){0}, "%s", err);
        return false;
    }
    Buf    b = {0};
    char   part[4096];
    size_t n;
    while ((n = fread(part, 1, sizeof part, stdin)) > 0)
        buf_add(&b, part, n);
    *len = b.len;
    *data = arena_strndup(r->arena, b.data ? b.data : "", b.len);
    buf_free(&b);
    return true;
}

static void format(Run *r, const char *path)
{
    char  *data, err[FILE_ERR_MAX];
    size_t len;
    if (!read_input(r, path, &data, &len))
        return;
    bool      from_stdin = strcmp(path, "-") == 0;
    Interner *strings = interner_new(r->arena);
    uint32_t  file = sources_add(r->sources, from_stdin ? "<stdin>" : path, data, len);
    File     *f = parse_file(r->arena, strings, r->sources, file, r->ds);
    if (!f->ok)
        return;
    Buf out = {0};
    fmt_file(f, strings, r->sources, &out);
    bool same = out.len == len && (len == 0 || memcmp(out.data, data, len) == 0);
    if (r->check) {
        if (!same && !r->json)
            fprintf(stderr, "%s: differs from its one spelling (run 'anec fmt -i')\n", path);
        r->differs |= !same;
    } else if (r->in_place && !from_stdin) {
        if (!same && !file_write_atomic(path, out.data ? out.data : "", out.len, err))
            diag_error(r->ds, "E0001", (Span){0}, "%s", err);
    } else if (out.len) {
        fwrite(out.data, 1, out.len, stdout);
    }
    buf_free(&out);
}

static int help(void)
{
    printf("anec fmt [options] FILE...: print model files in their one spelling\n\n");
    options_help(stdout, options, COUNT(options));
    return EXIT_OK;
}

int cmd_fmt(int argc, char **argv)
{
    OptionReader o = {.program = "anec fmt", .option = options, .options = COUNT(options), .argc = argc, .argv = argv};
    Run          r = {.arena = arena_new()};
    const char **path = NEW_N(r.arena, const char *, (size_t)argc + 1);
    int          paths = 0, id, status;
    while ((id = option_next(&o)) != OPTION_END) {
        switch (id) {
        case 'i':
            r.in_place = true;
            break;
        case OPT_CHECK:
            r.check = true;
            break;
        case 'j':
            r.json = true;
            break;
        case OPTION_OPERAND:
            path[paths++] = o.value;
            break;
        default:
            arena_free(r.arena);
            return id == 'h' ? help() : EXIT_USAGE;
        }
    }
    if (paths == 0) {
        status = usage_error("anec fmt", NULL, NULL, "no file given; usage: anec fmt [-i | --check] FILE...");
    } else {
        r.sources = sources_new(r.arena);
        r.ds = diags_new(r.arena, r.sources, "anec");
        for (int i = 0; i < paths; i++)
            format(&r, path[i]);
        bool text_on_stdout = !r.check && !r.in_place;
        status = finish(r.ds, r.json && !(text_on_stdout && r.ds->count == 0));
        if (r.differs)
            status = EXIT_INPUT;
    }
    arena_free(r.arena);
    return status;
}
