#!/usr/bin/env python3
"""driver.py ANEC ANERUN FAKE MODEL: the engine's driver, run whole through the substitute for the system's libraries.

The same object code that ships for macOS trains a model in every weight mode and has to give the bits of the host device;
then parts of the framework are missing, or tell something else than expected. A run either does without and gives the same
bits, or stops with a message that names what happened (tests/faults has what devices do wrong). The substitute itself ends a process with SIGABRT for anything
a caller may not do, and with status 97 if objects are left at the end."""
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "e2e"))
from commands import numbers

ANEC, ANERUN, FAKE, MODEL = [os.path.abspath(x) for x in sys.argv[1:5]]
DIR = tempfile.mkdtemp(prefix="anel-driver-")
STEPS = 3
SETS = ["-D", "dim=32", "-D", "layers=2", "-D", "heads=2", "-D", "kv_heads=2", "-D", "hidden=64", "-D", "seq=32"]
passed = failed = 0


def check(name, ok, detail=""):
    global passed, failed
    passed, failed = passed + bool(ok), failed + (not ok)
    print(f"{'ok' if ok else 'FAIL'} {name}{'' if ok else ': ' + str(detail)}", flush=True)


def train(name, plan, device, faults="", steps=STEPS, extra=(), env=()):
    """Run a training; the final weights (None if it failed) and everything it said."""
    run = os.path.join(DIR, "run-" + name)
    tmp = os.path.join(DIR, "tmp-" + name)
    os.makedirs(tmp, exist_ok=True)
    environment = {**os.environ, "ANEL_ANE_LIBRARY": FAKE, "ANEL_FAKE": faults, "TMPDIR": tmp, **dict(env)}
    r = subprocess.run([ANERUN, plan, "--train", "--data", TEXT, "--steps", str(steps), "--out", run, "--overwrite",
                        "--device", device, "--quiet", *extra],
                       env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=600)
    if r.returncode in (-6, 134, 97):
        check(f"{name}: the driver keeps to the rules", False, r.stdout[-400:])
    left = os.listdir(tmp)
    if r.returncode == 0 and left:
        check(f"{name}: no directories are left behind", False, left[:3])
    model = os.path.join(run, f"ckpt-{steps}", "model.safetensors")
    return (numbers(Path(model)) if r.returncode == 0 else None), r.stdout


TEXT = os.path.join(DIR, "text")
with open(TEXT, "wb") as f:
    f.write(bytes((i * i + i // 7) % 96 + 32 for i in range(20000)))
plan = {}
for mode in ("baked", "reload", "dynamic"):
    plan[mode] = os.path.join(DIR, mode)
    subprocess.run([ANEC, MODEL, *SETS, "--weights", mode, "-o", plan[mode]], check=True,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

# ---- the whole life cycle, with the bits of the host device ----
want = {}
for mode in plan:
    want[mode], said = train(f"host-{mode}", plan[mode], "host")
    check(f"host device, {mode}", want[mode], said)
    got, said = train(f"ane-{mode}", plan[mode], "ane")
    check(f"engine's driver, {mode}: the same bits", got and got == want[mode], said)

# ---- what it recovers from: the same bits ----
for fault, mode in (("no-direct", "baked"), ("hide-_ANEClient", "baked"),
                    ("hide-compiledModelExists", "reload"), ("hide-_ANEPerformanceStats", "baked")):
    got, said = train("recovers", plan[mode], "ane", fault)
    check(f"{fault}, {mode}: recovers with the same bits", got and got == want[mode], said)

# ---- what stops it, and what it says ----
for fault, words in (("no-procedures", "cannot be bound safely"), ("padded-rows", "not dense"),
                     ("hide-_ANERequest", "class _ANERequest is missing"),
                     ("hide-loadWithQoS:options:error:", "is missing"), ("other-types", "has types")):
    got, said = train("stops", plan["baked"], "ane", fault)
    check(f"{fault}: stops and says why", got is None and words in said, said)
got, said = train("no-library", plan["baked"], "ane", env=[("ANEL_ANE_LIBRARY", os.path.join(DIR, "nothing.so"))])
check("no library: stops and says why", got is None and "cannot load" in said, said)

# ---- compiled copies of an earlier process ----
cache = os.path.join(DIR, "cache")
os.makedirs(cache)
env = [("ANEL_FAKE_CACHE", cache)]
got, said = train("cache-fill", plan["baked"], "ane", env=env)
check("a first run fills the system's cache", got == want["baked"] and os.listdir(cache), said)
got, said = train("cache-hit", plan["baked"], "ane", "compile-limit=0", env=env)
check("a second run compiles nothing", got == want["baked"], said)
got, said = train("cache-broken", plan["baked"], "ane", "cache-broken", env=env)
check("copies that do not load are compiled again", got == want["baked"], said)

print(f"{passed} passed, {failed} failed")
sys.exit(1 if failed else 0)
