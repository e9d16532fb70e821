#!/usr/bin/env bash
# What keeping state costs: user instructions per REGISTER without a store, with one behind, and with a strict one, under
# valgrind; then, where strace is there, how often the strict server waits for the disk at RATE requests a second.
# MODE is refresh or new; FEW and MANY are the lengths of the two runs, USERS how many phones refresh. WINDOW requests are
# under way at a time: about as many as share a commit of the strict server at RATE; fewer make it idle while it waits.
set -euo pipefail
source "$(dirname "$0")/servers.sh"

mode=${MODE:-refresh} port=${PORT:-16060} rate=${RATE:-5000} seconds=${SECONDS_LONG:-10}
export WINDOW=${WINDOW:-32}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
for storage in none write_behind strict; do
    sed "s/^mode = \"none\"/mode = \"$storage\"/" "$here/strowger.toml" >"$work/$storage.toml"
    each=$(CONFIG=$work/$storage.toml "$here/instructions.sh" "$mode" strowger | sed -n 's/.*per_transaction=//p')
    echo "storage=$storage mode=$mode user_instructions_per_transaction=$each"
    [ "$storage" != none ] || base=$each
    awk -v a="$each" -v b="$base" 'BEGIN { printf "ratio=%.3f\n", a / b }'
done

command -v strace >/dev/null || exit 0
export CONFIG=$work/strict.toml
start strowger "$port" "$work/strict"
strace -f -c -e trace=fsync,fdatasync -p "$server" -o "$work/calls" &
tracer=$!
"$loadgen" run "127.0.0.1:$port" --mode refresh --users "${USERS:-20000}" --rate "$rate" \
    --transactions $((rate * seconds)) ${LOAD:-} || true
stop
wait "$tracer" || true
awk -v s="$seconds" '/sync/ { calls += $4 } END { printf "syncs=%d per_second=%.0f\n", calls, calls / s }' "$work/calls"
