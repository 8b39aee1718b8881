/* checkpoint.h: a run's state on disk.
 *
 *     run/
 *       LATEST                     text: the name of the newest complete checkpoint
 *       ckpt-200/
 *         model.safetensors        weights, fp32, under their parameter paths
 *         optimizer.safetensors    moments as "m.PATH" and "v.PATH"; counters and settings in its metadata
 *
 * A checkpoint appears under its name complete or not at all: its files are written into a hidden directory and
 * flushed, the directory is renamed, then LATEST is replaced. Whatever kills the process, the previous checkpoint stays
 * usable and the rubbish is removed by the next save. Every bit is covered by a checksum. */
#ifndef ANEL_TRAIN_CHECKPOINT_H
#define ANEL_TRAIN_CHECKPOINT_H

#include "base/hash.h"
#include "runtime/train/settings.h"

#define CHECKPOINT_MODEL     "model.safetensors"
#define CHECKPOINT_OPTIMIZER "optimizer.safetensors"

/* Where a run stands. Everything that is drawn at random is a function of these and the settings. */
typedef struct {
    uint64_t step;    /* steps done, skipped ones included */
    uint64_t updates; /* steps that changed the weights: the age of the moments */
    uint64_t cursor;  /* micro-batches drawn */
    uint64_t tokens;  /* predicted so far */
    double   loss_scale;
    uint64_t scale_clean, skipped, skipped_in_a_row; /* as in scaler.h */
    double   loss; /* of the last step, for listings */
    uint64_t losses, losses_hash; /* of all steps: how many, and receipt_hash_loss() over them */
} RunState;

typedef struct {
    const char *path;
    PlanShape   shape;
    size_t      numel;
    float      *value;
    float      *m, *v; /* NULL: the optimizer keeps none, or the parameter is frozen */
} CheckpointTensor;

typedef struct {
    const CheckpointTensor *tensor;
    uint32_t                tensors;
    const char             *model;     /* its name, for messages */
    const char             *plan_hash; /* HASH_HEX bytes */
} CheckpointLayout;

/* Save as RUN/ckpt-STEP and make it the latest; then delete older ones so that `keep` remain (0: all). False with a
 * sentence in `err`; earlier checkpoints are then untouched. */
bool checkpoint_save(const char *run, const CheckpointLayout *l, const RunState *state, const Settings *settings,
                     uint64_t keep, Buf *err);

/* The checkpoint directory that `path` means: itself, or if it is a run's directory the one LATEST names. NULL with a
 * sentence if there is none. */
const char *checkpoint_find(Arena *a, const char *path, Buf *err);
/* True if the directory holds any checkpoint. */
bool checkpoint_any(const char *run);
/* Remove all checkpoints and LATEST from a run's directory. */
bool checkpoint_clear(const char *run, Buf *err);

/* Read the settings stored in a checkpoint directory into `s`, over what it holds. The checkpoint is verified. */
bool checkpoint_settings(Arena *a, const char *dir, Settings *s, Buf *err);
/* Read weights, and with `state` also moments and counters, into the memory the layout names. Fails, leaving the memory
 * in no particular state, if a file is damaged (the message names it and the newest older checkpoint that is whole) or
 * if the checkpoint belongs to another model (it names the first parameter that differs). `note` receives a sentence
 * when the plan is not the one the checkpoint was made with. */
bool checkpoint_load(const char *dir, const CheckpointLayout *l, RunState *state, Buf *note, Buf *err);

/* Keep other processes from training into the same directory, which is created. The lock ends with the process or with
 * checkpoint_unlock(). -1 with a sentence in `err` when somebody holds it or the directory cannot be written. */
int  checkpoint_lock(const char *run, Buf *err);
void checkpoint_unlock(int lock);

#endif
