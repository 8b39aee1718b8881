/* repair.c: mending the token list before it is parsed. */
#include "frontend/syntax.h"

void repair_tokens(Parse *p)
{
    (void)p;
}
