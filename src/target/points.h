/* points.h: published times of the engine, each with a description of the work, to compare predictions with.
 *
 *     point "M4: 32 convolutions"
 *       target m4
 *       ms 0.160                     # or the two ends of a published range: ms 8.9 10.2
 *       source "maderix/ANE, issue 3"
 *       programs 1                   # a program that is evaluated once; what follows is in it
 *       in 512 64                    # channels, positions
 *       conv 512 512 64 32 shared    # in, out, positions, how many (1), with the same weights
 *       out 512 64
 *
 * More lines of a program: `matmul M K N COUNT` (two activations), `touch CHANNELS POSITIONS TIMES` (elementwise work
 * that reads or writes so much), `kernel NAME D H HEADS SEQ` (one of published.h), `inside D H HEADS SEQ LAYERS` (the
 * forward kernels of so many layers without what they save: one fused program). Of a point: `compile` (the time is that
 * of compiling), `note TEXT`, `left_out WHY` (not to be predicted: the reason). */
#ifndef ANEL_TARGET_POINTS_H
#define ANEL_TARGET_POINTS_H

#include "target/cost.h"

typedef struct {
    uint32_t times; /* evaluations, or compilations */
    Work     work;
} PointProgram;

typedef struct {
    const char   *name, *target, *source, *note, *left_out; /* the last two may be NULL */
    double        low, high;                                /* ms; equal for a single figure */
    bool          compile;
    PointProgram *program;
    uint32_t      programs, cap;
} Point;

typedef struct {
    Point   *point;
    uint32_t points, cap;
} Points;

/* Read the file at `path` into `a`. False after diagnostics. */
bool   points_read(Arena *a, Sources *sources, const char *path, Diags *ds, Points *out);
/* What the model says of it, in ms. */
double point_predicted(const Point *p, const Target *t);
/* (predicted - published) / published, to the nearer end of a range; 0 inside it. */
double point_error(const Point *p, double predicted);

#endif
