/* diag.c: collecting and rendering diagnostics; see diag.h.
 *
 * Labels are drawn below their source line. Labels of one line share one caret row when only the last of them carries
 * text; otherwise each further text gets a row of its own, left of nothing else, so that rows never overlap. When the
 * place of the message is on a line without labels (a ';' is missing at the end of the line before), that line is shown
 * too. Bytes a terminal would act upon are shown as '?'. */
#include "base/diag.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

Diags *diags_new(Arena *a, const Sources *sources, const char *program)
{
    Diags *ds = NEW(a, Diags);
    ds->arena = a;
    ds->sources = sources;
    ds->program = program;
    ds->limit = DIAG_LIMIT;
    return ds;
}

static Diag *add(Diags *ds, Severity sev, const char *code, Span at, const char *fmt, va_list ap)
{
    Diag *d = NEW(ds->arena, Diag);
    d->severity = sev;
    d->code = code;
    d->at = at;
    d->text = arena_vprintf(ds->arena, fmt, ap);
    d->owner = ds;
    if (sev == DIAG_ERROR && ds->errors++ >= (ds->limit ? ds->limit : DIAG_LIMIT))
        return d;
    GROW(ds->arena, ds->item, ds->count, ds->cap);
    ds->item[ds->count++] = d;
    return d;
}

Diag *diag_error(Diags *ds, const char *code, Span at, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    Diag *d = add(ds, DIAG_ERROR, code, at, fmt, ap);
    va_end(ap);
    return d;
}

Diag *diag_warning(Diags *ds, const char *code, Span at, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    Diag *d = add(ds, DIAG_WARNING, code, at, fmt, ap);
    va_end(ap);
    return d;
}

void diag_label(Diag *d, Span at, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    GROW(d->owner->arena, d->label, d->labels, d->labels_cap);
    d->label[d->labels++] = (DiagLabel){at, arena_vprintf(d->owner->arena, fmt, ap)};
    va_end(ap);
}

void diag_note(Diag *d, Span at, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    GROW(d->owner->arena, d->note, d->notes, d->notes_cap);
    d->note[d->notes++] = (DiagLabel){at, arena_vprintf(d->owner->arena, fmt, ap)};
    va_end(ap);
}

void diag_help(Diag *d, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    d->help = arena_vprintf(d->owner->arena, fmt, ap);
    va_end(ap);
}

static const char *const severity_name[] = {"error", "warning", "note"};

/* A label placed on its line: columns from 1 in code points, end exclusive. */
typedef struct {
    uint32_t    line, begin, end;
    const char *text;
} Mark;

static int by_place(const void *pa, const void *pb)
{
    const Mark *a = pa, *b = pb;
    if (a->line != b->line)
        return a->line < b->line ? -1 : 1;
    return a->begin < b->begin ? -1 : a->begin > b->begin;
}

static Mark mark_of(const Source *f, Span at, const char *text)
{
    Mark     m = {.text = text};
    uint32_t end_line;
    source_position(f, at.begin, &m.line, &m.begin);
    source_position(f, at.end, &end_line, &m.end);
    if (end_line != m.line) { /* several lines: underline to the end of the first */
        size_t len;
        source_line(f, m.line, &len);
        source_position(f, (uint32_t)(f->line[m.line - 1] + len), &end_line, &m.end);
    }
    if (m.end <= m.begin)
        m.end = m.begin + 1;
    return m;
}

static void pad_to(Buf *out, uint32_t *col, uint32_t want)
{
    for (; *col < want; ++*col)
        buf_putc(out, ' ');
}

static void draw_row(Buf *out, int gutter, const Mark *m, uint32_t n, const char *text)
{
    buf_printf(out, "%*s | ", gutter, "");
    uint32_t col = 1;
    for (uint32_t i = 0; i < n; i++) {
        pad_to(out, &col, m[i].begin);
        for (; col < m[i].end; col++)
            buf_putc(out, col == m[i].begin ? '^' : '~');
    }
    if (text && *text)
        buf_printf(out, " %s", text);
    buf_putc(out, '\n');
}

/* Of a long line only a window around its first mark is drawn, between dots; marks move along and are cut at its
 * end. */
enum { WINDOW = 160, BEFORE = 60, DOTS = 3 };

static void draw_line(Buf *out, int gutter, const Source *f, Mark *m, uint32_t n)
{
    size_t      len;
    const char *text = source_line(f, m->line, &len);
    uint32_t    width = 0, from = 0, col = 0;
    for (size_t i = 0; i < len; i++)
        width += ((unsigned char)text[i] & 0xc0u) != 0x80u;
    bool cut = width > WINDOW;
    if (cut && m->begin > BEFORE)
        from = m->begin - BEFORE;
    buf_printf(out, "%*u | %s", gutter, m->line, from ? "..." : "");
    for (size_t i = 0; i < len; i++) {
        col += ((unsigned char)text[i] & 0xc0u) != 0x80u;
        if (col > from && col <= from + (cut ? WINDOW : width))
            buf_putc(out, text[i] == '\t' ? ' ' : (unsigned char)text[i] < 0x20 || text[i] == 0x7f ? '?' : text[i]);
    }
    buf_puts(out, cut && from + WINDOW < width ? "...\n" : "\n");
    for (uint32_t i = 0; cut && i < n; i++) {
        if (m[i].begin == 0)
            continue;
        m[i].begin -= from - (from ? DOTS : 0);
        m[i].end -= from - (from ? DOTS : 0);
        if (m[i].begin > WINDOW + DOTS)
            m[i].begin = WINDOW + DOTS;
        if (m[i].end > WINDOW + DOTS + 1)
            m[i].end = WINDOW + DOTS + 1;
    }
}

static void draw_marks(Buf *out, const Source *f, Mark *m, uint32_t n)
{
    qsort(m, n, sizeof *m, by_place);
    int gutter = snprintf(NULL, 0, "%u", m[n - 1].line) + 2;
    for (uint32_t i = 0; i < n;) {
        uint32_t j = i;
        while (j < n && m[j].line == m[i].line)
            j++;
        draw_line(out, gutter, f, m + i, j - i);
        if (j == i + 1 && m[i].begin == 0) { /* context, without a caret */
            i = j;
            continue;
        }
        bool overlap = false;
        for (uint32_t k = i + 1; k < j; k++)
            overlap |= m[k].begin < m[k - 1].end;
        if (!overlap)
            draw_row(out, gutter, m + i, j - i, m[j - 1].text);
        for (uint32_t k = j; k-- > i;) { /* the texts that did not fit on the shared row */
            if (!overlap && (k == j - 1 || !*m[k].text))
                continue;
            if (overlap)
                draw_row(out, gutter, m + k, 1, m[k].text);
            else
                buf_printf(out, "%*s | %*s%s\n", gutter, "", (int)(m[k].begin - 1), "", m[k].text);
        }
        i = j;
    }
}

static void place(const Diags *ds, Span at, Buf *out)
{
    const Source *f = source_of(ds->sources, at);
    uint32_t      line, col;
    source_position(f, at.begin, &line, &col);
    buf_printf(out, "%s:%u:%u", f->name, line, col);
}

static void render_one(const Diags *ds, const Diag *d, Buf *out)
{
    const Source *f = ds->sources ? source_of(ds->sources, d->at) : NULL;
    if (f)
        place(ds, d->at, out);
    else
        buf_puts(out, ds->program ? ds->program : "anel");
    buf_printf(out, ": %s[%s]: %s\n", severity_name[d->severity], d->code, d->text);
    if (f) {
        Mark    *m = NEW_N(ds->arena, Mark, d->labels + 1), here = mark_of(f, d->at, "");
        uint32_t n = 0;
        bool     shown = false;
        for (uint32_t i = 0; i < d->labels; i++)
            if (d->label[i].at.file == d->at.file)
                m[n++] = mark_of(f, d->label[i].at, d->label[i].text);
        for (uint32_t i = 0; i < n; i++)
            shown |= m[i].line == here.line;
        if (n > 0)
            here.begin = 0;
        if (!shown)
            m[n++] = here;
        draw_marks(out, f, m, n);
        for (uint32_t i = 0; i < d->labels; i++)
            if (d->label[i].at.file != d->at.file) { /* a label elsewhere is told as a note */
                buf_puts(out, "  note: ");
                if (source_of(ds->sources, d->label[i].at)) {
                    place(ds, d->label[i].at, out);
                    buf_puts(out, ": ");
                }
                buf_printf(out, "%s\n", d->label[i].text);
            }
    }
    if (d->help)
        buf_printf(out, "  help: %s\n", d->help);
    for (uint32_t i = 0; i < d->notes; i++) {
        buf_printf(out, "  note: %s", d->note[i].text);
        if (d->note[i].at.file) {
            buf_puts(out, " at ");
            const Source *nf = source_of(ds->sources, d->note[i].at);
            uint32_t      line, col;
            source_position(nf, d->note[i].at.begin, &line, &col);
            buf_printf(out, "%s:%u", nf->name, line);
        }
        buf_putc(out, '\n');
    }
}

void diags_render(const Diags *ds, Buf *out)
{
    for (uint32_t i = 0; i < ds->count; i++)
        render_one(ds, ds->item[i], out);
    uint32_t limit = ds->limit ? ds->limit : DIAG_LIMIT;
    if (ds->errors > limit)
        buf_printf(out, "%s: %u more errors not shown\n", ds->program ? ds->program : "anel", ds->errors - limit);
}

/* JSON is UTF-8; a file name or a piece of source text may not be. */
static json_t *json_text(const char *text)
{
    json_t *s = json_string(text);
    if (s)
        return s;
    Buf b = {0};
    for (; *text; text++)
        buf_putc(&b, (unsigned char)*text < 0x80 ? *text : '?');
    s = json_string(b.data ? b.data : "");
    buf_free(&b);
    return s;
}

static json_t *json_place(const Diags *ds, Span at, const char *text, const char *text_key)
{
    json_t       *o = json_object();
    const Source *f = ds->sources ? source_of(ds->sources, at) : NULL;
    if (f) {
        uint32_t line, col, end_line, end_col;
        source_position(f, at.begin, &line, &col);
        source_position(f, at.end, &end_line, &end_col);
        json_object_set_new(o, "file", json_text(f->name));
        json_object_set_new(o, "line", json_integer(line));
        json_object_set_new(o, "column", json_integer(col));
        json_object_set_new(o, "end_line", json_integer(end_line));
        json_object_set_new(o, "end_column", json_integer(end_col));
    }
    json_object_set_new(o, text_key, json_text(text));
    return o;
}

void diags_render_json(const Diags *ds, Buf *out)
{
    json_t *all = json_array();
    for (uint32_t i = 0; i < ds->count; i++) {
        const Diag *d = ds->item[i];
        json_t     *o = json_object();
        json_object_set_new(o, "severity", json_string(severity_name[d->severity]));
        json_object_set_new(o, "code", json_string(d->code));
        json_t *where = json_place(ds, d->at, d->text, "message");
        json_object_update(o, where);
        json_decref(where);
        json_t *labels = json_array(), *notes = json_array();
        for (uint32_t k = 0; k < d->labels; k++)
            json_array_append_new(labels, json_place(ds, d->label[k].at, d->label[k].text, "text"));
        for (uint32_t k = 0; k < d->notes; k++)
            json_array_append_new(notes, json_place(ds, d->note[k].at, d->note[k].text, "text"));
        json_object_set_new(o, "labels", labels);
        json_object_set_new(o, "notes", notes);
        if (d->help)
            json_object_set_new(o, "help", json_text(d->help));
        json_array_append_new(all, o);
    }
    char *text = json_dumps(all, JSON_INDENT(2) | JSON_PRESERVE_ORDER | JSON_ENSURE_ASCII);
    json_decref(all);
    buf_puts(out, text ? text : "[]");
    buf_putc(out, '\n');
    free(text);
}
