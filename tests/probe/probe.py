#!/usr/bin/env python3
"""probe.py ANEC ANERUN FAKE SOURCE: `anerun --probe` has to find out what is there.

The host device imitates an engine by a target profile; the probe, which is told nothing of it (it compares with `any`), has
to find the profile's limits exactly and its rates nearly. What it writes has to be a profile that anec takes, and probing
with that one has to find it again. Through the substitute for the framework it meets what ends a process."""
import json
import os
import subprocess
import sys
import tempfile

ANEC, ANERUN, FAKE, SOURCE = [os.path.abspath(x) for x in sys.argv[1:5]]
DIR = tempfile.mkdtemp(prefix="anel-probe-")
passed = failed = 0


def check(name, ok, detail=""):
    global passed, failed
    passed, failed = passed + bool(ok), failed + (not ok)
    print(f"{'ok' if ok else 'FAIL'} {name}{'' if ok else ': ' + str(detail)}", flush=True)


def run(*args, env=(), tool=None):
    environment = {**os.environ, "ANEL_PATH": SOURCE, "TMPDIR": DIR, **dict(env)}
    return subprocess.run([tool or ANERUN, *args], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def probe(name, *args, env=()):
    """Its report, the path of the profile it wrote, and the process."""
    report, profile = os.path.join(DIR, name + ".json"), os.path.join(DIR, "found-" + name + ".target")
    r = run("--probe", "--quick", "--report", report, "-o", profile, *args, env=env)
    if r.returncode != 0:
        return None, profile, r
    with open(report) as f:
        return json.load(f), profile, r


def facts_of(target):
    """What a profile says: {fact: value}, {op: availability}."""
    facts, ops = {}, {}
    for line in run("target", target, tool=ANEC).stdout.splitlines():
        word = line.split()
        if word and word[0] == "op":
            ops[word[1]] = word[2]
        elif word:
            facts[word[0]] = word[1]
    return facts, ops


def finding(report, name):
    return next((f for f in report["findings"] if f["name"] == name), None)


LIMITS = {"compile-limit": "compile_budget", "io-width": "io_width_multiple", "io-channels": "io_channel_multiple",
          "io-min-channels": "io_min_channels", "surface-min": "surface_min", "conv-bias": "conv_bias", "axis": "max_axis",
          "channels": "max_channels", "conv-in": "max_conv_in", "load": "load", "reload-time": "reload_time",
          "weight-notch": "weight_notch", "product-range": "matmul_out_max", "slice-range": "slice_crop_max"}
RATES = {"overhead": "dispatch", "peak": "peak", "weight-bandwidth": "weight_bandwidth", "notch-bandwidth": "notch_bandwidth",
         "peak-matmul": "peak_matmul", "elementwise-rate": "elementwise", "bandwidth": "bandwidth",
         "compile-fixed": "compile_fixed", "compile-op": "compile_op", "compile-knee": "compile_knee"}
QUICK_LIMIT = 32768  # of axes and programs that --quick tries


def same(a, b, tolerance=0.0):
    try:
        return abs(float(a) - float(b)) <= tolerance * abs(float(b))
    except (TypeError, ValueError):
        return a == b


def finds(name, target, ops=True):
    """Probe an imitation of `target`: does it find what the profile says?"""
    report, profile, r = probe(name, "--target", target, *(() if ops else ("--only", "programs,shapes,numbers,times")))
    check(f"{name}: the probe runs", report, r.stderr)
    if not report:
        return None, profile
    facts, availability = facts_of(target)
    for table, tolerance in ((LIMITS, 0), (RATES, 0.01)):
        for question, fact in table.items():
            f, want = finding(report, question), facts[fact]
            if fact in ("max_axis", "max_channels", "max_conv_in") and int(want) >= QUICK_LIMIT or \
                    fact == "compile_budget" and int(want) > 160 or fact == "notch_bandwidth" and facts["weight_notch"] == "no" or \
                    fact == "reload_time" and facts["reload"] == "no":
                check(f"{name}: {question} stays open", f and f["verdict"] == "open", f)
            else:
                check(f"{name}: {fact} is found", f and same(f["found"], want, tolerance), (want, f))
    mask, rounding = finding(report, "mask"), finding(report, "round")
    check(f"{name}: an ignored mask", mask["found"] == ("no" if availability["scaled_dot_product_attention"] == "quirk" else "yes"), mask)
    check(f"{name}: round", rounding["found"] == ("no" if facts["family"] == "h17" else "yes"), rounding)
    if facts["reload"] != "unknown":
        check(f"{name}: reload", finding(report, "reload")["found"] == facts["reload"], finding(report, "reload"))
    wrong = [(o["op"], o["found"], availability.get(o["op"])) for o in report["findings"] if o["group"] == "ops"
             and o["found"] != {"yes": "yes", "quirk": "quirk"}.get(availability.get(o["op"]), "no") and
             not (o["found"] in ("yes", "quirk") and availability.get(o["op"]) in ("yes", "quirk"))]
    check(f"{name}: operations run where the profile says so", not wrong, wrong)
    return report, profile


# ---- engines, imitated ----
for target in ("any", "m1", "m4", "m5", "seed6"):
    finds(target, target, ops=target in ("any", "m1"))

odd = os.path.join(DIR, "odd.target")
with open(odd, "w") as f:
    f.write("""target odd
inherits any
max_axis 12345 assumed
max_channels 20011 assumed
max_conv_in 4097 assumed
io_width_multiple 32 assumed
io_channel_multiple 8 assumed
io_min_channels 40 assumed
surface_min 10240 assumed
compile_budget 61 assumed
conv_bias yes assumed
weight_notch no assumed
reload no assumed
matmul_out_max 20000 assumed
slice_crop_max 1000 assumed
dispatch 333 assumed
peak 3.21 assumed
peak_matmul 1.25 assumed
weight_bandwidth 11.1 assumed
bandwidth 7.7 assumed
elementwise 77.7 assumed
compile_fixed 7.5 assumed
compile_op 0.25 assumed
compile_knee 300 assumed
load 4.25 assumed
reload_time 6.5 assumed
op relu6 no assumed
op cumsum no assumed
op identity yes assumed
""")

report, profile = finds("odd", odd)

# ---- what it wrote ----
if report:
    facts, ops = facts_of(profile)
    check("the profile has the odd limits", facts.get("max_axis") == "12345" and facts.get("conv_bias") == "yes" and
          facts.get("compile_budget") == "61" and ops.get("relu6") == "no" and ops.get("identity") == "yes", facts)
    text = open(profile).read()
    check("what was decided has its evidence", 'shown    "probe of the host device imitating odd: ' in text, text[:2000])
    check("what was not says so", "not decided by the probe; any says: " in text and "max_dim" in text)
    plan = os.path.join(DIR, "plan")
    r = run("--target", os.path.join(DIR, "found-m4.target"), os.path.join(SOURCE, "models", "tiny.anel"), "-o", plan, tool=ANEC)
    check("anec takes the profile", r.returncode == 0 and os.path.exists(os.path.join(plan, "plan.anep")), r.stderr)
    again, _, r = probe("again", "--target", profile, "--base", profile)
    differ = [f for f in (again or {"findings": []})["findings"] if f["verdict"] == "differs" and f["name"] != "reload"]
    check("probed again, everything agrees with the profile", again and not differ, differ or r.stderr)

# ---- the same bytes every time ----
one, _, r1 = probe("one", "--target", "m4", "--date", "2026-11-23")
two, _, r2 = probe("two", "--target", "m4", "--date", "2026-11-23")
check("two probes: the same text", r1.stdout == r2.stdout and len(r1.stdout) > 5000)
check("two probes: the same report", one == two)
first, second = (open(os.path.join(DIR, f"found-{n}.target")).read().replace(f"target found-{n}\n", "") for n in ("one", "two"))
check("two probes: the same profile", first == second and ", 2026-11-23" in first)

# ---- everything as it should be: the host device alone ----
plain, _, r = probe("plain", "--target", "none", "--only", "programs,shapes,numbers,ops")
bad = [f for f in (plain or {"findings": []})["findings"] if f["group"] == "ops" and f["found"] not in ("yes", "quirk")
       or "with errors" in f["note"]]
check("the host device runs every operation, and right", plain and not bad, bad or r.stderr)
check("and takes new weights", plain and finding(plain, "reload")["found"] == "yes")

# ---- every micro-program is right as it stands ----
folder = os.path.join(SOURCE, "models", "probe")
asked = set()
for name in sorted(n[:-4] for n in os.listdir(folder) if n.endswith(".mil")):
    r = run("--probe", "--print", name)
    path = os.path.join(DIR, name + ".mil")
    with open(path, "w") as f:
        f.write(r.stdout)
    lint = run("lint", "--target", "m4", path, tool=ANEC) if r.returncode == 0 else r
    odd_lines = [l for l in lint.stderr.splitlines() if "error[" in l and not any(w in l for w in ("ANE024", "ANE036", "ANE016", "ANE006", "ANE037", "ANE030"))]
    check(f"micro-program {name}", r.returncode == 0 and not odd_lines, r.stderr + "\n".join(odd_lines))

# ---- through the substitute for the framework ----
def engine(name, faults, only, *more):
    report, _, r = probe(name, "--device", "ane", "--only", only, *more, env=[("ANEL_ANE_LIBRARY", FAKE), ("ANEL_FAKE", faults)])
    check(f"engine, {faults or 'nothing wrong'}: the probe ends in order", report, r.stderr + r.stdout)
    return report


report = engine("fake", "", "classes,io,io-order,reload,conv-bias,compile-limit,add,conv")
if report:
    check("classes and methods are listed", "modelWithMILText" in report["classes"], report.get("classes"))
    check("several inputs and outputs, in any order", finding(report, "io")["found"] == "multi" and
          finding(report, "io-order")["found"] == "yes", report["findings"])
    check("more than the probe tries to compile", finding(report, "compile-limit")["verdict"] == "open")
report = engine("swapped", "swap-symbols", "io,io-order,add")
if report:
    check("swapped symbols are bound by name", finding(report, "io")["found"] == "multi" and finding(report, "io-order")["found"] == "yes")
report = engine("limit", "compile-limit=23", "compile-limit,ops")
if report:
    check("the limit of programs is found", finding(report, "compile-limit")["found"] == 23, finding(report, "compile-limit"))
    refused = [f["name"] for f in report["findings"] if f["group"] == "ops" and f["found"] == "no"]
    check("and is nobody else's fault", not refused, refused)
report = engine("stale", "stale-reload", "reload")
if report:
    check("weights that stay old", finding(report, "reload")["found"] == "no" and "old weights" in finding(report, "reload")["note"], report["findings"])
report = engine("hang", "hang=1", "add,sub", "--patience", "2")
if report:
    check("an evaluation that never returns is a finding", finding(report, "add")["found"] == "no", report["findings"])
report = engine("fails", "eval-fails=1", "add")
if report:
    check("an evaluation that fails is a finding", "failed" in finding(report, "add")["note"], report["findings"])
_, _, r = probe("hidden", "--device", "ane", env=[("ANEL_ANE_LIBRARY", FAKE), ("ANEL_FAKE", "hide-_ANERequest")])
check("a class that is missing is named", r.returncode == 1 and "class _ANERequest is missing" in r.stderr, r.stderr)
_, _, r = probe("none", "--device", "ane", env=[("ANEL_ANE_LIBRARY", os.path.join(DIR, "nothing.so"))])
check("no framework: status 1, and why", r.returncode == 1 and "cannot load" in r.stderr, r.stderr)

# ---- mistakes ----
def damaged(name, text, words, ask="add"):
    """A folder with another text of the template that `ask` needs, before the right ones."""
    at = os.path.join(DIR, name)
    os.makedirs(os.path.join(at, "models", "probe"))
    with open(os.path.join(at, "models", "probe", "op_binary.mil"), "w") as f:
        f.write(text)
    r = run("--probe", "--only", ask, env=[("ANEL_PATH", at + ":" + SOURCE)])
    check(f"template, {name}: an error that names it", r.returncode == 1 and "op_binary.mil" in r.stderr and words in r.stderr and
          "probe of" not in r.stdout, r.stderr + r.stdout)


right = open(os.path.join(folder, "op_binary.mil")).read()
damaged("empty", "", "does not begin with")
damaged("no-place", right.replace("//= op add\n", ""), "no place 'op'")
damaged("stray", right.replace("${op}(", "${opp}("), "'${opp}' is no place")
damaged("open", right.replace("${op}(", "${op("), "without '}'")
damaged("no-end", right.replace("    } ->", "//repeat op\n    } ->"), "no number of times")
damaged("twice", right.replace("//= op add\n", "//= op add\n//= op add\n"), "said twice")
damaged("pattern", right.replace("w_0 positive", "w_0 posh"), "no pattern")
damaged("type", right.replace("[1, 64, 1, 64]> o00_y", "[1, 64, 1, 65]> o00_y"), "is not right")
damaged("syntax", right.replace("func main", "fun main"), "is not right")
damaged("nul", right.replace("func", "\0unc"), "NUL")
for args, words in ((["--only", "axes"], "did you mean 'axis'"), (["--onyl", "x"], "did you mean '--only'"), (["--patience", "0"], "--patience"),
                    (["--device", "gpu"], "known devices: host ane"), (["extra"], "options only"), (["--only"], "needs a value"),
                    (["--device", "ane", "--target", "m4"], "--target")):
    r = run("--probe", *args)
    check(f"{' '.join(args)}: status 2, and why", r.returncode == 2 and words in r.stderr, r.stderr)
for args, words in ((["--target", "m44"], "did you mean 'm4'"), (["--base", "m44"], "did you mean 'm4'"), (["--print", "nothing"], "no micro-program"),
                    (["--only", "add", "-o", os.path.join(DIR, "no", "where.target")], "where.target")):
    r = run("--probe", *args)
    check(f"{' '.join(args)}: status 1, and why", r.returncode == 1 and words in r.stderr, r.stderr)
r = run("--probe", "--list")
check("--list has groups and operations", r.returncode == 0 and "max_axis" in r.stdout and "reduce_log_sum_exp" in r.stdout)

print(f"{passed} passed, {failed} failed")
sys.exit(1 if failed else 0)
