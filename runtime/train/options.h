/* options.h: the command line of `anerun PLAN`, as a value. */
#ifndef ANEL_TRAIN_OPTIONS_H
#define ANEL_TRAIN_OPTIONS_H

#include "base/buf.h"

#include <stdbool.h>

typedef struct {
    const char *key, *value;
} Override;

typedef struct {
    const char *plan;
    bool        help, train, overwrite, no_save, quiet, profile, resume, untrained, check, bench, json, refused_weights;
    bool        deterministic, mpi, latency;
    const char *help_topic;  /* NULL: the overview */
    const char *eval;        /* file */
    const char *generate;    /* prompt */
    const char *prompts;     /* file of prompts */
    const char *stop;        /* text to end before */
    const char *export, *format, *dtype;
    const char *resume_from; /* NULL with `resume`: the run's own directory */
    const char *checkpoint;
    const char *weights; /* file of another program */
    const char *merge;   /* file for the weights with adapters merged */
    const char *out, *log, *report, *sample, *trace, *receipt;
    const char *device, *numerics, *reduce, *target;
    uint64_t    compile_budget; /* UINT64_MAX: the plan's */
    uint64_t    functions, die; /* 0: the plan's */
    const char *print_banks;
    const char *reload;         /* NULL: remembered */
    double      eval_timeout;   /* seconds; 0: none, -1: the device's */
    uint64_t    threads, stop_at, tokens, top_k, generate_seed;
    double      temperature, top_p;
    Override   *override; /* settings, in the order given */
    uint32_t    overrides, overrides_cap;
} Options;

/* Parse arguments 1 .. argc-1. Strings point into argv or live in `a`. False with a sentence: an unknown option (with a
 * suggestion), a missing or malformed value, no plan, or options that exclude each other. */
bool options_parse(Options *o, Arena *a, int argc, char **argv, Buf *err);

/* The text of --help. `topic` NULL: an overview that fits a screen of 24 lines of 80 columns; a topic of the table, or
 * "settings": everything on it; "all": everything. False with a sentence in `err` that lists the topics. */
bool options_help(Buf *out, const char *topic, Buf *err);

#endif
