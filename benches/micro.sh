#!/usr/bin/env bash
# Instructions, wall time and allocations of each case of the in-process benchmarks (`parse`, `engine`, `calls`).
# micro.sh [BINARY...] [-- CASE...]; PROFILE=1 prints the tree of calls with what each costs.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
target=${CARGO_TARGET_DIR:-$here/../target}
cargo build --quiet --release --manifest-path "$here/../Cargo.toml" -p strowger-benches
binaries=() cases=()
while [ $# -gt 0 ]; do
    [ "$1" != -- ] || { shift; cases=("$@"); break; }
    binaries+=("$1")
    shift
done
[ ${#binaries[@]} -gt 0 ] || binaries=(parse engine)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
count=${COUNT:-1000}

for binary in "${binaries[@]}"; do
    "$target/release/$binary" >"$work/wall"
    while read -r name wall; do
        [ ${#cases[@]} -eq 0 ] || [[ " ${cases[*]} " == *" $name "* ]] || continue
        valgrind --tool=callgrind --callgrind-out-file="$work/out" --toggle-collect='strowger_benches::micro::measured*' \
            "$target/release/$binary" "$name" "$count" >/dev/null 2>"$work/log" || { cat "$work/log" >&2; exit 1; }
        awk -v name="$name" -v wall="$wall" -v count="$count" -v binary="$binary" '/^(summary|totals):/ { all = $2 }
            END { printf "%s %s instructions=%d %s\n", binary, name, all / count, wall }' "$work/out"
        [ -z "${PROFILE:-}" ] || awk -v operations="$count" -v least="${LEAST:-100}" -f "$here/calltree.awk" "$work/out"
    done <"$work/wall"
done
