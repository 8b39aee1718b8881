#!/bin/sh
# cli.sh: `anerun mil` from the outside: the example of docs/mil.md, exit codes and messages. Usage: cli.sh ANERUN DOC OPS DIR
set -eu
anerun=$1 doc=$2 ops=$3 dir=$4
rm -rf "$dir"
mkdir -p "$dir"

fail() {
    echo "cli.sh: $*" >&2
    exit 1
}
# expect STATUS WORDS COMMAND...: the exit status and a part of what is printed
expect() {
    status=$1 words=$2
    shift 2
    code=0
    "$@" >"$dir/log" 2>&1 || code=$?
    [ "$code" = "$status" ] || fail "'$*' exits $code, expected $status: $(cat "$dir/log")"
    grep -q -e "$words" "$dir/log" || fail "'$*' does not say '$words': $(cat "$dir/log")"
}

# The first ```mil block of the document is the example; x = [[1, 2, 3], [4, 5, 6]] in fp16.
sed -n '/^```mil$/,/^```$/p' "$doc" | sed '1d' | sed '/^```$/q' | sed '$d' >"$dir/scale.mil"
header="{'descr': '<f2', 'fortran_order': False, 'shape': (2, 3), }"
{
    printf '\223NUMPY\001\000\166\000%-117s\n' "$header"
    printf '\000\074\000\100\000\102\000\104\000\105\000\106'
} >"$dir/x.npy"

"$anerun" mil "$dir/scale.mil" --in "x=$dir/x.npy" --out "$dir/out"
# y = x * 0.5 summed over the last axis: 3 and 7.5, as fp16 0x4200 and 0x4780
tail -c 4 "$dir/out/y.npy" | od -An -tx1 | grep -q '00 42 80 47' || fail "wrong result: $(od -An -tx1 "$dir/out/y.npy")"
"$anerun" mil "$dir/scale.mil" --in "x=$dir/x.npy" --out "$dir/exact" --numerics=exact --reduce lenient
grep -q "'<f8'" "$dir/exact/y.npy" || fail "exact results are not float64"
tail -c 16 "$dir/exact/y.npy" | od -An -tx1 | grep -q '00 00 00 00 00 00 08 40 00 00 00 00 00 00 1e 40' || fail "wrong exact result"

expect 0 'usage: anerun mil' "$anerun" mil --help
expect 0 'usage: anerun' "$anerun" --help
expect 2 "'mill' is neither a plan nor a command; did you mean 'mil'" "$anerun" mill
expect 2 'which program' "$anerun" mil --out "$dir/out"
expect 2 'where to' "$anerun" mil "$dir/scale.mil"
expect 2 "unknown option '--weigths'" "$anerun" mil "$dir/scale.mil" --weigths x --out "$dir/out"
expect 2 'needs a value' "$anerun" mil "$dir/scale.mil" --out
expect 2 "expected ane or exact" "$anerun" mil "$dir/scale.mil" --out "$dir/out" --numerics fast
expect 2 'NAME=FILE.npy' "$anerun" mil "$dir/scale.mil" --out "$dir/out" --in x
expect 1 "the input 'x' is missing" "$anerun" mil "$dir/scale.mil" --out "$dir/out"
expect 1 "no input 'z'" "$anerun" mil "$dir/scale.mil" --out "$dir/out" --in "x=$dir/x.npy" --in "z=$dir/x.npy"
expect 1 'no function' "$anerun" mil "$dir/scale.mil" --out "$dir/out" --function other
expect 1 "no device 'ane9'" "$anerun" mil "$dir/scale.mil" --out "$dir/out" --device ane9
expect 1 'cannot open' "$anerun" mil "$dir/missing.mil" --out "$dir/out"
expect 1 'this is no .npy file' "$anerun" mil "$dir/scale.mil" --out "$dir/out" --in "x=$dir/scale.mil"

sed 's/tensor<fp16, \[2, 3\]> x/tensor<fp16, [3, 2]> x/; s/\[2, 3\]/[3, 2]/; s/\[2, 1\]/[3, 1]/' "$dir/scale.mil" >"$dir/shape.mil"
expect 1 'has shape \[2, 3\]' "$anerun" mil "$dir/shape.mil" --out "$dir/out" --in "x=$dir/x.npy"
sed 's/mul(/mull(/' "$dir/scale.mil" >"$dir/bad.mil"
expect 1 "did you mean 'mul'" "$anerun" mil "$dir/bad.mil" --out "$dir/out" --in "x=$dir/x.npy"

# The document lists every operation of the table.
for op in $(sed -n 's/^OP(\([a-z0-9_]*\),.*/\1/p' "$ops"); do
    grep -q "^| \`$op\`" "$doc" || fail "$doc does not list $op"
done

# Weights never come from outside their directory.
mkdir -p "$dir/root"
weights='tensor<fp16, [1]> w = const()[name = string("w"), val = tensor<fp16, [1]>(BLOBFILE(path = string("@model_path/PATH"), offset = uint64(64)))];'
for path in ../x.npy a/../../x.npy /etc/passwd ./x.npy a//b; do
    sed "s|fp16 half = .*|$(echo "$weights" | sed "s|PATH|$path|")|" "$dir/scale.mil" >"$dir/escape.mil"
    expect 1 'leaves its directory' "$anerun" mil "$dir/escape.mil" --weights "$dir/root" --out "$dir/out" --in "x=$dir/x.npy"
done
sed "s|fp16 half = .*|$(echo "$weights" | sed 's|PATH|w.bin|')|" "$dir/scale.mil" >"$dir/w.mil"
expect 1 '@model_path stands for' "$anerun" mil "$dir/w.mil" --weights "$dir/root" --out "$dir/out" --in "x=$dir/x.npy"
echo 'all good'
