/* report.c: what to say about a token the parser cannot digest. */
#include "frontend/syntax.h"

#include "anel.tab.h"

void report_syntax(Parse *p, uint32_t index, const bool *expected)
{
    const Token *t = &p->tokens.tok[index];
    (void)expected;
    diag_error(p->ds, "E0104", t->at, "unexpected %s", token_text(p, t));
}
