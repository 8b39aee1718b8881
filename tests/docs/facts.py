#!/usr/bin/env python3
"""Check the numbered facts of docs/engine.md, and that every number cited elsewhere is there.

    facts.py [ROOT]

Numbers are unique, ascend, and stand under the heading of their hundred; each fact has a title, somebody who says it and
one of the words for how well it is known. A citation is any E followed by three digits in the project's sources.
"""
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = "docs/engine.md"
CITING = ("runtime", "src", "tests", "models", "std", "targets", "bench", "scripts", "docs", "grammar")
KNOWN = {"agreed", "shown", "disputed", "derived", "assumed"}
SECTION = re.compile(r"^## .*\(E(\d)xx\)$")
ROW = re.compile(r"^\| E(\d+) \| \*\*(.+?)\*\*.*? \| ([^|]+) \| (\w+) \|$")
CITATION = re.compile(r"(?<![\w.-])E(\d{3})(?!\w|\.\d)")


def facts(text):
    """(numbers, problems) of a page."""
    numbers, problems, last, section = set(), [], 0, None
    for line, row in enumerate(text.splitlines(), 1):
        if row.startswith("## "):
            found = SECTION.match(row)
            section = found and int(found[1])
        if not row.startswith("| E"):
            continue
        found = ROW.match(row)
        if not found:
            problems.append(f"{PAGE}:{line}: not a fact: | Ennn | **title** ... | who | known |")
            continue
        number = int(found[1])
        if number <= last:
            problems.append(f"{PAGE}:{line}: E{number} comes after E{last}")
        if number // 100 != section:
            problems.append(f"{PAGE}:{line}: E{number} does not belong under this heading")
        if found[4] not in KNOWN:
            problems.append(f"{PAGE}:{line}: '{found[4]}' does not say how well E{number} is known")
        last = max(last, number)
        numbers.add(number)
    return numbers, problems


def citations(root):
    """(place, number) of every citation."""
    for folder in CITING:
        for path in sorted((root / folder).rglob("*")):
            if not path.is_file() or path.suffix in (".npy", ".bin", ".pyc") or path in (root / PAGE, Path(__file__)):
                continue
            for line, text in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
                if len(text) < 4096: # not data
                    for found in CITATION.finditer(text):
                        yield f"{path.relative_to(root)}:{line}", int(found[1])


def tells_mistakes():
    """Does this check tell what it is there for?"""
    page = "## A (E1xx)\n| E{} | **a.** b | c | {} |\n| E{} | **d.** | e | shown |\n"
    good = facts(page.format(101, "agreed", 103))
    return (good == ({101, 103}, [])
            and all(len(facts(page.format(*bad))[1]) == 1
                    for bad in ((101, "agreed", 101), (103, "agreed", 102), (101, "proven", 102), (101, "agreed", 201)))
            and len(facts("## A (E1xx)\n| E101 | no title | c | shown |\n")[1]) == 1
            and [m[1] for m in CITATION.finditer("see E412, (E413) and docs/engine.md E512. Not E0101, 1E300, xE200, E200.5")]
            == ["412", "413", "512"])


def main():
    root = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT
    numbers, problems = facts((root / PAGE).read_text(encoding="utf-8"))
    cited = list(citations(root))
    problems += [f"{place}: {PAGE} has no E{number}" for place, number in cited if number not in numbers]
    if not tells_mistakes():
        problems.append("facts.py does not find mistakes any more")
    if not numbers:
        problems.append(f"{PAGE} has no facts")
    print("\n".join(problems + [f"{len(numbers)} facts, {len({n for _, n in cited})} of them cited"]))
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
