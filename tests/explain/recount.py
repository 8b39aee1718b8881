#!/usr/bin/env python3
"""Count a plan's figures again, from its text with regular expressions, and compare with `anec explain --json`.

    recount.py --anec build/anec --models models
"""
import argparse
import json
import re
import subprocess
import sys
import tempfile
from math import prod
from pathlib import Path

CASES = [("stories110m.anel", ["layers=2"]), ("layer768.anel", []), ("gpt2.anel", ["layers=2", "seq=128", "vocab=512"]),
         ("qwen3_0_6b.anel", ["layers=2", "seq=64"])]
FROZEN = """model M {
  entry loss(x: real[64, 32]) -> real[] {
    repeat a[L in 0..3] {
      #[freeze] param w: real[64, 64] = normal(0.1);
      x = tanh(w @ x);
    }
    repeat b[L in 0..2] {
      param w: real[64, 64] = normal(0.1);
      x = tanh(w @ x);
    }
    return sum(x * x) / numel(x);
  }
  train loss {
    data      = noise(seed: 1);
    optimizer = adamw(lr: 1e-3);
  }
}
"""
MODES = ("baked", "reload", "dynamic", "mixed")
CONST = re.compile(r"tensor<fp16, \[([\d, ]+)\]> (\w+) = const\(\).*BLOBFILE")
STATEMENT = re.compile(r"tensor<fp16, \[([\d, ]+)\]> (\w+) = (\w+)\((.*)\)\[name")
PARAM = re.compile(r"tensor<fp16, \[([\d, ]+)\]> (\w+)")


def numbers(text):
    return [int(x) for x in text.split(",")]


def count(text):
    shape, weights, statements, conv, matmul = {}, {}, 0, 0, 0
    head = text.split("func main<ios18>(")[1]
    for dims, name in PARAM.findall(head.split(") {")[0]):
        shape[name] = numbers(dims)
    for line in head.splitlines()[1:]:
        if m := CONST.search(line):
            shape[m[2]] = weights[m[2]] = numbers(m[1])
        elif " = const()" not in line and " = " in line:
            statements += 1
            if m := STATEMENT.search(line):
                shape[m[2]] = out = numbers(m[1])
                args = dict(re.findall(r"(\w+) = (\w+)", m[4]))
                if m[3] == "conv":
                    conv += 2 * prod(out) * prod(shape[args["weight"]][1:])
                elif m[3] == "matmul":
                    matmul += 2 * prod(out) * shape[args["x"]][-2 if args["transpose_x"] == "c_true" else -1]
    return {"operations": statements, "conv_flops": conv, "matmul_flops": matmul,
            "weight_bytes": sum(2 * prod(w) for w in weights.values())}


def channels(manifest, program, port):
    block = manifest.split(f"\nprogram {program} {{\n")[1].split("\n}")[0]
    return sum(int(c) for c in re.findall(rf"^  {port} \w+ 1x(\d+)x1x\d+$", block, re.M)), \
        sum(2 * int(c) * int(w) for c, w in re.findall(rf"^  {port} \w+ 1x(\d+)x1x(\d+)$", block, re.M))


def blocks(manifest, kind):
    return re.findall(rf"^{kind} ([^\n]*) {{\n(.*?)^}}", manifest, re.S | re.M)


def updates(manifest):
    """What an update costs: compilations, programs given new weights, bytes staged; and compilations at the start."""
    frozen = {re.sub(r"\{\d+\.\.\d+\}", "{L}", name) for name, body in blocks(manifest, "param") if "\n  frozen yes\n" in "\n" + body}
    trained = {re.sub(r"\{\d+\.\.\d+\}", "{L}", name) for name, _ in blocks(manifest, "param")} - frozen
    uses = lambda recipe: any(re.search(rf"(?<![\w.{{}}]){re.escape(name)}(?![\w.{{}}])", recipe) for name in trained)
    entry = dict(blocks(manifest, "entry"))[re.search(r"^train (\S+)", manifest, re.M)[1]]
    runs = set(re.findall(r"^ +run (\S+) ", entry, re.M))
    start = changed = staged = 0
    for name, body in blocks(manifest, "program"):
        n = int(m[1]) if (m := re.search(r"^  instances \d+ (\d+)$", body, re.M)) else 1
        start += n * (name in runs)
        changed += n * (name in runs and any(uses(x) for x in re.findall(r"^  weight .* = (.*)$", body, re.M)))
    for name, body in blocks(manifest, "stage"):
        surface = name.split()[0]
        stack = int(m[1]) if (m := re.search(rf"^surface {surface} \S+ stack (\d+)$", manifest, re.M)) else 1
        weights = re.findall(r"^  weight \d+ (\d+)x(\d+) = (.*)$", body, re.M)
        if re.search(rf"^ +run .* <- .*\b{surface}[:\[@]", entry, re.M) and any(uses(recipe) for _, _, recipe in weights):
            staged += stack * sum(2 * int(r) * int(c) for r, c, _ in weights)
    reload = "\nweights reload\n" in manifest
    return {"compilations_at_start": start, "compilations_per_update": 0 if reload else changed,
            "reloads_per_update": changed if reload else 0, "staged_bytes_per_update": staged}


def weight_modes(anec, models):
    """What explain says of an update in each weight mode, of a model with frozen parameters too."""
    good = 0
    with tempfile.TemporaryDirectory(prefix="recount-") as folder:
        frozen = Path(folder) / "frozen.anel"
        frozen.write_text(FROZEN, encoding="utf-8")
        for model in (models / "tiny.anel", models / "unet.anel", frozen):
            told = {}
            for mode in MODES:
                plan = Path(folder) / mode
                subprocess.run([anec, "--weights", mode, str(model), "-o", str(plan)], check=True)
                all_told = json.loads(subprocess.run([anec, "explain", "--json", str(plan)], check=True, capture_output=True).stdout)
                want = updates((plan / "plan.anep").read_text(encoding="utf-8"))
                told[mode] = {k: all_told[k] for k in want}
                if told[mode] != want or all_told["weights"] != mode:
                    print(f"FAIL {model.name} {mode}: counted {want}, told {told[mode]}")
                    return False
            baked, reload, dynamic, mixed = (told[mode] for mode in MODES)
            trained_only = model is not frozen  # then there is nothing to tell apart
            good += mixed == dynamic if trained_only else 0 == mixed["compilations_per_update"] < mixed["staged_bytes_per_update"] \
                == dynamic["staged_bytes_per_update"] and dynamic["compilations_at_start"] < mixed["compilations_at_start"]
            good += baked["compilations_per_update"] == reload["reloads_per_update"] > 0 == reload["compilations_per_update"] \
                and dynamic["compilations_per_update"] == 0 < dynamic["staged_bytes_per_update"] \
                and dynamic["compilations_at_start"] < baked["compilations_at_start"]
    return good == 6


def published(anec, models):
    """The plan for profile seed6 has the channels of the published programs, kernel for kernel, and their flops within 1 %."""
    with tempfile.TemporaryDirectory(prefix="recount-") as folder:
        plan = Path(folder) / "plan"
        subprocess.run([anec, "--target", "seed6", str(models / "layer768.anel"), "-o", str(plan)], check=True)
        told = json.loads(subprocess.run([anec, "explain", "--json", str(plan)], check=True, capture_output=True).stdout)
    ours, theirs = told["programs"], told["seed6"]["programs"]
    flops = [sum(p["work"]["conv_flops"] + p["work"]["matmul_flops"] for p in x) for x in (ours, theirs)]
    ports = [[(p["in_channels"], p["out_channels"]) for p in x] for x in (ours, theirs)]
    if ports[0] == ports[1] and abs(flops[0] / flops[1] - 1) < 0.01:
        return True
    print(f"FAIL seed6: {ports[0]} and {flops[0]} flops, published {ports[1]} and {flops[1]}")
    return False


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--anec", required=True)
    parser.add_argument("--models", required=True, type=Path)
    options = parser.parse_args()
    failed = programs = 0
    for model, config in CASES:
        with tempfile.TemporaryDirectory(prefix="recount-") as folder:
            plan = Path(folder) / "plan"
            defines = [x for c in config for x in ("-D", c)]
            subprocess.run([options.anec, *defines, str(options.models / model), "-o", str(plan)], check=True)
            told = json.loads(subprocess.run([options.anec, "explain", "--json", str(plan)], check=True, capture_output=True).stdout)
            manifest = (plan / "plan.anep").read_text(encoding="utf-8")
            for p in told["programs"]:
                programs += 1
                mil = re.search(rf"\nprogram {p['name']} {{\n  mil (\w+) ", manifest)[1]
                want = count((plan / "mil" / (mil + ".mil")).read_text(encoding="utf-8"))
                got = {k: p["work"][k] for k in want}
                for port in ("in", "out"):
                    want[port], want[port + "_bytes"] = channels(manifest, p["name"], port)
                    got[port], got[port + "_bytes"] = p[port + "_channels"], p["work"][port + "_bytes"]
                if want != got:
                    failed += 1
                    print(f"FAIL {model} {p['name']}: counted {want}, told {got}")
    for check in (published, weight_modes):
        programs += 1
        failed += not check(options.anec, options.models)
    print(f"{programs - failed} passed, {failed} failed")
    return 1 if failed or not programs else 0


if __name__ == "__main__":
    sys.exit(main())
