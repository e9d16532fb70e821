#!/usr/bin/env bash
# CPU time per call of 13 datagrams, the server against Kamailio (kamailio-calls.cfg) on the same traffic in the same run,
# over loopback UDP: A B A B ..., a fresh server each time, saturated by a bounded window. Then user instructions per call
# under valgrind. Kamailio is a stateful proxy in the record route and does less: it keeps no dialog, makes no leg of its own
# and rewrites nothing, which a back-to-back user agent does.
# PAIRS, CALLS, WINDOW and LIVE set the size; INSTRUCTIONS=0 leaves valgrind out, PAIRS=0 the times.
set -euo pipefail
source "$(dirname "$0")/servers.sh"
export CONFIG=$here/strowger-calls.toml KAMAILIO_CONFIG=$here/kamailio-calls.cfg

pairs=${PAIRS:-3} calls=${CALLS:-20000} window=${WINDOW:-32} live=${LIVE:-0} users=${USERS:-1000} port=${PORT:-16080}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
build

# measure SERVER OPTIONS...: one life of a server; prints the report.
measure() {
    local name=$1
    shift
    start "$name" "$port" "$work/$name" taskset -c 0
    taskset -c 1 "$loadgen" calls "127.0.0.1:$port" --pid "$server" "$@" || echo "not clean" >&2
    stop
    rm -rf "${work:?}/$name"
}

for pair in $(seq "$pairs"); do
    for name in strowger kamailio; do
        echo "$pair $name $(measure "$name" --users "$users" --calls "$calls" --window "$window")"
    done
done | tee "$work/runs"
awk '{ for (i = 3; i <= NF; i++) { split($i, f, "="); if (f[1] == "server_us") us[$2, $1] = f[2] } if ($1 > n) n = $1 }
    END { for (i = 1; i <= n; i++) printf "CPU per call, strowger / kamailio: %.2f\n", us["strowger", i] / us["kamailio", i] }' "$work/runs"
[ "$live" = 0 ] || echo "among $live calls: $(measure strowger --users "$users" --calls "$calls" --window "$window" --live "$live")"

[ "${INSTRUCTIONS:-1}" = 1 ] || exit 0
few=${FEW:-500} many=${MANY:-1500}
# count SERVER N: all user instructions of a life with so many calls.
count() {
    local dir=$work/$1-$2
    start "$1" "$port" "$dir" valgrind --tool=cachegrind --cache-sim=no "--cachegrind-out-file=$dir/out.%p" --error-limit=no
    "$loadgen" calls "127.0.0.1:$port" --users 100 --calls "$2" --window 8 --patience 30 >"$dir/report"
    stop
    for _ in $(seq 50); do grep -Lq '^summary:' "$dir"/out.* || break; sleep 0.2; done
    awk '/^summary:/ { all += $2 } END { printf "%d\n", all }' "$dir"/out.*
}
for name in strowger kamailio; do
    a=$(count "$name" "$few")
    b=$(count "$name" "$many")
    echo "$name user_instructions_per_call=$(((b - a) / (many - few)))"
done
