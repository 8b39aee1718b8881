"""What tests of the two commands share: running one, and reading what it leaves behind."""
import json
import subprocess


def outcome(*args, status=0, **more):
    """Standard output and standard error. Fails on another exit status, and on whatever a sanitizer says. Bytes that are no
    UTF-8 come as "surrogateescape" has them. `more` goes to subprocess.run."""
    args = [str(a) for a in args]
    done = subprocess.run(args, capture_output=True, check=False, **{"timeout": 600, **more})
    said = done.stderr.decode(errors="replace")
    if done.returncode != status:
        raise AssertionError(f"{' '.join(args)}: status {done.returncode} instead of {status}\n{said}")
    if "Sanitizer" in said or "runtime error" in said:
        raise AssertionError(said)
    return done.stdout.decode(errors="surrogateescape"), said


def run(*args, status=0, **more):
    """Standard output, or standard error where failure is expected."""
    out, said = outcome(*args, status=status, **more)
    return said if status else out


def define(sizes):
    """["dim=64"] as options of anec."""
    return [word for size in sizes for word in ("-D", size)]


def events(log, *kinds):
    """The records of a log, or those of some kinds."""
    found = [json.loads(line) for line in log.read_text().splitlines()]
    return [e for e in found if e["event"] in kinds] if kinds else found


def curve(log, *more):
    """What a log says of each step, without times."""
    keys = ("step", "loss", "lr", "grad_norm", "loss_scale", "skipped", "skips", *more)
    return [{key: e[key] for key in keys} for e in events(log, "step")]


def numbers(file):
    """The numbers of a safetensors file, as bytes, without the header, which names the plan and the run."""
    data = file.read_bytes()
    return data[8 + int.from_bytes(data[:8], "little"):]
