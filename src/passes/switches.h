/* switches.h: the rewrites that can be switched off; see switches.def. */
#ifndef ANEL_PASSES_SWITCHES_H
#define ANEL_PASSES_SWITCHES_H

#include <stdbool.h>
#include <stdint.h>

typedef enum {
#define SWITCH(name, help) SWITCH_##name,
#include "passes/switches.def"
    SWITCH_COUNT
} Switch;

/* A set of switches: those that are off. The module carries it (Module.off). */
static inline bool switched_on(uint64_t off, Switch s)
{
    return (off >> s & 1) == 0;
}

#endif
