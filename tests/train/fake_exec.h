/* fake_exec.h: an executor with a model in a few lines of C, behind the interface of runtime/exec.h.
 *
 * The model is a bigram table: logits of the next byte are the row of the current one. It keeps what matters to the
 * training loop honest: forward and backward use the weights of the last exec_bake(), gradients add up and are
 * multiplied by the loss scale, and they may be told to overflow. Entries: loss(x: tok[S], y: tok[S]), decode(token,
 * pos), and decode@4 for four tokens at once. */
#ifndef ANEL_TESTS_FAKE_EXEC_H
#define ANEL_TESTS_FAKE_EXEC_H

#include "runtime/exec.h"

enum { FAKE_VOCAB = 256, FAKE_SEQ = 16, FAKE_CONTEXT = 12, FAKE_PIECE = 4 };

/* A plan that fits the model, with these train settings (pairs of key and value, ended by NULL). */
Plan *fake_plan(Arena *a, const char *const *settings);
Exec *fake_open(const Plan *p);

/* Knobs and counters. */
typedef struct {
    double   overflow_above; /* a loss scale above it makes gradients overflow; 0: never */
    bool     nan_loss;
    uint64_t forwards, bakes;
    uint32_t lost;       /* bit i: the gradient of parameter i comes back as zeros, */
    uint64_t lost_after; /* after so many forward passes */
    int32_t  read, pieces; /* by the decode entries since states were reset: tokens; calls of decode@4 */
    int      raise_at; /* signal the process during this many-th forward pass; 0: never */
    uint32_t compiles; /* programs a bake compiles */
    uint64_t budget;   /* of them; 0: any number */
} FakeKnobs;
FakeKnobs *fake_knobs(Exec *e);

#endif
