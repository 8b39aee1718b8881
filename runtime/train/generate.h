/* generate.h: text from a trained model. */
#ifndef ANEL_TRAIN_GENERATE_H
#define ANEL_TRAIN_GENERATE_H

#include "runtime/train/sample.h"
#include "runtime/train/session.h"

#include <stdio.h>

typedef struct {
    const char   *prompt; /* bytes; or ids separated by blanks, for models whose tokens are not bytes */
    uint64_t      tokens; /* at most so many new ones */
    SampleOptions sampling;
    uint64_t      seed;
    FILE         *out;  /* prompt and continuation, flushed after every token */
    FILE         *note; /* where a remark goes when the context is full */
} GenerateOptions;

/* Continue the prompt with the plan's `decode` entry: a token and its position in, the logits of the next token out,
 * the rest in states. Tokens are bytes if the model was trained on bytes or has a vocabulary of 256, else numbers are
 * read and written. The parameters are in place; programs are baked here. */
bool generate(Session *s, const GenerateOptions *o, Buf *err);

#endif
