/* page.h: a run as a web page: curves, where the time went, sample texts, events, configuration, and the numbers.
 *
 * The page is one file without scripts or anything from elsewhere, for light and dark screens, and for those who listen:
 * every picture has a description, and its numbers stand in a table. It also holds its history as JSON in an element that
 * browsers do not show (<script type="application/json" id="history">), so that a run that is continued can go on with
 * it. All texts are escaped; they come from models, plans and samples, which are not trusted. */
#ifndef ANEL_TRAIN_PAGE_H
#define ANEL_TRAIN_PAGE_H

#include "runtime/train/history.h"

typedef struct {
    const char *key, *value;
} PagePair;

typedef struct {
    const char *name, *where; /* a program or a CPU operation; its class of time */
    uint64_t    calls;
    double      seconds;
} PageTime;

typedef struct {
    const char     *model, *plan_hash;
    uint64_t        parameters, steps; /* steps: of how many */
    const PagePair *fact;              /* the plan and the machine */
    uint32_t        facts;
    const PagePair *setting;
    uint32_t        settings;
    const PageTime *time; /* of this process, the largest first */
    uint32_t        times;
    uint64_t        since; /* the step this process began at */
    const History  *history;
} Page;

void page_html(const Page *p, Buf *out);

/* The history in the page at `path`, a new reference; NULL without a message if there is no file. NULL with a sentence in
 * `err` if it is no page of anerun, which must not be overwritten. */
json_t *page_history(const char *path, Buf *err);

#endif
