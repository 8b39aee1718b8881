#!/usr/bin/env python3
"""Run the examples of the documentation.

    run.py --anec build/anec FILE.md|FOLDER...

Of a folder all pages are read, and its README.md has to name each of them.

Every fence whose info string begins with `anel` or `target` is an example:

    ```anel                 a whole file: must pass
    ```anel error=E0101     must fail, and E0101 must be among the codes told
    ```anel fragment        statements: wrapped into a function before they are checked
    ```anel expr            one expression: wrapped into a constant
    ```anel member          members of a model: wrapped into a model
    ```anel compile option=--memory=1     with an option of the compiler

Fences that begin with `mil` and have more words are run through `anec lint`:

    ```mil clean            a program or the functions of one: no error
    ```mil error=ANE006     ANE006 must be among the codes told; other words are options of `anec lint`
    ```anel compile warning error=ANE040   must compile, with that code among what is told
    ```target               a target profile: `anec target` must accept it (or fail, with error=E1004)

Words can be combined (`anel fragment error=E0109`). By default an example must be accepted by the parser (`anec fmt`);
with `check` among its words, or --check, it must pass `anec check`, which also gives it a meaning; with `compile` it must
compile to a plan. {root} is the project's folder; it is also where `use "std/..."` is looked up.

What a file says of other files is checked too: relative links, and paths in backticks that start with one of the project's
folders and have an extension, must exist.
"""
import argparse
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path


ROOT = Path(__file__).resolve().parents[2]
LINK = re.compile(r"\]\((?!\w+:)([^)#\s]+)[^)]*\)")
PATH = re.compile(r"`((?:src|runtime|grammar|docs|std|models|scripts|targets|tests|bench)/[\w/.-]*\w\.[a-z]+)`")


def references(path):
    """(line number, what is written, the file meant) of every link and path in a file, outside of fences."""
    fenced = False
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        fenced ^= line.lstrip().startswith("```")
        if not fenced:
            yield from ((number, m[1], path.parent / m[1]) for m in LINK.finditer(line))
            yield from ((number, m[1], ROOT / m[1]) for m in PATH.finditer(line))


def examples(path):
    """(line number, words, text) of every fence that is an example."""
    words, begin, text = None, 0, []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        mark = line.strip()
        if words is None and mark.startswith("```"):
            info = mark[3:].split()
            words, begin, text = info, number, []
        elif words is not None and mark == "```":
            if words and (words[0] in ("anel", "target") or (words[0] == "mil" and words[1:])):
                yield begin, words[1:] + words[:1], "\n".join(text) + "\n"
            words = None
        elif words is not None:
            text.append(line)


def wrap(words, text):
    if "fragment" in words:
        return "model Example {\n  entry example(x: real[4]) -> real[] {\n" + text + "  }\n}\n"
    if "expr" in words:
        return "const example = " + text.strip() + ";\n"
    if "member" in words:
        return "model Example {\n" + text + "}\n"
    return text


def codes_told(output):
    """The codes in an array of diagnostics."""
    try:
        return [d["code"] for d in json.loads(output)]
    except (json.JSONDecodeError, KeyError, TypeError):
        return []


MIL_HEADER = ('program(1.3)\n[buildInfo = dict<string, string>({{"coremlc-component-MIL", "3510.2.1"}, '
              '{"coremlc-version", "3505.4.1"}})]\n{\n')


def run_mil(anec, words, text):
    """None, or what is wrong with the example."""
    expected = next((w.split("=", 1)[1] for w in words if w.startswith("error=")), None)
    with tempfile.TemporaryDirectory(prefix="docs-") as folder:
        file = Path(folder) / "example.mil"
        file.write_text(text if text.startswith("program") else MIL_HEADER + text + "}\n", encoding="utf-8")
        options = [w for w in words if not w.startswith("error=") and w != "clean"]
        done = subprocess.run([anec, "lint", "--json", *options, str(file)], capture_output=True, text=True, timeout=60,
                              check=False)
    codes = codes_told(done.stdout)
    if expected in codes if expected else done.returncode == 0:
        return None
    return f"expected {expected or 'no error'}, got {', '.join(codes) or 'no error'}\n{done.stderr}"


def run(anec, words, text, check):
    """None, or what is wrong with the example."""
    expected = next((w.split("=", 1)[1] for w in words if w.startswith("error=")), None)
    command = ["check"] if check or "check" in words else ["fmt"]
    with tempfile.TemporaryDirectory(prefix="docs-") as folder:
        file = Path(folder) / ("example.target" if "target" in words else "example.anel")
        file.write_text(wrap(words, text), encoding="utf-8")
        if "target" in words:
            command = ["target"]
        elif "compile" in words:
            command = ["-o", folder + "/plan", *(w.split("=", 1)[1] for w in words if w.startswith("option="))]
        plain = subprocess.run([anec, *command, str(file)], capture_output=True, text=True, timeout=60, check=False)
        if expected is None:
            return None if plain.returncode == 0 else plain.stderr or f"exit status {plain.returncode}\n"
        coded = subprocess.run([anec, *command, "--json", str(file)], capture_output=True, text=True, timeout=60,
                               check=False)
        codes = codes_told(coded.stdout)
        if "warning" in words: # an ANE code can be either
            return None if plain.returncode == 0 and expected in codes else f"expected the warning {expected}, got {codes}\n"
        if plain.returncode == (0 if expected.startswith("W") else 1) and expected in codes:
            return None
        return f"expected {expected}, got {', '.join(codes) or 'no error'}\n{plain.stderr}"


def main():
    parser = argparse.ArgumentParser(description="Run the examples of the documentation.")
    parser.add_argument("--anec", required=True)
    parser.add_argument("--check", action="store_true", help="every example must pass `anec check`")
    parser.add_argument("file", nargs="+", type=Path)
    options = parser.parse_args()
    passed = failed = 0
    files = []
    for path in options.file:
        pages = sorted(path.glob("*.md")) if path.is_dir() else [path]
        listed = {written for _, written, _ in references(path / "README.md")} if path.is_dir() else set()
        for page in pages:
            if path.is_dir() and page.name not in listed | {"README.md"}:
                failed += 1
                print(f"FAIL {path / 'README.md'}\n{page.name} is not listed")
        files += pages
    for path in files:
        for line, written, meant in references(path):
            passed += meant.exists()
            if not meant.exists():
                failed += 1
                print(f"FAIL {path}:{line}\nthere is no {written}")
        for line, words, text in examples(path):
            problem = (run_mil(options.anec, words[:-1], text) if words[-1] == "mil"
                       else run(options.anec, words, text, options.check))
            if problem is None:
                passed += 1
            else:
                failed += 1
                print(f"FAIL {path}:{line}\n{problem}", end="")
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
