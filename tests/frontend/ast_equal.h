/* ast_equal.h: do two trees say the same? Places are ignored; names must come from one interner. */
#ifndef ANEL_TESTS_AST_EQUAL_H
#define ANEL_TESTS_AST_EQUAL_H

#include "frontend/ast.h"

bool ast_equal(const File *a, const File *b);

#endif
