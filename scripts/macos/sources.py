#!/usr/bin/env python3
"""Which C and C++ sources a build directory of Meson's compiles.

    sources.py BUILD objects     the object files of all targets, also of those that are built on demand only
    sources.py BUILD others      sources of src, runtime and bench that no target compiles"""
import json
import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def main():
    build, what = Path(sys.argv[1]).resolve(), sys.argv[2]
    entries = json.loads((build / "compile_commands.json").read_text(encoding="utf-8"))
    if what == "objects":
        print("\n".join(e["output"] for e in entries))
        return
    compiled = {os.path.realpath(os.path.join(e["directory"], e["file"])) for e in entries}
    for folder in ("src", "runtime", "bench"):
        for path in sorted((ROOT / folder).rglob("*")):
            if path.suffix in (".c", ".cc") and str(path) not in compiled:
                print(path.relative_to(ROOT))


if __name__ == "__main__":
    main()
