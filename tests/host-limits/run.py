#!/usr/bin/env python3
"""The host device refuses what the engine it imitates would refuse, and nothing else.

Every text that breaks a rule (tests/rules/cases) is run by `anerun mil` without a target and as several targets. What is
expected stands in EXPECT: "runs", "refused RULE" (by the engine: the rule at its place with the remedy), or "text CODE"
(wrong whatever the device). Cases that are not listed run everywhere.
"""
import argparse
import importlib.util
import re
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
CASES = HERE.parent / "rules" / "cases"
spec = importlib.util.spec_from_file_location("rules", HERE.parent / "rules" / "run.py")
rules = importlib.util.module_from_spec(spec)
spec.loader.exec_module(rules)

# A profile with limits that small texts reach.
SMALL = ('target small\ninherits any\nmax_weights 10000 assumed\nmax_conv_in 64 assumed\nmax_axis 512 assumed\nconv_bias yes assumed\n'
         'op gelu no assumed\nop identity yes assumed\nop cumsum yes assumed\n')
TARGETS = ["none", "any", "m1", "m4", "small"]


def same(what):
    return [what] * len(TARGETS)


def refused(rule, without):
    """Refused by all targets; `without` one it is this."""
    return [without] + [f"refused {rule}"] * (len(TARGETS) - 1)


EXPECT = {
    "ANE001": refused("ANE001", "text M0302"),
    "ANE008": same("text M0503"),
    "ANE008-payload": same("text M0503"),
    "ANE009": ["runs"] + ["text ANE009"] * 4,
    "ANE010": ["text M0302"] + ["refused ANE010"] * 3 + ["refused ANE010 ANE024"],
    "ANE015": refused("ANE015", "text M0302"),
    "ANE016": ["runs", "refused ANE016", "refused ANE016", "refused ANE016", "runs"],
    "ANE016-inline": ["runs", "refused ANE016", "refused ANE016", "refused ANE016", "refused ANE016"],
    "ANE017": same("text M0202"),
    "ANE021": same("text M0107"),
    "ANE022": same("text M0405"),
    "ANE024": ["runs"] + ["refused ANE024"] * 3 + ["runs"],
    "ANE024-unknown": same("text M0203"),
    "ANE025": refused("ANE025", "runs"),
    "ANE026": refused("ANE026", "text M0302"),
    "ANE029": refused("ANE029", "runs"),
    "ANE030": ["runs", "runs", "refused ANE030", "runs", "runs"],
    "ANE031": ["runs", "runs", "refused ANE031", "runs", "runs"],
    "ANE032": ["runs", "runs", "refused ANE032", "runs", None],
    "ANE033": ["runs"] + ["refused ANE033"] * 3 + ["refused ANE033 ANE038"],
    "ANE034": same("text M0407"),
    "ANE036": ["runs"] + ["refused ANE036"] * 3 + ["runs"],
    "ANE037-six": refused("ANE037", "text M0402 M0407"),
    "ANE038": ["runs", "refused ANE038", "refused ANE038", "runs", "refused ANE038"],
}
SKIP = {"ANE019", "ANE020", "ANE043", "ANE044", "ANE045", "ANE046", "ANE047"}  # large; 'small' refuses the like of them below

NEW = {  # texts of our own
    "zero": ('func main<ios18>(tensor<fp16, [1, 64, 1, 32]> i00_x) {\n tensor<fp16, [1, 0, 1, 32]> $t = relu(x = i00_x)'
             '[name = string("t")];\n tensor<fp16, [1, 64, 1, 32]> o00_y = relu(x = i00_x)[name = string("o00_y")];\n} -> (o00_y);',
             refused("ANE038", "text M0402")),
    "runtime-begin": ('func main<ios18>(tensor<fp16, [1, 64, 1, 32]> i00_x, tensor<int32, [4]> i01_b) {\n'
                      ' tensor<fp16, [1, 64, 1, 32]> o00_y = slice_by_size(x = i00_x, begin = $i01_b, '
                      'size = tensor<int32, [4]>([1, 64, 1, 32]))[name = string("o00_y")];\n} -> (o00_y);',
                      refused("ANE034", "text M0304")),
    "no-kernel": ('func main<ios18>(tensor<fp16, [1, 64, 1, 32]> i00_x) {\n tensor<fp16, [1, 64, 1, 32]> o00_y = $lstm(x = i00_x)'
                  '[name = string("o00_y")];\n} -> (o00_y);', refused("ANE024", "text M0203")),
    "weights": ('func $main<ios18>(tensor<fp16, [1, 64, 1, 32]> i00_x) {\n tensor<fp16, [128, 64, 1, 1]> w = const()[name = '
                'string("w"), val = tensor<fp16, [128, 64, 1, 1]>(BLOBFILE(path = string("@model_path/weights/w.bin"), '
                'offset = uint64(64)))];\n tensor<fp16, [1, 64, 1, 32]> o00_y = relu(x = i00_x)[name = string("o00_y")];\n} -> (o00_y);',
                ["runs"] * 4 + ["refused ANE044"]),
    "channels": ('func main<ios18>(tensor<fp16, [1, 128, 1, 32]> i00_x) {\n tensor<fp16, [16, 128, 1, 1]> w = const()[name = '
                 'string("w"), val = tensor<fp16, [16, 128, 1, 1]>(BLOBFILE(path = string("@model_path/weights/w.bin"), '
                 'offset = uint64(64)))];\n tensor<fp16, [1, 16, 1, 32]> o00_y = conv(x = $i00_x, weight = w, strides = '
                 'tensor<int32, [2]>([1, 1]), pad_type = string("valid"), pad = tensor<int32, [4]>([0, 0, 0, 0]), dilations = '
                 'tensor<int32, [2]>([1, 1]), groups = int32(1))[name = string("o00_y")];\n} -> (o00_y);',
                 ["runs"] * 4 + ["refused ANE047"]),
    "both": ('func main<ios18>(tensor<fp16, [1, 64, 1, 32]> i00_x) {\n tensor<fp16, [1, 64, 1, 32]> t = gelu(x = i00_x)'
             '[name = string("t")];\n tensor<fp16, [1, 64, 1, 32]> o00_y = $frobnicate(x = t)[name = string("o00_y")];\n} -> (o00_y);',
             same("text M0203 M0302")),
}


def weights(folder, text):
    """Files of zeros of the size that the text declares."""
    for shape, path in re.findall(r"tensor<fp16, \[([\d, ]+)\]>\(BLOBFILE\(path = string\(\"@model_path/([^\"]+)\"\)", text):
        count = 1
        for n in shape.split(","):
            count *= int(n)
        (folder / path).parent.mkdir(exist_ok=True)
        (folder / path).write_bytes(struct.pack("<II56x", 1, 2) + struct.pack("<IIQQQ32x", 0xDEADBEEF, 1, 2 * count, 128, 0) +
                                    bytes(2 * count))


def outcome(anerun, folder, target):
    done = subprocess.run([anerun, "mil", folder / "case.mil", "--out", folder / "out", "--target", target], cwd=folder,
                          capture_output=True, text=True, errors="replace", timeout=120, check=False)
    if done.returncode not in (0, 1):
        raise RuntimeError(f"exit status {done.returncode}: {done.stderr}")
    codes = " ".join(sorted(set(re.findall(r"error\[(\w+)\]", done.stderr))))
    if "refuses this program" in done.stderr:
        return f"refused {codes}", done.stderr
    return (f"text {codes}" if codes else "runs" if "is missing" in done.stderr else done.stderr), done.stderr


def case(anerun, name, text, expect):
    """What is wrong with it, as lines."""
    text = rules.whole(text)
    mark = text.find("$")
    line = text.count("\n", 0, mark) + 1
    text = text.replace("$", "")
    wrong = []
    with tempfile.TemporaryDirectory(prefix="limits-") as temporary:
        folder = Path(temporary)
        (folder / "case.mil").write_bytes(text.encode("latin-1"))
        (folder / "small.target").write_text(SMALL)
        weights(folder, text)
        for target, want in zip(TARGETS, expect):
            if want is None:
                continue
            got, said = outcome(anerun, folder, "small.target" if target == "small" else target)
            if got != want:
                wrong.append(f"{name}, target {target}: expected '{want}', got '{got}'")
            elif want.startswith("refused") and not ("help: " in said and (mark < 0 or f"case.mil:{line}:" in said or " " in want[8:])):
                wrong.append(f"{name}, target {target}: not told at line {line} with a remedy: {said}")
    return wrong


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--anerun", required=True)
    options = parser.parse_args()
    wrong = []
    for path in sorted(CASES.glob("*.mil")):
        if path.stem in SKIP:
            continue
        text = rules.split_case(path)[1]
        big = re.search(r"\d{4,}", text) is not None  # beyond max_axis of 'small'
        expect = EXPECT.get(path.stem, ["runs"] * 4 + [None])
        wrong += case(options.anerun, path.stem, text, expect[:4] + [None] if big and path.stem not in EXPECT else expect)
    for name, (text, expect) in NEW.items():
        wrong += case(options.anerun, name, text, expect)
    print("\n".join(wrong))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
