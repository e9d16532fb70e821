#!/usr/bin/env bash
# User instructions and system calls per REGISTER refresh over UDP of the three runtimes. Instructions: under valgrind, two
# runs of different length, and the difference divided by the difference in length. System calls: under strace, at
# saturation, of all threads. RUNTIMES, FEW, MANY, USERS, WINDOW, CALLS set the size.
set -euo pipefail
few=${FEW:-2000} many=${MANY:-6000} users=${USERS:-1000} window=${WINDOW:-256} calls=${CALLS:-100000} port=${PORT:-16080}
read -ra runtimes <<<"${RUNTIMES:-tokio smol mio}"
. "$(dirname "${BASH_SOURCE[0]}")/life.sh"

# life RUNTIME N WRAPPER...: a server with N measured transactions.
life() {
    local runtime=$1 n=$2
    shift 2
    begin "$port" "$@" "$target/shell" "$runtime" "$port"
    load "127.0.0.1:$port" --mode refresh --users "$users" --transactions "$n" --window "$window" --patience 20
    finish
}

instructions() {
    life "$1" "$2" valgrind --tool=cachegrind --cache-sim=no "--cachegrind-out-file=$work/out.$1.$2" --error-limit=no 2>/dev/null
    counted "$work/out.$1.$2"
}

for runtime in "${runtimes[@]}"; do
    a=$(instructions "$runtime" "$few")
    b=$(instructions "$runtime" "$many")
    life "$runtime" 1 strace -c -f -o "$work/short"
    life "$runtime" "$calls" strace -c -f -o "$work/long"
    total() { awk '$NF == "total" { print $4 }' "$1"; }
    awk -v name="$runtime" -v each="$(((b - a) / (many - few)))" -v few="$(total "$work/short")" -v all="$(total "$work/long")" -v n="$calls" \
        'BEGIN { printf "%s user_instructions=%d system_calls=%.2f\n", name, each, (all - few) / n }'
    [ -z "${SHOW:-}" ] || head -12 "$work/long"
done
