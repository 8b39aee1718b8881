#!/bin/sh
# Everything that must hold: install what is needed, build with gcc, with clang and with sanitizers, warnings as errors,
# run every test in each build, compare the plans the three compilers write, build for macOS (scripts/macos.sh), and count.
# The last line is 'N passed, N failed'; the exit status is 0 only if nothing failed.
set -u
cd "$(dirname "$0")/.."
scripts/install-deps.sh test || exit 1

began=$(date +%s)
say() {
    echo "== $(($(date +%s) - began)) s: $*"
}
failed() { # what is no test of meson's and failed
    echo "FAIL $*"
    echo "0 passed, 1 failed" >>build-ci/other.log
}
mkdir -p build-ci
rm -f build-ci/*.log build-ci/*/meson-logs/testlog*

# check NAME COMPILER SETUP OPTION...: one build and its tests
check() {
    name=$1 compiler=$2 setup=$3
    [ "$compiler" = clang ] && cxx=clang++ || cxx=g++
    shift 3
    say "$name: build"
    [ -f "build-ci/$name/build.ninja" ] ||
        CC=$compiler CXX=$cxx meson setup "build-ci/$name" -Dwerror=true -Dtests=enabled "$@" >"build-ci/$name.setup.log" ||
        { cat "build-ci/$name.setup.log"; failed "$name: meson setup"; return; }
    ninja --quiet -C "build-ci/$name" || { failed "$name: build"; return; }
    say "$name: tests"
    meson test -C "build-ci/$name" --no-rebuild --setup "$setup" --print-errorlogs
}
check gcc gcc plain -Dbuildtype=release
check clang clang plain -Dbuildtype=debug
check sanitizers gcc sanitize -Dbuildtype=debugoptimized -Db_sanitize=address,undefined

say "the same plans from all compilers"
python3 scripts/same-plans.py build-ci/gcc/anec build-ci/clang/anec build-ci/sanitizers/anec >build-ci/plans.log 2>&1
[ -s build-ci/plans.log ] && cat build-ci/plans.log
say "macOS"
scripts/macos.sh >build-ci/macos.log 2>&1
cat build-ci/macos.log
say "done"
python3 scripts/count-tests.py build-ci/*/meson-logs/testlog*.txt build-ci/plans.log build-ci/macos.log \
    $(ls build-ci/other.log 2>/dev/null)
