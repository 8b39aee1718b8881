/* chart.h: curves over steps as SVG, to stand inside an HTML page. */
#ifndef ANEL_TRAIN_CHART_H
#define ANEL_TRAIN_CHART_H

#include "base/buf.h"

#include <stdbool.h>

typedef struct {
    const char   *name;  /* in the legend */
    const char   *style; /* class of the line: "a", "b" (colours of the page), "faint" */
    const double *x, *y; /* y not finite: a gap */
    uint32_t      n;
    bool          dots; /* marks with tool tips, for few values */
} ChartSeries;

typedef struct {
    const char        *id, *title; /* id: unique in the page, a word */
    const char        *about;      /* a sentence for those who cannot see it */
    const ChartSeries *series;
    uint32_t           count;
    double             x_from, x_to;
    bool               from_zero; /* the y axis begins at 0 */
    bool               may_log;   /* a logarithmic y axis where values differ by more than 100 times */
} Chart;

/* An <svg> element with axes, labels, a legend and the curves; a paragraph if no value is finite. */
void chart_svg(Buf *out, const Chart *c);

#endif
