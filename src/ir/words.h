/* words.h: the vocabulary of the text form, shared by printer and reader (private to src/ir). docs/ir.md explains
 * it. */
#ifndef ANEL_IR_WORDS_H
#define ANEL_IR_WORDS_H

#include "ir/graph.h"

typedef enum {
    ATTR_FLAG, ATTR_FLAG8, ATTR_I32, ATTR_U32, ATTR_F64, ATTR_CMP, ATTR_AXES, ATTR_PERM, ATTR_DIMS, ATTR_PARAM,
    ATTR_STATE, ATTR_GRAPH, ATTR_MAYBE_GRAPH, ATTR_STR, ATTR_TABLE, ATTR_SPLAT
} AttrKind;

typedef struct {
    Op          op;
    const char *key;
    AttrKind    kind;
    size_t      at; /* offset in Attr */
} AttrWord;

enum {
#define ATTR(op, key, kind, member) ATTR_ROW_##op##_##key,
#include "ir/attr.def"
    ATTR_ROWS
};

extern const AttrWord    attr_word[ATTR_ROWS];
extern const char *const cmp_word[6];   /* by CmpKind */
extern const char *const init_word[5];  /* by InitKind */
extern const char *const place_word[3]; /* by Place; "" for any */
extern const char *const hint_word[3];  /* by PlaceHint; "" for free */

static inline int init_numbers(InitKind k)
{
    return k == INIT_UNIFORM ? 2 : k == INIT_VALUE || k == INIT_NORMAL;
}

#endif
