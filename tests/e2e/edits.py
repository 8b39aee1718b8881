#!/usr/bin/env python3
"""An edit of a model changes only the MIL lines it must.

    edits.py ANEC MODELS [FILTER]

Every edit of the table below is made to one model; the model is compiled before and after, and the programs are compared.

What is counted. Lines are compared with difflib after lines with `const()` are left out: constants are named by what they
are for or by what they are, and may change. All other lines count, the function's header (the shape of the packed input),
the unpacking and packing of ports and the return line too. A line that is replaced counts once.

What an edit may change. A statement of the model produces the MIL lines that map/*.map traces to it: lines of the statement
itself and of the library functions it calls, forward and backward, over all programs. (A statement that calls a block of the
model does not produce that block's lines: they belong to the block's statements.) The bound is three times the lines of the
edited statements, before or after the edit, whichever is more; a statement whose work has become part of another's lines
counts as one line. An edit of a configuration value or of a parameter may change none.

What keeps its name. Every value that does not stem from an edited statement has the same name and operation before and
after. Three kinds of lines are exempt from this, though they count above: those that unpack and pack ports and those that
recompute a value (`re_`), because an edit may change what is saved for the backward direction, and sums of cotangents and
products with a number that only appear or only vanish: one more reader of a value needs one more sum, and of two factors
one after the other, one in the edited statement, the first goes into the second.

The programs are those of training. Those that read prompts (decode_16, decode_64) end in the middle of a layer, where the CPU
keeps keys and values, and a statement more there decides anew which of its neighbours' values cross.
"""
import difflib
import re
import subprocess
import sys
import tempfile
from pathlib import Path

# model, what, old text (once in the model), new text
EDITS = [
    ("layer768", "an epsilon", "rmsnorm(x, g1)", "rmsnorm(x, g1, eps: 1e-3)"),
    ("layer768", "a factor on a branch", "x2 = x + linear", "x2 = x + 0.5 * linear"),
    ("layer768", "another activation", "silu(linear", "gelu(linear"),
    ("layer768", "no residual", "return x2 + linear", "return linear"),
    ("layer768", "a bias", "linear(xn, dim) as wq", "linear(xn, dim, with_bias: true) as wq"),
    ("layer768", "a variable's name", "h = rmsnorm(x2, g2);\n    return x2 + linear(silu(linear(h, hidden) as w1) * linear(h, hidden)",
     "hn = rmsnorm(x2, g2);\n    return x2 + linear(silu(linear(hn, hidden) as w1) * linear(hn, hidden)"),
    ("layer768", "a loss of another weight", "e = y - target;", "e = 2.0 * (y - target);"),
    ("layer768", "a statement more: gated values", "    x2 = x", "    v = v * sigmoid(v);\n    x2 = x"),
    ("layer768", "no norm", "xn = rmsnorm(x, g1);", "xn = x * g1[:, _];"),
    # (of x: another reader of xn would end the folding of its gain, and the programs would do other work)
    ("layer768", "one reader more", "heads_of(linear(xn, dim) as wq, heads)", "heads_of(linear(xn, dim) as wq + 0.1 * x, heads)"),
    ("layer768", "two statements in another order",
     "k = heads_of(linear(xn, dim) as wk, heads);\n    v = heads_of(linear(xn, dim) as wv, heads);",
     "v = heads_of(linear(xn, dim) as wv, heads);\n    k = heads_of(linear(xn, dim) as wk, heads);"),
    ("layer768", "a statement in two", "x2 = x + linear(merge_heads(sdpa(q, k, v, mask)), dim) as wo;",
     "o = merge_heads(sdpa(q, k, v, mask));\n    x2 = x + linear(o, dim) as wo;"),
    ("stories110m", "an epsilon", "attention(rmsnorm(x, g1, eps: eps)", "attention(rmsnorm(x, g1, eps: 1e-3)"),
    ("stories110m", "a factor on a branch", "x + swiglu(", "x + 0.5 * swiglu("),
    ("stories110m", "another theta", "trunk(tokens, rope_cos(hd, seq, 10000.0), rope_sin(hd, seq, 10000.0)",
     "trunk(tokens, rope_cos(hd, seq, 500000.0), rope_sin(hd, seq, 500000.0)"),
    ("stories110m", "another start", "real[vocab, dim] = normal(0.02)", "real[vocab, dim] = normal(0.01)"),
    ("stories110m", "another activation", "silu(", "gelu("),
    # (both sides of the scores: rotary pairs are put in another order for both or for neither)
    ("stories110m", "no positions",
     "q = rope_pairs(heads_of(linear(x, heads * hd) as wq, heads), c, s);\n"
     "    k = rope_pairs(heads_of(linear(x, kv_heads * hd) as wk, kv_heads), c, s);",
     "q = heads_of(linear(x, heads * hd) as wq, heads);\n    k = heads_of(linear(x, kv_heads * hd) as wk, kv_heads);"),
    ("stories110m", "a bias", "linear(x, heads * hd) as wq", "linear(x, heads * hd, with_bias: true) as wq"),
    ("stories110m", "a statement more: scaled queries", "    if cached {", "    q = q * 0.5;\n    if cached {"),
    ("stories110m", "a residual of half weight", "x = x + attention(", "x = 0.5 * x + attention("),
    ("stories110m", "a statement more: at the start of the loop", "      x = x + attention(", "      x = 0.9 * x;\n      x = x + attention("),
    ("stories110m", "a statement more: at the end of the loop", "as feed_forward;", "as feed_forward;\n      x = 0.9 * x;"),
    ("stories110m", "saved or not", "    q = rope_pairs(", "    #[recompute] q = rope_pairs("),
    ("tiny", "the other kind of rotation", "q = rope_halves(", "q = rope_pairs("),
    ("tiny", "another label", "linear(x, hidden) as w3", "linear(x, hidden) as up"),
    ("tiny", "a product in place", "sdpa(q, k, v, mask)", "sdpa(2.0 * q, k, v, mask)"),
    ("tiny", "a norm before a product", "merge_heads(sdpa(q, k, v, mask))", "tanh(merge_heads(sdpa(q, k, v, mask)))"),
    # (not of tiny: there another reader of x makes it cheaper to compute the whole layer again than to save more than x)
    ("stories110m", "a statement more: tanh", "      x = x + swiglu", "      x = x + 0.1 * tanh(x);\n      x = x + swiglu"),
    ("tiny", "a loss in two parts", "return mean_all(xent(embed @ h, targets, axis: 0));",
     "logits = embed @ h;\n    return mean_all(xent(logits, targets, axis: 0)) + 0.0001 * mean_all(logits * logits);"),
    ("tiny", "a variable's name", "h = trunk(tokens, rope_cos(hd, seq, 10000.0), rope_sin(hd, seq, 10000.0), causal_mask(seq), pos: 0,\n"
     "              cached: false);\n    return mean_all(xent(embed @ h,",
     "out = trunk(tokens, rope_cos(hd, seq, 10000.0), rope_sin(hd, seq, 10000.0), causal_mask(seq), pos: 0,\n"
     "              cached: false);\n    return mean_all(xent(embed @ out,"),
    ("tiny", "another start", "std: 0.02 / sqrt(2.0 * layers)) as wo", "std: 0.02) as wo"),
    ("gpt2", "another activation", "f = gelu(", "f = silu("),
    ("gpt2", "a variable's name", "f = gelu(proj(ln(x) as ln_2, 4 * dim) as mlp.c_fc);\n    return x + proj(f,",
     "act = gelu(proj(ln(x) as ln_2, 4 * dim) as mlp.c_fc);\n    return x + proj(act,"),
    ("gpt2", "an epsilon", "layernorm(x, weight, bias)", "layernorm(x, weight, bias, eps: 1e-3)"),
    ("gpt2", "no bias", "return weight @ x + bias[:, _];", "return weight @ x;"),
    ("gpt2", "a statement more: scaled keys", "    if cached {", "    k = tanh(k);\n    if cached {"),
    ("gpt2", "a factor on a branch", "x = x + proj(", "x = x + 0.5 * proj("),
    ("qwen3_0_6b", "no norm of keys", "k = rope_halves(rmsnorm(k, k_norm, eps: eps), c, s);", "k = rope_halves(k, c, s);"),
    ("qwen3_0_6b", "another theta", "config theta    = 1000000.0;", "config theta    = 500000.0;"),
    ("qwen3_0_6b", "an epsilon", "q = rope_halves(rmsnorm(q, q_norm, eps: eps), c, s);", "q = rope_halves(rmsnorm(q, q_norm, eps: 1e-3), c, s);"),
    ("qwen3_0_6b", "another activation", "silu(", "gelu("),
    ("qwen3_0_6b", "a bias", "linear(x, hidden) as up_proj", "linear(x, hidden, with_bias: true) as up_proj"),
    ("qwen3_0_6b", "a statement more: gated values", "    q = rope_halves(", "    v = v * sigmoid(v);\n    q = rope_halves("),
]
TIMES = 3
DECLARATION = re.compile(r"^(#\[[^\]]*\]\s*)*(config|const|param|state)\b")
STATEMENT = re.compile(r"^        (?:tensor<\w+, \[[\d, ]+\]>|fp16|bool) (\w+) = (\w+)\((.*)\)\[name = ")
PLACE = re.compile(r"^(\d+) \S+ (fwd|bwd) (\w+) (\S+):(\d+):(\d+)$")


class Line:
    """One MIL line that is no constant."""

    def __init__(self, text, name=None, op=None, arguments="", role=None, place=None):
        self.text, self.name, self.op, self.role, self.place = text, name, op, role, place
        self.reads = set(re.findall(r"\w+", arguments))


def programs(plan, model):
    """{program: [Line]}; places are (line, column) in the model's own file."""
    found = {}
    for path in sorted(p for p in (plan / "mil").glob("*.mil") if not p.name.startswith("decode")):
        place = {}
        for row in (plan / "map" / f"{path.stem}.map").read_text().splitlines():
            number, _, role, file, line, column = PLACE.match(row).groups()
            place[int(number)] = role, (int(line), int(column)) if file == model else None
        lines = []
        for number, text in enumerate(path.read_text().splitlines(), 1):
            if " = const()[" in text:
                continue
            match = STATEMENT.match(text)
            if match:
                assert number in place, f"{path.name}:{number} is not in the map"
                lines.append(Line(text, *match.groups(), *place[number]))
            else:
                lines.append(Line(text))
        found[path.stem] = lines
    return found


def statements(source):
    """[(text, first, last)]: everything between semicolons and braces, with its places as (line, column)."""
    blank = re.sub(r"//[^\n]*|\"[^\"\n]*\"", lambda m: " " * len(m[0]), source)
    result, begin = [], 0
    starts = [0] + [m.end() for m in re.finditer("\n", source)]

    def place(at):
        line = max(i for i, s in enumerate(starts) if s <= at)
        return line + 1, at - starts[line] + 1

    for match in re.finditer(r"[;{}]", blank):
        text = source[begin:match.end()].strip()
        if text.strip(";{} "):
            result.append((text, place(begin), place(match.end())))
        begin = match.end()
    return result


def matching(a, b):
    return difflib.SequenceMatcher(None, a, b, autojunk=False).get_opcodes()


def edited(before, after):
    """The statements that differ, of either source."""
    a, b = statements(before), statements(after)
    old, new = [], []
    for tag, i, i2, k, k2 in matching([s[0] for s in a], [s[0] for s in b]):
        if tag != "equal":
            old += a[i:i2]
            new += b[k:k2]
    return old, new


def produced(lines_of, parts):
    """Names of the values that these statements produce, by program."""
    return {program: {x.name for x in lines if x.place and any(first <= x.place < last for _, first, last in parts)}
            for program, lines in lines_of.items()}


def changed_lines(before, after):
    return sum(max(i2 - i, k2 - k) for tag, i, i2, k, k2 in matching([x.text for x in before], [x.text for x in after])
               if tag != "equal")


def others(lines, own):
    """{name: op} of the values that have to keep their names."""
    return {x.name: x.op for x in lines
            if x.name and x.name not in own and x.role not in ("input", "output") and not x.name.startswith("re_")}


def renamed(before, after, own):
    """What others() has on one side only, as text. Sums of cotangents and factors may appear or vanish, but not turn into
    others of their kind."""
    a, b = others(before, own), others(after, own)
    sides = [sorted(a.items() - b.items()), sorted(b.items() - a.items())]
    factors = {x.name for x in before + after if x.op == "mul" and any(r.startswith("c_h_") for r in x.reads)}
    for kind in (lambda name, op: name.startswith("d_") and op == "add", lambda name, _: name in factors):
        some = [[x for x in side if kind(*x)] for side in sides]
        if not all(some):
            sides = [[x for x in side if x not in some[k]] for k, side in enumerate(sides)]
    return [f"{name} = {op} only {word}" for side, word in zip(sides, ("before", "after")) for name, op in side]


class Compiler:
    def __init__(self, anec, folder):
        self.anec, self.folder, self.known = anec, folder, {}

    def run(self, model, source):
        if source not in self.known:
            here = self.folder / str(len(self.known))
            here.mkdir()
            (here / model).write_text(source)
            (here / "plan").mkdir()
            subprocess.run([self.anec, here / model, "-o", here / "plan" / "p"], check=True, stderr=subprocess.DEVNULL)
            self.known[source] = programs(here / "plan" / "p", model)
        return self.known[source]


def check(compiler, models, name, old, new):
    """(changed lines, bound, complaints)"""
    model = f"{name}.anel"
    source = (models / model).read_text()
    assert source.count(old) == 1, f"{model} has {old!r} {source.count(old)} times"
    after_source = source.replace(old, new)
    before, after = compiler.run(model, source), compiler.run(model, after_source)
    old_parts, new_parts = edited(source, after_source)
    own_before, own_after = produced(before, old_parts), produced(after, new_parts)
    least = int(any(not DECLARATION.match(text) for text, _, _ in old_parts + new_parts))
    count = max(least, sum(len(s) for s in own_before.values()), sum(len(s) for s in own_after.values()))
    complaints, changed = [], 0
    for program in sorted(before.keys() | after.keys()):
        a, b = before.get(program, []), after.get(program, [])
        changed += changed_lines(a, b)
        own = own_before.get(program, set()) | own_after.get(program, set())
        complaints += [f"{program}: {text}" for text in renamed(a, b, own)]
    if changed > TIMES * count:
        complaints.append(f"{changed} lines changed; the edited statements produce {count}, so at most {TIMES * count} may")
    return changed, count, complaints


def diff_text(before, after):
    out = []
    for program in sorted(before.keys() | after.keys()):
        out += difflib.unified_diff([x.text.strip() for x in before.get(program, [])], [x.text.strip() for x in after.get(program, [])],
                                    program, program, n=0, lineterm="")
    return "\n".join("    " + line[:200] for line in out)


def self_test():
    """The checker itself: it can count and it can complain."""
    a = [Line("a", "a", "mul"), Line("b", "b", "mul"), Line("c", "c", "mul")]
    assert changed_lines(a, a) == 0
    assert changed_lines(a, a[:1] + [Line("B", "b", "mul")] + a[2:]) == 1
    assert changed_lines(a, a[:1]) == 2
    assert others(a, {"b"}) == {"a": "mul", "c": "mul"}
    assert renamed(a, a, set()) == [] and len(renamed(a, a[:2], set())) == 1 and renamed(a, a[:2], {"c"}) == []
    assert len(renamed(a, a[:2] + [Line("c", "c", "add")], set())) == 2
    sums = [Line("s", "d_s", "add"), Line("t", "d_t", "add")]
    assert renamed(sums, sums[:1], set()) == [] and len(renamed(sums[:1], sums[1:], set())) == 2
    half, twice = Line("h", "h", "mul", "x = x, y = c_h_3800"), Line("t", "t", "mul", "x = x, y = c_h_4000")
    assert renamed([half], [], set()) == [] and len(renamed([half], [twice], set())) == 2
    old, new = edited("x = 1; { y = 2; }", "x = 1; { z = 2; y = 2; }")
    assert not old and [s[0] for s in new] == ["z = 2;"]
    old, new = edited('x = "a;b"; y = 2;', 'x = "a;b"; y = 3;')
    assert [s[0] for s in old] == ["y = 2;"] and [s[0] for s in new] == ["y = 3;"]


def main():
    anec, models = Path(sys.argv[1]).resolve(), Path(sys.argv[2])
    only = sys.argv[3] if len(sys.argv) > 3 else ""
    self_test()
    failed = 0
    with tempfile.TemporaryDirectory() as name:
        compiler = Compiler(anec, Path(name))
        for model, what, old, new in EDITS:
            if only not in f"{model}: {what}":
                continue
            changed, count, complaints = check(compiler, models, model, old, new)
            print(f"{'FAIL' if complaints else 'ok'}  {model}: {what}: {changed} lines changed, {count} produced")
            for text in complaints:
                print("    " + text)
            if complaints or only:
                source = (models / f"{model}.anel").read_text()
                print(diff_text(compiler.run(f"{model}.anel", source), compiler.run(f"{model}.anel", source.replace(old, new))))
            failed += bool(complaints)
    print(f"{len(EDITS)} edits, {failed} failed")
    return 1 if failed or len(EDITS) < 30 else 0


if __name__ == "__main__":
    sys.exit(main())
