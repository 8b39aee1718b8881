#!/usr/bin/env python3
"""compile.py ANEC MODELS [RUNS]: how long anec takes, and how much memory.

Each model is compiled RUNS times (default 20) in turn, so that a slow moment of the machine meets all of them; the table
shows the fastest run (wall clock), its processor time, and the largest resident size. `ratio` compares with stories110m:
depth must not cost what layers cost, because a repeat is compiled once whatever its length.
"""
import os
import sys
import tempfile
import time

anec, models = sys.argv[1], sys.argv[2]
runs = int(sys.argv[3]) if len(sys.argv) > 3 else 20
cases = [
    ("stories110m", "stories110m", []),
    ("qwen3_0_6b (28 layers)", "qwen3_0_6b", []),
    ("stories110m, 200 layers", "stories110m", ["-D", "layers=200"]),
    ("gpt2", "gpt2", []),
    ("layer768", "layer768", []),
    ("tiny", "tiny", []),
]


def compile_once(model, options, out):
    start = time.perf_counter()
    pid = os.posix_spawn(anec, [anec, f"{models}/{model}.anel", *options, "-o", out], os.environ, file_actions=quiet)
    _, status, usage = os.wait4(pid, 0)
    if status != 0:
        sys.exit(f"{model}: anec failed")
    kib = usage.ru_maxrss if sys.platform != "darwin" else usage.ru_maxrss / 1024
    return time.perf_counter() - start, usage.ru_utime + usage.ru_stime, kib


quiet = [(os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0)]  # warnings
best = {}
with tempfile.TemporaryDirectory() as work:
    for _ in range(runs):
        for name, model, options in cases:
            wall, cpu, kib = compile_once(model, options, f"{work}/plan-{model}")
            old = best.get(name, (wall, cpu, kib))
            best[name] = (min(wall, old[0]), min(cpu, old[1]), max(kib, old[2]))

base = best["stories110m"][0]
print(f"{'model':26} {'wall ms':>8} {'cpu ms':>8} {'MB':>7} {'ratio':>6}")
for name, (wall, cpu, kib) in best.items():
    print(f"{name:26} {wall * 1e3:8.1f} {cpu * 1e3:8.1f} {kib / 1e3:7.1f} {wall / base:6.2f}")
limits = [("stories110m", 100, 50), ("stories110m, 200 layers", 1000, None)]
for name, ms, mb in limits:
    wall, _, kib = best[name]
    print(f"{name}: {wall * 1e3:.1f} ms of at most {ms}" + (f", {kib / 1e3:.1f} MB of at most {mb}" if mb else ""))
print(f"qwen3_0_6b against stories110m: {best['qwen3_0_6b (28 layers)'][0] / base:.2f} of at most 1.30")
