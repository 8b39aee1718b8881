/* pattern.h: what inputs and weights of micro-programs hold, by a word. Both sides of a trial make the same numbers of it.
 *
 *     small     whole numbers from -4 to 4: sums of hundreds of products of two are exact
 *     sign      -1 and 1
 *     unit      from -1 to 1 in steps of 1/64
 *     positive  from 1/16 to 4
 *     ones, zero
 *     eye       1 where the position on the first axis that is longer than 1 is that on the others together, else 0
 *     terms     2048 where eye has 1, else 1: sums of which partial sums in fp16 lose the ones
 *     own       0 where eye has 1, else -30000: the mask of attention to oneself only
 *     count     0, 1, 2, ... up to 2047, and again
 *     rows      its number on the last axis
 *     wide      from -1100 to 1100 in halves
 *     climb     the fp16 numbers from 1 upwards to 65504, in order; then 1
 *     fall      the same backwards, in a tensor of 20480 elements
 *     holes     as small, with every 7th a NaN
 *     ends      as small, with every 7th +infinity */
#ifndef ANEL_PROBE_PATTERN_H
#define ANEL_PROBE_PATTERN_H

#include <stdbool.h>
#include <stdint.h>

typedef enum {
#define PATTERN(name) PATTERN_##name,
#define PATTERNS(X) \
    X(small) X(sign) X(unit) X(positive) X(ones) X(zero) X(eye) X(terms) X(own) X(count) X(rows) X(wide) X(climb) X(fall) X(holes) X(ends)
    PATTERNS(PATTERN) PATTERN_COUNT
} Pattern;

/* PATTERN_COUNT: there is none of that name. */
Pattern pattern_find(const char *word);
/* Element i of a tensor; `key` makes tensors differ (pattern_key()). Every value is a number of fp16. */
double   pattern_value(Pattern p, uint64_t key, int64_t i, uint32_t rank, const int64_t *dim);
uint64_t pattern_key(const char *name, uint32_t version);

#endif
