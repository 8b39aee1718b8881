/* plan_diff.c: see plan_diff.h.
 *
 * Parameters, states, settings and steps are compared as facts of the manifest's canonical text, block by block, so that
 * nothing the format learns in future can be overlooked here; programs are compared part by part, in channels and bytes. */
#include "explain/plan_diff.h"

#include <inttypes.h>
#include <string.h>

/* ---- facts: lines of the manifest, with the block they stand in ---- */

typedef struct {
    const char *section; /* "param", "program", "" for lines outside of blocks */
    const char *key;     /* first word of the block after the section's, or of the line */
    const char *text;    /* the lines of a block without its braces, each trimmed, joined by "; " */
} Fact;

typedef struct {
    Fact    *fact;
    uint32_t facts, cap;
} Facts;

static const char *word_end(const char *s)
{
    if (*s == '"') {
        for (s++; *s && *s != '"'; s++)
            if (*s == '\\' && s[1])
                s++;
        return *s ? s + 1 : s;
    }
    return s + strcspn(s, " ");
}

/* "layers.{0..4}.w" is the key "layers.{L}.w" with the fact "indices 0..4": depth is no other parameter. */
static void add_fact(Arena *a, Facts *f, Fact x)
{
    const char *open = strchr(x.key, '{'), *close = open ? strchr(open, '}') : NULL;
    if (close && strstr(open, "..")) {
        int inside = (int)(close - open) - 1;
        x.text = arena_printf(a, "indices %.*s; %s", inside, open + 1, x.text);
        x.key = arena_printf(a, "%.*s{L}%s", (int)(open - x.key), x.key, close + 1);
    }
    GROW(a, f->fact, f->facts, f->cap);
    f->fact[f->facts++] = x;
}

static const char *trimmed(const char *s)
{
    return s + strspn(s, " ");
}

/* Split the text of a manifest (printed, so its form is known) into facts. */
static Facts facts_of(Arena *a, const Plan *p)
{
    Facts f = {0};
    Buf   text = {0}, block = {0};
    Fact  open = {0};
    int   depth = 0;
    plan_print(p, &text);
    for (char *line = strtok(text.data, "\n"); line; line = strtok(NULL, "\n")) {
        const char *s = trimmed(line), *end = word_end(s), *key = trimmed(end);
        size_t      n = strlen(s);
        bool        opens = n > 0 && s[n - 1] == '{', closes = strcmp(s, "}") == 0;
        if (depth == 0 && opens) {
            open = (Fact){.section = arena_strndup(a, s, (size_t)(end - s)),
                          .key = arena_strndup(a, key, (size_t)(word_end(key) - key))};
            if (*open.key == '{')
                open.key = "";
        } else if (depth == 0) {
            bool split = strncmp(s, "config ", 7) == 0 || strncmp(s, "table ", 6) == 0 || strncmp(s, "buffer ", 7) == 0 ||
                         strncmp(s, "surface ", 8) == 0 || strncmp(s, "accumulator ", 12) == 0;
            const char *k = split ? key : s, *k_end = word_end(k);
            add_fact(a, &f, (Fact){split ? arena_strndup(a, s, (size_t)(end - s)) : "",
                                   arena_strndup(a, k, (size_t)(k_end - k)), arena_strdup(a, trimmed(k_end))});
        } else if (!(closes && depth == 1))
            buf_printf(&block, "%s%s", block.len ? "; " : "", s);
        depth += opens;
        if (closes && --depth == 0) {
            open.text = arena_strndup(a, block.data ? block.data : "", block.len);
            add_fact(a, &f, open);
            buf_clear(&block);
        }
    }
    buf_free(&text);
    buf_free(&block);
    return f;
}

static const Fact *find_fact(const Facts *f, const char *section, const char *key)
{
    for (uint32_t i = 0; i < f->facts; i++)
        if (strcmp(f->fact[i].section, section) == 0 && strcmp(f->fact[i].key, key) == 0)
            return &f->fact[i];
    return NULL;
}

/* Lines under a heading that is printed with the first of them. */
typedef struct {
    Buf        *out;
    const char *heading;
    bool        any;
} List;

static void item(List *l, const char *fmt, ...) ANEL_PRINTF(2, 3);
static void item(List *l, const char *fmt, ...)
{
    va_list ap;
    if (!l->any)
        buf_printf(l->out, "%s\n", l->heading);
    l->any = true;
    buf_puts(l->out, "  ");
    va_start(ap, fmt);
    buf_vprintf(l->out, fmt, ap);
    va_end(ap);
    buf_putc(l->out, '\n');
}

/* Pieces of `x` between "; " that `y` has not, joined by "; ". */
static const char *beyond(Arena *a, const char *x, const char *y)
{
    Buf b = {0};
    for (const char *p = x; *p;) {
        const char *end = strstr(p, "; ");
        size_t      n = end ? (size_t)(end - p) : strlen(p);
        bool        there = false;
        for (const char *q = y; *q && !there;) {
            const char *stop = strstr(q, "; ");
            size_t      k = stop ? (size_t)(stop - q) : strlen(q);
            there = k == n && memcmp(p, q, n) == 0;
            q += stop ? k + 2 : k;
        }
        if (!there)
            buf_printf(&b, "%s%.*s", b.len ? "; " : "", (int)n, p);
        p += end ? n + 2 : n;
    }
    const char *s = arena_strndup(a, b.data ? b.data : "", b.len);
    buf_free(&b);
    return s;
}

static bool compare_section(Arena *a, const Facts *old, const Facts *new, const char *section, const char *heading, Buf *out)
{
    List l = {out, heading, false};
    for (uint32_t i = 0; i < old->facts; i++) {
        const Fact *x = &old->fact[i], *y = find_fact(new, section, x->key);
        if (strcmp(x->section, section) != 0)
            continue;
        if (!y)
            item(&l, "- %s %s", x->key, x->text);
        else if (strcmp(x->text, y->text) != 0) {
            const char *was = beyond(a, x->text, y->text), *is = beyond(a, y->text, x->text);
            item(&l, "~ %s: %s -> %s", *x->key ? x->key : section, *was ? was : "(nothing)", *is ? is : "(nothing)");
        }
    }
    for (uint32_t i = 0; i < new->facts; i++)
        if (strcmp(new->fact[i].section, section) == 0 && !find_fact(old, section, new->fact[i].key))
            item(&l, "+ %s %s", new->fact[i].key, new->fact[i].text);
    return l.any;
}

/* ---- programs ---- */

static const PlanProgram *find_program(const Plan *p, const char *name)
{
    for (uint32_t i = 0; i < p->programs; i++)
        if (strcmp(p->program[i].name, name) == 0)
            return &p->program[i];
    return NULL;
}

static uint64_t port_bytes(const PlanPort *port)
{
    return (uint64_t)plan_numel(port->shape) * 2;
}

static uint64_t ports_bytes(const PlanPort *port, uint32_t n)
{
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < n; i++)
        bytes += port_bytes(&port[i]);
    return bytes;
}

/* Bytes that all runs of all programs move per sequence: each instance runs once. */
static uint64_t traffic(const Plan *p)
{
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < p->programs; i++)
        bytes += (ports_bytes(p->program[i].in, p->program[i].ins) + ports_bytes(p->program[i].out, p->program[i].outs)) *
                 (uint64_t)p->program[i].n;
    return bytes;
}

/* How often a part of that name and size is among the ports, up to part `k` of port `i`. */
static uint32_t rank_of(const PlanPort *port, uint32_t i, uint32_t k)
{
    const PlanPart *x = &port[i].part[k];
    uint32_t        n = 0;
    for (uint32_t p = 0; p <= i; p++)
        for (uint32_t q = 0; q < (p == i ? k + 1 : port[p].parts); q++)
            n += strcmp(port[p].part[q].name, x->name) == 0 && port[p].part[q].channels == x->channels;
    return n;
}

static uint32_t count_of(const PlanPort *port, uint32_t ports, const PlanPart *x)
{
    uint32_t n = 0;
    for (uint32_t p = 0; p < ports; p++)
        for (uint32_t q = 0; q < port[p].parts; q++)
            n += strcmp(port[p].part[q].name, x->name) == 0 && port[p].part[q].channels == x->channels;
    return n;
}

/* Parts of `x` that `y` has not. */
static void list_parts(const PlanPort *x, uint32_t xs, const PlanPort *y, uint32_t ys, char sign, Buf *out)
{
    for (uint32_t i = 0; i < xs; i++)
        for (uint32_t k = 0; k < x[i].parts; k++)
            if (rank_of(x, i, k) > count_of(y, ys, &x[i].part[k]))
                buf_printf(out, "  %c%s %" PRIu32, sign, x[i].part[k].name, x[i].part[k].channels);
}

static void compare_ports(const char *what, const PlanPort *x, uint32_t xs, const PlanPort *y, uint32_t ys, Buf *out)
{
    uint64_t was = ports_bytes(x, xs), is = ports_bytes(y, ys);
    Buf      parts = {0};
    list_parts(x, xs, y, ys, '-', &parts);
    list_parts(y, ys, x, xs, '+', &parts);
    if (was != is)
        buf_printf(out, "      %s %" PRIu64 " -> %" PRIu64 " bytes (%+" PRId64 ")%s\n", what, was, is, (int64_t)(is - was),
                   parts.len ? ":" : "");
    else if (parts.len)
        buf_printf(out, "      %s, %" PRIu64 " bytes as before:\n", what, was);
    if (parts.len)
        buf_printf(out, "      %s\n", parts.data);
    buf_free(&parts);
}

static void program_line(List *l, char sign, const PlanProgram *g)
{
    item(l, "%c %s: %" PRId32 " %s, in %" PRIu64 " bytes, out %" PRIu64 " bytes, %" PRIu32 " weights", sign, g->name, g->n,
         g->n == 1 ? "instance" : "instances", ports_bytes(g->in, g->ins), ports_bytes(g->out, g->outs), g->weights);
}

static bool compare_programs(const Plan *old, const Plan *new, Buf *out)
{
    List l = {out, "programs", false};
    for (uint32_t i = 0; i < old->programs; i++)
        if (!find_program(new, old->program[i].name))
            program_line(&l, '-', &old->program[i]);
    for (uint32_t i = 0; i < new->programs; i++)
        if (!find_program(old, new->program[i].name))
            program_line(&l, '+', &new->program[i]);
    for (uint32_t i = 0; i < old->programs; i++) {
        const PlanProgram *x = &old->program[i], *y = find_program(new, x->name);
        if (!y)
            continue;
        Buf b = {0};
        if (x->n != y->n)
            buf_printf(&b, "      instances %" PRId32 " -> %" PRId32 "\n", x->n, y->n);
        compare_ports("in", x->in, x->ins, y->in, y->ins, &b);
        compare_ports("out", x->out, x->outs, y->out, y->outs, &b);
        if (x->weights != y->weights)
            buf_printf(&b, "      weights %" PRIu32 " -> %" PRIu32 "\n", x->weights, y->weights);
        if (strcmp(x->mil_hash, y->mil_hash) != 0 && b.len == 0)
            buf_puts(&b, "      the MIL text changed, its surfaces did not\n");
        if (b.len) {
            item(&l, "~ %s", x->name);
            buf_puts(out, b.data);
        }
        buf_free(&b);
    }
    if (old->programs != new->programs)
        item(&l, "%" PRIu32 " -> %" PRIu32 " programs", old->programs, new->programs);
    if (traffic(old) != traffic(new))
        item(&l, "surfaces of all instances together: %" PRIu64 " -> %" PRIu64 " bytes (%+" PRId64 ")", traffic(old),
             traffic(new), (int64_t)(traffic(new) - traffic(old)));
    return l.any;
}

/* ---- steps ---- */

/* Pieces of a block's text: steps of an entry. */
static uint32_t pieces(const char *s)
{
    uint32_t n = *s != 0;
    for (const char *p = s; (p = strstr(p, "; ")); p += 2)
        n++;
    return n;
}

/* Names of tables are hashes of their contents: they say that something changed, not what. */
static bool compare_tables(const Facts *old, const Facts *new, Buf *out)
{
    uint32_t gone = 0, came = 0;
    for (uint32_t i = 0; i < old->facts; i++)
        gone += strcmp(old->fact[i].section, "table") == 0 && !find_fact(new, "table", old->fact[i].key);
    for (uint32_t i = 0; i < new->facts; i++)
        came += strcmp(new->fact[i].section, "table") == 0 && !find_fact(old, "table", new->fact[i].key);
    if (gone || came)
        buf_printf(out, "tables\n  %" PRIu32 " gone, %" PRIu32 " new\n", gone, came);
    return gone || came;
}

static bool compare_entries(Arena *a, const Facts *old, const Facts *new, Buf *out)
{
    List l = {out, "entries", false};
    for (uint32_t i = 0; i < old->facts; i++) {
        const Fact *x = &old->fact[i], *y = find_fact(new, "entry", x->key);
        if (strcmp(x->section, "entry") != 0)
            continue;
        if (!y)
            item(&l, "- %s", x->key);
        else if (strcmp(x->text, y->text) != 0)
            item(&l, "~ %s: %" PRIu32 " -> %" PRIu32 " lines of steps, %" PRIu32 " gone, %" PRIu32 " new", x->key,
                 pieces(x->text), pieces(y->text), pieces(beyond(a, x->text, y->text)), pieces(beyond(a, y->text, x->text)));
    }
    for (uint32_t i = 0; i < new->facts; i++)
        if (strcmp(new->fact[i].section, "entry") == 0 && !find_fact(old, "entry", new->fact[i].key))
            item(&l, "+ %s", new->fact[i].key);
    return l.any;
}

bool plan_diff(Arena *a, const DiffSide *old, const DiffSide *new, Buf *out)
{
    Facts x = facts_of(a, old->plan), y = facts_of(a, new->plan);
    bool  any = compare_section(a, &x, &y, "", "plan", out);
    any |= compare_section(a, &x, &y, "config", "configuration", out);
    any |= compare_section(a, &x, &y, "param", "parameters (checkpoints depend on them)", out);
    any |= compare_section(a, &x, &y, "state", "states", out);
    any |= compare_section(a, &x, &y, "train", "training", out);
    any |= compare_programs(old->plan, new->plan, out);
    if (old->dir && new->dir)
        any |= plan_diff_ops(a, old, new, out);
    any |= compare_tables(&x, &y, out);
    any |= compare_entries(a, &x, &y, out);
    return any;
}
