#!/bin/sh
# host.sh BUILD [TEXT]: kernels of the host device against the portable ones, then training speed of tiny on TEXT (by
# default the sources of this project).
set -eu
build=$1
root=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
ninja -C "$build" bench/host_bench anec anerun >/dev/null
"$build/bench/host_bench"
if [ $# -gt 1 ]; then head -c 300000 "$2"; else cat "$root"/runtime/*.c "$root"/src/*/*.c | head -c 300000; fi >"$work/text"
"$build/anec" "$root/models/tiny.anel" -o "$work/tiny"
"$build/anerun" "$work/tiny" --train --data "$work/text" --steps 20 --out "$work/run" --profile |
    grep -E 'done at|^layers|^total'
