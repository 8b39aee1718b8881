/* target.h: target profiles: what is known of one kind of engine, as a text file with the evidence beside each fact.
 *
 *     # comment
 *     target m4
 *     inherits any
 *     max_axis 65536      shown     "last axis 65536 compiles, 65537 does not (one project)"
 *     reload   unknown    disputed  "two projects report ..., one shows ..."
 *     op gelu  quirk      shown     "mode must be given"
 *
 * One fact a line: name, value, how well it is known, evidence (which only what is `assumed` may lack). Names, kinds
 * and defaults stand in target.def; `op` lines say whether the engine runs a MIL operation. A profile starts from the
 * one it `inherits`, or from `any`, the conservative defaults. Profiles are looked for beside the standard library; a
 * user may give a file of his own. docs/targets.md is the description for people. */
#ifndef ANEL_TARGET_TARGET_H
#define ANEL_TARGET_TARGET_H

#include "base/diag.h"
#include "base/hash.h"

#include <stdbool.h>
#include <stdint.h>

/* How well a fact is known. */
typedef enum {
    CONF_ASSUMED,  /* nobody showed it: a default or a choice */
    CONF_DERIVED,  /* follows from other facts by arithmetic */
    CONF_DISPUTED, /* sources disagree; the value is the one all would accept */
    CONF_SHOWN,    /* on hardware, by one project */
    CONF_AGREED,   /* on hardware, by several independent projects */
    CONF_COUNT
} Confidence;
extern const char *const confidence_name[CONF_COUNT];

typedef enum { FAMILY_UNKNOWN, FAMILY_H13, FAMILY_H14, FAMILY_H15, FAMILY_H16, FAMILY_H17 } Family;
typedef enum { IO_SINGLE, IO_MULTI } IoMode;
typedef enum { TRI_UNKNOWN, TRI_NO, TRI_YES } Tri;
typedef enum { WHERE_ANY, WHERE_CPU } Where;

/* Does the engine run a MIL operation? */
typedef enum {
    OP_UNKNOWN, /* nobody says */
    OP_NO,      /* shown failing */
    OP_DISPUTED,
    OP_QUIRK,   /* runs, but see the evidence */
    OP_YES
} Availability;

typedef struct {
    const char  *op;
    Availability is;
    Confidence   conf;
    const char  *evidence;
} TargetOp;

typedef struct {
    Confidence  conf;
    const char *evidence; /* "" where there is none */
    const char *from;     /* name of the profile that says it */
} Evidence;

enum {
#define FACT(name, kind, default_, unit, help) FACT_##name,
#include "target/target.def"
    FACT_COUNT
};

typedef const char *target_text;
typedef int64_t     target_int;
typedef double      target_real;
typedef bool        target_flag;
typedef Family      target_word_family;
typedef IoMode      target_word_io;
typedef Tri         target_word_tri;
typedef Where       target_word_device;

typedef struct Target {
    const char *name;
#define FACT(name, kind, default_, unit, help) target_##kind name;
#include "target/target.def"
    Evidence  evidence[FACT_COUNT];
    TargetOp *op;
    uint32_t  ops, ops_cap;
} Target;

/* The defaults of target.def and op.def: the conservative profile, without its evidence. It is static and read-only. */
const Target *target_any(void);

/* Where to look: <dir>/targets/<name>.target, in this order. */
typedef struct {
    const char *const *dir;
    uint32_t           dirs;
} TargetPath;

/* The profile called `name`, or the file `name` if it contains a '/' or ends in ".target". It and all it refers to live
 * in `a`. NULL after diagnostics: no such profile (the message lists those there are), a mistake in it (E10..). */
const Target *target_load(Arena *a, Sources *sources, const char *name, TargetPath where, Diags *ds);

/* What the profile says of an operation; OP_UNKNOWN with NULL evidence if nothing. */
TargetOp target_op(const Target *t, const char *op);

/* All facts of a profile with their evidence, in the profile's own format; unit and origin are comments. */
void target_print(const Target *t, Buf *out);
/* Hash of the values (not of the evidence, nor of name, chip and description): what a plan depends on. */
void target_hash(const Target *t, char out[HASH_HEX]);
/* Does it say the same as target_any()? */
bool target_is_any(const Target *t);

/* Names of the profiles, sorted, each once; NULL ends the list. */
const char **targets_find(Arena *a, TargetPath where);
/* Name, chip and one line of each; --target help. Profiles with mistakes are listed as such. */
void targets_list(Arena *a, TargetPath where, Buf *out);

/* ---- facts as data ---- */
typedef enum {
    KIND_int,
    KIND_real,
    KIND_flag,
    KIND_text,
    KIND_word_family,
    KIND_word_io,
    KIND_word_tri,
    KIND_word_device
} FactKind;

typedef struct {
    const char *name, *unit, *help;
    FactKind    kind;
    size_t      offset; /* in Target */
} FactInfo;
extern const FactInfo fact_info[FACT_COUNT];
extern const char *const availability_name[OP_YES + 1];

/* The number of the fact of that name, or FACT_COUNT. */
uint32_t fact_by_name(const char *name);
/* Values a fact may have, for messages: "a whole number from 1 to 6", "one of single, multi". */
void fact_values(const FactInfo *f, Buf *out);
/* Store `text` as the value of a fact. False if it is none of its values. `text` of a text fact is kept. */
bool fact_parse(const FactInfo *f, Target *t, const char *text);
void fact_print(const FactInfo *f, const Target *t, Buf *out);

#endif
