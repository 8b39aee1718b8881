/* analyse.h: what a plan does, as figures: the programs and their work, what crosses their borders and why, what is left to
 * the CPU. Printing is done elsewhere (explain_text.c, explain_json.c), from nothing but these structures and the plan. */
#ifndef ANEL_EXPLAIN_ANALYSE_H
#define ANEL_EXPLAIN_ANALYSE_H

#include "plan/plan.h"
#include "target/published.h"
#include "work/mil_work.h"

/* Statements of MIL that come from one line of a source. */
typedef struct {
    const char *file;
    uint32_t    line, count;
} SourceCount;

/* A value in a port. */
typedef struct {
    const PlanPort *port;
    const PlanPart *part;
    bool            output;
    bool            saved; /* of the forward direction, read in the backward direction: a tap */
    bool            next;  /* an output that the same direction reads again */
} PortValue;

typedef struct {
    const PlanProgram *program;
    const PlanEntry   *entry;      /* of the figures: the trained one, else the first that runs it; NULL: none */
    bool               trained, backward;
    uint64_t           runs;       /* per evaluation of the entry: for the trained one, per micro-batch */
    bool               loop;       /* in a loop: once per layer */
    uint64_t           in, out;    /* channels, all ports together */
    Work               work;       /* of one evaluation */
    uint64_t           param_bytes; /* of work.weight_bytes, what comes from parameters; the rest are tables */
    bool               has_params;
    uint64_t           staged_bytes; /* of work.in_bytes, surfaces that hold weights */
    OpCount           *op;         /* most frequent first, then by name */
    uint32_t           ops;
    SourceCount       *source;     /* by file, then line */
    uint32_t           sources, sources_cap;
    PortValue         *value;
    uint32_t           values;
    int64_t           *ns;         /* predicted time of one evaluation on each target */
} AnalysedProgram;

/* What the CPU does in one direction of an entry; all in bytes of fp32, except surfaces. */
typedef struct {
    uint64_t steps;        /* operations executed */
    Work     work;         /* products and traffic of them */
    uint64_t staged_bytes; /* fp16 bytes that moves copy from or to surfaces */
} CpuWork;

typedef struct {
    const Plan      *plan;
    const char      *name, *hash; /* of the manifest */
    const PlanEntry *entry;       /* trained, or the first */
    uint64_t         accum;       /* micro-batches of one step */
    AnalysedProgram *program;
    uint32_t         programs;
    CpuWork          cpu[2][2];   /* forward, backward; outside of loops, inside */
    uint64_t         layers;      /* iterations of the longest loop of the entry that runs programs; 0: none */
    uint64_t         dispatches;  /* per micro-batch */
    uint64_t         compiles;    /* before the first step */
    /* After every update, as the plan says that programs get at parameters (PlanWeightMode), where devices can: */
    uint64_t         compiles_update; /* baked: instances with trained parameters */
    uint64_t         reloads_update;  /* reload: the same, given new weight files */
    uint64_t         staged_update;   /* dynamic: bytes written to surfaces of weights; elements with trained parameters in full */
    uint64_t         saved_channels; /* of a layer, in surfaces */
    const PlanBuffer **kept;         /* other stacks that the backward direction reads */
    uint32_t         kepts;
    bool             llama;       /* the layer has the form of the published kernels: `dims` says its widths */
    bool             square; /* and all its projections beside attention are as wide as the model */
    LayerDims        dims;
    PublishedKernel  published[PUBLISHED_KERNELS];
    int64_t         *published_ns[PUBLISHED_KERNELS]; /* on each target */
    const Target   **target;
    uint32_t         targets;
} Analysis;

/* Analyse the plan in directory `dir` for these targets; everything lives in `a`. NULL with a message: MIL text that is
 * missing or cannot be read. */
Analysis *plan_analyse(Arena *a, const Plan *plan, const char *dir, const char *hash, const Target *const *target,
                       uint32_t targets, Buf *err);

/* Sums over the programs of the entry: per layer (those in loops, once) or per micro-batch (each as often as it runs). */
typedef struct {
    uint32_t programs;
    Work     work;
    int64_t *ns;
} Totals;
Totals analysis_layer(Arena *a, const Analysis *x);
Totals analysis_microbatch(Arena *a, const Analysis *x);
/* The published kernels of one layer. */
Totals analysis_published(Arena *a, const Analysis *x);

/* Text for people, and a JSON document (with a newline). */
void explain_text(Arena *a, const Analysis *x, Buf *out);
void explain_json(Arena *a, const Analysis *x, Buf *out);

#endif
