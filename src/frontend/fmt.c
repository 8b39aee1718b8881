/* fmt.c: the one spelling of a file.
 *
 * The formatter works on tokens, not on the tree: it only chooses the white space between them (and drops a trailing
 * comma), so it cannot change what a file means, and every comment keeps its neighbours. The file is scanned again into
 * pieces (tokens and comments), the pieces are dealt into lines (a statement, a header with its '{', a '}', a comment),
 * and each line is written with the fewest breaks that keep it within 110 columns. What is written depends on the order
 * of the pieces and on which comments stand alone, nothing else; hence formatting twice changes nothing.
 *
 * Breaks have levels: the lower, the earlier it is taken. A break is taken when the text up to the next break of the
 * same or a lower level would not fit, which fills argument lists and keeps inner calls together. */
#include "frontend/syntax.h"

#include "anel.tab.h"

#include <string.h>

enum { WIDTH = 110, INDENT = 2, CONTINUE = 4, DEEP_COLUMN = 70, NO_BREAK = 1 << 20, CELLS = 4 };
enum { PIECE_COMMENT = -1 };

typedef struct {
    int      kind; /* token kind or PIECE_COMMENT */
    Span     at;
    uint32_t newlines; /* before it: 0, 1 or 2 for more */
    uint32_t width;    /* code points */
    uint32_t depth;    /* brackets around it, without braces */
    bool     space;    /* before it */
    bool     tight;    /* inside the brackets of an index, a type or a list: no spaces around arithmetic */
    bool     whole;    /* inside the brackets of an index or a type: no breaks either */
    bool     line;     /* a `//` comment: the line ends after it */
    uint32_t level;    /* of the break before it */
} Piece;

typedef struct {
    uint32_t begin, end, tail; /* pieces [begin, end), comments behind it [end, tail) */
    uint32_t indent;
    bool     blank;        /* keep a blank line above */
    int      run;          /* lines with the same nonzero number may align */
    uint32_t cell[CELLS];  /* first pieces: keyword, name, type, '='; 0: none */
    uint32_t pad[CELLS];   /* spaces before them */
} Line;

typedef struct {
    const char *text;
    Arena      *arena;
    Piece      *piece;
    uint32_t    pieces, pieces_cap;
    Line       *line;
    uint32_t    lines, lines_cap;
    Buf        *out;
    uint32_t    column;
} Fmt;

/* ---- pieces ---- */

static uint32_t width_of(const Fmt *f, Span at)
{
    uint32_t w = 0;
    for (uint32_t i = at.begin; i < at.end; i++)
        w += ((unsigned char)f->text[i] & 0xc0u) != 0x80u;
    return w;
}

static void add_piece(Fmt *f, int kind, Span at)
{
    Piece    p = {.kind = kind, .at = at, .width = width_of(f, at), .level = NO_BREAK};
    uint32_t from = f->pieces ? f->piece[f->pieces - 1].at.end : 0;
    for (uint32_t i = from; i < at.begin && p.newlines < 2; i++)
        p.newlines += f->text[i] == '\n';
    p.line = kind == PIECE_COMMENT && f->text[at.begin + 1] == '/';
    GROW(f->arena, f->piece, f->pieces, f->pieces_cap);
    f->piece[f->pieces++] = p;
}

static void scan_pieces(Fmt *f, const Sources *sources, uint32_t file)
{
    Parse p = {.arena = f->arena, .strings = interner_new(f->arena), .sources = sources, .file = file};
    p.source = source_of(sources, (Span){.file = file});
    p.comments_end = &p.comments;
    uint32_t cursor = 0;
    Comment *seen = NULL;
    Token    t;
    do {
        t = scan_token(&p, &cursor);
        for (Comment *c = seen ? seen->next : p.comments; c; seen = c, c = c->next)
            add_piece(f, PIECE_COMMENT, c->at);
        add_piece(f, t.kind, t.at);
    } while (t.kind != TOK_EOF);
}

/* ---- spaces and breaks between two neighbours ---- */

static bool opens(int kind)
{
    return kind == TOK_LPAREN || kind == TOK_LBRACKET || kind == TOK_ATTR;
}

static bool closes(int kind)
{
    return kind == TOK_RPAREN || kind == TOK_RBRACKET;
}

/* 0: no binary operator; else its rank, the loosest first. */
static uint32_t rank(int kind)
{
    switch (kind) {
    case TOK_FOR: case TOK_THEN: case TOK_ELSE:
        return 1;
    case TOK_OR:
        return 2;
    case TOK_AND:
        return 3;
    case TOK_EQ: case TOK_NE: case TOK_LT: case TOK_LE: case TOK_GT: case TOK_GE:
        return 4;
    case TOK_PLUS: case TOK_MINUS:
        return 5;
    case TOK_STAR: case TOK_SLASH: case TOK_PERCENT: case TOK_AT:
        return 6;
    case TOK_POWER:
        return 7;
    default:
        return 0;
    }
}

static bool wants_space(const Piece *a, const Piece *b, bool a_unary, bool b_binary, bool attr_end)
{
    if (a->kind == PIECE_COMMENT || b->kind == PIECE_COMMENT)
        return !opens(a->kind);
    if (opens(a->kind) || closes(b->kind) || a_unary)
        return false;
    if (b->kind == TOK_RBRACE)
        return a->kind != TOK_LBRACE;
    if (attr_end)
        return true;
    switch (b->kind) {
    case TOK_COMMA: case TOK_SEMI: case TOK_PRIME: case TOK_DOT:
        return false;
    case TOK_COLON:
        return a->kind == TOK_COMMA;
    case TOK_DOTDOT:
        return a->kind == TOK_COMMA || token_is_keyword(a->kind);
    case TOK_LPAREN:
        if (a->kind == TOK_IDENT || a->kind == TOK_RBRACKET)
            return false;
        break;
    case TOK_LBRACKET:
        if (token_ends_operand(a->kind))
            return false;
        break;
    default:
        break;
    }
    if (a->kind == TOK_DOT || a->kind == TOK_DOTDOT || (a->kind == TOK_COLON && a->whole))
        return false;
    bool arithmetic_a = rank(a->kind) >= 5, arithmetic_b = rank(b->kind) >= 5 && b_binary;
    return !(b->tight && (arithmetic_a || arithmetic_b) && a->kind != TOK_COMMA && !token_is_keyword(a->kind) &&
             !token_is_keyword(b->kind) && !(rank(a->kind) == 4));
}

/* Is the '[' at k a constant table, [e for i in n]? */
static bool is_table(const Fmt *f, uint32_t k)
{
    uint32_t depth = 0;
    for (; k < f->pieces; k++) {
        depth += opens(f->piece[k].kind);
        depth -= closes(f->piece[k].kind);
        if (depth == 0)
            return false;
        if (depth == 1 && f->piece[k].kind == TOK_FOR)
            return true;
    }
    return false;
}

static void space_pieces(Fmt *f)
{
    bool     tight[BRACKETS_MAX + 1] = {false}, whole[BRACKETS_MAX + 1] = {false}, attr[BRACKETS_MAX + 1] = {false};
    uint32_t depth = 0;
    bool     unary = false, attr_end = false, in_fn = false;
    for (uint32_t k = 0; k < f->pieces; k++) {
        Piece       *b = &f->piece[k];
        const Piece *a = k ? &f->piece[k - 1] : NULL;
        if (closes(b->kind) && depth)
            depth--;
        b->depth = depth;
        b->tight = tight[depth];
        b->whole = whole[depth];
        bool operand = a && token_ends_operand(a->kind);
        bool binary = rank(b->kind) && operand;
        b->space = a && wants_space(a, b, unary, binary, attr_end);
        unary = b->kind == TOK_MINUS && !operand;
        /* where a line may be broken */
        if (a && a->kind == TOK_COMMA && !b->whole)
            b->level = depth * 8;
        else if (binary && b->kind != TOK_POWER && !b->tight)
            b->level = depth * 8 + rank(b->kind);
        else if (depth == 0 && b->kind == TOK_ARROW)
            b->level = 0;
        else if (depth == 0 && a && a->kind == TOK_ASSIGN && in_fn)
            b->level = 0;
        attr_end = closes(b->kind) && attr[depth + (depth < BRACKETS_MAX)];
        if (opens(b->kind) && depth < BRACKETS_MAX) {
            depth++;
            whole[depth] = b->kind == TOK_LBRACKET && operand;
            tight[depth] = b->kind == TOK_LBRACKET && (operand || !is_table(f, k));
            attr[depth] = b->kind == TOK_ATTR;
        }
        if (depth == 0)
            in_fn = b->kind == TOK_FN || b->kind == TOK_BLOCK || b->kind == TOK_ENTRY ||
                    (in_fn && b->kind != TOK_SEMI && b->kind != TOK_LBRACE);
    }
}

/* ---- lines ---- */

/* The next piece that is no comment. */
static uint32_t next_token(const Fmt *f, uint32_t k)
{
    while (k < f->pieces && f->piece[k].kind == PIECE_COMMENT)
        k++;
    return k;
}

static bool is_definition(int kind)
{
    return kind == TOK_FN || kind == TOK_BLOCK || kind == TOK_MODEL || kind == TOK_ENTRY;
}

static bool line_ends(const Fmt *f, uint32_t k, bool attr_end)
{
    const Piece *p = &f->piece[k];
    int          next = f->piece[k + 1].kind;
    switch (p->kind) {
    case TOK_SEMI:
        return true;
    case TOK_LBRACE:
        return next != TOK_RBRACE;
    case TOK_RBRACE:
        return next != TOK_ELSE;
    default:
        return attr_end && next != TOK_ATTR && is_definition(f->piece[next_token(f, k + 1)].kind);
    }
}

/* The cells of a declaration that may align with its neighbours. */
static void find_cells(const Fmt *f, Line *l, bool in_train)
{
    uint32_t k = l->begin;
    while (f->piece[k].kind == TOK_ATTR) { /* over the attributes */
        uint32_t depth = f->piece[k].depth;
        while (!(closes(f->piece[k].kind) && f->piece[k].depth == depth))
            k++;
        k++;
    }
    int kind = f->piece[k].kind;
    if (kind == TOK_CONFIG || kind == TOK_CONST || kind == TOK_PARAM || kind == TOK_STATE) {
        l->run = (kind == TOK_CONST ? TOK_CONFIG : kind) * 2 + (k > l->begin); /* with and without attributes */
        l->cell[0] = k++;
    } else if (in_train && kind == TOK_IDENT && k == l->begin) {
        l->run = TOK_TRAIN * 2;
    } else {
        return;
    }
    l->cell[1] = k;
    for (; k < l->end; k++) {
        if (f->piece[k].kind == PIECE_COMMENT)
            l->run = 0; /* a comment inside: leave it alone */
        if (f->piece[k].depth == 0 && f->piece[k].kind == TOK_COLON && !l->cell[2])
            l->cell[2] = k + 1;
        if (f->piece[k].depth == 0 && f->piece[k].kind == TOK_ASSIGN && !l->cell[3])
            l->cell[3] = k;
    }
}

static void deal_lines(Fmt *f)
{
    uint32_t braces = 0, train = 0; /* depth of a train section */
    bool     opened = true;         /* the last line opened a body */
    for (uint32_t k = 0; f->piece[k].kind != TOK_EOF;) {
        Piece *p = &f->piece[k];
        if (p->kind == PIECE_COMMENT && p->newlines == 0 && f->lines) { /* behind the last line */
            f->line[f->lines - 1].tail = ++k;
            continue;
        }
        Line l = {.begin = k, .indent = braces * INDENT, .blank = p->newlines > 1 && !opened};
        bool attr_end = false, starts_train = p->kind == TOK_TRAIN;
        opened = false;
        if (p->kind == PIECE_COMMENT) {
            l.end = l.tail = ++k;
            if (next_token(f, k) < f->pieces && f->piece[k].kind == TOK_RBRACE)
                opened = true; /* no blank line before '}' */
        } else {
            if (p->kind == TOK_RBRACE) {
                l.indent = braces ? (braces - 1) * INDENT : 0;
                l.blank = false;
            }
            for (;; k++) {
                p = &f->piece[k];
                attr_end = p->kind == TOK_RBRACKET && p->depth == 0 && f->piece[k + 1].space;
                if (p->kind == TOK_LBRACE)
                    braces++;
                if (p->kind == TOK_RBRACE && braces) {
                    if (braces == train)
                        train = 0;
                    braces--;
                }
                if (f->piece[k + 1].kind == TOK_EOF || (p->depth == 0 && line_ends(f, k, attr_end)))
                    break;
            }
            opened = p->kind == TOK_LBRACE;
            l.end = l.tail = ++k;
            find_cells(f, &l, train != 0);
            if (starts_train && opened)
                train = braces;
        }
        GROW(f->arena, f->line, f->lines, f->lines_cap);
        f->line[f->lines++] = l;
    }
}

/* ---- alignment ---- */

static uint32_t flat_width(const Fmt *f, uint32_t begin, uint32_t end)
{
    uint32_t w = 0;
    for (uint32_t k = begin; k < end; k++)
        w += f->piece[k].width + (k > begin && f->piece[k].space);
    return w;
}

/* Width of cell c's text before it: from the previous cell (or the line's start) to this one. */
static uint32_t before_cell(const Fmt *f, const Line *l, uint32_t c)
{
    uint32_t begin = l->begin;
    for (uint32_t k = 0; k < c; k++)
        if (l->cell[k])
            begin = l->cell[k];
    return flat_width(f, begin, l->cell[c]);
}

/* Lines [first, last] align: pad each cell to the widest of its column. */
static void align_run(Fmt *f, uint32_t first, uint32_t last)
{
    uint32_t column[CELLS] = {0}, at[CELLS] = {0};
    for (uint32_t c = 0; c < CELLS; c++)
        for (uint32_t i = first; i <= last; i++) {
            Line *l = &f->line[i];
            if (!l->cell[c])
                continue;
            uint32_t from = 0, w = before_cell(f, l, c);
            for (uint32_t k = 0; k < c; k++)
                if (l->cell[k])
                    from = at[k];
            w += from + (w > 0);
            column[c] = w > column[c] ? w : column[c];
            at[c] = column[c];
        }
    for (uint32_t i = first; i <= last; i++) {
        Line    *l = &f->line[i];
        uint32_t pad[CELLS] = {0}, here = 0, begin = l->begin;
        for (uint32_t c = 0; c < CELLS; c++) {
            if (!l->cell[c])
                continue;
            here += flat_width(f, begin, l->cell[c]);
            here += here > 0 && l->cell[c] > l->begin;
            pad[c] = column[c] - here;
            here = column[c];
            begin = l->cell[c];
        }
        if (l->indent + here + flat_width(f, begin, l->end) > WIDTH)
            return; /* too wide: this and the rest of the run stay as they are */
        memcpy(l->pad, pad, sizeof pad);
    }
}

static void align(Fmt *f)
{
    for (uint32_t i = 0; i < f->lines; i++) {
        const Line *l = &f->line[i];
        uint32_t    last = i;
        bool        fits = true;
        while (l->run && last + 1 < f->lines && f->line[last + 1].run == l->run && !f->line[last + 1].blank &&
               f->line[last + 1].indent == l->indent)
            last++;
        for (uint32_t k = i; k <= last; k++)
            fits &= f->line[k].indent + flat_width(f, f->line[k].begin, f->line[k].end) <= WIDTH;
        if (l->run && fits)
            align_run(f, i, last);
        i = last;
    }
}

/* ---- writing ---- */

static void write_piece(Fmt *f, const Piece *p)
{
    for (uint32_t i = p->at.begin; i < p->at.end; i++)
        if (f->text[i] != '\r')
            buf_putc(f->out, f->text[i]);
    f->column += p->width;
}

static void spaces(Fmt *f, uint32_t n)
{
    f->column += n;
    while (n--)
        buf_putc(f->out, ' ');
}

static void break_line(Fmt *f, uint32_t indent)
{
    buf_putc(f->out, '\n');
    f->column = 0;
    spaces(f, indent);
}

/* Width of the pieces from k to the next break of this level or a lower one. */
static uint32_t chunk_width(const Fmt *f, const Line *l, uint32_t k)
{
    uint32_t level = f->piece[k].level, w = f->piece[k].width;
    for (k++; k < l->end && f->piece[k].level > level && w <= WIDTH; k++)
        w += f->piece[k].width + f->piece[k].space;
    return w;
}

static void write_line(Fmt *f, const Line *l)
{
    uint32_t column[BRACKETS_MAX + 2] = {0}; /* where the text inside each open bracket begins */
    spaces(f, l->indent);
    for (uint32_t k = l->begin; k < l->end; k++) {
        const Piece *p = &f->piece[k];
        uint32_t     in = p->depth ? column[p->depth] : l->indent + CONTINUE;
        if (in > DEEP_COLUMN)
            in = l->indent + CONTINUE;
        if (p->kind == TOK_COMMA && closes(f->piece[k + 1].kind))
            continue; /* a trailing comma */
        if (k > l->begin) {
            const Piece *last = &f->piece[k - 1];
            if (last->line || (last->kind == PIECE_COMMENT && p->newlines) || (p->kind == PIECE_COMMENT && p->newlines))
                break_line(f, in);
            else if (p->level != NO_BREAK && f->column + p->space + chunk_width(f, l, k) > WIDTH && f->column > in)
                break_line(f, in);
            else
                spaces(f, p->space);
        }
        for (uint32_t c = 0; c < CELLS; c++)
            if (l->cell[c] == k && l->pad[c])
                spaces(f, l->pad[c]);
        write_piece(f, p);
        if (opens(p->kind) && p->depth < BRACKETS_MAX)
            column[p->depth + 1] = f->column;
    }
    for (uint32_t k = l->end; k < l->tail; k++) {
        spaces(f, 2);
        write_piece(f, &f->piece[k]);
    }
    buf_putc(f->out, '\n');
    f->column = 0;
}

void fmt_file(const File *file, const Interner *strings, const Sources *sources, Buf *out)
{
    (void)strings;
    Fmt f = {.text = source_of(sources, (Span){.file = file->file})->text, .arena = arena_new(), .out = out};
    scan_pieces(&f, sources, file->file);
    space_pieces(&f);
    deal_lines(&f);
    align(&f);
    for (uint32_t i = 0; i < f.lines; i++) {
        if (f.line[i].blank && i)
            buf_putc(out, '\n');
        write_line(&f, &f.line[i]);
    }
    arena_free(f.arena);
}
