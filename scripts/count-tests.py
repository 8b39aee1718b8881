#!/usr/bin/env python3
"""Count single tests over meson's test logs: what Criterion and the golden and documentation runners say of themselves.

The last line is 'N passed, N failed'. A test program that ended without saying anything counts as one failure."""
import re
import sys

passed = failed = 0
for path in sys.argv[1:]:
    with open(path, encoding="utf-8", errors="replace") as f:
        text = f.read()
    for part in re.split(r"^=+ \d+/\d+ =+$", text, flags=re.M)[1:]:
        counted = False
        for m in re.finditer(r"Synthesis: Tested: \D*(\d+)\D+?Passing: \D*(\d+)\D+?Failing: \D*(\d+)\D+?Crashing: \D*(\d+)", part):
            passed += int(m[2])
            failed += int(m[3]) + int(m[4])
            counted = True
        for m in re.finditer(r"^(\d+) passed, (\d+) failed", part, flags=re.M):
            passed += int(m[1])
            failed += int(m[2])
            counted = True
        ended_well = re.search(r"^result:\s+exit status 0", part, flags=re.M)
        if not counted:
            passed += 1 if ended_well else 0
            failed += 0 if ended_well else 1
        elif not ended_well and failed == 0:
            failed += 1
print(f"{passed} passed, {failed} failed")
sys.exit(1 if failed or not passed else 0)
