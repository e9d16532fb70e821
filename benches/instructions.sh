#!/usr/bin/env bash
# User instructions per transaction of the server and of Kamailio, under valgrind: two runs of different length, and the
# difference divided by the difference in length, so that start and end do not count. Repeats within 1 %.
# instructions.sh [MODE] [SERVER...]: MODE is new, refresh or options; WINDOW requests are under way at a time. PROFILE=1
# prints where the server spends them.
set -euo pipefail
source "$(dirname "$0")/servers.sh"

mode=${1:-refresh}
shift || true
servers=("$@")
[ ${#servers[@]} -gt 0 ] || servers=(strowger kamailio)
few=${FEW:-2000} many=${MANY:-6000} users=${USERS:-1000} window=${WINDOW:-8} port=${PORT:-16060}
tool=cachegrind
[ -z "${PROFILE:-}" ] || tool=callgrind
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
build

# count SERVER N: all user instructions of a life with N measured transactions.
count() {
    local dir=$work/$1-$2 load=(--mode "$mode" --users "$users" --transactions "$2" --window "$window" --patience 20)
    [ "$mode" != new ] || load=(--mode new --users "$2" --window "$window" --patience 20)
    local options=(--tool=$tool "--$tool-out-file=$dir/out.%p" --error-limit=no)
    [ $tool = callgrind ] || options+=(--cache-sim=no)
    start "$1" "$port" "$dir" valgrind "${options[@]}"
    # shellcheck disable=SC2086
    "$loadgen" run "127.0.0.1:$port" "${load[@]}" ${LOAD:-} >"$dir/report"
    stop
    # Kamailio's own children may outlive it for a moment.
    for _ in $(seq 50); do grep -Lq '^summary:\|^totals:' "$dir"/out.* || break; sleep 0.2; done
    awk '/^(summary|totals):/ { sum[FILENAME] = $2 } END { for (f in sum) all += sum[f]; printf "%d\n", all }' "$dir"/out.*
}

for name in "${servers[@]}"; do
    a=$(count "$name" "$few")
    b=$(count "$name" "$many")
    each=$(((b - a) / (many - few)))
    echo "$name mode=$mode user_instructions_per_transaction=$each"
    eval "each_$name=$each"
    if [ $tool = callgrind ]; then
        # shellcheck disable=SC2012
        callgrind_annotate --threshold=90 "$(ls -S "$work/$name-$many"/out.* | head -1)" | sed 's/ \[.*//' | head -"${LINES_SHOWN:-70}"
    fi
done
if [ -n "${each_strowger:-}" ] && [ -n "${each_kamailio:-}" ]; then
    awk -v a="$each_strowger" -v b="$each_kamailio" 'BEGIN { printf "ratio=%.3f\n", a / b }'
fi
