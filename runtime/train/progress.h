/* progress.h: the progress display on a terminal: what a run does now and how it went so far, in two lines that are
 * written over.
 *
 *     step 1200/5000  loss 2.4312 █▆▄▃▂▂▁▁  12.3k tokens/s  3:12 left
 *     lr 0.0003  norm 1.2  device 71%  cpu ops 12%  optimizer 9%  bake 5%
 *
 * The curve is the loss from the first step of this process to now, coarser as it gets longer. Rates and shares are
 * those of the last steps. What does not fit the terminal's width is left out, the least important first, so lines
 * never wrap; narrow terminals get one line. Making the text is apart from writing it, so that tests can read it. */
#ifndef ANEL_TRAIN_PROGRESS_H
#define ANEL_TRAIN_PROGRESS_H

#include "runtime/train/report.h"

enum { PROGRESS_POINTS = 64 };

typedef struct {
    bool utf8;   /* block characters; else ASCII */
    bool colour; /* the escape sequences of ECMA-48 for bold and faint */
} ProgressStyle;

/* Zeroed is empty. */
typedef struct Progress {
    ProgressStyle style;
    double   point[PROGRESS_POINTS]; /* mean loss of `stride` steps each; the last may hold fewer */
    uint32_t points;
    uint64_t stride, in_last; /* stride 0: 1 */
    double   seconds, tokens, steps, class_seconds[REPORT_CLASSES]; /* of the last steps, older ones fading */
} Progress;

/* Count a step in; a loss that is not finite leaves the curve as it is. */
void progress_add(Progress *p, const StepReport *s);

/* The text of the display for a terminal of `width` columns: one line, or two with a newline between them, each of at most
 * width - 1 columns (many terminals wrap when the last one is filled). `left`: seconds to go; NaN: unknown. */
void progress_text(const Progress *p, const StepReport *s, double left, size_t width, Buf *out);

/* What the environment asks for: block characters if the locale's characters are UTF-8; colour unless NO_COLOR is set to
 * something (no-color.org). */
ProgressStyle progress_style(void);

#endif
