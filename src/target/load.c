/* load.c: reading profiles. A profile is small and line-oriented; a line is a handful of words and strings. Everything
 * wrong with a file is told in one go; the profiles it inherits from are read first, so that each line can say what it
 * replaces. */
#include "base/file.h"
#include "base/suggest.h"
#include "target/line.h"
#include "target/target.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_DEPTH = 8, MAX_FILE = 1 << 20 };

typedef struct Load {
    Arena      *a;
    Sources    *sources;
    TargetPath  where;
    Diags      *ds;
    Target     *t;
    const char *chain[MAX_DEPTH]; /* files being read, outermost first: each inherits from the next */
    uint32_t    depth;
} Load;

/* One file. */
typedef struct {
    Load       *l;
    uint32_t    file;
    const char *path;
    Target     *t;
    const Token *tok; /* of the line */
    uint32_t    toks;
    Span        line;
    Span        said[FACT_COUNT]; /* where this file says a fact */
    Span       *said_op;          /* the same for t->op */
    bool        named, inherited, body;
} File;

static Target *load(Load *l, const char *name, Span at);

/* ---- lines ---- */

static bool bad_line(File *f, Span at, const char *what)
{
    Diag *d = diag_error(f->l->ds, "E1002", at, "%s", what);
    diag_help(d, "a line is: FACT VALUE CONFIDENCE \"evidence\", or: op NAME AVAILABILITY CONFIDENCE \"evidence\"");
    return false;
}

/* ---- facts ---- */

static void suggest_among(Diag *d, const char *word, const char *const *name, uint32_t names, const char *all)
{
    Suggest s = {.word = word};
    for (uint32_t i = 0; i < names; i++)
        suggest(&s, name[i]);
    if (s.best)
        diag_help(d, "did you mean '%s'?", s.best);
    else
        diag_help(d, "%s", all);
}

/* Position of tok's text in `name`; `names` after a message. */
static uint32_t one_of(File *f, const Token *tok, const char *what, const char *const *name, uint32_t names)
{
    uint32_t i = 0;
    while (i < names && (tok->string || strcmp(name[i], tok->text) != 0))
        i++;
    if (i == names) {
        Buf all = {0};
        for (uint32_t k = 0; k < names; k++)
            buf_printf(&all, "%s%s", k ? ", " : "one of ", name[k]);
        suggest_among(diag_error(f->l->ds, "E1003", tok->at, "%s '%s'", what, tok->text), tok->text, name, names,
                      all.data);
        buf_free(&all);
    }
    return i;
}

/* The CONFIDENCE and "evidence" of a line, tokens k and k + 1. */
static bool evidence(File *f, uint32_t k, Confidence *conf, const char **text)
{
    if (f->toks <= k)
        return bad_line(f, f->line, "how well is this known? one of assumed, derived, disputed, shown, agreed");
    uint32_t c = one_of(f, &f->tok[k], "unknown confidence", confidence_name, CONF_COUNT);
    if (c == CONF_COUNT)
        return false;
    *conf = (Confidence)c;
    *text = "";
    if (c != CONF_ASSUMED && (f->toks == k + 1 || (f->tok[k + 1].string && !*f->tok[k + 1].text))) {
        Diag *d =
            diag_error(f->l->ds, "E1006", f->line, "this is called %s, but nothing says by whom", confidence_name[c]);
        diag_help(d, "add the evidence in quotes, or call it 'assumed'");
        return false;
    }
    if (f->toks > k + 2 || (f->toks == k + 2 && !f->tok[k + 1].string))
        return bad_line(f, f->tok[k + 1].at, "the evidence is one text in quotes, at the end of the line");
    if (f->toks == k + 2)
        *text = f->tok[k + 1].text;
    return true;
}

static void twice(File *f, Span before)
{
    Diag *d = diag_error(f->l->ds, "E1005", f->tok[0].at, "'%s' is said twice",
                         f->tok[strcmp(f->tok[0].text, "op") == 0].text);
    diag_note(d, before, "here first");
    diag_help(d, "keep one of them");
}

static void fact_line(File *f)
{
    const char *name[FACT_COUNT];
    for (uint32_t i = 0; i < FACT_COUNT; i++)
        name[i] = fact_info[i].name;
    uint32_t k = fact_by_name(f->tok[0].text);
    if (k == FACT_COUNT || f->tok[0].string) {
        Diag *d = diag_error(f->l->ds, "E1003", f->tok[0].at, "there is no fact '%s'", f->tok[0].text);
        suggest_among(d, f->tok[0].text, name, FACT_COUNT,
                      "'anec target any' prints all facts, docs/targets.md explains them");
        return;
    }
    const FactInfo *info = &fact_info[k];
    Evidence        e = {.from = f->t->name};
    if (f->toks < 2) {
        bad_line(f, f->line, "a fact needs its value");
        return;
    }
    if (f->said[k].file) {
        twice(f, f->said[k]);
        return;
    }
    f->said[k] = f->tok[0].at;
    if (f->tok[1].string != (info->kind == KIND_text) || !fact_parse(info, f->t, f->tok[1].text)) {
        Buf b = {0};
        fact_values(info, &b);
        Diag *d = diag_error(f->l->ds, "E1004", f->tok[1].at, "'%s' is no value of %s", f->tok[1].text, info->name);
        diag_help(d, "%s is %s: %s", info->name, b.data, info->help);
        buf_free(&b);
        return;
    }
    if (evidence(f, 2, &e.conf, &e.evidence))
        f->t->evidence[k] = e;
}

static bool is_name(const char *s)
{
    for (const char *p = s; *p; p++)
        if (!((*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') || (*p >= '0' && *p <= '9') || strchr("_-.+", *p)))
            return false;
    return *s != 0 && *s != '.' && *s != '-' && strlen(s) <= 64;
}

static void op_line(File *f)
{
    if (f->toks < 3 || f->tok[1].string || !is_name(f->tok[1].text)) {
        bad_line(f, f->line, "an operation needs its name and yes, quirk, disputed, no or unknown");
        return;
    }
    TargetOp op = {.op = f->tok[1].text};
    uint32_t is = one_of(f, &f->tok[2], "unknown availability", availability_name, OP_YES + 1);
    if (is > OP_YES || !evidence(f, 3, &op.conf, &op.evidence))
        return;
    op.is = (Availability)is;
    uint32_t i = 0;
    while (i < f->t->ops && strcmp(f->t->op[i].op, op.op) != 0)
        i++;
    if (i == f->t->ops) {
        uint32_t cap = f->t->ops_cap;
        GROW(f->l->a, f->said_op, i, cap);
        GROW(f->l->a, f->t->op, i, f->t->ops_cap);
        f->t->ops++;
    } else if (f->said_op[i].file) {
        twice(f, f->said_op[i]);
        return;
    }
    f->t->op[i] = op;
    f->said_op[i] = f->tok[0].at;
}

/* ---- files ---- */

/* Start from what `base` says. */
static void start_from(File *f, const Target *base)
{
    const char *name = f->t->name;
    *f->t = *base;
    f->t->name = name;
    f->t->op = NEW_N(f->l->a, TargetOp, base->ops ? base->ops : 1);
    memcpy(f->t->op, base->op, base->ops * sizeof *base->op);
    f->t->ops_cap = base->ops ? base->ops : 1;
    f->said_op = NEW_N(f->l->a, Span, f->t->ops_cap);
}

static bool is_path(const char *name)
{
    size_t n = strlen(name);
    return strchr(name, '/') || (n > 7 && strcmp(name + n - 7, ".target") == 0);
}

/* A file that is inherited is named relative to the file that inherits it. */
static const char *beside(Arena *a, const char *file, const char *name)
{
    const char *slash = strrchr(file, '/');
    return is_path(name) && name[0] != '/' && slash ? arena_printf(a, "%.*s/%s", (int)(slash - file), file, name)
                                                    : name;
}

static bool inherits_line(File *f)
{
    if (f->toks != 2 || f->tok[1].string)
        return bad_line(f, f->line, "inherits needs the name of one profile");
    if (f->inherited || f->body) {
        diag_error(f->l->ds, "E1005", f->tok[0].at,
                   f->body ? "'inherits' comes before all facts" : "'inherits' is said twice");
        return false;
    }
    f->inherited = true;
    const Target *base = load(f->l, beside(f->l->a, f->path, f->tok[1].text), f->tok[1].at);
    if (!base)
        return false;
    start_from(f, base);
    return true;
}

/* What a profile without `inherits` starts from: `any` with its evidence, where that is installed. */
static bool start_default(File *f)
{
    const Target *base = target_any();
    f->inherited = true;
    if (strcmp(f->t->name, "any") != 0 && f->l->where.dirs) {
        const char **known = targets_find(f->l->a, f->l->where);
        for (; *known; known++)
            if (strcmp(*known, "any") == 0)
                base = load(f->l, "any", (Span){0});
    }
    if (!base)
        return false;
    start_from(f, base);
    return true;
}

static bool name_line(File *f, const char *wanted)
{
    if (f->toks != 2 || strcmp(f->tok[0].text, "target") != 0 || !is_name(f->tok[1].text) || f->tok[1].string) {
        Diag *d = diag_error(f->l->ds, "E1002", f->line, "a profile begins with 'target NAME'");
        diag_help(d, "names are letters, digits and _ - . +");
        return false;
    }
    f->t->name = f->tok[1].text;
    f->named = true;
    if (wanted && strcmp(wanted, f->t->name) != 0) {
        Diag *d = diag_error(f->l->ds, "E1002", f->tok[1].at,
                             "this profile is looked for as '%s', but calls itself '%s'", wanted, f->t->name);
        diag_help(d, "name the file %s.target, or change its first line", f->t->name);
        return false;
    }
    return true;
}

/* The line in f->tok. False if it makes no sense to go on. */
static bool line(File *f, const char *wanted)
{
    if (!f->named)
        return name_line(f, wanted);
    if (strcmp(f->tok[0].text, "inherits") == 0)
        return inherits_line(f);
    if (!f->inherited && !start_default(f))
        return false;
    f->body = true;
    if (strcmp(f->tok[0].text, "op") == 0)
        op_line(f);
    else
        fact_line(f);
    return true;
}

static Target *read_file(Load *l, const char *path, const char *wanted, Span at)
{
    char  *text, err[FILE_ERR_MAX];
    size_t len;
    if (!file_read(l->a, path, &text, &len, err)) {
        diag_error(l->ds, "E0001", at, "%s", err);
        return NULL;
    }
    if (len > MAX_FILE) {
        diag_help(diag_error(l->ds, "E1002", at, "'%s' is too long for a target profile", path),
                  "a profile has at most 1 MiB");
        return NULL;
    }
    uint32_t errors = l->ds->errors;
    File     f = {.l = l, .path = path, .t = NEW(l->a, Target)};
    f.file = sources_add(l->sources, path, text, len);
    Lines in = lines_of(l->a, l->sources, f.file, l->ds);
    while (lines_next(&in)) {
        f.tok = in.tok;
        f.toks = in.toks;
        f.line = in.line;
        if (!line(&f, wanted))
            return NULL;
    }
    if (in.stop)
        return NULL;
    if (!f.named) {
        f.toks = 0;
        f.line = (Span){f.file, 0, 0};
        return name_line(&f, wanted), NULL;
    }
    if (!f.inherited && !start_default(&f))
        return NULL;
    return l->ds->errors == errors ? f.t : NULL;
}

static Target *no_such(Load *l, const char *name, Span at)
{
    Diag        *d = diag_error(l->ds, "E1001", at, "there is no target profile '%s'", name);
    const char **known = targets_find(l->a, l->where);
    Suggest      s = {.word = name};
    Buf          all = {0};
    for (; *known; known++) {
        suggest(&s, *known);
        buf_printf(&all, "%s%s", all.len ? ", " : "", *known);
    }
    diag_note(d, (Span){0}, "known profiles: %s", all.len ? all.data : "none was found beside the library");
    buf_free(&all);
    if (s.best)
        diag_help(d, "did you mean '%s'?", s.best);
    else
        diag_help(d, "the name of a file contains a '/' or ends in .target");
    return NULL;
}

static Target *load(Load *l, const char *name, Span at)
{
    const char *path = NULL;
    bool        file = is_path(name);
    if (file)
        path = name;
    else if (is_name(name))
        for (uint32_t i = 0; i < l->where.dirs && !path; i++) {
            const char *p = arena_printf(l->a, "%s/targets/%s.target", l->where.dir[i], name);
            path = path_exists(p) ? p : NULL;
        }
    if (!path)
        return no_such(l, name, at);
    for (uint32_t i = 0; i < l->depth; i++)
        if (strcmp(l->chain[i], path) == 0) {
            Diag *d = diag_error(l->ds, "E1007", at, "'%s' inherits from itself", name);
            diag_help(d, "a chain of 'inherits' ends in a profile that has none");
            return NULL;
        }
    if (l->depth == MAX_DEPTH) {
        diag_help(diag_error(l->ds, "E1007", at, "profiles inherit more than %d deep", MAX_DEPTH),
                  "say the facts in one of them");
        return NULL;
    }
    l->chain[l->depth++] = path;
    Target *t = read_file(l, path, file ? NULL : name, at);
    l->depth--;
    return t;
}

const Target *target_load(Arena *a, Sources *sources, const char *name, TargetPath where, Diags *ds)
{
    Load l = {.a = a, .sources = sources, .where = where, .ds = ds};
    return load(&l, name, (Span){0});
}
