#!/usr/bin/env python3
"""Run a test program and fail if a sanitizer said anything, whatever the exit status.

    no-leaks.py PROGRAM [ARGUMENT...]

Criterion runs every test in a process of its own and has its verdict before that process ends, which is when leaks are
found: they are printed, and the run passes. The test setup `sanitize` puts this script before every test."""
import re
import subprocess
import sys

done = subprocess.run(sys.argv[1:], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
sys.stdout.buffer.write(done.stdout)
sys.stdout.flush()
findings = re.findall(rb"ERROR: (?:Leak|Address)Sanitizer|: runtime error: ", done.stdout)
if findings:
    print(f"no-leaks: {len(findings)} findings of the sanitizers")
sys.exit(1 if findings or done.returncode < 0 else done.returncode)
