#!/usr/bin/env python3
"""matrix.py ANEC ANERUN FAKE MODEL: everything that devices were seen to do wrong, on the host device and on the engine's
driver with its substitute.

Each row of FAULTS is a fault (docs/faults.md) with what a training run has to make of it: it recovers, and ends with the
bits of an undisturbed run; or it stops with status 1, says what happened, and has saved every completed step: resumed
without the fault it ends with those bits, too. Neither ever hangs, and neither goes on silently with other numbers."""
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "e2e"))
from commands import numbers

ANEC, ANERUN, FAKE, MODEL = [os.path.abspath(x) for x in sys.argv[1:5]]
DIR = tempfile.mkdtemp(prefix="anel-faults-")
STEPS = 4
SETS = ["-D", "dim=32", "-D", "layers=2", "-D", "heads=2", "-D", "kv_heads=2", "-D", "hidden=64", "-D", "seq=32"]
RECOVERS, STOPS = "recovers", "stops"
HOST, ENGINE = "host", "ane"
BOTH = (HOST, ENGINE)
TIMEOUT = ["--eval-timeout", "0.5"]
passed = failed = 0

# fault, mode of weights, devices, what happens, words it says ("": nothing in particular), more options
FAULTS = [
    ("compile-fails=2", "baked", BOTH, RECOVERS, "", []),
    ("compile-fails=99", "baked", BOTH, STOPS, "ANECCompile() FAILED", []),
    ("load-fails=1", "baked", BOTH, RECOVERS, "", []),
    ("load-fails=99", "baked", BOTH, STOPS, "0x20004", []),
    ("cache-broken", "baked", (HOST,), RECOVERS, "", []),
    ("compile-limit=3", "baked", BOTH, STOPS, "more programs", []),
    ("compile-total=17", "baked", BOTH, RECOVERS, "", []),
    ("compile-total=17", "baked", (HOST,), STOPS, "cannot be restarted", ["--compile-budget", "0"]),
    ("compile-total=17", "baked", (ENGINE,), RECOVERS, "", ["--compile-budget", "0"]),
    ("stale-reload", "reload", BOTH, RECOVERS, "compiled anew for every update", []),
    ("stale-large", "reload", BOTH, RECOVERS, "compiled anew for every update", []),
    ("stale-reload", "baked", BOTH, RECOVERS, "", []),
    ("stale-compile", "baked", BOTH, STOPS, "stale weights", []),
    ("stale-compile", "dynamic", BOTH, RECOVERS, "", []),
    ("swap-symbols", "dynamic", (HOST,), STOPS, "exchanges inputs or outputs", []),
    ("swap-symbols", "dynamic", (ENGINE,), RECOVERS, "", []),
    ("swap-symbols", "baked", (ENGINE,), RECOVERS, "", []),
    ("small-surface=49152", "baked", BOTH, RECOVERS, "", []),
    ("small-surface=70000", "baked", BOTH, STOPS, "0x1d", []),
    ("large-ports=100000", "baked", BOTH, RECOVERS, "", []),
    ("large-ports=100000,small-surface=100000", "dynamic", BOTH, RECOVERS, "", []),
    ("wrong-procedure", "dynamic", BOTH, STOPS, "0x2", []),
    ("hang=30", "baked", BOTH, STOPS, "did not return within 0.5 s", TIMEOUT),
    ("hang=30", "dynamic", BOTH, STOPS, "did not return within 0.5 s", TIMEOUT),
    ("eval-fails=30", "baked", BOTH, STOPS, "status=0x1d", []),
    ("eval-fails=30", "dynamic", BOTH, STOPS, "status=0x1d", []),
    ("nan-surfaces", "baked", BOTH, RECOVERS, "", []),
    ("nan-surfaces", "dynamic", BOTH, RECOVERS, "", []),
    ("dirty-padding", "baked", BOTH, RECOVERS, "", []),
    ("nan-surfaces,dirty-padding", "dynamic", BOTH, RECOVERS, "", []),
]


def check(name, ok, detail=""):
    global passed, failed
    passed, failed = passed + bool(ok), failed + (not ok)
    print(f"{'ok' if ok else 'FAIL'} {name}{'' if ok else ': ' + str(detail)}", flush=True)


def state():
    return tempfile.mkdtemp(prefix="state-", dir=DIR)


def train(run, plan, device, fault="", steps=STEPS, extra=(), env=()):
    """A training; its status, the final weights (None if it failed) and everything it said."""
    tmp = tempfile.mkdtemp(prefix="tmp-", dir=DIR)
    environment = {**os.environ, "ANEL_ANE_LIBRARY": FAKE, "TMPDIR": tmp, "ANEL_STATE_DIR": state(),
                   "ANEL_FAKE" if device == ENGINE else "ANERUN_DEVICE_FAULT": fault, **dict(env)}
    r = subprocess.run([ANERUN, plan, "--train", "--data", TEXT, "--steps", str(steps), "--out", run, "--device", device,
                        *extra], env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=600)
    model = os.path.join(run, f"ckpt-{steps}", "model.safetensors")
    return r.returncode, numbers(Path(model)) if r.returncode == 0 else None, r.stdout


def cell(n, fault, mode, device, outcome, words, extra):
    name = f"{fault}, {mode}, {device}{' ' + ' '.join(extra) if extra else ''}"
    run = os.path.join(DIR, f"run-{n}-{device}")
    log = run + ".log"
    status, got, said = train(run, plan[mode], device, fault, extra=[*extra, "--log", log])
    if outcome == RECOVERS:
        check(f"{name}: recovers with the same bits", got and got == want[mode] and words in said, said)
        return
    check(f"{name}: stops and says why", status == 1 and words in said, f"{status}: {said}")
    saved = re.search(r"ckpt-(\d+)' (holds all completed steps|was saved)", said)
    with open(log, encoding="utf-8") as f:
        done = [e["step"] for e in map(json.loads, f) if e["event"] == "step"]
    check(f"{name}: no completed step is lost", int(saved[1]) == max(done) if saved else not done, said)
    if saved:
        _, got, said = train(run, plan[mode], device, extra=["--resume"])
        check(f"{name}: resumed, the same bits", got and got == want[mode], said)


TEXT = os.path.join(DIR, "text")
with open(TEXT, "wb") as f:
    f.write(bytes((i * i + i // 7) % 96 + 32 for i in range(20000)))
plan, want = {}, {}
for mode in ("baked", "reload", "dynamic"):
    plan[mode] = os.path.join(DIR, mode)
    subprocess.run([ANEC, MODEL, *SETS, "--weights", mode, "-o", plan[mode]], check=True,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, want[mode], said = train(os.path.join(DIR, f"want-{mode}"), plan[mode], HOST)
    check(f"an undisturbed run, {mode}", want[mode], said)

for n, (fault, mode, devices, outcome, words, extra) in enumerate(FAULTS):
    for device in devices:
        cell(n, fault, mode, device, outcome, words, extra)

# ---- what is learned about giving programs new weights is remembered ----
for device in BOTH:
    env = [("ANEL_STATE_DIR", state())]
    runs = [train(os.path.join(DIR, f"learn-{device}-{i}"), plan["reload"], device, "stale-reload", extra=extra, env=env)
            for i, extra in enumerate(([], [], ["--reload", "try"], ["--reload", "never"]))]
    check(f"stale reloads, {device}: the same bits however it is known", all(got == want["reload"] for _, got, _ in runs),
          [said for _, _, said in runs])
    check(f"stale reloads, {device}: tried once, and again when told to",
          ["does not replace" in said for _, _, said in runs] == [True, False, True, False] and
          "found not to work" in runs[1][2], [said for _, _, said in runs])
    _, got, said = train(os.path.join(DIR, f"learn-{device}-works"), plan["reload"], device, extra=["--reload", "try"], env=env)
    with open(os.path.join(env[0][1], "devices.json"), encoding="utf-8") as f:
        known = f.read()
    check(f"working reloads, {device}: replace what was remembered", got == want["reload"] and '"reload": "works"' in known, known)
    with open(os.path.join(env[0][1], "devices.json"), "w", encoding="utf-8") as f:
        f.write("{")
    _, got, said = train(os.path.join(DIR, f"learn-{device}-damaged"), plan["reload"], device, env=env)
    check(f"damaged memory, {device}: a note, and learned again", got == want["reload"] and "learned again" in said, said)
blocked = os.path.join(DIR, "blocked")
with open(blocked, "wb"):
    pass
_, got, said = train(os.path.join(DIR, "blocked-run"), plan["reload"], HOST, env=[("ANEL_STATE_DIR", os.path.join(blocked, "x"))])
check("no place to remember: a note", got == want["reload"] and "is not remembered" in said, said)

# ---- stale weights that show late: what may be wrong is not kept ----
env, run = [("ANEL_STATE_DIR", state())], os.path.join(DIR, "late")
train(run, plan["reload"], HOST, steps=2, env=env)
status, _, said = train(run, plan["reload"], HOST, "stale-large", env=env, extra=["--resume", "--save-every", "1"])
check("stale weights after they were trusted: the run ends, and names the checkpoint from before", status == 1 and
      "Steps after 2 may be wrong, and are not saved" in said and f"--resume {run}/ckpt-2" in said, said)
check("stale weights after they were trusted: nothing newer is left",
      sorted(x for x in os.listdir(run) if x.startswith("ckpt-")) == ["ckpt-2"], os.listdir(run))
_, got, said = train(run, plan["reload"], HOST, "stale-large", env=env, extra=["--resume", os.path.join(run, "ckpt-2")])
check("stale weights after they were trusted: resumed from there, the same bits", got and got == want["reload"], said)

# ---- evaluations that grow slower: a new process, or the same bits ----
def decaying(mode, device, fault):
    """Steps enough for it to be noticed."""
    run = tempfile.mkdtemp(prefix="decay-", dir=DIR)
    _, got, said = train(run, plan[mode], device, fault, steps=STEPS_DECAY, extra=["--compile-budget", "0", "--profile"])
    return got, said


STEPS_DECAY = 500
for mode, device, fault in (("dynamic", HOST, "decay=3500"), ("dynamic", HOST, "decay-program=900"), ("baked", HOST, "decay=3500"),
                            ("dynamic", ENGINE, "decay=3500")):
    straight, said = decaying(mode, HOST, "")
    check(f"no decay, {mode}: nothing is noticed", straight and "as long as at first" not in said, said)
    got, said = decaying(mode, device, fault)
    check(f"{fault}, {mode}, {device}: a new process goes on with the same bits",
          got and got == straight and "as long as at first: a new process goes on" in said, said)
# ---- products beyond half of fp16's range: steps that meet the infinities are skipped, and a run of nothing else ends ----
with open(MODEL, encoding="utf-8") as f:
    large = f.read().replace("      x = x + swiglu(rmsnorm(x, g2, eps: eps)) as feed_forward;",
                             "      big = linear(rmsnorm(x, g2, eps: eps) * 2048.0, dim, std: 1.0) as feed_forward;\n"
                             "      x = x + big * (1.0 / 65536.0);")
check("the model has the line that is replaced", "big = " in large)
with open(os.path.join(DIR, "large.anel"), "w", encoding="utf-8") as f:
    f.write(large)
plan["large"] = os.path.join(DIR, "large")
subprocess.run([ANEC, os.path.join(DIR, "large.anel"), *SETS, "--weights", "dynamic", "-o", plan["large"]], check=True,
               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
for device in BOTH:
    for fault, status in (("", 0), ("half-range", 1)):
        run = os.path.join(DIR, f"large-{device}-{fault}")
        got, _, said = train(run, plan["large"], device, fault, steps=70, extra=["--target", "none", "--log", run + ".log"])
        with open(run + ".log", encoding="utf-8") as f:
            skipped = [e["skipped"] for e in map(json.loads, f) if e["event"] == "step"]
        check(f"products of more than 32752, {fault or 'no quirk'}, {device}", got == status and sum(skipped) == 64 * status and
              ("64 steps in a row overflowed" in said) == bool(status), said)

# ---- what a device computes wrongly is found by --probe, in words that a profile is made of ----
EXACT = os.path.join(DIR, "exact.target")
with open(EXACT, "w", encoding="utf-8") as f:
    f.write("target exact\ninherits any\nmatmul_out_max 65504 assumed\nslice_crop_max 0 assumed\n"
            "op scaled_dot_product_attention yes assumed\n")
QUIRKS = (("half-range", "product-range", "65504", "32752"), ("slice-crop", "slice-range", "0", "4094"),
          ("mask-ignored", "mask", "yes", "no"), ("round-1024", "round", "yes", "no"))
for device in BOTH:
    for fault, question, right, wrong in QUIRKS:
        for words, expected in (("", right), (fault, wrong)):
            r = subprocess.run([ANERUN, "--probe", "--quick", "--device", device, "--only", question]
                               + (["--target", EXACT] if device == HOST else []),
                               env={**os.environ, "ANEL_ANE_LIBRARY": FAKE, "ANEL_STATE_DIR": state(),
                                    "ANEL_FAKE" if device == ENGINE else "ANERUN_DEVICE_FAULT": words},
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=600)
            found = re.search(rf"^  {question} +(\S+)", r.stdout, re.M)
            check(f"{words or 'no quirk'}, {device}: --probe says that {question} is {expected}",
                  r.returncode == 0 and found and found[1] == expected, r.stdout)

# ---- the table of docs/faults.md is that of the code ----
def rows(file, pattern):
    with open(os.path.join(os.path.dirname(__file__), "..", "..", file), encoding="utf-8") as f:
        return re.findall(pattern, f.read(), re.M)


words = {f"{word}{'=' + value.strip(chr(34)) if value != 'NULL' else ''}": " ".join(effect.split())
         for word, value, effect in rows("runtime/faults.def", r'^FAULT\(\w+, "([\w-]+)", (NULL|"N"), "([^"]*)"')}
documented = dict(rows("docs/faults.md", r"^\| `([\w=-]+)` \| ([^|]*) \|"))
check("docs/faults.md has every fault", documented == words, (documented, words))
for word in rows("runtime/quirks.def", r'^QUIRK\(\w+, "([\w-]+)"'):
    check(f"docs/faults.md has the quirk {word}", rows("docs/faults.md", f"`{word}`"))
check("words that are no fault are a mistake", train(os.path.join(DIR, "word"), plan["baked"], HOST, "hnag=3")[0] == 1)

print(f"{passed} passed, {failed} failed")
sys.exit(1 if failed else 0)
