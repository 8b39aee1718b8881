/* mil_text.h: writing MIL text: statements, constants by content, names.
 *
 * Constants are collected while statements are added and printed first, sorted by name. A constant is named by what it
 * is ("c_i4_1_768_1_256", "c_true", "c_h_3c00"), so that an edit elsewhere cannot rename it; where an edit elsewhere
 * changes what it is, by what it is for ("at_q", "t_rope_cos_64x1x256"), so that no statement that reads it changes.
 * Value names come from the source and are unique already; a name of more than 60 bytes ends in six digits of its hash.
 * One statement a line, arguments in alphabetical order, floats as hexadecimal after rounding to fp16. */
#ifndef ANEL_BACKEND_ANE_MIL_TEXT_H
#define ANEL_BACKEND_ANE_MIL_TEXT_H

#include "base/buf.h"
#include "base/source.h"

#include <stdbool.h>

typedef struct {
    uint32_t rank;
    int32_t  dim[5];
} MilShape;

typedef struct MilText MilText;

typedef struct {
    const char *name, *value;
} MilArg;

MilText *mil_text_new(Arena *a);

/* Constants: the name under which a statement refers to them. */
const char *mil_int(MilText *t, int32_t v);
const char *mil_ints(MilText *t, const int32_t *v, uint32_t n);
/* The same under a name of its own. */
const char *mil_ints_named(MilText *t, const char *name, const int32_t *v, uint32_t n);
const char *mil_bool(MilText *t, bool v);
const char *mil_half(MilText *t, double v); /* scalar fp16, rounded */
const char *mil_string(MilText *t, const char *v);
/* A tensor from the blob file "@model_path/<path>", metadata at offset 64. If that name stands for another file, it
 * gets the beginning of the file's name as a suffix. */
const char *mil_file(MilText *t, const char *name, const char *path, MilShape shape);

/* A name for a value: `base` with characters outside [A-Za-z0-9_] replaced, shortened to 60 bytes, made unique. */
const char *mil_name(MilText *t, const char *base);

/* Append `tensor<fp16, shape> result = op(args)`; arguments are sorted by name here. `dtype` is "fp16" or "bool". */
void mil_statement(MilText *t, const char *dtype, MilShape shape, const char *result, const char *op, const MilArg *arg,
                   uint32_t args);
/* What the statements from here on come from: for the map. `at` may lie in the library, `from` in the model only. */
void mil_origin(MilText *t, Span at, Span from, bool backward, const char *what);

void mil_input(MilText *t, const char *name, MilShape shape);
void mil_output(MilText *t, const char *name);

/* The whole program; and the map: one line per statement, source files named by `name`. */
void mil_print(const MilText *t, Buf *out);
void mil_print_map(const MilText *t, const Sources *sources, const char *(*name)(const char *), Buf *out);

int64_t mil_numel(MilShape s);
bool    mil_shape_equal(MilShape a, MilShape b);

#endif
