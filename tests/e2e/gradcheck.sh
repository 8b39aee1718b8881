#!/bin/sh
# gradcheck.sh ANEC MODELS: the gradients of every model, shrunk, against differences and forward-mode derivatives.
# The table's last line, with the worst relative errors, goes to the log. A bound that cannot be kept must fail.
set -u
anec=$1 models=$2 failed=0

check() {
    model=$1
    shift
    if ! table=$("$anec" gradcheck "$@" "$models/$model.anel"); then
        failed=1
        printf '%s\n' "FAIL $model" "$table"
    fi
    printf '%-14s %s\n' "$model" "$(printf '%s\n' "$table" | grep '^worst')"
}

check tiny -D dim=16 -D hidden=24 -D layers=2 -D heads=4 -D kv_heads=2 -D vocab=20 -D seq=6
check layer768 -D dim=16 -D hidden=24 -D heads=4 -D seq=6 --entries 0
check stories110m -D dim=16 -D hidden=24 -D layers=2 -D heads=4 -D kv_heads=2 -D vocab=20 -D seq=6
check gpt2 -D dim=16 -D layers=2 -D heads=4 -D vocab=20 -D ctx=8 -D seq=6
check qwen3_0_6b -D dim=16 -D hidden=24 -D layers=2 -D heads=4 -D kv_heads=2 -D hd=8 -D vocab=20 -D seq=6
check parallel -D dim=16 -D layers=2 -D seq=6
check partial_rope -D dim=16 -D layers=2 -D rotary=2 -D seq=6
check value_residual -D dim=16 -D layers=3 -D seq=6
check looped -D dim=16 -D loops=3 -D seq=6
check unet -D dim=16 -D half=2 -D seq=6
check tiny_lora -D dim=16 -D hidden=24 -D layers=2 -D heads=4 -D kv_heads=2 -D vocab=20 -D seq=6 -D lora_rank=3
check stories110m_lora -D dim=16 -D hidden=24 -D layers=1 -D heads=4 -D kv_heads=2 -D vocab=20 -D seq=6 -D lora_rank=3
check ../tests/e2e/models/frozen -D dim=16 -D seq=6 --entries 2
check ../tests/e2e/models/stop --entries 0
check ../tests/e2e/models/kinks --entries 0
check ../tests/e2e/models/exprs -D dim=8 -D seq=3

if "$anec" gradcheck --tol-dot 1e-30 -D dim=8 -D hidden=8 -D heads=2 -D seq=3 "$models/layer768.anel" >/dev/null; then
    echo "FAIL: a bound of 1e-30 was kept"
    failed=1
fi
exit $failed
