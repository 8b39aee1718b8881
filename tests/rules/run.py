#!/usr/bin/env python3
"""Every rule of `anec lint` has a text that breaks it, and the violation is told at the right place.

    run.py --anec build/anec [--write-docs docs/rules.md] [--docs docs/rules.md]

cases/ANE000-what.mil is the body of a program (or a whole one), in which a `$` stands before the place of the message. It
begins with directives:

    // expect: error|warning      the severity
    // options: --enable ANE001   more of the command line
    // weights: weights/w.bin=1*64,0*32   write a weight file of one fp16 blob (value*count, ...) and pass --weights
    // count: 2                   how many such messages (default 1; the first is at the mark)
    // also: ANE018, ANE039       other codes that the text cannot help
    // place: none                the column is not compared

cases/ANE000.anel is a model that the compiler refuses. Rules about plans are broken by editing a compiled plan, below.
Rules that devices enforce are broken in test_device.c, which checks for itself that none is missing.
"""
import argparse
import json
import random
import re
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
CASES = HERE / "cases"
HEADER = ('program(1.3)\n[buildInfo = dict<string, string>({{"coremlc-component-MIL", "3510.2.1"}, '
          '{"coremlc-version", "3505.4.1"}})]\n{\n')


def run(anec, *args):
    return subprocess.run([anec, *map(str, args)], capture_output=True, text=True, errors="replace", timeout=120,
                          check=False)


def lint(anec, *args):
    """Exit status and diagnostics."""
    done = run(anec, "lint", "--json", *args)
    if done.returncode not in (0, 1):
        raise RuntimeError(f"exit status {done.returncode}: {done.stderr}")
    return done.returncode, json.loads(done.stdout)


# ---- texts ----------------------------------------------------------------------------------------------------------

def split_case(path):
    """Directives as a dictionary, and the text."""
    raw = path.read_bytes().decode("latin-1")  # ANE009 is no UTF-8
    directives, lines = {}, raw.split("\n")
    while lines and lines[0].startswith("// "):
        key, value = lines.pop(0)[3:].split(":", 1)
        directives[key.strip()] = value.strip()
    return directives, "\n".join(lines)


def whole(text):
    return text if text.startswith("program") else HEADER + text.rstrip("\n") + "\n}\n"


def blob(spec):
    """A weight file with one fp16 blob: a header, metadata, the payload."""
    data = b""
    for part in spec.split(","):
        value, count = part.split("*")
        data += struct.pack("<e", float(value)) * int(count)
    meta = struct.pack("<IIQQQ32x", 0xDEADBEEF, 1, len(data), 128, 0)
    return struct.pack("<II56x", 1, 2) + meta + data


def text_case(anec, path):
    """None, or what is wrong."""
    rule = path.stem[:6]
    directives, text = split_case(path)
    text = whole(text)
    mark = text.index("$") if "$" in text else 0
    line, column = text.count("\n", 0, mark) + 1, mark - text.rfind("\n", 0, mark)
    with tempfile.TemporaryDirectory(prefix="rules-") as folder:
        file = Path(folder) / "case.mil"
        file.write_bytes(text.replace("$", "").encode("latin-1"))
        options = directives.get("options", "").split()
        if "weights" in directives:
            name, spec = directives["weights"].split("=")
            (Path(folder) / name).parent.mkdir()
            (Path(folder) / name).write_bytes(blob(spec))
            options += ["--weights", folder]
        status, told = lint(anec, file, *options)
    mine = [d for d in told if d["code"] == rule]
    also = set(directives.get("also", "").replace(",", " ").split())
    others = {d["code"] for d in told} - {rule} - also
    if len(mine) != int(directives.get("count", 1)):
        return f"expected {rule} {directives.get('count', 1)} times, got {told}"
    if others:
        return f"also told: {[d for d in told if d['code'] in others]}"
    if mine[0]["severity"] != directives["expect"] or status != ("error" in [d["severity"] for d in told]):
        return f"severity {mine[0]['severity']}, exit status {status}"
    if "place" not in directives and (mine[0]["line"], mine[0]["column"]) != (line, column):
        return f"expected at {line}:{column}, told at {mine[0]['line']}:{mine[0]['column']}: {mine[0]['message']}"
    if not mine[0]["notes"] or not mine[0]["help"]:
        return "without evidence or remedy"
    return None


TOKEN = re.compile(rb"\s+|[\w.+-]+|.")
JUNK = [b"0", b"1", b"-1", b"99999999", b"true", b'"x"', b"[", b"]", b"(", b")", b"fp16", b"[1, 1]", b"i00_x", b"o00_y", b"w",
        b"64", b"tensor<fp16, [1, 64, 1, 512]>", b"state<", b"softmax", b"matmul", b"conv", b"linear", b"split", b"reshape",
        b"reduce_sum", b"slice_by_size", b"slice_by_index", b"topk", b"0x7c00", b"1e-9"]


def damage(rng, text):
    """A text with a few tokens replaced, lost, doubled or moved."""
    tokens = TOKEN.findall(text)
    for _ in range(rng.randint(1, 6)):
        i, j, what = rng.randrange(len(tokens)), rng.randrange(len(tokens)), rng.randrange(5)
        if what == 0:
            tokens[i] = rng.choice(JUNK)
        elif what == 1 and len(tokens) > 1:
            del tokens[i]
        elif what == 2:
            tokens[i] = tokens[j]
        elif what == 3:
            tokens.insert(i, rng.choice(JUNK))
        else:
            tokens[i], tokens[j] = tokens[j], tokens[i]
    return b"".join(tokens)


def damaged_case(anec, texts, count=400):
    """Whatever the text, `anec lint` ends with 0 or 1."""
    rng = random.Random(65)
    whole_texts = [whole(split_case(p)[1].replace("$", "")).encode("latin-1") for p in texts]
    with tempfile.TemporaryDirectory(prefix="rules-") as folder:
        files = []
        for i in range(count):
            file = Path(folder) / f"{i}.mil"
            file.write_bytes(damage(rng, rng.choice(whole_texts)))
            files.append(file)
        for first in range(0, count, 50):
            done = run(anec, "lint", *files[first:first + 50])
            if done.returncode not in (0, 1):
                return f"exit status {done.returncode} on one of {first} to {first + 49}: {done.stderr[-2000:]}"
    return None


# ---- plans ----------------------------------------------------------------------------------------------------------

def compiled(anec, folder, *options):
    plan = Path(folder) / "plan"
    done = run(anec, ROOT / "models/tiny.anel", "-D", "dim=64", "-D", "hidden=64", "-D", "heads=2", "-D", "kv_heads=2", "-D",
               "layers=2", "-D", "vocab=64", "-D", "seq=64", *options, "-o", plan)
    if done.returncode:
        raise RuntimeError(done.stderr)
    return plan, done.stderr


def edit(file, old, new):
    text = file.read_text(encoding="utf-8")
    if old not in text:
        raise RuntimeError(f"{file.name} has no {old!r}")
    file.write_text(text.replace(old, new, 1), encoding="utf-8")


def first_program(plan):
    return sorted((plan / "mil").iterdir())[0]


def plan_ane005(anec, folder):
    plan, said = compiled(anec, folder, "-D", "layers=60")
    if "warning[ANE005]" not in said:
        raise RuntimeError(f"the compiler does not say it: {said}")
    return plan


def plan_ane050(anec, folder):
    plan, _ = compiled(anec, folder)
    first_program(plan).unlink()
    return plan


def plan_ane051(anec, folder):
    plan, _ = compiled(anec, folder)
    edit(plan / "plan.anep", "  in i00_in", "  in i00_other")
    return plan


def plan_ane059(anec, folder):
    plan, _ = compiled(anec, folder)
    edit(plan / "plan.anep", "loss_scale.init 4096.0", "loss_scale.init 2.0")
    return plan


def plan_case(anec, rule):
    make = globals().get("plan_" + rule.lower())
    if not make:
        return "no function breaks it in a plan"
    with tempfile.TemporaryDirectory(prefix="rules-") as folder:
        clean, _ = compiled(anec, Path(folder) / "clean")
        before = {d["code"] for d in lint(anec, clean)[1]}
        after = {d["code"] for d in lint(anec, make(anec, folder))[1]}
    if rule in before:
        return "told of a plan that keeps it"
    return None if rule in after else f"expected {rule}, got {sorted(after)}"


def model_case(anec, rule):
    file = CASES / (rule + ".anel")
    if not file.exists():
        return "no model breaks it"
    wanted = re.match(r"// expect: (\w+)", file.read_text(encoding="utf-8"))[1]
    with tempfile.TemporaryDirectory(prefix="rules-") as folder:
        done = run(anec, "--json", file, "-o", Path(folder) / "plan")
    codes = [d["code"] for d in json.loads(done.stdout)]
    return None if done.returncode == 1 and wanted in codes else f"expected {wanted}, got {codes}"


def shipped_case(anec, model):
    """What the rules say of a model on every target, as it is shipped: nothing, or what is listed here and true."""
    known = {"gpt2": {"ANE019"}}  # scores of 12 heads over 1024 positions are 24 MiB
    with tempfile.TemporaryDirectory(prefix="rules-") as folder:
        plan = Path(folder) / "plan"
        done = run(anec, "--json", model, "-o", plan)
        told = {d["code"] for d in json.loads(done.stdout)}
        for target in sorted((ROOT / "targets").glob("*.target")):
            told |= {d["code"] for d in lint(anec, plan, "--target", target)[1]}
    expected = known.get(model.stem, set())
    return None if told == expected else f"told {sorted(told)}, expected {sorted(expected)}"


# ---- the document ---------------------------------------------------------------------------------------------------

GROUPS = [(1, "Met first: operations, surfaces, calls"), (21, "Text and operations"), (37, "Shapes, inputs, outputs, weights"),
          (50, "Running"), (58, "Numbers")]


def document(rules):
    out = [(HERE / "rules.md.head").read_text(encoding="utf-8").rstrip("\n")]
    for rule in rules:
        number = int(rule["id"][3:])
        out += [f"\n## {title}" for first, title in GROUPS if first == number]
        projects = {0: "", 1: ", one project"}.get(rule["projects"], f", {rule['projects']} projects")
        out.append(f"\n### {rule['id']}: {rule['title']}\n")
        out.append(f"{rule['level'].capitalize()}, {rule['scope']}, {rule['confidence']}{projects}. {rule['evidence']}\n")
        out.append(f"* checked by: {rule['checked']}: {rule['where']}")
        out.append(f"* the engine: {rule['engine']}")
        out.append(f"* remedy: {rule['remedy']}")
        path = CASES / (rule["id"] + ".mil")
        if not path.exists() or "MIL" not in rule["checked"]:
            continue
        directives, text = split_case(path)
        words = " ".join([f"error={rule['id']}", *directives.get("options", "").split()])
        if rule["id"] != "ANE009":  # its byte cannot be shown
            out.append(f"\n```mil {words}\n{text.replace('$', '').rstrip()}\n```")
    return "\n".join(out) + "\n"


def main():
    parser = argparse.ArgumentParser(description="Break every rule.")
    parser.add_argument("--anec", required=True)
    parser.add_argument("--docs", type=Path, help="the document that has to be up to date")
    parser.add_argument("--write-docs", type=Path, help="write it")
    options = parser.parse_args()
    rules = json.loads(run(options.anec, "lint", "--list", "--json").stdout)
    if options.write_docs:
        options.write_docs.write_text(document(rules), encoding="utf-8")
        return 0
    failed = passed = 0

    def done(name, problem):
        nonlocal failed, passed
        passed += problem is None
        if problem is not None:
            failed += 1
            print(f"FAIL {name}: {problem}")

    ids = [r["id"] for r in rules]
    done("table", None if ids == [f"ANE{n:03}" for n in range(1, 66)] else f"the ids are {ids}")
    texts = sorted(CASES.glob("*.mil"))
    for path in texts:
        done(path.stem, text_case(options.anec, path))
    done("damaged texts", damaged_case(options.anec, texts))
    for model in sorted((ROOT / "models").glob("*.anel")):
        done(model.name, shipped_case(options.anec, model))
    for rule in rules:
        mine = [p for p in texts if p.stem[:6] == rule["id"]]
        with_weights = [p for p in mine if "weights" in split_case(p)[0]]
        if "MIL" in rule["checked"]:
            done(rule["id"], None if len(mine) > len(with_weights) else "no text breaks it")
        if "weights" in rule["checked"]:
            done(rule["id"], None if with_weights else "no weight file breaks it")
        if "plan" in rule["checked"]:
            done(rule["id"], plan_case(options.anec, rule["id"]))
        if "compiler" in rule["checked"]:
            done(rule["id"], model_case(options.anec, rule["id"]))
        explained = run(options.anec, "lint", "--explain", rule["id"]).stdout
        done(rule["id"], None if rule["evidence"] in explained and rule["remedy"] in explained else "not explained")
    if options.docs and options.docs.read_text(encoding="utf-8") != document(rules):
        done(str(options.docs), "differs from the table and the cases: run tests/rules/run.py --write-docs docs/rules.md")
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
