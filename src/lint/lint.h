/* lint.h: the rules of rules.def as checks of MIL text and plans.
 *
 * A violation is a diagnostic whose code is the rule's id, ANE001 to ANE065, at its place in the MIL text; the first
 * one of each rule carries the evidence as a note, each one a remedy. What is wrong with the text itself keeps the
 * codes M0101 to M0504 of the reader (src/mil), unless it is what a rule says. */
#ifndef ANEL_LINT_LINT_H
#define ANEL_LINT_LINT_H

#include "mil/mil_file.h"
#include "plan/plan.h"
#include "target/target.h"

typedef enum { LEVEL_OFF, LEVEL_WARNING, LEVEL_ERROR } RuleLevel;
typedef enum {
    SCOPE_TEXT,
    SCOPE_OP,
    SCOPE_SHAPE,
    SCOPE_IO,
    SCOPE_CONSTANTS,
    SCOPE_RUNTIME,
    SCOPE_DRIVER,
    SCOPE_NUMERICS,
    SCOPE_COUNT
} RuleScope;
/* What finds a violation; flags. */
typedef enum {
    CHECKED_MIL = 1,      /* the MIL text alone */
    CHECKED_WEIGHTS = 2,  /* with the contents of weight files */
    CHECKED_PLAN = 4,     /* a plan's manifest */
    CHECKED_DEVICE = 8,   /* the device interface, when programs run */
    CHECKED_COMPILER = 16 /* the compiler, before there is a program */
} RuleChecked;

typedef struct {
    const char *id, *title, *evidence, *where, *remedy;
    RuleLevel   level;
    RuleScope   scope;
    unsigned    checked;
    Confidence  conf;
    uint32_t    projects; /* that say so, independently */
} Rule;

enum { RULE_FIRST = 1, RULE_LAST = 65 };
extern const Rule        rule_info[RULE_LAST + 1]; /* by number; the first row is empty */
extern const char *const rule_scope_name[SCOPE_COUNT];

/* What an engine does with a program that breaks a rule: effects.def. */
typedef enum {
    EFFECT_ADVICE,
    EFFECT_SLOW,
    EFFECT_WRONG,
    EFFECT_FAILS,
    EFFECT_REFUSED,
    EFFECT_TEXT,
    EFFECT_HOST,
    EFFECT_COUNT
} RuleEffect;
/* The effect of what a message of lint_mil() tells. */
RuleEffect violation_effect(const Diag *d);
/* What effects.def says of a rule, for people: "refused by its compiler (families h13 and h14)"; "" if nothing. */
const char *rule_effect_text(Arena *a, uint32_t rule);

/* The rule called "ANE039" (or "39"); 0 if there is none. */
uint32_t rule_find(const char *id);
/* "MIL, plan": what `checked` says, for people. */
const char *rule_checked_text(Arena *a, unsigned checked);
/* The whole table, one line a rule; as JSON, an array of records; and everything about one rule. */
void rules_list(Buf *out);
void rules_list_json(Buf *out);
void rule_explain(uint32_t rule, Buf *out);

typedef struct {
    const Target      *target;
    const char *const *allow; /* operations that pass rules 24 and 36 */
    uint32_t           allows;
    bool               rounded;   /* surfaces are allocated by device.h: ANE004 cannot happen */
    bool               all_files; /* every weight file is given: one that is missing is a violation of ANE050 */
    unsigned char      level[RULE_LAST + 1]; /* RuleLevel + 1 instead of the rule's own; 0: as it is */
} LintOptions;

struct MilUnit;

/* Check the MIL text that is source number `source` of ds->sources. The messages, sorted by place, go to `ds`; what was
 * read to `unit` (mil/mil_check.h), which may be NULL. */
void lint_mil(Arena *a, const LintOptions *o, Diags *ds, uint32_t source, const MilFile *file, uint32_t files,
              struct MilUnit *unit);

/* Rules about a plan as a whole: how many programs, which settings. `programs_at` and `train_at`: where to tell. */
void lint_manifest(const LintOptions *o, Diags *ds, const Plan *p, Span programs_at, Span train_at);
/* Everything in the plan directory `dir`; `sources` receives its texts (it is what ds->sources points to). */
void lint_plan(Arena *a, const LintOptions *o, Sources *sources, Diags *ds, const char *dir);

#endif
