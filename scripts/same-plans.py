#!/usr/bin/env python3
"""Compile every model with each of the given compilers, twice with the first, and compare the plans byte for byte."""
import filecmp
import os
import subprocess
import sys
import tempfile

tools = [os.path.abspath(p) for p in sys.argv[1:]]
models = sorted(f for f in os.listdir("models") if f.endswith(".anel"))
bad = 0


def files(top):
    return sorted(os.path.relpath(os.path.join(d, f), top) for d, _, fs in os.walk(top) for f in fs)


for model in models:
    with tempfile.TemporaryDirectory() as tmp:
        plans = []
        for i, tool in enumerate([tools[0]] + tools):
            plan = os.path.join(tmp, str(i))
            subprocess.run([tool, os.path.join("models", model), "-o", plan], check=True, stdout=subprocess.DEVNULL)
            plans.append(plan)
        names = files(plans[0])
        for other in plans[1:]:
            if files(other) != names or filecmp.cmpfiles(plans[0], other, names, shallow=False)[0] != names:
                print(f"{model}: plans differ")
                bad += 1
print(f"same-plans: {len(models)} models, {len(tools)} compilers, {bad} differences")
sys.exit(1 if bad else 0)
