#!/bin/sh
# From nothing to text: install what is needed, build, compile models/tiny.anel, train it, let it write.
#
#     scripts/demo.sh [TEXT-FILE [STEPS]]
#
# Without a file the text is this project's own documentation and sources; 1500 steps (at least 50) if not told otherwise.
set -eu
cd "$(dirname "$0")/.."

scripts/install-deps.sh
echo "== build"
[ -f build/build.ninja ] || meson setup build >/dev/null
ninja --quiet -C build anec anerun

mkdir -p build/demo
text=${1:-} steps=${2:-1500}
if [ -z "$text" ]; then
    text=build/demo/text.txt
    # In pieces of 40 lines that are shuffled, so that the last twentieth, which is held out, is like the rest.
    find README.md docs grammar src runtime std models -type f \
        \( -name '*.md' -o -name '*.c' -o -name '*.h' -o -name '*.def' -o -name '*.anel' -o -name '*.y' -o -name '*.re' \) |
        LC_ALL=C sort | LC_ALL=C xargs awk 'FNR % 40 == 1 { n++ } { print (n * 7919) % 100003 "\t" $0 }' |
        LC_ALL=C sort -s -n -k 1,1 | cut -f 2- >"$text"
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
