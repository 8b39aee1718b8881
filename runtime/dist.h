/* dist.h: the processes of one job ("ranks"), and what they do together.
 *
 * Started by itself, a process is a job of one rank: every function here then returns at once and nothing of MPI is
 * touched. Started by mpirun, a thread of its own owns MPI: it initialises, communicates and finalises, and everybody
 * else asks it, so that MPI_THREAD_FUNNELED is enough. While it waits for messages it sleeps between looks instead of
 * spinning: the processors belong to the training.
 *
 * Functions marked "collective" are called by all ranks, in the same order, with arguments of the same sizes. Errors of
 * communication end the job; nobody has to check for them. One thread at a time, except where said otherwise. */
#ifndef ANEL_RUNTIME_DIST_H
#define ANEL_RUNTIME_DIST_H

#include "base/buf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct Dist Dist;

/* Join the job this process was started in: MPI is used if the environment shows a launcher, or if `insist`. NULL with
 * a sentence: one of several processes, or insisting, without MPI built in; or MPI does not start. */
Dist *dist_open(bool insist, Buf *err);
/* Leave the job in peace: collective, returns when all ranks have called it. NULL is fine. */
void dist_close(Dist *d);
/* Before dist_open(): is this the process that should speak, as far as the environment tells? For messages that all
 * ranks would print alike. */
bool dist_spokesman(void);

/* For NULL and single processes: 0, 1, 1. */
uint32_t dist_rank(const Dist *d);
uint32_t dist_size(const Dist *d);
uint32_t dist_local(const Dist *d); /* ranks on this machine */
uint32_t dist_local_rank(const Dist *d); /* of this process among those; 0 for NULL and single processes */

/* End the whole job with one message, "anerun: rank 1 of 4: MESSAGE", and exit status 1. Any rank may call it at any
 * time, several at once too: one of them is heard. Rank 0 prints, whoever fails. Only in jobs of several ranks. */
void dist_fail(Dist *d, const char *message) ANEL_NORETURN;

/* ---- small things: collective, in place; afterwards all ranks hold the same bits ---- */
void dist_sum(Dist *d, double *x, size_t n);
void dist_max(Dist *d, double *x, size_t n);
/* Do all ranks have the same `n` bytes? False on the first rank whose bytes differ from those of rank 0: it should call
 * dist_fail(), for whose end of the job the others wait in here. */
bool dist_same(Dist *d, const void *bytes, size_t n);

/* ---- sums of large memory, while others still compute ---- */
typedef struct {
    float *at;
    size_t n;
} DistSpan;
typedef struct DistReduce DistReduce;
/* Sums over ranks of `span[0 .. spans)`, in place, in messages of about `bytes` that hold spans in the order given:
 * small ones together, large ones in pieces. Collective; the same lengths everywhere. The list is copied. */
DistReduce *dist_reduce_new(Dist *d, const DistSpan *span, uint32_t spans, size_t bytes);
void        dist_reduce_free(DistReduce *r); /* NULL is fine */
/* Begin a round: no span is ready. */
void dist_reduce_start(DistReduce *r);
/* Span i will not be written before the round ends. From any thread; once per span and round. A message leaves when all
 * its spans and those of all messages before it are ready. */
void dist_reduce_ready(DistReduce *r, uint32_t i);
/* Collective: return when all spans hold their sums; all are ready now, or will be. */
void dist_reduce_wait(DistReduce *r);
typedef struct {
    uint64_t bytes, messages; /* summed since dist_reduce_new() */
    double   seconds, waited; /* from the first message to the last sum; of that, in dist_reduce_wait() */
} DistReduceStats;
DistReduceStats dist_reduce_stats(const DistReduce *r);

/* ---- sums in an order of the caller's ---- */
/* Combine vectors: in[0 .. k) of n numbers each, by rank and within a rank in the order given to dist_fold(). They may
 * be overwritten. Returns the one that holds the result. Called for pieces of the vectors; what it computes for an
 * element depends on that element alone. */
typedef float *DistFold(void *with, float **in, size_t n);
/* Rank i has parts[i] vectors of `n` numbers (part: this rank's); afterwards every rank has the result of `fold` over all
 * of them in `out`, which may be one of its own. Every piece is folded by one rank, which hands it to the others.
 * Collective; with one rank too. */
void dist_fold(Dist *d, float **part, const uint32_t *parts, size_t n, float *out, DistFold *fold, void *with);

#endif
