#!/usr/bin/env python3
"""Compile every model with each of the given builds of anec, twice with the first, and compare the plans byte for byte.

    same-plans.py ANEC...

A plan has the same bytes whatever compiled the compiler, at whatever optimisation."""
import filecmp
import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def files(top):
    return sorted(str(p.relative_to(top)) for p in Path(top).rglob("*") if p.is_file())


def problem(model, tools):
    """None, or what is wrong with the plans of a model."""
    with tempfile.TemporaryDirectory(prefix="same-plans-") as tmp:
        first, names = None, []
        for i, tool in enumerate([tools[0], *tools]):
            plan = os.path.join(tmp, str(i))
            done = subprocess.run([tool, model, "-o", plan], capture_output=True, text=True, check=False)
            if done.returncode:
                return f"{tool} exits {done.returncode}\n{done.stderr}"
            if first is None:
                first, names = plan, files(plan)
            differ = set(names) ^ set(files(plan)) or filecmp.cmpfiles(first, plan, names, shallow=False)[1]
            if differ:
                return f"{tool} writes another {', '.join(sorted(differ))} than {tools[0]}"
    return None


def main():
    tools = [os.path.abspath(p) for p in sys.argv[1:]]
    passed = failed = 0
    for model in sorted(ROOT.glob("models/*.anel")):
        wrong = problem(model, tools)
        passed += not wrong
        failed += bool(wrong)
        if wrong:
            print(f"FAIL {model.name}: {wrong}")
    print(f"{passed} passed, {failed} failed")
    return 0 if passed and not failed else 1


if __name__ == "__main__":
    sys.exit(main())
