/* html.c: see html.h.
 *
 * MIL and source are brought together by the map files: each line of MIL has the statement of the model it serves, and the
 * expression it computes, which is often the library's. Lines of one statement that follow each other share a row, within it
 * lines of one expression. Texts of the plan are untrusted: all are escaped, nothing of them becomes an address, and there
 * is no script in the page. */
#include "explain/html.h"

#include "base/file.h"
#include "base/html.h"
#include "explain/map.h"
#include "explain/picture.h"

#include <inttypes.h>
#include <string.h>

/* A source of the plan; no lines if it cannot be read. */
typedef struct SourceText {
    const char *file;
    char      **line;
    uint32_t    lines;
    struct SourceText *next;
} SourceText;

typedef struct {
    Arena      *a;
    const char *dir;
    const Plan *plan;
    Buf        *out, *err;
    SourceText *sources; /* read so far */
} Page;

static const char style[] =
    "body{font:14px/1.4 sans-serif;margin:1.5em;color:#222}h1{font-size:20px}h2{font-size:16px;margin-top:2em}"
    "table{border-collapse:collapse}td,th{padding:2px 10px;text-align:left;vertical-align:top}"
    "table.t th{border-bottom:1px solid #888}table.t td{border-bottom:1px solid #ddd}td.n,th.n{text-align:right}"
    "pre{margin:0;font:12px/1.35 monospace;white-space:pre}table.m td{border-top:1px solid #eee}table.m td.s{border-top-color:#999}"
    "table.m td.l{color:#777}td.b pre{color:#603}div.p{overflow:auto;border:1px solid #ddd;margin:.5em 0;max-height:80vh}"
    "svg text{font:10px sans-serif;text-anchor:middle}svg text.s{fill:#555}svg rect{stroke:#888;stroke-width:.7}"
    "svg .e{fill:none;stroke:#999;stroke-width:.8}details{margin:.3em 0}summary{cursor:pointer}";

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
        buf_printf(p->out, "<tr><td><a href=\"#program-%" PRIu32 "\">", i);
        html_text(p->out, g->name);
        buf_printf(p->out, "</a></td><td class=\"n\">%" PRId32 "</td><td class=\"n\">%" PRIu64 "</td><td class=\"n\">%" PRIu64
                           "</td><td class=\"n\">%" PRIu32 "</td>", g->n, bytes_of(g->in, g->ins), bytes_of(g->out, g->outs), g->weights);
        for (int out = 0; out < 2; out++) {
            const PlanPort *port = out ? g->out : g->in;
            uint32_t        ports = out ? g->outs : g->ins;
            buf_puts(p->out, "<td>");
            for (uint32_t k = 0; k < ports; k++)
                for (uint32_t q = 0; q < port[k].parts; q++) {
                    html_text(p->out, port[k].part[q].name);
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
        html_text(p->out, x->pattern);
        buf_printf(p->out, "</td><td class=\"n\">%" PRId32 "</td><td>", x->n);
        for (uint32_t k = 0; k < x->shape.rank; k++)
            buf_printf(p->out, "%s%" PRId32, k ? " x " : "", x->shape.dim[k]);
        buf_puts(p->out, "</td></tr>\n");
    }
    buf_puts(p->out, "</table></details>\n");
}

/* ---- MIL beside its source ---- */

/* What the map says of each line of the MIL text: [lines + 2]. A plan without the file has a page without places. */
static MapLine *read_map(Page *p, const char *mil, uint32_t lines)
{
    MapLine    *at = NEW_N(p->a, MapLine, lines + 2u), line;
    char       *text, why[FILE_ERR_MAX];
    size_t      len;
    if (!file_read(p->a, path_join(p->a, p->dir, arena_printf(p->a, "map/%s.map", mil)), &text, &len, why))
        return at;
    for (const char *s = text; map_next(p->a, &s, &line);)
        if (line.line <= lines)
            at[line.line] = line;
    return at;
}

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

/* The text of a place; "" for what is not in the plan, or not below src/. */
static const char *source_line_at(Page *p, MapPlace at)
{
    SourceText *s = p->sources;
    while (s && strcmp(s->file, at.file) != 0)
        s = s->next;
    if (!s) {
        char *text, why[FILE_ERR_MAX];
        size_t len;
        bool  inside = at.file[0] != '/' && !strchr(at.file, '\\') && !strstr(at.file, "..");
        s = NEW(p->a, SourceText);
        *s = (SourceText){.file = at.file, .next = p->sources};
        if (inside && file_read(p->a, path_join(p->a, p->dir, arena_printf(p->a, "src/%s", at.file)), &text, &len, why))
            s->line = split_lines(p->a, text, &s->lines);
        p->sources = s;
    }
    return at.line >= 1 && at.line <= s->lines ? s->line[at.line - 1] : "";
}

static const char *trimmed(const char *s)
{
    return s + strspn(s, " \t");
}

static void put_place(Page *p, MapPlace at, const char *remark)
{
    if (!at.file)
        return;
    html_text(p->out, at.file);
    buf_printf(p->out, ":%" PRIu32 "%s\n", at.line, remark);
    html_text(p->out, trimmed(source_line_at(p, at)));
}

static bool same_statement(const MapLine *x, const MapLine *y)
{
    return x->backward == y->backward && map_same_place(x->statement, y->statement);
}

static bool same_expression(const MapLine *x, const MapLine *y)
{
    return same_statement(x, y) && map_same_place(x->expression, y->expression);
}

/* The first line after `i` that is not the same, of lines up to `end`. */
static uint32_t run_end(const MapLine *at, uint32_t i, uint32_t end, bool (*same)(const MapLine *, const MapLine *))
{
    uint32_t k = i + 1;
    while (k <= end && same(&at[k], &at[i]))
        k++;
    return k;
}

static void listing(Page *p, const char *name, char *mil)
{
    uint32_t lines;
    char   **line = split_lines(p->a, mil, &lines);
    MapLine *at = read_map(p, name, lines);
    buf_puts(p->out, "<table class=\"m\">\n");
    for (uint32_t i = 1; i <= lines;) {
        uint32_t end = run_end(at, i, lines, same_statement), rows = 0;
        for (uint32_t k = i; k < end; k = run_end(at, k, end - 1, same_expression))
            rows++;
        buf_printf(p->out, "<tr><td class=\"s\" rowspan=\"%" PRIu32 "\"><pre>", rows);
        put_place(p, at[i].statement, at[i].backward ? " (adjoint)" : "");
        buf_puts(p->out, "</pre></td>");
        for (bool first = true; i < end; first = false) {
            const MapLine *x = &at[i];
            buf_printf(p->out, "%s<td class=\"l\"><pre>", first ? "" : "<tr>");
            if (!map_same_place(x->expression, x->statement))
                put_place(p, x->expression, "");
            buf_printf(p->out, "</pre></td><td%s><pre>", x->backward ? " class=\"b\"" : "");
            for (uint32_t k = run_end(at, i, end - 1, same_expression); i < k; i++) {
                html_text(p->out, trimmed(line[i - 1]));
                buf_putc(p->out, '\n');
            }
            buf_puts(p->out, "</pre></td></tr>\n");
        }
    }
    buf_puts(p->out, "</table>\n");
}

/* The program before this one that has the same text, or NULL. */
static const PlanProgram *first_of_text(const Plan *plan, uint32_t program)
{
    for (uint32_t i = 0; i < program; i++)
        if (strcmp(plan->program[i].mil, plan->program[program].mil) == 0)
            return &plan->program[i];
    return NULL;
}

static bool program_section(Page *p, uint32_t program)
{
    const PlanProgram *g = &p->plan->program[program], *first = first_of_text(p->plan, program);
    buf_printf(p->out, "<h2 id=\"program-%" PRIu32 "\">", program);
    html_text(p->out, g->name);
    buf_puts(p->out, "</h2>\n");
    if (first) {
        buf_printf(p->out, "<p>The text is that of <a href=\"#program-%" PRIu32 "\">", (uint32_t)(first - p->plan->program));
        html_text(p->out, first->name);
        buf_puts(p->out, "</a>.</p>\n");
        return true;
    }
    char       *mil, why[FILE_ERR_MAX];
    const char *path = path_join(p->a, p->dir, arena_printf(p->a, "mil/%s.mil", g->mil));
    size_t      len;
    if (!file_read(p->a, path, &mil, &len, why)) {
        buf_puts(p->err, why);
        return false;
    }
    Sources    *files = sources_new(p->a);
    Diags      *ds = diags_new(p->a, files, "anec");
    Interner   *names = interner_new(p->a);
    AstProgram *ast = mil_parse(p->a, names, ds, sources_add(files, path, mil, len));
    if (!ast || ds->errors) {
        buf_printf(p->err, "%s is no MIL text (anec lint says why)", path);
        return false;
    }
    buf_puts(p->out, "<details open><summary>dataflow</summary><div class=\"p\">\n");
    picture_of_program(p->a, ast, names, p->out);
    buf_puts(p->out, "</div></details>\n<details><summary>MIL text beside the statements it comes from</summary>\n");
    listing(p, g->mil, mil);
    buf_puts(p->out, "</details>\n");
    return true;
}

bool plan_html(Arena *a, const char *dir, const Plan *plan, const char *tables, Buf *out, Buf *err)
{
    Page p = {.a = a, .dir = dir, .plan = plan, .out = out, .err = err};
    buf_puts(out, "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>");
    html_text(out, plan->model);
    buf_printf(out, "</title>\n<style>%s</style></head><body>\n<h1>", style);
    html_text(out, plan->model);
    buf_puts(out, " for target ");
    html_text(out, plan->target);
    buf_puts(out, "</h1>\n<p>");
    for (uint32_t i = 0; i < plan->configs; i++) {
        html_text(out, plan->config[i].key);
        buf_puts(out, " ");
        html_text(out, plan->config[i].value);
        buf_puts(out, i + 1 < plan->configs ? ", " : "");
    }
    buf_puts(out, "</p>\n");
    for (uint32_t i = 0; i < plan->entries; i++) {
        buf_puts(out, "<h2>Entry ");
        html_text(out, plan->entry[i].name);
        buf_puts(out, "</h2>\n<p>Blue: programs of the engine; yellow: the CPU's steps between them. Top to bottom: forward, backward, update.</p>\n"
                      "<div class=\"p\">\n");
        picture_of_entry(a, plan, &plan->entry[i], out);
        buf_puts(out, "</div>\n");
    }
    table_of_programs(&p);
    if (tables) {
        buf_puts(out, "<h2>Figures</h2>\n<pre>");
        html_text(out, tables);
        buf_puts(out, "</pre>\n");
    }
    table_of_parameters(&p);
    bool ok = true;
    for (uint32_t i = 0; i < plan->programs && ok; i++)
        ok = program_section(&p, i);
    buf_puts(out, "</body></html>\n");
    return ok;
}
