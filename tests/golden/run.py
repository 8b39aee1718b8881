#!/usr/bin/env python3
"""Run golden cases: text files that hold a command, its input and the output expected from it.

    run.py --tool anec=build/anec [--tool anerun=...] [--root DIR] [--accept] [FILTER...] PATH...

PATH is a case file (*.case) or a folder of them. A case file is a list of sections, each opened by a line `--- name`:

    --- about                 why the case exists (optional)
    --- args                  the command line, split as a shell would; the first word names a tool
    --- file NAME             a file put into the empty folder the command runs in (any number)
    --- stdin                 standard input (optional)
    --- stdout                expected standard output (missing: empty)
    --- stderr                expected standard error (missing: empty)
    --- output NAME           expected content of a file after the run (any number)
    --- exit                  expected exit status (missing: 0)

`args` may stand several times: the commands run one after another in the same folder, and the expectations that follow
each belong to it. In `args`, {root} is the project's folder. In what a command prints, the folder it ran in is replaced
by {tmp} and the project's by {root}. --accept rewrites the expectations; review the difference like code.

A file NAME.every is run once for each model of models/: {model} in its `args` is the model's name. What it expects are the
files that its section `--- outputs` lists (patterns), and what is printed, kept as files in that model's folder beside it.
"""
import argparse
import difflib
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

SECTION = re.compile(r"^--- (about|args|file|stdin|stdout|stderr|output|outputs|exit)(?: (\S+))?$")
TIMEOUT_SECONDS = 120


def parse(path):
    """The sections of a case: a list of [name, argument, text]."""
    sections = []
    for number, line in enumerate(path.read_bytes().decode("utf-8", "surrogateescape").splitlines(keepends=True), 1):
        match = SECTION.match(line.rstrip("\n"))
        if match:
            sections.append([match[1], match[2], ""])
        elif sections:
            sections[-1][2] += line
        elif line.strip():
            raise ValueError(f"{path}:{number}: text before the first section")
    if not any(name == "args" for name, _, _ in sections):
        raise ValueError(f"{path}: no `--- args` section")
    return sections


def encode(text):
    return text.encode("utf-8", "surrogateescape")


def steps_of(sections):
    """Split into what precedes the first command and one list of sections per command."""
    head, steps = [], []
    for section in sections:
        if section[0] == "args":
            steps.append([section])
        elif not steps or section[0] in ("about", "file"):
            head.append(section)
        else:
            steps[-1].append(section)
    return head, steps


def run_step(step, folder, options):
    """What a command did: {"stdout": ..., "stderr": ..., "exit": ..., ("output", name): ...}."""
    words = shlex.split(step[0][2].strip().replace("{root}", str(options.root)), comments=False)
    tool = options.tools.get(words[0])
    if tool is None:
        raise ValueError(f"no --tool {words[0]}=... was given")
    stdin = next((encode(text) for name, _, text in step if name == "stdin"), b"")
    env = dict(os.environ, LC_ALL="C", TZ="UTC")
    done = subprocess.run([tool, *words[1:]], cwd=folder, input=stdin, capture_output=True, timeout=TIMEOUT_SECONDS,
                          env=env, check=False)

    def clean(data):
        text = data.decode("utf-8", "surrogateescape")
        return text.replace(str(folder), "{tmp}").replace(str(options.root), "{root}")

    seen = {"stdout": clean(done.stdout), "stderr": clean(done.stderr), "exit": f"{done.returncode}\n"}
    for name, argument, _ in step:
        if name == "output":
            target = folder / argument
            seen["output", argument] = clean(target.read_bytes()) if target.is_file() else "(missing)\n"
    return seen


def wanted(step):
    want = {"stdout": "", "stderr": "", "exit": "0\n"}
    for name, argument, text in step:
        if name in ("stdout", "stderr"):
            want[name] = text
        elif name == "exit":
            want[name] = text.strip() + "\n"
        elif name == "output":
            want[name, argument] = text
    return want


def write(path, head, steps, seen):
    """The case with its expectations replaced by what was seen."""
    def section(name, argument, text):
        # An expectation is compared line by line, so a missing newline at the end of the output is not recorded.
        mark = f"--- {name} {argument}\n" if argument else f"--- {name}\n"
        return mark + text + ("\n" if text and not text.endswith("\n") else "")

    out = "".join(section(*s) for s in head)
    for step, result in zip(steps, seen):
        out += "".join(section(*s) for s in step if s[0] in ("args", "stdin"))
        for name in ("stdout", "stderr"):
            if result[name]:
                out += section(name, None, result[name])
        for key, text in result.items():
            if isinstance(key, tuple):
                out += section("output", key[1], text)
        if result["exit"] != "0\n":
            out += section("exit", None, result["exit"])
    path.write_bytes(encode(out))


def run_case(path, options):
    """None when the case passes, "accepted" when it was rewritten, else the report of what differs."""
    try:
        head, steps = steps_of(parse(path))
        with tempfile.TemporaryDirectory(prefix="golden-") as name:
            folder = Path(name).resolve()
            for kind, argument, text in head:
                if kind == "file":
                    target = folder / argument
                    target.parent.mkdir(parents=True, exist_ok=True)
                    target.write_bytes(encode(text))
            seen = [run_step(step, folder, options) for step in steps]
    except (ValueError, OSError, subprocess.TimeoutExpired) as error:
        return f"{error}\n"
    report = ""
    for step, result in zip(steps, seen):
        want = wanted(step)
        for key, text in result.items():
            if want[key].rstrip("\n") != text.rstrip("\n"):
                label = key if isinstance(key, str) else " ".join(key)
                lines = difflib.unified_diff(want[key].splitlines(), text.splitlines(), "expected " + label, label,
                                             lineterm="")
                report += "".join(f"  {line}\n" for line in lines)
    if report and options.accept:
        write(path, head, steps, seen)
        return "accepted"
    return report or None


def run_every(path, model, options):
    """The same for one model of a *.every file."""
    try:
        sections = {name: text for name, _, text in parse(path)}
        step = [["args", None, sections["args"].replace("{model}", model)]]
        with tempfile.TemporaryDirectory(prefix="golden-") as name:
            folder = Path(name).resolve()
            result = run_step(step, folder, options)
            files = [f for pattern in sections["outputs"].split() for f in sorted(folder.glob(pattern))]
            seen = {f.name: f.read_bytes() for f in files}
            if len(seen) != len(files):
                raise ValueError(f"{path}: two outputs of one name")
    except (ValueError, OSError, KeyError, subprocess.TimeoutExpired) as error:
        return f"{error}\n"
    if result["exit"] != "0\n":
        return f"  exit {result['exit']}  {result['stderr']}"
    for stream in ("stdout", "stderr"):
        if result[stream]:
            seen[stream] = encode(result[stream])
    kept = path.parent / model
    want = {f.name: f.read_bytes() for f in sorted(kept.iterdir())} if kept.is_dir() else {}
    report = ""
    for name in sorted(want.keys() | seen.keys()):
        old, new = want.get(name), seen.get(name)
        if old == new:
            continue
        if options.accept:
            kept.mkdir(exist_ok=True)
            (kept / name).unlink(missing_ok=True)
            if new is not None:
                (kept / name).write_bytes(new)
        lines = difflib.unified_diff((old or b"").decode().splitlines(), (new or b"").decode().splitlines(), f"expected {model}/{name}",
                                     f"{model}/{name}", lineterm="", n=0)
        report += "".join(f"  {line[:240]}\n" for line in lines)
    return "accepted" if report and options.accept else report or None


def every_model(path, options):
    """The models a *.every file is run for, and a complaint for each folder whose model is gone."""
    models = sorted(m.stem for m in (options.root / "models").glob("*.anel"))
    gone = [f for f in sorted(path.parent.iterdir()) if f.is_dir() and f.name not in models]
    for folder in gone if options.accept else []:
        shutil.rmtree(folder)
    return models, [] if options.accept else [f"{f}: no such model; --accept removes it\n" for f in gone]


def main():
    parser = argparse.ArgumentParser(description="Run golden cases.")
    parser.add_argument("--tool", action="append", default=[], metavar="NAME=PATH")
    parser.add_argument("--root", type=Path, default=Path(__file__).resolve().parents[2])
    parser.add_argument("--accept", action="store_true", help="rewrite the expectations")
    parser.add_argument("--filter", default="", help="only cases whose path contains this")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("path", nargs="+", type=Path)
    options = parser.parse_args()
    options.tools = {name: str(Path(path).resolve()) for name, path in (t.split("=", 1) for t in options.tool)}
    cases = []
    for path in options.path:
        cases += sorted([*path.rglob("*.case"), *path.rglob("*.every")]) if path.is_dir() else [path]
    jobs = [] # (what it is called, function of no arguments)
    for case in cases:
        if case.suffix != ".every":
            jobs.append((str(case), lambda c=case: run_case(c, options)))
            continue
        models, gone = every_model(case, options)
        jobs += [(str(case.parent / m), lambda c=case, m=m: run_every(c, m, options)) for m in models]
        jobs += [(str(case), lambda text=text: text) for text in gone]
    jobs = [j for j in jobs if options.filter in j[0]]
    if not jobs:
        print("no cases")
        return 1
    passed = failed = accepted = 0
    with ThreadPoolExecutor(options.jobs) as pool:
        for (case, _), report in zip(jobs, pool.map(lambda job: job[1](), jobs)):
            if report is None:
                passed += 1
            elif report == "accepted":
                accepted += 1
                print(f"accepted {case}")
            else:
                failed += 1
                print(f"FAIL {case}\n{report}", end="")
    print(f"{passed} passed, {failed} failed" + (f", {accepted} accepted" if accepted else ""))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
