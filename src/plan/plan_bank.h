/* plan_bank.h: which instances of programs are compiled as one.
 *
 * A plan may say (`functions`) that instances share a compilation: each is a function of one program, a *bank*. Who counts
 * compilations (anec explain, anec lint) and who makes them (the runtime) has to divide instances alike, so the rule is
 * here and nowhere else:
 *
 *   - instances come in the order in which they are first needed;
 *   - those made of a trained parameter and all others never share a bank: the latter are compiled once, the former
 *     after every update;
 *   - a bank is full when it has `functions` instances, or when with the next one its weights had more than `bank_bytes`.
 *     A file that instances share counts once. An instance that is larger than that is alone. */
#ifndef ANEL_PLAN_PLAN_BANK_H
#define ANEL_PLAN_PLAN_BANK_H

#include "plan/plan.h"

typedef struct {
    uint32_t program, k; /* instance first + k */
} PlanInstance;

typedef struct {
    PlanInstance *member;
    uint32_t      members;
    bool          trained; /* it has to be made anew after an update */
} PlanBank;

/* The instances that the parts of an entry run, the first needed first, each once. Their number; the list is `a`'s. */
uint32_t plan_instances(const Plan *p, Arena *a, uint32_t entry, bool forward, bool backward, PlanInstance **out);
/* Is the value of a recipe made of a parameter that training changes, for instance k, which belongs to this index of the
 * loop? */
bool plan_recipe_trained(const Plan *p, const Recipe *r, uint32_t k, int32_t index);
/* Has it a constant made of a parameter that training changes? */
bool plan_instance_trained(const Plan *p, PlanInstance x);
/* Divide instances, each given once. The number of banks, in the order of their first members. */
uint32_t plan_banks(const Plan *p, Arena *a, const PlanInstance *x, uint32_t n, PlanBank **out);

/* A table under the name of its contents: the same file for all functions of a bank. */
bool plan_weight_shared(const Plan *p, const PlanWeight *w);
/* Bytes of its file: header, metadata, numbers. */
uint64_t plan_weight_bytes(const PlanWeight *w);

#endif
