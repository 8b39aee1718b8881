/* generate.h: text from a trained model. */
#ifndef ANEL_TRAIN_GENERATE_H
#define ANEL_TRAIN_GENERATE_H

#include "runtime/train/sample.h"
#include "runtime/train/session.h"

#include <stdio.h>

/* What it took, without making the programs. Add up over several prompts. */
typedef struct {
    uint64_t read, written; /* tokens of prompts; new ones, those that ended a text included */
    double read_seconds, write_seconds;
} GenerateStats;

typedef struct {
    const char *prompt; /* text; or ids separated by blanks, for models whose tokens are not bytes */
    const char *stop;   /* end before this text, or this id; NULL: nowhere */
    uint64_t tokens;    /* at most so many new ones */
    SampleOptions sampling;
    uint64_t seed;
    FILE *out;            /* prompt and continuation, flushed after every token */
    FILE *note;           /* where a remark goes when the context is full */
    const char *end;      /* written behind the text; NULL: the end of the line, if it is of ids */
    GenerateStats *stats; /* NULL: not asked for */
} GenerateOptions;

/* Continue the prompt with the plan's `decode` entries (decoder.h). With a tokenizer in the settings, which is opened
 * here, the prompt is text, begins with BOS where the tokenizer has one, and EOS or another BOS ends what is written.
 * Without, tokens are bytes if the model was trained on bytes or has a vocabulary of 256, else numbers are read and
 * written. The parameters are in place; programs are baked here. */
bool generate(Session *s, const GenerateOptions *o, Buf *err);

/* "prompt: 5 tokens at 512/s; written: 160 tokens at 87.5/s" */
void generate_stats_text(const GenerateStats *stats, Buf *out);

#endif
