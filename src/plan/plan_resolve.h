/* plan_resolve.h: what the parts of plan_resolve() share: plan_resolve.c (definitions, entries),
 * plan_resolve_steps.c. */
#ifndef ANEL_PLAN_PLAN_RESOLVE_H
#define ANEL_PLAN_PLAN_RESOLVE_H

#include "base/intern.h"
#include "plan/plan_ops.h"

enum { CHECK_MAX_ITERATIONS = 4096 };

typedef struct {
    uint32_t *group; /* [leaf] its group's number */
    uint32_t  cap;
} Leaves;

typedef enum { PART_FORWARD, PART_BACKWARD, PART_UPDATE } EntryPart;
extern const char *const entry_part_name[3];

typedef struct {
    Plan            *p;
    Arena           *arena;
    Buf             *err;
    Interner        *params, *states; /* path n is leaf n - 1 */
    Leaves           param, state;
    const PlanStage **stage; /* [buffer] the weights it holds, or NULL */
    const Step      *loop; /* the loop we are in, or NULL */
    const PlanEntry *entry;
    EntryPart        part; /* of the entry, whose steps are looked at */
    uint64_t         lookups; /* of leaves, bounded so that a small file cannot cost hours */
} Check;

/* Append a sentence to the message; always false. */
bool        check_fail(Check *c, const char *fmt, ...) ANEL_PRINTF(2, 3);
const char *check_shape_text(Check *c, PlanShape s);
/* Ids of a pattern's leaves for loop indices first .. first + n - 1 (one id when it has no "{L}" and n is 1), and their
 * common shape. NULL, with a message that begins with `where`, if there is no such leaf. */
uint32_t *check_leaf_ids(Check *c, const char *where, bool param, const char *pattern, int32_t first, int32_t n,
                         PlanShape *shape);
/* plan_recipe.c: fill in and check shapes and parameters of recipe `r` for loop indices first .. first + n - 1, nested
 * `depth` deep. False with a message that begins with `where`. */
bool check_recipe(Check *c, const char *where, int32_t first, int32_t n, Recipe *r, int depth);
/* plan_stage.c: the weights in surfaces; fills c->stage. */
bool check_stages(Check *c);
/* The steps of a list; of c->loop, if it is set. */
bool check_steps(Check *c, Step *step, uint32_t n);

#endif
