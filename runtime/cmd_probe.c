/* cmd_probe.c: `anerun --probe`: find out what an engine does, print a report, write a profile for anec --target.
 *
 * `anerun --probe-child` is the other process of trials (probe/trial.h); people never call it. */
#include "anerun.h"
#include "base/file.h"
#include "base/suggest.h"
#include "probe/places.h"
#include "probe/probe.h"
#include "target/where.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const Question question[] = {
#define FACT_NONE FACT_COUNT
#define QUESTION(group, name, fact, ask, text, source) {group, name, FACT_##fact, ask, text, source},
#include "probe/questions.def"
};
const uint32_t questions = COUNT(question);

static const CliOption options[] = {
    {"device", 0, "host|ane", "what to ask (default: ane on macOS, host elsewhere)"},
    {"target", 0, "NAME|FILE|none", "the engine that the host device imitates (default any; none: only itself)"},
    {"base", 0, "NAME|FILE", "the target that findings are compared with, and that says what is not found out (default any)"},
    {"output", 'o', "FILE", "write what was found as a target profile"},
    {"report", 0, "FILE", "write the report as JSON, for a bug report"},
    {"only", 0, "NAME,...", "ask only these: groups or questions of --list"},
    {"list", 0, NULL, "print the questions, ask none"},
    {"quick", 0, NULL, "smaller programs and fewer sizes"},
    {"date", 0, "TEXT", "a date for the profile's evidence (default: none)"},
    {"print", 0, "PROGRAM", "print a micro-program as it is sent, PROGRAM a name below models/probe, with :PLACE=VALUE,... behind"},
    {"patience", 0, "SECONDS", "how long one trial may take (default 120)"},
    {"help", 'h', NULL, "this text"},
};

const CliCommand cmd_probe_cli = {"--probe", "", "find out what an engine does; writes a report and a target profile", options, COUNT(options)};

typedef struct {
    Probe       p;
    const char *target, *base, *output, *report, *only, *date, *print;
    bool        list;
    double      patience;
} Job;

static int usage(const char *fmt, ...) ANEL_PRINTF(1, 2);
static int usage(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    fputs("anerun --probe: ", stderr);
    vfprintf(stderr, fmt, ap);
    fputs("\n'anerun --probe --help' tells more.\n", stderr);
    va_end(ap);
    return EXIT_USAGE;
}

static void help(void)
{
    puts("usage: anerun --probe [options]\n\nFind out what an engine does by small programs, print what was found beside what a target profile says,\n"
         "and write a profile for anec --target.\n");
    for (size_t i = 0; i < COUNT(options); i++) {
        char left[64];
        snprintf(left, sizeof left, "%s--%s%s%s", options[i].letter ? (char[]){'-', options[i].letter, ',', ' ', 0} : "", options[i].name,
                 options[i].value ? " " : "", options[i].value ? options[i].value : "");
        printf("  %-24s %s\n", left, options[i].help);
    }
}

static int take(Job *j, const char *name, const char *value)
{
    if (strcmp(name, "device") == 0)
        j->p.device = value;
    else if (strcmp(name, "target") == 0)
        j->target = value;
    else if (strcmp(name, "base") == 0)
        j->base = value;
    else if (strcmp(name, "output") == 0)
        j->output = value;
    else if (strcmp(name, "report") == 0)
        j->report = value;
    else if (strcmp(name, "only") == 0)
        j->only = value;
    else if (strcmp(name, "date") == 0)
        j->date = value;
    else if (strcmp(name, "print") == 0)
        j->print = value;
    else if (strcmp(name, "list") == 0)
        j->list = true;
    else if (strcmp(name, "quick") == 0)
        j->p.quick = true;
    else if (strcmp(name, "patience") == 0) {
        char *end;
        j->patience = strtod(value, &end);
        if (*end || !(j->patience >= 1 && j->patience <= 1e5))
            return usage("--patience is '%s', expected seconds from 1 to 100000", value);
    }
    return -1;
}

/* -1: go on; else the status to end with. */
static int arguments(Job *j, int argc, char **argv)
{
    for (int i = 2; i < argc; i++) {
        const CliOption *o = NULL;
        const char      *arg = argv[i], *value = NULL;
        Suggest          s = {.word = arg[0] == '-' && arg[1] == '-' ? arg + 2 : arg};
        for (size_t k = 0; k < COUNT(options) && !o; k++) {
            size_t n = strlen(options[k].name);
            suggest(&s, options[k].name);
            if (arg[0] == '-' && arg[1] == options[k].letter && options[k].letter && !arg[2])
                o = &options[k];
            else if (strncmp(arg, "--", 2) == 0 && strncmp(arg + 2, options[k].name, n) == 0 && (arg[2 + n] == 0 || arg[2 + n] == '=')) {
                o = &options[k];
                value = arg[2 + n] ? arg + 3 + n : NULL;
            }
        }
        if (!o)
            return arg[0] != '-' ? usage("'%s' is too much: it takes options only", arg)
                   : s.best      ? usage("unknown option '%s'; did you mean '--%s'?", arg, s.best)
                                 : usage("unknown option '%s'", arg);
        if (!o->value && value)
            return usage("--%s takes no value", o->name);
        if (o->value && !value && !(value = i + 1 < argc ? argv[++i] : NULL))
            return usage("--%s needs a value: %s", o->name, o->value);
        if (strcmp(o->name, "help") == 0) {
            help();
            return EXIT_OK;
        }
        int status = take(j, o->name, value);
        if (status >= 0)
            return status;
    }
    if (strcmp(j->p.device, "host") != 0 && strcmp(j->p.device, "ane") != 0)
        return usage("there is no device '%s'; known devices: host ane", j->p.device);
    if (j->target && strcmp(j->p.device, "host") != 0)
        return usage("--target is the engine that the host device imitates; the engine itself is what it is");
    return -1;
}

/* ---- which questions ---- */

static bool in_list(const char *list, const char *word)
{
    size_t n = strlen(word);
    for (const char *p = list; p; p = strchr(p, ',') ? strchr(p, ',') + 1 : NULL)
        if (strncmp(p, word, n) == 0 && (p[n] == ',' || p[n] == 0))
            return true;
    return false;
}

static bool wanted(const Job *j, const Question *q)
{
    return !j->only || in_list(j->only, q->group) || in_list(j->only, q->name);
}

static const Question *nth(uint32_t i)
{
    return i < questions ? &question[i] : op_question(i - questions);
}

static int known_words(const Job *j)
{
    for (const char *p = j->only; p && *p;) {
        size_t  n = strcspn(p, ",");
        char    word[64];
        bool    known = false;
        Suggest s = {.word = word};
        snprintf(word, sizeof word, "%.*s", (int)n, p);
        for (uint32_t i = 0; i < questions + op_questions(); i++) {
            known |= strcmp(nth(i)->group, word) == 0 || strcmp(nth(i)->name, word) == 0;
            suggest(&s, nth(i)->group);
            suggest(&s, nth(i)->name);
        }
        if (!known)
            return s.best ? usage("there is no question '%s'; did you mean '%s'? (--list has them all)", word, s.best)
                          : usage("there is no question '%s' (--list has them all)", word);
        p += n + (p[n] == ',');
    }
    return -1;
}

static void list_questions(void)
{
    const char *group = "";
    for (uint32_t i = 0; i < questions + op_questions(); i++) {
        const Question *q = nth(i);
        if (strcmp(group, q->group) != 0)
            printf("%s%s\n", i ? "\n" : "", group = q->group);
        if (i < questions)
            printf("  %-18s %-20s %s\n", q->name, q->fact < FACT_COUNT ? fact_info[q->fact].name : "", q->text);
        else
            printf("  %s\n", q->name);
    }
}

/* ---- the whole ---- */

static bool print_program(Job *j)
{
    char *name = arena_strdup(j->p.arena, j->print), *with = strchr(name, ':');
    Place fill[TEMPLATE_FILLS];
    uint32_t fills;
    Buf   mil = {0};
    if (with)
        *with++ = 0;
    for (char *c = with; c && *c; c++)
        if (*c == ',')
            *c = '\n';
    const Template *t = template_read(j->p.arena, j->p.dirs.dir, j->p.dirs.dirs, name, &j->p.err);
    bool ok = t && template_fill(j->p.arena, t, with, &mil, fill, &fills, &j->p.err);
    if (ok)
        fputs(mil.data, stdout);
    buf_free(&mil);
    return ok;
}

static bool write_out(Job *j, const char *path, const Buf *b)
{
    char why[FILE_ERR_MAX];
    if (file_write_atomic(path, b->data, b->len, why))
        return true;
    buf_printf(&j->p.err, "%s\n", why);
    return false;
}

/* The profile's name: that of its file, or "probe". */
static const char *profile_name(Job *j)
{
    const char *slash = strrchr(j->output, '/'), *base = slash ? slash + 1 : j->output;
    size_t      n = strlen(base);
    n -= n > 7 && strcmp(base + n - 7, ".target") == 0 ? 7 : 0;
    for (size_t i = 0; i < n; i++)
        if (!(strchr("_-.+", base[i]) || (base[i] >= '0' && base[i] <= '9') || (base[i] >= 'a' && base[i] <= 'z') ||
              (base[i] >= 'A' && base[i] <= 'Z')))
            return "probe";
    return n && n <= 64 && *base != '.' && *base != '-' ? arena_strndup(j->p.arena, base, n) : "probe";
}

static bool results(Job *j)
{
    Buf  b = {0};
    bool ok = true;
    report_text(&j->p, &b);
    fputs(b.data, stdout);
    buf_clear(&b);
    if (j->report) {
        report_json(&j->p, &b);
        ok = write_out(j, j->report, &b);
        buf_clear(&b);
    }
    if (ok && j->output) {
        profile_write(&j->p, profile_name(j), j->date, &b);
        ok = write_out(j, j->output, &b);
    }
    buf_free(&b);
    return ok;
}

static bool open_probe(Job *j)
{
    Probe      *p = &j->p;
    char      **argv = NEW_N(p->arena, char *, 10);
    uint32_t    n = 0;
    bool        imitate = strcmp(p->device, "host") == 0 && (!j->target || strcmp(j->target, "none") != 0);
    const char *target = j->target ? j->target : "any";
    argv[n++] = arena_strdup(p->arena, "anerun");
    argv[n++] = arena_strdup(p->arena, "--probe-child");
    argv[n++] = arena_strdup(p->arena, "--device");
    argv[n++] = arena_strdup(p->arena, p->device);
    argv[n++] = arena_strdup(p->arena, "--patience");
    argv[n++] = arena_printf(p->arena, "%g", j->patience / 2);
    if (imitate) {
        const Target *t = places_target(p->arena, target, &p->err);
        if (!t)
            return false;
        p->imitated = t->name;
        argv[n++] = arena_strdup(p->arena, "--target");
        argv[n++] = arena_strdup(p->arena, target);
    }
    p->base = places_target(p->arena, j->base ? j->base : "any", &p->err);
    p->server = (Server){.argv = argv, .patience = j->patience, .share = 50};
    p->simulated = imitate;
    p->repeats = p->device[0] == 'a' ? 200 : 5;
    return p->base != NULL;
}

static bool run(Job *j)
{
    Probe *p = &j->p;
    if (!open_probe(j))
        return false;
    for (uint32_t i = 0; i < questions + op_questions() && !probe_broken(p); i++)
        if (wanted(j, nth(i))) {
            p->trials_before = p->trials;
            nth(i)->ask(p, nth(i));
        }
    p->trials_before = p->trials;
    if (!probe_broken(p)) {
        fit_rates(p);
        fit_compile(p);
    }
    server_end(&p->server, p->arena);
    bool ok = !probe_broken(p) && results(j);
    if (p->server.left.len && ok)
        fprintf(stderr, "anerun --probe: %s", p->server.left.data);
    buf_free(&p->server.left);
    buf_free(&p->server.line);
    return ok;
}

int cmd_probe(int argc, char **argv)
{
    Job j = {.patience = 120};
    j.p.arena = arena_new();
#ifdef __APPLE__
    j.p.device = "ane";
#else
    j.p.device = "host";
#endif
    j.p.dirs = target_places(j.p.arena);
    int status = arguments(&j, argc, argv);
    if (status < 0)
        status = known_words(&j);
    if (status < 0) {
        bool ok = true;
        if (j.list)
            list_questions();
        else
            ok = j.print ? print_program(&j) : run(&j);
        if (j.p.err.len)
            fprintf(stderr, "anerun --probe: %s", j.p.err.data);
        status = ok ? EXIT_OK : EXIT_FAILED;
    }
    buf_free(&j.p.err);
    arena_free(j.p.arena);
    return status;
}

int cmd_probe_child(int argc, char **argv)
{
    return trial_serve(argc - 1, argv + 1);
}
