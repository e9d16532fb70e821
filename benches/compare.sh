#!/usr/bin/env bash
# CPU time per transaction of the server against Kamailio at its fastest (kamailio.cfg), on the same traffic in the same
# run: A B A B ..., a fresh server each time, the server on processor 0 and the generator on processor 1, saturated by a
# bounded window. Prints each run, and the ratios of the pairs with their median and minimum.
# PAIRS, USERS, TRANSACTIONS, WINDOW set the size; MODES the traffic; LOAD is passed on to the generator.
set -euo pipefail
source "$(dirname "$0")/servers.sh"

pairs=${PAIRS:-5} users=${USERS:-20000} transactions=${TRANSACTIONS:-200000} window=${WINDOW:-64} port=${PORT:-16060}
read -ra modes <<<"${MODES:-new refresh}"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
build

# measure SERVER MODE: one life of a server; prints the report.
measure() {
    local load=(--mode "$2" --users "$users" --transactions "$transactions" --window "$window")
    [ "$2" != new ] || load=(--mode new --users "$transactions" --window "$window")
    start "$1" "$port" "$work/$1" taskset -c 0
    # shellcheck disable=SC2086
    taskset -c 1 "$loadgen" run "127.0.0.1:$port" "${load[@]}" --pid "$server" ${LOAD:-} || echo "not clean" >&2
    stop
    rm -rf "${work:?}/$1"
}

for mode in "${modes[@]}"; do
    ratios=()
    for pair in $(seq "$pairs"); do
        ours=$(measure strowger "$mode")
        theirs=$(measure kamailio "$mode")
        echo "$mode $pair strowger $ours"
        echo "$mode $pair kamailio $theirs"
        ratios+=("$(awk -v a="$(field server_us <<<"$ours")" -v b="$(field server_us <<<"$theirs")" 'BEGIN { printf "%.3f", a / b }')")
    done
    printf '%s\n' "${ratios[@]}" | sort -n | awk -v mode="$mode" '
        { r[NR] = $1 }
        END { printf "%s CPU per transaction, strowger / kamailio: median %.2f, lowest %.2f, highest %.2f of %d pairs\n",
              mode, NR % 2 ? r[(NR + 1) / 2] : (r[NR / 2] + r[NR / 2 + 1]) / 2, r[1], r[NR], NR }'
done
