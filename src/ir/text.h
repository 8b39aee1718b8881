/* text.h: graphs as text, one value per line, read back exactly; and the verifier. */
#ifndef ANEL_IR_TEXT_H
#define ANEL_IR_TEXT_H

#include "base/diag.h"
#include "ir/graph.h"

/* Append the module (parameters, states, tables, entries, every graph) to `out`. */
void module_print(const Module *m, Buf *out);
void graph_print(const Module *m, const Graph *g, Buf *out);
/* The line of one value after its graph's name, for messages: "@main: %y = add %a %b : real[2]". */
void value_print(const Module *m, const Graph *g, ValueId v, Buf *out);
/* Read what module_print wrote. NULL after diagnostics. module_print(module_read(t)) == t for every t printed. Only the
 * form is checked; whether the module makes sense is for module_verify. The places of nodes are lines of the text. */
Module *module_read(Arena *a, Sources *sources, uint32_t file, Diags *ds);

/* Check every rule of a well-formed module (the list stands in verify.c). `after` names the pass that ran last and
 * leads each message. True if nothing was wrong. */
bool module_verify(const Module *m, const char *after, Diags *ds);

#endif
