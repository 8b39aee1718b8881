#!/usr/bin/env python3
"""The emitted MIL obeys the engine's rules, as far as anybody has published them.

    mil_rules.py ANEC MODEL...

MODEL is a model file, or a text with a model in it (README.md). Every model is compiled at its full size, with weights as
constants and as inputs, and each statement of each program is held against the rules below. They are written from the published measurements, not from the back end: it keeps them by construction, this looks at the result.
The checker itself is tried first, on texts with one rule broken each.
"""
import re
import struct
import subprocess
import sys
import tempfile
from math import prod
from pathlib import Path

HEADER = """program(1.3)
[buildInfo = dict<string, string>({{"coremlc-component-MIL", "3510.2.1"}, {"coremlc-version", "3505.4.1"}, \
{"coremltools-component-milinternal", ""}, {"coremltools-version", "9.0"}})]
{
"""
# What several projects have shown running, on the first to the latest family.
ELEMENTWISE = {"add", "sub", "mul", "real_div", "maximum", "minimum", "pow"}
COMPARISONS = {"equal", "not_equal", "less", "less_equal", "greater", "greater_equal"}  # booleans stay inside a program
ARGUMENTS = {name: {"x", "y"} for name in ELEMENTWISE | COMPARISONS} | {
    "select": {"cond", "a", "b"},
    "sigmoid": {"x"}, "tanh": {"x"}, "exp": {"x"},
    "conv": {"x", "weight", "strides", "pad_type", "pad", "dilations", "groups"},
    "matmul": {"x", "y", "transpose_x", "transpose_y"},
    "softmax": {"x", "axis"},
    "reduce_sum": {"x", "axes", "keep_dims"}, "reduce_max": {"x", "axes", "keep_dims"},
    "slice_by_size": {"x", "begin", "size"}, "reshape": {"x", "shape"}, "transpose": {"x", "perm"},
    "concat": {"values", "axis", "interleave"},
}
MAX_WIDTH, MAX_CHANNELS, MAX_CONV_IN, MAX_SUM, MAX_PROGRAMS = 16384, 65536, 31999, 2048, 6
LARGEST, SMALLEST, MASK = 65504, 2.0 ** -24, -1e4

TYPE = r"(?:tensor<\w+, \[[\d, ]+\]>|fp16|int32|bool|string)"
FUNCTION = re.compile(r"^    func main<ios18>\((.*)\) \{$")
RETURN = re.compile(r"^    \} -> \(([\w, ]+)\);$")
STATEMENT = re.compile(rf'^        ({TYPE}) (\w+) = (\w+)\((.*)\)\[name = string\("(\w+)"\)\];$')
CONST = re.compile(rf'^        ({TYPE}) (\w+) = const\(\)\[name = string\("(\w+)"\), val = (.*)\];$')
BLOB = re.compile(r'^(tensor<fp16, .*>)\(BLOBFILE\(path = string\("@model_path/([\w./]+)"\), offset = uint64\((\d+)\)\)\)$')
HEX_FLOAT = re.compile(r"^-?0x[01](\.[0-9a-f]+)?p[+-]?\d+$")
ARGUMENT = re.compile(r"(\w+) = (\w+|\([\w, ]+\))(?:, |$)")


class Broken(Exception):
    """A rule is broken; the message says which and where."""


def need(condition, what):
    if not condition:
        raise Broken(what)


def shape_of(text):
    match = re.match(r"^tensor<(\w+), \[([\d, ]+)\]>$", text)
    return (match[1], [int(d) for d in match[2].split(",")]) if match else (text, [])


def check_shape(shape, what):
    """Rank 4, one batch, extents within what all families take."""
    need(len(shape) == 4, f"{what}: rank {len(shape)}")
    need(shape[0] == 1, f"{what}: the first axis is {shape[0]}")
    need(all(d >= 1 for d in shape), f"{what}: an empty axis")
    need(shape[1] <= MAX_CHANNELS, f"{what}: {shape[1]} channels")
    need(max(shape[2:]) <= MAX_WIDTH, f"{what}: an axis of {max(shape[2:])}")


def check_number(x, what):
    need(abs(x) <= LARGEST, f"{what}: {x} is beyond fp16")
    need(x == 0 or abs(x) >= SMALLEST, f"{what}: {x} is below fp16")
    need(x > -1000 or x <= MASK, f"{what}: {x} is neither a number nor a mask")


def constant(kind, text, what):
    """The value of a constant; a file's path for weights."""
    blob = BLOB.match(text)
    if blob:
        need(blob[1] == kind, f"{what}: declared {kind}, stored {blob[1]}")
        need(blob[3] == "64", f"{what}: offset {blob[3]} is not that of the metadata")
        return blob[2]
    need(text.startswith(kind + "(") and text.endswith(")"), f"{what}: {text} is not a {kind}")
    inner = text[len(kind) + 1:-1]
    if kind == "fp16":
        need(HEX_FLOAT.match(inner), f"{what}: {inner} is not a hex float")
        check_number(float.fromhex(inner), what)
        return float.fromhex(inner)
    if kind == "bool":
        need(inner in ("true", "false"), f"{what}: {inner}")
        return inner == "true"
    if kind == "string":
        return inner.strip('"')
    values = [int(v) for v in inner.strip("[]").split(",")]
    element, shape = shape_of(kind)
    need(element == "int32" and len(values) == prod(shape), f"{what}: {len(values)} numbers of {kind}")
    return values if shape else values[0]


class Program:
    """One text, read and checked."""

    def __init__(self, text):
        self.shape, self.const, self.kind, self.files = {}, {}, {}, {}
        need(text.startswith(HEADER), "the header")
        lines = text[len(HEADER):].splitlines()
        head, back = FUNCTION.match(lines[0]), RETURN.match(lines[-2])
        need(head and back and lines[-1] == "}", "one function main<ios18>")
        self.inputs = [argument.rsplit(" ", 1)[1] for argument in re.split(r", (?=tensor)", head[1])]
        for argument in re.split(r", (?=tensor)", head[1]):
            self.define(*argument.rsplit(" ", 1))
        for line in lines[1:-2]:
            self.line(line)
        self.outputs = back[1].split(", ")
        for ports in (self.inputs, self.outputs):
            need(ports == sorted(set(ports)), f"ports {ports} are not in alphabetical order")
            for port in ports:
                self.check_port(port)
        need(not set(self.outputs) & set(self.inputs), "an input is returned")
        need(not set(self.outputs) & set(self.const), "a constant is returned")

    def define(self, kind, name):
        need(name not in self.shape, f"{name} is defined twice")
        element, self.shape[name] = shape_of(kind)
        self.kind[name] = element
        return element

    def check_port(self, name):
        need(name in self.shape, f"port {name} is not defined")
        need(self.kind[name] == "fp16", f"port {name} is {self.kind[name]}")
        _, channels, height, width = self.shape[name]
        need(height == 1, f"port {name} is {self.shape[name]}")
        need(channels >= 64 and channels % 16 == 0, f"port {name} has {channels} channels")
        need(width % 16 == 0, f"port {name} is {width} wide")

    def line(self, text):
        const = CONST.match(text)
        if const:
            kind, name, label, value = const.groups()
            need(name == label, f"{name} is labelled {label}")
            self.define(kind, name)
            self.const[name] = constant(kind, value, name)
            if isinstance(self.const[name], str) and kind != "string":
                self.files[self.const[name]] = self.shape[name]
            return
        statement = STATEMENT.match(text)
        need(statement, f"not a statement: {text.strip()}")
        kind, name, op, arguments, label = statement.groups()
        need(name == label, f"{name} is labelled {label}")
        need(op in ARGUMENTS, f"{name}: the operation {op}")
        pairs = ARGUMENT.findall(arguments)
        need(", ".join(f"{k} = {v}" for k, v in pairs) == arguments, f"{name}: arguments ({arguments})")
        arg = dict(pairs)
        need(set(arg) == ARGUMENTS[op], f"{name}: {op} takes {sorted(ARGUMENTS[op])}, not {sorted(arg)}")
        for value in re.findall(r"\w+", " ".join(arg.values())):
            need(value in self.shape, f"{name}: {value} is not the name of a value or constant")
        for key, value in pairs:
            is_bool = self.kind.get(value) == "bool" and value not in self.const
            need(is_bool == (key == "cond"), f"{name}: {key} is {'a' if is_bool else 'no'} comparison")
        need(self.define(kind, name) == ("bool" if op in COMPARISONS else "fp16"), f"{name} is {kind}")
        check_shape(self.shape[name], name)
        getattr(self, "op_" + op, self.op_default)(name, arg)

    def fixed(self, name, arg, key):
        need(arg[key] in self.const, f"{name}: {key} is not a constant")
        return self.const[arg[key]]

    def is_scalar(self, value):
        return value in self.const and self.shape[value] == []

    def op_default(self, name, arg):
        """Element-wise: shapes broadcast; scalars are fp16."""
        shapes = [self.shape[v] or [1, 1, 1, 1] for v in arg.values()]
        need(all(self.kind[v] == "fp16" for k, v in arg.items() if k != "cond"), f"{name}: operands that are not fp16")
        for extents in zip(self.shape[name], *shapes):
            need(all(d in (1, extents[0]) for d in extents) and extents[0] == max(extents), f"{name}: shapes {shapes}")

    def op_pow(self, name, arg):
        self.op_default(name, arg)
        need(self.is_scalar(arg["y"]), f"{name}: the exponent is not a scalar constant")

    def op_mul(self, name, arg):
        self.op_default(name, arg)
        need(not any(self.is_scalar(v) and self.const[v] == 0 for v in arg.values()), f"{name}: multiplied by zero")

    def op_conv(self, name, arg):
        out, inner, height, width = self.shape[arg["weight"]]
        x = self.shape[arg["x"]]
        need(arg["weight"] in self.const, f"{name}: the weight is not a constant")
        need((height, width) == (1, 1) and self.fixed(name, arg, "groups") == 1, f"{name}: not a plain 1x1")
        need(self.fixed(name, arg, "strides") == [1, 1] == self.fixed(name, arg, "dilations"), f"{name}: strides")
        need(self.fixed(name, arg, "pad_type") == "valid" and self.fixed(name, arg, "pad") == [0] * 4, f"{name}: padding")
        need(inner == x[1] and self.shape[name] == [1, out, *x[2:]], f"{name}: shapes")
        need(inner <= MAX_CONV_IN, f"{name}: {inner} input channels")

    def op_matmul(self, name, arg):
        x, y = self.shape[arg["x"]][:], self.shape[arg["y"]][:]
        if self.fixed(name, arg, "transpose_x"):
            x[2:] = x[:1:-1]
        if self.fixed(name, arg, "transpose_y"):
            y[2:] = y[:1:-1]
        need(x[3] == y[2] and x[1] == y[1] and self.shape[name] == [1, x[1], x[2], y[3]], f"{name}: shapes {x}, {y}")
        need(x[3] <= MAX_WIDTH, f"{name}: contracts {x[3]}")
        weights = {v for v in self.const if str(self.const[v]).startswith("weights/")}
        need(arg["x"] not in weights, f"{name}: a weight on the left, where a conv would do")
        need(arg["y"] not in weights or self.const[arg["transpose_y"]], f"{name}: a weight that is not [N, K]")

    def op_softmax(self, name, arg):
        need(self.fixed(name, arg, "axis") in (-1, 3), f"{name}: softmax over an axis that is not the last")

    def op_reduce_sum(self, name, arg):
        terms = prod(self.shape[arg["x"]][axis] for axis in self.fixed(name, arg, "axes"))
        need(terms <= MAX_SUM, f"{name}: a sum of {terms} terms")

    def op_reduce_max(self, name, arg):
        need(self.fixed(name, arg, "keep_dims") is True, f"{name}: keep_dims")

    def op_slice_by_size(self, name, arg):
        begin, size = self.fixed(name, arg, "begin"), self.fixed(name, arg, "size")
        x = self.shape[arg["x"]]
        need(size == self.shape[name], f"{name}: size {size}")
        need(all(0 <= b and b + n <= d for b, n, d in zip(begin, size, x)), f"{name}: beyond its operand")
        need(begin[3] == 0, f"{name}: begins inside the last axis")

    def op_reshape(self, name, arg):
        need(self.fixed(name, arg, "shape") == self.shape[name], f"{name}: shape")
        need(prod(self.shape[name]) == prod(self.shape[arg["x"]]), f"{name}: another number of elements")

    def op_transpose(self, name, arg):
        perm = self.fixed(name, arg, "perm")
        need(sorted(perm) == [0, 1, 2, 3] and perm[0] == 0, f"{name}: perm {perm}")
        need(self.shape[name] == [self.shape[arg["x"]][p] for p in perm], f"{name}: shape")

    def op_concat(self, name, arg):
        axis, parts = self.fixed(name, arg, "axis"), arg["values"].strip("()").split(", ")
        need(self.fixed(name, arg, "interleave") is False, f"{name}: interleave")
        need(axis in (1, 2), f"{name}: along axis {axis}")
        need(self.shape[name][axis] == sum(self.shape[p][axis] for p in parts), f"{name}: shape")


# ---- a plan ----

def manifest_programs(text):
    """{program: {"mil", "in": {port: (shape, parts)}, "out": ..., "weights": {path: shape}}}"""
    programs, stages, current, port, stage = {}, {}, None, None, None
    for line in text.splitlines():
        words = line.split()
        if line.startswith("program "):
            current = programs[words[1]] = {"in": {}, "out": {}, "weights": {}}
        elif line == "}":
            current = None
        elif current is not None and words[0] == "mil":
            current["mil"] = words[1]
        elif current is not None and words[0] in ("in", "out"):
            port = current[words[0]][words[1]] = ([int(d) for d in words[2].split("x")], [])
        elif current is not None and words[0] == "part":
            port[1].append((int(words[3]), int(words[4])))
        elif line.startswith("stage "):
            stages[words[1], words[2]] = []  # by surface and first index
            stage = stages[words[1], words[2]]
        elif line.startswith("  weight ") and current is None:
            stage.append((int(words[1]), [int(d) for d in words[2].split("x")], line.split(" = ")[1]))
        elif current is not None and words[0] == "weight":
            current["weights"][words[1]] = [int(d) for d in words[2].split("x")]
    return programs, stages


def check_against_manifest(program, entry, mode):
    for ports, names in ((entry["in"], program.inputs), (entry["out"], program.outputs)):
        need(list(ports) == names, f"the manifest binds {list(ports)}, the text has {names}")
        for name, (shape, parts) in ports.items():
            need(shape == program.shape[name], f"{name}: {shape} in the manifest")
            at = padded = 0
            for channel, channels in parts:
                need(channel in (at, padded), f"{name}: parts with gaps or overlaps at channel {channel}")
                at = padded = channel + channels
                if name.endswith("_w"):  # weights that are inputs: filled up with zeros
                    padded = channel + -(-channels // 32) * 32
            need(at <= shape[1], f"{name}: parts beyond its channels")
    for path in entry["weights"].keys() | program.files.keys():
        listed, used = entry["weights"].get(path), program.files.get(path)
        need(listed and used and prod(listed) == prod(used), f"{path}: {listed} in the manifest, {used} in the text")
        need(mode != "dynamic" or path.startswith("const/"), f"{path}: a weight that is a constant")


def check_table(path):
    """A blob file of fp16: header, metadata at 64, numbers within fp16."""
    data = path.read_bytes()
    version, (mark, kind, size, offset) = struct.unpack_from("<I", data, 4)[0], struct.unpack_from("<IIQQ", data, 64)
    need(version == 2 and mark == 0xDEADBEEF and offset == 128 and len(data) == 128 + size, f"{path.name}: blob")
    if kind == 1:
        for x in set(struct.unpack_from(f"<{size // 2}e", data, offset)):
            check_number(x, path.name)


def check_stages(stages, manifest):
    """Weights lie one after the other, but for what fills matrices up to 32 rows, and every parameter once: both
    directions read the same copy."""
    seen = set()
    for (name, first), weights in stages.items():
        at = padded = 0
        for channel, shape, recipe in weights:
            need(channel in (at, padded), f"{name}: weights with gaps at channel {channel}")
            at, padded = channel + shape[0], channel + -(-shape[0] // 32) * 32
            path = recipe.replace("T(", "").replace(")", "")
            need((path, first) not in seen, f"{name}: {path} is staged twice")
            seen.add((path, first))
    uses = {name: re.findall(rf"run (\w+) .*<-.* {name}\b", manifest) for name, _ in stages}
    for name, programs in uses.items():
        need(programs, f"{name}: no program reads it")
        if name.startswith(("layers", "layer", "h_")):
            need(len(set(programs)) >= 2, f"{name}: read by {programs} only")


def check_mixed(entries, stages, manifest):
    """What is trained is staged, what is frozen is not."""
    frozen = {re.sub(r"\{[\d.]+\}", "{L}", name): "\n  frozen yes\n" in text
              for name, text in re.findall(r"^param (\S+) \{(.*?)^\}", manifest, re.S | re.M)}
    trained = lambda recipe: any(not frozen[word] for word in re.findall(r"[\w.{}]+", recipe) if word in frozen)
    for (name, _), weights in stages.items():
        for _, _, recipe in weights:
            need(trained(recipe), f"{name}: {recipe} is frozen")
    lines = re.findall(r"^  weight (weights/\S+) \S+ = (.*)$", manifest, re.M)
    need(lines or not any(frozen.values()), "no constants")
    for path, recipe in lines:
        need(not trained(recipe), f"{path}: {recipe} is trained")


def check_plan(folder, mode):
    manifest = (folder / "plan.anep").read_text()
    entries, stages = manifest_programs(manifest)
    need(entries, "no programs")
    need(f"\nweights {mode}\n" in manifest, f"the manifest does not say 'weights {mode}'")
    need(mode in ("dynamic", "mixed") or not stages, "staged weights")
    if mode == "mixed":
        check_mixed(entries, stages, manifest)
    need(mode != "dynamic" or not re.search(r"^  instances ", manifest, re.M), "instances of programs without weights")
    check_stages(stages, manifest)
    kinds, ops = {}, set()
    for name, entry in entries.items():
        text = (folder / "mil" / (entry["mil"] + ".mil")).read_text()
        try:
            check_against_manifest(Program(text), entry, mode)
        except Broken as broken:
            raise Broken(f"{name}: {broken}") from None
        ops |= set(re.findall(r" = (\w+)\(", "\n".join(line for line in text.splitlines() if "const()" not in line)))
        kind = re.sub(r"_(fwd|bwd).*$", "", name)
        kinds[kind] = kinds.get(kind, 0) + 1
    need(max(kinds.values()) <= MAX_PROGRAMS, f"programs: {kinds}")
    for table in sorted((folder / "const").glob("*.blob")):
        check_table(table)
    return f"{len(entries)} programs, {len(ops & set(ARGUMENTS))} operations"


# ---- the checker is checked ----

SAMPLE = HEADER + """    func main<ios18>(tensor<fp16, [1, 64, 1, 32]> i00_in) {
        fp16 c_h = const()[name = string("c_h"), val = fp16(0x1.5p-17)];
        int32 c_i = const()[name = string("c_i"), val = int32(-1)];
        tensor<fp16, [64, 64, 1, 1]> w = const()[name = string("w"), val = tensor<fp16, [64, 64, 1, 1]>(BLOBFILE(path = \
string("@model_path/weights/w.bin"), offset = uint64(64)))];
        tensor<fp16, [1, 64, 1, 32]> a = add(x = i00_in, y = c_h)[name = string("a")];
        tensor<fp16, [1, 64, 1, 32]> o00_out = softmax(axis = c_i, x = a)[name = string("o00_out")];
    } -> (o00_out);
}
"""
BREAK = [  # replace, by, what the complaint contains
    ("program(1.3)", "program(1.5)", "header"),
    ("<ios18>", "<ios17>", "main<ios18>"),
    ("0x1.5p-17", "1e-05", "hex float"),
    ("0x1.5p-17", "0x1p-30", "below fp16"),
    ("0x1.5p-17", "-0x1p+12", "neither a number nor a mask"),
    ("uint64(64)", "uint64(128)", "offset"),
    ("int32(-1)", "int32(1)", "not the last"),
    ("softmax(axis = c_i", "softmax(axis = int32(1)", "arguments"),
    ("softmax(axis = c_i, ", "softmax(", "takes"),
    ("add(x", "rsqrt(x", "the operation rsqrt"),
    ("-> (o00_out)", "-> (i00_in)", "an input is returned"),
    ("-> (o00_out)", "-> (o00_out, a)", "alphabetical"),
    ("[1, 64, 1, 32]", "[1, 48, 1, 32]", "48 channels"),
    ("[1, 64, 1, 32]", "[1, 64, 1, 20]", "20 wide"),
    ("[1, 64, 1, 32]", "[1, 64, 1, 16400]", "an axis of 16400"),
    ("[1, 64, 1, 32]", "[2, 64, 1, 32]", "the first axis"),
    ("tensor<fp16, [1, 64, 1, 32]> a ", "tensor<fp16, [1, 64, 1, 32]> i00_in ", "labelled"),
    ("tensor<fp16, [1, 64, 1, 32]> a ", "tensor<bool, [1, 64, 1, 32]> a ", "is tensor<bool"),
    ("tensor<fp16, [1, 64, 1, 32]> a = add(", "tensor<bool, [1, 64, 1, 32]> a = less(", "x is a comparison"),
    ("o00_out = softmax(axis = c_i, x = a)", "o00_out = select(a = a, b = a, cond = a)", "cond is no comparison"),
]


def self_test():
    Program(SAMPLE)
    for old, new, complaint in BREAK:
        assert old in SAMPLE, old
        try:
            Program(SAMPLE.replace(old, new))
        except Broken as broken:
            assert complaint in str(broken), f"{old} -> {new}: {broken}"
        else:
            raise AssertionError(f"not noticed: {old} -> {new}")


def main():
    anec, models, failed = sys.argv[1], sys.argv[2:], False
    self_test()
    for model in models:
        with tempfile.TemporaryDirectory(prefix="anel-rules-") as name:
            plan = Path(name) / "plan"
            if model.endswith(".md"):
                block = re.search(r"^```anel[^\n]*\n(.*?)^```", Path(model).read_text(), re.S | re.M)
                model = name + "/bigram.anel"
                Path(model).write_text(block[1])
            for mode in ("baked", "dynamic", "reload", "mixed") if "lora" in model else ("baked", "dynamic", "reload"):
                subprocess.run([anec, model, "--weights", mode, "-o", plan], check=True)
                try:
                    print(f"{Path(model).name}, weights {mode}: {check_plan(plan, mode)}")
                except Broken as broken:
                    print(f"FAIL {Path(model).name}, weights {mode}: {broken}")
                    failed = True
    return failed


if __name__ == "__main__":
    sys.exit(main())
