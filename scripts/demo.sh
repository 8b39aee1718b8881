#!/bin/sh
# From nothing to text: install what is needed, build, compile models/tiny.anel, train it, let it write.
#
#     scripts/demo.sh [TEXT-FILE [STEPS]]
#
# Without a file the text is this project's own documentation and sources; 600 steps (at least 50) if not told otherwise.
set -eu
cd "$(dirname "$0")/.."

scripts/install-deps.sh
echo "== build"
[ -f build/build.ninja ] || meson setup build >/dev/null
ninja --quiet -C build anec anerun

mkdir -p build/demo
text=${1:-} steps=${2:-600}
if [ -z "$text" ]; then
    text=build/demo/text.txt
    find README.md docs grammar src runtime std models tests \
        \( -name '*.md' -o -name '*.c' -o -name '*.h' -o -name '*.def' -o -name '*.anel' \) -type f | LC_ALL=C sort | xargs cat >"$text"
fi
show() {
    echo "== $*"
    "$@"
}
rm -rf build/demo/run
show build/anec models/tiny.anel -D steps="$steps" -o build/demo/plan
show build/anerun build/demo/plan --train --data "$text" --holdout 0.05 --out build/demo/run
show build/anerun build/demo/plan --generate "The " --ckpt build/demo/run --tokens 250 --temperature 0.8 --top-k 40 --seed 1
echo
