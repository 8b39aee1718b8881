#!/bin/sh
# From nothing to text: install what is needed, build, compile models/tiny.anel, train it, let it write.
# usage: scripts/demo.sh [TEXT-FILE]     (default: this project's own documentation and sources)
set -eu
cd "$(dirname "$0")/.."

scripts/install-deps.sh
[ -f build/build.ninja ] || meson setup build -Dtests=auto >/dev/null
ninja -C build >/dev/null

mkdir -p build/demo
text=${1:-}
if [ -z "$text" ]; then
    text=build/demo/text.txt
    find README.md docs grammar src runtime std models tests \
        \( -name '*.md' -o -name '*.c' -o -name '*.h' -o -name '*.def' -o -name '*.anel' \) -type f | LC_ALL=C sort | xargs cat >"$text"
fi
echo "== anec models/tiny.anel -o build/demo/plan"
build/anec models/tiny.anel -o build/demo/plan
echo "== anerun build/demo/plan --train --data $text"
rm -rf build/demo/run
build/anerun build/demo/plan --train --data "$text" --holdout 0.05 --out build/demo/run
echo "== anerun build/demo/plan --generate"
build/anerun build/demo/plan --resume build/demo/run --generate "The " --tokens 300 --temperature 0.8 --top-k 40 --seed 1
echo
