/* plan_parse.h: what the two halves of the parser share: plan_parse.c (blocks) and plan_parse_steps.c (entries). */
#ifndef ANEL_PLAN_PLAN_PARSE_H
#define ANEL_PLAN_PLAN_PARSE_H

#include "base/intern.h"
#include "plan/plan_ops.h"
#include "plan/plan_text.h"

typedef struct {
    Text      t;
    Arena    *arena;
    Plan     *plan;
    Interner *buffers, *programs; /* string n is element n - 1 */
    bool      newer;              /* the file has a later minor version */
    uint32_t  config_cap, param_cap, state_cap, table_cap, program_cap, buffer_cap, stage_cap, entry_cap, train_cap;
} Parser;

/* A key that none of `known` (up to NULL) is: an error with a suggestion, or a line to skip in a file of a later
 * version. */
bool parse_unknown(Parser *ps, const char *where, const char *const *known);
/* Next line of a block opened on line `open`; *done at its closing brace. */
bool parse_block_line(Parser *ps, uint32_t open, bool *done);
/* A key that may come once. */
bool parse_once(Parser *ps, uint32_t *seen, uint32_t bit, const char *key);
/* One of `n` words. */
bool parse_one_of(Parser *ps, const char *const *word, uint32_t n, const char *what, uint32_t *out);
/* The buffer of a name read before. */
bool parse_find_buffer(Parser *ps, const char *name, uint32_t *out);
/* After the word "table": hash or unambiguous name of a table read before. */
bool parse_find_table(Parser *ps, uint32_t *out);

/* plan_recipe.c: a recipe, nested `depth` deep. NULL after a message. */
Recipe *parse_recipe(Parser *ps, int depth);

/* plan_stage.c: "stage SURFACE FIRST {" and what follows, after the word. */
bool parse_stage(Parser *ps);
/* "entry NAME {" and what follows, after the word. */
bool parse_entry(Parser *ps);

#endif
