#!/bin/sh
# Install what building and testing need, with the system's package manager. Does nothing when all of it is there.
# With "test" as its argument also what only the tests need.
set -eu

debian_build="gcc libc6-dev meson ninja-build pkg-config re2c bison libopenblas-dev libdnnl-dev libjansson-dev libxxhash-dev g++ libsentencepiece-dev"
debian_test="openmpi-bin libopenmpi-dev clang libclang-rt-14-dev libcriterion-dev python3 python3-numpy"
brew_build="meson ninja pkg-config re2c bison jansson xxhash sentencepiece"
brew_test="open-mpi criterion numpy"

want_test=${1:-}

if [ "$(uname)" = Darwin ]; then
    command -v brew >/dev/null || { echo "install-deps: Homebrew is needed: https://brew.sh" >&2; exit 1; }
    # shellcheck disable=SC2086
    brew install --quiet $brew_build ${want_test:+$brew_test}
    exit 0
fi

command -v apt-get >/dev/null || {
    echo "install-deps: no apt-get here; install the equivalents of: $debian_build ${want_test:+$debian_test}" >&2
    exit 1
}
missing=
for p in $debian_build ${want_test:+$debian_test}; do
    dpkg-query -W -f='${Status}' "$p" 2>/dev/null | grep -q 'install ok installed' || missing="$missing $p"
done
# Node.js need not be Debian's; its packages of npm are many.
[ -z "$want_test" ] || command -v npm >/dev/null || missing="$missing nodejs npm"
[ -n "$missing" ] || exit 0
echo "install-deps: installing$missing"
sudo=
[ "$(id -u)" = 0 ] || sudo=sudo
export DEBIAN_FRONTEND=noninteractive
$sudo apt-get update -qq
# shellcheck disable=SC2086
$sudo apt-get install -y -qq --no-install-recommends $missing >/dev/null
