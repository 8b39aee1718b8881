/* framework.h: what the files of the private framework's substitute share. framework.c: descriptors and models, compiling
 * and loading; compiled.c: what compiling leaves in a directory, a cache, and memory; attributes.c: what models tell of
 * themselves; request.c: surfaces as requests take them, requests, stats; evaluate.c: evaluation. */
#ifndef ANEL_FAKE_FRAMEWORK_H
#define ANEL_FAKE_FRAMEWORK_H

#include "device.h"
#include "fake.h"

#include "base/arena.h"
#include "base/hash.h"

typedef struct {
    Object           base;
    DataObject      *text;
    ContainerObject *weights;
} DescriptorObject;

typedef struct ModelObject ModelObject;

typedef struct {
    Object       base;
    ModelObject *model; /* not retained */
} InnerObject;

struct ModelObject {
    Object            base;
    DescriptorObject *descriptor;
    InnerObject      *inner;
    char              hex[HASH_HEX * 2];
    char              options[HASH_HEX]; /* of the first call that had some; "": none yet */
    bool              compiled, loaded, counted;
    unsigned          stats; /* mask */
    Program          *program;
    atomic_int        busy, evaluating; /* busy: compiled, loaded or unloaded by a thread now */
};

typedef struct {
    Object         base;
    SurfaceObject *surface;
} SurfaceHandle;

typedef struct {
    Object   base;
    uint64_t ns;
    bool     taken; /* by a request */
} StatsObject;

typedef struct {
    Object           base;
    ContainerObject *input, *input_index, *output, *output_index;
    StatsObject     *stats;
    int64_t          procedure;
} RequestObject;

typedef struct {
    Object   base;
    int64_t  first; /* `count` numbers from here on */
    uint64_t count;
} IndexSet;

extern Device *host; /* what really computes */

/* Put the error where the caller wants it; false. */
bool refuse(void **error, ErrorObject *why);
/* The arguments that compile, load and evaluate have in common; `options` has to be the same in all of them. */
void check_call(ModelObject *m, unsigned qos, void *options);

/* compiled.c */
/* A file in the directory of a model's files. */
char *in_directory(Arena *a, const ModelObject *m, const char *name);
char *read_whole(Arena *a, const char *path, size_t *len); /* NULL: there is none */
/* What is in the directory has to be what the descriptor holds. */
void check_directory(const ModelObject *m);
/* What compiling leaves in the directory and in the cache, and in memory for the faults that make weights stale. */
void leave_compiled(const ModelObject *m);
bool is_cached(const ModelObject *m);
void drop_cached(const ModelObject *m);
/* Did compiling, or somebody who copied its parts, leave something in the directory? */
bool has_parts(const ModelObject *m);
/* Compile with the host device, with the weights that a model in its state is loaded with. */
Program *build(const ModelObject *m, bool loading, Buf *err);

/* attributes.c */
/* The symbol that port i of procedure f is. */
int64_t symbol_of(const Program *p, uint32_t f, uint32_t i, bool output);

#endif
