/* framework.h: what the files of the private framework's substitute share. framework.c: descriptors, models and what they
 * tell of themselves; evaluate.c: surfaces as requests take them, requests, evaluation. */
#ifndef ANEL_FAKE_FRAMEWORK_H
#define ANEL_FAKE_FRAMEWORK_H

#include "device.h"
#include "fake.h"

#include "base/hash.h"

typedef struct {
    Object           base;
    DataObject      *text;
    ContainerObject *weights;
} DescriptorObject;

typedef struct {
    Object            base;
    DescriptorObject *descriptor;
    char              hex[HASH_HEX * 2];
    bool              compiled, loaded, counted;
    Program          *program;
    int               evaluating;
} ModelObject;

typedef struct {
    Object         base;
    SurfaceObject *surface;
} SurfaceHandle;

typedef struct {
    Object           base;
    ContainerObject *input, *input_index, *output, *output_index;
    int64_t          procedure;
} RequestObject;

typedef struct {
    Object   base;
    uint64_t ns;
} StatsObject;

extern Device *host; /* what really computes */

/* Put the error where the caller wants it; false. */
bool refuse(void **error, ErrorObject *why);
/* The arguments that compile, load and evaluate have in common. */
void check_call(const ModelObject *m, unsigned qos, void *options);
/* The symbol that port i of procedure f is. */
int64_t symbol_of(const Program *p, uint32_t f, uint32_t i, bool output);

#endif
