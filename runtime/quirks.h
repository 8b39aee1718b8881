/* quirks.h: the numeric quirks of quirks.def as bits of DeviceOptions.quirks. */
#ifndef ANEL_RUNTIME_QUIRKS_H
#define ANEL_RUNTIME_QUIRKS_H

#include "target/target.h"

enum {
#define QUIRK(name, word, implied, help) QUIRK_NUMBER_##name,
#include "quirks.def"
    QUIRK_COUNT
};
enum {
#define QUIRK(name, word, implied, help) QUIRK_##name = 1 << QUIRK_NUMBER_##name,
#include "quirks.def"
};

typedef struct {
    const char *word, *help;
} QuirkInfo;
extern const QuirkInfo quirk_info[QUIRK_COUNT]; /* by number */

/* The bit of a word of `len` bytes; 0 if it is none. */
uint32_t quirk_find(const char *word, size_t len);
/* The quirks that a target's facts state. */
uint32_t quirks_of(const Target *t);

#endif
