/* mil.re: the lexer of MIL text.
 *
 * The whole text is in memory and ends with a NUL that is not part of it; the rule `$` matches there. A lexical error
 * is told here and returned as the error token, from which the grammar recovers without a second message. Brackets are
 * counted so that no text can nest deeper than MIL_NESTING_MAX. */
#include "mil/mil_parse.h"

#include "mil.tab.h"

int mil_yylex(MIL_YYSTYPE *val, Span *loc, MilParse *p)
{
    const char *tok;
    for (;;) {
        tok = p->cur;
/* The span of the current token. */
#define HERE (*loc = (Span){p->file, (uint32_t)(tok - p->text), (uint32_t)(p->cur - p->text)})
        /*!re2c
        re2c:define:YYCTYPE = "unsigned char";
        re2c:define:YYCURSOR = "p->cur";
        re2c:define:YYMARKER = "p->mark";
        re2c:define:YYLIMIT = "p->lim";
        re2c:yyfill:enable = 0;
        re2c:eof = 0;
        re2c:tags = 0;

        hex = [0-9a-fA-F];
        int = "-"? ([0-9]+ | "0" [xX] hex+);
        dec = "-"? ([0-9]+ "." [0-9]* ([eE] [+-]? [0-9]+)? | [0-9]+ [eE] [+-]? [0-9]+);
        hexfloat = "-"? "0" [xX] (hex+ ("." hex*)? | "." hex+) [pP] [+-]? [0-9]+;
        ident = [A-Za-z_] [A-Za-z0-9_]*;
        string = ["] ([^"\\\n\x00] | "\\" ["\\nrt])* ["];

        $                 { HERE; return TOK_EOF; }
        [ \t\r\n]+        { continue; }
        "//" [^\n\x00]*   { continue; }
        "/*" ([^*\x00] | "*"+ [^*/\x00])* "*"+ "/" { continue; }
        "/*"              { HERE;
                            diag_error(p->diags, "M0103", *loc, "the comment is not closed");
                            p->cur = p->lim;
                            return TOK_MIL_YYerror; }

        int      { HERE; return mil_lex_int(p, *loc, tok, p->cur, &val->TOK_NUMBER) ? TOK_NUMBER : TOK_MIL_YYerror; }
        dec | hexfloat
                 { HERE; return mil_lex_float(p, *loc, tok, p->cur, &val->TOK_NUMBER) ? TOK_NUMBER : TOK_MIL_YYerror; }
        string   { HERE; return mil_lex_string(p, tok, p->cur, &val->TOK_STRING) ? TOK_STRING : TOK_MIL_YYerror; }
        ["]      { HERE; diag_help(diag_error(p->diags, "M0102", *loc, "the string is not closed on its line"),
                                   "inside a string write \\\" \\\\ \\n \\r \\t"); return TOK_MIL_YYerror; }

        "program"  { HERE; return TOK_PROGRAM; }
        "func"     { HERE; return TOK_FUNC; }
        "tensor"   { HERE; return TOK_TENSOR; }
        "state"    { HERE; return TOK_STATE; }
        "dict"     { HERE; return TOK_DICT; }
        "BLOBFILE" { HERE; return TOK_BLOBFILE; }
        "true"     { HERE; return TOK_TRUE; }
        "false"    { HERE; return TOK_FALSE; }
        ident      { HERE;
                     val->TOK_DTYPE = dtype_find(tok, (size_t)(p->cur - tok));
                     if (val->TOK_DTYPE != DT_COUNT)
                         return TOK_DTYPE;
                     val->TOK_IDENT = intern_n(p->names, tok, (size_t)(p->cur - tok));
                     return TOK_IDENT; }
        "->"       { HERE; return TOK_ARROW; }
        [([{]      { HERE;
                     if (++p->depth <= MIL_NESTING_MAX)
                         return *tok == '(' ? TOK_LPAREN : *tok == '[' ? TOK_LBRACKET : TOK_LBRACE;
                     diag_error(p->diags, "M0106", *loc, "brackets are nested more than %d deep", MIL_NESTING_MAX);
                     p->cur = p->lim;
                     return TOK_MIL_YYerror; }
        [)\]}]     { HERE;
                     p->depth -= p->depth > 0;
                     return *tok == ')' ? TOK_RPAREN : *tok == ']' ? TOK_RBRACKET : TOK_RBRACE; }
        "<"        { HERE; return TOK_LANGLE; }
        ">"        { HERE; return TOK_RANGLE; }
        ","        { HERE; return TOK_COMMA; }
        ";"        { HERE; return TOK_SEMICOLON; }
        "="        { HERE; return TOK_EQUALS; }
        *          { HERE;
                     diag_error(p->diags, "M0102", *loc, "the byte 0x%02x has no meaning in MIL text",
                                (unsigned char)*tok);
                     return TOK_MIL_YYerror; }
        */
#undef HERE
    }
}
