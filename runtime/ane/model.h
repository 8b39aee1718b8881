/* model.h: one in-memory model of the private framework: from text and weight files to something that evaluates.
 *
 * The sequence is the one published projects share: descriptor, model, a directory named by the model's own hash that
 * holds the text and the weight files, compile (or a copy compiled by an earlier process), load, attributes. */
#ifndef ANEL_ANE_MODEL_H
#define ANEL_ANE_MODEL_H

#include "ane/library.h"
#include "device.h"

enum { ANE_QOS = 21 }; /* conventional; other values made no difference where somebody tried (maderix/ANE) */

typedef struct AneModel AneModel;

/* What a model is made with beyond text and files. */
typedef struct {
    const AneLibrary *lib;
    const char       *temporary; /* directory for the models' directories, ending in '/' */
    CfRef             options;   /* the dictionary for compile, load and evaluate; never NULL */
    bool              fresh;     /* compile even where a compiled copy of an earlier process exists */
    AneModel        **alive;     /* head of the list of all models: equal ones share a directory */
} AneModelSetup;

/* Compile and load. `donor`: do not compile but take its compiled parts, with these weights (reload). NULL with the
 * framework's reason in `err`; *from_copy tells whether a compiled copy was used, which may be the reason. */
AneModel *ane_model_new(const AneModelSetup *s, const char *mil, size_t len, const DeviceFile *file, size_t files,
                        const AneModel *donor, bool *from_copy, Buf *err);
/* Unload and remove the directory. NULL is fine. */
void   ane_model_free(AneModel *m);
ObjcId ane_model_object(const AneModel *m);

/* Where procedure `index` expects its surfaces: index[i] is the place among the model's symbols of input (output)
 * port i, found by name; bytes[i] what its surface must hold. False, with what does not fit, if the attributes are
 * missing something or contradict the ports: then nothing may be bound. */
typedef struct {
    int64_t *index;
    size_t  *bytes;
} AneBinding;
bool ane_model_bind(const AneModel *m, uint32_t procedure, const ProgramFunction *f, AneBinding *input,
                    AneBinding *output, Buf *err);

#endif
