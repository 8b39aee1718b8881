/* template.h: micro-programs: MIL text with places to fill in.
 *
 *     //: what it is there to show, one or more lines
 *     //= width 64                 a place ${width} and what stands there unless the question says otherwise
 *     //= fill i00_x small         what an input, or a constant of a weight file, holds: see pattern.h
 *     program(1.3)
 *     ...
 *     //repeat depth               the lines up to //end, `depth` times: ${i} counts from 1, ${before} is one less
 *     //end
 *
 * Lines that begin with // are not part of the program: nobody shows comments in text that the engine's reader took.
 * A constant NAME that is read from a file is alone in "@model_path/weights/NAME.bin".
 * With its own values every template is a program that is right (a test reads them all). */
#ifndef ANEL_PROBE_TEMPLATE_H
#define ANEL_PROBE_TEMPLATE_H

#include "base/buf.h"

#include <stdbool.h>

enum { TEMPLATE_PLACES = 16, TEMPLATE_FILLS = 16 };

typedef struct {
    const char *name, *value;
} Place;

typedef struct {
    const char *name, *path, *about; /* about: one line */
    Place       place[TEMPLATE_PLACES], fill[TEMPLATE_FILLS];
    uint32_t    places, fills;
    const char *line; /* of the text, the first behind the header; lines end in '\n', NUL behind the last */
    uint32_t    first; /* its number */
} Template;

/* The template `name`: the first of DIR/models/probe/NAME.mil. NULL after a message in `err`. */
const Template *template_read(Arena *a, const char *const *dir, uint32_t dirs, const char *name, Buf *err);

/* The program, with "place=value\nplace=value" (NULL: none) in place of its own values; a name that is no place is the
 * pattern of an input or constant: "i00_x:ones". False after a message in `err`; `fill`, of TEMPLATE_FILLS, receives the
 * patterns. */
bool template_fill(Arena *a, const Template *t, const char *values, Buf *mil, Place *fill, uint32_t *fills, Buf *err);

#endif
