/* model.h: one in-memory model of the private framework: from text and weight files to something that evaluates.
 *
 * The sequence is the one published projects share (docs/engine.md E411 to E418): descriptor, model, a directory named by
 * the model's own hash that holds the text and the weight files, compile (or a copy compiled by an earlier process), load,
 * attributes; and at the end unload, release, remove the directory (E441). */
#ifndef ANEL_ANE_MODEL_H
#define ANEL_ANE_MODEL_H

#include "ane/explain.h"
#include "ane/library.h"
#include "device.h"

enum { ANE_QOS = 21 }; /* conventional; 0 to 63 made no difference (docs/engine.md E337) */

typedef struct AneModel AneModel;

/* What the models of a device have in common. */
typedef struct {
    const AneLibrary *lib;
    char             *temporary; /* directory for the models' directories, ending in '/' */
    CfRef             options;   /* the dictionary for compile, load and evaluate; never NULL */
    unsigned          retries;   /* of a failed compilation, waiting longer each time: under load some fail by chance */
    bool              fresh;     /* compile even where a compiled copy of an earlier process exists */
    uint32_t          alive;     /* models */
    uint32_t          control;   /* with so many alive the smallest program was compiled; 0: not tried, or refused */
    unsigned          stats;     /* mask of what the engine is to measure; 0: nothing */
    uint64_t         *compiled;  /* hashes of the texts that were compiled in this process */
    size_t            texts;
    Buf               notes;     /* what went wrong where nobody could be told; sentences */
} AneModels;

void ane_models_free(AneModels *all); /* what it owns, `options` among it */

/* How making a model went. */
typedef struct {
    Refusal  refusal;
    bool     from_copy; /* a compiled copy of the system's was used, which may be the reason */
    bool     compiled;
    uint64_t compile_ns, load_ns;
} AneMaking;

/* Compile and load. `donor`: do not compile but take its compiled parts, with these weights (reload). NULL with the
 * framework's reason, and what may be behind it, in `err`. */
AneModel *ane_model_new(AneModels *all, const char *mil, size_t len, const DeviceFile *file, size_t files,
                        AneModel *donor, AneMaking *making, Buf *err);
/* Make the system forget its compiled copy. */
void ane_model_purge(const AneModel *m);
/* Unload, release, remove the directory. NULL is fine. */
void   ane_model_free(AneModel *m);
ObjcId ane_model_object(const AneModel *m);
/* The model inside, an _ANEModel; NULL where the framework has none. Not retained: it lives as long as the model. */
ObjcId ane_model_inner(const AneModel *m);
/* The framework's number for its state, -1 if it does not tell. 3 is loaded (docs/engine.md E418). */
int64_t ane_model_state(const AneModel *m);

#endif
