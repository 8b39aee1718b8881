#!/usr/bin/env python3
"""generate.py ANEC ANERUN MODEL [-D NAME=VALUE ...]: what tokens cost when a prompt is read and when text is written.

The model, with drawn weights, gets prompts and writes continuations of 1/8 to 7/8 of its context, three times each in turn, and
the fastest counts. `ms` is the time of all tokens, `us/token` that divided by their number: if time is linear in length, it is
the same in every row (an offset, such as the first touch of memory, shows as a larger figure in the first rows). The last line
gives, by least squares, the exponent e of time ~ tokens^e.
"""
import math
import re
import subprocess
import sys
import tempfile

anec, anerun, model, defines = sys.argv[1], sys.argv[2], sys.argv[3], sys.argv[4:]
RUNS, PARTS = 3, 8


def run(*args):
    done = subprocess.run([str(a) for a in args], capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(done.stderr)
    return done


def exponent(times):
    points = [(math.log(n), math.log(t)) for n, t in times]
    x, y = (sum(p[k] for p in points) / len(points) for k in (0, 1))
    return sum((a - x) * (b - y) for a, b in points) / sum((a - x) ** 2 for a, b in points)


with tempfile.TemporaryDirectory() as work:
    plan = f"{work}/plan"
    run(anec, model, *defines, "-o", plan)
    text = open(f"{plan}/plan.anep", encoding="utf-8").read()
    context = int(re.search(r"splice .* <- state \S+:\d+x\d+x(\d+)", text)[1])
    as_bytes = re.search(r"input \S+ token \S+ vocab (\d+)", text)[1] == "256"
    rows = {}
    for _ in range(RUNS):
        for part in range(1, PARTS):
            n = context * part // PARTS
            for what, prompt, new in (("read", n, 1), ("written", 1, n)):
                said = run(anerun, plan, "--untrained", "--generate", "a" * prompt if as_bytes else "7 " * prompt, "--tokens", new,
                           "--temperature", 0).stderr
                rate = float(re.search(rf"{'prompt' if what == 'read' else 'written'}: \d+ tokens at (\S+)/s", said)[1])
                rows[what, n] = min(rows.get((what, n), math.inf), n / rate)
    print(f"{'tokens':>8} {'read, ms':>10} {'us/token':>9} {'written, ms':>12} {'us/token':>9}")
    for n in sorted({n for _, n in rows}):
        read, written = rows["read", n], rows["written", n]
        print(f"{n:8} {read * 1e3:10.2f} {read * 1e6 / n:9.1f} {written * 1e3:12.2f} {written * 1e6 / n:9.1f}")
    for what in ("read", "written"):
        print(f"{what}: time ~ tokens^{exponent([(n, t) for (w, n), t in rows.items() if w == what]):.2f}")
