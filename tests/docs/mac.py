#!/usr/bin/env python3
"""mac.py ANEC ANERUN FAKE [PAGE]: docs/mac.md is true, as far as can be told without a Mac.

Its commands are run in order, in a folder with the project's files, with the substitute for the system's libraries in the
place of the framework and a small model in the place of the page's. Fences are marked by their first words:

    ```sh run                     commands: all must succeed
    ```text output                lines the commands before it must have written; * stands for anything
    ```text fault=WORDS           lines of a training that has to fail with these faults of the substitute
    ```text fault=WORDS plan=MODE options=--a,--b    ... of a plan with these weights, with more options
    needs=OPTION                  skipped, and said to be, by a build that does not have the option
"""
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ANEC, ANERUN, FAKE = [os.path.abspath(x) for x in sys.argv[1:4]]
PAGE = Path(sys.argv[4]) if len(sys.argv) > 4 else ROOT / "docs/mac.md"
SMALL = "-D dim=32 -D layers=2 -D heads=2 -D kv_heads=2 -D hidden=64 -D seq=32"
# What is too much for a test: the model's size, and a probe in full.
SMALLER = (("models/tiny.anel", f"models/tiny.anel {SMALL}"), ("anerun --probe", "anerun --probe --quick"))
passed = failed = 0


def report(line, problem):
    global passed, failed
    passed, failed = passed + (not problem), failed + bool(problem)
    if problem:
        print(f"FAIL {PAGE.name}:{line}\n{problem}")


def fences(text):
    begin, words, body = 0, None, []
    for number, line in enumerate(text.splitlines(), 1):
        if line.startswith("```"):
            if words is None:
                begin, words, body = number, line[3:].split(), []
            else:
                yield begin, words, body
                words = None
        else:
            body.append(line)


def missing(patterns, said):
    """The lines that are not in the output; runs of blanks are one."""
    lines = [" ".join(x.split()) for x in re.split(r"[\n\r]", said)]
    return [p for p in patterns
            if not any(re.fullmatch(".*".join(map(re.escape, " ".join(p.split()).split("*"))), x) for x in lines)]


def run(folder, command, faults=""):
    for long, short in SMALLER:
        command = command.replace(long, short)
    env = {**os.environ, "ANEL_ANE_LIBRARY": FAKE, "ANEL_FAKE": faults, "TMPDIR": str(folder / "tmp")}
    done = subprocess.run(["sh", "-e", "-c", command], cwd=folder, env=env, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, errors="replace", check=False)
    return done.returncode, done.stdout


def fault(folder, words):
    given = dict(w.split("=", 1) for w in words)
    mode = given.get("plan", "baked")
    plan = folder / f"plan-{mode}"
    if not plan.exists():
        run(folder, f"build/anec --weights {mode} models/tiny.anel -o {plan}")
    options = given.get("options", "").replace(",", " ")
    return run(folder, f"build/anerun {plan} --train --device ane --data text.txt --steps 3 --out failing --overwrite {options}",
               given["fault"])


def main():
    with tempfile.TemporaryDirectory(prefix="mac-") as name:
        folder = Path(name)
        for made in ("build", "tmp"):
            (folder / made).mkdir()
        (folder / "build/anec").symlink_to(ANEC)
        (folder / "build/anerun").symlink_to(ANERUN)
        for part in ("README.md", "docs", "models"):
            (folder / part).symlink_to(ROOT / part)
        said, options = "", run(folder, "build/anerun plan --help=all")[1].split()
        for line, words, body in fences(PAGE.read_text(encoding="utf-8")):
            needs = [w[6:] for w in words if w.startswith("needs=") and w[6:] not in options]
            if needs:
                print(f"skipped {PAGE.name}:{line}, which needs {needs[0]}")
            elif words[:2] == ["sh", "run"]:
                status, said = run(folder, "\n".join(body))
                report(line, status and f"exit status {status}:\n{said[-2000:]}")
            elif words[:2] == ["text", "output"]:
                lines = missing(body, said)
                report(line, lines and f"not among what is written: {lines}\n{said[-2000:]}")
            elif words[:1] == ["text"] and words[1:] and words[1].startswith("fault="):
                status, told = fault(folder, words[1:])
                lines = missing(body, told)
                report(line, (status != 1 and f"exit status {status}, not 1\n{told[-2000:]}")
                       or (lines and f"not among what is said: {lines}\n{told[-2000:]}"))
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or passed < 8 else 0


if __name__ == "__main__":
    sys.exit(main())
