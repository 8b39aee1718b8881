#!/usr/bin/env python3
"""Lay out the libraries of Homebrew that anel links, as far as building for macOS on another system needs them.

    homebrew.py FOLDER

Headers are this system's (they are portable, and go to a folder of their own, so that no header of another C library comes
along); a library is a text file that names its symbols, as Apple's SDK has them too (.tbd): those that this system's
shared library defines. Paths and versions of the libraries are what `otool -L` shows of programs built with Homebrew."""
import re
import shutil
import subprocess
import sys
from pathlib import Path

# package of pkg-config here and there, library, headers, version in the file's name, prefix of all public symbols
LIBRARIES = [
    ("jansson", "jansson", ["jansson.h", "jansson_config.h"], "4", r"json(p|_)|jansson_"),
    ("libxxhash", "xxhash", ["xxhash.h"], "0", r"XXH"),
]
# Headers of what is optional and not linked here: only whether sources compile is asked.
OPTIONAL = [("ompi-c", ["mpi.h", "mpi_portable_platform.h"]), ("sentencepiece", ["sentencepiece_processor.h"])]


def ask(*words):
    return subprocess.run(["pkg-config", *words], check=True, capture_output=True, text=True).stdout.strip()


def symbols(shared, prefix):
    """What programs may link; what chooses between instruction sets of x86-64 (XXH..._dispatch) is not there on ARM."""
    listing = subprocess.run(["nm", "-D", "--defined-only", "--format=posix", shared], check=True, capture_output=True,
                             text=True).stdout
    return sorted("_" + line.split()[0].split("@")[0] for line in listing.splitlines() if re.match(prefix, line) and not line.split()[0].endswith("_dispatch"))


def copy_headers(package, names, to):
    include, machine = Path(ask("--variable=includedir", package)), Path(ask("--variable=libdir", package)).name
    for name in names:  # Debian keeps what differs from machine to machine in a folder of its own
        shutil.copy(include / machine / name if (include / machine / name).exists() else include / name, to)


def write_library(root, package, library, headers, version, prefix):
    libdir = ask("--variable=libdir", package)
    copy_headers(package, headers, root / "include")
    names = symbols(f"{libdir}/lib{library}.so", prefix)
    if not names:
        sys.exit(f"homebrew.py: {libdir}/lib{library}.so defines no symbol that begins with {prefix}")
    (root / "lib" / f"lib{library}.tbd").write_text(f"""--- !tapi-tbd
tbd-version:     4
targets:         [ arm64-macos ]
install-name:    '/opt/homebrew/opt/{library}/lib/lib{library}.{version}.dylib'
exports:
  - targets:         [ arm64-macos ]
    symbols:         [ {", ".join(names)} ]
...
""")
    (root / "lib/pkgconfig" / f"{package}.pc").write_text(f"""prefix={root}
Name: {library}
Description: for building on another system
Version: {ask("--modversion", package)}
Libs: -L${{prefix}}/lib -l{library}
Cflags: -I${{prefix}}/include
""")


def main():
    if len(sys.argv) != 2:
        sys.exit("usage: homebrew.py FOLDER")
    root = Path(sys.argv[1]).resolve()
    for folder in ("include", "lib/pkgconfig", "optional"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    for library in LIBRARIES:
        write_library(root, *library)
    for package, headers in OPTIONAL:
        copy_headers(package, headers, root / "optional")


if __name__ == "__main__":
    main()
