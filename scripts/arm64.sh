#!/bin/sh
# Build for 64-bit ARM (Linux) with warnings as errors, and run what a processor can get wrong in an emulator: the test
# suites of the kernels, where the NEON builds have to give the bits of the portable ones; all models compiled, to the bytes
# that this machine's compiler writes; a training run, beside the same run on this machine. The last line is
# 'N passed, N failed'.
#
#     scripts/arm64.sh BUILD           a build directory of this machine, with anec and anerun
#
# Compiler and emulator are Debian's packages; libraries are its arm64 packages, unpacked into a folder of their own, so
# that the system's package manager need not know of a second architecture. ANEL_SKIP_ARM64=1 leaves all of this out.
set -u
cd "$(dirname "$0")/.."
skip() {
    echo "skipped: 64-bit ARM ($1)"
    echo "0 passed, 0 failed"
    exit 0
}
[ -z "${ANEL_SKIP_ARM64:-}" ] || skip "ANEL_SKIP_ARM64 is set"
[ "$(uname -s)" = Linux ] || skip "the emulator runs programs of Linux"
case $(uname -m) in aarch64 | arm64) skip "this machine is one: its own tests are these" ;; esac
[ $# = 1 ] || { echo "usage: scripts/arm64.sh BUILD" >&2; exit 2; }
native=$(cd "$1" && pwd) || exit 2
mkdir -p build-ci/arm64
folder=$PWD/build-ci/arm64
root=$folder/root build=$folder/build
packages="libjansson-dev libxxhash-dev libopenblas-dev"
passed=0 failed=0
stop() {
    echo "$passed passed, $failed failed"
    [ "$failed" = 0 ]
    exit
}
# holds WHAT COMMAND...: count the command; show what it says if it fails
holds() {
    what=$1
    shift
    if "$@" >"$folder/said" 2>&1; then
        passed=$((passed + 1))
        echo "ok   $what"
    else
        failed=$((failed + 1))
        echo "FAIL $what"
        tail -n 60 "$folder/said"
    fi
}
apt() { # apt-get for a machine with nothing installed, which is not this one
    apt-get -qq -o APT::Architecture=arm64 -o APT::Architectures::=arm64 -o Dir::State="$folder/apt" \
        -o Dir::State::status="$folder/apt/status" -o Dir::Cache="$folder/apt/cache" -o Acquire::Languages=none \
        -o APT::Sandbox::User=root -o Debug::NoLocking=1 "$@"
}
sysroot() {
    if [ ! -f "$root/complete" ]; then
        rm -rf "$root" "$build"
        mkdir -p "$folder/apt/lists/partial" "$folder/apt/cache/archives/partial" "$root/pkgconfig"
        : >"$folder/apt/status"
        # shellcheck disable=SC2086
        apt update && apt install -y --no-install-recommends --download-only $packages || return
        # Not the headers of the C library: the compiler has its own.
        for package in libc6_ libgcc-s1_ libgfortran5_ libjansson libxxhash libopenblas; do
            for file in "$folder/apt/cache/archives/$package"*.deb; do
                dpkg -x "$file" "$root" || return
            done
        done
        # What Debian's alternatives would point at.
        ln -sf openblas-pthread/libopenblas.so.0 "$root/usr/lib/aarch64-linux-gnu/libopenblas.so.0"
        cp "$root/usr/lib/aarch64-linux-gnu/openblas-pthread/pkgconfig/openblas.pc" "$root/pkgconfig/" || return
        printf 'Name: criterion\nDescription: scripts/stand-in\nVersion: 2.4.0\nCflags: -I/stand-in\n' \
            >"$root/pkgconfig/criterion.pc"
        touch "$root/complete"
    fi
    mkdir -p "$root/stand-in" && cp -r scripts/stand-in/criterion "$root/stand-in/"
}
setup() {
    [ -f "$build/build.ninja" ] && return
    printf "[constants]\nsysroot = '%s'\n" "$root" >"$folder/paths.ini"
    # -O2: at -O3 gcc 12 for ARM ends with an internal error (vect_transform_reduction) on loops with two fmax().
    meson setup "$build" -Doptimization=2 --cross-file "$folder/paths.ini" --cross-file scripts/arm64/cross.ini -Dwerror=true -Dtests=enabled \
        -Dmpi=disabled -Dsentencepiece=disabled -Donednn=disabled
}
emulated() {
    qemu-aarch64 -L "$root" "$@"
}
# suites PROGRAM SUITE...: counts each test
suites() {
    program=$1
    shift
    emulated "$build/tests/$program" "$@" >"$folder/said" 2>&1
    status=$?
    counts=$(sed -n 's/^\[====\] Synthesis: Tested: [0-9]* | Passing: \([0-9]*\) | Failing: \([0-9]*\) | Crashing: \([0-9]*\)$/\1 \2 \3/p' "$folder/said")
    # shellcheck disable=SC2086
    set -- ${counts:-0 0 1}
    [ "$status" = 0 ] || [ "$(($2 + $3))" -gt 0 ] || set -- "$1" "$2" 1
    passed=$((passed + $1)) failed=$((failed + $2 + $3))
    if [ "$(($2 + $3))" = 0 ]; then
        echo "ok   $program: $1 tests"
    else
        echo "FAIL $program: $(($2 + $3)) tests"
        tail -n 60 "$folder/said"
    fi
}
same_plans() {
    printf '#!/bin/sh\nexec qemu-aarch64 -L "%s" "%s" "$@"\n' "$root" "$build/anec" >"$folder/anec" && chmod +x "$folder/anec" &&
        python3 scripts/same-plans.py "$native/anec" "$folder/anec"
}
same_run() {
    run=$folder/run
    rm -rf "$run" && mkdir "$run" && cat docs/*.md >"$run/text.txt" &&
        "$native/anec" models/tiny.anel -D dim=64 -D layers=1 -D seq=32 -D heads=2 -D kv_heads=2 -o "$run/plan" || return
    "$native/anerun" "$run/plan" --train --data "$run/text.txt" --steps 2 --out "$run/here" --log "$run/here.log" --quiet || return
    emulated "$build/anerun" "$run/plan" --train --data "$run/text.txt" --steps 2 --out "$run/arm" --log "$run/arm.log" --quiet ||
        return
    python3 scripts/arm64/same-run.py "$run/here.log" "$run/here/ckpt-2" "$run/arm.log" "$run/arm/ckpt-2"
}

holds "Debian's libraries for arm64" sysroot
[ "$failed" = 0 ] || stop
holds "meson setup for arm64" setup
[ "$failed" = 0 ] || stop
holds "programs and test suites are compiled and linked for arm64" ninja --quiet -C "$build" anec anerun tests/base/test_base \
    tests/mil/test_mil tests/runtime/test_runtime tests/train/test_train
[ "$failed" = 0 ] || stop
export OPENBLAS_NUM_THREADS=1
suites base/test_base
suites mil/test_mil
# Not products of matrices, which are the library's, and slow in an emulator.
suites runtime/test_runtime convert exec kernels parts recipe rows vmath wide
suites train/test_train optim safetensors settings
holds "all models compile to the same plans as on this machine" same_plans
holds "a training run is the one of this machine" same_run
tail -n 1 "$folder/said"
stop
