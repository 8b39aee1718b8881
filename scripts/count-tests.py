#!/usr/bin/env python3
"""Count single tests over meson's test logs.

    count-tests.py LOG...

A log of meson's is a list of runs, one for each test program; any other log is one run. What the program says of itself is believed: Criterion's "Synthesis"
lines and the lines "N passed, N failed" of the other runners. A program that says nothing is one test. A program that
ended badly although it told of no failure (it crashed, ran out of time, leaked) is one failure more. The last line is
'N passed, N failed'; the exit status is 1 if a test failed or there was none."""
import re
import sys

COLOUR = re.compile(r"\x1b\[[0-9;]*m")
RUN = re.compile(r"^=+ \d+/\d+ =+$", re.M)
SYNTHESIS = re.compile(r"Synthesis: Tested: \d+ \| Passing: (\d+) \| Failing: (\d+) \| Crashing: (\d+)")
SUMMARY = re.compile(r"^(\d+) passed, (\d+) failed", re.M)


def count(run):
    """(passed, failed) of one run."""
    told = [(int(m[1]), int(m[2]) + int(m[3])) for m in SYNTHESIS.finditer(run)]
    told += [(int(m[1]), int(m[2])) for m in SUMMARY.finditer(run)]
    passed, failed = (sum(column) for column in zip((0, 0), *told))
    result = re.search(r"^result:\s+(.*)$", run, re.M)
    if result and result[1] == "exit status 77":  # skipped: what it needs is not there
        return passed, failed
    if result and result[1] == "exit status 0":
        return (passed, failed) if told else (1, 0)
    return (passed, failed) if told and not result else (passed, failed or 1)


def main():
    total = [0, 0]
    for path in sys.argv[1:]:
        with open(path, encoding="utf-8", errors="replace") as f:
            runs = RUN.split(COLOUR.sub("", f.read()))
        for result in map(count, runs[1:] or runs):
            total = [a + b for a, b in zip(total, result)]
    print(f"{total[0]} passed, {total[1]} failed")
    return 1 if total[1] or not total[0] else 0


if __name__ == "__main__":
    sys.exit(main())
