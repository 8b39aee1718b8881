/* dist_driver.h: the seam between dist.c, which all builds have, and dist_mpi.c, which those with MPI have. dist_none.c
 * stands in for the latter. Only for these files. */
#ifndef ANEL_RUNTIME_DIST_DRIVER_H
#define ANEL_RUNTIME_DIST_DRIVER_H

#include "dist.h"

#include <pthread.h>
#include <stdatomic.h>

/* A part of a message: up to one whole span. */
typedef struct {
    float   *at;
    size_t   n;
    uint32_t span;
} DistPiece;

/* Consecutive pieces that travel together. */
typedef struct {
    uint32_t first, pieces;
    size_t   n;
} DistMessage;

struct DistReduce {
    Dist        *dist;
    DistPiece   *piece;
    DistMessage *message;
    uint32_t     pieces, messages, spans;
    size_t       longest; /* message of several pieces */
    /* under Dist.lock */
    bool    *ready; /* [spans] */
    uint32_t started, done; /* messages */
    bool     active, waiting;
    double   began;
    DistReduceStats stats;
    void *driver; /* the driver's memory for messages under way */
};

/* What the communicating thread is asked to do. */
typedef enum { DIST_SUM, DIST_MAX, DIST_FOLD, DIST_LEAVE } DistOpKind;
typedef struct {
    DistOpKind      kind;
    double         *x; /* DIST_SUM, DIST_MAX */
    size_t          n;
    float         **part; /* DIST_FOLD */
    const uint32_t *parts;
    float          *out;
    DistFold       *fold;
    void           *with;
} DistOp;

struct Dist {
    uint32_t rank, size, local, local_rank;
    bool     alone; /* no driver runs: a job of one rank */
    pthread_t       thread;
    pthread_mutex_t lock;
    pthread_cond_t  wake, answer; /* to the thread; from it */
    /* under `lock` */
    bool        started, failed_to_start;
    Buf         why;
    DistOp     *op; /* NULL: none, or done */
    DistReduce *reduce; /* active, or NULL */
    /* what dist_fail() says; set once, never cleared */
    const char *_Atomic message;
};

/* Body of the communicating thread: start MPI, set rank, size, local, local_rank and `started` (or `failed_to_start` and `why`), do
 * what is asked until DIST_LEAVE. */
void *dist_driver_run(void *dist);
/* Was MPI built in? */
bool dist_driver_built(void);
/* Free DistReduce.driver. */
void dist_driver_release(DistReduce *r);

#endif
