/* html.c: see html.h.
 *
 * MIL and source are brought together by the map files: each statement names a place in the source. Statements of one place
 * that follow each other share a row. Texts of the plan are untrusted and escaped; there is no script in the page. */
#include "explain/html.h"

#include "base/file.h"
#include "explain/picture.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    Arena      *a;
    const char *dir;
    const Plan *plan;
    Buf        *out, *err;
} Page;

static const char style[] =
    "body{font:14px/1.4 sans-serif;margin:1.5em;color:#222}h1{font-size:20px}h2{font-size:16px;margin-top:2em}"
    "table{border-collapse:collapse}td,th{padding:2px 10px;text-align:left;vertical-align:top}"
    "table.t th{border-bottom:1px solid #888}table.t td{border-bottom:1px solid #ddd}td.n,th.n{text-align:right}"
    "pre{margin:0;font:12px/1.35 monospace;white-space:pre}table.m td{border-top:1px solid #eee}table.m td.s{color:#555}"
    "td.b pre{color:#603}div.p{overflow:auto;border:1px solid #ddd;margin:.5em 0;max-height:80vh}"
    "svg text{font:10px sans-serif;text-anchor:middle}svg text.s{fill:#555}svg rect{stroke:#888;stroke-width:.7}"
    "svg .e{fill:none;stroke:#999;stroke-width:.8}details{margin:.3em 0}summary{cursor:pointer}";

static bool read_text(Page *p, const char *relative, char **text)
{
    char   why[FILE_ERR_MAX];
    size_t len;
    if (file_read(p->a, path_join(p->a, p->dir, relative), text, &len, why))
        return true;
    buf_puts(p->err, why);
    return false;
}

/* ---- tables ---- */

static uint64_t bytes_of(const PlanPort *port, uint32_t n)
{
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < n; i++)
        bytes += (uint64_t)plan_numel(port[i].shape) * 2;
    return bytes;
}

static void table_of_programs(Page *p)
{
    buf_puts(p->out, "<h2>Programs</h2>\n<table class=\"t\"><tr><th>program</th><th class=\"n\">instances</th><th class=\"n\">bytes in</th>"
                     "<th class=\"n\">bytes out</th><th class=\"n\">weights</th><th>takes</th><th>gives</th></tr>\n");
    for (uint32_t i = 0; i < p->plan->programs; i++) {
        const PlanProgram *g = &p->plan->program[i];
        buf_puts(p->out, "<tr><td><a href=\"#");
        put_escaped(p->out, g->name);
        buf_puts(p->out, "\">");
        put_escaped(p->out, g->name);
        buf_printf(p->out, "</a></td><td class=\"n\">%" PRId32 "</td><td class=\"n\">%" PRIu64 "</td><td class=\"n\">%" PRIu64
                           "</td><td class=\"n\">%" PRIu32 "</td>", g->n, bytes_of(g->in, g->ins), bytes_of(g->out, g->outs), g->weights);
        for (int out = 0; out < 2; out++) {
            const PlanPort *port = out ? g->out : g->in;
            uint32_t        ports = out ? g->outs : g->ins;
            buf_puts(p->out, "<td>");
            for (uint32_t k = 0; k < ports; k++)
                for (uint32_t q = 0; q < port[k].parts; q++) {
                    put_escaped(p->out, port[k].part[q].name);
                    buf_printf(p->out, " <small>%" PRIu32 "</small> ", port[k].part[q].channels);
                }
            buf_puts(p->out, "</td>");
        }
        buf_puts(p->out, "</tr>\n");
    }
    buf_puts(p->out, "</table>\n");
}

static void table_of_parameters(Page *p)
{
    buf_puts(p->out, "<h2>Parameters</h2>\n<details><summary>");
    buf_printf(p->out, "%" PRIu32 " groups</summary>\n<table class=\"t\"><tr><th>parameter</th><th class=\"n\">number</th><th>shape</th></tr>\n",
               p->plan->params);
    for (uint32_t i = 0; i < p->plan->params; i++) {
        const PlanParam *x = &p->plan->param[i];
        buf_puts(p->out, "<tr><td>");
        put_escaped(p->out, x->pattern);
        buf_printf(p->out, "</td><td class=\"n\">%" PRId32 "</td><td>", x->n);
        for (uint32_t k = 0; k < x->shape.rank; k++)
            buf_printf(p->out, "%s%" PRId32, k ? " x " : "", x->shape.dim[k]);
        buf_puts(p->out, "</td></tr>\n");
    }
    buf_puts(p->out, "</table></details>\n");
}

/* ---- MIL beside its source ---- */

typedef struct {
    const char *file;
    uint32_t    line;
    bool        backward;
} Origin;

/* The places of a map file, by line of MIL text: [lines + 1]. */
static Origin *read_map(Page *p, char *text, uint32_t lines)
{
    Origin *at = NEW_N(p->a, Origin, lines + 2u);
    for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
        char *end, *place, *role = NULL;
        unsigned long n = strtoul(line, &end, 10);
        if (n == 0 || n > lines || *end != ' ')
            continue;
        place = end + 1;
        if ((role = strchr(place, ' ')))
            *role++ = 0;
        char *column = strrchr(place, ':');
        if (column)
            *column = 0;
        char *number = strrchr(place, ':');
        if (!number)
            continue;
        *number = 0;
        at[n] = (Origin){place, (uint32_t)strtoul(number + 1, NULL, 10), role && strncmp(role, "bwd", 3) == 0};
    }
    return at;
}

/* Sources of the plan that were read already. */
typedef struct SourceText {
    const char *file;
    char      **line;
    uint32_t    lines;
    struct SourceText *next;
} SourceText;

/* The lines of a text, NUL-terminated in place. */
static char **split_lines(Arena *a, char *text, uint32_t *lines)
{
    uint32_t n = 1;
    for (const char *s = text; *s; s++)
        n += *s == '\n';
    char **line = NEW_N(a, char *, n + 1u);
    *lines = 0;
    for (char *s = text; s;) {
        char *end = strchr(s, '\n');
        if (end)
            *end = 0;
        if (end || *s)
            line[(*lines)++] = s;
        s = end ? end + 1 : NULL;
    }
    return line;
}

static const char *source_line_of(Page *p, SourceText **known, const Origin *o)
{
    SourceText *s = *known;
    while (s && strcmp(s->file, o->file) != 0)
        s = s->next;
    if (!s) {
        char *text, why[FILE_ERR_MAX];
        size_t len;
        bool  inside = o->file[0] != '/' && !strstr(o->file, "..");
        s = NEW(p->a, SourceText);
        *s = (SourceText){.file = o->file, .next = *known};
        if (inside && file_read(p->a, path_join(p->a, p->dir, arena_printf(p->a, "src/%s", o->file)), &text, &len, why))
            s->line = split_lines(p->a, text, &s->lines);
        *known = s;
    }
    return o->line >= 1 && o->line <= s->lines ? s->line[o->line - 1] : "";
}

static const char *trimmed(const char *s)
{
    return s + strspn(s, " \t");
}

static void listing(Page *p, char *mil, char *map, SourceText **sources)
{
    uint32_t lines;
    char   **line = split_lines(p->a, mil, &lines);
    Origin  *at = read_map(p, map, lines);
    buf_puts(p->out, "<table class=\"m\">\n");
    for (uint32_t i = 1; i <= lines;) {
        uint32_t k = i + 1;
        while (k <= lines && at[k].line == at[i].line && at[k].backward == at[i].backward &&
               (at[k].file == at[i].file || (at[k].file && at[i].file && strcmp(at[k].file, at[i].file) == 0)))
            k++;
        buf_printf(p->out, "<tr><td class=\"s\"><pre>");
        if (at[i].file) {
            put_escaped(p->out, at[i].file);
            buf_printf(p->out, ":%" PRIu32 "%s\n", at[i].line, at[i].backward ? " (adjoint)" : "");
            put_escaped(p->out, trimmed(source_line_of(p, sources, &at[i])));
        }
        buf_printf(p->out, "</pre></td><td%s><pre>", at[i].backward ? " class=\"b\"" : "");
        for (; i < k; i++) {
            put_escaped(p->out, trimmed(line[i - 1]));
            buf_putc(p->out, '\n');
        }
        buf_puts(p->out, "</pre></td></tr>\n");
    }
    buf_puts(p->out, "</table>\n");
}

static bool program_section(Page *p, const PlanProgram *g, SourceText **sources)
{
    char *mil, *map;
    if (!read_text(p, arena_printf(p->a, "mil/%s.mil", g->mil), &mil) || !read_text(p, arena_printf(p->a, "map/%s.map", g->mil), &map))
        return false;
    Sources    *files = sources_new(p->a);
    Diags      *ds = diags_new(p->a, files, "anec");
    Interner   *names = interner_new(p->a);
    AstProgram *ast = mil_parse(p->a, names, ds, sources_add(files, g->mil, mil, strlen(mil)));
    buf_puts(p->out, "<h2 id=\"");
    put_escaped(p->out, g->name);
    buf_puts(p->out, "\">");
    put_escaped(p->out, g->name);
    buf_puts(p->out, "</h2>\n");
    if (ast && !ds->errors) {
        buf_puts(p->out, "<details open><summary>dataflow</summary><div class=\"p\">\n");
        picture_of_program(p->a, ast, names, p->out);
        buf_puts(p->out, "</div></details>\n");
    } else
        buf_puts(p->out, "<p>The text of this program cannot be read; <code>anec lint</code> says why.</p>\n");
    buf_puts(p->out, "<details><summary>MIL text beside its source</summary>\n");
    listing(p, mil, map, sources);
    buf_puts(p->out, "</details>\n");
    return true;
}

bool plan_html(Arena *a, const char *dir, const Plan *plan, const char *tables, Buf *out, Buf *err)
{
    Page        p = {a, dir, plan, out, err};
    SourceText *sources = NULL;
    buf_puts(out, "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>");
    put_escaped(out, plan->model);
    buf_printf(out, "</title>\n<style>%s</style></head><body>\n<h1>", style);
    put_escaped(out, plan->model);
    buf_puts(out, " for target ");
    put_escaped(out, plan->target);
    buf_puts(out, "</h1>\n<p>");
    for (uint32_t i = 0; i < plan->configs; i++) {
        put_escaped(out, plan->config[i].key);
        buf_puts(out, " ");
        put_escaped(out, plan->config[i].value);
        buf_puts(out, i + 1 < plan->configs ? ", " : "");
    }
    buf_puts(out, "</p>\n");
    for (uint32_t i = 0; i < plan->entries; i++) {
        buf_puts(out, "<h2>Entry ");
        put_escaped(out, plan->entry[i].name);
        buf_puts(out, "</h2>\n<p>Blue: programs of the engine; yellow: the CPU's steps between them. Top to bottom: forward, then backward.</p>\n"
                      "<div class=\"p\">\n");
        picture_of_entry(a, plan, &plan->entry[i], out);
        buf_puts(out, "</div>\n");
    }
    table_of_programs(&p);
    if (tables) {
        buf_puts(out, "<h2>Figures</h2>\n<pre>");
        put_escaped(out, tables);
        buf_puts(out, "</pre>\n");
    }
    table_of_parameters(&p);
    bool ok = true;
    for (uint32_t i = 0; i < plan->programs && ok; i++)
        ok = program_section(&p, &plan->program[i], &sources);
    buf_puts(out, "</body></html>\n");
    return ok;
}
