/* static.c: arithmetic at compile time.
 *
 * Ints are 64 bits and checked, floats are fp64. Between ints `/` must come out exact, because a rounded head width is
 * a classic silent mistake: div() and ceil_div() round on purpose. An int meeting a float becomes one. */
#include "frontend/elab.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

const Value v_poison = {.kind = V_POISON};
Value v_int(int64_t i)
{
    return (Value){.kind = V_INT, .i = i};
}
Value v_float(double f)
{
    return (Value){.kind = V_FLOAT, .f = f};
}
Value v_bool(bool b)
{
    return (Value){.kind = V_BOOL, .b = b};
}

double static_number(Value v)
{
    return v.kind == V_INT ? (double)v.i : v.f;
}

bool static_equal(Value a, Value b)
{
    if (a.kind != b.kind)
        return false;
    switch (a.kind) {
    case V_INT:
        return a.i == b.i;
    case V_FLOAT:
        return memcmp(&a.f, &b.f, sizeof a.f) == 0;
    case V_BOOL:
        return a.b == b.b;
    case V_STR:
        return a.s == b.s;
    case V_TABLE:
        return a.table == b.table;
    case V_LIST:
    case V_TUPLE:
        if (a.seq.n != b.seq.n)
            return false;
        for (uint32_t i = 0; i < a.seq.n; i++)
            if (!static_equal(a.seq.item[i], b.seq.item[i]))
                return false;
        return true;
    case V_TENSOR:
        return a.t.home == b.t.home && a.t.id == b.t.id;
    case V_POISON:
        return true;
    }
    return false;
}

void static_print(const Elab *e, Value v, Buf *out)
{
    switch (v.kind) {
    case V_INT:
        buf_printf(out, "%lld", (long long)v.i);
        break;
    case V_FLOAT:
        buf_double(out, v.f);
        break;
    case V_BOOL:
        buf_puts(out, v.b ? "true" : "false");
        break;
    case V_STR:
        buf_puts(out, str(e, v.s));
        break;
    case V_LIST:
        buf_putc(out, '[');
        for (uint32_t i = 0; i < v.seq.n; i++) {
            if (i)
                buf_puts(out, ", ");
            static_print(e, v.seq.item[i], out);
        }
        buf_putc(out, ']');
        break;
    case V_POISON:
    case V_TABLE:
    case V_TENSOR:
    case V_TUPLE:
        buf_puts(out, "?");
        break;
    }
}

bool int_div_exact(int64_t a, int64_t b, int64_t *q)
{
    if (b == 0 || (a == INT64_MIN && b == -1) || a % b != 0)
        return false;
    *q = a / b;
    return true;
}

int64_t int_floor_div(int64_t a, int64_t b)
{
    int64_t q = a / b;
    return a % b != 0 && (a < 0) != (b < 0) ? q - 1 : q;
}

/* a ** n for n >= 0; false on overflow. */
bool int_power(int64_t a, int64_t n, int64_t *r)
{
    *r = 1;
    while (n) {
        if (n & 1 && __builtin_mul_overflow(*r, a, r))
            return false;
        n >>= 1;
        if (n && __builtin_mul_overflow(a, a, &a))
            return false;
    }
    return true;
}

/* 768 / 10: name the neighbours that divide. */
static Value inexact(Elab *e, const Expr *x, int64_t a, int64_t b)
{
    Diag *d = elab_error(e, "E0301", x->at, "%lld / %lld is not exact", (long long)a, (long long)b);
    note_names(e, d, x->bin.x, x->bin.y);
    const Expr *y = x->bin.y;
    int64_t below = 0, above[2] = {0, 0};
    uint32_t n = 0;
    if (y->kind != EX_NAME || a <= 0 || b <= 0 || a > 100000000) {
        diag_help(d, "use div(a, b) to round down deliberately");
        return v_poison;
    }
    for (int64_t k = b <= a ? b - 1 : a; k > 0 && !below; k--)
        below = a % k == 0 ? k : 0;
    for (int64_t k = b < a ? b + 1 : a + 1; k <= a && n < 2; k++)
        if (a % k == 0)
            above[n++] = k;
    Buf buf = {0};
    if (below)
        buf_printf(&buf, "%lld", (long long)below);
    for (uint32_t i = 0; i < n; i++)
        buf_printf(&buf, "%s%lld", buf.len ? ", " : "", (long long)above[i]);
    diag_help(d, "choose %s dividing %lld: %s, ...; use div(a, b) to round down deliberately", str(e, y->name.id),
              (long long)a, buf.data);
    buf_free(&buf);
    return v_poison;
}

static Value overflow(Elab *e, const Expr *x)
{
    Diag *d = elab_error(e, "E0304", x->at, "the result does not fit into 64 bits");
    note_names(e, d, x->bin.x, x->bin.y);
    return v_poison;
}

static Value by_zero(Elab *e, const Expr *x)
{
    Diag *d = elab_error(e, "E0304", x->at, "division by zero");
    note_names(e, d, x->bin.y, NULL);
    return v_poison;
}

static Value int_binary(Elab *e, const Expr *x, int64_t a, int64_t b)
{
    int64_t r = 0;
    switch (x->bin.op) {
    case BIN_ADD:
        return __builtin_add_overflow(a, b, &r) ? overflow(e, x) : v_int(r);
    case BIN_SUB:
        return __builtin_sub_overflow(a, b, &r) ? overflow(e, x) : v_int(r);
    case BIN_MUL:
        return __builtin_mul_overflow(a, b, &r) ? overflow(e, x) : v_int(r);
    case BIN_DIV:
        if (b == 0)
            return by_zero(e, x);
        return int_div_exact(a, b, &r) ? v_int(r) : inexact(e, x, a, b);
    case BIN_MOD:
        if (b == 0)
            return by_zero(e, x);
        if (b == -1)
            return v_int(0);
        r = a % b;
        return v_int(r != 0 && (r < 0) != (b < 0) ? r + b : r); /* the sign of the divisor: -1 % 4 is 3 */
    case BIN_POW:
        if (b < 0)
            return v_float(pow((double)a, (double)b));
        return int_power(a, b, &r) ? v_int(r) : overflow(e, x);
    case BIN_EQ:
        return v_bool(a == b);
    case BIN_NE:
        return v_bool(a != b);
    case BIN_LT:
        return v_bool(a < b);
    case BIN_GT:
        return v_bool(a > b);
    case BIN_LE:
        return v_bool(a <= b);
    case BIN_GE:
        return v_bool(a >= b);
    case BIN_MATMUL:
    case BIN_AND:
    case BIN_OR:
        break;
    }
    return v_poison;
}

static Value float_binary(Elab *e, const Expr *x, double a, double b)
{
    double r = 0;
    switch (x->bin.op) {
    case BIN_ADD:
        r = a + b;
        break;
    case BIN_SUB:
        r = a - b;
        break;
    case BIN_MUL:
        r = a * b;
        break;
    case BIN_DIV:
        if (b == 0)
            return by_zero(e, x);
        r = a / b;
        break;
    case BIN_POW:
        r = pow(a, b);
        break;
    case BIN_EQ:
        return v_bool(a == b);
    case BIN_NE:
        return v_bool(a != b);
    case BIN_LT:
        return v_bool(a < b);
    case BIN_GT:
        return v_bool(a > b);
    case BIN_LE:
        return v_bool(a <= b);
    case BIN_GE:
        return v_bool(a >= b);
    case BIN_MOD:
    case BIN_MATMUL:
    case BIN_AND:
    case BIN_OR:
        return v_poison;
    }
    if (!isfinite(r)) {
        Diag *d = elab_error(e, "E0304", x->at, "the result is not a finite number");
        note_names(e, d, x->bin.x, x->bin.y);
        return v_poison;
    }
    return v_float(r);
}

static const char *const bin_text[] = {
    "+", "-", "*", "/", "%", "@", "**", "==", "!=", "<", ">", "<=", ">=", "and", "or"};

Value static_binary(Elab *e, const Expr *x, Value a, Value b)
{
    BinOp op = x->bin.op;
    if (is_static_number(a) && is_static_number(b) && op != BIN_MATMUL && op != BIN_AND && op != BIN_OR) {
        if (a.kind == V_INT && b.kind == V_INT)
            return int_binary(e, x, a.i, b.i);
        if (op != BIN_MOD)
            return float_binary(e, x, static_number(a), static_number(b));
    }
    if ((op == BIN_EQ || op == BIN_NE) && a.kind == b.kind && a.kind != V_TABLE)
        return v_bool(static_equal(a, b) == (op == BIN_EQ));
    Diag *d = elab_error(e, "E0306", x->at, "'%s' does not work on %s and %s", bin_text[op], kind_text(e, a),
                         kind_text(e, b));
    if (op == BIN_MOD && is_static_number(a) && is_static_number(b))
        diag_help(d, "'%%' is for ints");
    return v_poison;
}

Value static_unary(Elab *e, const Expr *x, Value a)
{
    if (x->un.op == UN_NOT) {
        if (a.kind == V_BOOL)
            return v_bool(!a.b);
        Diag *d = elab_error(e, "E0306", x->at, "'not' needs a static bool, and this is %s", kind_text(e, a));
        if (is_tensor(a))
            diag_help(d, "swap the choices of select(c, x, y) instead");
        return v_poison;
    }
    if (a.kind == V_INT && a.i != INT64_MIN)
        return v_int(-a.i);
    if (a.kind == V_FLOAT)
        return v_float(-a.f);
    elab_error(e, "E0306", x->at, "'-' does not work on %s", kind_text(e, a));
    return v_poison;
}

bool static_apply(StaticFn f, double x, double *y, const char **why)
{
    *why = "the result is not a finite number";
    switch (f) {
    case SF_SQRT:
        *why = "the square root of a negative number";
        if (x < 0)
            return false;
        *y = sqrt(x);
        break;
    case SF_EXP:
        *y = exp(x);
        break;
    case SF_LOG:
        *why = "the logarithm of a number that is not positive";
        if (x <= 0)
            return false;
        *y = log(x);
        break;
    case SF_SIN:
        *y = sin(x);
        break;
    case SF_COS:
        *y = cos(x);
        break;
    case SF_TANH:
        *y = tanh(x);
        break;
    case SF_SIGMOID:
        *y = 1 / (1 + exp(-x));
        break;
    case SF_RSQRT:
        *why = "rsqrt of a number that is not positive";
        if (x <= 0)
            return false;
        *y = 1 / sqrt(x);
        break;
    }
    return isfinite(*y);
}

/* ---- asking for a static value ---- */

static bool not_static(Elab *e, const Expr *x, Value v, const char *what, const char *kind)
{
    if (is_poison(v))
        return false;
    Diag *d = elab_error(e, is_static(v) ? "E0306" : "E0305", x->at, "%s must be %s, and this is %s", what, kind,
                         kind_text(e, v));
    if (v.kind == V_TENSOR && strcmp(kind, "a static bool") == 0)
        diag_help(d, "tensors are chosen by element: select(c, x, y)");
    return false;
}

bool want_int(Elab *e, const Expr *x, int64_t *out, const char *what)
{
    Value v = eval(e, x);
    if (v.kind != V_INT)
        return not_static(e, x, v, what, "an int");
    *out = v.i;
    return true;
}

bool want_bool(Elab *e, const Expr *x, bool *out, const char *what)
{
    Value v = eval(e, x);
    if (v.kind != V_BOOL)
        return not_static(e, x, v, what, "a static bool");
    *out = v.b;
    return true;
}

bool want_float(Elab *e, const Expr *x, double *out, const char *what)
{
    Value v = eval(e, x);
    if (!is_static_number(v))
        return not_static(e, x, v, what, "a static number");
    *out = static_number(v);
    return true;
}

/* ---- text ---- */

/* "{name}" becomes the name's value, "{path}" the path of the parameter being declared. NULL after a message. */
const char *interpolate(Elab *e, StrId text, Span at, const char *path)
{
    Buf b = {0};
    const char *s = str(e, text), *out = NULL;
    while (*s) {
        const char *open = strchr(s, '{'), *close = open ? strchr(open, '}') : NULL;
        if (!close) {
            buf_puts(&b, s);
            break;
        }
        buf_add(&b, s, (size_t)(open - s));
        Name n = {.id = intern_n(e->strings, open + 1, (size_t)(close - open - 1)), .at = at};
        s = close + 1;
        if (path && strcmp(str(e, n.id), "path") == 0) {
            buf_puts(&b, path);
            continue;
        }
        Expr x = {.kind = EX_NAME, .at = at, .name = n};
        Value v = eval(e, &x);
        if (is_poison(v))
            goto done;
        if (v.kind < V_INT || v.kind > V_LIST) {
            elab_error(e, "E0305", at, "'{%s}' in a string needs a static value, and this is %s", str(e, n.id),
                       kind_text(e, v));
            goto done;
        }
        static_print(e, v, &b);
    }
    out = arena_strndup(e->a, b.data ? b.data : "", b.len);
done:
    buf_free(&b);
    return out;
}

bool check_assert(Elab *e, const Assertion *as, Span at)
{
    bool ok;
    if (!want_bool(e, as->cond, &ok, "what an assert states"))
        return false;
    if (ok)
        return true;
    const char *text = as->text ? interpolate(e, as->text->name.id, as->text->at, NULL) : NULL;
    if (as->text && !text)
        return false;
    Diag *d = text ? elab_error(e, "E0410", at, "%s", text)
                   : elab_error(e, "E0410", at, "the assertion '%s' does not hold", source_text(e, as->cond->at));
    note_names(e, d, as->cond, NULL);
    return false;
}
