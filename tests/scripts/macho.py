#!/usr/bin/env python3
"""macho.py CHECK_MACHO: scripts/check-macho.py on programs that are right, and on programs with one thing wrong.

The programs are put together here, load command by load command, once with bind opcodes (what older linkers write) and once
with chained fixups (newer ones); no linker is needed."""
import importlib.util
import os
import struct
import subprocess
import sys
import tempfile

SYSTEM = "/usr/lib/libSystem.B.dylib"
ACCELERATE = "/System/Library/Frameworks/Accelerate.framework/Versions/A/Accelerate"
JANSSON = "/opt/homebrew/opt/jansson/lib/libjansson.4.dylib"
FOUNDATION = "/System/Library/Frameworks/CoreFoundation.framework/Versions/A/CoreFoundation"
PRIVATE = "/System/Library/PrivateFrameworks/AppleNeuralEngine.framework/Versions/A/AppleNeuralEngine"
MAIN, SIGNATURE = (0x80000028, struct.pack("<2Q", 0x4000, 0)), (0x1D, struct.pack("<2I", 0, 0))

GOOD = dict(magic=0xFEEDFACF, cpu=0x0100000C, subtype=0, kind=2, flags=0x200085, platform=1, oldest=13 << 16 | 3 << 8,
            libraries=[(0xC, SYSTEM), (0xC, JANSSON), (0xC, ACCELERATE)], extra=[MAIN, SIGNATURE], hidden=[],
            symbols=[("_malloc", 1), ("_dlopen", 1), ("_json_true", 2), ("_cblas_sgemm$NEWLAPACK", 3)])


def opcodes(symbols):
    out = b"\x11"  # as pointers
    for i, (name, ordinal) in enumerate(symbols):
        if ordinal < 0:
            out += bytes([0x30 | ordinal & 0xF])
        elif ordinal < 16 and i % 2:
            out += bytes([0x10 | ordinal])
        else:  # in two bytes, as numbers beyond 127 need
            out += bytes([0x20, ordinal | 0x80, 0])
        out += b"\x40" + name.encode() + b"\0" + b"\x51" + b"\x72\x80\x01"  # a pointer; segment 2, byte 128
        out += (b"\x90", b"\xa0\x08", b"\xb1", b"\xc0\x02\x08")[i % 4]
    return out + b"\0\0"


def chains(symbols, form):
    names, imports = b"\0", b""
    for name, ordinal in symbols:
        if form == 3:
            imports += struct.pack("<2Q", ordinal & 0xFFFF | len(names) << 32, 0)
        else:
            imports += struct.pack("<I", ordinal & 0xFF | len(names) << 9) + (bytes(4) if form == 2 else b"")
        names += name.encode() + b"\0"
    return struct.pack("<7I", 0, 28, 28, 28 + len(imports), len(symbols), form, 0) + imports + names


def program(fixups, **changes):
    """A Mach-O file. `fixups` is 'opcodes', or 1 to 3: the formats of imports in chained fixups."""
    p = {**GOOD, **changes}
    names, table = b"\0", b""
    for name, ordinal in p["symbols"]:
        table += struct.pack("<IBBHQ", len(names), 1, 0, (ordinal & 0xFF) << 8, 0)
        names += name.encode() + b"\0"
    for name, kind in (("_main", 0x0F), ("_common", 0x01), ("some.c", 0x64)):  # defined, common, for a debugger
        table += struct.pack("<IBBHQ", len(names), kind, 1 if kind == 0xF else 0, 0, 64)
        names += name.encode() + b"\0"
    bound = p["symbols"] + p["hidden"]
    data = opcodes(bound) if fixups == "opcodes" else chains(bound, fixups)

    def commands(begin):
        out = [(kind, struct.pack("<4I", 24, 0, 0, 0) + name.encode() + b"\0" * (8 - len(name) % 8))
               for kind, name in p["libraries"]]
        out.append((0x2, struct.pack("<4I", begin, len(table) // 16, begin + len(table), len(names))))
        at = begin + len(table) + len(names)
        if fixups == "opcodes":
            out.append((0x80000022, struct.pack("<10I", 0, 0, at, len(data), 0, 0, 0, 0, 0, 0)))
        else:
            out.append((0x80000034, struct.pack("<2I", at, len(data))))
        if p["platform"]:
            out.append((0x32, struct.pack("<4I", p["platform"], p["oldest"], 15 << 16, 0)))
        return out + p["extra"]

    size = sum(8 + len(body) for _, body in commands(0))
    count = len(commands(0))
    head = struct.pack("<8I", p["magic"], p["cpu"], p["subtype"], p["kind"], count, size, p["flags"], 0)
    return head + b"".join(struct.pack("<2I", kind, 8 + len(body)) + body for kind, body in commands(32 + size)) + \
        table + names + data


# (what is wrong, how, words of the message)
WRONG = [
    ("for x86-64", dict(cpu=0x01000007, subtype=3), "arm64: processor type 0x1000007"),
    ("for arm64e", dict(subtype=2), "subtype 0x2"),
    ("a library", dict(kind=6), "file type 6"),
    ("without an entry point", dict(extra=[SIGNATURE]), "no entry point"),
    ("not signed", dict(extra=[MAIN]), "no code signature"),
    ("at a fixed address", dict(flags=0x85), "PIE"),
    ("with a flat name space", dict(flags=0x200005), "TWOLEVEL"),
    ("for iOS", dict(platform=2), "platform 2"),
    ("for macOS 11", dict(oldest=11 << 16), "from version 11.0"),
    ("for no version", dict(platform=None), "no version"),
    ("a private framework", dict(libraries=GOOD["libraries"] + [(0xC, PRIVATE)]), "loads " + PRIVATE),
    ("weakly, a public one", dict(libraries=GOOD["libraries"] + [(0x80000018, FOUNDATION)]), FOUNDATION + " (weak)"),
    ("weakly, an allowed one", dict(libraries=GOOD["libraries"][:2] + [(0x80000018, ACCELERATE)]), "(weak)"),
    ("the Objective-C runtime", dict(libraries=GOOD["libraries"] + [(0xC, "/usr/lib/libobjc.A.dylib")]), "libobjc"),
    ("a search path", dict(extra=[MAIN, SIGNATURE, (0x8000001C, struct.pack("<I", 12) + b"@loader_path\0\0\0\0")]),
     "@loader_path"),
    ("a message", dict(symbols=GOOD["symbols"] + [("_objc_msgSend", 1)]), "imports _objc_msgSend"),
    ("a class", dict(symbols=GOOD["symbols"] + [("_OBJC_CLASS_$__ANEClient", 1)]), "_OBJC_CLASS_$__ANEClient"),
    ("a surface", dict(symbols=GOOD["symbols"] + [("_IOSurfaceCreate", 1)]), "_IOSurfaceCreate"),
    ("a number's type", dict(symbols=GOOD["symbols"] + [("_CFNumberCreate", 1)]), "_CFNumberCreate"),
    ("a constant", dict(symbols=GOOD["symbols"] + [("_kCFBooleanTrue", 1)]), "_kCFBooleanTrue"),
    ("from anywhere", dict(symbols=GOOD["symbols"] + [("_malloc_size", -2)]), "_malloc_size of any library"),
    ("from a library that is not loaded", dict(symbols=GOOD["symbols"] + [("_x", 9)]), "_x of library 9 of 3"),
    ("bound behind the symbol table's back", dict(hidden=[("_ptrace", 1)]), "binds _ptrace"),
    ("without its BLAS", dict(symbols=GOOD["symbols"][:3]), "_cblas_sgemm$NEWLAPACK of Accelerate: not imported"),
    ("with another BLAS", dict(symbols=GOOD["symbols"][:3] + [("_cblas_sgemm$NEWLAPACK", 2)]), "of Accelerate: not imported"),
    ("for Linux", dict(magic=0x464C457F), "no 64-bit Mach-O"),
    ("for several processors", dict(magic=0xBEBAFECA), "several architectures"),
]


def run(tool, data):
    fd, path = tempfile.mkstemp(prefix="macho-")
    try:
        os.write(fd, data)
        os.close(fd)
        return subprocess.run([sys.executable, tool, "--imports", "Accelerate:_cblas_sgemm$NEWLAPACK", path],
                              capture_output=True, text=True, check=False)
    finally:
        os.unlink(path)


def main():
    tool = sys.argv[1]
    passed, failed = 0, []

    def expect(name, holds, said):
        nonlocal passed
        passed += bool(holds)
        if not holds:
            failed.append(f"{name}:\n{said}")

    spec = importlib.util.spec_from_file_location("check_macho", tool)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    for fixups in ("opcodes", 1, 2, 3):
        done = run(tool, program(fixups))
        expect(f"a good program, {fixups}", done.returncode == 0 and done.stdout.endswith("10 passed, 0 failed\n"),
               done.stdout + done.stderr)
        image = module.Image(program(fixups, hidden=[("_weak", -3), ("_self", 0)]))
        expect(f"the imports, {fixups}", image.undefined == GOOD["symbols"] and
               sorted(image.bound) == sorted(GOOD["symbols"] + [("_weak", -3), ("_self", 0)]), f"{image.undefined}\n{image.bound}")
    for i, (name, changes, words) in enumerate(WRONG):
        done = run(tool, program(("opcodes", 1, 2, 3)[i % 4], **changes))
        expect(name, done.returncode == 1 and words in done.stdout and "Traceback" not in done.stderr and
               "passed, 0 failed" not in done.stdout, done.stdout + done.stderr)
    good, silent = program("opcodes"), []
    for n in range(0, len(good) - 3, 7):  # the last opcodes end the list: without them it is whole
        try:
            module.Image(good[:n])
            silent.append(n)
        except module.Malformed:
            pass
    expect("cut off anywhere", not silent, f"no complaint after {silent} bytes")
    for text in failed:
        print("FAIL", text)
    print(f"{passed} passed, {len(failed)} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
