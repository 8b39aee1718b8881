#!/bin/sh
# From nothing to text: install what is needed, build, compile models/tiny.anel, train it, let it write.
#
#     scripts/demo.sh [TEXT-FILE [STEPS]]
#
# Without a file the text is this project's own documentation and sources; 400 steps (at least 50) if not told otherwise.
set -eu
cd "$(dirname "$0")/.."

scripts/install-deps.sh
echo "== build"
[ -f build/build.ninja ] || meson setup build >/dev/null
ninja --quiet -C build anec anerun

mkdir -p build/demo
text=${1:-} steps=${2:-800}
if [ -z "$text" ]; then
    text=build/demo/text.txt
    # In an order that mixes folders, so that the last twentieth, which is held out, is like the rest.
    find README.md docs grammar src runtime std models -type f \
        \( -name '*.md' -o -name '*.c' -o -name '*.h' -o -name '*.def' -o -name '*.anel' -o -name '*.y' -o -name '*.re' \) |
        while read -r f; do echo "$(echo "$f" | cksum | cut -d' ' -f1) $f"; done |
        sort -n | cut -d' ' -f2 | xargs cat >"$text"
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
