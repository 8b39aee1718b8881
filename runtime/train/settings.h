/* settings.h: the settings of a training run, from the table train.def.
 *
 * Values come in layers, later ones winning: the plan's `train` section, a checkpoint that is continued, and `--set
 * key=value` on the command line. What nobody gave has the default of the table, which may depend on a choice: the
 * default of optimizer.lr is another for sgd than for lion. Each value is checked alone when it is set (kind, range,
 * spelling of key and word), the combination once by settings_check(). */
#ifndef ANEL_TRAIN_SETTINGS_H
#define ANEL_TRAIN_SETTINGS_H

#include "base/buf.h"
#include "plan/plan.h"

#include <stdbool.h>

typedef enum { DATA_BYTES, DATA_TEXT, DATA_TOKENS_U16, DATA_TOKENS_U32, DATA_NOISE, DATA_COPY_TASK } DataKind;
typedef enum { SAMPLE_RANDOM, SAMPLE_SEQUENTIAL, SAMPLE_SHUFFLED } DataSample;
typedef enum { OPTIM_SGD, OPTIM_ADAM, OPTIM_ADAMW, OPTIM_LION } OptimKind;
typedef enum { LR_CONSTANT, LR_WARMUP_COSINE, LR_WARMUP_LINEAR, LR_STEP, LR_WSD } ScheduleKind;
typedef enum { SCALE_NONE, SCALE_FIXED, SCALE_DYNAMIC } ScaleKind;

/* One field per key of the table, with the units given there. Choices are stored as indices of the enums above. */
typedef struct {
    uint32_t    data; /* DataKind */
    const char *data_path;
    uint32_t    data_sample; /* DataSample */
    uint64_t    data_seed;
    double      data_holdout;
    const char *tokenizer; /* file; "": none */
    uint32_t    optimizer; /* OptimKind */
    double      lr, beta1, beta2, eps, decay, momentum;
    uint32_t    schedule; /* ScheduleKind */
    uint64_t    warmup, total;
    double      floor;
    uint64_t    drop_every;
    double      drop_factor, wsd_decay;
    double      clip;
    uint64_t    accum;
    uint64_t    deterministic; /* 0 or 1 */
    uint32_t    loss_scale; /* ScaleKind */
    double      scale_value, scale_init;
    uint64_t    scale_growth_every;
    uint64_t    seed, steps;
    const char *eval;
    uint64_t    eval_every, eval_windows, save_every, keep;
    uint32_t    keep_best; /* bool */
    uint64_t    given;    /* bit i: somebody set settings_key(i) */
    uint64_t    insisted; /* bit i: the user did, on the command line */
    uint64_t    data_verified, eval_verified; /* data_stamp() of data whose ids were checked already; 0: none */
} Settings;

/* All defaults. */
void settings_default(Settings *s);
/* Set one value; its text is copied into `a`. False with one sentence in `err` for an unknown key (with a suggestion),
 * an unknown word, a malformed number or one out of range; `s` is then unchanged. */
bool settings_set(Settings *s, Arena *a, const char *key, const char *value, Buf *err);
/* The same on behalf of the user: settings_check() will complain if the setting has no effect. */
bool settings_insist(Settings *s, Arena *a, const char *key, const char *value, Buf *err);
/* Defaults, then the plan's settings. */
bool settings_from_plan(Settings *s, Arena *a, const Plan *p, Buf *err);
/* Rules between settings: a choice has all it needs and is told nothing that belongs to another one. Call when all
 * layers are in. */
bool settings_check(const Settings *s, Buf *err);
/* True if there is something to evaluate on: a file of its own, a part of the training file, or, for synthetic data,
 * the wish to. */
bool settings_evaluates(const Settings *s);

/* The keys, for listings and checkpoints: 0 .. settings_count() - 1. */
uint32_t    settings_count(void);
const char *settings_key(uint32_t i);
/* Whether the setting has a meaning with the present choices. */
bool settings_applies(const Settings *s, uint32_t i);
/* The value as text that settings_set() reads back exactly. */
void settings_value(const Settings *s, uint32_t i, Buf *out);
/* "adamw": the word of a choice. */
const char *settings_word(const Settings *s, const char *key);
/* The whole table for people. */
void settings_help(Buf *out);

#endif
