/* session.h: an opened plan with the parameters of a run: what training, evaluation and generation start from. */
#ifndef ANEL_TRAIN_SESSION_H
#define ANEL_TRAIN_SESSION_H

#include "runtime/dist.h"
#include "runtime/exec.h"
#include "runtime/train/checkpoint.h"
#include "runtime/train/data.h"

typedef struct {
    const char      *plan_dir;
    const Plan      *plan;
    Exec            *exec;
    char             plan_hash[HASH_HEX];
    Settings         settings;
    Tokenizer       *tokenizer; /* NULL: none */
    CheckpointLayout layout; /* of all parameters; moments as session_moments() made them */
    CheckpointTensor *tensor;
    float           *moment; /* one slab: m of all tensors, then v; NULL: none, or not its own */
    uint64_t         parameters; /* single numbers */
    Dist            *dist;       /* the job; NULL: of one rank. The caller's */
    Pool            *pool;       /* the caller's; NULL: its thread alone */
    struct Window   *window;     /* dist_window.h, while training */
    struct RunResult *result;    /* the caller's: how training ended (run_result.h); NULL: nobody asks */
} Session;

/* Fill `s` from an executor opened on `plan`; lists live in `a`. */
void session_init(Session *s, Arena *a, const Plan *plan, const char *plan_dir, const char *plan_hash, Exec *exec);
/* Lay out the moments that the settings' optimizer keeps for parameters that are trained, in `slab` (two numbers for
 * each of the executor's, zeroed or holding what an earlier image of this run left), or with NULL in memory of the
 * session's own. */
void session_moments(Session *s, float *slab);
void session_finish(Session *s); /* frees moments of its own and the tokenizer; exec and plan are the caller's */

/* Open the tokenizer that the settings name, if any; once. False with a sentence in `err`. */
bool session_tokenizer(Session *s, Buf *err);

/* The data inputs of an entry, in its order, pointing into the executor. */
Feed *session_feeds(const Session *s, Arena *a, uint32_t entry, uint32_t *count);
/* The entry the plan trains; false with a sentence if there is none or its result is not one number. */
bool session_train_entry(const Session *s, uint32_t *entry, Buf *err);

typedef struct {
    double   loss;    /* mean over all windows, nats per token for a language model */
    uint64_t batches, tokens;
    uint64_t bytes;   /* of text that the predicted tokens stand for; 0: unknown */
    double   seconds;
} Evaluation;

/* The loss of `entry` over the evaluation windows of `d`, at most `windows` of them (rounded up to whole batches). The
 * entry's forward programs are baked. Overwrites the entry's inputs. */
bool session_evaluate(Session *s, uint32_t entry, const Data *d, uint64_t windows, Evaluation *out, Buf *err);
/* Bits per byte of text, which unlike nats per token compares models with different tokenizers: the loss of all tokens
 * together, in bits, by the bytes of the text they stand for. 0 if those are unknown. */
double evaluation_bits_per_byte(const Evaluation *e);
/* "loss 2.4312 nats/token, 3.5075 bits/byte, perplexity 11.37 (16384 tokens)" */
void evaluation_text(const Evaluation *e, Buf *out);

#endif
