/* build.h: the plan under construction, shared by the files of the back end. Internal to the back end. */
#ifndef ANEL_BACKEND_ANE_BUILD_H
#define ANEL_BACKEND_ANE_BUILD_H

#include "backend_ane/backend.h"
#include "backend_ane/partition.h"

typedef struct Weights Weights; /* weights.h */

typedef struct {
    Arena         *a;
    const Module  *m;
    Plan          *plan;
    BackendResult *out;
    Diags         *ds;
    Partitions     parts;
    Weights       *weights; /* NULL: parameters are constants of the programs */
    uint32_t       params_cap, states_cap, tables_cap, programs_cap, buffers_cap, entries_cap, stages_cap, costs_cap;
    uint32_t *table_of; /* [m->tables * 3] 1 + the plan's table of a module's table and a PlanType; 0: not made yet */
} Builder;

/* Where in a port a value lies. */
typedef struct {
    ValueId  value;
    uint32_t port;
    uint64_t offset; /* elements */
} PortValue;

/* A program written into the plan: where its inputs and outputs lie. */
typedef struct {
    uint32_t   index; /* into Plan.program */
    PortValue *in, *out;
    uint32_t   ins, outs;
    uint32_t  *weight_port; /* surfaces of weights, bound to the last input ports */
    uint32_t   weight_ports;
} BuiltProgram;


/* program.c: write program `number` of `part` as MIL text, with `output` the values that leave it. `label` is what
 * people call each value of the graph; `name` is unique in the plan; instances run over first .. first + n - 1. False
 * after diagnostics. */
bool program_build(Builder *b, const Graph *g, const Partition *part, uint32_t number, const ValueId *output,
                   uint32_t outputs, const char **label, const char *name, int32_t first, int32_t n,
                   BuiltProgram *built);

/* verify.c: check every MIL text that was written against the engine's rules. False after diagnostics at the places of
 * the user's text that the statements come from. */
bool verify_programs(Builder *b);

/* groups.c: tell the user where a #[group] cannot be one program. */
void check_groups(Builder *b, const Graph *g, const Partition *part);

/* lower_entry.c: the steps of one entry. */
bool lower_entry(Builder *b, const Entry *entry);

/* describe.c: parameters, states, configuration, settings; tables. */
void     describe_leaves(Builder *b);
void     describe_settings(Builder *b);
uint32_t plan_table(Builder *b, PlanType type, PlanShape shape, const double *data, const char *name);
void     plan_add_file(Builder *b, const char *path, const char *data, size_t len);
PlanShape plan_shape(Shape s);
/* How a plan names a source file: "std/nn.anel" for the library, the file's own name otherwise: no machine's
 * folders. */
const char *plan_source_name(const char *name);

#endif
