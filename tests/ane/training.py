#!/usr/bin/env python3
"""training.py ANEC ANERUN FAKE MODEL: whole trainings through the engine's driver on an unkind system.

What the system does here is allowed or was seen, and no reason to give other numbers: every training has to end with the
bits of the host device and leave nothing behind. The last two ask for what only the engine knows: its own time."""
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "e2e"))
from commands import numbers

ANEC, ANERUN, FAKE, MODEL = [os.path.abspath(x) for x in sys.argv[1:5]]
DIR = tempfile.mkdtemp(prefix="anel-training-")
SETS = ["-D", "dim=32", "-D", "layers=2", "-D", "heads=2", "-D", "kv_heads=2", "-D", "hidden=64", "-D", "seq=32"]
passed = failed = 0


def check(name, ok, detail=""):
    global passed, failed
    passed, failed = passed + bool(ok), failed + (not ok)
    print(f"{'ok' if ok else 'FAIL'} {name}{'' if ok else ': ' + str(detail)}", flush=True)


def anerun(plan, device, words, *args, cache=""):
    """Run; what it said, and the names left in its temporary directory."""
    tmp = tempfile.mkdtemp(dir=DIR)
    env = {**os.environ, "ANEL_ANE_LIBRARY": FAKE, "ANEL_FAKE": words, "TMPDIR": tmp, "ANEL_FAKE_CACHE": cache}
    r = subprocess.run([ANERUN, plan, *args, "--device", device], env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                       text=True)
    check(f"{words or device}: nothing is left behind", not os.listdir(tmp), os.listdir(tmp)[:3])
    return r.returncode, r.stdout


def train(mode, device, words="", *args, cache=""):
    run = tempfile.mkdtemp(dir=DIR)
    status, said = anerun(plan[mode], device, words, "--train", "--data", TEXT, "--steps", "3", "--out", run, "--overwrite",
                          "--quiet", *args, cache=cache)
    return (numbers(Path(run, "ckpt-3", "model.safetensors")) if status == 0 else None), said


TEXT = os.path.join(DIR, "text")
with open(TEXT, "wb") as f:
    f.write(bytes((i * i + i // 7) % 96 + 32 for i in range(20000)))
plan = {}
for mode in ("baked", "reload", "dynamic"):
    plan[mode] = os.path.join(DIR, mode)
    subprocess.run([ANEC, MODEL, *SETS, "--weights", mode, "-o", plan[mode]], check=True, stdout=subprocess.DEVNULL,
                   stderr=subprocess.DEVNULL)
want = {mode: train(mode, "host")[0] for mode in plan}

for words, mode in (("dirty-padding,direct-inner", "dynamic"), ("dirty-padding,direct-lost=5", "reload"),
                    ("data-unused", "reload"), ("data-opaque", "reload"), ("hide-NSIndexSet,hide-state,no-shared-client", "baked"),
                    ("unload-fails", "baked")):
    got, said = train(mode, "ane", words)
    check(f"{words}, {mode}: the same bits", got and got == want[mode], said)

cache = os.path.join(DIR, "cache")
os.mkdir(cache)
for words in ("", "", "cache-parts", "cache-broken"):
    got, said = train("reload", "ane", words, cache=cache)
    check(f"reload with copies of the system's, {words or 'no fault'}: the same bits", got and got == want["reload"], said)

# ---- time on the engine ----
log = os.path.join(DIR, "log")
got, said = train("dynamic", "ane", "", "--log", log, "--profile")
steps = [json.loads(line) for line in open(log)]
times = [e["engine_ms"] for e in steps if e["event"] == "step"]
check("the log tells the engine's own time", got == want["dynamic"] and len(times) == 3 and len(set(times)) == 1 and times[0] > 0.1,
      times)
check("so does the table of where the time went", "of it on the engine" in said, said)
log2 = os.path.join(DIR, "log2")
train("dynamic", "ane", "", "--log", log2)
check("nobody who did not ask is told", not any("engine_ms" in line for line in open(log2)))
status, said = anerun(plan["dynamic"], "ane", "", "--bench", "--json")
row = json.loads(said.splitlines()[-1]) if status == 0 else {}
check("--bench has it as a figure", abs(row.get("engine_ms", 0) - times[0]) < 1e-3 * times[0], said)
status, said = anerun(plan["dynamic"], "ane", "hide-hwExecutionTime", "--bench", "--json")
check("--bench does without", status == 0 and "engine_ms" not in said, said)

print(f"{passed} passed, {failed} failed")
sys.exit(1 if failed else 0)
