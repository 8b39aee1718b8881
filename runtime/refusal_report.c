/* refusal_report.c: a refused program as a directory: texts, weights, report.txt for people, report.json for programs.
 *
 * Nothing in it says who or where the user is. Directories are made anew, with a number where there is one already. */
#include "refusal.h"

#include "base/file.h"
#include "lint/lint.h"
#include "mil/mil_check.h"
#include "system.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { REFUSAL_REPORT = 1, NAME_MAX_BYTES = 80, DIRECTORIES = 1000, SHOWN = 160 };

typedef struct {
    Arena                *a;
    const RefusalOptions *o;
    const Refused        *r;
    const char           *program, *mil; /* "layers_fwd", "layers_fwd.mil" */
    const char           *dir;
    const Target         *target;
    const CutStep        *step;      /* NULL: unknown */
    const char           *statement; /* its text */
    const char           *source, *model; /* places: of the expression and of the model's statement; "" */
    const char           *said, *domain;  /* by the engine about the smallest part */
    long                  code;
    bool                  coded;
    const Diag          **rule;
    uint32_t              rules;
    Sources              *sources;
    CutText               smallest, prefix, accepted, later;
    bool                  weights; /* are they saved? */
    size_t                weight_bytes;
    const DeviceFile     *file;
    size_t                files;
    System                system;
} Report;

/* ---- words without names ---- */

static bool part_of_name(char c)
{
    return c && !strchr("/ \t\n'\":,;()<>", c);
}

/* Is `at` the beginning of `dir`, a whole number of path components? Then the bytes of it. */
static size_t below(const char *at, const char *dir)
{
    size_t n = dir ? strlen(dir) : 0;
    while (n > 1 && dir[n - 1] == '/')
        n--;
    return n > 1 && strncmp(at, dir, n) == 0 && !part_of_name(at[n]) ? n : 0;
}

/* "/Users/ann" of "/Users/ann/x": the root and `parts` components behind it. */
static size_t root(const char *at, const char *dir, int parts)
{
    size_t n = strlen(dir);
    if (strncmp(at, dir, n) != 0)
        return 0;
    for (; parts > 0 && part_of_name(at[n]); parts--) {
        while (part_of_name(at[n]))
            n++;
        if (parts > 1 && at[n] == '/')
            n++;
    }
    return n;
}

char *refusal_scrub(Arena *a, const char *text)
{
    static const struct {
        const char *dir, *as;
        int         parts;
    } known[] = {{"/private/var/folders/", "TMPDIR", 3}, {"/var/folders/", "TMPDIR", 3}, {"/Users/", "~", 1}, {"/home/", "~", 1}};
    const char *home = getenv("HOME"), *tmp = getenv("TMPDIR");
    Buf         out = {0};
    for (size_t n; *text; text += n) {
        const char *as = "TMPDIR";
        n = below(text, tmp);
        if (!n && (n = below(text, home)))
            as = "~";
        for (size_t i = 0; i < COUNT(known) && !n; i++)
            if ((n = root(text, known[i].dir, known[i].parts)))
                as = known[i].as;
        if (n)
            buf_puts(&out, as);
        else
            buf_add(&out, text, n = 1);
    }
    char *clean = arena_strdup(a, out.data ? out.data : "");
    buf_free(&out);
    return clean;
}

/* ---- what is known of it ---- */

/* "runs/layers_fwd.mil (L = 3)" -> "layers_fwd", with nothing in it that a file's name should not have. */
static const char *program_name(Arena *a, const char *name)
{
    const char *end = strstr(name, ".mil"), *at;
    size_t      n = end ? (size_t)(end - name) : strlen(name);
    for (at = name + n; at > name && at[-1] != '/'; at--)
        ;
    n = (size_t)(name + n - at);
    char *clean = arena_strndup(a, at, n > NAME_MAX_BYTES ? NAME_MAX_BYTES : n);
    for (char *p = clean; *p; p++)
        if (!isalnum((unsigned char)*p) && !strchr("_-.", *p))
            *p = '_';
    return *clean && *clean != '.' ? clean : "program";
}

/* The engine's words end with "(DOMAIN, code N)" where there was an error object. */
static void take_apart(Report *p, const char *said)
{
    char *text = refusal_scrub(p->a, said);
    for (size_t n = strlen(text); n && isspace((unsigned char)text[n - 1]); n--)
        text[n - 1] = 0;
    p->said = text;
    for (const char *at = text, *open; (open = strchr(at, '(')); at = open + 1) {
        const char *comma = strstr(open, ", code "), *shut = strchr(open, ')');
        char       *end;
        if (!comma || !shut || comma > shut)
            continue;
        p->code = strtol(comma + strlen(", code "), &end, 10);
        p->coded = end == shut;
        p->domain = arena_strndup(p->a, open + 1, (size_t)(comma - open - 1));
    }
}

/* The line of the plan's map about the statement: "59 std/nn.anel:50:7 fwd matmul tiny.anel:19:5" (docs/plan.md). */
static void find_source(Report *p)
{
    char   why[FILE_ERR_MAX], *text;
    size_t len;
    p->source = p->model = "";
    if (!p->step || !p->o->plan_dir)
        return;
    const char *path = path_join(p->a, p->o->plan_dir, arena_printf(p->a, "map/%s.map", p->program));
    if (!file_read(p->a, path, &text, &len, why))
        return;
    for (char *line = text, *end; *line; line = *end ? end + 1 : end) {
        end = line + strcspn(line, "\n");
        char *place, *word[4] = {0};
        if (strtoul(line, &place, 10) != p->step->line)
            continue;
        const char *row = arena_strndup(p->a, place, (size_t)(end - place));
        for (size_t i = 0; i < COUNT(word); i++) {
            row += strspn(row, " ");
            size_t n = strcspn(row, " ");
            word[i] = arena_strndup(p->a, row, n);
            row += n;
        }
        p->source = strcmp(word[0], "-:0:0") != 0 ? word[0] : "";
        p->model = strcmp(word[3], "-:0:0") != 0 && strcmp(word[3], word[0]) != 0 ? word[3] : "";
        return;
    }
}

/* The rules that the statement breaks, as `anec lint` tells them. */
static void find_rules(Report *p)
{
    const Refused *r = p->r;
    LintOptions    options = {.target = p->target, .rounded = true};
    MilFile       *view = NEW_N(p->a, MilFile, r->files + 1);
    p->sources = sources_new(p->a);
    Diags   *ds = diags_new(p->a, p->sources, "anerun");
    uint32_t source = sources_add(p->sources, p->mil, r->mil, r->len);
    ds->limit = UINT32_MAX;
    for (size_t i = 0; i < r->files; i++)
        view[i] = (MilFile){r->file[i].path, r->file[i].data, r->file[i].len};
    lint_mil(p->a, &options, ds, source, view, (uint32_t)r->files, NULL);
    p->rule = NEW_N(p->a, const Diag *, ds->count + 1);
    for (uint32_t i = 0; i < ds->count; i++) {
        const Diag *x = ds->item[i];
        if (p->step ? x->at.file && x->at.begin >= p->step->at.begin && x->at.begin < p->step->at.end : x->severity == DIAG_ERROR)
            p->rule[p->rules++] = x;
    }
}

static void cut_prefix(const Report *p, uint32_t steps, CutText *out)
{
    bool *keep = NEW_N(p->a, bool, cut_steps(p->r->cut) + 1);
    for (uint32_t i = 0; i < steps; i++)
        keep[i] = true;
    if (steps)
        cut_text(p->r->cut, keep, out);
}

static void describe(Report *p)
{
    const Refused *r = p->r;
    p->program = program_name(p->a, r->name);
    p->mil = arena_printf(p->a, "%s.mil", p->program);
    p->target = p->o->target ? p->o->target : target_any();
    system_describe(&p->system);
    p->file = r->file;
    p->files = r->files;
    if (r->cut && cut_text(r->cut, r->found->keep, &p->smallest)) {
        p->step = cut_step(r->cut, p->smallest.last);
        p->statement = arena_strndup(p->a, r->mil + p->step->at.begin, p->step->at.end - p->step->at.begin);
        cut_prefix(p, r->found->prefix, &p->prefix);
        cut_prefix(p, r->found->accepted, &p->accepted);
        cut_prefix(p, r->found->later, &p->later);
        p->files = refusal_files(p->a, &p->smallest, r->file, r->files, &p->file);
    }
    for (size_t i = 0; i < p->files; i++)
        p->weight_bytes += p->file[i].len;
    p->weights = p->o->weights || p->weight_bytes <= REFUSAL_SMALL_WEIGHTS;
    take_apart(p, r->cut && r->found->said ? r->found->said : r->said);
    find_source(p);
    find_rules(p);
}

/* ---- files ---- */

/* A directory that was not there: PLACE/refused-PROGRAM, refused-PROGRAM-2, ... */
static bool make_directory(Report *p, Buf *err)
{
    char        why[FILE_ERR_MAX];
    const char *place = p->o->place && *p->o->place ? p->o->place : ".";
    if (!path_is_dir(place) && !dir_make(place, why)) {
        buf_puts(err, why);
        return false;
    }
    for (int n = 1; n <= DIRECTORIES; n++) {
        const char *name = n == 1 ? arena_printf(p->a, "refused-%s", p->program) : arena_printf(p->a, "refused-%s-%d", p->program, n);
        p->dir = strcmp(place, ".") == 0 ? name : path_join(p->a, place, name);
        if (mkdir(p->dir, 0777) == 0)
            return true;
        if (errno != EEXIST) {
            buf_printf(err, "cannot make the directory '%s': %s", p->dir, strerror(errno));
            return false;
        }
    }
    buf_printf(err, "'%s' and %d more are there already: delete some", p->dir, DIRECTORIES - 1);
    return false;
}

static bool save(const Report *p, const char *name, const void *data, size_t len, Buf *err)
{
    char why[FILE_ERR_MAX];
    if (file_write(path_join(p->a, p->dir, name), data, len, why))
        return true;
    buf_puts(err, why);
    return false;
}

static bool save_part(const Report *p, const char *name, const CutText *t, Buf *err)
{
    return !t->text.len || save(p, name, t->text.data, t->text.len, err);
}

static bool save_weights(const Report *p, Buf *err)
{
    char why[FILE_ERR_MAX];
    for (size_t i = 0; i < p->files && p->weights; i++) {
        const char *name = p->file[i].path + (strncmp(p->file[i].path, "@model_path/", 12) == 0 ? 12 : 0);
        if (!path_is_tame(name))
            continue;
        char *dir = path_join(p->a, p->dir, name), *slash = strrchr(dir, '/');
        *slash = 0;
        if (!dir_make(dir, why)) {
            buf_puts(err, why);
            return false;
        }
        if (!save(p, name, p->file[i].data, p->file[i].len, err))
            return false;
    }
    return true;
}

/* ---- the report ---- */

static json_t *text_or_null(const char *text)
{
    return text && *text ? json_string(text) : json_null();
}

static json_t *rules_json(const Report *p)
{
    json_t *all = json_array();
    for (uint32_t i = 0; i < p->rules; i++) {
        const Diag *d = p->rule[i];
        json_array_append_new(all, json_pack("{s:s, s:s, s:s, s:o}", "rule", d->code, "severity",
                                             d->severity == DIAG_ERROR ? "error" : "warning", "text", d->text, "remedy",
                                             text_or_null(d->help)));
    }
    return all;
}

static json_t *weights_json(const Report *p)
{
    json_t *all = json_array();
    for (size_t i = 0; i < p->files; i++) {
        char hash[HASH_HEX];
        hash_hex(p->file[i].data, p->file[i].len, hash);
        json_array_append_new(all, json_pack("{s:s, s:I, s:s, s:b}", "path", p->file[i].path, "bytes", (json_int_t)p->file[i].len,
                                             "hash", hash, "saved", (int)p->weights));
    }
    return all;
}

static json_t *search_json(const Report *p)
{
    const RefusalFound *f = p->r->found;
    if (!p->r->cut)
        return json_null();
    return json_pack("{s:i, s:i, s:i, s:i, s:i, s:b, s:b, s:i}", "steps", (int)cut_steps(p->r->cut), "smallest",
                     (int)p->smallest.steps, "refused_prefix", (int)f->prefix, "accepted_prefix", (int)f->accepted, "later_prefix",
                     (int)f->later, "monotone", f->later == 0, "every_shorter_prefix_taken", f->sure, "compilations", (int)f->compiles);
}

static json_t *statement_json(const Report *p)
{
    if (!p->step)
        return json_null();
    return json_pack("{s:s, s:i, s:i, s:s, s:s, s:s, s:o, s:o}", "file", "program.mil", "line", (int)p->step->line,
                     "line_in_smallest", (int)p->smallest.line, "function", p->step->function, "op", p->step->op, "text", p->statement,
                     "source", text_or_null(p->source), "model_source", text_or_null(p->model));
}

static json_t *system_json(const System *s)
{
    return json_pack("{s:s, s:s, s:s, s:s, s:s, s:s}", "os", s->os, "version", s->version, "build", s->build, "machine", s->machine,
                     "model", s->model, "chip", s->chip);
}

static bool save_json(const Report *p, Buf *err)
{
    char target[HASH_HEX], hash[HASH_HEX];
    target_hash(p->target, target);
    hash_hex(p->r->mil, p->r->len, hash);
    json_t *j = json_pack("{s:i, s:s, s:s, s:s, s:s, s:o, s:o, s:{s:s, s:s}, s:o}", "anel_refusal", REFUSAL_REPORT, "program", p->program,
                          "program_hash", hash, "anel", p->o->version ? p->o->version : "", "device",
                          p->o->device ? p->o->device : "", "plan", text_or_null(p->o->plan_hash), "system", system_json(&p->system),
                          "target", "name", p->target->name, "hash", target, "statement", statement_json(p));
    json_t *engine = json_pack("{s:s, s:o, s:o}", "text", p->said, "domain", text_or_null(p->domain), "code",
                               p->coded ? json_integer(p->code) : json_null());
    if (!j || !engine)
        bug("a report is not JSON");
    json_object_set_new(j, "engine", engine);
    json_object_set_new(j, "rules", rules_json(p));
    json_object_set_new(j, "search", search_json(p));
    json_object_set_new(j, "weights", weights_json(p));
    char *text = json_dumps(j, JSON_INDENT(2));
    bool  ok = text && save(p, "report.json", arena_printf(p->a, "%s\n", text), strlen(text) + 1, err);
    free(text);
    json_decref(j);
    return ok;
}

/* The statement in a line: "attention_p = softmax(axis = c_i_m1, x = s)". */
static const char *short_statement(const Report *p)
{
    const char *at = strstr(p->statement, p->step->result);
    size_t      n = at ? strcspn(at, ";") : 0;
    const char *end = at ? strstr(at, ")[") : NULL;
    if (!at || !*p->step->result)
        return p->step->op;
    if (end)
        n = (size_t)(end + 1 - at);
    return n > SHOWN ? arena_printf(p->a, "%.*s ...", SHOWN, at) : arena_strndup(p->a, at, n);
}

static void put_rules(const Report *p, Buf *out)
{
    for (uint32_t i = 0; i < p->rules; i++) {
        const Diag *d = p->rule[i];
        buf_printf(out, "  it breaks %s (docs/rules.md): %s\n", d->code, d->text);
        if (d->help)
            buf_printf(out, "    %s\n", d->help);
    }
    if (!p->rules)
        buf_printf(out, "  no rule of docs/rules.md forbids it for target '%s': this is a new fact, worth a report\n", p->target->name);
}

static void put_words(const Report *p, Buf *out)
{
    const RefusalFound *f = p->r->found;
    if (!p->step) {
        buf_printf(out, "%s could not be taken apart: it is no MIL that can be read here\n", p->mil);
        return;
    }
    buf_printf(out, "%s:%u: the engine refuses this statement: %s\n", p->mil, (unsigned)p->step->line, short_statement(p));
    if (*p->model || *p->source)
        buf_printf(out, "  it stems from %s%s%s%s\n", *p->model ? p->model : p->source, *p->model && *p->source ? " (" : "",
                   *p->model ? p->source : "", *p->model && *p->source ? ")" : "");
    put_rules(p, out);
    if (cut_steps(p->r->cut) == 1)
        buf_puts(out, "  it is the only one");
    else if (p->smallest.steps == 1)
        buf_printf(out, "  it is refused alone, out of %u statements", (unsigned)cut_steps(p->r->cut));
    else
        buf_printf(out, "  it is refused together with %u of the other %u statements", (unsigned)p->smallest.steps - 1,
                   (unsigned)cut_steps(p->r->cut) - 1);
    buf_printf(out, " (%u compilations)\n", (unsigned)f->compiles);
    if (f->later)
        buf_printf(out, "  refusals are not monotone: longer beginnings of the program are taken again, up to statement %u\n",
                   (unsigned)f->later - 1);
}

static const char *bytes_text(const Report *p)
{
    return p->weights ? "saved beside this file"
                      : "not saved: they are large, and rarely matter; anerun PLAN --refused-weights saves them";
}

static bool save_text(const Report *p, Buf *err)
{
    const RefusalFound *f = p->r->found;
    Buf  t = {0};
    buf_printf(&t, "anel refusal report %d\n\n", REFUSAL_REPORT);
    put_words(p, &t);
    buf_printf(&t, "\nWhat the device said:\n  %s\n\n", p->said);
    if (p->step)
        buf_printf(&t, "The statement, line %u of program.mil and line %u of smallest.mil:\n  %s\n\n", (unsigned)p->step->line,
                   (unsigned)p->smallest.line, p->statement);
    buf_puts(&t, "Files:\n  program.mil   the whole program\n");
    if (p->smallest.text.len)
        buf_printf(&t, "  smallest.mil  the smallest part that is refused: %u statements\n", (unsigned)p->smallest.steps);
    if (p->prefix.text.len)
        buf_printf(&t, "  prefix.mil    its shortest refused beginning: %u statements%s\n", (unsigned)f->prefix,
                   f->sure ? "; all shorter ones are taken" : "; not all shorter ones were tried");
    if (p->accepted.text.len)
        buf_printf(&t, "  accepted.mil  the longest beginning below that is taken: %u statements\n", (unsigned)f->accepted);
    if (p->later.text.len)
        buf_printf(&t, "  later.mil     refused too, while beginnings between the two are taken: %u statements\n", (unsigned)f->later);
    if (p->files)
        buf_printf(&t, "  weights: %zu files with %zu bytes that smallest.mil names (%s)\n", p->files, p->weight_bytes, bytes_text(p));
    buf_puts(&t, "\nSystem:  ");
    system_print(&p->system, &t);
    buf_printf(&t, "\nanel:    %s\nDevice:  %s\nTarget:  %s\nPlan:    %s\n", p->o->version ? p->o->version : "unknown",
               p->o->device ? p->o->device : "unknown", p->target->name, p->o->plan_hash ? p->o->plan_hash : "none");
    bool ok = save(p, "report.txt", t.data, t.len, err);
    buf_free(&t);
    return ok;
}

const char *refusal_report(Arena *a, const RefusalOptions *o, const Refused *r, Buf *words, Buf *err)
{
    Report p = {.a = a, .o = o, .r = r};
    describe(&p);
    put_words(&p, words);
    bool ok = make_directory(&p, err) && save(&p, "program.mil", r->mil, r->len, err) &&
              save_part(&p, "smallest.mil", &p.smallest, err) && save_part(&p, "prefix.mil", &p.prefix, err) &&
              save_part(&p, "accepted.mil", &p.accepted, err) && save_part(&p, "later.mil", &p.later, err) &&
              save_weights(&p, err) && save_json(&p, err) && save_text(&p, err);
    buf_free(&p.smallest.text);
    buf_free(&p.prefix.text);
    buf_free(&p.accepted.text);
    buf_free(&p.later.text);
    return ok ? p.dir : NULL;
}
