/* bind.h: where a compiled program has its inputs and outputs, by what it says of itself. */
#ifndef ANEL_ANE_BIND_H
#define ANEL_ANE_BIND_H

#include "ane/model.h"

/* index[i] is the place among the model's symbols of input (output) port i, found by name; bytes[i] what its surface must
 * hold, at least the port's own. */
typedef struct {
    int64_t *index;
    size_t  *bytes;
} AneBinding;

/* Look up procedure `procedure`, which is function `f` of the text. False, with what does not fit, if the attributes lack
 * something, contradict the text or each other: then nothing may be bound. */
bool ane_model_bind(const AneModel *m, const AneLibrary *l, uint32_t procedure, uint32_t procedures,
                    const ProgramFunction *f, AneBinding *input, AneBinding *output, Buf *err);

#endif
