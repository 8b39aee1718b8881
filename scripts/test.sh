#!/bin/sh
# Everything that must hold: install what is needed, build with gcc, clang and sanitizers, warnings as errors, run every
# test in each build, compare the plans that the builds write, and count.
set -eu
cd "$(dirname "$0")/.."
scripts/install-deps.sh test

status=0
build() { # name, compiler, options of meson
    dir=build-ci/$1 cc=$2
    shift 2
    [ -f "$dir/build.ninja" ] || CC=$cc meson setup "$dir" -Dwerror=true -Dtests=enabled "$@" >/dev/null
    ninja -C "$dir"
}
build gcc gcc -Dbuildtype=release
build clang clang -Dbuildtype=debug
build san gcc -Dbuildtype=debugoptimized -Db_sanitize=address,undefined

for b in gcc clang san; do
    echo "== tests: $b"
    meson test -C "build-ci/$b" --no-rebuild --print-errorlogs $([ $b = san ] && echo "--setup sanitize") || status=1
done
python3 scripts/same-plans.py build-ci/gcc/anec build-ci/clang/anec || status=1
python3 scripts/count-tests.py build-ci/*/meson-logs/testlog*.txt || status=1
exit $status
