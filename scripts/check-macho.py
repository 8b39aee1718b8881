#!/usr/bin/env python3
"""Check that programs are what macOS on Apple silicon runs, and that they ask for nothing private when they are loaded.

    check-macho.py [--oldest VERSION] [--imports LIBRARY:SYMBOL]... PROGRAM...

A program must be a signed, position-independent arm64 executable for the oldest macOS it is meant for; it may load
libSystem, Accelerate and Homebrew's jansson and xxHash; and import symbols of these only. The engine's framework,
IOSurface, CoreFoundation and the Objective-C runtime are found while the program runs, if they are there: a build that
linked them would not start where Apple moves or renames one. The format is the one of <mach-o/loader.h>,
<mach-o/nlist.h> and <mach-o/fixup-chains.h>. Works on a Mac too. The last line is 'N passed, N failed'."""
import argparse
import re
import struct
import sys

MAGIC, FAT = 0xFEEDFACF, 0xBEBAFECA
CPU_ARM64, EXECUTE, PLATFORM_MACOS = 0x0100000C, 2, 1
DYLDLINK, TWOLEVEL, PIE = 0x4, 0x80, 0x200000
REQUIRED = 0x80000000  # the loader must know this command
SYMTAB, CODE_SIGNATURE, BUILD_VERSION, VERSION_MIN = 0x2, 0x1D, 0x32, 0x24
DYLD_INFO, DYLD_INFO_ONLY, CHAINED_FIXUPS, MAIN, RPATH = 0x22, REQUIRED | 0x22, REQUIRED | 0x34, REQUIRED | 0x28, REQUIRED | 0x1C
DYLIBS = {0xC: "load", REQUIRED | 0x18: "weak", REQUIRED | 0x1F: "re-export", 0x20: "lazy", REQUIRED | 0x23: "upward"}
SPECIAL = {0: "this program", -1: "the main program", -2: "any library", -3: "any library, weakly"}

ALLOWED = {
    "libSystem": r"/usr/lib/libSystem\.B\.dylib",
    "Accelerate": r"/System/Library/Frameworks/Accelerate\.framework/Versions/A/Accelerate",
    "jansson": r"/(opt/homebrew|usr/local)/(opt|Cellar)/jansson/[^/]*/?.*libjansson\.4\.dylib",
    "xxhash": r"/(opt/homebrew|usr/local)/(opt|Cellar)/xxhash/[^/]*/?.*libxxhash\.0[.0-9]*\.dylib",
}
# What the driver of the engine asks dlsym() for; whoever imports one of these has linked it.
AT_RUN_TIME = re.compile(r"_(objc_|OBJC_|k?CF[A-Z]|k?IOSurface|k?IO[A-Z]|NS[A-Z]|_?ANE|.*Neural)")


class Malformed(Exception):
    pass


class Image:
    """What the loader reads of a program."""

    def __init__(self, data):
        self.data = data
        self.dylibs = []     # (how, install name), in the order that symbols count them from 1
        self.commands = []   # kinds of load commands
        self.undefined = []  # (symbol, ordinal of its library): the symbol table
        self.bound = []      # the same: what the loader is told to bind
        self.rpaths = []
        self.platform = self.oldest = None
        magic = self.unpack("<I", 0)[0]
        if magic == FAT:
            raise Malformed("several architectures in one file")
        if magic != MAGIC:
            raise Malformed(f"no 64-bit Mach-O file (it begins with {magic:#010x})")
        _, self.cpu, self.subtype, self.kind, count, _, self.flags, _ = self.unpack("<8I", 0)
        at = 32
        for _ in range(count):
            command, size = self.unpack("<2I", at)
            if size < 8:
                raise Malformed(f"a load command of {size} bytes")
            self.commands.append(command)
            self.load(command, at, size)
            at += size

    def unpack(self, form, at):
        try:
            return struct.unpack_from(form, self.data, at)
        except struct.error:
            raise Malformed(f"the file ends before byte {at + struct.calcsize(form)}") from None

    def text(self, at):
        end = self.data.find(b"\0", at)
        if at >= len(self.data) or end < 0:
            raise Malformed(f"no text at byte {at}")
        return self.data[at:end].decode("utf-8", "replace")

    def load(self, command, at, size):
        if command in DYLIBS:
            self.dylibs.append((DYLIBS[command], self.text(at + self.unpack("<I", at + 8)[0])))
        elif command == RPATH:
            self.rpaths.append(self.text(at + self.unpack("<I", at + 8)[0]))
        elif command == BUILD_VERSION:
            self.platform, self.oldest = self.unpack("<2I", at + 8)
        elif command == VERSION_MIN:
            self.platform, self.oldest = PLATFORM_MACOS, self.unpack("<I", at + 8)[0]
        elif command == SYMTAB:
            self.read_symbols(*self.unpack("<3I", at + 8))
        elif command in (DYLD_INFO, DYLD_INFO_ONLY):
            info = self.unpack("<10I", at + 8)
            for begin, length in (info[2:4], info[4:6], info[6:8]):  # bound at once, weakly, lazily
                self.read_binds(begin, length)
        elif command == CHAINED_FIXUPS:
            self.read_chains(self.unpack("<I", at + 8)[0])
        elif size == 0:
            raise Malformed("an empty load command")

    def read_symbols(self, begin, count, texts):
        for i in range(count):
            name, kind, _, description, value = self.unpack("<IBBHQ", begin + 16 * i)
            undefined = kind & 0x0E == 0 and not kind & 0xE0  # N_UNDF, no entry for a debugger
            if undefined and not (kind & 1 and value):        # a size: a common symbol, which is this program's
                ordinal = description >> 8
                self.undefined.append((self.text(texts + name), {254: -2, 255: -1}.get(ordinal, ordinal)))

    def read_binds(self, begin, length):
        """The opcodes of <mach-o/loader.h>; only names and libraries matter here."""
        at, end, ordinal, name = begin, begin + length, 0, None

        def leb():
            nonlocal at
            value = shift = 0
            while True:
                byte = self.unpack("<B", at)[0]
                at += 1
                value |= (byte & 0x7F) << shift
                shift += 7
                if not byte & 0x80:
                    return value

        while at < end:
            byte = self.unpack("<B", at)[0]
            at += 1
            code, low = byte & 0xF0, byte & 0x0F
            if code == 0x10:                    # ordinal, in the opcode
                ordinal = low
            elif code == 0x20:                  # ordinal
                ordinal = leb()
            elif code == 0x30:                  # one of SPECIAL
                ordinal = low - 16 if low else 0
            elif code == 0x40:                  # symbol
                name = self.text(at)
                at += len(name.encode()) + 1
            elif code in (0x60, 0x70, 0x80, 0xA0):  # addend; segment and offset; offset; bind and offset
                leb() if code != 0xA0 else None
            elif code not in (0x00, 0x50, 0x90, 0xB0, 0xC0):
                raise Malformed(f"unknown bind opcode {byte:#04x}")
            if code in (0x90, 0xA0, 0xB0, 0xC0):
                self.bound.append((name, ordinal))
                if code == 0xA0:
                    leb()
                elif code == 0xC0:
                    leb(), leb()
        self.bound = sorted(set(self.bound), key=str)

    def read_chains(self, begin):
        _, _, imports, symbols, count, form, packed = self.unpack("<7I", begin)
        if form not in (1, 2, 3) or packed:
            raise Malformed(f"chained fixups with imports of format {form}, symbols of format {packed}")
        for i in range(count):
            if form == 3:  # 64 bits and an addend
                word = self.unpack("<Q", begin + imports + 16 * i)[0]
                ordinal, name = word & 0xFFFF, word >> 32
                ordinal -= 0x10000 if ordinal > 0xFFF0 else 0
            else:
                word = self.unpack("<I", begin + imports + (4 if form == 1 else 8) * i)[0]
                ordinal, name = word & 0xFF, word >> 9
                ordinal -= 0x100 if ordinal > 0xF0 else 0
            self.bound.append((self.text(begin + symbols + name), ordinal))

    def library(self, ordinal):
        """The install name that an ordinal stands for."""
        if 1 <= ordinal <= len(self.dylibs):
            return self.dylibs[ordinal - 1][1]
        return SPECIAL.get(ordinal, f"library {ordinal} of {len(self.dylibs)}")


def version(number):
    return f"{number >> 16}.{number >> 8 & 0xFF}" + (f".{number & 0xFF}" if number & 0xFF else "")


def allowed(install_name):
    """The short name of a library that may be loaded, or None."""
    return next((short for short, form in ALLOWED.items() if re.fullmatch(form, install_name)), None)


def checks(image, oldest, wanted):
    """Yields (what holds, None or what is wrong)."""
    yield "arm64", None if image.cpu == CPU_ARM64 and image.subtype & 0xFFFFFF == 0 else \
        f"processor type {image.cpu:#x}, subtype {image.subtype:#x}"
    yield "an executable with an entry point", None if image.kind == EXECUTE and MAIN in image.commands else \
        f"file type {image.kind}, {'an' if MAIN in image.commands else 'no'} entry point"
    missing = [name for bit, name in ((DYLDLINK, "DYLDLINK"), (TWOLEVEL, "TWOLEVEL"), (PIE, "PIE")) if not image.flags & bit]
    yield "position-independent, every symbol from a library by name", \
        f"the flags {', '.join(missing)} are not set" if missing else None
    yield "signed, as arm64 requires", None if CODE_SIGNATURE in image.commands else "no code signature"
    found = "no version" if image.oldest is None else f"platform {image.platform}, from version {version(image.oldest)}"
    yield f"for macOS from {oldest}", \
        None if image.platform == PLATFORM_MACOS and version(image.oldest) == oldest else found

    strange = [f"{name} ({how})" for how, name in image.dylibs if how != "load" or not allowed(name)] + \
        [f"a search path, {path}" for path in image.rpaths]
    yield f"loads only {', '.join(sorted(filter(None, (allowed(n) for _, n in image.dylibs))))}", \
        None if not strange and image.dylibs else f"loads {', '.join(strange) or 'nothing'}"
    imports = sorted(set(image.undefined) | set(image.bound), key=str)
    strange = [f"{name} of {image.library(n)}" for name, n in imports if not allowed(image.library(n))]
    yield f"{len(imports)} symbols, all of these libraries", \
        None if imports and not strange else f"imports {', '.join(strange) or 'nothing'}"
    strange = [name for name, _ in imports if AT_RUN_TIME.match(name)]
    yield "nothing of the engine, of IOSurface, CoreFoundation or Objective-C", \
        f"imports {', '.join(strange)}" if strange else None
    strange = sorted({name for name, _ in image.bound} - {name for name, _ in image.undefined})
    yield "binds nothing that the symbol table does not name", f"binds {', '.join(strange)}" if strange else None
    for want in wanted:
        library, symbol = want.split(":", 1)
        yield f"{symbol} of {library}", None if any(name == symbol and allowed(image.library(n)) == library
                                                    for name, n in image.bound) else "not imported"


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--oldest", default="13.3", metavar="VERSION", help="the macOS it must name (13.3)")
    parser.add_argument("--imports", action="append", default=[], metavar="LIBRARY:SYMBOL", help="what it must import")
    parser.add_argument("program", nargs="+")
    options = parser.parse_args()
    passed = failed = 0
    for path in options.program:
        try:
            with open(path, "rb") as f:
                results = list(checks(Image(f.read()), options.oldest, options.imports))
        except (Malformed, OSError) as e:
            results = [("a Mach-O executable", str(e))]
        for what, wrong in results:
            print(f"FAIL {path}: {what}: {wrong}" if wrong else f"ok   {path}: {what}")
            passed += not wrong
            failed += bool(wrong)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
