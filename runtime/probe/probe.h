/* probe.h: `anerun --probe`: what an engine does, found out by small experiments.
 *
 * A *question* (questions.def) is answered by *trials* (trial.h) of micro-programs (template.h), and decides at most one
 * fact of target profiles (target/target.def), or the availability of one operation (ops.def). Answers are *findings*; from
 * them a report (report.c) and a profile (profile.c) are made. Expectations about numbers are computed here, in double,
 * and never by a device. */
#ifndef ANEL_PROBE_PROBE_H
#define ANEL_PROBE_PROBE_H

#include "probe/trial.h"
#include "target/cost.h"
#include "target/target.h"

typedef enum {
    VERDICT_AGREES,
    VERDICT_DIFFERS,
    VERDICT_OPEN, /* not decided */
    VERDICT_INFO, /* no profile says anything of it */
    VERDICTS
} Verdict;
extern const char *const verdict_name[VERDICTS];

typedef struct Probe Probe;
typedef struct Question Question;

/* Asks; calls found() or open_question() once. */
typedef void Ask(Probe *p, const Question *q);

struct Question {
    const char *group, *name;
    uint32_t    fact; /* FACT_COUNT: none */
    Ask        *ask;
    const char *text, *source; /* what is asked; where docs/engine.md speaks of it */
};

typedef struct {
    const Question *q;
    const char     *op;    /* of the availability of an operation, else NULL */
    const char     *found, *expected; /* values as profiles write them; "" : none */
    const char     *note;  /* one line */
    Verdict         verdict;
    uint32_t        trials;
    Availability    is; /* with `op` */
} Finding;

/* A measured time, for the fit and the report. */
typedef struct {
    const char *series, *what; /* "chain", "depth 32" */
    Work        work;          /* of one evaluation */
    double      us, engine_us;
    double      rate;          /* in `unit`; 0: none */
    const char *unit;
} Sample;

struct Probe {
    Arena        *arena;
    const char   *device;
    const Target *base;     /* what findings are compared with */
    const char   *imitated; /* name of the engine that the host device imitates; NULL: none */
    TargetPath    dirs;
    Server        server;
    bool          quick, simulated;
    uint32_t      repeats; /* evaluations of a timed trial */
    Finding      *finding;
    uint32_t      findings, findings_cap;
    Sample       *sample;
    uint32_t      samples, samples_cap;
    struct {
        uint32_t ops;
        double   ms;
    } compiled[16]; /* compile times by statements */
    uint32_t      compilations;
    const char   *classes; /* table of the framework's classes */
    Trial         last;    /* the last trial */
    uint32_t      trials;  /* so far, and of the question at hand from here */
    uint32_t      trials_before;
    Buf           err; /* why the probe cannot go on; empty: it can */
};

/* ---- answers (ask.c) ---- */
void found(Probe *p, const Question *q, const char *note, const char *fmt, ...) ANEL_PRINTF(4, 5);
void open_question(Probe *p, const Question *q, const char *fmt, ...) ANEL_PRINTF(3, 4);
void found_op(Probe *p, const Question *q, const char *op, Availability is, const char *note);
bool probe_broken(const Probe *p);
/* The value found for a fact, as text; NULL: none. */
const char *found_value(const Probe *p, uint32_t fact);

/* ---- trials (ask.c) ---- */
typedef struct {
    const char *template;
    const char *values; /* as template_fill() takes them; NULL: the template's own */
    TrialKind   kind;
    uint32_t    times;
    size_t      surface;
    bool        outputs;
} Asked;
Outcome ask(Probe *p, Asked what);
/* Did the last program come out right: ran, and its first output begins with what `name` holds, element by element? */
bool    ask_echo(Probe *p, const char *template, const char *values, Outcome *out);
char   *values(Probe *p, const char *fmt, ...) ANEL_PRINTF(2, 3);
/* Element i of the tensor `name` of the template last asked about, which holds `rank` extents `dim`. */
double  held(const Probe *p, const char *pattern, const char *name, uint32_t version, int64_t i);

/* ---- searches (search.c): trials by number ---- */
typedef bool Works(Probe *p, const void *with, int64_t n);
/* The largest n from `low` to `high` that works, if all up to it do: low - 1: none, high: all. `hint` is tried first. */
int64_t search_largest(Probe *p, Works *works, const void *with, int64_t low, int64_t high, int64_t hint);
/* The smallest n from low to high that works, if all from it on do; high + 1: none. */
int64_t search_smallest(Probe *p, Works *works, const void *with, int64_t low, int64_t high, int64_t hint);
/* The smallest m up to `high` such that multiples of m work, and nothing else; 0: none. Works on n * 67. */
int64_t search_multiple(Probe *p, Works *works, const void *with, int64_t high, int64_t hint);

/* ---- the questions ---- */
extern const Question question[];
extern const uint32_t questions;
#define QUESTION(group, name, fact, ask, text, source) Ask ask;
#include "probe/questions.def"
/* All operations, as questions of the group "ops". */
uint32_t        op_questions(void);
const Question *op_question(uint32_t i);
void            ask_op(Probe *p, const Question *q);

/* ---- times ---- */
/* Add a sample of the template with these values, evaluated; false if it does not run. */
bool sample(Probe *p, const char *series, const char *what, const char *template, const char *values, Sample *out);
/* Rates from all samples, as findings of the facts that they determine. */
void fit_rates(Probe *p);
void fit_compile(Probe *p);

/* ---- results ---- */
void report_text(Probe *p, Buf *out);
void report_json(Probe *p, Buf *out);
/* The profile called `name`; `when` may be NULL. */
void profile_write(const Probe *p, const char *name, const char *when, Buf *out);
/* "m4", "Apple M4, macOS 15.1 (24B83)": of what it is a probe. */
void probe_subject(const Probe *p, Buf *out);

#endif
